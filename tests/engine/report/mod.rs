//! Reports over all accounts: what is amiss, who did what, who could; page by page while accounts change.

mod access;
mod many;
mod pages;
mod posture;
mod usage;

use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;

use crate::harness::{Answer, Bench};

/// Reads a report as root; it must be answered.
async fn report(bench: &Bench, which: &str, query: Value) -> Value {
    let answer = bench.root(Operation::Read, &format!("report/{which}"), query.clone()).await;
    assert_eq!(answer.status, 200, "{which} {query}: {answer:?}");
    answer.data
}

/// Every page of a report, one after the other: the rows of all of them, and how many pages there were.
async fn whole(bench: &Bench, which: &str, list: &str, query: Value) -> (Vec<Value>, usize) {
    let (mut rows, mut pages, mut query) = (Vec::new(), 0, query);
    loop {
        let page = report(bench, which, query.clone()).await;
        rows.extend(page[list].as_array().expect("a list").iter().cloned());
        pages += 1;
        assert!(pages < 10_000, "pages without end");
        match page["next"].as_str() {
            Some(next) => query["after"] = json!(next),
            None => return (rows, pages),
        }
    }
}

/// The field of each row.
fn each(rows: &[Value], field: &str) -> Vec<String> {
    rows.iter().map(|row| row[field].as_str().expect("a text").to_owned()).collect()
}

/// Reads a report under a login of jane's for this role.
async fn under(bench: &Bench, role: &str, path: &str, query: Value) -> Answer {
    let login = bench.engine.login(Some(role), &bench.jwt(json!({})), None).await.unwrap();
    let caller = Caller::Login { accessor: "a".into(), role: role.into(), assertion: login.assertion };
    bench.send(Operation::Read, path, query, caller, None).await
}
