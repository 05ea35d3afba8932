//! Configuration records and the ledger of their changes.

use serde_json::json;
use sparekey::engine::request::Operation;

use crate::harness::Bench;

#[tokio::test]
async fn writing_back_what_was_read_changes_nothing() {
    let bench = Bench::new().await;
    let before = bench.read("config/history").await["head"].clone();
    for path in ["config", "roles/admin", "issuers/idp", "sources/idp", "profiles/escrowed"] {
        let read = bench.read(path).await;
        bench.fine(path, read.clone()).await;
        assert_eq!(bench.read(path).await, read, "{path}");
    }
    assert_eq!(bench.read("config/history").await["head"], before, "no change, no entry");
}

#[tokio::test]
async fn every_change_is_in_the_history_with_before_and_after() {
    let bench = Bench::new().await;
    bench.fine("profiles/p", json!({"reveal_window": "1m"})).await;
    bench.fine("profiles/p", json!({"reveal_window": "2m"})).await;
    assert_eq!(bench.root(Operation::Delete, "profiles/p", json!({})).await.status, 204);
    let history = bench.root(Operation::Read, "config/history", json!({"verify": "true", "after": "4"})).await.data;
    assert_eq!(history["verified"], true);
    let entries = history["entries"].as_array().unwrap();
    let acts: Vec<_> = entries.iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["create", "update", "delete"]);
    let update = &entries[1];
    assert_eq!(update["actor"]["subject"], "root");
    assert_eq!(update["remote"], "192.0.2.7");
    assert_eq!(update["detail"]["path"], "profiles/p");
    assert_eq!(update["detail"]["before"]["reveal_window"], 60);
    assert_eq!(update["detail"]["after"]["reveal_window"], 120);
}

#[tokio::test]
async fn a_record_that_names_a_missing_one_is_taken_with_a_warning() {
    let bench = Bench::new().await;
    let role = json!({
        "issuers": ["later"], "bound_audiences": ["x"], "bound_subject": "s", "accounts": ["*"], "operations": ["retrieve"],
    });
    let answer = bench.fine("roles/early", role).await;
    assert_eq!(answer.warnings, ["issuers/later does not exist yet"]);
    let answer = bench.fine("config", json!({"default_role": "later", "default_profile": "later"})).await;
    assert_eq!(answer.warnings, ["roles/later does not exist yet", "profiles/later does not exist yet"]);
    let answer = bench.fine("config", json!({"default_role": "early", "default_profile": "issued"})).await;
    assert!(answer.warnings.is_empty(), "{answer:?}");
}

#[tokio::test]
async fn the_built_in_profile_is_listed_and_comes_back_when_deleted() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"low_watermark": 9})).await;
    bench.fine("profiles/zz", json!({})).await;
    let list = bench.root(Operation::List, "profiles/", json!({})).await;
    assert_eq!(list.data["keys"], json!(["escrowed", "issued", "zz"]));
    bench.root(Operation::Delete, "profiles/escrowed", json!({})).await;
    assert_eq!(bench.read("profiles/escrowed").await["low_watermark"], 3);
}

#[tokio::test]
async fn a_missing_record_is_404_and_deleting_it_is_fine() {
    let bench = Bench::new().await;
    for path in ["roles/none", "issuers/none", "profiles/none", "sources/none", "accounts/none", "history/none"] {
        assert_eq!(bench.root(Operation::Read, path, json!({})).await.status, 404, "{path}");
    }
    for path in ["roles/none", "issuers/none", "profiles/none", "sources/none", "accounts/none"] {
        assert_eq!(bench.root(Operation::Delete, path, json!({})).await.status, 204, "{path}");
    }
    assert_eq!(bench.root(Operation::Read, "roles/UPPER", json!({})).await.status, 400);
}

#[tokio::test]
async fn a_jwt_in_an_address_is_refused() {
    let bench = Bench::new().await;
    let answer = bench.root(Operation::Read, "accounts/a", json!({"jwt": "x.y.z"})).await;
    assert_eq!((answer.status, answer.word()), (400, "jwt"));
}
