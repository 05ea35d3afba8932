//! A node beside one of a newer version, at what lies outside the engine's records: what is in a format that this one does not know is
//! refused by name, stays as it is, and hinders nothing that does not need it.

use std::sync::Arc;

use serde_json::json;
use sparekey::random::OsRandom;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Expect, Found, Get, Revision, Storage, Write};

use super::inprocess::{Node, Setup};
use super::scene;
use crate::support::scene::codes;

fn value(node: &Node, key: &str) -> (Vec<u8>, Revision) {
    match node.run(node.storage.get_many(vec![Get::new(key)])).unwrap().remove(0) {
        Found::Value(bytes, revision) => (bytes, revision),
        other => panic!("{key}: {other:?}"),
    }
}

/// Writes beneath the barrier, under a new revision as every write.
fn replace(node: &Node, key: &str, bytes: Vec<u8>) -> Revision {
    let (_, revision) = value(node, key);
    node.run(node.storage.put_all(vec![Write::put(key, Expect::At(revision), bytes, &OsRandom)])).unwrap();
    value(node, key).1
}

/// The same bytes as a newer version may have begun them.
fn newer(key: &str, bytes: &[u8]) -> Vec<u8> {
    match key {
        // An array, whose first element is the format.
        "seal" => [&[bytes[0], 2], &bytes[2..]].concat(),
        _ => [&[2], &bytes[1..]].concat(),
    }
}

#[test]
fn a_running_node_refuses_what_needs_a_newer_value_and_serves_the_rest() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    scene.store("github/acme", &codes(1, 5), 0).expect(200);
    scene.store("github/other", &codes(2, 5), 0).expect(200);
    let key = "accounts/github/acme";
    let (before, _) = value(&node, key);
    let now = newer(key, &before);
    let revision = replace(&node, key, now.clone());
    for answer in [
        scene.retrieve("github/acme", "jane"),
        scene.store("github/acme", &codes(3, 5), 1),
        scene.read("accounts", "github/acme"),
        scene.read("history", "github/acme"),
    ] {
        assert_eq!(answer.status, 500, "{}", answer.text());
        assert!(!codes(1, 5).iter().any(|code| answer.text().contains(code)));
    }
    assert_eq!(scene.retrieve("github/other", "jane").expect(200).data()["code"], codes(2, 5)[0]);
    assert_eq!(value(&node, key), (now, revision), "it was written");
    replace(&node, key, before);
    // What was put back is of another revision than it was sealed for.
    assert_eq!(scene.retrieve("github/acme", "jane").status, 500);
}

#[test]
fn a_running_node_does_not_touch_a_newer_keyring() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    scene.store("github/acme", &codes(1, 5), 0).expect(200);
    let (before, _) = value(&node, "keyring");
    let now = newer("keyring", &before);
    let revision = replace(&node, "keyring", now.clone());
    assert!(scene.retrieve("github/acme", "jane").status >= 500);
    let admin = node.client().token(&root);
    assert!(admin.write("backup-codes/config/keys/rotate", &json!({})).status >= 500);
    assert!(admin.write("sys/rotate", &json!({})).status >= 500);
    assert_eq!(value(&node, "keyring"), (now, revision), "it was written");
}

#[test]
fn a_node_that_starts_on_a_newer_store_says_what_is_newer_and_leaves_it_alone() {
    for key in ["seal", "keyring"] {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let first = Setup { storage: Some(Arc::clone(&storage)), ..Setup::default() }.start();
        let born =
            first.client().write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).expect(200).json();
        let now = newer(key, &value(&first, key).0);
        let revision = replace(&first, key, now.clone());
        drop(first);
        let node = Setup { storage: Some(Arc::clone(&storage)), ..Setup::default() }.start();
        let unseal = node.client().write("sys/unseal", &json!({"key": born["keys"][0]}));
        assert!(unseal.status >= 400, "{key}: {}", unseal.text());
        assert_ne!(node.client().read("sys/health").status, 200, "{key}");
        assert_eq!(value(&node, key), (now, revision), "{key} was written");
    }
}
