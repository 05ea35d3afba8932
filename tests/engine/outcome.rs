//! After the code: what became of it, whether the provider killed the old set, and whether the way back in is a circle.

use serde_json::{Value, json};
use sparekey::engine::request::Operation;

use crate::harness::{Bench, CODES, INVALID};
use crate::issued::issue;

fn warnings(account: &Value) -> Vec<&str> {
    account["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
}

#[tokio::test]
async fn what_became_of_a_code_is_noted_and_what_to_do_is_said() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    for _ in 0..3 {
        bench.act("retrieve/a", json!({})).await;
    }
    for (slot, word, said) in [
        (
            1,
            "worked",
            "the code is used up; generate new codes at the provider and store them (sets/a) by 2027-01-16T08:00:00.000Z",
        ),
        (2, "unused", "destroy every copy of it"),
        (3, "refused", "somebody else may have used this code"),
    ] {
        let body = json!({"slot": slot, "outcome": word, "note": format!("note {slot}"), "ticket": "INC-1"});
        let answer = bench.act("outcome/a", body).await;
        assert_eq!((answer.status, &answer.data["outcome"]), (200, &json!(word)), "{answer:?}");
        assert!(answer.data["next"].as_str().unwrap().contains(said), "{answer:?}");
        assert_eq!(warnings(&bench.read("accounts/a").await).contains(&"refused"), slot == 3, "{word}");
    }
    let account = bench.read("accounts/a").await;
    let slots = &account["sets"][0]["slots"];
    let outcomes: Vec<_> = slots.as_array().unwrap().iter().map(|slot| slot["outcome"].clone()).collect();
    assert_eq!(outcomes, [json!("worked"), json!("unused"), json!("refused"), Value::Null]);
    let history = bench.read("history/a").await;
    let entries = history["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 7, "what became of a code is not in the history: {history}");
    let entry = &entries[6];
    assert_eq!((&entry["act"], &entry["slot"], &entry["reason"]), (&json!("outcome"), &json!(3), &json!("note 3")));
    assert_eq!(entry["detail"], json!({"outcome": "refused"}));
    bench.act("outcome/a", json!({"slot": 3, "outcome": "refused"})).await;
    assert_eq!(bench.read("history/a").await["entries"].as_array().unwrap().len(), 7, "said twice is said once");
    bench.act("outcome/a", json!({"slot": 3, "outcome": "worked"})).await;
    assert!(!warnings(&bench.read("accounts/a").await).contains(&"refused"), "the latest word counts");
}

#[tokio::test]
async fn the_alarm_stands_until_a_newer_set_is_in_use() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({})).await;
    bench.act("outcome/a", json!({"slot": 1, "outcome": "refused"})).await;
    bench.act("revoke/a", json!({"reason": "somebody used it", "cause": "compromise"})).await;
    let account = bench.read("accounts/a").await;
    assert!(warnings(&account).contains(&"refused"), "revoking alone mends nothing: {account}");
    let late = bench.act("outcome/a", json!({"slot": 1, "outcome": "refused"})).await;
    assert!(late.data["next"].as_str().unwrap().contains("over already"), "{late:?}");
    bench.store("a", &["eeeee-55555", "fffff-66666"]).await;
    assert!(!warnings(&bench.read("accounts/a").await).contains(&"refused"));
}

#[tokio::test]
async fn only_a_code_that_left_has_an_outcome() {
    let bench = Bench::new().await;
    let nothing = bench.act("outcome/a", json!({"slot": 1, "outcome": "worked"})).await;
    assert_eq!((nothing.status, nothing.word()), (INVALID, "no-set"), "{nothing:?}");
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({})).await;
    for (body, field) in [
        (json!({"slot": 2, "outcome": "worked"}), "slot"),
        (json!({"slot": 9, "outcome": "worked"}), "slot"),
        (json!({"outcome": "worked"}), "slot"),
        (json!({"slot": 1}), "outcome"),
        (json!({"slot": 1, "outcome": "lost"}), "outcome"),
        (json!({"slot": 1, "outcome": "worked", "generation": 2}), "generation"),
        (json!({"slot": 1, "outcome": "worked", "note": format!("it was {}", CODES[0])}), "note"),
    ] {
        let answer = bench.act("outcome/a", body.clone()).await;
        assert_eq!((answer.status, answer.word()), (INVALID, field), "{body}: {answer:?}");
    }
    issue(&bench, "b", "issued").await;
    let issued = bench.act("outcome/b", json!({"slot": 1, "outcome": "worked"})).await;
    assert_eq!((issued.status, issued.word()), (INVALID, "slot"), "{issued:?}");
}

#[tokio::test]
async fn an_outcome_of_an_archived_set_is_noted_there() {
    let bench = Bench::new().await;
    for number in 1..=7 {
        bench.act("sets/a", json!({"codes": [format!("code{number}-aaaaa"), format!("code{number}-bbbbb")]})).await;
        bench.act("retrieve/a", json!({})).await;
    }
    let late = json!({"generation": 1, "slot": 1, "outcome": "refused"});
    let answer = bench.act("outcome/a", late.clone()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let before = bench.read("history/a").await["entries"].as_array().unwrap().len();
    assert_eq!(bench.act("outcome/a", late).await.status, 200);
    assert_eq!(bench.read("history/a").await["entries"].as_array().unwrap().len(), before, "it is known already");
    let held = bench.act("outcome/a", json!({"generation": 1, "slot": 2, "outcome": "worked"})).await;
    assert_eq!((held.status, held.word()), (INVALID, "slot"));
}

#[tokio::test]
async fn somebody_says_that_the_provider_killed_the_old_set_too() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let alive = bench.act("confirm/a", json!({"generation": 1})).await;
    assert_eq!((alive.status, alive.word()), (INVALID, "alive"), "{alive:?}");
    let none = bench.act("confirm/a", json!({})).await;
    assert_eq!((none.status, none.word()), (INVALID, "no-set"), "{none:?}");
    bench.store("a", &["eeeee-55555", "fffff-66666"]).await;
    assert!(warnings(&bench.read("accounts/a").await).contains(&"unconfirmed"));
    let body = json!({"note": "old codes listed as invalid at the provider", "ticket": "INC-2"});
    let answer = bench.act("confirm/a", body).await;
    assert_eq!(answer.data, json!({"account": "a", "generation": 1, "provider": "confirmed"}));
    let account = bench.read("accounts/a").await;
    assert_eq!(account["sets"][0]["provider"], "confirmed", "what was confirmed is not kept");
    assert!(!warnings(&account).contains(&"unconfirmed"));
    bench.act("confirm/a", json!({"generation": 1})).await;
    let history = bench.read("history/a").await;
    let entries = history["entries"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[2]["act"], &entries[2]["generation"]), (3, &json!("confirm"), &json!(1)));
    let unknown = bench.act("confirm/a", json!({"generation": 9})).await;
    assert_eq!((unknown.status, unknown.word()), (INVALID, "generation"));
    issue(&bench, "b", "issued").await;
    bench.act("revoke/b", json!({"reason": "x"})).await;
    let issued = bench.act("confirm/b", json!({})).await;
    assert_eq!((issued.status, issued.word()), (INVALID, "issued"), "{issued:?}");
}

#[tokio::test]
async fn an_archived_set_is_confirmed_where_it_lies() {
    let bench = Bench::new().await;
    for number in 1..=7 {
        bench.act("sets/a", json!({"codes": [format!("code{number}-aaaaa"), format!("code{number}-bbbbb")]})).await;
    }
    assert_eq!(bench.act("confirm/a", json!({"generation": 1})).await.status, 200);
    let before = bench.read("history/a").await["entries"].as_array().unwrap().len();
    assert_eq!(bench.act("confirm/a", json!({"generation": 1})).await.data["provider"], "confirmed");
    assert_eq!(bench.read("history/a").await["entries"].as_array().unwrap().len(), before, "it is known already");
}

/// Two issuers, one of them the provider whose codes are kept; roles over them.
async fn circle(bench: &Bench, roles: &[(&str, &[&str], &str)]) {
    let issuer = bench.read("issuers/idp").await;
    for name in ["okta", "pinned"] {
        let mut issuer = issuer.clone();
        issuer["bound_issuer"] = json!(format!("https://{name}.example.com"));
        bench.fine(&format!("issuers/{name}"), issuer).await;
    }
    bench.fine("roles/admin", json!({"operations": ["store", "retrieve", "revoke"], "accounts": ["other/*"]})).await;
    let storing = json!({"issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_subject": "jane", "accounts": ["*"],
        "operations": ["store", "read"]});
    bench.fine("roles/storing", storing).await;
    bench.fine("config", json!({"default_role": "storing"})).await;
    for (name, issuers, accounts) in roles {
        let role = json!({"issuers": issuers, "bound_audiences": ["sparekey"], "bound_claims": {"team": "sre"},
            "accounts": [accounts], "operations": ["retrieve"]});
        bench.fine(&format!("roles/{name}"), role).await;
    }
}

#[tokio::test]
async fn a_way_in_that_needs_the_lost_factor_is_called_a_circle() {
    type Roles<'a> = &'a [(&'a str, &'a [&'a str], &'a str)];
    let cases: [(Roles<'_>, &str, bool); 8] = [
        (&[("oncall", &["okta"], "okta/*")], "okta", true),
        (&[("oncall", &["okta"], "*")], "idp,okta", true),
        (&[("oncall", &["okta"], "okta/*")], "host-seal", false),
        (&[("oncall", &["okta"], "okta/*"), ("glass", &["pinned"], "*")], "okta", false),
        (&[("oncall", &["okta", "pinned"], "okta/*")], "okta", false),
        (&[("oncall", &["okta"], "github/*")], "okta", false),
        (&[("oncall", &["okta"], "okta/{{email}}")], "okta", true),
        (&[("oncall", &["okta"], "okta/*"), ("glass", &["pinned"], "github/*")], "okta", true),
    ];
    for (roles, protects, circular) in cases {
        let bench = Bench::new().await;
        circle(&bench, roles).await;
        bench.fine("accounts/okta/root", json!({"protects": protects})).await;
        let stored = bench.act("sets/okta/root", json!({"codes": CODES})).await;
        assert_eq!(stored.status, 200, "{stored:?}");
        let said = stored.warnings.iter().any(|warning| warning.starts_with("circular: "));
        assert_eq!(said, circular, "{roles:?} {protects}: {stored:?}");
        let shown = bench.read("accounts/okta/root").await;
        assert_eq!(warnings(&shown).contains(&"circular"), circular, "{roles:?} {protects}");
    }
}

#[tokio::test]
async fn looking_for_a_circle_costs_nothing_where_nothing_is_protected() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.read("accounts/a").await;
    bench.store.reset_counts();
    bench.read("accounts/a").await;
    let counts = bench.store.counts();
    assert_eq!((counts.get_many, counts.list), (1, 0));
    assert_eq!(bench.root(Operation::Read, "accounts/a", json!({})).await.status, 200);
}

#[tokio::test]
async fn what_to_do_next_is_a_link_where_the_mount_knows_its_address() {
    let bench = Bench::new().await;
    bench.fine("config", json!({"sparekey_url": "https://vault.example.com:8200/v1/backup-codes/"})).await;
    bench.store("github/acme", &CODES).await;
    let base = "https://vault.example.com:8200/v1/backup-codes";
    let first = bench.act("retrieve/github/acme", json!({})).await;
    assert!(first.warnings[0].ends_with(&format!("({base}/sets/github/acme)")), "{:?}", first.warnings);
    let told = bench.act("outcome/github/acme", json!({"slot": 1, "outcome": "refused"})).await;
    let next = told.data["next"].as_str().unwrap();
    assert!(next.contains(&format!("({base}/revoke/github/acme with cause=compromise)")), "{next}");
    assert!(next.contains(&format!("({base}/sets/github/acme)")), "{next}");
}
