//! The engine on a mounting vault's storage: how many calls each operation costs, and once even there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::engine::request::Operation;
use sparekey::plugin::HostStorage;

use crate::fake_host::FakeHost;
use crate::harness::{Answer, Bench, CODES};
use crate::issued::{issue, plain_profile};

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

/// docs/mounting.md says that the operation costs what was counted.
#[track_caller]
fn is_documented(operation: &str, counted: &str) {
    let page = include_str!("../../docs/mounting.md");
    let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {operation} | ")));
    let row = row.unwrap_or_else(|| panic!("no row for {operation}")).trim_end_matches(" |");
    assert_eq!(Some(row), counted.split(':').next(), "docs/mounting.md: {operation}");
}

#[tokio::test]
async fn calls_on_a_host_with_transactions() {
    let host = FakeHost::with_transactions();
    let bench = mounted(&host).await;
    plain_profile(&bench).await;
    let codes = issue(&bench, "app", "plain").await;
    // Once each, so that the configuration is in memory, and the source has had an event before.
    bench.act("retrieve/a", json!({})).await;
    bench.act("verify/app", json!({"code": codes[9]})).await;
    bench.send_event(&bench.event("jane@example.com", bench.now(), json!({}))).await;
    bench.engine.settle_counts().await;
    let step = |more: &str| {
        let mut calls = vec!["BeginTx", "Commit", "Get accounts", "Get configuration-stamp"];
        calls.extend(more.split(", "));
        calls.sort_unstable();
        format!("{}: {}", calls.len(), calls.join(", "))
    };
    let one_record = step("Put accounts");
    let event = bench.event("jane@example.com", bench.now(), json!({}));
    let about_two = format!(
        "23: {}, {}, {}, {}, {}, {}, {}, {}, Put source-state",
        ["BeginTx"; 4].join(", "),
        ["Commit"; 4].join(", "),
        ["Get accounts"; 2].join(", "),
        ["Get configuration-stamp"; 2].join(", "),
        ["Get events"; 3].join(", "),
        ["Get source-state"; 2].join(", "),
        ["Put accounts"; 2].join(", "),
        ["Put events"; 3].join(", "),
    );
    for (operation, path, body, wanted) in [
        ("retrieve, by a JWT", "retrieve/a", json!({}), step("Get claims, Put accounts, Put claims")),
        ("outcome", "outcome/a", json!({"slot": 1, "outcome": "worked"}), one_record.clone()),
        ("store a set", "sets/a", json!({"codes": ["eeeee-55555"]}), one_record.clone()),
        (
            "store the first set of a new account (`cas=0`)",
            "sets/new",
            json!({"codes": ["eeeee-55555"], "cas": 0}),
            step("Get tombstones, Put accounts"),
        ),
        ("confirm", "confirm/a", json!({"generation": 1}), one_record.clone()),
        ("verify, a right code", "verify/app", json!({"code": codes[0]}), one_record.clone()),
        ("verify, a wrong code", "verify/app", json!({"code": "no code of ours"}), one_record.clone()),
        ("check", "check/app", json!({"code": codes[1]}), one_record.clone()),
        ("enroll", "enroll/a", json!({"enrollment_id": "1"}), step("Get events, Put accounts, Put events")),
        ("release", "release/a", json!({"reason": "x"}), one_record.clone()),
        ("revoke", "revoke/app", json!({"reason": "x"}), one_record.clone()),
        ("an event about two accounts", "events/idp", json!({"set": event}), about_two),
    ] {
        let act = async {
            let answer = bench.act(path, body).await;
            // What is counted of an event is counted a moment later.
            bench.engine.settle_counts().await;
            answer
        };
        let found = cost(&host, act).await;
        assert_eq!(found, wanted, "{operation}");
        is_documented(operation, &found);
    }
    // Five accounts in three folders.
    let five = ["Get accounts"; 5].join(", ");
    let folders = ["ListPage accounts"; 3].join(", ");
    let gone = ["Get tombstones"; 5].join(", ");
    let gone = format!("{gone}, {folders}, {}", folders.replace("accounts", "tombstones"));
    let of_five = |report: &str| format!("report/{report}, a page of five accounts");
    for (operation, kind, path, wanted) in [
        ("read an account", Operation::Read, "accounts/a", "1: Get accounts".to_owned()),
        ("history", Operation::Read, "history/a", "2: Get accounts, Get tombstones".to_owned()),
        ("list a folder", Operation::List, "accounts/", "1: ListPage accounts".to_owned()),
        ("configuration, read", Operation::Read, "config", "0: ".to_owned()),
        (&of_five("posture"), Operation::Read, "report/posture", format!("9: {five}, {folders}, ListPage roles")),
        (&of_five("usage"), Operation::Read, "report/usage", format!("16: {five}, {gone}")),
        (
            &of_five("access"),
            Operation::Read,
            "report/access",
            format!("10: {five}, Get config-ledger, {folders}, ListPage roles"),
        ),
    ] {
        let found = cost(&host, bench.root(kind, path, json!({}))).await;
        assert_eq!(found, wanted, "{operation}");
        is_documented(operation, &found);
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
