//! What a step promises: reads of the moment, and a write that stands on them.

use std::sync::Arc;

use sparekey::random::SeededRandom;
use sparekey::storage::{Expect, Found, Get, PutError, Write};

use crate::backends::{Backend, conflict};

const KEYS: [&str; 3] = ["roles/a", "accounts/a", "keyring"];

fn known(key: &str, revision: sparekey::storage::Revision) -> Get {
    Get { key: key.into(), known: Some(revision) }
}

/// Of configuration, too, which a backend may hold in memory.
pub async fn a_step_reads_what_is_there_now(backend: &Backend) {
    for key in KEYS {
        let first = backend.create(key, b"1").await;
        for _ in 0..2 {
            let mut step = backend.store.clone().step();
            let gets = || vec![known(key, first), Get::new("config"), Get::new(key)];
            let found = step.get_many(gets()).await.unwrap();
            assert_eq!(found, [Found::Unchanged, Found::Absent, Found::Value(b"1".to_vec(), first)], "{key}");
            assert_eq!(step.get_many(gets()).await.unwrap(), found, "{key}");
        }
        let write = Write::put(key, Expect::At(first), b"2".to_vec(), &backend.random);
        backend.store.put_all(vec![write]).await.unwrap();
        let mut step = backend.store.clone().step();
        let found = step.get_many(vec![known(key, first)]).await.unwrap().remove(0);
        assert!(matches!(found, Found::Value(ref value, at) if value == b"2" && at != first), "{key}: {found:?}");
    }
}

pub async fn a_step_that_is_dropped_has_only_read(backend: &Backend) {
    let at = backend.create("accounts/a", b"1").await;
    let mut step = backend.store.clone().step();
    step.get_many(vec![Get::new("accounts/a")]).await.unwrap();
    drop(step);
    assert_eq!(backend.revision("accounts/a").await, at);
    backend.store.put_all(vec![Write::delete("accounts/a", at)]).await.unwrap();
}

pub async fn a_step_writes_what_nobody_changed_meanwhile(backend: &Backend) {
    for other in [false, true] {
        let (key, claim) = (format!("accounts/{other}"), format!("claims/{other}"));
        let at = backend.create(&key, b"1").await;
        let mut step = backend.store.clone().step();
        step.get_many(vec![Get::new(&key), Get::new(&claim)]).await.unwrap();
        if other {
            let write = Write::put(&key, Expect::At(at), b"other".to_vec(), &backend.random);
            backend.store.put_all(vec![write]).await.unwrap();
        }
        let mine = Write::put(&key, Expect::At(at), b"mine".to_vec(), &backend.random);
        let written = step.put_all(vec![mine]).await;
        match other {
            false => written.unwrap(),
            true => assert_eq!(conflict(written), 0),
        }
        let now = backend.value(&key).await.unwrap();
        assert_eq!(now, if other { b"other".to_vec() } else { b"mine".to_vec() });
    }
}

/// A record that the step did not read is looked at when it is written.
pub async fn a_step_holds_every_expectation(backend: &Backend) {
    let at = backend.create("accounts/a", b"1").await;
    backend.create("claims/taken", b"x").await;
    let mut step = backend.store.clone().step();
    step.get_many(vec![Get::new("accounts/a")]).await.unwrap();
    let writes = vec![
        Write::check("accounts/a", at),
        Write::create("claims/taken", b"mine".to_vec(), &backend.random),
        Write::put("accounts/a", Expect::At(at), b"2".to_vec(), &backend.random),
    ];
    assert_eq!(conflict(step.put_all(writes).await), 1);
    assert_eq!(backend.revision("accounts/a").await, at);
    let nothing_read = backend.store.clone().step();
    let writes = vec![Write::create("claims/taken", b"mine".to_vec(), &backend.random)];
    assert_eq!(conflict(nothing_read.put_all(writes).await), 0);
    backend.store.clone().step().put_all(Vec::new()).await.unwrap();
}

pub async fn steps_lose_no_update(backend: &Backend) {
    backend.create("counter", &[0]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16u64 {
        let store = Arc::clone(&backend.store);
        tasks.spawn(async move {
            let random = SeededRandom::new(3000 + task);
            let mut done = 0;
            while done < 6 {
                let mut step = store.clone().step();
                let found = step.get_many(vec![Get::new("counter")]).await.unwrap().pop();
                let Some(Found::Value(value, revision)) = found else { panic!("{found:?}") };
                let write = Write::put("counter", Expect::At(revision), vec![value[0] + 1], &random);
                match step.put_all(vec![write]).await {
                    Ok(()) => done += 1,
                    Err(PutError::Conflict { index: 0 }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(backend.value("counter").await, Some(vec![96]));
}
