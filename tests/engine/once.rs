//! Invariant 1: a code is dispensed at most once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;
use sparekey::storage::faulty::{Outcome, Times};
use sparekey::storage::memory::Memory;

use crate::harness::{Bench, CODES, INVALID, START, Signer};

#[tokio::test]
async fn each_retrieval_gets_another_code_until_none_is_left() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let mut seen = Vec::new();
    for remaining in (0..4).rev() {
        let answer = bench.act("retrieve/github/acme", json!({})).await;
        assert_eq!(answer.data["remaining"], remaining, "{answer:?}");
        seen.extend(answer.code);
    }
    assert_eq!(seen, CODES, "byte for byte, lowest slot first");
    let answer = bench.act("retrieve/github/acme", json!({})).await;
    assert_eq!((answer.status, answer.word()), (INVALID, "exhausted"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_clients_ask_for_the_last_code_and_one_gets_it() {
    for store in [Memory::new(), Memory::sequential()] {
        let bench = Arc::new(Bench::over(Arc::new(store)).await);
        bench.store("github/acme", &["aaaaa-11111"]).await;
        let jwts: Vec<String> = (0..32).map(|_| bench.jwt(json!({}))).collect();
        let tasks: Vec<_> = jwts
            .into_iter()
            .map(|jwt| {
                let bench = bench.clone();
                tokio::spawn(async move { bench.act("retrieve/github/acme", json!({"jwt": jwt})).await })
            })
            .collect();
        let mut codes = 0;
        for task in tasks {
            let answer = task.await.unwrap();
            codes += usize::from(answer.code.is_some());
            assert!(answer.code.is_some() || answer.word() == "exhausted", "{answer:?}");
        }
        assert_eq!(codes, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_empty_a_set_without_a_code_twice() {
    let bench = Arc::new(Bench::new().await);
    let codes: Vec<String> = (0..24).map(|number| format!("code{number:06}")).collect();
    bench.store("github/acme", &codes.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let jwts: Vec<String> = (0..32).map(|_| bench.jwt(json!({}))).collect();
    let tasks: Vec<_> = jwts
        .into_iter()
        .map(|jwt| {
            let bench = bench.clone();
            tokio::spawn(async move { bench.act("retrieve/github/acme", json!({"jwt": jwt})).await.code })
        })
        .collect();
    let mut seen = Vec::new();
    for task in tasks {
        seen.extend(task.await.unwrap());
    }
    assert_eq!(seen.len(), 24);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), codes.into_iter().collect());
}

#[tokio::test]
async fn one_jwt_discloses_once_on_whatever_account() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.store("github/other", &["eeeee-55555", "fffff-66666"]).await;
    let jwt = bench.jwt(json!({}));
    assert!(bench.act("retrieve/github/acme", json!({"jwt": jwt})).await.code.is_some());
    for path in ["retrieve/github/acme", "retrieve/github/other"] {
        let answer = bench.act(path, json!({"jwt": jwt})).await;
        assert_eq!((answer.status, answer.word(), &answer.code), (403, "assertion", &None), "{path}: {answer:?}");
    }
    assert_eq!(bench.read("accounts/github/acme").await["remaining"], 3);
    assert_eq!(bench.read("accounts/github/other").await["remaining"], 2);
}

#[tokio::test]
async fn without_a_jti_the_signed_bytes_are_the_claim() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let jwt = bench.jwt(json!({"jti": null}));
    assert!(bench.act("retrieve/github/acme", json!({"jwt": jwt})).await.code.is_some());
    assert_eq!(bench.act("retrieve/github/acme", json!({"jwt": jwt})).await.status, 403);
}

#[tokio::test]
async fn a_role_may_allow_many_disclosures_for_a_jwt() {
    let bench = Bench::new().await;
    bench.fine("roles/admin", json!({"single_use": false})).await;
    bench.store("github/acme", &CODES).await;
    let jwt = bench.jwt(json!({}));
    let first = bench.act("retrieve/github/acme", json!({"jwt": jwt})).await.code;
    let second = bench.act("retrieve/github/acme", json!({"jwt": jwt})).await.code;
    assert!(first.is_some() && second.is_some() && first != second);
}

#[tokio::test]
async fn a_write_that_fails_releases_nothing() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.store.fail_writes(Times::Next(1));
    let answer = bench.act("retrieve/github/acme", json!({})).await;
    assert_eq!((answer.status, answer.code), (500, None));
    assert_eq!(bench.read("accounts/github/acme").await["remaining"], 4);
}

#[tokio::test]
async fn an_unknown_outcome_is_recognised_on_reading_again() {
    for (outcome, remaining) in [(Outcome::Written, 3), (Outcome::Lost, 3)] {
        let bench = Bench::new().await;
        bench.store("github/acme", &CODES).await;
        bench.store.answer_unknown(outcome, Times::Next(1));
        let answer = bench.act("retrieve/github/acme", json!({})).await;
        assert_eq!(answer.code.as_deref(), Some(CODES[0]), "{outcome:?} {answer:?}");
        assert_eq!(bench.read("accounts/github/acme").await["remaining"], remaining, "{outcome:?}");
        let next = bench.act("retrieve/github/acme", json!({})).await;
        assert_eq!(next.code.as_deref(), Some(CODES[1]));
    }
}

/// A database shows commits that its standby does not have yet: what rests on reading them alone waits, and is no answer otherwise.
#[tokio::test]
async fn what_was_only_read_is_not_acknowledged_while_it_may_be_lost() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.store.answer_unknown(Outcome::Written, Times::Next(1));
    bench.store.fail_settling(Times::Next(1));
    let answer = bench.act("retrieve/github/acme", json!({})).await;
    assert_eq!((answer.status, &answer.code), (500, &None), "{answer:?}");

    let repeated = [
        ("sets/github/other", json!({"codes": ["eeeee-55555"], "idempotency_key": "k"})),
        ("enroll/github/acme", json!({"enrollment_id": "e1", "occurred_at": START - 100})),
        ("outcome/github/acme", json!({"generation": 1, "slot": 1, "outcome": "worked"})),
    ];
    for (path, body) in repeated {
        for (unsettled, status) in [(0, 200), (1, 500), (0, 200)] {
            bench.store.fail_settling(Times::Next(unsettled));
            let answer = bench.act(path, body.clone()).await;
            assert_eq!(answer.status, status, "{path}: {answer:?}");
        }
    }
    let role = json!({"single_use": false});
    for (unsettled, status) in [(0, 204), (1, 500), (0, 204)] {
        bench.store.fail_settling(Times::Next(unsettled));
        let answer = bench.root(Operation::Update, "roles/admin", role.clone()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

/// The issuer's key is exchanged after the write and before it is looked for: the act was first.
#[tokio::test]
async fn an_act_of_unknown_outcome_stands_though_its_issuer_is_distrusted_meanwhile() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.store.delay(Duration::from_millis(200));
    bench.store.answer_unknown(Outcome::Written, Times::Next(1));
    let written = bench.store.counts().put_all;
    let distrust = async {
        while bench.store.counts().put_all == written {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.store.delay(Duration::ZERO);
        let other = Signer::es256("k1").public_pem();
        bench.fine("issuers/idp", json!({"jwt_validation_pubkeys": [other]})).await;
    };
    let (answer, ()) = tokio::join!(bench.act("retrieve/github/acme", json!({})), distrust);
    assert_eq!((answer.status, answer.code.as_deref()), (200, Some(CODES[0])), "{answer:?}");
    let refused = bench.act("retrieve/github/acme", json!({})).await;
    assert!(refused.status == 403 && refused.word() == "assertion", "{refused:?}");
}

#[tokio::test]
async fn last_years_file_does_not_come_in_again_in_any_spelling() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.act("retrieve/github/acme", json!({})).await;
    let codes = json!({"codes": ["eeeee-55555", "AAAAA 11111", "ddddd44444"]});
    let answer = bench.act("sets/github/acme", codes).await;
    assert_eq!((answer.status, answer.word()), (INVALID, "known-codes"), "{answer:?}");
    assert!(answer.error.contains("codes 2, 3 of this list"), "{answer:?}");
    assert!(!answer.error.to_lowercase().contains("11111"), "an error never repeats a code");
}

#[tokio::test]
async fn deletion_and_re_creation_do_not_bring_codes_back() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.act("retrieve/github/acme", json!({})).await;
    let refused = bench.root(Operation::Delete, "accounts/github/acme", json!({})).await;
    assert_eq!((refused.status, refused.word()), (INVALID, "live-set"));
    bench.act("revoke/github/acme", json!({"reason": "leaves"})).await;
    assert_eq!(bench.root(Operation::Delete, "accounts/github/acme", json!({})).await.status, 204);
    assert_eq!(bench.root(Operation::Read, "accounts/github/acme", json!({})).await.status, 404);
    let list = bench.root(Operation::List, "accounts/github/", json!({})).await;
    assert_eq!(list.status, 404, "{list:?}");
    let again = bench.act("sets/github/acme", json!({"codes": CODES})).await;
    assert_eq!(again.word(), "known-codes", "{again:?}");
    let fresh = bench.store("github/acme", &["eeeee-55555", "fffff-66666"]).await;
    assert_eq!(fresh.data["generation"], 2, "generations are never reused");
    let history = bench.read("history/github/acme").await;
    assert_eq!(history["entries"][0]["act"], "store", "the ledger goes on where it was");
    assert_eq!(history["entries"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn used_slots_are_never_dispensed() {
    let bench = Bench::new().await;
    let answer = bench.act("sets/github/acme", json!({"codes": CODES, "used": [1, "3"]})).await;
    assert_eq!((&answer.data["count"], &answer.data["remaining"]), (&json!(4), &json!(2)), "{answer:?}");
    assert_eq!(bench.act("retrieve/github/acme", json!({"slot": 1})).await.word(), "slot");
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.code.as_deref(), Some(CODES[1]));
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.code.as_deref(), Some(CODES[3]));
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.word(), "exhausted");
}

#[tokio::test]
async fn slots_are_chosen_and_sequential_sets_keep_their_order() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    assert_eq!(bench.act("retrieve/github/acme", json!({"slot": 3})).await.code.as_deref(), Some(CODES[2]));
    for (slot, word) in [(json!(3), "slot"), (json!(5), "slot"), (json!(0), "slot"), (json!("x"), "slot")] {
        assert_eq!(bench.act("retrieve/github/acme", json!({"slot": slot})).await.word(), word);
    }
    bench.fine("profiles/escrowed", json!({"order": "sequential"})).await;
    let answer = bench.act("retrieve/github/acme", json!({"slot": 4})).await;
    assert!(answer.error.contains("the next is slot 1"), "{answer:?}");
    assert_eq!(bench.act("retrieve/github/acme", json!({"slot": "1"})).await.code.as_deref(), Some(CODES[0]));
}

#[tokio::test]
async fn a_get_or_a_list_never_dispenses() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    for operation in [Operation::Read, Operation::List, Operation::Delete] {
        let answer = bench.root(operation, "retrieve/github/acme", json!({})).await;
        assert_eq!(answer.status, 405, "{operation:?}");
    }
    let root = Caller::Root { accessor: "root".into() };
    let answer = bench.send(Operation::Update, "retrieve/github/acme", json!({"role": "admin"}), root, None).await;
    assert_eq!(answer.status, 403, "root stands in for no assertion: {answer:?}");
    assert_eq!(bench.read("accounts/github/acme").await["remaining"], 4);
}

#[tokio::test]
async fn a_live_set_is_recognised_however_old_it_is() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"fingerprint_retention": "24h"})).await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({})).await;
    bench.wait(40 * 86_400);
    let again = bench.act("sets/a", json!({"codes": CODES})).await;
    assert_eq!(again.word(), "known-codes", "{again:?}");
    assert_eq!(bench.act("retrieve/a", json!({"reason": CODES[1]})).await.word(), "reason");
    bench.act("revoke/a", json!({"reason": "rotated"})).await;
    bench.wait(86_399);
    assert_eq!(bench.act("sets/a", json!({"codes": CODES})).await.word(), "known-codes", "a day from its end");
}
