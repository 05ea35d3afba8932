//! A snapshot of the vault's storage that is put back: what comes back with it, and how to find what must not be used again.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::scene::{Scene, codes};
use crate::support::server::{BINARY, MOUNT};
use crate::support::signer::Signer;
use crate::support::vault::Vault;

/// Paths below the mount that were acted on in the audit lines behind `from`, as `docs/mounting.md` has them looked up.
fn acted_on(audit: &str, from: usize) -> BTreeSet<String> {
    let lines = audit[from..].lines().map(|line| serde_json::from_str::<Value>(line).expect("an audit line"));
    let acts = lines.filter(|line| line["type"] == "response" && line["request"]["operation"] == "update");
    let paths =
        acts.filter_map(|line| line["request"]["path"].as_str()?.strip_prefix("backup-codes/").map(str::to_owned));
    paths.collect()
}

#[test]
fn a_restored_snapshot_brings_burnt_codes_back_and_the_audit_log_tells_which_accounts() {
    let vault = Vault::mounted();
    let bao = vault.bao();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let (used, kept, enrolled) = ("github/acme", "github/other", "okta/jane@example.com");
    for (seed, account) in [used, kept, enrolled].into_iter().enumerate() {
        scene.store(account, &codes(seed as u64 + 1, 3), 0).expect(200);
    }
    let first = scene.retrieve(used, "alice").expect(200).data()["code"].clone();
    let head = |account: &str| scene.read("history", account).expect(200).data()["head"].clone();
    let before = head(used);

    bao.run(&["operator", "raft", "snapshot", "save", "vault.snap"]).ok();
    let audited = vault.audit().len();
    vault.root().write("backup-codes/config", &json!({"default_role": "automation"})).expect(204);
    let burnt = scene.retrieve(used, "alice").expect(200).data()["code"].clone();
    assert_ne!(burnt, first);
    scene.enrolled_again_in_json("jane@example.com").expect(202);
    scene.retrieve(enrolled, "alice").expect(400);
    let after = head(used);
    assert_ne!(after, before);

    bao.run(&["operator", "raft", "snapshot", "restore", "vault.snap"]).ok();
    // Configuration goes back with it, at once, whatever the plugin remembered.
    let read = || vault.again(|| vault.root().read("backup-codes/config")).expect(200).data()["default_role"].clone();
    assert_eq!(read(), Value::Null);
    // What the engine can see is in order: the past is simply gone.
    let again = vault.again(|| scene.retrieve(used, "bob")).expect(200).data();
    assert_eq!(again["code"], burnt, "a code that left already");
    let history = scene.read("history", &format!("{used}?verify=true")).expect(200).data();
    assert_eq!((&history["verified"], history["entries"].as_array().unwrap().len()), (&json!(true), 3));
    assert_ne!(history["head"], after, "only who kept the head sees it");
    scene.retrieve(enrolled, "bob").expect(200);

    // The audit log is not in the snapshot. It names the accounts that were acted on, and that an event came.
    let between = acted_on(&vault.audit(), audited);
    assert!(between.contains(&format!("retrieve/{used}")) && between.contains("events/idp"), "{between:?}");
    assert!(!between.iter().any(|path| path.ends_with(kept)), "{between:?}");

    // What is to be done: end the sets of those accounts, have the event told again. Nothing leaves any more.
    let revoke = json!({"role": "automation", "jwt": scene.automation(), "reason": "storage was restored"});
    scene.act("revoke", used, revoke).expect(200);
    scene.enrolled_again_in_json("jane@example.com").expect(202);
    for account in [used, enrolled] {
        let refused = scene.retrieve(account, "carol").expect(400);
        assert!(refused.error().starts_with("ended"), "{}", refused.text());
    }
    // And accounts that nobody used are as they were.
    scene.retrieve(kept, "carol").expect(200);
}

/// Waits until `done`.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "not {what}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn with_an_anchor_a_restored_snapshot_gives_no_code_until_somebody_says_what_is_held() {
    let mut vault = Vault::bare();
    vault.install(Path::new(BINARY));
    let folder = vault.dir().join("anchors");
    std::fs::create_dir(&folder).expect("a folder");
    vault.register_with(&[format!("SPAREKEY_ANCHORS={}", folder.display())]);
    vault.enable(MOUNT);
    let bao = vault.bao();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let (used, kept, enrolled) = ("github/acme", "github/other", "okta/jane@example.com");
    for (seed, account) in [used, kept, enrolled].into_iter().enumerate() {
        scene.store(account, &codes(seed as u64 + 1, 5), 0).expect(200);
    }
    let root = vault.root();
    let told = || root.read("backup-codes/config/restore").expect(200).data();
    assert_eq!((&told()["quarantine"], &told()["anchors"]), (&json!(false), &json!(true)));
    let anchored = || {
        let file = std::fs::read_dir(&folder).expect("the folder").next().expect("an anchor").expect("a file").path();
        let text = std::fs::read(file).expect("the anchor");
        serde_json::from_slice::<Value>(&text).expect("JSON")["epoch"].as_u64().expect("a number")
    };
    let was = anchored();
    until("anchored", || anchored() > was);
    bao.run(&["operator", "raft", "snapshot", "save", "vault.snap"]).ok();
    let audited = vault.audit().len();
    let was = anchored();
    let mut given = vec![scene.retrieve(used, "alice").expect(200).data()["code"].clone()];
    scene.enrolled_again_in_json("jane@example.com").expect(202);
    until("anchored", || anchored() > was);

    bao.run(&["operator", "raft", "snapshot", "restore", "vault.snap"]).ok();
    until("noticed", || {
        let answer = vault.again(|| scene.retrieve(used, "bob"));
        assert_ne!(answer.status, 200, "a code of before the snapshot was put back: {given:?} {}", answer.text());
        answer.text().contains("restore-quarantine: ")
    });
    assert!(scene.retrieve(kept, "bob").text().contains("restore-quarantine: "));
    assert!(told()["why"].as_str().expect("a reason").contains("this node's own anchor"), "{:?}", told());
    // What ends codes goes on.
    scene.enrolled_again_in_json("joe@example.com").expect(202);
    let accept = |body: Value| root.write("backup-codes/config/restore", &body);
    assert!(accept(json!({"reason": "snapshot of noon"})).expect(400).error().starts_with("hold: "));

    // An account that the anchor itself names is not forgotten.
    accept(json!({"reason": "snapshot of noon", "hold": "known"})).expect(200);
    until("objected", || told()["quarantine"] == true);
    // The audit log tells which, as the documents have them looked up.
    let between = acted_on(&vault.audit(), audited);
    assert!(between.contains(&format!("retrieve/{used}")) && between.contains("events/idp"), "{between:?}");
    let named = json!([used, enrolled, "team/none"]);
    let accepted = accept(json!({"reason": "snapshot of noon", "hold": "known", "accounts": named})).expect(200).data();
    assert_eq!((&accepted["held"], &accepted["missing"]), (&json!([used, enrolled]), &json!(["team/none"])));
    for account in [used, enrolled] {
        let refused = scene.retrieve(account, "carol").expect(400);
        assert!(refused.error().starts_with("quarantined"), "{}", refused.text());
    }
    given.push(scene.retrieve(kept, "carol").expect(200).data()["code"].clone());
    // Nothing is objected any more, now and after a restart.
    let was = anchored();
    until("anchored", || anchored() > was);
    assert_eq!(told()["quarantine"], false, "{:?}", told());
    let again = accept(json!({"reason": "said twice", "hold": "all"})).expect(200);
    assert_eq!(again.data()["accepted"], false, "{}", again.text());
    vault.kill();
    vault.boot();
    vault.unseal();
    let fresh = vault.again(|| scene.retrieve(kept, "carol")).expect(200).data()["code"].clone();
    assert!(!given.contains(&fresh));
    assert!(scene.retrieve(used, "carol").expect(400).error().starts_with("quarantined"));
}

#[test]
fn without_an_anchor_nothing_is_noticed_and_the_mount_says_so() {
    let vault = Vault::mounted();
    let answer = vault.root().read("backup-codes/config/restore").expect(200);
    assert_eq!(answer.data()["anchors"], false);
    assert!(answer.json()["warnings"][0].as_str().expect("a warning").contains("goes unnoticed"), "{}", answer.text());
}
