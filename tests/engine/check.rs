//! Is this code one of ours? Asked without burning anything.

use serde_json::{Value, json};
use sparekey::engine::request::Operation;

use crate::harness::{Answer, Bench, CODES};
use crate::issued::{issue, plain_profile};

async fn ask(bench: &Bench, account: &str, code: &str) -> Answer {
    let answer = bench.act(&format!("check/{account}"), json!({"code": code})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn place(generation: u32, slot: u32, state: &str, status: &str) -> Value {
    json!({"match": true, "generation": generation, "slot": slot, "state": state, "status": status})
}

#[tokio::test]
async fn an_escrowed_code_is_found_in_any_spelling_and_nothing_is_burnt() {
    let bench = Bench::new().await;
    bench.act("sets/a", json!({"codes": CODES, "used": [4]})).await;
    bench.act("retrieve/a", json!({"slot": 2})).await;
    assert_eq!(ask(&bench, "a", "AAAAA 11111").await.data, place(1, 1, "held", "active"));
    assert_eq!(ask(&bench, "a", CODES[1]).await.data, place(1, 2, "dispensed", "active"));
    assert_eq!(ask(&bench, "a", CODES[3]).await.data, place(1, 4, "used", "active"));
    assert_eq!(ask(&bench, "a", "eeeee-55555").await.data, json!({"match": false}));
    let account = bench.read("accounts/a").await;
    assert_eq!(account["remaining"], 2, "asking burnt a code");
    assert_eq!(account["failures"]["in_a_row"], 1);
    assert_eq!(bench.act("retrieve/a", json!({"slot": 1})).await.code.as_deref(), Some(CODES[0]));
}

#[tokio::test]
async fn an_issued_code_is_found_by_its_verifier_and_can_still_be_used() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    for profile in ["issued", "plain"] {
        let codes = issue(&bench, profile, profile).await;
        let before = bench.engine.stretched();
        let found = ask(&bench, profile, &codes[6].to_lowercase().replace('-', "")).await;
        assert_eq!(found.data, place(1, 7, "held", "active"));
        assert_eq!(bench.engine.stretched() - before, u64::from(profile == "issued"));
        assert_eq!(bench.act(&format!("verify/{profile}"), json!({"code": codes[6]})).await.data["valid"], true);
        assert_eq!(ask(&bench, profile, &codes[6]).await.data, place(1, 7, "consumed", "active"));
    }
}

#[tokio::test]
async fn a_code_of_an_ended_set_is_found_even_in_the_archive_and_after_deletion() {
    let bench = Bench::new().await;
    let code = |number: u32| format!("code{number}-aaaaa");
    for number in 1..=7 {
        bench.act("sets/a", json!({"codes": [code(number), format!("code{number}-bbbbb")]})).await;
        if number == 1 {
            bench.act("retrieve/a", json!({"slot": 1})).await;
        }
    }
    assert_eq!(ask(&bench, "a", &code(7)).await.data, place(7, 1, "held", "active"));
    assert_eq!(ask(&bench, "a", &code(6)).await.data, place(6, 1, "void", "superseded"));
    assert_eq!(
        ask(&bench, "a", &code(1)).await.data,
        place(1, 1, "dispensed", "superseded"),
        "handed out, then archived"
    );
    assert_eq!(ask(&bench, "a", &code(2)).await.data, place(2, 1, "void", "superseded"));
    bench.act("revoke/a", json!({"reason": "leaves", "cause": "compromise"})).await;
    assert_eq!(bench.root(Operation::Delete, "accounts/a", json!({})).await.status, 204);
    assert_eq!(
        ask(&bench, "a", &code(7)).await.data,
        place(7, 1, "void", "revoked"),
        "a deleted account is still known"
    );
    let issued = issue(&bench, "b", "issued").await;
    bench.act("sets/b", json!({})).await;
    assert_eq!(ask(&bench, "b", &issued[0]).await.data, place(1, 1, "void", "superseded"));
}

#[tokio::test]
async fn what_is_forgotten_is_not_found() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"fingerprint_retention": "24h"})).await;
    bench.store("a", &CODES).await;
    bench.wait(25 * 3600);
    assert_eq!(ask(&bench, "a", CODES[0]).await.data["match"], true, "a live set is never forgotten");
    bench.act("revoke/a", json!({"reason": "leaves"})).await;
    assert_eq!(ask(&bench, "a", CODES[0]).await.data["match"], true, "nor one that ended a moment ago");
    bench.wait(24 * 3600 + 1);
    assert_eq!(ask(&bench, "a", CODES[0]).await.data, json!({"match": false}));
}

#[tokio::test]
async fn guesses_are_counted_with_those_of_verify_and_lock_both() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    let codes = issue(&bench, "issued", "plain").await;
    bench.store("escrowed", &CODES).await;
    for (account, code) in [("issued", codes[0].as_str()), ("escrowed", CODES[0])] {
        for number in 1..10 {
            let verifies = number % 2 == 0 && account == "issued";
            let path = format!("{}/{account}", if verifies { "verify" } else { "check" });
            let answer = bench.act(&path, json!({"code": format!("guess-{number:04}")})).await;
            assert_eq!(answer.data.get("retry_after"), None, "{account}, guess {number}: {answer:?}");
        }
        // A right code is no guess, and what is found does not begin the row anew.
        assert_eq!(ask(&bench, account, code).await.data["match"], true);
        let tenth = ask(&bench, account, "guess-0010").await;
        assert_eq!(tenth.data, json!({"match": false, "retry_after": 900}), "the tenth guess locks: {account}");
        let before = bench.read(&format!("history/{account}")).await;
        let locked = ask(&bench, account, code).await;
        assert_eq!(locked.data, json!({"match": null, "retry_after": 900}), "nothing is said of a right one either");
        assert_eq!(bench.read(&format!("history/{account}")).await, before, "nor can anybody fill the history");
    }
    assert_eq!(
        bench.act("verify/issued", json!({"code": codes[0]})).await.data["valid"],
        false,
        "verify is locked too"
    );
    bench.wait(900);
    assert_eq!(bench.act("verify/issued", json!({"code": codes[0]})).await.data["valid"], true);
}

#[tokio::test]
async fn a_code_in_reason_or_ticket_stays_out_of_the_history_and_is_no_free_guess() {
    let bench = Bench::new().await;
    let issued = issue(&bench, "issued", "issued").await;
    bench.store("escrowed", &CODES).await;
    for (account, mine, other) in [("issued", &*issued[0], &*issued[1]), ("escrowed", CODES[0], CODES[1])] {
        let path = format!("check/{account}");
        for (field, text) in [("reason", format!("is it {other}?")), ("ticket", other.to_lowercase())] {
            let asked = |text: &str| json!({"code": mine, field: text});
            let (with, without) =
                (bench.act(&path, asked(&text)).await, bench.act(&path, asked("it fell out of a drawer")).await);
            assert_eq!(with, without, "whether a text holds a code is not said: {field} of {account}");
        }
        let history = bench.read(&format!("history/{account}")).await;
        let said = history.to_string().to_lowercase();
        assert!(!said.contains(&other.to_lowercase()), "{other} is in the history: {history}");
        let entries = history["entries"].as_array().unwrap();
        assert_eq!(entries[1]["reason"], Value::Null);
        assert_eq!(entries[1]["detail"]["left_out"], "reason and ticket, since a code is in them", "{history}");
        assert_eq!(entries[2]["reason"], "it fell out of a drawer");
        assert_eq!(entries[2]["detail"].get("left_out"), None);
    }
}
