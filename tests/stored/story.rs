//! What the servers lived through whose stores were kept.

use serde_json::{Map, Value, json};

use crate::support::http::Client;
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::{MOUNT, Server};
use crate::support::signer::{Signer, claims};

/// What is looked at before the store is closed, and after it is opened.
pub const READS: [&str; 11] = [
    "config",
    "config/history",
    "issuers/idp",
    "roles/on-call",
    "profiles/long",
    "accounts/github/acme",
    "accounts/okta/jane@example.com",
    "accounts/portal/jane",
    "history/github/acme",
    "history/okta/jane@example.com",
    "history/portal/jane",
];

/// The answers to all of them.
pub fn reads(root: &Client) -> Value {
    let read = |path: &str| {
        let query = if path.contains("history") { "?verify=true&limit=1000" } else { "" };
        (path.to_owned(), root.read(&format!("{MOUNT}/{path}{query}")).expect(200).data())
    };
    Value::Object(READS.into_iter().map(read).collect::<Map<String, Value>>())
}

/// An assertion of the portal that verifies codes.
pub fn portal(scene: &Scene) -> String {
    scene.signer.jwt(&claims(ISSUER, "portal", AUDIENCE))
}

/// Sets that were used, ended by a newer one and by an event, issued, deleted; keys that were rotated. Answers the issued codes.
pub fn play(server: &Server) -> Value {
    let root = server.root();
    let scene = Scene::with(root.clone(), server.client(), Signer::es256("recorded"));
    let write = |path: &str, body: Value| {
        let answer = root.write(path, &body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
    };
    let ours = |path: &str, body: Value| write(&format!("{MOUNT}/{path}"), body);
    // Its codes are known for a hundred years, so that the fixture does not grow old.
    ours("profiles/long", json!({"kind": "escrowed", "fingerprint_retention": "876000h"}));
    ours(
        "profiles/quick",
        json!({"kind": "issued", "length": 24, "count": 4, "verifier": "hmac-sha256", "fingerprint_retention": "876000h"}),
    );
    ours("config", json!({"default_profile": "long", "default_role": "on-call"}));
    ours(
        "roles/portal",
        json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "portal", "accounts": ["portal/*"],
            "operations": ["store", "verify"],
        }),
    );
    scene.store("github/acme", &codes(1, 5), 0).expect(200);
    scene.retrieve("github/acme", "alice").expect(200);
    write("sys/rotate", json!({}));
    ours("config/keys/rotate", json!({}));
    scene.store("github/acme", &codes(2, 5), 1).expect(200);
    let mut keyed = scene.request("alice");
    keyed["idempotency_key"] = json!("monday");
    scene.act("retrieve", "github/acme", keyed).expect(200);
    scene.retrieve("github/acme", "bob").expect(200);
    ours("accounts/github/acme", json!({"owner": "platform", "labels": {"tier": "0"}, "protects": ["idp"]}));

    scene.store("okta/jane@example.com", &codes(3, 3), 0).expect(200);
    scene.retrieve("okta/jane@example.com", "alice").expect(200);
    assert_eq!(scene.enrolled_again("jane@example.com").status, 202);

    let body = json!({"role": "portal", "jwt": portal(&scene), "profile": "quick", "cas": 0});
    let issued = scene.act("sets", "portal/jane", body).expect(200).data()["codes"].clone();
    let body = json!({"role": "portal", "jwt": portal(&scene), "code": issued[0]});
    assert_eq!(scene.act("verify", "portal/jane", body).expect(200).data()["valid"], true);

    scene.store("gone", &codes(5, 2), 0).expect(200);
    let revoke = json!({"role": "automation", "jwt": scene.automation(), "reason": "closed"});
    scene.act("revoke", "gone", revoke).expect(200);
    root.delete(&format!("{MOUNT}/accounts/gone")).expect(204);
    issued
}
