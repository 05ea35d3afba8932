//! `examples/break-glass/`: with discovery, key sets and the provider out of reach, a pinned key still gets one code. Every command of
//! the page, as it stands there, with a file key and a PKCS#11 token, on a server of its own and in a real vault.

mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::json;
use stage::{ACCOUNT, Face, Person, Provider, configure, day_before, person};
use support::pkcs11;
use support::scene::codes;
use support::server::{MOUNT, Server};
use support::vault::Vault;

fn the_glass_is_broken_at(mut face: Face) {
    let dir = tempfile::tempdir().unwrap();
    let mut provider = Provider::open();
    day_before(&face, &provider);
    provider.close();
    face.restart();
    let root = face.root();
    for role in ["on-call", "on-call-keys"] {
        let body = json!({"role": role, "jwt": provider.jwt("on-call"), "reason": "phone lost"});
        let refused = root.write(&format!("{MOUNT}/retrieve/{ACCOUNT}"), &body);
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("the issuer's keys cannot be fetched at present"), "{}", refused.text());
    }
    if let Face::Mounted(vault) = &face {
        let login = json!({"role": "on-call", "jwt": provider.jwt("on-call")});
        assert_ne!(vault.client().write("auth/jwt/login", &login).status, 200, "the vault's own login hangs on it too");
    }

    assert!(!face.logs_the_alarm());
    let by_file = person(&face, &provider, dir.path(), "file");
    fs::write(by_file.home.join("secret"), "a passphrase on paper\n").unwrap();
    let said = by_file.follow_the_page("key-1", false);
    assert!(said.contains(&codes(1, 6)[2]), "{said}");
    assert!(face.logs_the_alarm());
    let blind = by_file.run("./tripwire.sh", Some("s.nonsense"), &[]);
    assert!(!matches!(blind.code, Some(0 | 3)), "who cannot look does not say that all is well: {blind:?}");
    let key = by_file.home.join("break-glass.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    the_key_is_guarded(&by_file, &key);

    // A second key takes the first one's place: its own name in the history, the next code; the first one is refused.
    let token = pkcs11::Token::new(&dir.path().join("token"));
    let mut by_token = person(&face, &provider, dir.path(), "token");
    fs::write(by_token.home.join("secret"), format!("{}\n", pkcs11::PIN)).unwrap();
    configure(&by_token, &(token.settings() + "SUBJECT=key-2\n"));
    by_token.tools.clone_from(&token.environment);
    let said = by_token.follow_the_page("key-2", true);
    assert!(said.contains(&codes(1, 6)[3]), "{said}");
    let wrong = by_token.jwt(&[("SECRET", "000000")]);
    assert!(wrong.code == Some(1) && wrong.text.contains("CKR_PIN_INCORRECT"), "{wrong:?}");
    let old = by_file.run("./break-glass-jwt | bao write $LOGIN/login role=break-glass jwt=-", None, &[]);
    assert_ne!(old.code, Some(0), "the former key still opens: {old:?}");
    the_role_is_tight(&by_token);
    a_second_key_stands_beside_the_first(&face, &by_token, person(&face, &provider, dir.path(), "spare"));

    let acts = root.read(&format!("{MOUNT}/history/{ACCOUNT}")).expect(200).data()["entries"].clone();
    let acts: Vec<String> = acts
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["actor"]["role"] == "break-glass")
        .map(|entry| format!("{} {}", entry["act"].as_str().unwrap(), entry["ticket"]))
        .collect();
    let twice = ["retrieve \"INC-7\"", "outcome null"].repeat(2);
    assert_eq!(acts, twice, "one code for each time the glass was broken");
}

/// The file's script does not sign by a key that others may have.
fn the_key_is_guarded(person: &Person<'_>, key: &Path) {
    let refused = |mode: u32, says: &str| {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        let said = person.jwt(&[]);
        assert!(said.code == Some(1) && said.text.contains(says) && !said.text.contains("eyJ"), "{mode:o}: {said:?}");
    };
    for open in [0o640, 0o604, 0o622, 0o660] {
        refused(open, "readable for its owner alone");
    }
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = person.jwt(&[("SECRET", "another passphrase")]);
    assert!(wrong.code == Some(1) && wrong.text.contains("no signature"), "{wrong:?}");
    let good = fs::read(key).unwrap();
    let plain = "openssl pkey -in break-glass.pem -passin file:secret -out plain.pem && mv plain.pem break-glass.pem";
    assert_eq!(person.run(plain, None, &[]).code, Some(0));
    refused(0o600, "is not encrypted");
    fs::remove_file(key).unwrap();
    let gone = person.jwt(&[]);
    assert!(gone.text.contains("is the medium with the key mounted?"), "{gone:?}");
    fs::write(key, good).unwrap();
    fs::set_permissions(key, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(person.jwt(&[]).code, Some(0));
}

/// Under a name of its own, with a role of its own; it goes without the other.
fn a_second_key_stands_beside_the_first(face: &Face, first: &Person<'_>, spare: Person<'_>) {
    fs::write(spare.home.join("secret"), "another passphrase on paper\n").unwrap();
    fs::rename(spare.home.join("break-glass.conf"), spare.home.join("spare.conf")).unwrap();
    let path = spare.home.join("spare.conf");
    let lines = "NAME=break-glass-2\nSUBJECT=key-3\nKEY_FILE=spare.pem\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + lines).unwrap();
    let login = match face {
        Face::Standalone(_) => "auth/jwt",
        Face::Mounted(_) => "auth/break-glass-2",
    };
    let more = [("BREAK_GLASS_CONF", path.to_str().unwrap()), ("LOGIN", login)];
    let root = Some(face.root_token());
    let prepared = spare.run(&format!("./prepare.sh {}; ./tripwire.sh 15m break-glass-2", face.name()), root, &more);
    assert_eq!(prepared.code, Some(0), "{}", prepared.text);
    let drill = spare.run("./drill.sh $LOGIN", None, &more);
    assert_eq!(drill.code, Some(0), "{}", drill.text);
    let rings = spare.run("./tripwire.sh 15m break-glass-2", root, &more);
    assert!(rings.code == Some(3) && rings.text.contains(",key-3,") && !rings.text.contains(",key-2,"), "{rings:?}");

    let log_in = |role: &str| format!("./break-glass-jwt | bao write -field=token $LOGIN/login role={role} jwt=-");
    let crossed = spare.run(&log_in("break-glass"), None, &more);
    assert_ne!(crossed.code, Some(0), "one key opens the other's role: {crossed:?}");
    face.root().delete(&format!("{MOUNT}/issuers/break-glass-2")).expect(204);
    let get =
        "sparekey get github/acme-owner --role break-glass-2 --ticket INC-9 --reason x --jwt-command ./break-glass-jwt";
    let gone = spare.run(get, root, &more);
    assert!(gone.code == Some(2) && gone.text.contains("refused"), "{gone:?}");
    assert_eq!(first.run(&log_in("break-glass"), None, &[]).code, Some(0), "the first key opens as before");
}

/// What the key cannot do.
fn the_role_is_tight(person: &Person<'_>) {
    let login = "./break-glass-jwt | bao write -field=token $LOGIN/login role=break-glass jwt=- > ~/.vault-token";
    assert_eq!(person.run(login, None, &[]).code, Some(0));
    let other = "sparekey get okta/jane@example.com --role break-glass --ticket INC-7 --reason x --jwt-command ./break-glass-jwt";
    let no_ticket = "sparekey get github/acme-owner --role break-glass --reason x --jwt-command ./break-glass-jwt";
    let store = "echo abcde-12345 > f; ./break-glass-jwt | sparekey import github/acme-owner f --role break-glass-drill --jwt-file - --yes";
    let policy = "bao write backup-codes/roles/break-glass accounts='*'";
    for line in [other, no_ticket, store, policy] {
        let said = person.run(line, None, &[]);
        assert_ne!(said.code, Some(0), "{line}\n{}", said.text);
        let who = ["role:", "permission denied", "403"];
        assert!(who.iter().any(|words| said.text.contains(words)), "{line}\n{}", said.text);
    }
    assert_eq!(person.run("bao token revoke -self", None, &[]).code, Some(0));
}

#[test]
fn the_glass_is_broken_on_a_server_of_its_own() {
    the_glass_is_broken_at(Face::Standalone(Server::start()));
}

#[test]
fn the_glass_is_broken_in_a_vault() {
    the_glass_is_broken_at(Face::Mounted(Vault::mounted()));
}
