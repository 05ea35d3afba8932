//! The transit seal against a real OpenBao: another vault unseals this one, and without that vault it stays sealed.

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::server::{Server, Setup};
use support::vault::Vault;

/// What the token of the seal may do, and nothing else.
const POLICY: &str = r#"
path "seals/encrypt/sparekey" { capabilities = ["update"] }
path "seals/decrypt/sparekey" { capabilities = ["update"] }
path "seals/rewrap/sparekey" { capabilities = ["update"] }
"#;

/// A vault with a transit key, and a token of `period` in a file.
fn other_vault(policy: &str, period: &str) -> (Vault, String) {
    let vault = Vault::bare();
    let root = vault.root();
    root.write("sys/mounts/seals", &json!({"type": "transit"})).expect(204);
    root.write("seals/keys/sparekey", &json!({}));
    root.write("sys/policies/acl/seal", &json!({"policy": policy})).expect(204);
    let request = json!({"policies": ["seal"], "no_default_policy": false, "no_parent": true, "period": period});
    let made = root.write("auth/token/create", &request).expect(200).json();
    let token = made["auth"]["client_token"].as_str().expect("a token").to_owned();
    std::fs::write(vault.dir().join("seal.token"), format!("{token}\n")).expect("a token file");
    (vault, token)
}

fn block(vault: &Vault, key: &str) -> String {
    format!(
        "seal \"transit\" {{\n  address = \"{}\"\n  token = \"file://{}\"\n  mount_path = \"seals/\"\n  key_name = \"{key}\"\n}}",
        vault.url(),
        vault.dir().join("seal.token").display()
    )
}

fn seal_status(server: &Server) -> Value {
    server.client().read("sys/seal-status").expect(200).json()
}

#[test]
fn the_other_vault_unseals_at_every_start() {
    let (mut vault, token) = other_vault(POLICY, "1h");
    let mut server = Setup::default().shares(3, 2).seal(block(&vault, "sparekey")).start();
    let status = seal_status(&server);
    assert_eq!((&status["type"], &status["sealed"]), (&json!("transit"), &json!(false)));
    assert_eq!((&status["recovery_seal"], &status["n"], &status["t"]), (&json!(true), &json!(3), &json!(2)));
    server.root().write("backup-codes/profiles/kept", &json!({"kind": "escrowed"})).expect(204);
    server.restart();
    assert_eq!(server.root().read("backup-codes/profiles/kept").expect(200).json()["data"]["kind"], "escrowed");

    // A rotated key wraps from the next start on: then its first version can be forbidden.
    vault.root().write("seals/keys/sparekey/rotate", &json!({}));
    server.restart();
    vault.root().write("seals/keys/sparekey/config", &json!({"min_decryption_version": 2}));
    server.restart();

    // Without that vault: sealed, and it says why. When it comes back: unsealed, without anybody's help.
    server.terminate();
    vault.kill();
    server.boot();
    assert_eq!(seal_status(&server)["sealed"], true);
    assert_eq!(server.client().read("sys/health").status, 503);
    assert_eq!(server.root().read("backup-codes/profiles/kept").status, 503);
    let wait = Duration::from_millis(50);
    while !server.log().contains("still sealed; tried again in") {
        std::thread::sleep(wait);
    }
    assert!(server.log().contains("transit seal: http://127.0.0.1:"), "{}", server.log());
    vault.boot();
    vault.unseal();
    server.until("unsealed by the other vault", |health| health == 200);
    server.root().read("backup-codes/profiles/kept").expect(200);

    // Sealed by hand it stays sealed: somebody had a reason.
    server.root().write("sys/seal", &json!({})).expect(204);
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(seal_status(&server)["sealed"], true);
    server.restart();

    // Neither the token nor what wraps is told to anybody.
    assert!(!server.log().contains(&token), "the token stands in the log");
    let store = std::fs::read(server.store()).expect("the store");
    assert!(!store.windows(token.len()).any(|window| window == token.as_bytes()), "the token stands in the store");
}

#[test]
fn a_token_or_key_that_does_not_fit_leaves_it_sealed() {
    let (vault, _) = other_vault(POLICY, "1h");
    let mut server = Setup::default().seal(block(&vault, "sparekey")).start();

    server.terminate();
    server.reseal(block(&vault, "another"));
    server.boot();
    assert_eq!(seal_status(&server)["sealed"], true);
    let said = "is sealed by the transit key \\\"seals/sparekey\\\", the configuration names \\\"seals/another\\\"";
    let plain = said.replace('\\', "");
    assert!(server.log().contains(said) || server.log().contains(&plain), "{}", server.log());

    server.terminate();
    std::fs::write(vault.dir().join("seal.token"), "s.not-a-token").expect("a token file");
    server.reseal(block(&vault, "sparekey"));
    server.boot();
    assert_eq!(seal_status(&server)["sealed"], true);
    assert!(server.log().contains("the token may not do this (403)"), "{}", server.log());

    // Shares do not help under this seal, and another kind of seal does not open the store.
    let answer = server.client().write("sys/unseal", &json!({"key": "00".repeat(33)}));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("seal type transit unseals by itself"), "{}", answer.text());
}

#[test]
fn an_altered_record_does_not_open() {
    // The same other vault wraps for two stores: the wrapped unseal key of one does not open the root key of the other.
    let (vault, _) = other_vault(POLICY, "1h");
    let plaintext = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";
    let wrapped = vault.root().write("seals/encrypt/sparekey", &json!({"plaintext": plaintext})).expect(200).json();
    let wrapped = wrapped["data"]["ciphertext"].as_str().expect("a ciphertext").to_owned();
    let mut server = Setup::default().seal(block(&vault, "sparekey")).start();
    server.terminate();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        use sparekey::storage::{Expect, Found, Get, Storage, Write};
        let store = sparekey::storage::redb::Redb::open(&server.store()).expect("the store");
        let Found::Value(bytes, revision) = store.get_many(vec![Get::new("seal")]).await.expect("a read").remove(0)
        else {
            panic!("no seal record")
        };
        let start = bytes.windows(9).position(|window| window == b"vault:v1:").expect("a wrapped key");
        let mut altered = bytes.clone();
        assert_eq!(bytes[start..start + wrapped.len()].len(), wrapped.len());
        altered[start..start + wrapped.len()].copy_from_slice(wrapped.as_bytes());
        let random = sparekey::random::OsRandom;
        store.put_all(vec![Write::put("seal", Expect::At(revision), altered, &random)]).await.expect("a write");
    });
    server.boot();
    assert_eq!(seal_status(&server)["sealed"], true);
    assert!(server.log().contains("does not open the seal record"), "{}", server.log());
}

#[test]
fn the_token_outlives_its_period() {
    let (vault, token) = other_vault(POLICY, "12s");
    let server = Setup::default().seal(block(&vault, "sparekey")).start();
    std::thread::sleep(Duration::from_secs(15));
    let look = vault.root().write("auth/token/lookup", &json!({"token": token}));
    assert_eq!(look.status, 200, "the token has expired: {}", look.text());
    drop(server);
}
