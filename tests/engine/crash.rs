//! A crash between any two writes of an act, on a store that cannot commit them together.

use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::engine::request::Operation;
use sparekey::random::OsRandom;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Expect, Found, Get, Storage, Write};

use crate::harness::{Bench, CODES};

/// Carries out an act that dies after each number of single writes in turn, then repeats it as a client would.
async fn die_and_repeat(prepare: &[(&str, Value)], path: &str, body: Value, check: impl Fn(&Value, &str)) {
    for writes in 0..6 {
        let bench = Bench::over(Arc::new(Memory::sequential())).await;
        for (path, body) in prepare {
            let answer = bench.act(path, body.clone()).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            bench.wait(60);
        }
        let mut request = body.clone();
        if path.starts_with("retrieve") || path.starts_with("sets") {
            request["jwt"] = json!(bench.jwt(json!({})));
            request["idempotency_key"] = json!("again");
        }
        bench.store.freeze_after(writes);
        let first = bench.act(path, request.clone()).await;
        bench.store.thaw();
        let second = bench.act(path, request.clone()).await;
        let moment = format!("{path} after {writes} writes: {first:?} then {second:?}");
        assert_eq!(second.status, 200, "{moment}");
        if first.status == 200 {
            assert_eq!(first.code, second.code, "{moment}");
        }
        let history = bench.root(Operation::Read, "history/a", json!({"verify": true, "limit": 1000})).await;
        assert_eq!(history.data["verified"], true, "{moment}");
        check(&bench.read("accounts/a").await, &moment);
    }
}

#[tokio::test]
async fn a_retrieval_goes_on_where_it_died_and_costs_one_slot() {
    let prepare = [("sets/a", json!({"codes": CODES}))];
    die_and_repeat(&prepare, "retrieve/a", json!({}), |account, moment| {
        assert_eq!(account["remaining"], 3, "{moment}");
    })
    .await;
}

/// A store without transactions can lose a record to a writer that was deposed and did not know it yet. What such a writer
/// brings back is not handed out again.
#[tokio::test]
async fn a_burn_is_remembered_though_an_older_record_comes_back() {
    let bench = Bench::over(Arc::new(Memory::sequential())).await;
    bench.store("a", &CODES).await;
    let read = || async {
        match bench.store.get_many(vec![Get::new("accounts/a")]).await.unwrap().remove(0) {
            Found::Value(value, revision) => (value, revision),
            other => panic!("{other:?}"),
        }
    };
    let (before, _) = read().await;
    let jwt = bench.jwt(json!({}));
    let ask = json!({"jwt": jwt, "idempotency_key": "k"});
    let first = bench.act("retrieve/a", ask.clone()).await;
    assert_eq!(first.code.as_deref(), Some(CODES[0]));
    let (_, now) = read().await;
    bench.store.put_all(vec![Write::put("accounts/a", Expect::At(now), before, &OsRandom)]).await.unwrap();

    let second = bench.act("retrieve/a", json!({})).await;
    assert_eq!((second.code.as_deref(), &second.data["remaining"]), (Some(CODES[1]), &json!(2)), "{second:?}");
    assert_eq!(bench.read("accounts/a").await["sets"][0]["slots"][0]["state"], "void");
    // An assertion that is used up burns nothing.
    for _ in 0..3 {
        assert_eq!(bench.act("retrieve/a", json!({"jwt": jwt, "idempotency_key": "other"})).await.status, 403);
    }
    assert_eq!(bench.act("retrieve/a", json!({})).await.code.as_deref(), Some(CODES[2]));
}

#[tokio::test]
async fn an_import_goes_on_where_it_died_and_makes_one_generation() {
    let prepare = [("sets/a", json!({"codes": CODES}))];
    let body = json!({"codes": ["eeeee-55555", "fffff-66666"], "cas": 1});
    die_and_repeat(&prepare, "sets/a", body, |account, moment| {
        assert_eq!((&account["generation"], &account["remaining"]), (&json!(2), &json!(2)), "{moment}");
    })
    .await;
}

#[tokio::test]
async fn an_import_that_archives_goes_on_where_it_died() {
    let prepare: Vec<(&str, Value)> = (0..6)
        .map(|number| ("sets/a", json!({"codes": [format!("code{number}-aaaaa"), format!("code{number}-bbbbb")]})))
        .collect();
    let body = json!({"codes": ["eeeee-55555", "fffff-66666"]});
    die_and_repeat(&prepare, "sets/a", body, |account, moment| {
        assert_eq!(account["generation"], 7, "{moment}");
    })
    .await;
}

#[tokio::test]
async fn an_act_that_archives_the_ledger_goes_on_where_it_died() {
    let mut prepare: Vec<(&str, Value)> = vec![("sets/a", json!({"codes": CODES}))];
    prepare.extend(
        (0..62).map(|number| ("enroll/a", json!({"enrollment_id": format!("e{number}"), "occurred_at": 1_000}))),
    );
    die_and_repeat(&prepare, "retrieve/a", json!({}), |account, moment| {
        assert_eq!(account["remaining"], 3, "{moment}");
    })
    .await;
}

#[tokio::test]
async fn an_enrollment_that_died_takes_effect_when_it_is_told_again() {
    let prepare = [("sets/a", json!({"codes": CODES}))];
    die_and_repeat(&prepare, "enroll/a", json!({"enrollment_id": "e1"}), |account, moment| {
        assert_eq!(account["active_generation"], json!(null), "{moment}");
    })
    .await;
}

#[tokio::test]
async fn a_deletion_that_died_is_finished_or_never_happened() {
    for writes in 0..3 {
        let bench = Bench::over(Arc::new(Memory::sequential())).await;
        bench.store("a", &CODES).await;
        bench.act("revoke/a", json!({"reason": "leaves"})).await;
        bench.store.freeze_after(writes);
        bench.root(Operation::Delete, "accounts/a", json!({})).await;
        bench.store.thaw();
        assert_eq!(bench.root(Operation::Delete, "accounts/a", json!({})).await.status, 204, "after {writes}");
        assert_eq!(bench.root(Operation::Read, "accounts/a", json!({})).await.status, 404, "after {writes}");
        let again = bench.act("sets/a", json!({"codes": CODES})).await;
        assert_eq!(again.word(), "known-codes", "after {writes}: {again:?}");
    }
}
