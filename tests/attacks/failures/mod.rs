//! A store or an audit that is slow, full, failing or corrupt: nothing wrong is answered, nothing is burnt for nobody, what needs
//! neither goes on, and all of it comes back without a restart.

mod audit;
mod full_disk;
mod once;
mod store;

use serde_json::json;

use crate::stage::{ACCOUNT, MOUNT, Stage, codes};
use crate::support::http::Answer;

const RETRIEVE: &str = "backup-codes/retrieve/github/acme-owner";

/// What must go on without audit and without writes.
pub fn reads_go_on(stage: &Stage, what: &str) {
    let login = format!("{MOUNT}/accounts/{ACCOUNT}");
    for (client, path) in [
        (&stage.nobody, "sys/health"),
        (&stage.nobody, "sys/seal-status"),
        (&stage.nobody, "sys/leader"),
        (&stage.root, login.as_str()),
        (&stage.root, "backup-codes/accounts?list=true"),
        (&stage.root, "backup-codes/history/github/acme-owner?verify=true"),
        (&stage.root, "backup-codes/roles/admin"),
        (&stage.root, "backup-codes/config"),
        (&stage.root, "auth/token/lookup-self"),
        (&stage.root, "sys/mounts"),
        (&stage.root, "backup-codes/retrieve/x?help=1"),
    ] {
        let answer = client.read(path);
        assert_eq!(answer.status, 200, "{what}: {path}: {}", answer.text());
    }
}

/// Every kind of write; each must fail as ours, and with nothing in it.
pub fn writes_fail(stage: &Stage, what: &str) {
    let event = stage.idp.set(&stage.event("jane@example.com", stage.now(), &json!({})));
    let wrapped = stage.nobody.header("X-Vault-Wrap-TTL", "60s");
    let writes: Vec<(&str, Answer)> = vec![
        ("retrieve", stage.act("retrieve", ACCOUNT, json!({}))),
        ("retrieve, wrapped", wrapped.write(RETRIEVE, &stage.asserted(json!({})))),
        ("sets", stage.act("sets", ACCOUNT, json!({"codes": codes("f", 4)}))),
        ("enroll", stage.act("enroll", ACCOUNT, json!({}))),
        ("revoke", stage.act("revoke", ACCOUNT, json!({"reason": "x"}))),
        ("event", stage.nobody.write("backup-codes/events/idp", &json!({"set": event}))),
        ("account", stage.root.write("backup-codes/accounts/github/new", &json!({"owner": "x"}))),
        ("delete account", stage.root.delete("backup-codes/accounts/github/spare")),
        ("config", stage.root.write("backup-codes/config", &json!({"clock_skew": "1m"}))),
        ("role", stage.root.write("backup-codes/roles/admin", &json!({"token_ttl": "5m"}))),
        ("delete role", stage.root.delete("backup-codes/roles/narrow")),
        ("login", stage.nobody.write("auth/jwt/login", &json!({"role": "admin", "jwt": stage.jwt(&json!({}))}))),
    ];
    for (write, answer) in writes {
        assert!(matches!(answer.status, 500 | 503), "{what}: {write}: {} {}", answer.status, answer.text());
        let body = answer.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{what}: {write}: {body}");
        assert!(body["errors"][0].is_string(), "{what}: {write}: {body}");
        for code in codes("a", 8) {
            assert!(!answer.text().contains(&code), "{what}: {write}: {body}");
        }
    }
}
