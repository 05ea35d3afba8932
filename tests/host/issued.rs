//! Issued sets through the real server: codes in the answer and nowhere else, wrapped where that is asked for.

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::storage::faulty::Faulty;
use sparekey::storage::memory::Memory;

use super::inprocess::{Node, Setup};
use super::support::scene::{AUDIENCE, ISSUER, Scene};
use super::support::signer::claims;
use super::{scene, text};

/// A node on which `app` makes sets of any account and verifies codes.
fn stage() -> (Node, Scene, String) {
    let (node, root) = Setup::default().ready();
    let scene = made_by_app(&node, &root);
    (node, scene, root)
}

fn made_by_app(node: &Node, root: &str) -> Scene {
    let scene = scene(node, root);
    let role = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "app", "accounts": ["app/*"],
        "operations": ["store", "verify", "check"],
    });
    node.client().token(root).write("backup-codes/roles/app", &role).expect(204);
    scene
}

fn body(scene: &Scene, more: Value) -> Value {
    let mut body = json!({"role": "app", "jwt": scene.signer.jwt(&claims(ISSUER, "app", AUDIENCE))});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn list(codes: &Value) -> Vec<String> {
    codes.as_array().unwrap_or_else(|| panic!("no list: {codes}")).iter().map(text).collect()
}

/// Lines of the audit file, after asserting that no code is in it.
fn audited(node: &Node, codes: &[String]) -> Vec<Value> {
    let lines = fs::read_to_string(node.audit()).unwrap();
    for code in codes {
        for spelling in [code.clone(), code.replace('-', ""), code.to_lowercase()] {
            assert!(!lines.contains(&spelling), "{code} is in the audit");
        }
    }
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_made_set_is_in_the_answer_once_and_the_audit_has_its_places_only() {
    let (node, scene, _root) = stage();
    let ask = body(&scene, json!({"profile": "issued", "idempotency_key": "k"}));
    let made = node.client().write("backup-codes/sets/app/jane", &ask).expect(200);
    let codes = list(&made.data()["codes"]);
    assert_eq!((codes.len(), &made.data()["count"]), (10, &json!(10)));
    let again = node.client().write("backup-codes/sets/app/jane", &ask).expect(200);
    assert!(again.data().get("codes").is_none(), "{}", again.text());
    let shown = body(&scene, json!({"code": codes[4]}));
    let valid = node.client().write("backup-codes/verify/app/jane", &shown).expect(200);
    assert_eq!((&valid.data()["valid"], &valid.data()["slot"]), (&json!(true), &json!(5)));
    node.client().write("backup-codes/check/app/jane", &body(&scene, json!({"code": codes[4]}))).expect(200);
    let lines = audited(&node, &codes);
    let disclosed: Vec<&Value> = lines.iter().filter(|line| line["disclosed"] == true).collect();
    assert_eq!(disclosed.len(), 1, "a repeat gives nothing out, nor does verifying");
    let said = &disclosed[0]["response"]["disclosure"];
    assert_eq!((&said["account"], &said["generation"]), (&json!("app/jane"), &json!(1)));
    assert_eq!(said["slot"], json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    let verified = lines
        .iter()
        .find(|line| line["type"] == "response" && line["request"]["path"] == "backup-codes/verify/app/jane");
    let verified = verified.unwrap();
    assert_eq!(verified["response"]["note"]["slot"], 5, "{verified}");
}

#[test]
fn a_made_set_leaves_wrapped_where_that_is_asked_for() {
    let (node, scene, root) = stage();
    node.client().token(&root).write("backup-codes/roles/app", &json!({"wrap": "required"})).expect(204);
    let ask = || body(&scene, json!({"profile": "issued"}));
    let bare = node.client().write("backup-codes/sets/app/jane", &ask()).expect(403);
    assert!(bare.error().contains("must be wrapped"), "{}", bare.error());
    let client = node.client().header("X-Vault-Wrap-TTL", "60s");
    let made = client.write("backup-codes/sets/app/jane", &ask()).expect(200).json();
    assert_eq!(made["data"], Value::Null, "{made}");
    let wrapping = text(&made["wrap_info"]["token"]);
    let opened = node.client().token(&wrapping).send("PUT", "sys/wrapping/unwrap", Some(b"null")).expect(200);
    let codes = list(&opened.data()["codes"]);
    assert_eq!(codes.len(), 10);
    node.client().token(&wrapping).send("PUT", "sys/wrapping/unwrap", Some(b"null")).expect(400);
    let valid = node.client().write("backup-codes/verify/app/jane", &body(&scene, json!({"code": codes[0]})));
    assert_eq!(valid.expect(200).data()["valid"], true);
    let lines = audited(&node, &codes);
    let disclosed = lines.iter().find(|line| line["disclosed"] == true).unwrap();
    assert_eq!(disclosed["response"]["wrap_info"]["creation_path"], "backup-codes/sets/app/jane", "{disclosed}");
}

#[test]
fn a_set_whose_record_fails_is_never_shown() {
    let (node, scene, _root) = stage();
    fs::remove_file(node.audit()).unwrap();
    fs::create_dir(node.audit()).unwrap();
    for client in [node.client(), node.client().header("X-Vault-Wrap-TTL", "60s")] {
        let answer = client.write("backup-codes/sets/app/jane", &body(&scene, json!({"profile": "issued"})));
        assert!(answer.status >= 500, "{}", answer.text());
        assert!(!answer.text().contains("codes\":") && !answer.text().contains("wrap_info\":{"), "{}", answer.text());
    }
}

/// The store fails once the set and its audit line are written: nobody gets the codes, and the audit takes its line back.
#[test]
fn a_disclosure_that_comes_to_nothing_is_taken_back_in_the_audit() {
    let mut voids = 0;
    for writes in 1..8 {
        let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
        let (node, root) = Setup { storage: Some(store.clone()), ..Setup::default() }.ready();
        let scene = made_by_app(&node, &root);
        let quick = json!({"kind": "issued", "verifier": "hmac-sha256", "length": 24});
        node.client().token(&root).write("backup-codes/profiles/quick", &quick).expect(204);
        let client = node.client().header("X-Vault-Wrap-TTL", "60s");
        store.freeze_after(writes);
        let answer = client.write("backup-codes/sets/app/jane", &body(&scene, json!({"profile": "quick"})));
        store.thaw();
        assert!(!answer.text().contains("codes\":"), "{}", answer.text());
        let lines = audited(&node, &[]);
        let disclosed = lines.iter().find(|line| line["disclosed"] == true);
        let void = lines.iter().find(|line| line["type"] == "void");
        match disclosed {
            Some(disclosed) if answer.status >= 500 => {
                let void = void.unwrap_or_else(|| panic!("{writes}: {disclosed} stands, and nothing came of it"));
                assert_eq!(void["request"]["id"], disclosed["request"]["id"]);
                assert_eq!(void["void"]["disclosure"]["account"], "app/jane");
                assert!(void["void"]["reason"].as_str().unwrap().contains("wrapping token"), "{void}");
                voids += 1;
            }
            _ => assert!(void.is_none(), "{writes}: {void:?}"),
        }
    }
    assert!(voids > 0, "the store never failed between the two");
}
