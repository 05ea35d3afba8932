//! Importing sets: what comes in, what is refused and why, and what it supersedes.

use serde_json::{Value, json};
use sparekey::engine::request::Operation;

use crate::harness::{Bench, CODES, INVALID, START};

#[tokio::test]
async fn a_new_set_supersedes_and_destroys_the_former() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let answer = bench.act("sets/github/acme", json!({"codes": ["eeeee-55555", "fffff-66666"], "cas": 1})).await;
    assert_eq!((&answer.data["generation"], &answer.data["superseded"]), (&json!(2), &json!([1])), "{answer:?}");
    let account = bench.read("accounts/github/acme").await;
    let first = &account["sets"][0];
    assert_eq!(
        (&first["status"], &first["cause"], &first["destroyed"]),
        (&json!("superseded"), &json!("newer-set"), &json!(true))
    );
    assert_eq!(first["slots"][0]["state"], "void");
    assert_eq!(account["active_generation"], 2);
    assert_eq!(account["warnings"], json!(["low", "unconfirmed"]));
}

#[tokio::test]
async fn cas_says_what_the_generation_is() {
    let bench = Bench::new().await;
    let wrong = bench.act("sets/github/acme", json!({"codes": CODES, "cas": 1})).await;
    assert_eq!((wrong.status, wrong.word()), (INVALID, "cas-mismatch"));
    assert!(wrong.error.contains("cas=0"), "{wrong:?}");
    assert_eq!(bench.act("sets/github/acme", json!({"codes": CODES, "cas": 0})).await.status, 200);
    assert_eq!(bench.act("sets/github/acme", json!({"codes": ["eeeee-55555"], "cas": 0})).await.word(), "cas-mismatch");
}

#[tokio::test]
async fn bad_lists_are_refused_by_position_and_change_nothing() {
    let bench = Bench::new().await;
    for (body, said) in [
        (json!({}), "codes: the list of codes is missing"),
        (json!({"codes": []}), "the list is empty"),
        (json!({"codes": {"1": "aaaaa-11111"}}), "a list of JSON strings"),
        (json!({"codes": "aaaaa-11111,,bbbbb-22222"}), "code 2 is empty"),
        (json!({"codes": ["aaaaa-11111", 12345678]}), "code 2 must be a JSON string"),
        (json!({"codes": ["aaaaa-11111", "AAAAA11111"]}), "code 2 is the same as code 1"),
        (json!({"codes": ["aaaaa-11111", ""]}), "code 2 is empty"),
        (json!({"codes": vec!["x"; 513]}), "at most 512"),
        (json!({"codes": CODES, "used": [5]}), "used: slots from 1 to 4"),
        (json!({"codes": CODES, "cas": -1}), "cas: a whole number"),
        (json!({"codes": CODES, "bound_at": "soon"}), "bound_at: a time"),
        (json!({"codes": CODES, "profile": "nope"}), "profile: there is no profile of this name"),
        (json!({"codes": CODES, "profile": "Escrowed"}), "the right spelling is escrowed"),
        (json!({"codes": CODES, "custody": "a\nb"}), "custody: no control characters"),
    ] {
        let answer = bench.act("sets/github/acme", body).await;
        assert_eq!(answer.status, INVALID, "{answer:?}");
        assert!(answer.error.contains(said), "{said}: {answer:?}");
        assert!(!answer.error.contains("11111"), "{answer:?}");
    }
    assert_eq!(bench.root(Operation::Read, "accounts/github/acme", json!({})).await.status, 404);
}

#[tokio::test]
async fn what_the_profile_demands_is_demanded() {
    let bench = Bench::new().await;
    bench.fine("profiles/strict", json!({"count": 2, "length": 10, "alphabet": "hex"})).await;
    let store = |codes: Value| json!({"codes": codes, "profile": "strict"});
    let short = bench.act("sets/github/acme", store(json!(["abcde-12345"]))).await;
    assert!(short.error.contains("wants 2 codes"), "{short:?}");
    let long = bench.act("sets/github/acme", store(json!(["abcde-12345", "abcde-123456"]))).await;
    assert!(long.error.contains("code 2 has not the 10 characters"), "{long:?}");
    let odd = bench.act("sets/github/acme", store(json!(["abcde-12345", "xyzzy-12345"]))).await;
    assert!(odd.error.contains("code 2 has characters outside"), "{odd:?}");
    assert_eq!(bench.act("sets/github/acme", store(json!(["abcde-12345", "abcde-12346"]))).await.status, 200);
    let other =
        bench.act("sets/github/acme", json!({"codes": ["abcde-99999", "abcde-88888"], "profile": "escrowed"})).await;
    assert!(other.error.contains("profile: the account has profile strict"), "{other:?}");
}

#[tokio::test]
async fn an_account_that_an_operator_made_is_filled_by_its_first_set() {
    let bench = Bench::new().await;
    bench.fine("profiles/slow", json!({"regenerate_within": "72h"})).await;
    let about = json!({
        "profile": "slow", "owner": "platform", "login_name": "acme-owner", "login_url": "https://github.com/login",
        "labels": {"tier": "0"}, "protects": ["idp"],
    });
    bench.fine("accounts/github/acme", about).await;
    bench.store("github/acme", &CODES).await;
    let answer = bench.act("retrieve/github/acme", json!({})).await;
    assert_eq!(answer.data["login_url"], "https://github.com/login");
    assert_eq!(answer.data["login_name"], "acme-owner");
    let account = bench.read("accounts/github/acme").await;
    assert_eq!(account["profile"], "slow");
    assert_eq!(account["labels"], json!({"tier": "0"}));
    assert_eq!(account["owes"]["by"], "2027-01-18T08:00:00.000Z");
}

#[tokio::test]
async fn bound_at_is_bounded_by_now_and_by_the_active_set() {
    let bench = Bench::new().await;
    let with = |codes: Value, at: i64| json!({"codes": codes, "bound_at": at});
    assert_eq!(bench.act("sets/a", with(json!(CODES), START + 31)).await.word(), "bound-at");
    assert_eq!(bench.act("sets/a", with(json!(CODES), START + 30)).await.status, 200);
    let older = bench.act("sets/a", with(json!(["eeeee-55555", "fffff-66666"]), START)).await;
    assert_eq!(older.word(), "bound-at", "{older:?}");
    let unnamed = bench.act("sets/a", json!({"codes": ["eeeee-55555", "fffff-66666"]})).await;
    assert_eq!(unnamed.status, 200, "{unnamed:?}");
    let account = bench.read("accounts/a").await;
    assert_eq!(account["sets"][1]["bound_at"], account["sets"][0]["bound_at"], "bound_at never falls");
}

#[tokio::test]
async fn free_text_that_contains_a_code_is_refused_in_any_spelling() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    for text in ["aaaaa-11111", "please use AAAAA 11111 now", "x aaaaa11111y", "bb-bb-b2-22-22"] {
        let answer = bench.act("retrieve/github/acme", json!({"reason": text})).await;
        assert_eq!((answer.status, answer.word()), (INVALID, "reason"), "{text}");
        assert_eq!(bench.act("revoke/github/acme", json!({"reason": text})).await.word(), "reason");
        let labels = json!({"labels": {"note": text}});
        assert_eq!(bench.root(Operation::Update, "accounts/github/acme", labels).await.word(), "labels");
        assert_eq!(bench.act("retrieve/github/acme", json!({"idempotency_key": text})).await.word(), "idempotency_key");
    }
    let code =
        bench.act("retrieve/github/acme", json!({"reason": "locked out of github", "ticket": "INC-11111"})).await.code;
    assert_eq!(code.as_deref(), Some(CODES[0]));
    let answer = bench.act("retrieve/github/acme", json!({"ticket": "aaaaa11111"})).await;
    assert_eq!(answer.word(), "ticket", "a spent code is still a code: {answer:?}");
}

#[tokio::test]
async fn unknown_fields_are_warned_of_on_acts_and_refused_in_configuration() {
    let bench = Bench::new().await;
    let answer = bench.act("sets/github/acme", json!({"codes": CODES, "zzz": 1, "aaa": 2})).await;
    assert!(
        answer.warnings.contains(&"Endpoint ignored these unrecognized parameters: [aaa zzz]".to_owned()),
        "{answer:?}"
    );
    for path in ["accounts/x", "roles/admin", "profiles/p", "issuers/idp", "sources/idp", "config"] {
        let answer = bench.root(Operation::Update, path, json!({"zzz": 1})).await;
        assert_eq!((answer.status, answer.word()), (INVALID, "zzz"), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn a_profile_may_forbid_retrieval_or_demand_a_review() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.fine("profiles/escrowed", json!({"retrieval": "forbidden"})).await;
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.word(), "forbidden");
    let review = json!({"retrieval": null, "review_by": START + 10, "review_required": true});
    bench.fine("profiles/escrowed", review).await;
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
    bench.wait(11);
    let answer = bench.act("retrieve/github/acme", json!({})).await;
    assert!(answer.error.contains("its review has lapsed"), "{answer:?}");
    bench.fine("profiles/escrowed", json!({"review_required": false})).await;
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
    assert!(bench.read("accounts/github/acme").await["warnings"].as_array().unwrap().contains(&json!("stale-review")));
}
