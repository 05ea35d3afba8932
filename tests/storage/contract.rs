//! What `put_all` and `get_many` promise.

use std::collections::HashSet;
use std::sync::Arc;

use sparekey::random::SeededRandom;
use sparekey::storage::{Change, Expect, Found, Get, PutError, Revision, Write};

use crate::backends::{Backend, conflict};

fn foreign() -> Revision {
    Revision([0xee; 16])
}

fn check(key: &str, expect: Expect) -> Write {
    Write { key: key.into(), expect, change: Change::Check }
}

pub async fn every_expectation_against_every_state(backend: &Backend) {
    for change in ["put", "delete", "check"] {
        for exists in [false, true] {
            for expected in ["absent", "this", "other", "former"] {
                let key = format!("{change}/{exists}/{expected}");
                // A former revision: the key was there before, in a version that is gone.
                let former = backend.create(&key, b"former").await;
                backend.store.put_all(vec![Write::delete(key.as_str(), former)]).await.unwrap();
                let this = if exists { backend.create(&key, b"before").await } else { Revision([0xaa; 16]) };
                let expect = match expected {
                    "absent" => Expect::Absent,
                    "this" => Expect::At(this),
                    "other" => Expect::At(foreign()),
                    _ => Expect::At(former),
                };
                let written = Revision::new(&backend.random);
                let change = match change {
                    "put" => Change::Put { value: b"after".to_vec(), revision: written },
                    "delete" => Change::Delete,
                    _ => Change::Check,
                };
                let result =
                    backend.store.put_all(vec![Write { key: key.clone(), expect, change: change.clone() }]).await;
                let should = (expected == "absent" && !exists) || (expected == "this" && exists);
                let before = if exists { Found::Value(b"before".to_vec(), this) } else { Found::Absent };
                if should {
                    result.unwrap_or_else(|error| panic!("{key}: {error}"));
                    let after = match change {
                        Change::Put { .. } => Found::Value(b"after".to_vec(), written),
                        Change::Delete => Found::Absent,
                        Change::Check => before,
                    };
                    assert_eq!(backend.get(&key).await, after, "{key}");
                } else {
                    assert_eq!(conflict(result), 0, "{key}");
                    assert_eq!(backend.get(&key).await, before, "{key}");
                }
            }
        }
    }
}

pub async fn a_check_writes_nothing(backend: &Backend) {
    let keyring = backend.create("key-names", b"1").await;
    backend.store.put_all(vec![Write::check("key-names", keyring), check("none", Expect::Absent)]).await.unwrap();
    assert_eq!(backend.get("key-names").await, Found::Value(b"1".to_vec(), keyring));
    assert_eq!(backend.get("none").await, Found::Absent);
    // A check that fails keeps the write beside it from happening.
    let writes = vec![Write::check("key-names", foreign()), Write::create("sets/1", b"x".to_vec(), &backend.random)];
    assert_eq!(conflict(backend.store.put_all(writes).await), 0);
    assert_eq!(backend.get("sets/1").await, Found::Absent);
}

pub async fn a_write_sees_those_before_it(backend: &Backend) {
    let first = Revision::new(&backend.random);
    let second = Revision::new(&backend.random);
    let put = |expect, value: &[u8], revision| Write {
        key: "twice".into(),
        expect,
        change: Change::Put { value: value.to_vec(), revision },
    };
    let writes = vec![
        put(Expect::Absent, b"first", first),
        Write::check("twice", first),
        put(Expect::At(first), b"second", second),
    ];
    backend.store.put_all(writes).await.unwrap();
    assert_eq!(backend.get("twice").await, Found::Value(b"second".to_vec(), second));

    let third = Revision::new(&backend.random);
    let writes = vec![Write::delete("twice", second), put(Expect::Absent, b"third", third)];
    backend.store.put_all(writes).await.unwrap();
    assert_eq!(backend.get("twice").await, Found::Value(b"third".to_vec(), third));

    let writes = vec![check("twice", Expect::At(third)), check("twice", Expect::Absent)];
    assert_eq!(conflict(backend.store.put_all(writes).await), 1);
}

pub async fn a_conflict_names_the_first_write(backend: &Backend) {
    let there = backend.create("there", b"1").await;
    for place in 0..4 {
        let mut writes: Vec<Write> =
            (0..4).map(|n| Write::create(format!("new/{place}/{n}"), vec![n], &backend.random)).collect();
        writes[place] = Write::create("there", b"2".to_vec(), &backend.random);
        writes.push(Write::check("there", foreign()));
        assert_eq!(conflict(backend.store.put_all(writes).await), place);
    }
    assert_eq!(backend.get("there").await, Found::Value(b"1".to_vec(), there));
}

pub async fn all_or_nothing_or_in_order(backend: &Backend) {
    let there = backend.create("there", b"1").await;
    let writes = vec![
        Write::create("a", b"a".to_vec(), &backend.random),
        Write::delete("there", there),
        Write::check("missing", foreign()),
        Write::create("b", b"b".to_vec(), &backend.random),
    ];
    assert_eq!(conflict(backend.store.put_all(writes).await), 2);
    // What lies before the conflict went down where the store cannot do better; what lies behind it never does.
    assert_eq!(backend.value("a").await.is_some(), !backend.atomic);
    assert_eq!(backend.value("there").await.is_none(), !backend.atomic);
    assert_eq!(backend.value("b").await, None);
}

pub async fn nothing_to_do_is_done(backend: &Backend) {
    backend.store.put_all(Vec::new()).await.unwrap();
    assert_eq!(backend.store.get_many(Vec::new()).await.unwrap(), Vec::new());
    assert_eq!(backend.list("", None, 10).await, Vec::<String>::new());
}

pub async fn reads_come_in_order_and_unchanged_is_not_sent_again(backend: &Backend) {
    let a = backend.create("a", b"A").await;
    let b = backend.create("b", b"").await;
    let ask = |key: &str, known| Get { key: key.into(), known };
    let gets = vec![
        ask("b", None),
        ask("none", None),
        ask("a", Some(a)),
        ask("a", Some(b)),
        ask("none", Some(a)),
        ask("b", Some(b)),
        ask("a", None),
    ];
    let expected = vec![
        Found::Value(Vec::new(), b),
        Found::Absent,
        Found::Unchanged,
        Found::Value(b"A".to_vec(), a),
        Found::Absent,
        Found::Unchanged,
        Found::Value(b"A".to_vec(), a),
    ];
    assert_eq!(backend.store.get_many(gets).await.unwrap(), expected);
    backend.store.put_all(vec![Write::put("a", Expect::At(a), b"A2".to_vec(), &backend.random)]).await.unwrap();
    let found = backend.store.get_many(vec![ask("a", Some(a))]).await.unwrap();
    assert!(matches!(&found[..], [Found::Value(value, _)] if value == b"A2"), "{found:?}");
}

pub async fn no_revision_returns_after_deletion(backend: &Backend) {
    let mut seen = HashSet::new();
    for _ in 0..8 {
        let revision = backend.create("claims/1", b"same bytes").await;
        assert!(seen.insert(revision), "a revision came back");
        for old in seen.iter().filter(|old| **old != revision) {
            assert_eq!(conflict(backend.store.put_all(vec![Write::check("claims/1", *old)]).await), 0);
        }
        backend.store.put_all(vec![Write::delete("claims/1", revision)]).await.unwrap();
    }
}

pub async fn large_values_come_back_whole(backend: &Backend) {
    let large: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 4]).collect();
    let writes: Vec<Write> =
        (0..3).map(|n| Write::create(format!("large/{n}"), large.clone(), &backend.random)).collect();
    backend.store.put_all(writes).await.unwrap();
    for n in 0..3 {
        assert_eq!(backend.value(&format!("large/{n}")).await.as_ref(), Some(&large));
    }
}

/// 32 callers raise one counter, each with a read and a conditional write, until 200 raises are done.
pub async fn no_update_is_lost(backend: &Backend) {
    backend.create("counter", &0u32.to_le_bytes()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32u64 {
        let store = Arc::clone(&backend.store);
        let raises = if task < 8 { 7 } else { 6 };
        tasks.spawn(async move {
            let random = SeededRandom::new(1000 + task);
            let mut done = 0;
            while done < raises {
                let found = store.get_many(vec![Get::new("counter")]).await.unwrap().pop();
                let Some(Found::Value(value, revision)) = found else { panic!("{found:?}") };
                let next = u32::from_le_bytes(value.try_into().unwrap()) + 1;
                let write = Write::put("counter", Expect::At(revision), next.to_le_bytes().to_vec(), &random);
                match store.put_all(vec![write]).await {
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
    assert_eq!(backend.value("counter").await, Some(200u32.to_le_bytes().to_vec()));
}

pub async fn of_many_creators_one_wins(backend: &Backend) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32u8 {
        let store = Arc::clone(&backend.store);
        tasks.spawn(async move {
            let random = SeededRandom::new(2000 + u64::from(task));
            match store.put_all(vec![Write::create("claims/one", vec![task], &random)]).await {
                Ok(()) => Some(task),
                Err(PutError::Conflict { index: 0 }) => None,
                Err(other) => panic!("{other}"),
            }
        });
    }
    let winners: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(backend.value("claims/one").await, Some(winners));
}
