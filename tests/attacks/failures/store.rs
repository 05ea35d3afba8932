//! On a store that takes nothing, answers nothing, is slow, or answers what was never written.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use sparekey::storage::Storage;
use sparekey::storage::faulty::Times;

use super::{reads_go_on, writes_fail};
use crate::stage::{ACCOUNT, MOUNT, Stage, codes};

#[test]
fn a_store_that_takes_nothing_changes_nothing_and_comes_back() {
    let stage = Stage::new();
    stage.fine("accounts/github/spare", json!({"owner": "x"}));
    let before = stage.world();
    stage.store.fail_writes(Times::Always);
    reads_go_on(&stage, "no writes");
    writes_fail(&stage, "no writes");
    let wrapped = stage.root.header("X-Vault-Wrap-TTL", "60s");
    let answer = wrapped.read("backup-codes/roles/admin");
    assert_eq!(answer.status, 500, "what cannot be put away is not handed out: {}", answer.text());
    assert!(!answer.text().contains("bound_audiences"), "{}", answer.text());
    stage.store.fail_writes(Times::Never);
    assert_eq!(stage.world(), before, "nothing changed");
    assert_eq!(stage.retrieves().data()["slot"], 1, "no code was burnt");
}

#[test]
fn a_store_that_answers_nothing_is_never_taken_for_an_empty_one() {
    let stage = Stage::new();
    let login = stage.login("admin");
    let before = stage.world();
    stage.store.fail_reads(Times::Always);
    stage.nobody.read("sys/health").expect(200);
    stage.nobody.read("sys/seal-status").expect(200);
    writes_fail(&stage, "no reads");
    for client in [&stage.root, &login] {
        for (method, path) in [
            ("GET", "backup-codes/accounts/github/acme-owner"),
            ("LIST", "backup-codes/accounts"),
            ("GET", "backup-codes/history/github/acme-owner"),
            ("GET", "backup-codes/roles/admin"),
            ("LIST", "backup-codes/roles"),
            ("GET", "backup-codes/config"),
            ("GET", "auth/token/lookup-self"),
            ("GET", "sys/mounts"),
            ("POST", "sys/capabilities-self"),
            ("POST", "sys/wrapping/lookup"),
        ] {
            let body = (method == "POST").then_some(&b"{\"token\":\"s.x\",\"paths\":\"sys/mounts\"}"[..]);
            let answer = client.send(method, path, body);
            assert_eq!(answer.status, 500, "{method} {path}: {}", answer.text());
            assert_eq!(answer.json(), json!({"errors": ["internal error"]}), "{method} {path}");
        }
    }
    stage.store.fail_reads(Times::Never);
    assert_eq!(stage.world(), before, "nothing changed");
    login.read("auth/token/lookup-self").expect(200);
    stage.retrieves();
}

#[test]
fn a_slow_store_holds_up_only_who_needs_it() {
    let stage = Stage::new();
    stage.store.delay(Duration::from_millis(250));
    thread::scope(|scope| {
        let slow = scope.spawn(|| stage.act("retrieve", ACCOUNT, json!({})));
        for _ in 0..5 {
            let begun = Instant::now();
            stage.nobody.read("sys/health").expect(200);
            stage.nobody.read("sys/seal-status").expect(200);
            assert!(begun.elapsed() < Duration::from_millis(240), "{:?}", begun.elapsed());
        }
        slow.join().unwrap().expect(200);
    });
    stage.store.delay(Duration::ZERO);
    assert_eq!(stage.remaining(), 7);
}

#[test]
fn a_corrupt_record_is_an_error_and_never_an_absence() {
    let stage = Stage::new();
    stage.store("github/other", &codes("o", 4));
    let before = stage.world();
    let (nobody, root) = (&stage.nobody, &stage.root);
    let retrieve = |account: &str| nobody.write(&format!("{MOUNT}/retrieve/{account}"), &stage.asserted(json!({})));
    for at in [0, 1, 16, 40, usize::MAX] {
        stage.store.corrupt(format!("accounts/{ACCOUNT}"), at);
        let event = stage.idp.set(&stage.event("jane@example.com", stage.now(), &json!({})));
        for (what, answer) in [
            ("read", root.read(&format!("{MOUNT}/accounts/{ACCOUNT}"))),
            ("history", root.read(&format!("{MOUNT}/history/{ACCOUNT}"))),
            ("retrieve", retrieve(ACCOUNT)),
            ("sets", stage.act("sets", ACCOUNT, json!({"codes": codes("n", 4), "cas": 0}))),
            ("enroll", stage.act("enroll", ACCOUNT, json!({}))),
            ("revoke", stage.act("revoke", ACCOUNT, json!({"reason": "x"}))),
            ("event", nobody.write("backup-codes/events/idp", &json!({"set": event}))),
            ("write", root.write(&format!("{MOUNT}/accounts/{ACCOUNT}"), &json!({"owner": "x"}))),
            ("delete", root.delete(&format!("{MOUNT}/accounts/{ACCOUNT}"))),
        ] {
            assert_eq!(answer.status, 500, "byte {at}, {what}: {}", answer.text());
            assert_eq!(answer.json(), json!({"errors": ["internal error"]}), "byte {at}, {what}");
        }
        root.read(&format!("{MOUNT}/accounts/github/other")).expect(200);
        nobody.read("sys/health").expect(200);
        stage.store.heal();
    }
    // The records that every act rests on: no role or issuer is passed over, no default stands in.
    assert_eq!(stage.world(), before, "nothing changed");
    for (key, field) in [
        ("roles/admin", "token_ttl"),
        ("issuers/idp", "clock_skew_leeway"),
        ("config", "clock_skew"),
        ("profiles/escrowed", "reveal_window"),
    ] {
        // Written anew, so that no older reading of it is at hand.
        stage.fine(key, json!({field: "59s"}));
        stage.store.corrupt(key, 30);
        let answer = retrieve(ACCOUNT);
        assert_eq!(answer.status, 500, "{key}: {}", answer.text());
        stage.store.heal();
        assert_eq!(stage.remaining(), 8, "{key}");
    }
    let login = stage.login("admin");
    let tokens = stage.node.run(stage.store.list("tokens/", None, 100)).unwrap();
    tokens.iter().for_each(|token| stage.store.corrupt(format!("tokens/{token}"), 20));
    let answer = login.read("auth/token/lookup-self");
    assert_eq!(answer.status, 500, "a corrupt token is not merely unknown: {}", answer.text());
    stage.store.heal();
    login.read("auth/token/lookup-self").expect(200);
    assert_eq!(retrieve(ACCOUNT).expect(200).data()["slot"], 1);
}
