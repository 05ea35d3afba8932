//! The configuration file: the same meaning in both languages, and for every breakage under `tests/config/bad` an error with
//! line, field and what would be right.

use std::path::{Path, PathBuf};

use sparekey::config::{Config, SealChoice, StorageChoice};

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

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config").join(name)
}

fn load(name: &str) -> Config {
    Config::load(&fixture(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn hcl_and_json_mean_the_same() {
    assert_eq!(load("good/minimal.hcl"), load("good/minimal.json"));
    assert_eq!(load("good/full.hcl"), load("good/full.json"));
    assert_ne!(load("good/minimal.hcl"), load("good/full.hcl"));
}

#[test]
fn defaults_are_filled_in() {
    let config = load("good/minimal.hcl");
    assert_eq!(config.storage, StorageChoice::Redb { path: "data".into() });
    assert_eq!(config.seal, SealChoice::Shamir);
    assert_eq!(config.mount_path, "backup-codes/");
    assert_eq!(config.log.level, tracing::Level::INFO);
    let listener = &config.listeners[0];
    assert_eq!(listener.address.to_string(), "127.0.0.1:8200");
    assert!(listener.tls.is_none());
    assert_eq!(listener.max_request_size, 1 << 20);
    let times = [listener.read_header_timeout, listener.read_timeout, listener.write_timeout, listener.idle_timeout];
    assert_eq!(times.map(|time| time.as_secs()), [30, 30, 30, 300]);
    let warned = |config: &Config, what: &str| config.warnings.iter().any(|warning| warning.contains(what));
    assert!(warned(&config, "no durable audit device"));
    assert!(!warned(&load("good/full.hcl"), "no durable audit device"));
}

#[test]
fn every_word_is_read() {
    let config = load("good/full.hcl");
    assert_eq!(config.api_addr.as_deref(), Some("https://sparekey.example.com:8200"));
    assert_eq!(config.mount_path, "spare/codes/");
    assert_eq!(config.cluster_name.as_deref(), Some("north ${literal}"));
    assert_eq!((config.shutdown_delay.as_secs(), load("good/minimal.hcl").shutdown_delay.as_secs()), (3, 0));
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert!(tls.client_ca.as_ref().unwrap().required);
    let listener = &config.listeners[0];
    let times = [listener.read_header_timeout, listener.read_timeout, listener.write_timeout, listener.idle_timeout];
    assert_eq!(times.map(|time| time.as_secs()), [5, 90, 20, 120]);
    assert_eq!(listener.max_request_size, 65536);
    assert!(config.listeners[0].open_metrics && !config.listeners[1].open_metrics);
    assert_eq!(config.listeners[1].address.port(), 8300);
    let names: Vec<_> = config.devices.iter().map(|device| (device.kind(), device.name())).collect();
    assert_eq!(names, [("file", "main"), ("socket", "siem"), ("stdout", "console")]);
    assert!(config.telemetry.disable_hostname);
    assert_eq!(config.telemetry.prometheus_retention_time.as_secs(), 30);
}

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

#[test]
fn keys_are_read_when_they_are_needed_and_errors_name_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let text = format!(
        "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n  tls_disable = true\n}}\nseal \"static\" {{\n  current_key_id = \"a\"\n  \
         current_key = \"file://{}\"\n}}\n",
        key.display()
    );
    let config = Config::parse("sparekey.hcl", &text).unwrap();
    let error = |config: &Config| config.seal.load().err().unwrap().to_string();
    assert!(error(&config).starts_with("sparekey.hcl:7: seal.static.current_key: "), "{}", error(&config));
    assert!(error(&config).contains("No such file"));
    for bytes in [&b""[..], b"short", &[b'g'; 64], &[7; 31], &[7; 33], &[b'a'; 5000]] {
        std::fs::write(&key, bytes).unwrap();
        let said = error(&config);
        assert!(said.ends_with("is not 32 bytes, raw, in base64 or in hexadecimal"), "{said}");
        assert!(!said.contains("short"), "{said}");
    }
    for bytes in [vec![7; 32], b"07".repeat(32), b"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n".to_vec()] {
        std::fs::write(&key, bytes).unwrap();
        assert!(config.seal.load().is_ok());
    }
    let unset = text.replace(&format!("file://{}", key.display()), "env://SPAREKEY_TEST_NOT_SET");
    let said = error(&Config::parse("sparekey.hcl", &unset).unwrap());
    assert_eq!(
        said,
        "sparekey.hcl:7: seal.static.current_key: the environment variable SPAREKEY_TEST_NOT_SET is not set"
    );
}

#[test]
fn files_that_are_no_configuration_are_refused_and_never_overrun() {
    assert!(Config::load(Path::new("/nonexistent/sparekey.hcl")).unwrap_err().to_string().contains("No such file"));
    for text in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 17), "a = [".repeat(1 << 16), "a {\n".repeat(1 << 16)] {
        assert!(Config::parse("deep.hcl", &text).is_err());
        assert!(Config::parse("deep.json", &text).is_err());
    }
}

/// The fenced blocks of `docs/configuration.md` in `language`.
fn examples(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_of_the_documentation_are_accepted() {
    let blocks = examples("hcl");
    assert!(blocks.len() >= 6);
    for block in &blocks {
        let mut text = block.clone();
        if !text.contains("storage \"") {
            text.push_str("storage \"inmem\" {}\n");
        }
        if !text.contains("listener \"") {
            text.push_str("listener \"tcp\" {\n  tls_disable = true\n}\n");
        }
        Config::parse("configuration.md", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    assert_eq!(
        Config::parse("configuration.md", &blocks[0]).unwrap(),
        Config::parse("configuration.md", &examples("json")[0]).unwrap()
    );
}

#[test]
fn every_word_that_is_known_is_documented() {
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let base = "storage \"inmem\" {}\n";
    let listener = "listener \"tcp\" {\n  tls_disable = true\n}\n";
    let key = "current_key_id = \"a\"\n  current_key = \"env://A\"";
    for text in [
        format!("{base}{listener}qqqqqqqqqqqq = 1\n"),
        format!("{base}listener \"tcp\" {{\n  tls_disable = true\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("storage \"redb\" {{\n  path = \"a\"\n  qqqqqqqqqqqq = 1\n}}\n{listener}"),
        format!("storage \"postgres\" {{\n  qqqqqqqqqqqq = 1\n}}\n{listener}"),
        format!("{base}{listener}seal \"static\" {{\n  {key}\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}seal \"transit\" {{\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}audit \"file\" \"a\" {{\n  file_path = \"a\"\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}audit \"socket\" \"a\" {{\n  address = \"a:1\"\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}telemetry {{\n  qqqqqqqqqqqq = 1\n}}\n"),
    ] {
        let error = Config::parse("a.hcl", &text).unwrap_err().to_string();
        let (_, known) = error.split_once("known here: ").or(error.split_once("it takes ")).expect(&error);
        for word in known.split(", ") {
            assert!(document.contains(&format!("`{word}`")), "docs/configuration.md does not speak of {word}");
        }
    }
}

/// How the error about this `connection_url` goes on after the field's name.
fn refused(url: &str) -> String {
    let text = format!(
        "storage \"postgres\" {{\n  connection_url = \"{url}\"\n}}\nlistener \"tcp\" {{\n  tls_disable = true\n}}\n"
    );
    let error = match Config::parse("a.hcl", &text) {
        Ok(Config { storage: StorageChoice::Postgres(choice), .. }) => match choice.load() {
            Ok(_) => panic!("{url} is accepted"),
            Err(error) => error,
        },
        Ok(_) => unreachable!("another storage"),
        Err(error) => error,
    };
    let text = error.to_string();
    text.strip_prefix("a.hcl:2: storage.postgres.connection_url: ").unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn a_connection_url_that_would_be_weak_or_wrong_is_refused_by_name() {
    for (url, what) in [
        ("", "required: a URL such as"),
        ("mysql://a@b/c", "a URL such as"),
        ("host=db user=a", "a URL such as"),
        ("postgres://b/c?sslmode=disable", "names no user"),
        ("postgres://a@/c?sslmode=disable", "names no host"),
        ("postgres://a@b/c?sslmode=prefer", "sslmode: prefer and allow go on without TLS unnoticed"),
        ("postgres://a@b/c?sslmode=allow", "sslmode: prefer and allow go on without TLS unnoticed"),
        ("postgres://a@b/c?sslmode=yes", "sslmode: one of verify-full, verify-ca, require, disable"),
        ("postgres://a@b/c?sslmode=disable&sslrootcert=/ca.pem", "sslmode: disable, and certificates are named"),
        ("postgres://a@b/c?sslcert=/c.pem", "sslcert: needs sslkey beside it"),
        ("postgres://a@b/c?sslkey=/k.pem", "sslkey: needs sslcert beside it"),
        ("postgres://a@b/c?sslrootcert=/nonexistent/ca.pem", "sslrootcert: /nonexistent/ca.pem: "),
        ("postgres://a@b/c?target_session_attrs=any", "target_session_attrs: read-write and nothing else"),
        ("postgres://a@b/c?sslmodus=disable", "a parameter that is not known here"),
        ("postgres://a@b:x/c?sslmode=disable", "invalid connection string: invalid value for option `port`"),
        ("postgres://a@b,c:5,6/c?sslmode=disable&port=1", "port: one for all hosts, or one for each"),
        ("postgres:///c?user=a&host=/run/postgresql&sslmode=require", "sslmode: a socket of this machine has no TLS"),
        ("env://", "env:// must be followed by the name of an environment variable"),
        ("file://", "file:// must be followed by a path"),
        ("env://SPAREKEY_TEST_NOT_SET", "the environment variable SPAREKEY_TEST_NOT_SET is not set"),
        ("file:///nonexistent/url", "/nonexistent/url: "),
    ] {
        let found = refused(url);
        assert!(found.starts_with(what), "{url}: {found}");
    }
}

#[test]
fn a_password_in_a_broken_url_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for broken in [
        "postgres://a:hun/?ter?hunter2=x@b/c",
        "postgres://a:hun?hunter2=x@b/c",
        "postgres://a:h@hunter2@b/c",
        "postgres://a:hunter2@b:hunter2/c",
        "postgres://a:hunter2@b/c?password=hunter2&sslmode=hunter2",
        "hunter2",
        "postgres://a:hunter2@b/c?hunter2",
    ] {
        let file = folder.path().join("url");
        std::fs::write(&file, broken).unwrap();
        let found = refused(&format!("file://{}", file.display()));
        assert!(!found.contains("hunter2"), "{broken}: {found}");
    }
}
