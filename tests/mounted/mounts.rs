//! Mounts: two share nothing, policies decide before we do, and one that goes takes everything along.

use serde_json::{Value, json};

use crate::support::scene::{Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::Signer;
use crate::support::vault::Vault;

#[test]
fn two_mounts_in_one_process_share_nothing() {
    let vault = Vault::mounted();
    vault.enable("other");
    assert_eq!(vault.plugin_pids().len(), 1);
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 2), 0).expect(200);

    let root = vault.root();
    assert_eq!(root.list("other/accounts").status, 404);
    assert_eq!(root.list("other/roles").status, 404);
    let ids =
        [MOUNT, "other"].map(|mount| root.read(&format!("{mount}/config")).expect(200).data()["mount_id"].clone());
    assert_ne!(ids[0], ids[1]);
    // With a warning: there is no such role yet.
    root.write("other/config", &json!({"default_role": "elsewhere"})).expect(200);
    assert_eq!(root.read("backup-codes/config").data()["default_role"], Value::Null);
    let retrieve = json!({"role": "on-call", "jwt": scene.admin("alice"), "reason": "x"});
    let refused = root.write("other/retrieve/github/acme", &retrieve).expect(403);
    assert!(refused.error().starts_with("role: there is no role of this name"), "{}", refused.text());
    scene.retrieve("github/acme", "alice").expect(200);

    // One goes, the other stays.
    root.delete("sys/mounts/other").expect(204);
    assert_eq!(vault.plugin_pids().len(), 1);
    scene.retrieve("github/acme", "bob").expect(200);
}

#[test]
fn a_mount_that_was_disabled_begins_anew() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 2), 0).expect(200);
    let before = vault.root().read("backup-codes/config").data()["mount_id"].clone();
    vault.root().delete("sys/mounts/backup-codes").expect(204);
    assert_eq!(vault.plugin_pids(), Vec::<i32>::new(), "the process goes with its last mount");
    vault.enable(MOUNT);
    assert_eq!(vault.root().list("backup-codes/accounts").status, 404);
    assert_ne!(vault.root().read("backup-codes/config").data()["mount_id"], before);
}

#[test]
fn the_vaults_policies_decide_on_configuration_and_metadata_and_no_token_stands_in_for_an_assertion() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 3), 0).expect(200);
    let with = |name: &str, rules: &str| vault.client().token(&vault.token(name, rules));

    let nobody = with("nobody", r#"path "elsewhere/*" { capabilities = ["read"] }"#);
    let reader = with("reader", r#"path "backup-codes/accounts/*" { capabilities = ["read", "list"] }"#);
    let holder = with("holder", r#"path "backup-codes/retrieve/github/*" { capabilities = ["update"] }"#);
    // A vault tells create from update by whether the record is there.
    let creator = with("creator", r#"path "backup-codes/roles/*" { capabilities = ["create"] }"#);

    for path in ["backup-codes/config", "backup-codes/roles/on-call", "backup-codes/accounts/github/acme"] {
        assert!(nobody.read(path).expect(403).error().contains("permission denied"), "{path}");
    }
    assert_eq!(reader.read("backup-codes/accounts/github/acme").expect(200).data()["remaining"], 3);
    assert_eq!(reader.list("backup-codes/accounts/github").expect(200).data()["keys"], json!(["acme"]));
    reader.read("backup-codes/roles/on-call").expect(403);

    // The policy lets through, the role refuses; then both agree. Each says that it was the one.
    let ask = |jwt: String| json!({"role": "on-call", "jwt": jwt, "reason": "x"});
    let refused = holder.write("backup-codes/retrieve/github/acme", &ask(scene.automation())).expect(403);
    assert!(refused.error().starts_with("role: "), "{}", refused.text());
    let refused = nobody.write("backup-codes/retrieve/github/acme", &ask(scene.admin("alice"))).expect(403);
    assert!(refused.error().contains("permission denied"), "{}", refused.text());
    let given = holder.write("backup-codes/retrieve/github/acme", &ask(scene.admin("alice"))).expect(200);
    assert_eq!(given.data()["remaining"], 2);

    let role = vault.root().read("backup-codes/roles/on-call").data();
    creator.write("backup-codes/roles/second", &role).expect(204);
    creator.write("backup-codes/roles/second", &role).expect(403);

    // Without a token: events and nothing else, whatever the operation.
    for path in ["config", "roles/on-call", "accounts/github/acme", "retrieve/github/acme", "events/a/b"] {
        vault.client().write(&format!("backup-codes/{path}"), &json!({})).expect(403);
    }
    assert_eq!(vault.client().read("backup-codes/events/idp").status, 405);
    vault.client().write("backup-codes/events/idp", &json!({"set": "x"})).expect(400);
}
