//! Keys are rotated and re-wrapped in the vault's storage, by any node, while the plugin process is killed.

use serde_json::{Value, json};

use crate::support::scene::{Scene, codes};
use crate::support::signer::Signer;
use crate::support::vault::Vault;

#[test]
fn keys_are_rewrapped_in_the_vaults_storage_though_the_plugin_is_killed() {
    let vault = Vault::mounted();
    let root = vault.root();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let names: Vec<String> = (0..12).map(|number| format!("folder{}/account{number}", number % 3)).collect();
    for (number, name) in names.iter().enumerate() {
        scene.store(name, &codes(number as u64 + 1, 3), 0).expect(200);
    }
    let standby = Vault::standby_of(&vault);
    let answer = standby.root().write("backup-codes/config/keys/rotate", &json!({})).expect(200).json();
    assert_eq!(answer["data"]["active"], 2, "through a node that may not write");

    let call = |body: Value| root.write("backup-codes/config/keys/rewrap", &body).expect(200).json()["data"].clone();
    let mut calls = 1;
    let mut progress = call(json!({"batch": 5}));
    while progress["state"] == "running" {
        vault.try_kill_plugin();
        // Requests fail until the vault has started it anew.
        while root.read("backup-codes/config/keys").status != 200 {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        progress = call(json!({"batch": 5}));
        calls += 1;
        assert!(calls < 100, "{progress}");
    }
    assert!(calls > 3, "bounded work in each call: {calls}");
    // The second scan must not begin before no request from before the rotation can be left.
    assert_eq!((&progress["state"], &progress["failed"]), (&json!("waiting"), &json!(0)), "{progress}");
    assert_eq!((&progress["rewrapped"], &progress["done"]), (&json!(12), &json!(12)), "{progress}");
    // A standby node reads what has reached it.
    let there = standby.root().read("backup-codes/config/keys/rewrap").expect(200).json()["data"].clone();
    assert!(["running", "waiting"].contains(&there["state"].as_str().unwrap()), "{there}");
    for (number, name) in names.iter().enumerate() {
        let answer = scene.retrieve(name, "alice").expect(200).json();
        assert_eq!(answer["data"]["code"], codes(number as u64 + 1, 3)[0], "{name}");
    }
    let keys = root.read("backup-codes/config/keys").expect(200).json();
    assert_eq!(keys["data"]["generations"][0]["state"], "decrypt-only", "{keys}");
}
