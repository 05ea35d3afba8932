//! Steps on a mounting vault's storage: one transaction, and nothing from memory that any process on any node has changed since.

use std::sync::Arc;

use sparekey::plugin::HostStorage;
use sparekey::random::SeededRandom;
use sparekey::storage::{Expect, Found, Get, PutError, Revision, Step, Storage, Write};

use crate::fake_host::FakeHost;

const STAMP: &str = "configuration-stamp";

fn step(store: &HostStorage) -> Box<dyn Step> {
    Arc::new(store.clone()).step()
}

/// The role as a step finds it that knows `known`, and the calls for it.
async fn role(host: &FakeHost, store: &HostStorage, known: Option<Revision>) -> (Found, Vec<String>) {
    host.calls();
    let found = step(store).get_many(vec![Get { key: "roles/a".into(), known }]).await.unwrap().remove(0);
    let calls = host.calls().into_iter().filter(|call| call.starts_with("Get")).collect();
    (found, calls)
}

async fn put(store: &HostStorage, random: &SeededRandom, value: &[u8]) -> Result<(), PutError> {
    let found = store.get_many(vec![Get::new("roles/a")]).await.unwrap().remove(0);
    let expect = match found {
        Found::Value(_, revision) => Expect::At(revision),
        _ => Expect::Absent,
    };
    store.put_all(vec![Write::put("roles/a", expect, value.to_vec(), random)]).await
}

/// Until a step takes the role from memory; its revision.
async fn warm(host: &FakeHost, store: &HostStorage) -> Revision {
    let (found, _) = role(host, store, None).await;
    let Found::Value(_, at) = found else { panic!("{found:?}") };
    role(host, store, Some(at)).await;
    let (found, calls) = role(host, store, Some(at)).await;
    assert_eq!((found, calls), (Found::Unchanged, vec![format!("Get {STAMP}")]), "it is in memory");
    at
}

#[tokio::test]
async fn reads_and_write_of_a_step_are_one_transaction() {
    let (host, random) = (FakeHost::with_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    let mut act = step(&store);
    assert_eq!(act.get_many(vec![Get::new("accounts/a")]).await.unwrap(), [Found::Absent]);
    act.put_all(vec![Write::create("accounts/a", b"x".to_vec(), &random)]).await.unwrap();
    assert_eq!(host.calls(), ["IsTransactional", "BeginTx", "Get accounts/a", "Put accounts/a", "Commit"]);
    let mut refused = step(&store);
    refused.get_many(vec![Get::new("accounts/a")]).await.unwrap();
    drop(refused);
    for _ in 0..200 {
        if host.left_open() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("a transaction is left open");
}

/// Nobody says that the key changed: neither the host nor the clock.
#[tokio::test]
async fn what_another_process_changed_is_never_taken_from_memory() {
    for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
        let (random, [one, other]) = (SeededRandom::new(1), [(), ()].map(|()| HostStorage::new(host.client())));
        put(&one, &random, b"1").await.unwrap();
        for value in [b"2", b"3"] {
            let at = warm(&host, &one).await;
            put(&other, &random, value).await.unwrap();
            let (found, _) = role(&host, &one, Some(at)).await;
            assert!(matches!(found, Found::Value(ref now, _) if now == value), "{found:?}");
        }
        let at = warm(&host, &one).await;
        other.put_all(vec![Write::delete("roles/a", at)]).await.unwrap();
        assert_eq!(role(&host, &one, Some(at)).await.0, Found::Absent);
    }
}

/// The role is changed after the step has looked at the stamp, and before it commits.
#[tokio::test]
async fn a_step_commits_nothing_under_a_configuration_that_changed_meanwhile() {
    let (host, random) = (FakeHost::with_transactions(), SeededRandom::new(1));
    let [one, other] = [(), ()].map(|()| HostStorage::new(host.client()));
    put(&one, &random, b"1").await.unwrap();
    let at = warm(&host, &one).await;
    let mut act = step(&one);
    let gets = vec![Get { key: "roles/a".into(), known: Some(at) }, Get::new("accounts/a")];
    assert_eq!(act.get_many(gets).await.unwrap(), [Found::Unchanged, Found::Absent]);
    put(&other, &random, b"2").await.unwrap();
    let written = act.put_all(vec![Write::create("accounts/a", b"x".to_vec(), &random)]).await;
    assert!(matches!(written, Err(PutError::Conflict { .. })), "{written:?}");
    assert!(!host.keys().contains("accounts/a"));
}

/// The writer is gone after each of its writes in turn. What it left is what counts, and never what was in another's memory.
#[tokio::test]
async fn a_change_of_the_configuration_that_stops_in_the_middle_is_not_covered_up() {
    for writes in 0..=3 {
        let host = FakeHost::without_transactions();
        let (random, [one, other]) = (SeededRandom::new(1), [(), ()].map(|()| HostStorage::new(host.client())));
        put(&one, &random, b"1").await.unwrap();
        let at = warm(&host, &one).await;
        host.stop_after(Some(writes));
        let outcome = put(&other, &random, b"2").await;
        host.stop_after(None);
        let there = host.entry("roles/a").unwrap();
        for _ in 0..3 {
            let (found, _) = role(&host, &one, Some(at)).await;
            let expected =
                if there[16..] == *b"1" { Found::Unchanged } else { Found::Value(b"2".to_vec(), found_at(&there)) };
            assert_eq!(found, expected, "after {writes} writes: {outcome:?}");
        }
        // The next change that comes to its end lets things be known again.
        put(&one, &random, b"3").await.unwrap();
        warm(&host, &one).await;
    }
}

fn found_at(entry: &[u8]) -> Revision {
    Revision(*entry.first_chunk().unwrap())
}

/// Rivals that have lost already do not make the host commit in vain.
#[tokio::test]
async fn a_rival_that_read_before_another_wrote_is_told_without_a_commit() {
    let (host, random) = (FakeHost::with_transactions(), SeededRandom::new(1));
    let store = HostStorage::new(host.client());
    store.put_all(vec![Write::create("accounts/a", b"1".to_vec(), &random)]).await.unwrap();
    let mut rivals = [step(&store), step(&store), step(&store)];
    let mut at = None;
    for rival in &mut rivals {
        match rival.get_many(vec![Get::new("accounts/a")]).await.unwrap().remove(0) {
            Found::Value(_, revision) => at = Some(revision),
            other => panic!("{other:?}"),
        }
    }
    host.calls();
    let mut won = 0;
    for rival in rivals {
        let write = Write::put("accounts/a", Expect::At(at.unwrap()), b"2".to_vec(), &random);
        won += usize::from(rival.put_all(vec![write]).await.is_ok());
    }
    assert_eq!(won, 1);
    assert_eq!(host.calls().iter().filter(|call| *call == "Commit").count(), 1);
}
