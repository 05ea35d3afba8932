//! The engine on a mounting vault's storage: how many calls each operation costs, and once even there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::engine::request::Operation;
use sparekey::plugin::HostStorage;

use crate::fake_host::FakeHost;
use crate::harness::{Answer, Bench, CODES};

async fn mounted(host: &Arc<FakeHost>) -> Bench {
    let store = HostStorage::new(host.client());
    store.try_to_write().await.unwrap();
    let bench = Bench::over(Arc::new(store)).await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({})).await;
    host.calls();
    bench
}

/// What an operation costs: the calls that leave for the host, `Put accounts/a` as `Put accounts`.
async fn cost(host: &FakeHost, act: impl Future<Output = Answer>) -> String {
    host.calls();
    let answer = act.await;
    assert!(answer.status < 300, "{answer:?}");
    let calls = host.calls();
    let mut counted: Vec<String> = calls.iter().map(|call| call.split('/').next().unwrap().to_owned()).collect();
    counted.sort();
    format!("{}: {}", calls.len(), counted.join(", "))
}

/// What docs/mounting.md says an operation costs.
fn documented(operation: &str) -> String {
    let page = include_str!("../../docs/mounting.md");
    let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {operation} | ")));
    row.unwrap_or_else(|| panic!("no row for {operation}")).trim_end_matches(" |").to_owned()
}

#[tokio::test]
async fn calls_on_a_host_with_transactions() {
    let host = FakeHost::with_transactions();
    let bench = mounted(&host).await;
    let act = "BeginTx, Commit, Get accounts";
    let mut costs = Vec::new();
    let retrieve = cost(&host, bench.act("retrieve/a", json!({}))).await;
    assert_eq!(retrieve, format!("7: {act}, Get claims, Get configuration-stamp, Put accounts, Put claims"));
    costs.push(("retrieve, by a JWT", retrieve));
    let store = cost(&host, bench.act("sets/a", json!({"codes": ["eeeee-55555"]}))).await;
    assert_eq!(store, format!("5: {act}, Get configuration-stamp, Put accounts"));
    costs.push(("store a set", store));
    let store = cost(&host, bench.act("sets/new", json!({"codes": ["eeeee-55555"], "cas": 0}))).await;
    assert_eq!(store, format!("6: {act}, Get configuration-stamp, Get tombstones, Put accounts"));
    costs.push(("store the first set of a new account (`cas=0`)", store));
    let enroll = cost(&host, bench.act("enroll/a", json!({"enrollment_id": "1"}))).await;
    assert_eq!(enroll, format!("7: {act}, Get configuration-stamp, Get events, Put accounts, Put events"));
    costs.push(("enroll", enroll));
    let read = cost(&host, bench.root(Operation::Read, "accounts/a", json!({}))).await;
    assert_eq!(read, "1: Get accounts");
    costs.push(("read an account", read));
    let history = cost(&host, bench.root(Operation::Read, "history/a", json!({}))).await;
    assert_eq!(history, "2: Get accounts, Get tombstones");
    costs.push(("history", history));
    let list = cost(&host, bench.root(Operation::List, "accounts/", json!({}))).await;
    assert_eq!(list, "1: ListPage accounts");
    let settings = cost(&host, bench.root(Operation::Read, "config", json!({}))).await;
    assert_eq!(settings, "0: ");
    costs.push(("configuration, read", settings));
    for (operation, cost) in costs {
        assert_eq!(documented(operation), cost.split(':').next().unwrap(), "docs/mounting.md: {operation}");
    }
}

#[tokio::test]
async fn calls_on_a_host_without_transactions() {
    let host = FakeHost::without_transactions();
    let bench = mounted(&host).await;
    let retrieve = bench.act("retrieve/a", json!({}));
    assert_eq!(
        cost(&host, retrieve).await,
        "8: Get accounts, Get accounts, Get burns, Get claims, Get configuration-stamp, Put accounts, Put burns, \
         Put claims"
    );
    let read = bench.root(Operation::Read, "accounts/a", json!({}));
    assert_eq!(cost(&host, read).await, "1: Get accounts");
}

/// Another process of the mount, which may be on another node, changes what the first holds in memory. Nobody tells the first.
#[tokio::test]
async fn a_change_made_elsewhere_counts_for_the_next_act() {
    for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
        let bench = mounted(&host).await;
        let elsewhere = bench.beside(Arc::new(HostStorage::new(host.client())));
        bench
            .fine(
                "roles/other",
                json!({
                    "issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_subject": "jane", "accounts": ["*"],
                    "operations": ["retrieve"], "require_reason": false,
                }),
            )
            .await;
        let retrieve = || bench.act("retrieve/a", json!({"role": "other"}));
        let given = retrieve().await;
        assert_eq!(given.code.as_deref(), Some(CODES[1]), "{given:?}");

        let other = json!({"bound_subject": "someone else"});
        bench.fine_through(&elsewhere, Operation::Update, "roles/other", other).await;
        assert_eq!(retrieve().await.status, 403, "the role is another's");
        bench.fine_through(&elsewhere, Operation::Update, "roles/other", json!({"bound_subject": "jane"})).await;
        assert_eq!(retrieve().await.code.as_deref(), Some(CODES[2]), "and hers again");
        let stranger = crate::harness::Signer::es256("k1").public_pem();
        let issuer = json!({"jwt_validation_pubkeys": [stranger]});
        bench.fine_through(&elsewhere, Operation::Update, "issuers/idp", issuer).await;
        // Believed by the key in memory, and not taken in: the sender asks again and is told.
        let event = bench.event("jane@example.com", bench.now(), json!({}));
        assert_eq!(bench.send_event(&event).await.status, 503);
        assert_eq!(bench.send_event(&event).await.status, 400);
        assert_eq!(retrieve().await.status, 403, "the issuer's key is another");
        let mine = json!({"jwt_validation_pubkeys": [bench.idp.public_pem()]});
        bench.fine_through(&elsewhere, Operation::Update, "issuers/idp", mine).await;
        bench.fine_through(&elsewhere, Operation::Delete, "roles/other", json!({})).await;
        assert_eq!(retrieve().await.status, 403, "the role is gone");
        assert_eq!(bench.act("retrieve/a", json!({})).await.code.as_deref(), Some(CODES[3]));
        bench.store("a", &["eeeee-55555", "fffff-66666"]).await;
        let profile = json!({"retrieval": "forbidden"});
        bench.fine_through(&elsewhere, Operation::Update, "profiles/escrowed", profile).await;
        assert_eq!(bench.act("retrieve/a", json!({})).await.word(), "forbidden");
        assert_eq!(host.strays(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_two_clients_empty_a_set_without_a_code_twice() {
    for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
        let bench = Arc::new(mounted(&host).await);
        let codes: Vec<String> = (0..24).map(|number| format!("code{number:06}")).collect();
        bench.store("b", &codes.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let tasks: Vec<_> = (0..32)
            .map(|_| {
                let (bench, jwt) = (bench.clone(), bench.jwt(json!({})));
                tokio::spawn(async move { bench.act("retrieve/b", json!({"jwt": jwt})).await.code })
            })
            .collect();
        let mut seen = Vec::new();
        for task in tasks {
            seen.extend(task.await.unwrap());
        }
        assert_eq!(seen.len(), 24);
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), codes.into_iter().collect());
        let history = bench.root(Operation::Read, "history/b", json!({"verify": true, "limit": 1000})).await;
        assert_eq!(history.data["verified"], Value::Bool(true));
        assert_eq!(host.strays(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_act_whose_commit_got_no_answer_is_recognised_and_not_done_twice() {
    let host = FakeHost::with_transactions();
    let bench = mounted(&host).await;
    host.lose_commit();
    let answer = bench.act("retrieve/a", json!({})).await;
    assert_eq!(answer.code.as_deref(), Some(CODES[1]), "{answer:?}");
    assert_eq!(answer.data["remaining"], 2);
    assert_eq!(bench.read("accounts/a").await["remaining"], 2);
}
