//! What the store does when the disk fails beneath it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::redb::{Database, StorageBackend};

use super::error::RedbError;
use super::file::{self, Check, Missing, Place};
use super::*;
use crate::random::SeededRandom;

/// A disk in memory that outlives the database, and that fails when told.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    fail_sync: Arc<AtomicBool>,
    fail_write: Arc<AtomicBool>,
    fail_open: Arc<AtomicBool>,
    stall_sync: Arc<AtomicBool>,
    stalled: Arc<AtomicBool>,
    free: Arc<Mutex<Option<u64>>>,
}

impl Disk {
    fn start(&self) -> Redb {
        Redb::start(Box::new(self.clone())).unwrap()
    }
}

impl Place for Disk {
    fn open(&self, _: Missing) -> Result<Database, RedbError> {
        if self.fail_open.load(Ordering::SeqCst) {
            return Err(RedbError::Io(io::Error::other("the disk is gone")));
        }
        file::database(Path::new("disk"), self.clone(), Check::Whole)
    }
    fn free(&self) -> Option<u64> {
        *self.free.lock().unwrap()
    }
}

fn fail(switch: &AtomicBool) -> io::Result<()> {
    match switch.load(Ordering::SeqCst) {
        true => Err(io::Error::from(io::ErrorKind::StorageFull)),
        false => Ok(()),
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        out.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + out.len()]);
        Ok(())
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }
    fn sync_data(&self) -> io::Result<()> {
        while self.stall_sync.load(Ordering::SeqCst) {
            self.stalled.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(1));
        }
        fail(&self.fail_sync)
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        fail(&self.fail_write)?;
        self.bytes.lock().unwrap()[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn create(key: &str) -> Vec<Write> {
    vec![Write::create(key, vec![1; 100], &SeededRandom::new(1))]
}

/// Tries until a write is taken again; the pause before the file is opened anew is a matter of milliseconds.
async fn until_written(store: &Redb, key: &str) {
    for _ in 0..500 {
        match store.put_all(create(key)).await {
            Ok(()) => return,
            Err(PutError::Failed(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the store did not come back");
}

async fn names(store: &Redb) -> Vec<String> {
    store.list("", None, 100).await.unwrap()
}

#[tokio::test]
async fn a_commit_that_fails_is_unknown_to_every_waiter_and_the_store_comes_back() {
    let disk = Disk::default();
    let store = disk.start();
    store.put_all(create("before")).await.unwrap();
    disk.fail_sync.store(true, Ordering::SeqCst);
    let answers = tokio::join!(store.put_all(create("a")), store.put_all(create("b")), store.put_all(create("c")));
    assert!(matches!(answers.0, Err(PutError::Unknown(_))), "{:?} says more than is known", answers.0);
    // The others were in the same group, or came to a store that had failed already.
    let mut not_written = Vec::new();
    for (name, answer) in [("b", answers.1), ("c", answers.2)] {
        match answer {
            Err(PutError::Unknown(_)) => {}
            Err(PutError::Failed(StorageError::Failed(_))) => not_written.push(name.to_owned()),
            other => panic!("{other:?}"),
        }
    }
    disk.fail_sync.store(false, Ordering::SeqCst);
    until_written(&store, "after").await;
    let names = names(&store).await;
    assert!(names.contains(&"before".to_owned()) && names.contains(&"after".to_owned()), "{names:?}");
    assert!(!not_written.iter().any(|name| names.contains(name)), "{not_written:?} in {names:?}");
    // What was unknown is there or not, and the same after a restart.
    drop(store);
    assert_eq!(self::names(&disk.start()).await, names);
}

#[tokio::test]
async fn a_full_disk_found_by_redb_fails_writes_until_there_is_room() {
    let disk = Disk::default();
    let store = disk.start();
    store.put_all(create("before")).await.unwrap();
    disk.fail_write.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let answer = store.put_all(create("during")).await;
        assert!(matches!(answer, Err(PutError::Unknown(_) | PutError::Failed(_))), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    disk.fail_write.store(false, Ordering::SeqCst);
    until_written(&store, "after").await;
    assert!(names(&store).await.contains(&"before".to_owned()));
}

#[tokio::test]
async fn while_the_file_cannot_be_opened_reads_fail_and_are_never_empty() {
    let disk = Disk::default();
    let store = disk.start();
    store.put_all(create("before")).await.unwrap();
    disk.fail_open.store(true, Ordering::SeqCst);
    disk.fail_sync.store(true, Ordering::SeqCst);
    store.put_all(create("during")).await.unwrap_err();
    disk.fail_sync.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let error = store.get_many(vec![Get::new("before")]).await.unwrap_err();
    assert!(error.to_string().contains("being opened anew"), "{error}");
    let error = store.put_all(create("during")).await.unwrap_err();
    assert!(matches!(error, PutError::Failed(_)), "{error:?}");
    disk.fail_open.store(false, Ordering::SeqCst);
    // It comes back by itself, without a write to ask for it.
    for _ in 0..500 {
        if store.list("", None, 1).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(names(&store).await.contains(&"before".to_owned()));
}

#[tokio::test]
async fn too_little_room_refuses_writes_before_redb_and_leaves_reads_alone() {
    let disk = Disk::default();
    let store = disk.start();
    store.put_all(create("before")).await.unwrap();
    *disk.free.lock().unwrap() = Some(1 << 20);
    match store.put_all(create("during")).await {
        Err(PutError::Failed(error)) => assert!(error.to_string().contains("make room"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(names(&store).await, ["before"]);
    *disk.free.lock().unwrap() = Some(1 << 30);
    store.put_all(create("after")).await.unwrap();
    assert_eq!(names(&store).await, ["after", "before"]);
}

#[tokio::test]
async fn a_stalled_disk_fills_the_queue_and_then_refuses_while_reads_go_on() {
    let disk = Disk::default();
    let store = disk.start();
    store.put_all(create("before")).await.unwrap();
    disk.stall_sync.store(true, Ordering::SeqCst);
    let large = |n: usize| vec![Write::create(format!("large/{n}"), vec![0; 33 << 20], &SeededRandom::new(n as u64))];
    let meanwhile = async {
        while !disk.stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // One large list waits; with the second there would be more than 64 MiB.
        let read_and_go_on = async {
            let names = names(&store).await;
            disk.stall_sync.store(false, Ordering::SeqCst);
            names
        };
        tokio::join!(store.put_all(large(1)), store.put_all(large(2)), read_and_go_on)
    };
    let (first, (one, two, read)) = tokio::join!(store.put_all(create("first")), meanwhile);
    first.unwrap();
    one.unwrap();
    match two {
        Err(PutError::Failed(error)) => assert!(error.to_string().contains("wait for the store already"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(read, ["before"], "a reader sees the last commit and waits for none");
    store.put_all(large(3)).await.unwrap();
}

/// While the disk is held up by one commit the next three lists gather, and become one group.
#[tokio::test]
async fn in_a_group_each_list_has_its_own_answer() {
    let disk = Disk::default();
    let store = disk.start();
    store.put_all(create("before")).await.unwrap();
    let Some(Found::Value(_, before)) = store.get_many(vec![Get::new("before")]).await.unwrap().pop() else { panic!() };
    let commits = store.commits();
    disk.stall_sync.store(true, Ordering::SeqCst);
    let meanwhile = async {
        while !disk.stalled.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let go_on = async { disk.stall_sync.store(false, Ordering::SeqCst) };
        let writes = [create("a"), create("before"), vec![Write::check("before", before)]];
        let [a, taken, check] = writes.map(|writes| store.put_all(writes));
        tokio::join!(a, taken, check, go_on)
    };
    let (first, (a, taken, check, ())) = tokio::join!(store.put_all(create("first")), meanwhile);
    first.unwrap();
    a.unwrap();
    assert!(matches!(taken, Err(PutError::Conflict { index: 0 })), "{taken:?}");
    check.unwrap();
    assert_eq!(store.commits() - commits, 2);
    assert_eq!(names(&store).await, ["a", "before", "first"]);
}

#[tokio::test]
async fn a_disk_that_hangs_is_an_unknown_outcome_in_bounded_time() {
    let disk = Disk::default();
    let store = disk.start();
    store.put_all(create("before")).await.unwrap();
    disk.stall_sync.store(true, Ordering::SeqCst);
    // The runtime's clock moves on by itself from here: nobody waits.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let (first, waiting) = tokio::join!(store.put_all(create("first")), store.put_all(create("waiting")));
    for result in [first, waiting] {
        match result {
            Err(PutError::Unknown(error)) => assert!(error.to_string().contains("did not take a write"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(names(&store).await, ["before"], "reading goes on meanwhile");
    // The disk wakes up: what was unknown came about, and the store goes on.
    disk.stall_sync.store(false, Ordering::SeqCst);
    tokio::time::resume();
    store.put_all(create("after")).await.unwrap();
    assert_eq!(names(&store).await, ["after", "before", "first", "waiting"]);
}

#[tokio::test]
async fn a_file_that_vanished_is_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparekey.redb");
    let handle = Handle::open(Box::new(File::new(&path))).unwrap();
    handle.reopen("tried").unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = handle.reopen("tried").unwrap_err();
    assert!(error.to_string().contains("does not open"), "{error}");
    assert!(!path.exists());
    assert!(handle.get().is_err());
}

#[tokio::test]
async fn a_row_without_a_revision_is_corrupt_and_fails_only_who_needs_it() {
    let disk = Disk::default();
    let store = disk.start();
    {
        let database = store.shared.handle.get().unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(RECORDS).unwrap().insert(&b"short"[..], &b"123"[..]).unwrap();
        transaction.commit().unwrap();
    }
    let read = store.get_many(vec![Get::new("short")]).await;
    assert!(matches!(&read, Err(StorageError::Corrupt { key, .. }) if key == "short"), "{read:?}");
    let (broken, sound) = tokio::join!(store.put_all(create("short")), store.put_all(create("sound")));
    assert!(matches!(&broken, Err(PutError::Failed(StorageError::Corrupt { .. }))), "{broken:?}");
    sound.unwrap();
}

#[tokio::test]
async fn a_snapshot_holds_no_reopening_up_and_fails_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparekey.redb");
    let store = Arc::new(Redb::open(&path).unwrap());
    for number in 0..500 {
        store.put_all(create(&format!("k{number:03}"))).await.unwrap();
    }
    let mut snapshot = RedbSnapshot::begin(Arc::clone(&store)).unwrap();
    assert_eq!(snapshot.next(1).await.unwrap().len(), 1);
    store.shared.handle.reopen("tried").unwrap();
    let error = loop {
        match snapshot.next(50).await {
            // Pages that were in memory already are of the same moment.
            Ok(batch) => assert!(!batch.is_empty(), "its end was never reached"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StorageError::Failed(_)), "{error:?}");
    store.put_all(create("after")).await.unwrap();
}
