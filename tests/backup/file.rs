//! The backup file: it holds everything, tells nothing without a key, and nothing that was done to it goes unnoticed.

use std::sync::Arc;

use sparekey::backup::{BackupError, MAGIC, Reader, Writer};
use sparekey::crypto::keyring::Keyring;
use sparekey::crypto::secret::Key;
use sparekey::domain::time::Timestamp;
use sparekey::random::{Random, SeededRandom};
use sparekey::storage::barrier::Barrier;
use sparekey::storage::memory::Memory;
use sparekey::storage::snapshot::{Entry, Snapshot};
use sparekey::storage::{Change, Expect, Revision, Storage, Write};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const SECRET: &str = "plain-text-of-a-record";

/// A store with a seal record (of no real seal), a keyring, and records behind the barrier.
struct Store {
    raw: Arc<dyn Storage>,
    keyring: Keyring,
    root: Key,
    random: Arc<SeededRandom>,
}

impl Store {
    async fn new(seed: u64, records: usize) -> Store {
        let random = Arc::new(SeededRandom::new(seed));
        let (root, keyring) = (Key::generate(&*random), Keyring::generate(NOW, &*random));
        let raw: Arc<dyn Storage> = Arc::new(Memory::new());
        let revision = Revision::new(&*random);
        let value = keyring.seal(&root, &revision, &*random).unwrap();
        let change = Change::Put { value, revision };
        let sealed = Write { key: "keyring".into(), expect: Expect::Absent, change };
        raw.put_all(vec![sealed, Write::create("seal", b"wrapped root key".to_vec(), &*random)]).await.unwrap();
        let barrier = Barrier::new(Arc::clone(&raw));
        barrier.unseal(*keyring.mount_id(), keyring.barrier_keys());
        for number in 0..records {
            let key = format!("accounts/okta/person{number:06}@example.com");
            let value = format!("{SECRET} {number}").into_bytes();
            barrier.put_all(vec![Write::create(key, value, &*random)]).await.unwrap();
        }
        Store { raw, keyring, root, random }
    }
    async fn writer(&self) -> Writer {
        let keys = self.keyring.barrier_keys();
        let random: Arc<dyn Random> = self.random.clone();
        Writer::begin(Arc::clone(&self.raw), *self.keyring.mount_id(), &keys, NOW, random).await.unwrap()
    }
    /// The parts of a backup: the header, then frames.
    async fn parts(&self) -> Vec<Vec<u8>> {
        let mut writer = self.writer().await;
        let mut parts = Vec::new();
        while let Some(part) = writer.next().await.unwrap() {
            parts.push(part);
        }
        assert!(writer.next().await.unwrap().is_none());
        parts
    }
    async fn entries(&self) -> Vec<Entry> {
        all(&mut *Arc::clone(&self.raw).snapshot().await.unwrap()).await.unwrap()
    }
    /// What comes out of `file`, with the keys that are found in it.
    async fn read(&self, file: &[u8]) -> Result<Vec<Entry>, String> {
        let reader = Reader::open(file).map_err(|error| error.to_string())?;
        let keyring = reader.header().open_keyring(&self.root).map_err(|error| error.to_string())?;
        let mut records = reader.unlock(&keyring.barrier_keys()).map_err(|error| error.to_string())?;
        all(&mut records).await
    }
}

async fn all(snapshot: &mut dyn Snapshot) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    loop {
        match snapshot.next(100).await.map_err(|error| error.to_string())? {
            batch if batch.is_empty() => return Ok(entries),
            batch => entries.extend(batch),
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// About 12 frames: each record takes more than a hundred bytes, a frame about a mebibyte.
async fn several_frames() -> (Store, Vec<Vec<u8>>) {
    let store = Store::new(1, 40).await;
    // A few large records make several frames.
    for number in 0..3 {
        let write = Write::create(format!("large/{number}"), vec![number; 1 << 20], &*store.random);
        store.raw.put_all(vec![write]).await.unwrap();
    }
    let parts = store.parts().await;
    assert!(parts.len() >= 5, "{}", parts.len());
    (store, parts)
}

#[tokio::test]
async fn everything_comes_back_as_it_lay() {
    let store = Store::new(1, 300).await;
    let file = store.parts().await.concat();
    assert_eq!(store.read(&file).await.unwrap(), store.entries().await);
    let (store, parts) = several_frames().await;
    assert_eq!(store.read(&parts.concat()).await.unwrap(), store.entries().await);
    let skimmed = Reader::open(&parts.concat()[..]).unwrap().skim().unwrap();
    assert_eq!(skimmed.frames, parts.len() as u64 - 1);
}

#[tokio::test]
async fn names_and_values_are_not_in_it_in_the_clear() {
    let store = Store::new(1, 50).await;
    let file = store.parts().await.concat();
    for text in ["person0000", "okta", "example.com", "accounts/", SECRET] {
        assert!(!holds(&file, text), "{text}");
    }
    // The test can see what it looks for: the store beneath the barrier has the names.
    assert!(store.entries().await.iter().any(|entry| holds(entry.key.as_bytes(), "person0000")));
}

#[tokio::test]
async fn what_is_written_meanwhile_is_not_in_it() {
    let store = Store::new(1, 20).await;
    let before = store.entries().await;
    let mut writer = store.writer().await;
    let mut file = writer.next().await.unwrap().unwrap();
    store.raw.put_all(vec![Write::create("accounts/a", vec![1], &*store.random)]).await.unwrap();
    while let Some(part) = writer.next().await.unwrap() {
        file.extend(part);
    }
    assert_eq!(writer.records(), before.len() as u64);
    assert_eq!(store.read(&file).await.unwrap(), before);
}

#[tokio::test]
async fn another_root_key_opens_nothing() {
    let (store, other) = (Store::new(1, 3).await, Store::new(2, 3).await);
    let file = store.parts().await.concat();
    let error = other.read(&file).await.unwrap_err();
    assert!(error.contains("keyring"), "{error}");
}

/// At every byte near a border, and at many others.
#[tokio::test]
async fn a_file_that_was_cut_short_says_so_wherever_it_ends() {
    let store = Store::new(1, 30).await;
    let parts = store.parts().await;
    let file = parts.concat();
    for length in (0..file.len()).filter(|at| at % 61 == 0 || file.len() - at < 200 || *at < 40) {
        let cut = &file[..length];
        let error = store.read(cut).await.unwrap_err();
        let expected = if length < MAGIC.len() { "no backup of Sparekey" } else { "the file ends" };
        assert!(error.contains(expected), "{length}: {error}");
        let skimmed = Reader::open(cut).and_then(Reader::skim);
        assert!(matches!(skimmed, Err(BackupError::Cut { .. } | BackupError::Foreign)), "{length}: {skimmed:?}");
    }
    // Between two frames, too: the end mark is missing.
    let error = store.read(&parts[..parts.len() - 1].concat()).await.unwrap_err();
    assert!(error.contains("before its end mark"), "{error}");
}

#[tokio::test]
async fn every_flipped_bit_is_noticed() {
    let store = Store::new(1, 12).await;
    let file = store.parts().await.concat();
    let whole = store.entries().await;
    for at in 0..file.len() {
        let mut altered = file.clone();
        altered[at] ^= 1 << (at % 8);
        match store.read(&altered).await {
            Err(_) => {}
            Ok(read) => panic!("byte {at}: {} of {} records came out", read.len(), whole.len()),
        }
    }
}

#[tokio::test]
async fn frames_that_were_swapped_repeated_or_left_out_do_not_open() {
    let (store, parts) = several_frames().await;
    let last = parts.len() - 1;
    let swapped = {
        let mut p = parts.clone();
        p.swap(1, 2);
        p
    };
    let repeated = {
        let mut p = parts.clone();
        p.insert(2, parts[1].clone());
        p
    };
    let left_out = {
        let mut p = parts.clone();
        p.remove(2);
        p
    };
    let early_end = [&parts[..2], &parts[last..]].concat();
    for (what, changed) in [("swapped", swapped), ("repeated", repeated), ("left out", left_out), ("end", early_end)] {
        let error = store.read(&changed.concat()).await.unwrap_err();
        assert!(error.contains("does not open: it was altered, or it comes from another backup"), "{what}: {error}");
    }
    let mut longer = parts.concat();
    longer.push(0);
    assert!(store.read(&longer).await.unwrap_err().contains("behind the end mark"));
    let twice = [parts.concat(), parts.concat()].concat();
    assert!(store.read(&twice).await.unwrap_err().contains("behind the end mark"));
}

#[tokio::test]
async fn two_backups_of_one_store_do_not_mix() {
    let (store, one) = several_frames().await;
    let other = store.parts().await;
    assert_eq!(one.len(), other.len());
    for from_other in 0..one.len() {
        let mut mixed = one.clone();
        mixed[from_other].clone_from(&other[from_other]);
        let error = store.read(&mixed.concat()).await.unwrap_err();
        assert!(error.contains("does not open"), "part {from_other}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_backup_and_what_a_newer_version_wrote_is_named() {
    let store = Store::new(1, 2).await;
    let error = store.read(b"PK\x03\x04 and much more of it").await.unwrap_err();
    assert!(error.contains("no backup of Sparekey"), "{error}");
    let mut newer = store.parts().await.concat();
    // magic, length, array head, format.
    assert_eq!(newer[21], 1);
    newer[21] = 2;
    let error = store.read(&newer).await.unwrap_err();
    assert!(error.contains("format 2") && error.contains("use the version that wrote it"), "{error}");
}

#[tokio::test]
async fn an_uninitialised_store_and_an_unfinished_copy_are_not_saved() {
    let store = Store::new(1, 2).await;
    let begin = |raw| async {
        let keys = store.keyring.barrier_keys();
        let random: Arc<dyn Random> = store.random.clone();
        Writer::begin(raw, [0; 16], &keys, NOW, random).await.err().expect("refused").to_string()
    };
    assert!(begin(Arc::new(Memory::new())).await.contains("not initialised"));
    store.raw.put_all(vec![Write::create("unfinished-copy", vec![1; 17], &*store.random)]).await.unwrap();
    assert!(begin(store.raw.clone()).await.contains("unfinished copy"));
}
