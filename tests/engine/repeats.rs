//! A repeated request: the same code within its window, never another one.

use serde_json::json;

use crate::harness::{Bench, CODES, INVALID};

#[tokio::test]
async fn the_same_caller_with_the_same_key_sees_the_same_code() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let body = json!({"idempotency_key": "k1", "reason": "locked out"});
    let first = bench.act("retrieve/github/acme", body.clone()).await;
    bench.wait(290);
    let second = bench.act("retrieve/github/acme", body.clone()).await;
    assert_eq!((first.code.as_deref(), second.code.as_deref()), (Some(CODES[0]), Some(CODES[0])));
    assert_eq!((&first.data["repeat"], &second.data["repeat"]), (&json!(false), &json!(true)));
    let history = bench.read("history/github/acme").await;
    let entries = history["entries"].as_array().unwrap();
    assert_eq!((&entries[2]["act"], &entries[2]["repeat"]), (&json!("retrieve"), &json!(true)));
    bench.wait(11);
    let late = bench.act("retrieve/github/acme", body.clone()).await;
    assert_eq!((late.status, &late.code, &late.data["done"]), (200, &None, &json!(true)), "{late:?}");
    assert_eq!(bench.read("accounts/github/acme").await["remaining"], 3);
}

#[tokio::test]
async fn the_same_jwt_with_the_same_key_goes_on_where_it_stopped() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let jwt = bench.jwt(json!({}));
    let body = json!({"jwt": jwt, "idempotency_key": "k1"});
    let first = bench.act("retrieve/github/acme", body.clone()).await;
    let second = bench.act("retrieve/github/acme", body).await;
    assert_eq!(first.code, second.code);
    let without = bench.act("retrieve/github/acme", json!({"jwt": jwt})).await;
    assert_eq!((without.status, without.code), (403, None));
}

#[tokio::test]
async fn a_key_binds_the_whole_request_and_its_caller() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let first = bench.act("retrieve/github/acme", json!({"idempotency_key": "k1", "reason": "a"})).await;
    let other = bench.act("retrieve/github/acme", json!({"idempotency_key": "k1", "reason": "b"})).await;
    assert_eq!((other.status, other.word(), &other.code), (INVALID, "idempotency_key", &None), "{other:?}");
    let jwt = bench.jwt(json!({"sub": "john"}));
    let john = bench.act("retrieve/github/acme", json!({"jwt": jwt, "idempotency_key": "k1", "reason": "a"})).await;
    assert!(john.code.is_some() && john.code != first.code, "another caller's key is another key");
}

#[tokio::test]
async fn a_repeat_shows_nothing_once_the_set_has_ended() {
    let bench = Bench::new().await;
    // The ciphertexts stay for a while, so that it is the end that shuts it and not their absence.
    bench.fine("profiles/escrowed", json!({"destroy_after": "1h"})).await;
    bench.store("github/acme", &CODES).await;
    let body = json!({"idempotency_key": "k1"});
    bench.act("retrieve/github/acme", body.clone()).await;
    bench.act("revoke/github/acme", json!({"reason": "phished"})).await;
    let again = bench.act("retrieve/github/acme", body).await;
    assert_eq!(again.code, None, "a repeat shows a code of a set that has ended");
    assert_eq!((again.status, &again.data["done"]), (200, &json!(true)), "{again:?}");
}

#[tokio::test]
async fn a_repeat_is_judged_afresh() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let body = json!({"idempotency_key": "k1"});
    bench.act("retrieve/github/acme", body.clone()).await;
    bench.fine("roles/admin", json!({"operations": ["store"]})).await;
    let again = bench.act("retrieve/github/acme", body).await;
    assert_eq!((again.status, again.code), (403, None));
}

#[tokio::test]
async fn storing_again_with_the_same_key_is_recognised_before_everything_else() {
    let bench = Bench::new().await;
    let body = json!({"codes": CODES, "cas": 0, "idempotency_key": "job-7"});
    let first = bench.act("sets/github/acme", body.clone()).await;
    bench.act("enroll/github/acme", json!({"enrollment_id": "e1"})).await;
    let second = bench.act("sets/github/acme", body).await;
    assert_eq!((first.status, second.status), (200, 200), "{second:?}");
    assert_eq!(second.data["generation"], 1);
    assert_eq!(bench.read("accounts/github/acme").await["generation"], 1);
    let other = bench.act("sets/github/acme", json!({"codes": ["eeeee-55555"], "idempotency_key": "job-7"})).await;
    assert_eq!((other.status, other.word()), (INVALID, "idempotency_key"));
}
