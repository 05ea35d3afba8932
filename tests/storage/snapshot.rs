//! What a snapshot promises: everything of one moment, in order, in bounded batches, whatever is written meanwhile.

use std::sync::Arc;

use sparekey::random::SeededRandom;
use sparekey::storage::barrier::Barrier;
use sparekey::storage::faulty::{Faulty, Times};
use sparekey::storage::memory::Memory;
use sparekey::storage::redb::Redb;
use sparekey::storage::snapshot::{BATCH, Entry, Snapshot};
use sparekey::storage::{Expect, Revision, Storage, StorageError, Write};

use crate::backends::{Backend, MOUNT, host_with_transactions, key, place};

async fn all(snapshot: &mut dyn Snapshot, limit: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    loop {
        let batch = snapshot.next(limit).await.unwrap();
        assert!(batch.len() <= limit);
        if batch.is_empty() {
            return entries;
        }
        entries.extend(batch);
    }
}

fn keys(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

pub async fn nothing_is_an_empty_snapshot(backend: &Backend) {
    let mut snapshot = backend.store.clone().snapshot().await.unwrap();
    assert_eq!(snapshot.next(1).await.unwrap(), []);
    assert_eq!(snapshot.next(10).await.unwrap(), []);
}

pub async fn it_has_everything_once_in_the_order_of_bytes(backend: &Backend) {
    let names = ["a", "a/b", "a0", "b/c/d", "b/c/é", "keyring", "seal", "z"];
    let mut expected = Vec::new();
    for name in names.iter().rev() {
        let revision = backend.create(name, name.as_bytes()).await;
        expected.push(Entry { key: (*name).into(), value: name.as_bytes().to_vec(), revision });
    }
    expected.sort_by(|a, b| a.key.as_bytes().cmp(b.key.as_bytes()));
    for limit in [1, 2, 3, 8, 100] {
        let mut snapshot = backend.store.clone().snapshot().await.unwrap();
        assert_eq!(all(&mut *snapshot, limit).await, expected, "{limit}");
        assert_eq!(snapshot.next(limit).await.unwrap(), [], "once only");
    }
}

pub async fn what_is_written_meanwhile_does_not_show(backend: &Backend) {
    let mut revisions = Vec::new();
    for number in 0..10 {
        revisions.push(backend.create(&format!("k{number}"), b"before").await);
    }
    let mut snapshot = backend.store.clone().snapshot().await.unwrap();
    let mut entries = snapshot.next(4).await.unwrap();
    let mut writes = vec![Write::create("k55", b"new".to_vec(), &backend.random)];
    writes.push(Write::delete("k7", revisions[7]));
    for number in [0, 5, 9] {
        let at = Expect::At(revisions[number]);
        writes.push(Write::put(format!("k{number}"), at, b"after".to_vec(), &backend.random));
    }
    backend.store.put_all(writes).await.unwrap();
    entries.extend(all(&mut *snapshot, 4).await);
    assert_eq!(entries.len(), 10);
    for (number, entry) in entries.iter().enumerate() {
        let expected = Entry { key: format!("k{number}"), value: b"before".to_vec(), revision: revisions[number] };
        assert_eq!(*entry, expected);
    }
    let mut later = backend.store.clone().snapshot().await.unwrap();
    let later = all(&mut *later, 100).await;
    assert_eq!(keys(&later), ["k0", "k1", "k2", "k3", "k4", "k5", "k55", "k6", "k8", "k9"]);
}

pub async fn batches_are_bounded_in_bytes(backend: &Backend) {
    for number in 0..5 {
        backend.create(&format!("k{number}"), &vec![number; BATCH / 2 + 1]).await;
    }
    let mut snapshot = backend.store.clone().snapshot().await.unwrap();
    let mut sizes = Vec::new();
    loop {
        match snapshot.next(1000).await.unwrap().len() {
            0 => break,
            size => sizes.push(size),
        }
    }
    assert_eq!(sizes.iter().sum::<usize>(), 5);
    assert!(sizes.iter().all(|size| *size <= 2), "{sizes:?}");
}

pub async fn writers_are_not_held_up(backend: &Backend) {
    backend.create("a", b"1").await;
    let mut snapshot = backend.store.clone().snapshot().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8u64 {
        let store = Arc::clone(&backend.store);
        tasks.spawn(async move {
            let random = SeededRandom::new(task);
            for number in 0..8 {
                store.put_all(vec![Write::create(format!("b/{task}/{number}"), vec![1], &random)]).await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    assert_eq!(keys(&all(&mut *snapshot, 10).await), ["a"]);
}

/// Beneath the barrier everything is as it lies, and no key is needed; above it everything is open.
#[tokio::test]
async fn the_barrier_opens_and_the_store_beneath_needs_no_key() {
    let beneath: Arc<dyn Storage> = Arc::new(Memory::new());
    let barrier = Arc::new(Barrier::new(Arc::clone(&beneath)));
    barrier.unseal(MOUNT, vec![key(1)]);
    let random = SeededRandom::new(3);
    let names = ["accounts/a", "keyring"];
    barrier.put_all(names.map(|name| Write::create(name, b"plain text".to_vec(), &random)).into()).await.unwrap();
    let mut opened = barrier.clone().snapshot().await.unwrap();
    barrier.seal();
    assert!(matches!(opened.next(9).await, Err(StorageError::Sealed)));
    assert!(matches!(barrier.clone().snapshot().await.err(), Some(StorageError::Sealed)));
    let sealed = all(&mut *beneath.clone().snapshot().await.unwrap(), 9).await;
    assert_eq!(keys(&sealed), names);
    assert!(!sealed[0].value.windows(5).any(|window| window == b"plain"), "sealed as it lies");
    assert_eq!(sealed[1].value, b"plain text", "sealed by the root key, not by the barrier");
    // A seal that was opened again lets it go on where it was.
    barrier.unseal(MOUNT, vec![key(1)]);
    let entries = all(&mut *opened, 9).await;
    assert_eq!(entries[0].value, b"plain text");
    let mut by_itself = sealed[0].clone();
    barrier.open_entry(&mut by_itself).unwrap();
    assert_eq!(by_itself, entries[0]);
}

#[tokio::test]
async fn a_corrupt_record_is_named_and_the_rest_comes() {
    let layer = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let barrier = Arc::new(Barrier::new(layer.clone()));
    barrier.unseal(MOUNT, vec![key(1)]);
    let random = SeededRandom::new(3);
    for name in ["a", "b", "c", "d"] {
        barrier.put_all(vec![Write::create(name, vec![7; 9], &random)]).await.unwrap();
    }
    layer.corrupt("b", 40);
    layer.corrupt("c", 40);
    let mut snapshot = barrier.clone().snapshot().await.unwrap();
    let (mut seen, mut corrupt) = (Vec::new(), Vec::new());
    loop {
        match snapshot.next(10).await {
            Ok(batch) if batch.is_empty() => break,
            Ok(batch) => seen.extend(batch.into_iter().map(|entry| entry.key)),
            Err(StorageError::Corrupt { key, .. }) => corrupt.push(key),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((seen, corrupt), (vec!["a".into(), "d".into()], vec!["b".to_owned(), "c".into()]));
    assert_eq!(barrier.failures(), 2);
}

#[tokio::test]
async fn the_faulty_layer_reaches_snapshots() {
    let layer = Arc::new(Faulty::new(Arc::new(Memory::new())));
    layer.put_all(vec![Write::create("a", vec![1], &SeededRandom::new(1))]).await.unwrap();
    let mut snapshot = layer.clone().snapshot().await.unwrap();
    layer.fail_reads(Times::Next(1));
    assert!(matches!(snapshot.next(1).await, Err(StorageError::Failed(_))));
    assert_eq!(keys(&snapshot.next(1).await.unwrap()), ["a"]);
    assert_eq!(layer.counts().batches, 2);
    layer.freeze_after(0);
    assert!(matches!(snapshot.next(1).await, Err(StorageError::Failed(_))));
}

#[tokio::test]
async fn a_mounting_vaults_storage_says_what_to_use_instead() {
    let backend = host_with_transactions();
    let error = backend.store.clone().snapshot().await.err().expect("no snapshots there");
    assert!(error.to_string().contains("bao operator raft snapshot save"), "{error}");
}

/// A row of the file that is none stops nobody: it is named, and what lies behind it comes.
#[tokio::test]
async fn a_row_of_the_file_that_is_none_is_named() {
    let (_folder, path) = place();
    drop(Redb::open(&path).unwrap());
    const RECORDS: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new("records");
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(RECORDS).unwrap();
        table.insert(b"a".as_slice(), [1; 17].as_slice()).unwrap();
        table.insert(b"b".as_slice(), [2; 3].as_slice()).unwrap();
        table.insert(b"c\xff".as_slice(), [3; 17].as_slice()).unwrap();
        table.insert(b"d".as_slice(), [4; 17].as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let store = Arc::new(Redb::open(&path).unwrap());
    let mut snapshot = store.clone().snapshot().await.unwrap();
    let first = snapshot.next(9).await.unwrap();
    assert_eq!(first, [Entry { key: "a".into(), value: vec![1], revision: Revision([1; 16]) }]);
    for key in ["b", "c\u{fffd}"] {
        match snapshot.next(9).await {
            Err(StorageError::Corrupt { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(keys(&snapshot.next(9).await.unwrap()), ["d"]);
    assert_eq!(snapshot.next(9).await.unwrap(), []);
}
