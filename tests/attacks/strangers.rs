//! What somebody without token, assertion or key can do to a server: make it write audit lines, and nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sparekey::storage::{Found, Get, Revision, Storage};

use crate::stage::{ACCOUNT, MOUNT, Stage};
use crate::support::http::Client;
use crate::support::signer::Signer;

/// Every key of the store with its revision, what audit keeps of itself excepted.
fn stored(stage: &Stage) -> BTreeMap<String, Revision> {
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let names = stage.node.run(stage.store.list(&folder, None, 10_000)).unwrap();
        assert!(names.len() < 10_000);
        for name in names {
            let key = format!("{folder}{name}");
            match key.ends_with('/') {
                true if key == "audit/" => {}
                true => folders.push(key),
                false => {
                    let value = stage.node.run(stage.store.get_many(vec![Get::new(key.clone())])).unwrap().remove(0);
                    let Found::Value(_, revision) = value else { panic!("{key} went away") };
                    found.insert(key, revision);
                }
            }
        }
    }
    found
}

#[test]
fn a_stranger_writes_nothing_but_audit_lines() {
    let stage = Stage::new();
    let stranger = Signer::es256("k1");
    let now = stage.now();
    let forged_jwt = stranger.jwt(&json!({
        "iss": "https://idp.example.com", "sub": "jane", "aud": "sparekey", "iat": now, "exp": now + 300, "team": "sre", "jti": "x",
    }));
    let forged_event = stranger.set(&stage.event("jane@example.com", now, &json!({})));
    let before = stored(&stage);
    assert!(before.keys().any(|key| key.starts_with("accounts/github/")), "{:?}", before.keys());
    let token = stage.nobody.token("s.aaaaaaaaaaaaaaaaaaaaaaaa");
    let wrap = stage.nobody.header("X-Vault-Wrap-TTL", "1h");
    let clients: [(&str, &Client); 3] = [("nobody", &stage.nobody), ("a made-up token", &token), ("a wrapper", &wrap)];
    let mut asked = 0;
    for (who, client) in clients {
        for turn in 0..5 {
            let writes: Vec<(String, Value)> = vec![
                (
                    format!("{MOUNT}/retrieve/{ACCOUNT}"),
                    json!({"jwt": forged_jwt, "idempotency_key": format!("k{turn}")}),
                ),
                (format!("{MOUNT}/retrieve/new/{turn}"), json!({"jwt": forged_jwt})),
                (format!("{MOUNT}/sets/new/{turn}"), json!({"jwt": forged_jwt, "codes": ["aaaa-bbbb"]})),
                (format!("{MOUNT}/enroll/new/{turn}"), json!({"jwt": forged_jwt, "enrollment_id": "e"})),
                (format!("{MOUNT}/revoke/{ACCOUNT}"), json!({"jwt": forged_jwt, "reason": "x"})),
                (format!("{MOUNT}/accounts/new/{turn}"), json!({"owner": "x"})),
                (format!("{MOUNT}/roles/new-{turn}"), json!({"accounts": "*"})),
                (format!("{MOUNT}/config"), json!({"default_role": "x"})),
                (format!("{MOUNT}/events/idp"), json!({"set": forged_event})),
                (format!("{MOUNT}/events/new-{turn}"), json!({"set": forged_event})),
                ("auth/jwt/login".to_owned(), json!({"role": "admin", "jwt": forged_jwt})),
                ("auth/jwt/login".to_owned(), json!({"role": format!("new-{turn}"), "jwt": forged_jwt})),
                ("auth/token/lookup".to_owned(), json!({"token": format!("s.{turn}")})),
                ("auth/token/revoke".to_owned(), json!({"token": format!("s.{turn}")})),
                ("auth/token/renew-self".to_owned(), json!({})),
                ("sys/wrapping/wrap".to_owned(), json!({"a": "b"})),
                ("sys/wrapping/unwrap".to_owned(), json!({"token": format!("s.{turn}")})),
                ("sys/wrapping/lookup".to_owned(), json!({"token": format!("s.{turn}")})),
                ("sys/init".to_owned(), json!({"secret_shares": 1, "secret_threshold": 1})),
                ("sys/unseal".to_owned(), json!({"key": "00".repeat(33)})),
                ("sys/seal".to_owned(), json!({})),
                ("sys/audit/file".to_owned(), json!({"type": "file", "options": {"file_path": "/tmp/x"}})),
                (format!("no/such/{turn}"), json!({"a": 1})),
            ];
            for (path, body) in writes {
                let answer = client.write(&path, &body);
                let told = path == "sys/unseal" && answer.status == 200;
                assert!(
                    (400..500).contains(&answer.status) || told,
                    "{who} to {path}: {} {}",
                    answer.status,
                    answer.text()
                );
                asked += 1;
            }
            for (method, path) in [
                ("DELETE", format!("{MOUNT}/accounts/{ACCOUNT}")),
                ("DELETE", format!("{MOUNT}/roles/admin")),
                ("DELETE", "sys/audit/file".to_owned()),
                ("GET", format!("{MOUNT}/accounts/{ACCOUNT}")),
                ("LIST", format!("{MOUNT}/accounts")),
                ("GET", "sys/mounts".to_owned()),
            ] {
                let answer = client.send(method, &path, None);
                assert_eq!(answer.status, 403, "{who}: {method} {path}: {}", answer.text());
            }
        }
    }
    assert!(asked > 300);
    assert_eq!(stored(&stage), before, "nothing was written, nothing changed");
    assert_eq!(stage.nobody.read("sys/seal-status").expect(200).json()["sealed"], false);
    stage.retrieves();
    assert_ne!(stored(&stage), before, "while who may, does");
}

#[test]
fn a_wrapping_token_that_is_misused_is_used_up_and_says_so() {
    let stage = Stage::new();
    for misuse in ["auth/token/lookup-self", "backup-codes/accounts/github/acme-owner", "sys/mounts"] {
        let wrapped = stage.root.header("X-Vault-Wrap-TTL", "60s").read("backup-codes/roles/admin").expect(200).json();
        let token = stage.nobody.token(wrapped["wrap_info"]["token"].as_str().unwrap());
        token.read(misuse).expect(403);
        let answer = token.write("sys/wrapping/unwrap", &json!({})).expect(400);
        assert_eq!(answer.error(), "wrapping token is not valid or does not exist", "{misuse}");
    }
    // One that is looked up first stays good.
    let wrapped = stage.root.header("X-Vault-Wrap-TTL", "60s").read("backup-codes/roles/admin").expect(200).json();
    let token = stage.nobody.token(wrapped["wrap_info"]["token"].as_str().unwrap());
    token.write("sys/wrapping/lookup", &json!({})).expect(200);
    assert!(token.write("sys/wrapping/unwrap", &json!({})).expect(200).data()["operations"].is_array());
}
