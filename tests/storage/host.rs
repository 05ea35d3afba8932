//! What the mounting vault's storage promises beyond the contract: few calls, no open transaction, no write past one, and
//! nothing from memory that another node changed.

use std::sync::Arc;
use std::time::Duration;

use sparekey::plugin::HostStorage;
use sparekey::random::SeededRandom;
use sparekey::storage::{Expect, Found, Get, PutError, Revision, Storage, StorageError, Write};

use crate::fake_host::FakeHost;

fn known(key: &str, revision: Revision) -> Get {
    Get { key: key.into(), known: Some(revision) }
}

async fn revision(store: &HostStorage, key: &str) -> Revision {
    match store.get_many(vec![Get::new(key)]).await.unwrap().remove(0) {
        Found::Value(_, revision) => revision,
        other => panic!("{key}: {other:?}"),
    }
}

/// Until a rollback that was sent in passing has arrived.
async fn settled(host: &FakeHost) {
    for _ in 0..200 {
        if host.left_open() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} transactions are left open", host.left_open());
}

#[tokio::test]
async fn a_write_is_one_transaction_and_an_entry_begins_with_its_revision() {
    let (host, random) = (FakeHost::with_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    store.put_all(vec![Write::create("accounts/a", b"x".to_vec(), &random)]).await.unwrap();
    assert_eq!(host.calls(), ["IsTransactional", "BeginTx", "Get accounts/a", "Put accounts/a", "Commit"]);
    let at = revision(&store, "accounts/a").await;
    assert_eq!(host.entry("accounts/a").unwrap(), [&at.0[..], b"x"].concat());
    host.calls();
    store.put_all(vec![Write::delete("accounts/a", at)]).await.unwrap();
    assert_eq!(host.calls(), ["BeginTx", "Get accounts/a", "Delete accounts/a", "Commit"]);
}

#[tokio::test]
async fn without_transactions_all_are_looked_at_before_the_first_is_written() {
    let (host, random) = (FakeHost::without_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    let writes = ["claims/a", "accounts/a"].map(|key| Write::create(key, b"x".to_vec(), &random)).to_vec();
    store.put_all(writes).await.unwrap();
    let mut calls = host.calls();
    calls[..2].sort();
    assert_eq!(calls, ["Get accounts/a", "Get claims/a", "Put claims/a", "Put accounts/a"]);

    // An account that is made again from what a deletion left, which somebody has changed meanwhile: nothing is made of the old.
    let left = revision(&store, "claims/a").await;
    store.put_all(vec![Write::put("claims/a", Expect::At(left), b"an event".to_vec(), &random)]).await.unwrap();
    let again = vec![Write::create("accounts/b", b"x".to_vec(), &random), Write::delete("claims/a", left)];
    let refused = store.put_all(again).await;
    assert!(matches!(refused, Err(PutError::Conflict { index: 1 })), "{refused:?}");
    assert_eq!(host.entry("accounts/b"), None);
}

#[tokio::test]
async fn configuration_that_did_not_change_is_not_asked_for_and_accounts_always_are() {
    let (host, random) = (FakeHost::with_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    for key in ["roles/a", "accounts/a"] {
        store.put_all(vec![Write::create(key, b"1".to_vec(), &random)]).await.unwrap();
    }
    let (role, account) = (revision(&store, "roles/a").await, revision(&store, "accounts/a").await);
    host.calls();
    let gets = || vec![known("roles/a", role), known("accounts/a", account), Get::new("config")];
    let found = store.get_many(gets()).await.unwrap();
    assert_eq!(found, [Found::Unchanged, Found::Unchanged, Found::Absent]);
    let mut calls = host.calls();
    calls.sort();
    assert_eq!(calls, ["Get accounts/a", "Get config"]);
    assert_eq!(store.get_many(gets()).await.unwrap(), found);
    assert_eq!(host.calls(), ["Get accounts/a"], "what is known to be absent is not asked for either");

    // A write of our own is seen at once, and so is one that another node made, once the host says so.
    store.put_all(vec![Write::delete("roles/a", role)]).await.unwrap();
    store.put_all(vec![Write::create("config", b"1".to_vec(), &random)]).await.unwrap();
    let found = store.get_many(gets()).await.unwrap();
    assert!(matches!(found[..], [Found::Absent, Found::Unchanged, Found::Value(..)]), "{found:?}");
    host.set("config", &[&[9; 16][..], b"2"].concat());
    store.changed("config");
    let Found::Value(value, _) = store.get_many(vec![Get::new("config")]).await.unwrap().remove(0) else {
        panic!("a value")
    };
    assert_eq!(value, b"2");
}

#[tokio::test]
async fn a_conflict_rolls_back_and_an_overtaken_transaction_is_tried_again() {
    let (host, random) = (FakeHost::with_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    let create = || vec![Write::create("accounts/a", b"1".to_vec(), &random)];
    host.overtake();
    store.put_all(create()).await.unwrap();
    assert_eq!(host.calls().iter().filter(|call| *call == "Commit").count(), 2);
    assert!(matches!(store.put_all(create()).await, Err(PutError::Conflict { index: 0 })));
    settled(&host).await;
    assert!(host.calls().contains(&"Rollback".to_owned()));
    assert_eq!(host.strays(), Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown() {
    let (host, random) = (FakeHost::with_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    host.lose_commit();
    let outcome = store.put_all(vec![Write::create("config", b"1".to_vec(), &random)]).await;
    assert!(matches!(outcome, Err(PutError::Unknown(_))), "{outcome:?}");
    let found = store.get_many(vec![Get::new("config")]).await.unwrap().remove(0);
    assert!(matches!(found, Found::Value(..)), "what is there now is asked for: {found:?}");
}

#[tokio::test]
async fn a_write_whose_caller_went_away_goes_on_to_its_end() {
    for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
        let store = HostStorage::new(host.client());
        for number in 0..50 {
            let random = SeededRandom::new(number);
            let keys = ["claims", "accounts"].map(|folder| format!("{folder}/{number}"));
            let writes = keys.iter().map(|key| Write::create(key, b"x".to_vec(), &random)).collect();
            let task = tokio::spawn({
                let store = store.clone();
                async move { store.put_all(writes).await }
            });
            for _ in 0..number % 7 {
                tokio::task::yield_now().await;
            }
            task.abort();
        }
        settled(&host).await;
        // Whatever had begun is there in pairs.
        let mut pairs = 0;
        for _ in 0..200 {
            let keys = host.keys();
            let whole = |key: &String| {
                let (folder, number) = key.split_once('/').unwrap();
                let other = if folder == "claims" { "accounts" } else { "claims" };
                keys.contains(&format!("{other}/{number}"))
            };
            pairs = keys.len() / 2;
            if keys.iter().all(whole) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(pairs > 0 && host.keys().len() == 2 * pairs, "{:?}", host.keys());
        assert_eq!(host.strays(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_node_that_may_not_write_is_known_after_a_trial_and_after_any_write() {
    for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
        let (store, random) = (HostStorage::new(host.client()), SeededRandom::new(1));
        store.try_to_write().await.unwrap();
        assert!(!store.is_read_only() && host.keys().is_empty(), "the trial leaves nothing");
        host.read_only(true);
        assert!(!store.is_read_only());
        let outcome = store.put_all(vec![Write::create("accounts/a", b"1".to_vec(), &random)]).await;
        let said = match outcome {
            Err(PutError::Failed(StorageError::Failed(source))) => source.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(said, "cannot write to readonly storage");
        assert!(store.is_read_only());
        host.read_only(false);
        store.try_to_write().await.unwrap();
        assert!(!store.is_read_only());
        settled(&host).await;
    }
}

#[tokio::test]
async fn without_transactions_a_list_of_writes_that_stops_in_the_middle_is_unknown() {
    let (host, random) = (FakeHost::without_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    let writes = || ["claims/a", "accounts/a"].map(|key| Write::create(key, b"x".to_vec(), &random)).to_vec();
    host.stop_after(Some(0));
    assert!(matches!(store.put_all(writes()).await, Err(PutError::Failed(_))));
    host.stop_after(Some(1));
    assert!(matches!(store.put_all(writes()).await, Err(PutError::Unknown(_))));
    host.stop_after(None);
    assert!(matches!(store.put_all(writes()).await, Err(PutError::Conflict { index: 0 })));
}

#[tokio::test]
async fn an_entry_without_a_revision_is_corrupt_not_absent() {
    let host = FakeHost::with_transactions();
    host.set("accounts/a", b"short");
    let store = HostStorage::new(host.client());
    let found = store.get_many(vec![Get::new("accounts/a")]).await;
    assert!(matches!(found, Err(StorageError::Corrupt { ref key, .. }) if key == "accounts/a"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_of_one_mount_lose_no_update_where_the_host_has_transactions() {
    let host = FakeHost::with_transactions();
    let stores = [HostStorage::new(host.client()), HostStorage::new(host.client())].map(Arc::new);
    let random = Arc::new(SeededRandom::new(1));
    stores[0].put_all(vec![Write::create("accounts/n", vec![0], &*random)]).await.unwrap();
    let tasks = (0..40).map(|number| {
        let (store, random) = (stores[number % 2].clone(), random.clone());
        tokio::spawn(async move {
            loop {
                let found = store.get_many(vec![Get::new("accounts/n")]).await.unwrap().remove(0);
                let Found::Value(value, at) = found else { panic!("a value") };
                let next = vec![value[0] + 1];
                let write = Write::put("accounts/n", sparekey::storage::Expect::At(at), next, &*random);
                match store.put_all(vec![write]).await {
                    Ok(()) => return,
                    Err(PutError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(host.entry("accounts/n").unwrap()[16..], [40]);
    settled(&host).await;
}
