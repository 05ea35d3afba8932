//! Pages: complete and stable while accounts come and go, for those only whom the role covers.

use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;

use super::{each, report, under, whole};
use crate::harness::{Bench, CODES};

const NAMES: [&str; 9] = ["b", "b-x", "b/acme", "b/acme/own", "b/acme.x", "b0", "okta/jane@example.com", "okta/x", "z"];

async fn filled(names: &[&str]) -> Bench {
    let bench = Bench::new().await;
    for name in names {
        bench.fine(&format!("accounts/{name}"), json!({})).await;
    }
    bench
}

#[tokio::test]
async fn every_size_of_page_tells_of_every_account_once_in_order() {
    let bench = filled(&NAMES).await;
    let mut sorted = NAMES.map(str::to_owned);
    sorted.sort();
    for limit in 1..=10 {
        for which in ["posture", "access"] {
            let (rows, pages) = whole(&bench, which, "accounts", json!({"limit": limit})).await;
            assert_eq!(each(&rows, "account"), sorted, "{which} by {limit}");
            assert!(pages <= NAMES.len().div_ceil(limit) + 1, "{pages} pages of {limit}");
        }
        let (rows, _) = whole(&bench, "usage", "acts", json!({"limit": limit})).await;
        assert_eq!(each(&rows, "account"), sorted, "by {limit}");
    }
}

#[tokio::test]
async fn a_prefix_is_an_account_and_its_folder_or_the_folder_alone() {
    let bench = filled(&NAMES).await;
    for (prefix, wanted) in [
        ("b", &["b", "b/acme", "b/acme.x", "b/acme/own"][..]),
        ("b/", &["b/acme", "b/acme.x", "b/acme/own"]),
        ("b/acme/", &["b/acme/own"]),
        ("okta/x", &["okta/x"]),
        ("nothing", &[]),
    ] {
        for limit in [1, 100] {
            let (rows, _) = whole(&bench, "posture", "accounts", json!({"prefix": prefix, "limit": limit})).await;
            assert_eq!(each(&rows, "account"), wanted, "{prefix} by {limit}");
        }
    }
}

#[tokio::test]
async fn accounts_that_come_and_go_hide_and_repeat_no_other() {
    let bench = filled(&[]).await;
    let stay: Vec<String> = (0..40).map(|number| format!("f{}/s{number:02}", number % 3)).collect();
    for name in &stay {
        bench.fine(&format!("accounts/{name}"), json!({})).await;
    }
    let (mut seen, mut query, mut turn) = (Vec::new(), json!({"limit": 3}), 0);
    loop {
        let page = report(&bench, "posture", query.clone()).await;
        let rows = page["accounts"].as_array().unwrap();
        seen.extend(each(rows, "account"));
        let Some(next) = page["next"].as_str() else { break };
        // One comes before the place, one after it, and the last one told of goes.
        bench.fine(&format!("accounts/a{turn}"), json!({})).await;
        bench.fine(&format!("accounts/z/new{turn}"), json!({})).await;
        if turn < 12
            && let Some(gone) = rows.last()
        {
            let gone = format!("accounts/{}", gone["account"].as_str().unwrap());
            bench.root(Operation::Delete, &gone, json!({})).await;
        }
        query["after"] = json!(next);
        turn += 1;
        assert!(turn < 200, "the report runs after what comes");
        if turn > 30 {
            break;
        }
    }
    let mut once = seen.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), seen.len(), "none twice");
    assert!(stay.iter().all(|name| seen.contains(name)), "none is missing");
}

#[tokio::test]
async fn a_role_reports_on_the_accounts_it_covers_and_on_no_other() {
    let bench = filled(&NAMES).await;
    for name in ["okta/a", "github/a"] {
        bench.store(name, &CODES).await;
    }
    let role = json!({
        "issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_subject": "jane", "accounts": ["okta/*"],
        "operations": ["report"],
    });
    bench.fine("roles/reviewer", role).await;
    for which in ["posture", "usage", "access"] {
        let path = format!("report/{which}");
        let mut query = json!({"limit": 2});
        let mut seen = Vec::new();
        loop {
            let answer = under(&bench, "reviewer", &path, query.clone()).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let list = if which == "usage" { "acts" } else { "accounts" };
            seen.extend(each(answer.data[list].as_array().unwrap(), "account"));
            match answer.data["next"].as_str() {
                Some(next) => query["after"] = json!(next),
                None => break,
            }
        }
        seen.dedup();
        assert_eq!(seen, ["okta/a", "okta/jane@example.com", "okta/x"], "{which} shows accounts outside the role");

        let narrow = under(&bench, "reviewer", &path, json!({"prefix": "github"})).await;
        let list = if which == "usage" { "acts" } else { "accounts" };
        assert_eq!((narrow.status, &narrow.data[list]), (200, &json!([])), "{which}: {narrow:?}");
        // The right to read accounts or histories is not the right to reports.
        let admin = under(&bench, "admin", &path, json!({})).await;
        assert_eq!(admin.status, 403, "{which}: {admin:?}");
        let nobody = bench.send(Operation::Read, &path, json!({}), Caller::Anonymous, None).await;
        assert_eq!((nobody.status, nobody.error.as_str()), (403, "permission denied"));
    }
}

#[tokio::test]
async fn a_page_passes_a_bounded_number_of_names_that_are_not_shown() {
    let bench = Bench::new().await;
    let role = json!({
        "issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_subject": "jane", "accounts": ["*9"],
        "operations": ["report"],
    });
    bench.fine("roles/reviewer", role).await;
    for number in 0..30 {
        bench.fine(&format!("accounts/f/x{number:02}"), json!({})).await;
    }
    let answer = under(&bench, "reviewer", "report/posture", json!({"limit": 2})).await;
    assert_eq!(each(answer.data["accounts"].as_array().unwrap(), "account"), ["f/x09", "f/x19"]);
    let rest = under(&bench, "reviewer", "report/posture", json!({"after": answer.data["next"]})).await;
    assert_eq!(each(rest.data["accounts"].as_array().unwrap(), "account"), ["f/x29"]);
    assert_eq!(rest.data["next"], Value::Null);
}
