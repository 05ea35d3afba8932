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

#[tokio::test]
async fn calls_on_a_host_with_transactions() {
    let host = FakeHost::with_transactions();
    let bench = mounted(&host).await;
    let transaction = "BeginTx, Commit";
    let retrieve = bench.act("retrieve/a", json!({}));
    assert_eq!(
        cost(&host, retrieve).await,
        format!("7: {transaction}, Get accounts, Get accounts, Get claims, Put accounts, Put claims")
    );
    let store = bench.act("sets/a", json!({"codes": ["eeeee-55555"]}));
    assert_eq!(
        cost(&host, store).await,
        format!("6: {transaction}, Get accounts, Get accounts, Get keyring, Put accounts")
    );
    let enroll = bench.act("enroll/a", json!({"enrollment_id": "1"}));
    assert_eq!(
        cost(&host, enroll).await,
        format!("8: {transaction}, Get accounts, Get accounts, Get events, Get events, Put accounts, Put events")
    );
    let read = bench.root(Operation::Read, "accounts/a", json!({}));
    assert_eq!(cost(&host, read).await, "1: Get accounts");
    let history = bench.root(Operation::Read, "history/a", json!({}));
    assert_eq!(cost(&host, history).await, "2: Get accounts, Get tombstones");
    let list = bench.root(Operation::List, "accounts/", json!({}));
    assert_eq!(cost(&host, list).await, "1: List accounts");
    let settings = bench.root(Operation::Read, "config", json!({}));
    assert_eq!(cost(&host, settings).await, "0: ");
}

#[tokio::test]
async fn calls_on_a_host_without_transactions() {
    let host = FakeHost::without_transactions();
    let bench = mounted(&host).await;
    let retrieve = bench.act("retrieve/a", json!({}));
    assert_eq!(
        cost(&host, retrieve).await,
        "7: Get accounts, Get accounts, Get burns, Get claims, Put accounts, Put burns, Put claims"
    );
    let read = bench.root(Operation::Read, "accounts/a", json!({}));
    assert_eq!(cost(&host, read).await, "1: Get accounts");
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
