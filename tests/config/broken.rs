//! For every breakage under `tests/config/bad` an error with line, field and what would be right.

use super::*;

/// File and how the error goes on after `FILE:`.
const BROKEN: &[(&str, &str)] = &[
    ("syntax-unclosed-block.hcl", r#"3: HCL: invalid block body; expected `}`, newline or identifier"#),
    (
        "syntax-attribute-twice.hcl",
        r#"3: HCL: invalid attribute; expected unique attribute key; found redefined attribute"#,
    ),
    ("empty.hcl", r#"1: listener: required: write listener "tcp" { … }"#),
    ("no-storage.hcl", r#"1: storage: required: write storage "redb" { path = "/var/lib/sparekey" }"#),
    ("no-listener.hcl", r#"1: listener: required: write listener "tcp" { … }"#),
    ("unknown-word-near.hcl", r#"3: listener.tcp.adress: unknown; did you mean address?"#),
    ("unknown-word-far.hcl", r#"4: listener.tcp.colour: unknown; known here: address, tls_disable, tls_cert_file"#),
    ("unknown-word-hides-a-required-one.hcl", r#"3: listener.tcp.tls_disabel: unknown; did you mean tls_disable?"#),
    ("unknown-block.hcl", r#"5: listner: unknown; did you mean listener?"#),
    (
        "unknown-telemetry-word.hcl",
        r#"6: telemetry.statsd_address: unknown; known here: prometheus_retention_time, disable_hostname"#,
    ),
    (
        "word-of-vault.hcl",
        r#"6: max_lease_ttl: not supported: there are no leases; a role says how long its tokens live (token_max_ttl)"#,
    ),
    ("listener-unix.hcl", r#"2: listener.unix: the listener is "tcp""#),
    ("listener-without-label.hcl", r#"2: listener: takes 1 label(s), not 0: write listener "tcp" { … }"#),
    (
        "listener-address-without-ip.hcl",
        r#"4: listener.tcp.address: an IP address and a port such as "127.0.0.1:8200", "0.0.0.0:8200" or "[::]:8200", not ":8200""#,
    ),
    ("listener-address-twice.hcl", r#"6: listener.tcp.address: 127.0.0.1:8200 has a listener already"#),
    ("tls-certificate-missing.hcl", r#"3: listener.tcp.tls_cert_file: required unless tls_disable = true"#),
    ("tls-key-missing.hcl", r#"2: listener.tcp.tls_key_file: required unless tls_disable = true"#),
    (
        "tls-client-certificate-without-authority.hcl",
        r#"5: listener.tcp.tls_require_and_verify_client_cert: needs tls_client_ca_file"#,
    ),
    (
        "tls-client-certificate-without-tls.hcl",
        r#"4: listener.tcp.tls_require_and_verify_client_cert: cannot be kept to while tls_disable is set"#,
    ),
    ("tls-version-too-old.hcl", r#"5: listener.tcp.tls_min_version: one of tls12, tls13, not "tls10""#),
    ("boolean-is-text.hcl", r#"3: listener.tcp.tls_disable: true or false, not this text"#),
    (
        "size-too-large.hcl",
        r#"4: listener.tcp.max_request_size: a whole number from 1024 to 33554432, not this number"#,
    ),
    (
        "duration-with-fraction.hcl",
        r#"4: listener.tcp.http_idle_timeout: a duration from 1s to 86400s, such as "90s" or "1h30m", not this text"#,
    ),
    (
        "duration-of-nothing.hcl",
        r#"4: listener.tcp.http_read_header_timeout: a duration from 1s to 86400s, such as "90s" or "1h30m", not this number"#,
    ),
    (
        "log-level-is-a-number.hcl",
        r#"5: log_level: one of trace, debug, info, warn, error, notice, warning, err, not "-1""#,
    ),
    ("storage-of-another-kind.hcl", r#"1: storage.raft: the storage is "redb", "postgres" or "inmem", not "raft""#),
    (
        "postgres-password-in-clear.hcl",
        r#"2: storage.postgres.connection_url: a password is not written into this file, where backups and version control would carry it along: write "env://NAME" or "file://PATH", and the whole URL there"#,
    ),
    (
        "postgres-table-with-quotes.hcl",
        r#"3: storage.postgres.table: lower-case letters, digits and "_", at most 48, such as "sparekey" or "vault.sparekey""#,
    ),
    (
        "postgres-one-connection.hcl",
        r#"3: storage.postgres.max_parallel: a whole number from 2 to 1000, not this number"#,
    ),
    (
        "postgres-word-of-vault.hcl",
        r#"3: storage.postgres.ha_enabled: not supported: every node serves every request, and the rows decide"#,
    ),
    ("postgres-word-unknown.hcl", r#"2: storage.postgres.conection_url: unknown; did you mean connection_url?"#),
    ("storage-without-path.hcl", r#"1: storage.redb.path: required: where the store's file lies"#),
    ("storage-twice.hcl", r#"5: storage.redb: a second storage: there is one store"#),
    ("seal-of-another-kind.hcl", r#"5: seal.awskms: the seal is "shamir", "static" or "transit", not "awskms""#),
    (
        "seal-key-in-clear.hcl",
        r#"7: seal.static.current_key: a secret is not written into this file, where backups and version control would carry it along: write "env://NAME" or "file://PATH""#,
    ),
    ("seal-key-without-name.hcl", r#"5: seal.static.current_key_id: required: a name for the key, such as "2026-01""#),
    (
        "seal-names-equal.hcl",
        r#"8: seal.static.previous_key_id: "a" is current_key_id already: two keys need two names"#,
    ),
    ("seal-previous-key-without-name.hcl", r#"8: seal.static.previous_key: needs previous_key_id beside it"#),
    (
        "seal-environment-without-name.hcl",
        r#"7: seal.static.current_key: env:// must be followed by the name of an environment variable"#,
    ),
    (
        "seal-transit-over-http.hcl",
        r#"6: seal.transit.address: https, unless that vault is on this machine: token and key travel there"#,
    ),
    ("seal-transit-without-token.hcl", r#"5: seal.transit.token: required: "env://NAME" or "file://PATH""#),
    (
        "seal-transit-token-in-clear.hcl",
        r#"7: seal.transit.token: a secret is not written into this file, where backups and version control would carry it along: write "env://NAME" or "file://PATH""#,
    ),
    (
        "seal-transit-unverified.hcl",
        r#"9: seal.transit.tls_skip_verify: not supported: whoever stands between would learn the key; name the authority as tls_ca_cert"#,
    ),
    (
        "seal-transit-key-with-slash.hcl",
        r#"8: seal.transit.mount_path: 1 to 128 letters, digits, "_", "." or "-", in segments joined by "/""#,
    ),
    ("seal-shamir-with-words.hcl", r#"6: seal.shamir.shares: unknown: nothing is set in this block"#),
    ("interpolation.hcl", r#"5: api_addr: "${…}" is not supported: write the value out"#),
    ("text-without-quotes.hcl", r#"5: log_level: text must stand in quotes: "info""#),
    ("function-call.hcl", r#"5: cluster_name: expressions are not supported: write the value out, text in quotes"#),
    ("here-document.hcl", r#"5: cluster_name: here-documents are not supported: put the text in quotes"#),
    ("audit-without-name.hcl", r#"5: audit: takes 2 label(s), not 1: write audit "file" "NAME" { … }"#),
    ("audit-of-another-kind.hcl", r#"5: audit.syslog.main: audit device type: file, stdout or socket, not "syslog""#),
    (
        "audit-option-unknown.hcl",
        r#"8: audit.file.main.options.file_mode: no option of a file audit device; it takes file_path, mode"#,
    ),
    (
        "audit-option-refused.hcl",
        r#"7: audit.file.main.log_raw: refused: it would write backup codes and tokens in clear; leave it out"#,
    ),
    (
        "audit-option-in-both-places.hcl",
        r#"8: audit.file.main.options.file_path: given in the block and in its options: give it once"#,
    ),
    ("audit-name-twice.hcl", r#"7: audit.file.main: a device of this name was declared before: names are unique"#),
    ("telemetry-twice.hcl", r#"7: telemetry: given before: give it once"#),
    ("api-addr-without-scheme.hcl", r#"5: api_addr: a URL such as "https://sparekey.example.com:8200""#),
    ("mount-path-of-the-host.hcl", r#"5: mount_path: sys/, auth/, identity/ and cubbyhole/ are the host's own"#),
    (
        "mount-path-with-dots.hcl",
        r#"5: mount_path: segments of letters, digits, "_", "-" and ".", such as "backup-codes/""#,
    ),
    (
        "log-level-unknown.hcl",
        r#"5: log_level: one of trace, debug, info, warn, error, notice, warning, err, not "loud""#,
    ),
    ("syntax-comma.json", r#"3: JSON: trailing comma"#),
    ("top-is-a-list.json", r#"1: the configuration must be one JSON object"#),
    ("word-twice.json", r#"5: log_level: given before, on line 4: give it once"#),
    ("unknown-word.json", r#"6: listener.tcp.tls_key: unknown; did you mean tls_key_file?"#),
    ("listener-is-text.json", r#"4: listener: a block or an object, not this text"#),
    ("address-is-a-list.json", r#"5: listener.tcp.address: text in quotes, not a list"#),
    ("interpolation.json", r#"3: storage.redb.path: "${…}" is not supported"#),
    ("options-are-text.json", r#"5: audit.file.main.options: an object, not this text"#),
    ("not-utf-8.hcl", r#"5: not UTF-8"#),
];

#[test]
fn every_broken_file_says_where_and_what_would_be_right() {
    let mut wrong = Vec::new();
    for (name, expected) in BROKEN {
        let path = fixture("bad").join(name);
        let said = match Config::load(&path) {
            Ok(_) => "nothing: it was accepted".to_owned(),
            Err(error) => error.to_string().replacen(&format!("{}:", path.display()), "", 1),
        };
        if !said.starts_with(expected) {
            wrong.push(format!("{name}\n  expected {expected}\n  said     {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_broken_file_is_in_the_table() {
    let mut there: Vec<_> = std::fs::read_dir(fixture("bad"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    let mut listed: Vec<_> = BROKEN.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(there, listed);
}

#[test]
fn a_key_that_was_written_into_the_file_is_not_repeated() {
    let error = Config::load(&fixture("bad/seal-key-in-clear.hcl")).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("q6ur"));
}
