//! Two nodes over one store, which is put back under them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparekey::host::anchors::AnchorConfig;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Expect, Found, Get, Storage, Write};
use tempfile::TempDir;

use super::inprocess::{Node, Setup};
use super::support::http::Client;
use super::support::scene::{Scene, codes};
use super::support::signer::Signer;

/// Two nodes and their cast.
pub struct Pair {
    pub storage: Arc<dyn Storage>,
    pub one: Node,
    pub two: Node,
    share: String,
    pub root: Client,
    pub token: String,
    pub scenes: [Scene; 2],
}

fn setup(storage: &Arc<dyn Storage>, folder: Arc<TempDir>, node: &str) -> Setup {
    let anchors = AnchorConfig {
        node: node.to_owned(),
        interval: Duration::from_millis(50),
        local: Some(folder.path().join("anchor")),
        places: Vec::new(),
    };
    let node = Some(node.to_owned());
    Setup { storage: Some(Arc::clone(storage)), folder: Some(folder), node, anchors, ..Setup::default() }
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// Two nodes over one store in memory.
pub fn pair() -> Pair {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    pair_over([Arc::clone(&storage), storage])
}

/// Two nodes, each on its own way to one store.
pub fn pair_over([storage, other]: [Arc<dyn Storage>; 2]) -> Pair {
    let one = setup(&storage, folder(), "one").start();
    let born = one.client().write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).expect(200).json();
    let share = born["keys"][0].as_str().unwrap().to_owned();
    let token = born["root_token"].as_str().unwrap().to_owned();
    let two = setup(&other, folder(), "two").start();
    for node in [&one, &two] {
        node.client().write("sys/unseal", &json!({ "key": share })).expect(200);
    }
    let root = one.client().token(&token);
    let scene = Scene::with(root.clone(), one.client(), Signer::es256("idp-1"));
    let other = scene.through(two.client().token(&token), two.client());
    Pair { storage, one, two, share, root, token, scenes: [scene, other] }
}

/// Everything in the store.
pub fn all(node: &Node, storage: &Arc<dyn Storage>) -> Vec<(String, Vec<u8>, sparekey::storage::Revision)> {
    let mut out = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in node.run(storage.list(&folder, None, 10_000)).unwrap() {
            let key = format!("{folder}{name}");
            if name.ends_with('/') {
                folders.push(key);
            } else if let Found::Value(bytes, revision) =
                node.run(storage.get_many(vec![Get::new(key.clone())])).unwrap().remove(0)
            {
                out.push((key, bytes, revision));
            }
        }
    }
    out
}

/// Puts the store back to what it was, as a database is: under the running nodes.
pub fn put_back(node: &Node, storage: &Arc<dyn Storage>, before: &[(String, Vec<u8>, sparekey::storage::Revision)]) {
    let writes = all(node, storage).into_iter().map(|(key, _, revision)| Write::delete(key, revision));
    let again = before.iter().map(|(key, value, revision)| Write {
        key: key.clone(),
        expect: Expect::Absent,
        change: sparekey::storage::Change::Put { value: value.clone(), revision: *revision },
    });
    node.run(storage.put_all(writes.chain(again).collect())).unwrap();
}

pub fn told(node: &Node, root: &Client) -> Value {
    let _ = node;
    root.read("sys/restore").expect(200).data()
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn ordinary_work_on_both_nodes_raises_no_alarm() {
    let pair = pair();
    for number in 0..40 {
        let scene = &pair.scenes[number % 2];
        scene.store(&format!("team/{number}"), &codes(number as u64, 4), 0).expect(200);
        pair.scenes[(number + 1) % 2].retrieve(&format!("team/{number}"), "jane").expect(200);
        std::thread::sleep(Duration::from_millis(10));
    }
    let told = told(&pair.one, &pair.root);
    assert_eq!(told["quarantine"], false, "{told}");
    assert!(told["epoch"].as_u64() > Some(3), "epochs move on: {told}");
}

#[test]
fn a_store_put_back_under_running_nodes_gives_nothing_on_either() {
    let pair = pair();
    let [one, two] = &pair.scenes;
    one.store("team/a", &codes(1, 4), 0).expect(200);
    let before = all(&pair.one, &pair.storage);
    let number = |root: &Client| root.read("sys/restore").expect(200).data()["epoch"].as_u64().unwrap();
    let was = number(&pair.root);
    let first = two.retrieve("team/a", "jane").expect(200).data()["code"].clone();
    until("anchored after that", || number(&pair.root) > was);
    std::thread::sleep(Duration::from_millis(150));
    put_back(&pair.one, &pair.storage, &before);
    // At once, before any node has compared: each has seen a later epoch.
    for scene in [one, two] {
        let answer = scene.retrieve("team/a", "jane");
        assert_eq!(answer.status, 503, "{first} was given again: {}", answer.text());
        assert!(answer.error().starts_with("restore-quarantine: "), "{}", answer.text());
    }
    until("quarantined", || told(&pair.one, &pair.root)["quarantine"] == true);
    // Node two gave the code: node one accepts without it, and node two objects.
    let accepted = pair.root.write("sys/restore/accept", &json!({"reason": "restored"})).expect(200).data();
    if accepted["accounts_total"] == 0 {
        until("node two objects", || told(&pair.one, &pair.root)["quarantine"] == true);
        let why = told(&pair.one, &pair.root)["why"].as_str().unwrap().to_owned();
        assert!(why.contains("team/a"), "{why}");
        let root = two_root(&pair);
        let accepted = root.write("sys/restore/accept", &json!({"reason": "restored"})).expect(200).data();
        assert_eq!(accepted["accounts"][0]["account"], "team/a", "{accepted}");
    }
    until("both go on", || told(&pair.one, &pair.root)["quarantine"] == false);
    for scene in [one, two] {
        let answer = scene.retrieve("team/a", "jane").expect(400);
        assert!(answer.error().starts_with("quarantined: "), "{}", answer.text());
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(told(&pair.one, &pair.root)["quarantine"], false, "{}", told(&pair.one, &pair.root));
}

fn two_root(pair: &Pair) -> Client {
    pair.two.client().token(&pair.token)
}

#[test]
fn a_node_that_was_away_objects_when_it_comes_back() {
    let Pair { storage, one, two, share, root, scenes, .. } = pair();
    let before = {
        scenes[0].store("team/a", &codes(1, 4), 0).expect(200);
        all(&one, &storage)
    };
    scenes[1].retrieve("team/a", "jane").expect(200);
    let away = two.folder();
    drop(two);
    std::thread::sleep(Duration::from_millis(200));
    put_back(&one, &storage, &before);
    until("quarantined", || told(&one, &root)["quarantine"] == true);
    root.write("sys/restore/accept", &json!({"reason": "restored"})).expect(200);
    until("accepted", || told(&one, &root)["quarantine"] == false);
    let two = setup(&storage, away, "two").start();
    two.client().write("sys/unseal", &json!({ "key": share })).expect(200);
    let found = told(&one, &root);
    assert_eq!(found["quarantine"], true, "{found}");
    assert!(found["why"].as_str().unwrap().contains("team/a"), "{found}");
}
