//! What a list of pages spares, and what it does not let through.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use ::redb::backends::FileBackend;

use super::*;
use crate::random::SeededRandom;
use crate::storage::redb::{Redb, file};
use crate::storage::{Found, Get, Storage as _, Write};

/// Counts the bytes that are read of a file.
#[derive(Debug)]
struct Counted(FileBackend, Arc<AtomicU64>);

impl StorageBackend for Counted {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.1.fetch_add(out.len() as u64, Ordering::Relaxed);
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}

/// How many bytes of the file are read to open it.
fn read_to_open(path: &Path) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let backend = Counted(FileBackend::new(file).unwrap(), Arc::clone(&count));
    let database = file::listed(path, backend).unwrap();
    let read = count.load(Ordering::Relaxed);
    drop(database);
    read
}

async fn fill(path: &Path, from: u32, to: u32) {
    let store = Redb::open(path).unwrap();
    let random = SeededRandom::new(u64::from(from));
    let write = |number: u32| Write::create(format!("accounts/{number:05}"), vec![number as u8; 900], &random);
    store.put_all((from..to).map(write).collect()).await.unwrap();
}

/// Every record as it was written, or an error.
async fn is_whole(store: &Redb, records: u32) -> bool {
    for number in 0..records {
        match store.get_many(vec![Get::new(format!("accounts/{number:05}"))]).await.as_deref() {
            Ok([Found::Value(value, _)]) => assert_eq!(*value, vec![number as u8; 900], "record {number} is another"),
            Ok(found) => panic!("record {number}: {found:?}"),
            Err(_) => return false,
        }
    }
    true
}

fn place_of_store() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    (folder, path)
}

/// Whether a start would go by the list beside the file; it stays there.
fn is_gone_by(path: &Path) -> bool {
    let list = page_list::beside(path);
    let bytes = fs::read(&list).unwrap_or_default();
    let taken = page_list::take(path).is_some();
    fs::write(list, bytes).unwrap();
    taken
}

#[tokio::test]
async fn after_an_orderly_end_a_start_reads_no_more_of_a_larger_store() {
    let (_folder, path) = place_of_store();
    let length = || fs::metadata(&path).unwrap().len();
    // Built with debug assertions redb itself goes through the file at each opening.
    let few = |read: u64| read < 200_000 || cfg!(debug_assertions);
    for (from, to) in [(0, 2_000), (2_000, 20_000)] {
        fill(&path, from, to).await;
        assert!(is_gone_by(&path), "{to} records");
        let read = read_to_open(&path);
        assert!(few(read), "{read} of {}", length());
    }
    assert!(length() > 18_000_000, "{}", length());
    // What was never ended in order is read as a whole.
    fs::remove_file(page_list::beside(&path)).unwrap();
    assert!(read_to_open(&path) > 18_000_000);
    // The check has taught the sums anew.
    assert!(is_gone_by(&path));
    let read = read_to_open(&path);
    assert!(few(read), "{read} of {}", length());
    assert!(is_whole(&Redb::open(&path).unwrap(), 20_000).await);
}

#[tokio::test]
async fn a_flipped_bit_is_an_error_wherever_it_is_and_never_an_absent_or_another_record() {
    let (_folder, path) = place_of_store();
    fill(&path, 0, 700).await;
    let (sound, list) = (fs::read(&path).unwrap(), fs::read(page_list::beside(&path)).unwrap());
    let mut errors = 0;
    let places: Vec<usize> = (0..sound.len()).step_by(12_289).collect();
    for place in &places {
        let mut flipped = sound.clone();
        flipped[*place] ^= 0x10;
        fs::write(&path, flipped).unwrap();
        fs::write(page_list::beside(&path), &list).unwrap();
        let found = match Redb::open(&path) {
            Err(_) => true,
            Ok(store) => !is_whole(&store, 700).await,
        };
        errors += usize::from(found);
        if found {
            // Nobody who starts again is told otherwise.
            let again = Redb::open(&path);
            let Ok(again) = again else { continue };
            assert!(is_whole(&again, 700).await, "damage at {place} went unnoticed by the check of the whole file");
        }
    }
    // The rest is room that nothing lies in.
    assert!(errors * 3 > places.len(), "{errors} of {} flips were noticed", places.len());
}

#[tokio::test]
async fn a_list_of_another_state_or_a_damaged_one_is_gone_by_no_more() {
    let (_folder, path) = place_of_store();
    fill(&path, 0, 500).await;
    let list = page_list::beside(&path);
    let old = fs::read(&list).unwrap();
    fill(&path, 500, 1_000).await;
    assert!(is_gone_by(&path));
    let mut damaged = fs::read(&list).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let too_long = [&old[..], &[0; 1 << 20]].concat();
    for (what, bytes) in
        [("old", &old[..]), ("damaged", &damaged), ("cut", &old[..60]), ("none", &[]), ("long", &too_long)]
    {
        fs::write(&list, bytes).unwrap();
        assert!(!is_gone_by(&path), "{what}");
        assert!(is_whole(&Redb::open(&path).unwrap(), 1_000).await, "{what}");
    }
}

#[tokio::test]
async fn while_the_store_is_open_there_is_no_list() {
    let (_folder, path) = place_of_store();
    fill(&path, 0, 10).await;
    assert!(page_list::beside(&path).exists());
    let store = Redb::open(&path).unwrap();
    assert!(!page_list::beside(&path).exists());
    assert!(Redb::open(&path).is_err());
    drop(store);
    assert!(page_list::beside(&path).exists());
}
