//! Who did what: every act of a window, once, with the request's id, whatever the size of the page.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;

use super::{each, report, whole};
use crate::harness::{Bench, CODES, START};

#[tokio::test]
async fn acts_stand_with_who_role_and_the_requests_id() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.wait(10);
    let body =
        json!({"role": "admin", "jwt": bench.jwt(json!({"sub": "john"})), "reason": "lost phone", "ticket": "T-1"});
    let id = "4d2ad0b1-7ac8-4c59-8b4c-1d0a3f1c0001";
    bench.send_as(id, Operation::Update, "retrieve/a", body, Caller::Anonymous, None).await;
    let page = report(&bench, "usage", json!({"act": "retrieve"})).await;
    let acts = page["acts"].as_array().unwrap();
    assert_eq!(acts.len(), 1);
    let history = bench.read("history/a").await["entries"][1].clone();
    let mut wanted = history.clone();
    wanted.as_object_mut().unwrap().remove("hash");
    wanted["account"] = json!("a");
    assert_eq!(acts[0], wanted, "the act as its history tells it");
    assert_eq!((&acts[0]["request_id"], &acts[0]["actor"]["subject"]), (&json!(id), &json!("john")));
    let total = json!({
        "role": "admin", "issuer": "https://idp.example.com", "subject": "john", "act": "retrieve", "count": 1,
    });
    assert_eq!(page["totals"], json!([total]));
    assert_eq!((&page["next"], &page["looked_at"]), (&Value::Null, &json!(1)));
}

#[tokio::test]
async fn a_window_begins_with_its_first_moment_and_ends_before_its_last() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    for _ in 0..3 {
        bench.wait(10);
        bench.act("retrieve/a", json!({})).await;
    }
    for (query, wanted) in [
        (json!({"from": START + 10, "to": START + 30}), vec![2, 3]),
        (json!({"from": START + 11}), vec![3, 4]),
        (json!({"to": START + 10}), vec![1]),
        (json!({"from": START + 31}), vec![]),
        (json!({"act": "retrieve", "to": START + 20}), vec![2]),
        (json!({"subject": "john"}), vec![]),
        (json!({"subject": "jane", "role": "admin"}), vec![1, 2, 3, 4]),
        (json!({"role": "other"}), vec![]),
    ] {
        let page = report(&bench, "usage", query.clone()).await;
        let seqs: Vec<u64> = page["acts"].as_array().unwrap().iter().map(|act| act["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, wanted, "{query}");
    }
}

#[tokio::test]
async fn archived_acts_are_told_and_pages_of_any_size_add_up() {
    let bench = Bench::new().await;
    for account in ["a", "b/c"] {
        bench.store(account, &CODES).await;
        // More than two pieces of the history are archived.
        for number in 0..140 {
            bench.fine(&format!("accounts/{account}"), json!({"owner": format!("team {number}")})).await;
        }
    }
    let (all, _) = whole(&bench, "usage", "acts", json!({"limit": 1000})).await;
    for account in ["a", "b/c"] {
        let head = bench.read(&format!("history/{account}")).await["head"]["seq"].as_u64().unwrap();
        let seqs: Vec<u64> =
            all.iter().filter(|act| act["account"] == account).map(|act| act["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=head).collect::<Vec<_>>(), "{account}");
        assert!(head > 128, "{head}");
    }
    for limit in [1, 7, 32, 33, 100] {
        let (rows, mut totals, mut query) = (all.len(), BTreeMap::<String, u64>::new(), json!({"limit": limit}));
        let mut seen = 0;
        loop {
            let page = report(&bench, "usage", query.clone()).await;
            seen += page["acts"].as_array().unwrap().len();
            for total in page["totals"].as_array().unwrap() {
                *totals.entry(total["act"].as_str().unwrap().to_owned()).or_default() +=
                    total["count"].as_u64().unwrap();
            }
            match page["next"].as_str() {
                Some(next) => query["after"] = json!(next),
                None => break,
            }
        }
        assert_eq!(seen, rows, "by {limit}");
        assert_eq!(totals.values().sum::<u64>(), rows as u64, "by {limit}");
    }
}

#[tokio::test]
async fn what_was_done_to_a_deleted_account_is_told_once_even_if_it_is_deleted_meanwhile() {
    let bench = Bench::new().await;
    for account in ["a", "b", "c"] {
        bench.fine(&format!("accounts/{account}"), json!({})).await;
    }
    bench.root(Operation::Delete, "accounts/b", json!({})).await;
    let page = report(&bench, "usage", json!({"limit": 1})).await;
    assert_eq!(each(page["acts"].as_array().unwrap(), "account"), ["a"]);
    bench.root(Operation::Delete, "accounts/c", json!({})).await;
    bench.fine("accounts/b", json!({})).await;
    let (rest, _) = whole(&bench, "usage", "acts", json!({"after": page["next"]})).await;
    let told: Vec<_> = rest.iter().map(|act| format!("{} {}", act["account"], act["act"]).replace('"', "")).collect();
    assert_eq!(told, ["b create", "b delete", "b create", "c create", "c delete"]);
}

#[tokio::test]
async fn csv_has_a_line_an_act() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({"reason": "=1+1"})).await;
    let page = report(&bench, "usage", json!({"format": "csv"})).await;
    let lines: Vec<&str> = page["csv"].as_str().unwrap().lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with("at,account,act,subject,issuer,role,face,remote,request_id,reason,"), "{}", lines[0]);
    assert!(
        lines[2].starts_with("2027-01-15T08:00:00.000Z,a,retrieve,jane,https://idp.example.com,admin,http,192.0.2.7,r")
    );
    assert!(lines[2].contains(",\"'=1+1\","), "{}", lines[2]);
}
