//! Keys are rotated and re-wrapped in the vault's storage, by any node, while the plugin process is killed, until the old one is gone.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::debian;
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, claims, now};
use crate::support::vault::{PLUGIN, Vault};

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

/// The plugin's clock, which a test moves: the second scan begins only when requests of before the first are over.
struct Shifted {
    vault: Vault,
    file: PathBuf,
}

impl Shifted {
    fn mounted() -> Self {
        let vault = Vault::registered();
        let library = format!("usr/lib/{}/faketime/libfaketimeMT.so.1", debian::triple());
        let library = debian::root("libfaketime", &["libfaketime"], &[&library]).join(library);
        let file = vault.dir().join("clock");
        let shifted = Shifted { vault, file };
        shifted.ahead_by(0);
        let sum = hex::encode(Sha256::digest(fs::read(shifted.vault.plugins().join(PLUGIN)).unwrap()));
        let environment = [
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", shifted.file.display()),
            "FAKETIME_NO_CACHE=1".to_owned(),
            "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        ];
        let entry = json!({"sha256": sum, "command": PLUGIN, "env": environment});
        shifted.vault.root().write(&format!("sys/plugins/catalog/secret/{PLUGIN}"), &entry).expect(204);
        shifted.vault.enable(MOUNT);
        shifted
    }
    fn ahead_by(&self, seconds: u64) {
        let beside = self.file.with_extension("new");
        fs::write(&beside, format!("+{seconds}s\n")).unwrap();
        fs::rename(beside, &self.file).unwrap();
    }
}

#[test]
fn the_old_key_is_retired_after_two_scans_and_erased_a_day_later() {
    let mut shifted = Shifted::mounted();
    let (root, hour) = (shifted.vault.root(), 3_600);
    let scene = Scene::with(root.clone(), root.clone(), Signer::es256("k"));
    let names = ["github/acme-owner", "okta/jane@example.com", "z"];
    for (number, name) in names.iter().enumerate() {
        scene.store(name, &codes(number as u64 + 1, 3), 0).expect(200);
    }
    root.write("backup-codes/config/keys/rotate", &json!({})).expect(200);
    let call = || root.write("backup-codes/config/keys/rewrap", &json!({})).expect(200).data();
    let states = || {
        let keys = root.read("backup-codes/config/keys").expect(200).data()["generations"].clone();
        keys.as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut progress = call();
    while progress["state"] == "running" {
        progress = call();
    }
    for _ in 0..3 {
        assert_eq!(
            (&progress["state"], states()),
            (&json!("waiting"), vec!["decrypt-only".into(), "active".to_owned()])
        );
        progress = call();
    }
    let wait = progress["eta"].as_u64().unwrap();
    assert!((200..=300).contains(&wait), "{progress}");

    shifted.ahead_by(wait + 1);
    progress = call();
    while progress["state"] == "running" {
        progress = call();
    }
    let all = |progress: &Value| (progress["state"].clone(), progress["done"].clone(), progress["failed"].clone());
    assert_eq!(all(&progress), (json!("done"), progress["total"].clone(), json!(0)), "{progress}");
    assert_eq!(states(), ["retired", "active"]);
    // Another process of the plugin, after a start of the vault, finds it so, and every code is there.
    shifted.vault.kill();
    shifted.vault.boot();
    shifted.vault.unseal();
    assert_eq!(all(&root.read("backup-codes/config/keys/rewrap").expect(200).data()), all(&progress));
    assert_eq!(states(), ["retired", "active"]);
    for (number, name) in names.iter().enumerate() {
        let mut claims = claims(ISSUER, "alice", AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        (claims["iat"], claims["exp"]) = (json!(now() + wait), json!(now() + wait + 200));
        let body = json!({"role": "on-call", "jwt": scene.signer.jwt(&claims), "reason": "phone lost"});
        let answer = scene.act("retrieve", name, body).expect(200).data();
        assert_eq!(answer["code"], codes(number as u64 + 1, 3)[0], "{name}");
    }

    shifted.ahead_by(25 * hour);
    call();
    assert_eq!(states(), ["active"]);
    let history = root.read("backup-codes/config/history?verify=true&limit=1000").expect(200).data();
    let acts: Vec<&str> =
        history["entries"].as_array().unwrap().iter().filter_map(|entry| entry["act"].as_str()).collect();
    for act in ["rotate", "retire", "erase"] {
        assert_eq!(acts.iter().filter(|known| **known == act).count(), 1, "{act}: {acts:?}");
    }
    assert_eq!(history["verified"], true);
}
