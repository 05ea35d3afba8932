//! Who could, who did, when reviewed.

use serde_json::{Value, json};
use sparekey::engine::request::Operation;

use super::report;
use crate::harness::{Bench, CODES, START};

async fn row(bench: &Bench, account: &str) -> Value {
    report(bench, "access", json!({"prefix": account})).await["accounts"][0].clone()
}

#[tokio::test]
async fn who_could_is_every_role_that_may_retrieve_and_reaches_the_account() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    let role = |accounts: &str, operations: &str| {
        json!({
            "issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_subject": "x", "accounts": [accounts],
            "operations": operations,
        })
    };
    bench.fine("roles/hub", role("github/*", "retrieve,read")).await;
    bench.fine("roles/mine", role("github/{{email}}", "retrieve")).await;
    bench.fine("roles/okta", role("okta/*", "retrieve")).await;
    bench.fine("roles/reader", role("github/*", "read,history,report")).await;
    let page = report(&bench, "access", json!({})).await;
    assert_eq!(page["accounts"][0]["could"], json!(["admin", "hub", "mine"]));
    assert_eq!(page["accounts"][0]["retrieval"], "allowed");
    let hub = json!({"issuers": ["idp"], "bound_subject": "x", "bound_claims": {}, "accounts": ["github/*"]});
    assert_eq!(page["roles"]["hub"], hub);
    assert_eq!(page["roles"].as_object().unwrap().len(), 3, "only those that stand in a row");

    bench.fine("profiles/escrowed", json!({"retrieval": "forbidden"})).await;
    assert_eq!(row(&bench, "github/acme").await["retrieval"], "forbidden");
    bench.fine("profiles/made", json!({"kind": "issued"})).await;
    bench.act("sets/made", json!({"profile": "made"})).await;
    let made = row(&bench, "made").await;
    assert_eq!((&made["retrieval"], &made["could"]), (&json!("issued"), &json!([])), "nobody retrieves issued codes");
}

#[tokio::test]
async fn who_did_is_counted_over_the_whole_history_latest_first() {
    let bench = Bench::new().await;
    let codes: Vec<String> = (0..80).map(|number| format!("code{number:02}-xxxxx")).collect();
    bench.act("sets/a", json!({"codes": codes})).await;
    for number in 0..75 {
        bench.wait(1);
        let sub = if number % 3 == 0 { "john" } else { "jane" };
        let jwt = bench.jwt(json!({"sub": sub}));
        assert!(bench.act("retrieve/a", json!({"jwt": jwt})).await.code.is_some());
    }
    let told = row(&bench, "a").await;
    let did = told["did"].as_array().unwrap();
    let counts: Vec<_> =
        did.iter().map(|did| (did["subject"].as_str().unwrap(), did["count"].as_u64().unwrap())).collect();
    assert_eq!(counts, [("jane", 50), ("john", 25)]);
    assert_eq!((&did[0]["role"], &told["complete"]), (&json!("admin"), &json!(true)));
    let window = report(&bench, "access", json!({"from": START + 73})).await;
    let did = window["accounts"][0]["did"].as_array().unwrap();
    let counts: Vec<_> =
        did.iter().map(|did| (did["subject"].as_str().unwrap(), did["count"].as_u64().unwrap())).collect();
    assert_eq!(counts, [("jane", 2), ("john", 1)]);
    let last = bench.root(Operation::Read, "history/a", json!({"after": 75})).await.data["entries"][0].clone();
    assert_eq!(did[0]["request_id"], last["request_id"]);
}

#[tokio::test]
async fn a_review_is_when_the_profiles_day_was_moved_and_by_whom() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let none = json!({"by": null, "lapsed": false, "at": null, "who": null});
    assert_eq!(row(&bench, "a").await["review"], none);
    bench.fine("profiles/escrowed", json!({"review_by": START + 1000})).await;
    bench.wait(1001);
    let lapsed = row(&bench, "a").await["review"].clone();
    let wanted = json!({
        "by": "2027-01-15T08:16:40.000Z", "lapsed": true, "at": "2027-01-15T08:00:00.000Z", "who": "root",
    });
    assert_eq!(lapsed, wanted);
    bench.fine("profiles/escrowed", json!({"review_by": START + 9000})).await;
    // What changes something else is no review, though it comes later and pushes the review into the archive.
    for number in 0..70 {
        bench.wait(1);
        bench.fine("profiles/escrowed", json!({"low_watermark": number + 4})).await;
    }
    let review = row(&bench, "a").await["review"].clone();
    assert_eq!((&review["at"], &review["lapsed"]), (&json!("2027-01-15T08:16:41.000Z"), &json!(false)));
    let page = report(&bench, "access", json!({"format": "csv"})).await;
    let line = page["csv"].as_str().unwrap().lines().nth(1).unwrap().to_owned();
    assert!(line.ends_with(",false,2027-01-15T08:16:41.000Z,root"), "{line}");
    bench.root(Operation::Delete, "profiles/escrowed", json!({})).await;
    assert_eq!(row(&bench, "a").await["review"]["by"], Value::Null, "the built-in one has no day");
}
