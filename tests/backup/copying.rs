//! One store becomes the copy of another: from any state that a copy may stop in, and of nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use sparekey::random::SeededRandom;
use sparekey::storage::copy::{Copied, CopyError, MARKER, copy, fill, finish, is_unfinished};
use sparekey::storage::faulty::{Faulty, Outcome, Times};
use sparekey::storage::memory::Memory;
use sparekey::storage::redb::Redb;
use sparekey::storage::snapshot::Entry;
use sparekey::storage::{Expect, Found, Get, Storage, Write};

const MOUNT: [u8; 16] = [7; 16];

async fn filled(records: usize) -> Arc<dyn Storage> {
    let store: Arc<dyn Storage> = Arc::new(Memory::new());
    let random = SeededRandom::new(1);
    for number in 0..records {
        let write = Write::create(format!("accounts/{number:05}"), vec![number as u8; 900], &random);
        store.put_all(vec![write]).await.unwrap();
    }
    store
}

async fn entries(store: &Arc<dyn Storage>) -> Vec<Entry> {
    let mut snapshot = Arc::clone(store).snapshot().await.unwrap();
    let mut entries = Vec::new();
    loop {
        match snapshot.next(1000).await.unwrap() {
            batch if batch.is_empty() => return entries,
            batch => entries.extend(batch),
        }
    }
}

async fn run(source: &Arc<dyn Storage>, target: &Arc<dyn Storage>) -> Result<Copied, CopyError> {
    let snapshot = Arc::clone(source).snapshot().await.unwrap();
    copy(snapshot, Arc::clone(target), &MOUNT, &SeededRandom::new(9), &mut |_| {}).await
}

#[tokio::test]
async fn the_copy_is_the_same_in_every_byte_and_there_is_no_marker_left() {
    for records in [0, 1, 2500] {
        let source = filled(records).await;
        let folder = tempfile::tempdir().unwrap();
        let redb: Arc<dyn Storage> = Arc::new(Redb::open(&folder.path().join("a.redb")).unwrap());
        let back: Arc<dyn Storage> = Arc::new(Memory::new());
        let there = run(&source, &redb).await.unwrap();
        let and_back = run(&redb, &back).await.unwrap();
        assert_eq!((there.records, there.written), (records as u64, records as u64));
        assert_eq!(there, and_back);
        assert_eq!(entries(&redb).await, entries(&source).await);
        assert_eq!(entries(&back).await, entries(&source).await);
    }
}

/// The store freezes after any number of single writes; running the copy again goes on and ends well.
#[tokio::test]
async fn a_copy_that_stopped_anywhere_goes_on() {
    let source = filled(7).await;
    for writes in 0..=9 {
        let layer = Arc::new(Faulty::new(Arc::new(Memory::sequential())));
        let target: Arc<dyn Storage> = layer.clone();
        layer.freeze_after(writes);
        run(&source, &target).await.unwrap_err();
        layer.thaw();
        if writes > 0 && entries(&target).await.iter().any(|entry| entry.key == MARKER) {
            assert!(is_unfinished(&*target).await.unwrap());
        }
        match run(&source, &target).await {
            Ok(copied) => assert!(copied.records == 7 && copied.written <= 7),
            // It had come to its end; only the answer was lost.
            Err(CopyError::NotEmpty(_)) => assert_eq!(writes, 9),
            Err(other) => panic!("{writes}: {other}"),
        }
        assert!(!is_unfinished(&*target).await.unwrap());
        assert_eq!(entries(&target).await, entries(&source).await, "{writes}");
    }
}

#[tokio::test]
async fn what_is_there_already_is_not_written_again() {
    let source = filled(4000).await;
    let layer = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let target: Arc<dyn Storage> = layer.clone();
    // The marker and two batches, then the disk is full.
    let mut batches = 0;
    let snapshot = Arc::clone(&source).snapshot().await.unwrap();
    let told = &mut |_| {
        batches += 1;
        if batches == 3 {
            layer.fail_writes(Times::Always);
        }
    };
    let random = SeededRandom::new(9);
    assert!(matches!(copy(snapshot, target.clone(), &MOUNT, &random, told).await, Err(CopyError::Write(_))));
    layer.fail_writes(Times::Never);
    let already = entries(&target).await.len() as u64 - 1;
    assert!(already > 500, "{already}");
    let copied = run(&source, &target).await.unwrap();
    assert_eq!((copied.records, copied.written), (4000, 4000 - already));
    assert_eq!(entries(&target).await, entries(&source).await);
}

#[tokio::test]
async fn a_source_that_changed_between_two_tries_is_followed() {
    let source = filled(20).await;
    let layer = Arc::new(Faulty::new(Arc::new(Memory::sequential())));
    let target: Arc<dyn Storage> = layer.clone();
    layer.freeze_after(15);
    run(&source, &target).await.unwrap_err();
    layer.thaw();
    let random = SeededRandom::new(5);
    let at: BTreeMap<String, _> = entries(&source).await.into_iter().map(|e| (e.key, e.revision)).collect();
    let (changed, gone) = ("accounts/00003", "accounts/00004");
    let writes = vec![
        Write::put(changed, Expect::At(at[changed]), b"newer".to_vec(), &random),
        Write::delete(gone, at[gone]),
        Write::create("accounts/000035", b"between".to_vec(), &random),
    ];
    source.put_all(writes).await.unwrap();
    run(&source, &target).await.unwrap();
    assert_eq!(entries(&target).await, entries(&source).await);
}

#[tokio::test]
async fn a_target_that_holds_something_is_left_alone() {
    let (source, random) = (filled(3).await, SeededRandom::new(2));
    let target = filled(1).await;
    let before = entries(&target).await;
    match run(&source, &target).await {
        Err(CopyError::NotEmpty(key)) => assert_eq!(key, "accounts/00000"),
        other => panic!("{other:?}"),
    }
    assert_eq!(entries(&target).await, before);
    // The unfinished copy of another mount, too.
    let target: Arc<dyn Storage> = Arc::new(Memory::new());
    let marker = [&[1], &[8; 16][..]].concat();
    target.put_all(vec![Write::create(MARKER, marker, &random)]).await.unwrap();
    let before = entries(&target).await;
    assert!(matches!(run(&source, &target).await, Err(CopyError::OtherMount)));
    assert_eq!(entries(&target).await, before);
    // And an unfinished copy is no source.
    let empty: Arc<dyn Storage> = Arc::new(Memory::new());
    assert!(matches!(run(&target, &empty).await, Err(CopyError::Unfinished)));
}

#[tokio::test]
async fn a_copy_that_is_not_the_same_in_the_end_is_not_released() {
    let source = filled(5).await;
    let layer = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let target: Arc<dyn Storage> = layer.clone();
    layer.corrupt("accounts/00003", 10);
    assert!(matches!(run(&source, &target).await, Err(CopyError::Differs { source: 5, target: 5 })));
    assert!(is_unfinished(&*target).await.unwrap());
    layer.heal();
    run(&source, &target).await.unwrap();
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_stop_the_next_try() {
    let source = filled(5).await;
    let layer = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let target: Arc<dyn Storage> = layer.clone();
    layer.answer_unknown(Outcome::Written, Times::Next(1));
    assert!(matches!(run(&source, &target).await, Err(CopyError::Write(_))));
    run(&source, &target).await.unwrap();
    let found = target.get_many(vec![Get::new(MARKER)]).await.unwrap();
    assert_eq!(found, [Found::Absent]);
}

/// What a restore writes beside the copy goes down with the end of the copy, or neither does.
#[tokio::test]
async fn the_last_step_takes_along_what_must_not_be_missing() {
    let source = filled(10).await;
    let target: Arc<dyn Storage> = Arc::new(Memory::new());
    let snapshot = Arc::clone(&source).snapshot().await.unwrap();
    fill(snapshot, Arc::clone(&target), &MOUNT, &SeededRandom::new(9), &mut |_| {}).await.unwrap();
    assert!(is_unfinished(&*target).await.unwrap());
    let mark = |expect| Write { expect, ..Write::create("restore", vec![1], &SeededRandom::new(3)) };
    let elsewhere = Expect::At(sparekey::storage::Revision([5; 16]));
    assert!(matches!(finish(&target, vec![mark(elsewhere)]).await, Err(CopyError::Busy)));
    assert!(is_unfinished(&*target).await.unwrap());
    finish(&target, vec![mark(Expect::Absent)]).await.unwrap();
    assert!(!is_unfinished(&*target).await.unwrap());
    assert_eq!(entries(&target).await.len(), 11);
}
