//! What the redb file promises beyond the contract.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::{Database, MultimapTableDefinition, TableDefinition};
use sparekey::random::SeededRandom;
use sparekey::storage::redb::Redb;
use sparekey::storage::{Expect, Found, Get, PutError, Revision, Storage, StorageError, Write};
use tokio::sync::Barrier;

use crate::backends::{conflict, place};

/// The sentence with which `path` does not open.
fn refusal(path: &Path) -> String {
    match Redb::open(path) {
        Err(error @ StorageError::Failed(_)) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("{} was opened", path.display()),
    }
}

/// A store at `path` with one record, closed again.
async fn filled(path: &Path) -> Revision {
    let store = Redb::open(path).unwrap();
    let write = Write::create("accounts/a", vec![0x5a; 3000], &SeededRandom::new(1));
    store.put_all(vec![write]).await.unwrap();
    match store.get_many(vec![Get::new("accounts/a")]).await.unwrap().pop() {
        Some(Found::Value(_, revision)) => revision,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let (_folder, path) = place();
    let random = SeededRandom::new(2);
    let mut revision = filled(&path).await;
    for round in 0..4u8 {
        let store = Redb::open(&path).unwrap();
        let found = store.get_many(vec![Get::new("accounts/a")]).await.unwrap();
        assert!(matches!(&found[..], [Found::Value(_, at)] if *at == revision), "round {round}: {found:?}");
        assert_eq!(store.list("rounds/", None, 100).await.unwrap().len(), usize::from(round));
        let writes = vec![
            Write::put("accounts/a", Expect::At(revision), vec![round; 5000], &random),
            Write::create(format!("rounds/{round}"), vec![round], &random),
        ];
        let sparekey::storage::Change::Put { revision: next, .. } = writes[0].change else { unreachable!() };
        store.put_all(writes).await.unwrap();
        revision = next;
    }
}

/// A future that is dropped before it is answered has handed its writes over: closing commits them.
#[tokio::test]
async fn closing_commits_what_waits() {
    let (_folder, path) = place();
    let store = Redb::open(&path).unwrap();
    let random = SeededRandom::new(3);
    for n in 0..20 {
        let put = store.put_all(vec![Write::create(format!("n/{n}"), vec![1], &random)]);
        drop(tokio::time::timeout(Duration::ZERO, put).await);
    }
    drop(store);
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.list("n/", None, 100).await.unwrap().len(), 20);
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let (_folder, path) = place();
    filled(&path).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_second_opener_is_told_that_the_file_is_open() {
    let (_folder, path) = place();
    let store = Redb::open(&path).unwrap();
    let sentence = refusal(&path);
    assert!(sentence.contains("is open in another process: stop the other server"), "{sentence}");
    drop(store);
    Redb::open(&path).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    const FORMAT: TableDefinition<&str, u64> = TableDefinition::new("sparekey-format");
    let (_folder, path) = place();
    filled(&path).await;
    let mark = |version: u64| {
        let database = Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(FORMAT).unwrap().insert("version", version).unwrap();
        transaction.commit().unwrap();
    };
    mark(2);
    let sentence = refusal(&path);
    assert!(sentence.contains("has format 2 and this version reads up to 1: run the newer version"), "{sentence}");
    mark(0);
    assert!(refusal(&path).contains("unknown format 0"), "{}", refusal(&path));
    mark(1);
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.list("", None, 10).await.unwrap(), ["accounts/"]);
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let (_folder, path) = place();
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_multimap_table(MultimapTableDefinition::<u32, u32>::new("theirs")).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(refusal(&path).contains("no Sparekey store"), "{}", refusal(&path));
}

#[tokio::test]
async fn damage_is_an_error_and_never_an_empty_store() {
    let (_folder, path) = place();
    filled(&path).await;
    let sound = fs::read(&path).unwrap();
    let refused = |what: &str, bytes: &[u8], words: &str| {
        fs::write(&path, bytes).unwrap();
        let sentence = refusal(&path);
        assert!(sentence.contains(words), "{what}: {sentence}");
        assert!(sentence.contains("backup"), "{what} does not say what to do: {sentence}");
    };
    refused("empty", &[], "is an empty file");
    refused("text", b"not a database at all\n", "does not open");
    refused("noise", &sound.iter().map(|byte| byte ^ 0x77).collect::<Vec<u8>>(), "does not open");
    refused("torn in the header", &sound[..300], "does not open");
    refused("torn in the pages", &sound[..sound.len() / 3], "does not open");
    let mut flipped = sound.clone();
    let place = sound.windows(64).position(|window| window == [0x5a; 64]).unwrap();
    flipped[place] ^= 1;
    refused("a flipped bit in a record", &flipped, "does not open");
    fs::write(&path, &sound).unwrap();
    Redb::open(&path).unwrap();
}

#[tokio::test]
async fn a_place_that_does_not_exist_is_named() {
    let (folder, path) = place();
    let inside = folder.path().join("none").join("sparekey.redb");
    assert!(refusal(&inside).contains(&inside.display().to_string()), "{}", refusal(&inside));
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_writes_share_a_commit() {
    const WRITERS: usize = 64;
    const EACH: usize = 5;
    let (_folder, path) = place();
    let store = Arc::new(Redb::open(&path).unwrap());
    let before = store.commits();
    let start = Arc::new(Barrier::new(WRITERS));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let (store, start) = (Arc::clone(&store), Arc::clone(&start));
        tasks.spawn(async move {
            let random = SeededRandom::new(writer as u64);
            start.wait().await;
            for n in 0..EACH {
                store.put_all(vec![Write::create(format!("w/{writer}/{n}"), vec![1; 100], &random)]).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let commits = store.commits() - before;
    assert!(commits >= EACH as u64, "{commits} commits cannot hold {EACH} writes in turn");
    assert!(commits <= (WRITERS * EACH / 4) as u64, "{commits} commits for {} writes", WRITERS * EACH);
    assert_eq!(store.list("w/", None, 1000).await.unwrap().len(), WRITERS);
}

/// Lists that only check, or that find a conflict, cost no fsync; within a group each has its own answer.
#[tokio::test]
async fn in_a_group_each_list_stands_alone() {
    let (_folder, path) = place();
    let store = Redb::open(&path).unwrap();
    let random = SeededRandom::new(9);
    let create = |key: &str| Write::create(key, b"v".to_vec(), &random);
    let revision = filled_in(&store, create("there")).await;
    let before = store.commits();
    store.put_all(vec![Write::check("there", revision)]).await.unwrap();
    conflict(store.put_all(vec![create("there")]).await);
    assert_eq!(store.commits(), before);
    let answers = tokio::join!(
        store.put_all(vec![create("x"), create("one")]),
        store.put_all(vec![create("two"), create("there")]),
        store.put_all(vec![create("three"), create("x")]),
        store.put_all(vec![create("four")]),
    );
    assert!(matches!(answers.0, Ok(())), "{answers:?}");
    assert!(matches!(answers.1, Err(PutError::Conflict { index: 1 })), "{answers:?}");
    assert!(matches!(answers.2, Err(PutError::Conflict { index: 1 })), "{answers:?}");
    assert!(matches!(answers.3, Ok(())), "{answers:?}");
    assert_eq!(store.list("", None, 10).await.unwrap(), ["four", "one", "there", "x"]);
}

async fn filled_in(store: &Redb, write: Write) -> Revision {
    let key = write.key.clone();
    store.put_all(vec![write]).await.unwrap();
    match store.get_many(vec![Get::new(key)]).await.unwrap().pop() {
        Some(Found::Value(_, revision)) => revision,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn more_than_the_queue_takes_is_refused_with_the_reason() {
    let (_folder, path) = place();
    let store = Redb::open(&path).unwrap();
    let write = Write::create("huge", vec![0; 65 << 20], &SeededRandom::new(4));
    match store.put_all(vec![write]).await {
        Err(PutError::Failed(error)) => assert!(error.to_string().contains("at most 67108864"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.list("", None, 10).await.unwrap(), Vec::<String>::new());
}
