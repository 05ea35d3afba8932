//! Initialisation, unsealing and sealing.

use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::storage::Storage;
use sparekey::storage::faulty::{Faulty, Times};
use sparekey::storage::memory::Memory;

use super::inprocess::Setup;
use super::{lookup, role, scene, text, token};

#[test]
fn sealing_takes_everything_away_and_unsealing_brings_it_back() {
    let node = Setup::default().start();
    let plain = node.client();
    let born = plain.write("sys/init", &json!({"secret_shares": 3, "secret_threshold": 2})).expect(200).json();
    let root = text(&born["root_token"]);
    let admin = plain.token(&root);
    let give = |at: usize| plain.write("sys/unseal", &json!({"key": born["keys"][at]})).expect(200).json();
    assert_eq!(give(0)["sealed"], true);
    assert_eq!(give(0)["progress"], 1, "the same share counts once");
    assert_eq!(give(2)["sealed"], false);
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let desk = plain.token(&token(&node, &scene, "desk"));

    assert_eq!(plain.write("sys/seal", &json!({})).expect(403).error(), "permission denied");
    let refused = desk.write("sys/seal", &json!({})).expect(403);
    assert_eq!(refused.error(), "1 error occurred:\n\t* permission denied\n\n");
    plain.read("sys/seal").expect(405);
    admin.write("sys/seal", &json!({})).expect(204);
    plain.write("sys/seal", &json!({})).expect(204);
    for path in ["sys/mounts", "backup-codes/config", "nomount/x", "auth/token/lookup-self"] {
        let sealed = admin.read(path).expect(503);
        assert_eq!(sealed.error(), "Vault is sealed", "{path}");
        assert!(sealed.header("retry-after").is_some());
    }
    assert_eq!(plain.read("sys/health").expect(503).json()["sealed"], true);
    assert_eq!(give(1)["sealed"], true);
    assert_eq!(give(2)["sealed"], false);
    lookup(&desk).expect(200);
    assert_eq!(give(2)["sealed"], false, "a share too many is no error");
    let refused = plain.write("sys/unseal", &json!({"reset": true})).expect(400);
    assert_eq!(refused.error(), "vault is unsealed");
    admin.read("backup-codes/roles/desk").expect(200);
}

#[test]
fn what_was_counted_of_events_a_moment_ago_outlives_sealing() {
    let node = Setup::default().start();
    let plain = node.client();
    let born = plain.write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).expect(200).json();
    let unseal = || plain.write("sys/unseal", &json!({"key": born["keys"][0]})).expect(200).json();
    assert_eq!(unseal()["sealed"], false);
    let root = text(&born["root_token"]);
    let scene = scene(&node, &root);
    for person in 0..3 {
        scene.enrolled_again(&format!("person-{person}@example.com")).expect(202);
    }
    plain.token(&root).write("sys/seal", &json!({})).expect(204);
    assert_eq!(unseal()["sealed"], false);
    let source = plain.token(&root).read("backup-codes/sources/idp").expect(200);
    assert_eq!(source.data()["counters"]["applied"], 3, "{}", source.text());
}

#[test]
fn health_answers_with_the_codes_that_are_asked_for() {
    let node = Setup::default().start();
    let plain = node.client();
    plain.read("sys/health").expect(501);
    plain.read("sys/health?uninitcode=299").expect(299);
    node.run(node.host.init_dev(Some("root".into()))).unwrap();
    plain.read("sys/health?standbyok=true&perfstandbyok=true").expect(200);
    plain.read("sys/health?").expect(200);
    let empty = plain.read("sys/health?activecode=204").expect(204);
    assert!(empty.body.is_empty());
    for wrong in ["abc", "99", "600", "-1", ""] {
        let refused = plain.read(&format!("sys/health?activecode={wrong}")).expect(400);
        assert_eq!(refused.json(), json!({"errors": []}));
    }
    lookup(&plain.token("root")).expect(200);
    plain.token("root").write("sys/seal", &json!({})).expect(204);
    plain.read("sys/health").expect(503);
    plain.read("sys/health?sealedcode=200").expect(200);
}

#[test]
fn initialisation_happens_once_and_whole() {
    let memory: Arc<dyn Storage> = Arc::new(Memory::new());
    let faulty = Arc::new(Faulty::new(memory));
    let node = Setup { storage: Some(faulty.clone()), ..Setup::default() }.start();
    let shares = json!({"secret_shares": 1, "secret_threshold": 1});
    faulty.fail_writes(Times::Next(1));
    assert_eq!(node.client().write("sys/init", &shares).expect(500).error(), "internal error");
    assert_eq!(node.client().read("sys/init").expect(200).json(), json!({"initialized": false}));
    node.client().write("sys/init", &shares).expect(200);
    assert_eq!(node.client().write("sys/init", &shares).expect(400).error(), "Vault is already initialized");
    for (name, value) in [("pgp_keys", json!(["x"])), ("root_token_pgp_key", json!("x"))] {
        let mut body = shares.clone();
        body[name] = value;
        let refused = node.client().write("sys/init", &body).expect(400);
        assert!(refused.error().starts_with(name), "{}", refused.error());
    }
}

#[test]
fn health_and_seal_status_do_not_die_with_the_store() {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let (node, root) = Setup { storage: Some(faulty.clone()), ..Setup::default() }.ready();
    faulty.fail_reads(Times::Always);
    assert_eq!(node.client().read("sys/health").expect(200).json()["initialized"], true);
    assert_eq!(node.client().read("sys/seal-status").expect(200).json()["sealed"], false);
    assert_eq!(lookup(&node.client().token(&root)).expect(500).error(), "internal error");
    faulty.fail_reads(Times::Never);
    lookup(&node.client().token(&root)).expect(200);
    node.client().token(&root).write("sys/seal", &json!({})).expect(204);
    faulty.fail_reads(Times::Always);
    let told = node.client().read("sys/health").expect(503).json();
    assert_eq!((&told["initialized"], &told["sealed"]), (&json!(true), &json!(true)));
}

#[test]
fn a_client_that_sends_everything_is_understood() {
    let node = Setup::default().start();
    let body: Value = json!({
        "secret_shares": 2, "secret_threshold": "2", "pgp_keys": null, "recovery_shares": 0, "recovery_threshold": 0,
        "recovery_pgp_keys": null, "root_token_pgp_key": "", "stored_shares": 1,
    });
    let born = node.client().send("PUT", "sys/init", Some(body.to_string().as_bytes())).expect(200).json();
    assert_eq!(born["keys"].as_array().unwrap().len(), 2);
    let key = json!({"key": born["keys_base64"][0], "reset": false, "migrate": false});
    assert_eq!(node.client().write("sys/unseal", &key).expect(200).json()["progress"], 1);
}
