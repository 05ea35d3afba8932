//! A presented code is consumed, once; wrong ones are counted, and guessing is bounded.

use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::domain::profile::Profile;
use sparekey::domain::throttle::MOST_FAILURES;
use sparekey::engine::request::Operation;
use sparekey::storage::faulty::{Outcome, Times};
use tokio::task::JoinSet;

use crate::harness::{Answer, Bench, CODES, INVALID};
use crate::issued::{issue, plain_profile, spellings, stored_bytes};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wrong_codes_at_once_get_no_more_tries_than_one_after_the_other() {
    let bench = Arc::new(Bench::new().await);
    plain_profile(&bench).await;
    let codes = issue(&bench, "a", "plain").await;
    let mut clients = JoinSet::new();
    for number in 0..32 {
        let bench = bench.clone();
        clients.spawn(async move { present(&bench, "a", &format!("{WRONG}{number}")).await.data });
    }
    let said = clients.join_all().await;
    assert!(said.iter().all(|data| data["valid"] == false));
    let account = bench.read("accounts/a").await;
    assert_eq!((&account["failures"]["in_a_row"], &account["failures"]["locked"]), (&json!(10), &json!(true)));
    assert_eq!(present(&bench, "a", &codes[0]).await.data, json!({"valid": false, "retry_after": 900}));
}

#[tokio::test]
async fn guessing_is_bounded_by_the_numbers_of_the_profile() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    bench.fine("profiles/plain", json!({"max_failures": 7, "lockout": "10m"})).await;
    let codes = issue(&bench, "a", "plain").await;
    let (max, lockout, most) = (7_u32, 600_i64, MOST_FAILURES);
    let (mut looked_at, mut waited) = (0_u32, 0_i64);
    // An attacker who never stops: as fast as it is let, for thirty days.
    while waited < 30 * 86_400 {
        let answer = present(&bench, "a", &format!("{WRONG}-{looked_at}")).await;
        let before = looked_at;
        looked_at = bench.read("accounts/a").await["failures"]["in_a_row"].as_u64().unwrap().try_into().unwrap();
        assert!(looked_at - before <= 1);
        match &answer.data["retry_after"] {
            Value::Number(_) => {
                bench.wait(lockout);
                waited += lockout;
            }
            Value::Null if answer.data.get("retry_after").is_some() => break,
            _ => {}
        }
        assert!(i64::from(looked_at) <= (waited / lockout + 1) * i64::from(max), "{max} tries in every {lockout} s");
    }
    assert_eq!(looked_at, most, "and {most} in all, until an operator looks at it");
    assert_eq!(waited, i64::from((most - 1) / max) * lockout);
    let stuck = bench.act("verify/a", json!({"code": codes[0]})).await;
    assert_eq!(stuck.data, json!({"valid": false, "retry_after": null}));
    assert!(stuck.warnings[0].contains("release/a"), "{stuck:?}");
    // What that is worth: a hundred guesses against ten codes of 80 bits.
    let issued = Profile::built_in("issued").unwrap();
    let bits = issued.alphabet.unwrap().bits(issued.length.unwrap());
    let chance = f64::from(most) * issued.count.unwrap() as f64 / bits.exp2();
    assert!(chance < 1e-20, "{chance}");
}

#[tokio::test]
async fn a_lockout_ends_by_itself_and_only_an_accepted_code_ends_the_row() {
    let mut bench = Bench::new().await;
    plain_profile(&bench).await;
    let codes = issue(&bench, "a", "plain").await;
    for number in 1..10 {
        assert_eq!(present(&bench, "a", WRONG).await.data, json!({"valid": false}), "{number}");
    }
    assert!(is_valid(&bench, "a", &codes[0]).await, "nine are forgiven");
    assert_eq!(bench.read("accounts/a").await["failures"], Value::Null);
    for _ in 0..9 {
        present(&bench, "a", WRONG).await;
    }
    assert_eq!(present(&bench, "a", WRONG).await.data, json!({"valid": false, "retry_after": 900}));
    bench.restart();
    bench.wait(600);
    let before = entries(&bench, "a").await.len();
    let locked = present(&bench, "a", &codes[1]).await;
    assert_eq!(locked.data, json!({"valid": false, "retry_after": 300}), "a restart forgets nothing");
    assert_eq!(entries(&bench, "a").await.len(), before, "while it is locked nobody can fill the history");
    let account = bench.read("accounts/a").await;
    assert!(account["warnings"].as_array().unwrap().contains(&json!("locked")), "{account}");
    assert_eq!((&account["failures"]["in_a_row"], &account["sets"][0]["failures"]), (&json!(10), &json!(19)));
    bench.wait(300);
    assert_eq!(present(&bench, "a", WRONG).await.data, json!({"valid": false}), "the row goes on: eleven");
    bench.act("sets/a", json!({"cas": 1})).await;
    let failures = &bench.read("accounts/a").await["failures"];
    assert_eq!(failures["in_a_row"], 11, "a new set does not begin the row anew");
}

#[tokio::test]
async fn an_operator_unlocks_with_a_reason() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    let codes = issue(&bench, "a", "plain").await;
    let refused = bench.act("release/a", json!({"reason": "x", "unlock": true})).await;
    assert_eq!((refused.status, refused.word()), (INVALID, "not-locked"), "{refused:?}");
    for _ in 0..10 {
        present(&bench, "a", WRONG).await;
    }
    let without = bench.act("release/a", json!({})).await;
    assert_eq!((without.status, without.word()), (INVALID, "reason"));
    let released = bench.act("release/a", json!({"reason": "she called, it was her keyboard"})).await;
    assert_eq!((released.status, &released.data), (200, &json!({"unlocked": true})), "{released:?}");
    assert!(is_valid(&bench, "a", &codes[0]).await);
    let entries = entries(&bench, "a").await;
    let entry = entries.iter().find(|entry| entry["act"] == "release").unwrap();
    assert_eq!(entry["detail"], json!({"unlocked": true, "in_a_row": 10}));
    // Locked and quarantined: which of the two is lifted must be said.
    for _ in 0..10 {
        present(&bench, "a", WRONG).await;
    }
    bench.fine("profiles/plain", json!({"on_enrollment": "quarantine"})).await;
    bench.wait(60);
    bench.act("enroll/a", json!({"enrollment_id": "e"})).await;
    let both = bench.act("release/a", json!({"reason": "x"})).await;
    assert_eq!((both.status, both.word()), (INVALID, "unlock"), "{both:?}");
    let set = bench.act("release/a", json!({"reason": "x", "unlock": false})).await;
    assert_eq!(set.data, json!({"released": 1}));
    assert_eq!(bench.read("accounts/a").await["failures"]["locked"], true);
    let lock = bench.act("release/a", json!({"reason": "x"})).await;
    assert_eq!(lock.data, json!({"unlocked": true}));
}

#[tokio::test]
async fn every_attempt_costs_one_computation_whatever_there_is() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    bench.fine("profiles/large", json!({"kind": "issued", "count": 24})).await;
    let codes = issue(&bench, "known", "issued").await;
    issue(&bench, "large", "large").await;
    issue(&bench, "ended", "issued").await;
    bench.act("revoke/ended", json!({"reason": "x"})).await;
    bench.fine("accounts/without", json!({"profile": "issued"})).await;
    issue(&bench, "gone", "issued").await;
    bench.act("revoke/gone", json!({"reason": "x"})).await;
    bench.root(Operation::Delete, "accounts/gone", json!({})).await;
    let cost = async |account: &str, code: &str| {
        let before = bench.engine.stretched();
        let answer = bench.act(&format!("verify/{account}"), json!({"code": code})).await;
        (bench.engine.stretched() - before, answer.status, answer.data)
    };
    for account in ["known", "large", "ended", "without", "gone", "nobody", "no/such/account"] {
        assert_eq!(cost(account, WRONG).await, (1, 200, json!({"valid": false})), "{account}");
    }
    assert_eq!(cost("known", &codes[0]).await.0, 1);
    assert_eq!(cost("known", &codes[0]).await.0, 1, "a used code");
    assert_eq!(cost("known", "no code at all").await.0, 1);
    let stranger = bench.root(Operation::Read, "accounts/nobody", json!({})).await;
    assert_eq!(stranger.status, 404, "asking makes no account");
    issue(&bench, "plain", "plain").await;
    assert_eq!(cost("plain", WRONG).await.0, 0, "codes of 112 bits need none");
    bench.store("escrowed", &CODES).await;
    let escrowed = bench.act("verify/escrowed", json!({"code": CODES[0]})).await;
    assert_eq!((escrowed.status, escrowed.word()), (INVALID, "escrowed"), "{escrowed:?}");
    for _ in 0..10 {
        cost("large", WRONG).await;
    }
    assert_eq!(cost("large", WRONG).await.0, 0, "none while it is locked");
}

#[tokio::test]
async fn a_bad_assertion_never_counts_and_costs_nothing() {
    let bench = Bench::new().await;
    issue(&bench, "a", "issued").await;
    let before = bench.engine.stretched();
    for jwt in [
        json!("x"),
        json!(bench.jwt(json!({"aud": "other"}))),
        json!(bench.jwt(json!({"team": "sales"}))),
        json!(bench.jwt(json!({"exp": bench.now() - 100, "iat": bench.now() - 200}))),
    ] {
        for _ in 0..4 {
            let answer = bench.act("verify/a", json!({"code": WRONG, "jwt": jwt})).await;
            assert_eq!(answer.status, 403, "{answer:?}");
        }
    }
    bench
        .fine(
            "roles/other",
            json!({"issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_subject": "jane",
        "accounts": ["*"], "operations": ["check"]}),
        )
        .await;
    let answer = bench.act("verify/a", json!({"code": WRONG, "role": "other"})).await;
    assert_eq!(answer.status, 403, "check is not verify");
    assert_eq!(bench.engine.stretched(), before);
    assert_eq!(bench.read("accounts/a").await["failures"], Value::Null);
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
async fn counters_outlive_deletion_and_re_creation() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    issue(&bench, "a", "plain").await;
    for _ in 0..10 {
        present(&bench, "a", WRONG).await;
    }
    bench.act("revoke/a", json!({"reason": "leaves"})).await;
    assert_eq!(bench.root(Operation::Delete, "accounts/a", json!({})).await.status, 204);
    let codes = issue(&bench, "a", "plain").await;
    assert_eq!(present(&bench, "a", &codes[0]).await.data, json!({"valid": false, "retry_after": 900}));
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
