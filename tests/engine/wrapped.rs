//! Wrapped retrievals: nothing in clear anywhere, one opening, dead with the set.

use serde_json::json;
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;
use sparekey::engine::unwrap::Unwrap;

use crate::harness::{Answer, Bench, CODES, INVALID, wrap};

async fn wrapped(bench: &Bench, mark: u8, secs: u64, key: &str) -> Answer {
    let body = json!({"jwt": bench.jwt(json!({})), "idempotency_key": key});
    bench.send(Operation::Update, "retrieve/a", body, Caller::Anonymous, Some(wrap(mark, secs))).await
}

async fn unwrap(bench: &Bench, mark: u8) -> Answer {
    let unwrap =
        Unwrap { account: "a".into(), token_hash: [mark; 32], record: None, request_id: "u1".into(), remote: None };
    bench.open(bench.engine.unwrap(unwrap).await).await
}

#[tokio::test]
async fn a_wrapped_code_is_opened_once() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let answer = wrapped(&bench, 1, 60, "k1").await;
    assert_eq!((answer.status, &answer.data, &answer.code), (200, &json!("wrapped"), &None));
    assert_eq!(bench.read("accounts/a").await["sets"][0]["slots"][0]["state"], "wrapped");
    assert_eq!(unwrap(&bench, 2).await.status, INVALID, "another token opens nothing");
    let opened = unwrap(&bench, 1).await;
    assert_eq!(opened.code.as_deref(), Some(CODES[0]));
    let again = unwrap(&bench, 1).await;
    assert_eq!((again.status, again.error.as_str()), (INVALID, "wrapping token is not valid or does not exist"));
    let history = bench.read("history/a").await;
    let acts: Vec<&str> =
        history["entries"].as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["store", "retrieve", "unwrap"]);
    let repeat = wrapped(&bench, 3, 60, "k1").await;
    assert_eq!((&repeat.code, &repeat.data["done"]), (&None, &json!(true)), "after the unwrap a repeat answers done");
}

#[tokio::test]
async fn a_wrapping_that_is_not_opened_in_time_is_void() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    wrapped(&bench, 1, 60, "k1").await;
    bench.wait(60);
    assert_eq!(unwrap(&bench, 1).await.status, INVALID);
    let account = bench.read("accounts/a").await;
    assert_eq!((&account["sets"][0]["slots"][0]["state"], &account["remaining"]), (&json!("void"), &json!(3)));
}

#[tokio::test]
async fn ending_the_set_kills_the_wrapping() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    wrapped(&bench, 1, 60, "k1").await;
    bench.act("revoke/a", json!({"reason": "phished"})).await;
    assert_eq!(unwrap(&bench, 1).await.status, INVALID);
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    wrapped(&bench, 1, 60, "k1").await;
    bench.wait(40);
    bench.act("enroll/a", json!({"enrollment_id": "e1"})).await;
    assert_eq!(unwrap(&bench, 1).await.status, INVALID);
}

/// The wrapping is dead, and the request is still the one that it was: it costs no second code.
#[tokio::test]
async fn a_repeat_after_the_wrapping_died_is_done_and_takes_no_other_slot() {
    for in_time in [true, false] {
        let bench = Bench::new().await;
        bench.store("a", &CODES).await;
        let body = json!({"jwt": bench.jwt(json!({})), "idempotency_key": "k1"});
        let ask =
            |mark| bench.send(Operation::Update, "retrieve/a", body.clone(), Caller::Anonymous, Some(wrap(mark, 60)));
        assert_eq!(ask(1).await.data, json!("wrapped"));
        if in_time {
            bench.wait(1);
            let newer = bench.act("sets/a", json!({"codes": ["eeeee-55555", "fffff-66666"]})).await;
            assert_eq!(newer.status, 200, "{newer:?}");
        } else {
            bench.wait(60);
        }
        let again = ask(2).await;
        assert_eq!((again.status, &again.data["done"], &again.code), (200, &json!(true), &None), "{again:?}");
        assert_eq!(unwrap(&bench, 2).await.status, INVALID);
        let left = if in_time { 2 } else { 3 };
        assert_eq!(bench.read("accounts/a").await["remaining"], left);
    }
}

#[tokio::test]
async fn a_repeat_replaces_the_token_and_must_ask_for_a_wrap() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    wrapped(&bench, 1, 60, "k1").await;
    let bare = bench.act("retrieve/a", json!({"idempotency_key": "k1"})).await;
    assert_eq!((bare.word(), &bare.code), ("idempotency_key", &None), "{bare:?}");
    wrapped(&bench, 2, 60, "k1").await;
    assert_eq!(unwrap(&bench, 1).await.status, INVALID);
    assert_eq!(unwrap(&bench, 2).await.code.as_deref(), Some(CODES[0]));
    assert_eq!(bench.read("accounts/a").await["remaining"], 3);
}

#[tokio::test]
async fn a_wrap_does_not_outlive_the_reveal_window() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let answer = wrapped(&bench, 1, 301, "k1").await;
    assert_eq!((answer.status, answer.word()), (INVALID, "wrap-ttl"), "{answer:?}");
    assert_eq!(bench.read("accounts/a").await["remaining"], 4);
}

#[tokio::test]
async fn a_role_may_demand_the_wrap() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.fine("roles/admin", json!({"wrap": "required"})).await;
    assert_eq!(bench.act("retrieve/a", json!({})).await.status, 403);
    assert_eq!(wrapped(&bench, 1, 60, "k1").await.status, 200);
}

#[tokio::test]
async fn a_wrapping_of_a_blocked_set_is_good_again_after_its_release() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    wrapped(&bench, 1, 300, "k1").await;
    bench.act("enroll/a", json!({"enrollment_id": "e1"})).await;
    let blocked = unwrap(&bench, 1).await;
    assert_eq!((blocked.status, blocked.word(), &blocked.code), (403, "quarantined", &None), "{blocked:?}");
    bench.act("release/a", json!({"reason": "same session"})).await;
    assert_eq!(unwrap(&bench, 1).await.code.as_deref(), Some(CODES[0]));
}
