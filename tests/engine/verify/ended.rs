//! What a set must be to accept a code, and what a repeat of a request gets.

use super::*;

#[tokio::test]
async fn the_same_request_with_the_same_key_gets_the_same_answer_for_a_while() {
    let bench = Bench::new().await;
    let codes = issue(&bench, "a", "issued").await;
    let body = json!({"code": codes[0], "idempotency_key": "login-7"});
    let first = bench.act("verify/a", body.clone()).await;
    bench.wait(290);
    let second = bench.act("verify/a", body.clone()).await;
    assert_eq!((&first.data["valid"], &second.data["valid"]), (&json!(true), &json!(true)));
    assert_eq!((&second.data["repeat"], &second.data["slot"]), (&json!(true), &first.data["slot"]));
    assert_eq!(entries(&bench, "a").await[2]["repeat"], true);
    let other = bench.act("verify/a", json!({"code": codes[1], "idempotency_key": "login-7"})).await;
    assert_eq!((other.status, other.word()), (INVALID, "idempotency_key"), "{other:?}");
    let jwt = bench.jwt(json!({"sub": "john"}));
    let john = bench.act("verify/a", json!({"code": codes[0], "idempotency_key": "login-7", "jwt": jwt})).await;
    assert_eq!(john.data["valid"], false, "another caller's key is another key");
    bench.wait(11);
    let late = bench.act("verify/a", body).await;
    assert_eq!(late.data, json!({"valid": false, "done": true}), "{late:?}");
    let account = bench.read("accounts/a").await;
    assert_eq!((&account["remaining"], &account["failures"]["in_a_row"]), (&json!(9), &json!(1)), "john's");
}

#[tokio::test]
async fn a_repeat_is_not_valid_once_its_set_has_ended() {
    let bench = Bench::new().await;
    let codes = issue(&bench, "a", "issued").await;
    let body = json!({"code": codes[0], "idempotency_key": "k"});
    bench.act("verify/a", body.clone()).await;
    bench.act("revoke/a", json!({"reason": "phished"})).await;
    assert_eq!(bench.act("verify/a", body).await.data, json!({"valid": false, "done": true}));
}

#[tokio::test]
async fn no_code_of_an_ended_set_is_accepted() {
    for (name, end) in [
        ("enroll", json!({"enrollment_id": "e"})),
        ("revoke", json!({"reason": "phished", "cause": "compromise"})),
        ("sets", json!({"cas": 1})),
    ] {
        for destroy_after in ["0s", "1h"] {
            let bench = Bench::new().await;
            bench.fine("profiles/issued", json!({"destroy_after": destroy_after})).await;
            let codes = issue(&bench, "a", "issued").await;
            bench.wait(60);
            assert_eq!(bench.act(&format!("{name}/a"), end.clone()).await.status, 200);
            assert!(!is_valid(&bench, "a", &codes[0]).await, "{name}");
            let entries = entries(&bench, "a").await;
            let last = entries.last().unwrap();
            assert_eq!((&last["generation"], &last["slot"]), (&json!(1), &json!(1)), "{name}: {last}");
            assert_eq!(last["detail"]["why"], "ended", "{name}: {last}");
        }
    }
}

#[tokio::test]
async fn a_blocked_set_accepts_nothing_until_it_is_released() {
    let bench = Bench::new().await;
    bench.fine("profiles/issued", json!({"on_enrollment": "quarantine"})).await;
    let codes = issue(&bench, "a", "issued").await;
    bench.wait(60);
    bench.act("enroll/a", json!({"enrollment_id": "e"})).await;
    assert!(!is_valid(&bench, "a", &codes[0]).await, "a code of a quarantined set was accepted");
    bench.act("release/a", json!({"reason": "it was her"})).await;
    assert!(is_valid(&bench, "a", &codes[0]).await, "released, it is the code it was");
}

#[tokio::test]
async fn age_lapse_and_a_lapsed_review_are_judged_when_a_code_is_presented() {
    let bench = Bench::new().await;
    let strict = json!({"kind": "issued", "max_age": "30d", "on_lapse": "revoke", "regenerate_within": "1h"});
    bench.fine("profiles/strict", strict).await;
    let codes = issue(&bench, "a", "strict").await;
    assert!(is_valid(&bench, "a", &codes[0]).await);
    bench.wait(3601);
    assert!(!is_valid(&bench, "a", &codes[1]).await, "the new set did not come in time");
    let codes = bench.act("sets/a", json!({"cas": 1})).await.codes;
    bench.wait(30 * 86_400);
    assert!(!is_valid(&bench, "a", &codes[0]).await, "too old");
    let codes = bench.act("sets/a", json!({"cas": 2})).await.codes;
    let review = json!({"review_by": bench.now() + 10, "review_required": true});
    bench.fine("profiles/strict", review).await;
    bench.wait(11);
    assert!(!is_valid(&bench, "a", &codes[0]).await, "nobody has looked at this fallback again");
}
