//! Stores that earlier versions wrote, opened by this one: `tests/fixtures/stores/README.md` says how they were made.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::fake_host::FakeHost;
use crate::host::{Mount, Plugin};
use crate::support::kept::lost;
use crate::support::scene::{AUDIENCE, ISSUER, codes};
use crate::support::server::BINARY;
use crate::support::signer::{Signer, claims, credential_change, now};

/// What the tests look at, and what is asked for with it.
const READS: [(&str, &str); 11] = [
    ("read", "config"),
    ("read", "config/history"),
    ("read", "issuers/idp"),
    ("read", "roles/on-call"),
    ("read", "profiles/long"),
    ("read", "accounts/github/acme"),
    ("read", "accounts/okta/jane@example.com"),
    ("read", "history/github/acme"),
    ("read", "history/okta/jane@example.com"),
    ("read", "history/long"),
    ("list", "accounts/"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stores")
}

fn assertion(signer: &Signer, subject: &str) -> String {
    let mut claims = claims(ISSUER, subject, AUDIENCE);
    claims["groups"] = json!(["on-call"]);
    signer.jwt(&claims)
}

async fn act(mount: &Mount, signer: &Signer, path: &str, fields: Value) -> Value {
    mount.ask("update", path, act_body(signer, path, fields)).await
}

fn act_body(signer: &Signer, path: &str, fields: Value) -> Value {
    let mut body = match path.starts_with("retrieve/") {
        true => json!({"role": "on-call", "jwt": assertion(signer, "alice"), "reason": "locked out"}),
        false => json!({"role": "automation", "jwt": assertion(signer, "rotator")}),
    };
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

async fn reads(mount: &Mount) -> Map<String, Value> {
    let mut all = Map::new();
    for (operation, path) in READS {
        let query = if path.contains("history") { json!({"verify": true, "limit": 1000}) } else { json!({}) };
        all.insert(path.to_owned(), mount.ask(operation, path, query).await);
    }
    all
}

/// Sets that were used, ended by a newer one, ended by an event, archived, deleted.
async fn story(mount: &Mount, signer: &Signer) {
    let write = |path: &'static str, body: Value| mount.ask("update", path, body);
    write("issuers/idp", json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]})).await;
    let role = |operations: &[&str], more: Value| {
        let mut role = json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "accounts": ["*"], "operations": operations,
        });
        role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        role
    };
    write(
        "roles/on-call",
        role(&["retrieve"], json!({"bound_claims": {"groups": ["on-call"]}, "max_retrievals": null})),
    )
    .await;
    write("roles/automation", role(&["store", "enroll", "revoke", "release"], json!({"bound_subject": "rotator"})))
        .await;
    let source = json!({
        "type": "caep", "issuer": "idp", "bound_audiences": [AUDIENCE], "account_template": "okta/{{email}}",
    });
    write("sources/idp", source).await;
    // Its codes are known for a hundred years, so that the fixture does not grow old.
    write("profiles/long", json!({"kind": "escrowed", "fingerprint_retention": "876000h"})).await;
    write("config", json!({"default_profile": "long", "default_role": "on-call"})).await;

    let bound = now() - 3_600;
    let set = |seed, count, cas: u64| json!({"codes": codes(seed, count), "cas": cas, "bound_at": bound});
    act(mount, signer, "sets/github/acme", set(1, 5, 0)).await;
    for _ in 0..2 {
        act(mount, signer, "retrieve/github/acme", json!({})).await;
    }
    act(mount, signer, "sets/github/acme", set(2, 5, 1)).await;
    act(mount, signer, "retrieve/github/acme", json!({"idempotency_key": "monday", "ticket": "INC-1"})).await;
    write("accounts/github/acme", json!({"owner": "platform", "labels": {"tier": "0"}, "protects": ["idp"]})).await;

    act(mount, signer, "sets/okta/jane@example.com", set(3, 3, 0)).await;
    act(mount, signer, "retrieve/okta/jane@example.com", json!({})).await;
    let subject = json!({"format": "email", "email": "jane@example.com"});
    let event = signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now()));
    mount.ask("update", "events/idp", json!({"set": event})).await;

    // More entries than the record keeps.
    act(mount, signer, "sets/long", set(4, 90, 0)).await;
    for _ in 0..80 {
        act(mount, signer, "retrieve/long", json!({})).await;
    }
    act(mount, signer, "sets/gone", set(5, 2, 0)).await;
    act(mount, signer, "retrieve/gone", json!({})).await;
    act(mount, signer, "revoke/gone", json!({"reason": "closed"})).await;
    mount.ask("delete", "accounts/gone", json!({})).await;
}

#[tokio::test]
#[ignore = "makes a fixture from the binary of an earlier version, which STORE_OF names; STORE_NAME is the fixture's name"]
async fn record() {
    let binary = std::env::var("STORE_OF").expect("STORE_OF");
    let name = std::env::var("STORE_NAME").expect("STORE_NAME");
    let mut plugin = Plugin::start(Path::new(&binary)).await;
    let host = FakeHost::with_transactions();
    let mount = plugin.mount(&host).await;
    story(&mount, &Signer::es256("recorded")).await;
    let entries: Map<String, Value> =
        host.keys().into_iter().map(|key| (key.clone(), STANDARD.encode(host.entry(&key).unwrap()).into())).collect();
    let fixture = json!({"reads": reads(&mount).await, "entries": entries});
    fs::write(folder().join(format!("{name}.json")), serde_json::to_vec(&fixture).unwrap()).unwrap();
}

#[tokio::test]
async fn stores_of_earlier_versions_open_with_everything_in_them() {
    let mut fixtures: Vec<PathBuf> = fs::read_dir(folder()).unwrap().flatten().map(|entry| entry.path()).collect();
    fixtures.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(!fixtures.is_empty());
    let mut plugin = Plugin::start(Path::new(BINARY)).await;
    for fixture in fixtures {
        let recorded: Value = serde_json::from_slice(&fs::read(&fixture).unwrap()).unwrap();
        for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
            for (key, value) in recorded["entries"].as_object().unwrap() {
                host.set(key, &STANDARD.decode(value.as_str().unwrap()).unwrap());
            }
            opens(&mut plugin, &host, &recorded["reads"], &fixture.display().to_string()).await;
        }
    }
}

async fn opens(plugin: &mut Plugin, host: &Arc<FakeHost>, before: &Value, name: &str) {
    let mount = plugin.mount(host).await;
    let after = Value::Object(reads(&mount).await);
    assert_eq!(lost(before, &after, name), Vec::<String>::new());
    assert_eq!(after["history/long"]["entries"].as_array().unwrap().len(), 81);
    for path in ["history/github/acme", "history/okta/jane@example.com", "history/long"] {
        assert_eq!(after[path]["verified"], true, "{name}: {path}");
    }

    // It goes on where it stopped. The private key of the recorded issuer is not kept, so it gets a new one.
    let signer = Signer::es256("now");
    mount.ask("update", "issuers/idp", json!({"jwt_validation_pubkeys": [signer.public_pem()]})).await;
    for (account, set, slot) in [("github/acme", codes(2, 5), 2), ("long", codes(4, 90), 81)] {
        let given = act(&mount, &signer, &format!("retrieve/{account}"), json!({})).await;
        assert_eq!((&given["code"], &given["slot"]), (&json!(set[slot - 1]), &json!(slot)), "{name}");
    }
    let refused =
        async |path: &str, fields: Value| mount.refused("update", path, act_body(&signer, path, fields)).await;
    let ended = refused("retrieve/okta/jane@example.com", json!({})).await;
    assert!(ended.starts_with("ended"), "{name}: {ended}");
    let known = refused("sets/github/acme", json!({"codes": codes(1, 5), "cas": 2})).await;
    assert!(known.starts_with("known-codes: "), "{name}: {known}");
    // A deleted account goes on counting, and remembers its codes.
    let known = refused("sets/gone", json!({"codes": codes(5, 2), "cas": 1})).await;
    assert!(known.starts_with("known-codes: "), "{name}: {known}");
    let stored = act(&mount, &signer, "sets/gone", json!({"codes": codes(6, 2), "cas": 1})).await;
    assert_eq!(stored["generation"], 2, "{name}: {stored}");
    let fresh = json!({"codes": codes(7, 2), "cas": 1, "enrollment": 1});
    act(&mount, &signer, "sets/okta/jane@example.com", fresh).await;
    act(&mount, &signer, "retrieve/okta/jane@example.com", json!({})).await;
    for account in ["github/acme", "okta/jane@example.com", "long", "gone"] {
        let history = mount.ask("read", &format!("history/{account}"), json!({"verify": true, "limit": 1000})).await;
        assert_eq!(history["verified"], true, "{name}: {account}");
    }
    assert_eq!(host.left_open(), 0);
}
