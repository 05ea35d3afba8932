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
        if ["retrieve", "sets", "verify"].iter().any(|act| path.starts_with(act)) {
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
            assert_eq!(first.data["valid"], second.data["valid"], "{moment}");
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

#[tokio::test]
async fn making_a_set_goes_on_where_it_died_and_makes_one_generation() {
    let prepare = [("sets/a", json!({"profile": "issued"}))];
    die_and_repeat(&prepare, "sets/a", json!({"cas": 1}), |account, moment| {
        assert_eq!((&account["generation"], &account["remaining"]), (&json!(2), &json!(10)), "{moment}");
    })
    .await;
}

#[tokio::test]
async fn a_presented_code_that_died_on_its_way_is_accepted_once() {
    for writes in 0..6 {
        let bench = Bench::over(Arc::new(Memory::sequential())).await;
        let codes = bench.act("sets/a", json!({"profile": "issued"})).await.codes;
        let ask = json!({"code": codes[0], "idempotency_key": "again"});
        bench.store.freeze_after(writes);
        let first = bench.act("verify/a", ask.clone()).await;
        bench.store.thaw();
        let second = bench.act("verify/a", ask.clone()).await;
        let moment = format!("after {writes} writes: {first:?} then {second:?}");
        assert_eq!((second.status, &second.data["valid"]), (200, &json!(true)), "{moment}");
        let other = bench.act("verify/a", json!({"code": codes[0]})).await;
        assert_eq!(other.data["valid"], false, "{moment}: {other:?}");
        let account = bench.read("accounts/a").await;
        assert_eq!((&account["remaining"], &account["failures"]["in_a_row"]), (&json!(9), &json!(1)), "{moment}");
    }
}

#[tokio::test]
async fn a_wrong_code_that_died_on_its_way_is_counted_once_it_is_answered() {
    for writes in 0..3 {
        let bench = Bench::over(Arc::new(Memory::sequential())).await;
        bench.act("sets/a", json!({"profile": "issued"})).await;
        for act in ["verify/a", "check/a"] {
            bench.store.freeze_after(writes);
            bench.act(act, json!({"code": "AAAA-BBBB-CCCC-DDDD"})).await;
            bench.store.thaw();
            let before = bench.read("accounts/a").await["failures"]["in_a_row"].as_u64().unwrap_or(0);
            assert_eq!(bench.act(act, json!({"code": "AAAA-BBBB-CCCC-DDDD"})).await.status, 200);
            assert_eq!(bench.read("accounts/a").await["failures"]["in_a_row"], before + 1, "{act} after {writes}");
        }
    }
}

#[tokio::test]
async fn what_is_said_of_an_archived_set_goes_on_where_it_died() {
    let prepare: Vec<(&str, Value)> = (0..6)
        .flat_map(|number| {
            let codes = json!({"codes": [format!("code{number}-aaaaa"), format!("code{number}-bbbbb")]});
            [("sets/a", codes), ("retrieve/a", json!({}))]
        })
        .collect();
    let report = json!({"generation": 1, "slot": 1, "outcome": "worked"});
    for (path, body) in [("confirm/a", json!({"generation": 1})), ("outcome/a", report)] {
        die_and_repeat(&prepare, path, body, |account, moment| {
            assert_eq!(account["generation"], 6, "{moment}");
        })
        .await;
    }
}

/// As below, for a code that was accepted.
#[tokio::test]
async fn an_accepted_code_is_remembered_though_an_older_record_comes_back() {
    let bench = Bench::over(Arc::new(Memory::sequential())).await;
    let codes = bench.act("sets/a", json!({"profile": "issued"})).await.codes;
    let read = || async {
        match bench.store.get_many(vec![Get::new("accounts/a")]).await.unwrap().remove(0) {
            Found::Value(value, revision) => (value, revision),
            other => panic!("{other:?}"),
        }
    };
    let (before, _) = read().await;
    assert_eq!(bench.act("verify/a", json!({"code": codes[0]})).await.data["valid"], true);
    let (_, now) = read().await;
    bench.store.put_all(vec![Write::put("accounts/a", Expect::At(now), before, &OsRandom)]).await.unwrap();
    assert_eq!(bench.act("verify/a", json!({"code": codes[0]})).await.data["valid"], false);
    assert_eq!(bench.read("accounts/a").await["sets"][0]["slots"][0]["state"], "void");
    assert_eq!(bench.act("verify/a", json!({"code": codes[1]})).await.data["valid"], true);
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

/// The event's record goes down with the account's, or after it: an event that is noted as done has been heard of.
#[tokio::test]
async fn an_event_that_died_takes_effect_when_it_is_delivered_again() {
    for writes in 0..4 {
        let bench = Bench::over(Arc::new(Memory::sequential())).await;
        bench.store("okta/sam@example.com", &CODES).await;
        bench.wait(3600);
        let event = bench.event("sam@example.com", bench.now(), json!({}));
        bench.store.freeze_after(writes);
        bench.send_event(&event).await;
        bench.store.thaw();
        assert_eq!(bench.send_event(&event).await.status, 202, "after {writes} writes");
        let asked = bench.act("retrieve/okta/sam@example.com", json!({})).await;
        assert_eq!(asked.word(), "ended", "acknowledged after {writes} writes, and forgotten");
    }
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
