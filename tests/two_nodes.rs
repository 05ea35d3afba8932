//! Two servers over one PostgreSQL database, neither of them a leader: the story with every request at the other node, and what
//! one node does holds at the other with the next act.

mod support;

use serde_json::{Value, json};

use support::http::{Answer, Client};
use support::postgres;
use support::scene::{AUDIENCE, ISSUER, Scene, codes};
use support::server::{MOUNT, Server, Setup};
use support::signer::{Signer, claims};

struct Nodes {
    one: Server,
    two: Server,
    /// The same cast at each.
    at_one: Scene,
    at_two: Scene,
}

fn nodes() -> Nodes {
    let storage = postgres::shared().storage(&postgres::table());
    let one = Setup::default().static_seal().storage(storage).start();
    let two = one.another();
    let at_one = Scene::with(one.root(), one.client(), Signer::es256("idp-1"));
    let at_two = at_one.through(two.root(), two.client());
    Nodes { one, two, at_one, at_two }
}

fn code(answer: Answer) -> String {
    answer.expect(200).data()["code"].as_str().expect("a code").to_owned()
}

/// Logs in under a role of its own; the token.
fn token(scene: &Scene, client: &Client, role: &str) -> String {
    let jwt = scene.signer.jwt(&claims(ISSUER, role, AUDIENCE));
    let answer = client.write("auth/jwt/login", &json!({"role": role, "jwt": jwt})).expect(200).json();
    answer["auth"]["client_token"].as_str().expect("a token").to_owned()
}

fn role(client: &Client, name: &str, operations: &[&str]) {
    let role = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": name, "accounts": ["*"],
        "operations": operations, "token_ttl": "10m", "token_max_ttl": "1h",
    });
    client.write(&format!("{MOUNT}/roles/{name}"), &role).expect(204);
}

#[test]
fn the_story_with_every_request_at_the_other_node() {
    let Nodes { one, two, at_one, at_two } = nodes();
    let status = two.client().read("sys/seal-status").expect(200).json();
    assert_eq!((&status["storage_type"], &status["sealed"]), (&json!("postgres"), &json!(false)));
    for node in [&one, &two] {
        node.client().read("sys/health").expect(200);
    }

    // A set goes in at one node; not a second time at the other.
    let (account, mine) = ("okta/jane@example.com", codes(7, 4));
    assert_eq!(at_one.store(account, &mine, 0).expect(200).data()["generation"], 1);
    assert!(at_two.store(account, &codes(8, 4), 0).expect(400).error().contains("cas"));

    // A code comes out to one assertion, once, wherever it is shown.
    let request = at_one.request("alice");
    assert_eq!(code(at_two.act("retrieve", account, request.clone())), mine[0]);
    at_one.act("retrieve", account, request.clone()).expect(403);
    at_two.act("retrieve", account, request).expect(403);
    assert_eq!(code(at_one.retrieve(account, "bob")), mine[1]);

    // Wrapped at one node, unwrapped at the other, and then nowhere.
    let wrapping = at_one.through(one.root(), one.client().header("X-Vault-Wrap-TTL", "60s"));
    let wrapped = wrapping.retrieve(account, "carol").expect(200).json();
    let token = wrapped["wrap_info"]["token"].as_str().expect("a wrapping token");
    assert_eq!(code(two.client().token(token).write("sys/wrapping/unwrap", &json!({}))), mine[2]);
    for node in [&one, &two] {
        node.client().token(token).write("sys/wrapping/unwrap", &json!({})).expect(400);
    }

    // MFA was enrolled again, as one node hears: what is left is dead at the other.
    assert_eq!(at_one.enrolled_again("jane@example.com").status, 202);
    let dead = at_two.retrieve(account, "dave").expect(400);
    assert!(!dead.text().contains(&mine[3]), "{}", dead.text());

    let history = one.root().read(&format!("{MOUNT}/history/{account}?verify=true")).expect(200).data();
    let acts: Vec<&str> =
        history["entries"].as_array().unwrap().iter().filter_map(|entry| entry["act"].as_str()).collect();
    assert_eq!(acts, ["store", "retrieve", "retrieve", "retrieve", "unwrap", "event"]);
    assert_eq!(history["verified"], true);
}

#[test]
fn one_code_goes_to_one_of_many_callers_at_both_nodes() {
    let nodes = nodes();
    let Nodes { at_one, at_two, .. } = &nodes;
    let mine = codes(11, 12);
    at_one.store("okta/many@example.com", &mine, 0).expect(200);
    let mut given: Vec<String> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..16)
            .map(|caller| {
                let scene = if caller % 2 == 0 { at_one } else { at_two };
                scope.spawn(move || {
                    let answer = scene.retrieve("okta/many@example.com", &format!("caller-{caller}"));
                    (answer.status == 200).then(|| code(answer))
                })
            })
            .collect();
        callers.into_iter().filter_map(|caller| caller.join().unwrap()).collect()
    });
    given.sort();
    let count = given.len();
    given.dedup();
    assert_eq!(given.len(), count, "a code was given twice");
    assert!(count <= 12 && given.iter().all(|code| mine.contains(code)), "{count}");
    assert!(count >= 8, "{count} of 12 codes were given to 16 callers");
}

#[test]
fn what_one_node_does_holds_at_the_other_with_the_next_act() {
    let Nodes { one, two, at_one, at_two } = nodes();
    role(&one.root(), "reader", &["read", "list"]);
    at_one.store("okta/a@example.com", &codes(1, 5), 0).expect(200);

    // A token: made here, used there, revoked here, of no more use there.
    let reader = token(&at_one, &one.client(), "reader");
    let there = two.client().token(&reader);
    there.read(&format!("{MOUNT}/accounts/okta/a@example.com")).expect(200);
    one.client().token(&reader).write("auth/token/revoke-self", &json!({})).expect(204);
    there.read(&format!("{MOUNT}/accounts/okta/a@example.com")).expect(403);
    there.read("auth/token/lookup-self").expect(403);

    // A role: what it no longer allows is refused at the other node, for a token and for an assertion.
    let reader = token(&at_one, &two.client(), "reader");
    let there = two.client().token(&reader);
    there.read(&format!("{MOUNT}/accounts/okta/a@example.com")).expect(200);
    role(&one.root(), "reader", &["list"]);
    there.read(&format!("{MOUNT}/accounts/okta/a@example.com")).expect(403);
    code(at_two.retrieve("okta/a@example.com", "alice"));
    one.root().write(&format!("{MOUNT}/roles/on-call"), &json!({"accounts": ["github/*"]})).expect(204);
    at_two.retrieve("okta/a@example.com", "bob").expect(403);
    one.root().write(&format!("{MOUNT}/roles/on-call"), &json!({"accounts": ["*"]})).expect(204);
    code(at_two.retrieve("okta/a@example.com", "bob"));

    // An issuer: a key that one node no longer trusts, none does.
    let other = Signer::es256("idp-2");
    let issuer = |signer: &Signer| json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]});
    one.root().write(&format!("{MOUNT}/issuers/idp"), &issuer(&other)).expect(204);
    at_two.retrieve("okta/a@example.com", "carol").expect(403);
    one.root().write(&format!("{MOUNT}/issuers/idp"), &issuer(&at_one.signer)).expect(204);

    // A KEK: the other node wraps under the new one at once, and opens what it wraps under it.
    two.root().write(&format!("{MOUNT}/config/keys/rotate"), &json!({})).expect(200);
    at_one.store("okta/b@example.com", &codes(2, 3), 0).expect(200);
    assert_eq!(one.root().read(&format!("{MOUNT}/config/keys")).expect(200).data()["active"], 2);
    code(at_two.retrieve("okta/b@example.com", "dave"));
    code(at_one.retrieve("okta/a@example.com", "dave"));

    // The barrier's key: what is written under the new one is read at the other node, which has not been told.
    one.root().write("sys/rotate", &json!({})).expect(204);
    at_one.store("okta/c@example.com", &codes(3, 3), 0).expect(200);
    code(at_two.retrieve("okta/c@example.com", "erin"));
    at_two.store("okta/d@example.com", &codes(4, 3), 0).expect(200);
    code(at_one.retrieve("okta/d@example.com", "erin"));
}

#[test]
fn a_node_that_is_sealed_or_killed_leaves_the_other_at_work() {
    let Nodes { one, mut two, at_one, at_two } = nodes();
    at_one.store("okta/a@example.com", &codes(21, 3), 0).expect(200);
    one.root().write("sys/seal", &json!({})).expect(204);
    assert_eq!(one.client().read("sys/health").status, 503);
    at_one.retrieve("okta/a@example.com", "alice").expect(503);
    code(at_two.retrieve("okta/a@example.com", "bob"));
    two.kill();
    two.restart();
    code(at_two.retrieve("okta/a@example.com", "carol"));
    let answer: Value = two.root().read(&format!("{MOUNT}/accounts/okta/a@example.com")).expect(200).data();
    assert_eq!(answer["remaining"], 1);
}
