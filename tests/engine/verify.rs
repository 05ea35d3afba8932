//! A presented code is consumed, once.

use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::domain::profile::Profile;
use sparekey::domain::throttle::MOST_FAILURES;
use sparekey::engine::request::Operation;
use sparekey::storage::faulty::{Outcome, Times};
use tokio::task::JoinSet;

use crate::harness::{Answer, Bench, CODES, INVALID};
use crate::issued::{issue, plain_profile, spellings, stored_bytes};

mod ended;
mod guessing;

const WRONG: &str = "AAAA-BBBB-CCCC-DDDD";

async fn present(bench: &Bench, account: &str, code: &str) -> Answer {
    let answer = bench.act(&format!("verify/{account}"), json!({"code": code})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn is_valid(bench: &Bench, account: &str, code: &str) -> bool {
    present(bench, account, code).await.data["valid"] == true
}

async fn entries(bench: &Bench, account: &str) -> Vec<Value> {
    let history =
        bench.root(Operation::Read, &format!("history/{account}"), json!({"limit": 1000, "verify": true})).await;
    assert_eq!(history.data["verified"], true, "{history:?}");
    history.data["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_code_is_accepted_once_and_says_what_remains() {
    let bench = Bench::new().await;
    let codes = issue(&bench, "app/jane", "issued").await;
    let answer = present(&bench, "app/jane", &codes[2]).await;
    assert_eq!(
        answer.data,
        json!({"valid": true, "slot": 3, "generation": 1, "remaining": 9, "repeat": false,
            "regenerate_by": "2027-01-16T08:00:00.000Z"})
    );
    assert_eq!(present(&bench, "app/jane", &codes[2]).await.data, json!({"valid": false}));
    let account = bench.read("accounts/app/jane").await;
    let slot = &account["sets"][0]["slots"][2];
    assert_eq!((&slot["state"], &slot["by"]), (&json!("consumed"), &json!("jane")));
    assert_eq!((&account["owes"]["generation"], &account["remaining"]), (&json!(1), &json!(9)));
    let entries = entries(&bench, "app/jane").await;
    let said: Vec<_> = entries.iter().map(|entry| (&entry["act"], &entry["slot"], &entry["detail"])).collect();
    assert_eq!(said[1], (&json!("verify"), &json!(3), &json!({"valid": true})));
    let spent = json!({"valid": false, "why": "spent", "in_a_row": 1, "locked": false});
    assert_eq!(
        said[2],
        (&json!("verify"), &json!(3), &spent),
        "who reads the history sees that a used code came again"
    );
}

#[tokio::test]
async fn every_spelling_of_a_code_is_that_code() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    for profile in ["issued", "plain"] {
        let codes = issue(&bench, profile, profile).await;
        let bare = |code: &str| code.replace('-', "");
        let all = [
            bare(&codes[0]),
            codes[1].to_lowercase(),
            format!("  {} \n", codes[2].replace('-', " ")),
            bare(&codes[3]).replace('0', "O").replace('1', "l"),
            bare(&codes[4]).replace('0', "o").replace('1', "I"),
            codes[5].replace('-', "\u{2013}"),
        ];
        for (index, spelling) in all.iter().enumerate() {
            assert!(is_valid(&bench, profile, spelling).await, "{profile} {spelling:?}");
            assert!(!is_valid(&bench, profile, &codes[index]).await, "no spelling of a used code is a new code");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thirty_two_clients_present_one_code_and_one_wins() {
    let bench = Arc::new(Bench::new().await);
    let codes = issue(&bench, "a", "issued").await;
    let mut clients = JoinSet::new();
    for number in 0..32 {
        let (bench, code) = (bench.clone(), codes[0].clone());
        clients.spawn(async move {
            let code = if number % 2 == 0 { code } else { code.to_lowercase().replace('-', " ") };
            is_valid(&bench, "a", &code).await
        });
    }
    let won = clients.join_all().await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1, "one code was accepted {won} times");
    assert_eq!(bench.read("accounts/a").await["remaining"], 9);
    let valid = entries(&bench, "a").await.iter().filter(|entry| entry["detail"]["valid"] == true).count();
    assert_eq!(valid, 1);
}

#[tokio::test]
async fn a_malformed_code_is_refused_by_its_field_and_never_repeated() {
    let bench = Bench::new().await;
    issue(&bench, "a", "issued").await;
    let long = "7".repeat(257);
    for code in [json!(null), json!(""), json!(" - "), json!(12_345_678), json!(["x"]), json!(long)] {
        let answer = bench.act("verify/a", json!({"code": code})).await;
        assert_eq!((answer.status, answer.word()), (INVALID, "code"), "{code}: {answer:?}");
        assert!(!answer.error.contains("777") && !answer.error.contains("12345678"), "{answer:?}");
    }
    let inside = bench.act("verify/a", json!({"code": WRONG, "idempotency_key": "s-aaaa bbbb ccccdddd-1"})).await;
    assert_eq!((inside.status, inside.word()), (INVALID, "idempotency_key"), "{inside:?}");
    assert_eq!(bench.read("accounts/a").await["failures"], Value::Null);
}

#[tokio::test]
async fn a_sequential_set_is_used_in_turn() {
    let bench = Bench::new().await;
    bench.fine("profiles/turn", json!({"kind": "issued", "order": "sequential"})).await;
    let codes = issue(&bench, "a", "turn").await;
    assert!(!is_valid(&bench, "a", &codes[1]).await);
    assert!(is_valid(&bench, "a", &codes[0]).await);
    assert!(is_valid(&bench, "a", &codes[1]).await);
    let why: Vec<Value> = entries(&bench, "a").await.iter().map(|entry| entry["detail"]["why"].clone()).collect();
    assert_eq!(why, [Value::Null, json!("out-of-turn"), Value::Null, Value::Null]);
}

#[tokio::test]
async fn the_last_codes_come_with_a_warning() {
    let bench = Bench::new().await;
    bench.fine("profiles/issued", json!({"count": 4, "low_watermark": 2})).await;
    let codes = issue(&bench, "a", "issued").await;
    assert_eq!(present(&bench, "a", &codes[0]).await.warnings, Vec::<String>::new());
    let low = present(&bench, "a", &codes[1]).await;
    assert!(low.warnings[0].starts_with("2 codes remain"), "{low:?}");
}

#[tokio::test]
async fn a_write_that_fails_or_is_unknown_consumes_once_or_not_at_all() {
    let bench = Bench::new().await;
    let codes = issue(&bench, "a", "issued").await;
    bench.store.fail_writes(Times::Next(1));
    let failed = bench.act("verify/a", json!({"code": codes[0]})).await;
    assert_eq!(failed.status, 500, "{failed:?}");
    assert!(is_valid(&bench, "a", &codes[0]).await, "nothing was said, nothing was used up");
    for outcome in [Outcome::Written, Outcome::Lost] {
        let code = if outcome == Outcome::Written { &codes[1] } else { &codes[2] };
        bench.store.answer_unknown(outcome, Times::Next(1));
        assert!(is_valid(&bench, "a", code).await, "{outcome:?}");
        assert!(!is_valid(&bench, "a", code).await, "{outcome:?}");
    }
    assert_eq!(bench.read("accounts/a").await["remaining"], 7);
}

#[tokio::test]
async fn presented_codes_lie_nowhere() {
    let bench = Bench::new().await;
    let codes = issue(&bench, "a", "issued").await;
    let wrong = "ZZZZ-YYYY-XXXX-WWWW".to_owned();
    bench.act("verify/a", json!({"code": codes[0], "idempotency_key": "k"})).await;
    bench.act("verify/a", json!({"code": codes[0]})).await;
    bench.act("verify/a", json!({"code": wrong, "idempotency_key": "k2"})).await;
    bench.act("check/a", json!({"code": codes[1]})).await;
    bench.act("check/a", json!({"code": wrong, "reason": "found in a chat"})).await;
    let mut bytes = stored_bytes(&bench).await;
    bytes.extend(serde_json::to_vec(&entries(&bench, "a").await).unwrap());
    bytes.extend(serde_json::to_vec(&bench.read("accounts/a").await).unwrap());
    for code in codes.iter().chain([&wrong]) {
        for spelling in spellings(code) {
            assert!(!bytes.windows(spelling.len()).any(|window| window == spelling), "{code} lies about");
        }
    }
}
