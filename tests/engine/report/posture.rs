//! Each word of the posture, wrong and then mended.

use serde_json::{Value, json};
use sparekey::engine::report::posture::WARNINGS;

use super::report;
use crate::harness::{Bench, CODES, START};

const DAY: i64 = 86_400;

async fn row(bench: &Bench, account: &str) -> Value {
    let page = report(bench, "posture", json!({"prefix": account})).await;
    assert_eq!(page["accounts"][0]["account"], account, "{page}");
    let row = page["accounts"][0].clone();
    // The one truth: what the account itself says, and the two words that only a report knows.
    let own = bench.read(&format!("accounts/{account}")).await["warnings"].clone();
    let told: Vec<&Value> = words(&row);
    for word in own.as_array().unwrap() {
        assert!(told.contains(&word), "{account} says {word} itself: {row}");
    }
    for word in told {
        let only_here = ["expires-soon", "no-profile"].contains(&word.as_str().unwrap());
        assert!(only_here || own.as_array().unwrap().contains(word), "{account} does not say {word} itself: {own}");
    }
    row
}

fn words(row: &Value) -> Vec<&Value> {
    row["warnings"].as_array().unwrap().iter().collect()
}

/// Whether `account` has the warning, and is told of when only that is asked for.
async fn has(bench: &Bench, account: &str, word: &str) -> bool {
    let row = row(bench, account).await;
    let has = words(&row).contains(&&json!(word));
    let only = report(bench, "posture", json!({"prefix": account, "only": word})).await;
    assert_eq!(only["accounts"].as_array().unwrap().len(), usize::from(has), "{word}: {only}");
    assert_eq!(only["looked_at"], 1);
    has
}

#[tokio::test]
async fn an_account_with_a_good_set_has_no_warning() {
    let bench = Bench::new().await;
    bench.fine("accounts/a", json!({"owner": "platform"})).await;
    bench.store("a", &["aaaaa-11111", "bbbbb-22222", "ccccc-33333", "ddddd-44444", "eeeee-55555"]).await;
    let row = row(&bench, "a").await;
    assert_eq!(
        row,
        json!({
            "account": "a", "owner": "platform", "profile": "escrowed", "warnings": [], "fallback": true,
            "remaining": 5, "generation": 1, "status": {"is": "active", "cause": null}, "owes": null,
            "unconfirmed": null, "expires_at": null, "review_by": null,
        })
    );
    let any = report(&bench, "posture", json!({"only": "any"})).await;
    assert_eq!((&any["accounts"], &any["looked_at"], &any["next"]), (&json!([]), &json!(1), &Value::Null));
}

#[tokio::test]
async fn no_fallback_until_a_set_is_stored_and_after_it_was_ended() {
    let bench = Bench::new().await;
    bench.fine("accounts/a", json!({})).await;
    assert!(has(&bench, "a", "no-fallback").await);
    bench.store("a", &CODES).await;
    assert!(!has(&bench, "a", "no-fallback").await);
    bench.act("revoke/a", json!({"reason": "left"})).await;
    assert!(has(&bench, "a", "no-fallback").await);
    let row = row(&bench, "a").await;
    assert_eq!((&row["fallback"], &row["status"]), (&json!(false), &json!({"is": "revoked", "cause": "operator"})));
}

#[tokio::test]
async fn owes_from_the_first_code_overdue_from_the_deadline_and_neither_after_a_new_set() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    assert!(!has(&bench, "a", "owes").await);
    bench.act("retrieve/a", json!({})).await;
    assert!(has(&bench, "a", "owes").await && !has(&bench, "a", "overdue").await);
    bench.wait(DAY - 1);
    assert!(!has(&bench, "a", "overdue").await);
    bench.wait(1);
    assert!(has(&bench, "a", "overdue").await);
    assert_eq!(row(&bench, "a").await["owes"]["overdue"], true);
    bench.act("sets/a", json!({"codes": ["eeeee-55555", "fffff-66666"], "cas": 1})).await;
    assert!(!has(&bench, "a", "owes").await && !has(&bench, "a", "overdue").await);
}

#[tokio::test]
async fn low_at_the_watermark() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"low_watermark": 2})).await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({})).await;
    assert!(!has(&bench, "a", "low").await);
    bench.act("retrieve/a", json!({})).await;
    assert!(has(&bench, "a", "low").await);
    assert_eq!(row(&bench, "a").await["remaining"], 2);
}

#[tokio::test]
async fn quarantined_until_released() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"on_enrollment": "quarantine"})).await;
    bench.store("a", &CODES).await;
    bench.wait(60);
    assert!(!has(&bench, "a", "quarantined").await);
    bench.act("enroll/a", json!({})).await;
    assert!(has(&bench, "a", "quarantined").await);
    bench.act("release/a", json!({"reason": "it was me"})).await;
    assert!(!has(&bench, "a", "quarantined").await);
}

#[tokio::test]
async fn unconfirmed_for_as_long_as_nobody_says_that_the_provider_knows() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.wait(60);
    bench.act("revoke/a", json!({"reason": "phished"})).await;
    bench.wait(3 * DAY);
    assert!(has(&bench, "a", "unconfirmed").await);
    let told = row(&bench, "a").await["unconfirmed"].clone();
    assert_eq!(told, json!({"generations": [1], "since": "2027-01-15T08:01:00.000Z", "seconds": 3 * DAY}));
    bench.act("confirm/a", json!({})).await;
    assert!(!has(&bench, "a", "unconfirmed").await);
    assert_eq!(row(&bench, "a").await["unconfirmed"], Value::Null);
}

#[tokio::test]
async fn circular_where_every_way_in_hangs_on_the_account() {
    let bench = Bench::new().await;
    bench.fine("accounts/okta/admin", json!({"protects": ["idp"]})).await;
    assert!(has(&bench, "okta/admin", "circular").await);
    let pinned = json!({
        "bound_issuer": "https://pinned.example.com", "jwt_validation_pubkeys": [bench.idp.public_pem()],
    });
    bench.fine("issuers/pinned", pinned).await;
    let role = json!({
        "issuers": ["pinned"], "bound_audiences": ["x"], "bound_subject": "y", "accounts": ["github/*"],
        "operations": ["retrieve"],
    });
    bench.fine("roles/glass", role).await;
    assert!(has(&bench, "okta/admin", "circular").await, "a way to other accounts is none to this one");
    bench.fine("roles/glass", json!({"accounts": ["okta/*"]})).await;
    assert!(!has(&bench, "okta/admin", "circular").await);
}

#[tokio::test]
async fn a_review_is_stale_once_its_day_is_over() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"review_by": START + DAY})).await;
    bench.store("a", &CODES).await;
    assert!(!has(&bench, "a", "stale-review").await);
    bench.wait(DAY + 1);
    assert!(has(&bench, "a", "stale-review").await);
    bench.fine("profiles/escrowed", json!({"review_by": START + 90 * DAY})).await;
    assert!(!has(&bench, "a", "stale-review").await);
}

#[tokio::test]
async fn a_set_expires_soon_by_age_and_by_lapse_as_the_caller_counts_soon() {
    let bench = Bench::new().await;
    bench.fine("profiles/old", json!({"max_age": "30d"})).await;
    bench.act("sets/a", json!({"codes": CODES, "profile": "old"})).await;
    bench.wait(16 * DAY - 1);
    assert!(!has(&bench, "a", "expires-soon").await);
    bench.wait(1);
    assert!(has(&bench, "a", "expires-soon").await);
    let narrow = report(&bench, "posture", json!({"soon": "13d"})).await;
    assert_eq!(narrow["accounts"][0]["warnings"], json!([]));
    assert_eq!(narrow["accounts"][0]["expires_at"], "2027-02-14T08:00:00.000Z");
    bench.wait(14 * DAY);
    assert!(!has(&bench, "a", "expires-soon").await && has(&bench, "a", "no-fallback").await, "it is over");

    bench.fine("profiles/strict", json!({"on_lapse": "revoke", "regenerate_within": "1h"})).await;
    bench.act("sets/b", json!({"codes": CODES, "profile": "strict"})).await;
    assert!(!has(&bench, "b", "expires-soon").await);
    bench.act("retrieve/b", json!({})).await;
    assert!(has(&bench, "b", "expires-soon").await);
}

#[tokio::test]
async fn refused_codes_locked_accounts_and_lost_profiles_are_told() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let slot = bench.act("retrieve/a", json!({})).await.data["slot"].clone();
    assert!(!has(&bench, "a", "refused").await);
    bench.act("outcome/a", json!({"slot": slot, "outcome": "refused"})).await;
    assert!(has(&bench, "a", "refused").await);

    bench.fine("profiles/made", json!({"kind": "issued", "max_failures": 1})).await;
    bench.act("sets/b", json!({"profile": "made"})).await;
    assert!(!has(&bench, "b", "locked").await);
    bench.act("verify/b", json!({"code": "WRONG-WRONG-WRONG-WRON"})).await;
    assert!(has(&bench, "b", "locked").await);

    assert!(!has(&bench, "b", "no-profile").await);
    let gone = bench.root(sparekey::engine::request::Operation::Delete, "profiles/made", json!({})).await;
    assert!(gone.status < 300, "{gone:?}");
    assert!(has(&bench, "b", "no-profile").await);
}

#[tokio::test]
async fn only_known_words_are_asked_for_and_a_slip_is_said() {
    let bench = Bench::new().await;
    let answer = bench.root(sparekey::engine::request::Operation::Read, "report/posture", json!({"only": "lo"})).await;
    assert_eq!(answer.status, 400);
    assert!(WARNINGS.iter().all(|word| answer.error.contains(word)), "{}", answer.error);
    for (path, has) in [("posture", "only"), ("usage", "subject"), ("access", "from")] {
        let read = sparekey::engine::request::Operation::Read;
        let refused = bench.root(read, &format!("report/{path}"), json!({"prefx": "a"})).await;
        assert_eq!((refused.status, refused.word()), (400, "prefx"), "{path}: {refused:?}");
        assert!(refused.error.contains("prefix") && refused.error.contains(has), "{path}: {}", refused.error);
    }
}

#[tokio::test]
async fn the_worst_stands_first_and_a_formula_is_text() {
    let bench = Bench::new().await;
    bench.fine("accounts/a", json!({"owner": "=HYPERLINK(\"https://evil.example.com\")"})).await;
    bench.fine("accounts/-b", json!({"owner": "@sum"})).await;
    let page = report(&bench, "posture", json!({"format": "csv", "limit": 1})).await;
    let text = page["csv"].as_str().unwrap();
    assert!(text.starts_with("account,owner,profile,warnings,"), "{text}");
    assert!(text.contains("\r\n\"'-b\",\"'@sum\",escrowed,no-fallback,"), "{text}");
    let page = report(&bench, "posture", json!({"format": "csv", "after": page["next"]})).await;
    let text = page["csv"].as_str().unwrap();
    assert!(
        text.starts_with("a,\"'=HYPERLINK(\"\"https://evil.example.com\"\")\",escrowed,"),
        "no second head: {text}"
    );
    assert!(page.get("accounts").is_none());
}
