//! A snapshot of the vault's storage that is put back: what comes back with it, and how to find what must not be used again.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::scene::{Scene, codes};
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
