//! Wrong codes are counted, and guessing is bounded.

use super::*;

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
