//! Real engines behind it.

use serde_json::json;

use crate::fake::{FakeVault, relay, says, url};
use crate::inprocess::{Node, Setup};
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::signer::{Signer, credential_change, now};

fn node(signer: &Signer) -> (Node, Scene) {
    let (node, root) = Setup::default().ready();
    let scene = Scene::with(node.client().token(&root), node.client(), signer.clone());
    scene.store("okta/jane@example.com", &codes(1, 3), 0).expect(200);
    (node, scene)
}

fn event(signer: &Signer) -> String {
    let subject = json!({"format": "email", "email": "jane@example.com"});
    signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now()))
}

/// What has become of the account's first set.
fn status(scene: &Scene) -> serde_json::Value {
    scene.read("accounts", "okta/jane@example.com").expect(200).data()["sets"][0]["status"].clone()
}

#[test]
fn an_event_through_the_relay_ends_the_set_before_it_is_acknowledged() {
    let signer = Signer::es256("k");
    let (node, scene) = node(&signer);
    let relay = relay([url(node.address).as_str()]);
    let event = event(&signer);
    let answer = relay.push(&event);
    assert_eq!((answer.status, answer.text().as_str()), (202, ""), "{answer:?}");
    assert_eq!(status(&scene), "superseded");
    // As often as it comes.
    relay.push(&format!("{event}\n")).expect(202);
}

#[test]
fn what_the_engine_refuses_is_passed_on_as_it_stands() {
    let signer = Signer::es256("k");
    let (node, scene) = node(&signer);
    let relay_to_engine = relay([url(node.address).as_str()]);
    let elsewhere = relay([url(node.address).replace("/idp", "/nobody").as_str()]);
    let stranger = Signer::es256("k");
    for (set, err) in [
        (event(&stranger), "authentication_failed"),
        (some_garbage(), "invalid_request"),
        (
            signer.set(&credential_change(ISSUER, "https://somebody.example.com/", &json!({"format": "email"}), now())),
            "invalid_audience",
        ),
    ] {
        let (direct, relayed) = (scene.push(&set).expect(400), relay_to_engine.push(&set).expect(400));
        assert_eq!(relayed.json()["err"], err, "{}", relayed.text());
        assert_eq!(relayed.body, direct.body);
        assert_eq!(relayed.header("content-type"), Some("application/json"));
        assert_eq!(relayed.header("content-language"), Some("en"));
    }
    assert_eq!(elsewhere.push(&event(&signer)).expect(400).json()["err"], "access_denied");
    assert_eq!(status(&scene), "active");
}

fn some_garbage() -> String {
    "bm90.anNvbg.c2ln".to_owned()
}

#[test]
fn every_vault_must_acknowledge() {
    let signer = Signer::es256("k");
    let ((first, one), (second, two)) = (node(&signer), node(&signer));
    let third = FakeVault::new(says("503 Service Unavailable", "{\"errors\":[\"Vault is sealed\"]}"));
    let both = relay([url(first.address).as_str(), &url(second.address)]);
    let all = relay([url(first.address).as_str(), &third.url(), &url(second.address)]);

    let set = event(&signer);
    let answer = all.push(&set).expect(503);
    assert_eq!((answer.header("retry-after"), answer.text().as_str()), (Some("5"), ""));
    assert_eq!((status(&one), status(&two)), (json!("superseded"), json!("superseded")));
    // The same event, once the third is out of the way: those that have it say so again.
    both.push(&set).expect(202);
    // One refuses, and all the others have it.
    let refusing = FakeVault::new(says("400 Bad Request", r#"{"err":"invalid_audience","description":"not ours"}"#));
    let mixed = relay([url(first.address).as_str(), &refusing.url()]);
    assert_eq!(mixed.push(&set).expect(400).json(), json!({"err": "invalid_audience", "description": "not ours"}));
    // One refuses and one cannot be reached: it must come again, for the sake of that one.
    let worse = relay([refusing.url().as_str(), &third.url()]);
    worse.push(&set).expect(503);
}

#[test]
fn a_sealed_engine_gets_the_event_when_it_is_open_again() {
    let signer = Signer::es256("k");
    let node = Setup::default().start();
    let init = node.client().write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).expect(200).json();
    let unseal = || node.client().write("sys/unseal", &json!({"key": init["keys"][0]})).expect(200);
    unseal();
    let root = node.client().token(init["root_token"].as_str().unwrap());
    let scene = Scene::with(root.clone(), node.client(), signer.clone());
    scene.store("okta/jane@example.com", &codes(1, 3), 0).expect(200);

    let relay = relay([url(node.address).as_str()]);
    let set = event(&signer);
    root.write("sys/seal", &json!({})).expect(204);
    assert!(relay.push(&set).expect(503).header("retry-after").is_some());
    unseal();
    assert_eq!(status(&scene), "active");
    relay.push(&set).expect(202);
    assert_eq!(status(&scene), "superseded");
}
