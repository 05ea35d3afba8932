//! Invariants 7 and 8: the record is bounded, archived, verified; corruption is an error.

use serde_json::json;
use sparekey::engine::request::Operation;
use sparekey::storage::{Change, Expect, Found, Get, Storage, Write};

use crate::harness::{Bench, CODES};
use crate::issued::{issue, plain_profile};

#[tokio::test]
async fn a_long_history_is_paged_and_verifies_to_its_head() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    for number in 0..150 {
        bench.act("enroll/a", json!({"enrollment_id": format!("e{number}"), "occurred_at": 1_700_000_000})).await;
    }
    let all = bench.root(Operation::Read, "history/a", json!({"limit": 1000, "verify": true})).await.data;
    assert_eq!((&all["verified"], &all["head"]["seq"]), (&json!(true), &json!(151)));
    let seqs: Vec<u64> =
        all["entries"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=151).collect::<Vec<_>>());
    for after in [0, 31, 32, 33, 100, 140] {
        let page = bench.root(Operation::Read, "history/a", json!({"after": after, "limit": 40})).await.data;
        let entries = page["entries"].as_array().unwrap();
        assert_eq!(entries.first().unwrap()["seq"], after + 1, "after {after}");
        assert_eq!(entries.len() as u64, 40.min(151 - after));
    }
    assert_eq!(bench.read("history/a").await["entries"].as_array().unwrap().len(), 100, "the default page");
}

#[tokio::test]
async fn a_dropped_or_altered_segment_is_found() {
    let bench = Bench::new().await;
    for number in 0..100 {
        bench.act("enroll/a", json!({"enrollment_id": format!("e{number}")})).await;
    }
    let folders = bench.store.list("ledger/", None, 10).await.unwrap();
    let folder = folders.iter().find(|name| *name != "config/").unwrap();
    let segments = bench.store.list(&format!("ledger/{folder}"), None, 10).await.unwrap();
    let key = format!("ledger/{folder}{}", segments[1]);
    let Found::Value(bytes, revision) = bench.store.get_many(vec![Get::new(&key)]).await.unwrap().remove(0) else {
        panic!("a segment");
    };
    let put = |bytes: Vec<u8>, expect| Write {
        key: key.clone(),
        expect,
        change: Change::Put { value: bytes, revision: sparekey::storage::Revision([9; 16]) },
    };
    let mut altered = bytes.clone();
    let place = altered.windows(6).position(|window| window == b"enroll").unwrap();
    altered[place] = b'E';
    bench.store.put_all(vec![put(altered, Expect::At(revision))]).await.unwrap();
    let answer = bench.root(Operation::Read, "history/a", json!({"verify": true})).await;
    assert_eq!(answer.data["verified"], false);
    assert!(answer.warnings[0].contains("ledger entry 33"), "{answer:?}");
    let delete = Write::delete(&key, sparekey::storage::Revision([9; 16]));
    bench.store.put_all(vec![delete]).await.unwrap();
    let answer = bench.root(Operation::Read, "history/a", json!({"verify": true})).await;
    assert_eq!(answer.data["verified"], false, "{answer:?}");
    assert_eq!(bench.read("config/history").await["head"]["seq"], 4);
}

#[tokio::test]
async fn old_sets_leave_the_record_for_the_archive() {
    let bench = Bench::new().await;
    for number in 0..8 {
        bench.store("a", &[&format!("code{number}-aaaaa"), &format!("code{number}-bbbbb")]).await;
    }
    let account = bench.read("accounts/a").await;
    let generations: Vec<_> = account["sets"].as_array().unwrap().iter().map(|set| set["generation"].clone()).collect();
    assert_eq!(generations, [json!(4), json!(5), json!(6), json!(7), json!(8)], "the live set and the last four ended");
    let folder = bench.store.list("sets/", None, 10).await.unwrap().remove(0);
    let archived = bench.store.list(&format!("sets/{folder}"), None, 10).await.unwrap();
    assert_eq!(archived, ["0000000001", "0000000002", "0000000003"]);
}

#[tokio::test]
async fn a_corrupt_record_is_an_error_and_never_an_empty_account() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    for index in [0, 1, 40] {
        bench.store.corrupt("accounts/a", index);
        for (operation, path) in [(Operation::Read, "accounts/a"), (Operation::Read, "history/a")] {
            let answer = bench.root(operation, path, json!({})).await;
            assert!(answer.status == 500 || index == 40, "byte {index} {path}: {answer:?}");
        }
        let stored = bench.act("sets/a", json!({"codes": ["eeeee-55555"], "cas": 0})).await;
        assert_ne!(stored.status, 200, "byte {index}: {stored:?}");
        bench.store.heal();
    }
    assert_eq!(bench.read("accounts/a").await["remaining"], 4);
}

#[tokio::test]
async fn a_record_of_a_newer_format_is_refused_in_words() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let found = bench.store.get_many(vec![Get::new("accounts/a")]).await.unwrap().remove(0);
    let Found::Value(mut bytes, revision) = found else { panic!("an account") };
    bytes[0] = 2;
    let change = Change::Put { value: bytes, revision: sparekey::storage::Revision([9; 16]) };
    let write = Write { key: "accounts/a".into(), expect: Expect::At(revision), change };
    bench.store.put_all(vec![write]).await.unwrap();
    assert_eq!(bench.root(Operation::Read, "accounts/a", json!({})).await.status, 500);
    assert_eq!(bench.act("retrieve/a", json!({})).await.status, 500);
}

#[tokio::test]
async fn an_act_is_one_read_and_one_write() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({"reason": "warm the caches"})).await;
    plain_profile(&bench).await;
    let codes = issue(&bench, "app", "plain").await;
    bench.act("verify/app", json!({"code": codes[9]})).await;
    for (path, body) in [
        ("retrieve/a", json!({})),
        ("outcome/a", json!({"slot": 2, "outcome": "refused"})),
        ("sets/a", json!({"codes": ["eeeee-55555", "fffff-66666"]})),
        ("confirm/a", json!({"generation": 1})),
        ("retrieve/a", json!({"idempotency_key": "k"})),
        ("retrieve/a", json!({"idempotency_key": "k"})),
        ("enroll/a", json!({"enrollment_id": "e"})),
        ("release/a", json!({"reason": "it was she"})),
        ("revoke/a", json!({"reason": "done"})),
        ("check/a", json!({"code": "eeeee-55555"})),
        ("check/app", json!({"code": "no code of ours"})),
        ("verify/app", json!({"code": codes[0], "idempotency_key": "k"})),
        ("verify/app", json!({"code": codes[0], "idempotency_key": "k"})),
        ("verify/app", json!({"code": codes[0]})),
        ("verify/app", json!({"code": "no code of ours"})),
        ("sets/app", json!({"cas": 1})),
    ] {
        bench.store.reset_counts();
        let answer = bench.act(path, body.clone()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let counts = bench.store.counts();
        // An enrollment looks at the keyring first, which names the event's record. Where a code may have to be stretched, that is
        // done between two readings.
        let reads = if path.starts_with("enroll/") || path == "check/a" { 2 } else { 1 };
        assert_eq!((counts.get_many, counts.put_all, counts.list), (reads, 1, 0), "{path} {body}");
    }
    for (operation, path, wanted) in [
        (Operation::Read, "accounts/a", (1, 0)),
        (Operation::Read, "history/a", (1, 0)),
        (Operation::List, "accounts/", (0, 1)),
        (Operation::Read, "config", (1, 0)),
        (Operation::Read, "roles/admin", (1, 0)),
    ] {
        bench.store.reset_counts();
        assert_eq!(bench.root(operation, path, json!({})).await.status, 200);
        let counts = bench.store.counts();
        assert_eq!((counts.get_many, counts.put_all, counts.list), (wanted.0, 0, wanted.1), "{path}");
    }
}
