//! The life of process and host: killed, sealed, restarted, each time with everything that was acknowledged.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::scene::{Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::Signer;
use crate::support::vault::Vault;

fn scene(vault: &Vault) -> Scene {
    Scene::with(vault.root(), vault.root(), Signer::es256("k"))
}

#[test]
fn a_killed_plugin_is_back_with_the_next_request() {
    let vault = Vault::mounted();
    let scene = scene(&vault);
    let mine = codes(1, 6);
    scene.store("github/acme", &mine, 0).expect(200);
    for code in &mine {
        vault.kill_plugin();
        let answer = vault.again(|| scene.retrieve("github/acme", "alice")).expect(200);
        assert_eq!(answer.data()["code"], json!(code));
    }
    let history = scene.read("history", "github/acme?verify=true").expect(200).data();
    assert_eq!((&history["verified"], history["entries"].as_array().unwrap().len()), (&json!(true), 7));
    assert_eq!(vault.plugin_pids().len(), 1);
}

#[test]
fn seal_and_unseal_and_a_power_cut_lose_nothing_and_leave_no_process() {
    let mut vault = Vault::mounted();
    let scene = scene(&vault);
    let mine = codes(1, 3);
    scene.store("github/acme", &mine, 0).expect(200);
    assert_eq!(scene.retrieve("github/acme", "alice").expect(200).data()["code"], json!(mine[0]));

    vault.root().write("sys/seal", &json!({})).expect(204);
    scene.retrieve("github/acme", "bob").expect(503);
    none_left(&vault);
    vault.unseal();
    assert_eq!(vault.again(|| scene.retrieve("github/acme", "bob")).expect(200).data()["code"], json!(mine[1]));

    vault.kill();
    none_left(&vault);
    vault.boot();
    vault.unseal();
    assert_eq!(vault.again(|| scene.retrieve("github/acme", "carol")).expect(200).data()["code"], json!(mine[2]));
    let history = scene.read("history", "github/acme?verify=true").expect(200).data();
    assert_eq!(history["verified"], true, "{history}");
}

/// The plugin ends when its host does.
fn none_left(vault: &Vault) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !vault.plugin_pids().is_empty() {
        assert!(Instant::now() < deadline, "the plugin outlived its host");
        sleep(Duration::from_millis(20));
    }
    let left = std::fs::read_dir(vault.dir()).unwrap().flatten();
    let sockets = left.filter(|entry| entry.file_name().to_string_lossy().starts_with("sparekey"));
    assert_eq!(sockets.count(), 0, "sockets are left behind");
}

#[test]
fn a_reload_serves_the_same_mount() {
    let vault = Vault::mounted();
    let scene = scene(&vault);
    let mine = codes(1, 2);
    scene.store("github/acme", &mine, 0).expect(200);
    let before = vault.plugin_pids();
    vault.root().write("sys/plugins/reload/backend", &json!({"plugin": "sparekey"})).expect(200);
    assert_ne!(vault.plugin_pids(), before);
    assert_eq!(vault.again(|| scene.retrieve("github/acme", "alice")).expect(200).data()["code"], json!(mine[0]));
}

#[test]
fn tokens_and_leases_of_the_vault_end_no_set() {
    let vault = Vault::mounted();
    let scene = scene(&vault);
    scene.store("github/acme", &codes(1, 3), 0).expect(200);
    let token = vault.token("short", &Vault::everything_below(MOUNT));
    let short = vault.client().token(&token);
    let ask = json!({"role": "on-call", "jwt": scene.admin("alice"), "reason": "x"});
    short.write("backup-codes/retrieve/github/acme", &ask).expect(200);
    vault.root().write("auth/token/revoke", &json!({"token": token})).expect(204);
    vault.root().write("sys/leases/revoke-prefix/backup-codes", &json!({})).expect(204);
    short.read("backup-codes/accounts/github/acme").expect(403);
    assert_eq!(scene.read("accounts", "github/acme").expect(200).data()["remaining"], 2);
    // Nor do a token that may be used once and one whose time is over.
    let make = |limits: serde_json::Value| {
        let mut body = json!({"policies": ["short"], "no_default_policy": true});
        body.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        let answer = vault.root().write("auth/token/create", &body).expect(200).json();
        vault.client().token(answer["auth"]["client_token"].as_str().unwrap())
    };
    let once = make(json!({"num_uses": 1}));
    once.write("backup-codes/retrieve/github/acme", &scene.request("bob")).expect(200);
    once.read("backup-codes/accounts/github/acme").expect(403);
    let brief = make(json!({"ttl": "1s"}));
    let end = Instant::now() + Duration::from_secs(20);
    while brief.read("backup-codes/accounts/github/acme").status != 403 {
        assert!(Instant::now() < end, "the token outlives its time");
        sleep(Duration::from_millis(100));
    }
    assert_eq!(scene.read("accounts", "github/acme").expect(200).data()["remaining"], 1);
    assert_eq!(vault.leases(MOUNT), json!(null));
    scene.retrieve("github/acme", "carol").expect(200);
}

#[test]
fn a_list_comes_in_pages_that_join_to_the_whole() {
    let vault = Vault::mounted();
    let root = vault.root();
    for name in ["b", "a", "a/x", "a/y", "a-b", "a.b", "c/d/e"] {
        root.write(&format!("{MOUNT}/accounts/{name}"), &json!({"owner": "x"})).expect(204);
    }
    let list = |query: &str| {
        let answer = root.send("LIST", &format!("{MOUNT}/accounts{query}"), None);
        if answer.status == 404 { json!([]) } else { answer.expect(200).data()["keys"].clone() }
    };
    let whole = json!(["a", "a-b", "a.b", "a/", "b", "c/"]);
    assert_eq!(list(""), whole);
    let mut pages = Vec::new();
    let mut after = String::new();
    loop {
        let page = list(&format!("?limit=2&after={}", after.replace('/', "%2F")));
        let Some(last) = page.as_array().unwrap().last() else { break };
        after = last.as_str().unwrap().to_owned();
        pages.extend(page.as_array().unwrap().clone());
    }
    assert_eq!(json!(pages), whole);
}
