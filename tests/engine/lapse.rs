//! What the clock does: obligations, age, limits per period.

use serde_json::json;

use crate::harness::{Bench, CODES};

#[tokio::test]
async fn the_first_retrieval_makes_the_account_owe_a_new_set_and_nothing_extends_it() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let first = bench.act("retrieve/a", json!({})).await;
    bench.wait(3600);
    let second = bench.act("retrieve/a", json!({})).await;
    assert_eq!(first.data["regenerate_by"], "2027-01-16T08:00:00.000Z");
    assert_eq!(first.data["regenerate_by"], second.data["regenerate_by"]);
    bench.wait(24 * 3600);
    let account = bench.read("accounts/a").await;
    assert_eq!(account["owes"]["overdue"], true);
    assert!(account["warnings"].as_array().unwrap().contains(&json!("overdue")));
    assert!(bench.act("retrieve/a", json!({})).await.code.is_some(), "flag only says so");
    bench.act("sets/a", json!({"codes": ["eeeee-55555", "fffff-66666"], "cas": 1})).await;
    assert_eq!(bench.read("accounts/a").await["owes"], json!(null));
}

#[tokio::test]
async fn a_lapse_refuses_where_the_profile_says_so_and_shreds_nothing() {
    let bench = Bench::new().await;
    bench.fine("profiles/strict", json!({"on_lapse": "revoke", "regenerate_within": "1h"})).await;
    bench.act("sets/a", json!({"codes": CODES, "profile": "strict"})).await;
    bench.act("retrieve/a", json!({})).await;
    bench.wait(3601);
    let answer = bench.act("retrieve/a", json!({})).await;
    assert!(answer.word() == "ended" && answer.error.contains("lapsed"), "{answer:?}");
    let account = bench.read("accounts/a").await;
    assert_eq!((&account["sets"][0]["status"], &account["sets"][0]["destroyed"]), (&json!("revoked"), &json!(false)));
    bench.wait(-10);
    assert!(bench.act("retrieve/a", json!({})).await.code.is_some(), "a clock put right brings it back");
}

#[tokio::test]
async fn an_old_set_is_refused() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"max_age": "30d"})).await;
    bench.store("a", &CODES).await;
    bench.wait(30 * 86_400 - 1);
    assert!(bench.act("retrieve/a", json!({})).await.code.is_some());
    bench.wait(1);
    let answer = bench.act("retrieve/a", json!({})).await;
    assert!(answer.word() == "ended" && answer.error.contains("age"), "{answer:?}");
    assert_eq!(bench.read("accounts/a").await["sets"][0]["status"], "expired");
}

#[tokio::test]
async fn a_subject_has_so_many_retrievals_in_a_period() {
    let bench = Bench::new().await;
    bench.fine("roles/admin", json!({"max_retrievals": 2, "per": "1h"})).await;
    bench.store("a", &CODES).await;
    for _ in 0..2 {
        assert!(bench.act("retrieve/a", json!({})).await.code.is_some());
    }
    let answer = bench.act("retrieve/a", json!({})).await;
    assert_eq!((answer.status, answer.word()), (429, "max-retrievals"), "{answer:?}");
    let jwt = bench.jwt(json!({"sub": "john"}));
    assert!(bench.act("retrieve/a", json!({"jwt": jwt})).await.code.is_some(), "another subject has its own share");
    bench.wait(3601);
    assert!(bench.act("retrieve/a", json!({})).await.code.is_some());
}

#[tokio::test]
async fn destroy_after_keeps_ciphertexts_and_never_lets_a_code_out() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"destroy_after": "1h"})).await;
    bench.store("a", &CODES).await;
    bench.act("revoke/a", json!({"reason": "phished", "cause": "compromise"})).await;
    let account = bench.read("accounts/a").await;
    assert_eq!((&account["sets"][0]["destroyed"], &account["sets"][0]["cause"]), (&json!(false), &json!("compromise")));
    assert_eq!(bench.act("retrieve/a", json!({})).await.word(), "ended");
    bench.wait(3600);
    assert_eq!(bench.read("accounts/a").await["sets"][0]["destroyed"], true);
}
