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

/// Replaces the account's set so often that `generation` is the latest.
async fn go_on_to(bench: &Bench, account: &str, generation: u32) {
    for _ in bench.read(&format!("accounts/{account}")).await["generation"].as_u64().unwrap()..generation.into() {
        let stored = bench.act(&format!("sets/{account}"), json!({})).await;
        assert_eq!(stored.status, 200, "{stored:?}");
    }
}

async fn bench_with_issued() -> Bench {
    let bench = Bench::new().await;
    bench
        .fine(
            "profiles/issued",
            json!({"kind": "issued", "length": 28, "alphabet": "hex", "verifier": "hmac-sha256", "count": 4}),
        )
        .await;
    bench.fine("config", json!({"default_profile": "issued"})).await;
    bench
}

#[tokio::test]
async fn a_request_that_comes_again_is_known_though_its_set_has_left_the_record() {
    let bench = bench_with_issued().await;
    let body = json!({"idempotency_key": "job-7"});
    let first = bench.act("sets/okta/jane", body.clone()).await;
    let code = first.codes[0].clone();
    let shown = json!({"code": code, "idempotency_key": "login-1"});
    assert_eq!(bench.act("verify/okta/jane", shown.clone()).await.data["valid"], true);
    // Far beyond what one look finds.
    go_on_to(&bench, "okta/jane", 40).await;
    let again = bench.act("sets/okta/jane", body.clone()).await;
    assert_eq!(
        (again.status, &again.data["generation"], &again.data["codes"]),
        (200, &json!(1), &json!(null)),
        "{again:?}"
    );
    assert_eq!(again.data["count"], first.data["count"]);
    let used = bench.act("verify/okta/jane", shown).await;
    assert_eq!((&used.data["valid"], &used.data["done"]), (&json!(false), &json!(true)), "{used:?}");
    assert_eq!(bench.read("accounts/okta/jane").await["generation"], 40);
    let other = bench.act("sets/okta/jane", json!({"idempotency_key": "job-7", "cas": 40})).await;
    assert_eq!((other.status, other.word()), (INVALID, "idempotency_key"), "the key still binds the whole request");
    // A day later it is a request like any other.
    bench.wait(24 * 60 * 60 + 1);
    go_on_to(&bench, "okta/jane", 45).await;
    assert_eq!(bench.act("sets/okta/jane", body).await.data["generation"], 46);
}

#[tokio::test]
async fn a_retrieval_that_comes_again_costs_no_code_of_a_later_set() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let body = json!({"jwt": bench.jwt(json!({})), "idempotency_key": "k1"});
    assert_eq!(bench.act("retrieve/github/acme", body.clone()).await.code.as_deref(), Some(CODES[0]));
    for set in 0..6 {
        bench.store("github/acme", &[&format!("later-{set}1234"), &format!("later-{set}5678")]).await;
    }
    let again = bench.act("retrieve/github/acme", body).await;
    assert_eq!((again.status, &again.code, &again.data["done"]), (200, &None, &json!(true)), "{again:?}");
    assert_eq!((&again.data["generation"], &again.data["slot"]), (&json!(1), &json!(1)));
    assert_eq!(bench.read("accounts/github/acme").await["remaining"], 2, "no code of the latest set left");
}

#[tokio::test]
async fn what_cannot_be_told_does_not_pass_for_new() {
    let bench = bench_with_issued().await;
    bench.act("sets/okta/jane", json!({})).await;
    go_on_to(&bench, "okta/jane", 262).await;
    let told = bench.act("sets/okta/jane", json!({"idempotency_key": "job-7"})).await;
    assert_eq!(told.status, 429, "{told:?}");
    assert_eq!(
        bench.act("sets/okta/jane", json!({})).await.data["generation"],
        263,
        "without a key nothing is looked for"
    );
}
