//! What the barrier promises beyond the contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sparekey::random::SeededRandom;
use sparekey::storage::barrier::Barrier;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Change, Expect, Found, Get, PutError, Revision, Storage, StorageError, Write};

use crate::backends::{MOUNT, key};

const SECRET: &[u8] = b"a value that must not be readable beneath";

struct Walls {
    beneath: Arc<Memory>,
    barrier: Barrier,
    random: SeededRandom,
}

fn unsealed() -> Walls {
    let beneath = Arc::new(Memory::new());
    let barrier = Barrier::new(Arc::clone(&beneath) as Arc<dyn Storage>);
    barrier.unseal(MOUNT, vec![key(1)]);
    Walls { beneath, barrier, random: SeededRandom::new(5) }
}

impl Walls {
    async fn put(&self, name: &str, expect: Expect, value: &[u8]) -> Revision {
        let write = Write::put(name, expect, value.to_vec(), &self.random);
        let Change::Put { revision, .. } = write.change else { unreachable!() };
        self.barrier.put_all(vec![write]).await.unwrap();
        revision
    }
    async fn beneath(&self, name: &str) -> (Vec<u8>, Revision) {
        match self.beneath.get_many(vec![Get::new(name)]).await.unwrap().pop() {
            Some(Found::Value(value, revision)) => (value, revision),
            other => panic!("{other:?}"),
        }
    }
    /// Puts `value` under `name` beneath the barrier, as somebody with the file in hands could.
    async fn forge(&self, name: &str, expect: Expect, value: Vec<u8>, revision: Revision) {
        let write = Write { key: name.into(), expect, change: Change::Put { value, revision } };
        self.beneath.put_all(vec![write]).await.unwrap();
    }
    async fn get(&self, name: &str) -> Result<Found, StorageError> {
        self.barrier.get_many(vec![Get::new(name)]).await.map(|mut found| found.pop().unwrap())
    }
    async fn corrupt(&self, name: &str) {
        match self.get(name).await {
            Err(StorageError::Corrupt { key, .. }) => assert_eq!(key, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn values_are_sealed_beneath_except_the_hosts_own() {
    let walls = unsealed();
    walls.put("accounts/a", Expect::Absent, SECRET).await;
    walls.put("keyring/x", Expect::Absent, SECRET).await;
    walls.put("keyring", Expect::Absent, SECRET).await;
    walls.put("seal", Expect::Absent, SECRET).await;
    for sealed in ["accounts/a", "keyring/x"] {
        let (value, revision) = walls.beneath(sealed).await;
        assert!(!contains(&value, &SECRET[..8]), "{sealed} is readable beneath");
        assert_eq!(walls.get(sealed).await.unwrap(), Found::Value(SECRET.to_vec(), revision));
    }
    for passed in ["keyring", "seal"] {
        assert_eq!(walls.beneath(passed).await.0, SECRET);
        assert!(matches!(walls.get(passed).await.unwrap(), Found::Value(value, _) if value == SECRET));
    }
}

#[tokio::test]
async fn sealed_it_answers_nothing_else() {
    let walls = unsealed();
    let revision = walls.put("a", Expect::Absent, SECRET).await;
    walls.barrier.seal();
    assert!(walls.barrier.is_sealed());
    for name in ["a", "none", "keyring", "seal"] {
        assert!(matches!(walls.get(name).await, Err(StorageError::Sealed)), "{name}");
    }
    assert!(matches!(walls.barrier.get_many(Vec::new()).await, Err(StorageError::Sealed)));
    assert!(matches!(walls.barrier.list("", None, 10).await, Err(StorageError::Sealed)));
    for writes in [Vec::new(), vec![Write::check("a", revision)], vec![Write::delete("a", revision)]] {
        let result = walls.barrier.put_all(writes).await;
        assert!(matches!(result, Err(PutError::Failed(StorageError::Sealed))), "{result:?}");
    }
    walls.barrier.unseal(MOUNT, Vec::new());
    assert!(walls.barrier.is_sealed(), "no key is no unsealing");
    walls.barrier.unseal(MOUNT, vec![key(1)]);
    assert!(!walls.barrier.is_sealed());
    assert_eq!(walls.get("a").await.unwrap(), Found::Value(SECRET.to_vec(), revision));
}

#[tokio::test]
async fn a_value_moved_to_another_key_does_not_open() {
    let walls = unsealed();
    walls.put("accounts/a", Expect::Absent, SECRET).await;
    let (value, revision) = walls.beneath("accounts/a").await;
    walls.forge("accounts/b", Expect::Absent, value, revision).await;
    walls.corrupt("accounts/b").await;
    assert!(walls.get("accounts/a").await.is_ok());
}

#[tokio::test]
async fn an_older_value_does_not_open_under_a_newer_revision() {
    let walls = unsealed();
    let first = walls.put("a", Expect::Absent, b"ten codes left").await;
    let (older, _) = walls.beneath("a").await;
    let second = walls.put("a", Expect::At(first), b"nine codes left").await;
    walls.forge("a", Expect::At(second), older, second).await;
    walls.corrupt("a").await;
}

#[tokio::test]
async fn any_flipped_byte_or_missing_tail_is_corrupt_and_not_absent() {
    let walls = unsealed();
    walls.put("a", Expect::Absent, b"short").await;
    let (sealed, revision) = walls.beneath("a").await;
    for place in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[place] ^= 0x40;
        walls.forge("a", Expect::At(revision), flipped, revision).await;
        walls.corrupt("a").await;
        walls.forge("a", Expect::At(revision), sealed[..place].to_vec(), revision).await;
        walls.corrupt("a").await;
    }
    walls.forge("a", Expect::At(revision), sealed, revision).await;
    assert!(walls.get("a").await.is_ok());
}

#[tokio::test]
async fn another_mount_or_another_key_does_not_open() {
    let walls = unsealed();
    walls.put("a", Expect::Absent, SECRET).await;
    walls.barrier.unseal([8; 16], vec![key(1)]);
    walls.corrupt("a").await;
    walls.barrier.unseal(MOUNT, vec![key(2)]);
    walls.corrupt("a").await;
    walls.barrier.unseal(MOUNT, vec![key(1)]);
    assert!(walls.get("a").await.is_ok());
}

#[tokio::test]
async fn the_newest_key_seals_and_older_ones_open() {
    let walls = unsealed();
    walls.put("old", Expect::Absent, b"old").await;
    assert_eq!(walls.barrier.uses(), 1);
    walls.barrier.unseal(MOUNT, vec![key(2), key(1)]);
    assert_eq!(walls.barrier.uses(), 0);
    walls.put("new", Expect::Absent, b"new").await;
    walls.put("keyring", Expect::Absent, b"not sealed here").await;
    walls.barrier.put_all(vec![Write::check("new", walls.beneath("new").await.1)]).await.unwrap();
    assert_eq!(walls.barrier.uses(), 1, "only what the active key sealed is counted");
    assert!(walls.get("old").await.is_ok());
    walls.barrier.unseal(MOUNT, vec![key(2)]);
    assert!(walls.get("new").await.is_ok());
    walls.corrupt("old").await;
    walls.barrier.seal();
    assert_eq!(walls.barrier.uses(), 0);
}

#[tokio::test]
async fn what_is_known_is_not_opened_again() {
    let walls = unsealed();
    let revision = walls.put("a", Expect::Absent, SECRET).await;
    let get = Get { key: "a".into(), known: Some(revision) };
    assert_eq!(walls.barrier.get_many(vec![get]).await.unwrap(), [Found::Unchanged]);
}

/// Two nodes over one store: the other one has rotated, and writes under a key that this one has never seen.
#[tokio::test]
async fn a_key_that_another_node_made_is_taken_over_from_the_keyring() {
    let walls = unsealed();
    let asked = Arc::new(AtomicUsize::new(0));
    let opener = {
        let asked = Arc::clone(&asked);
        move |_: &Revision, record: &[u8]| {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok(record.iter().map(|generation| key(u32::from(*generation))).collect())
        }
    };
    walls.barrier.unseal_with(MOUNT, vec![key(1)], Arc::new(opener));
    walls.put("keyring", Expect::Absent, &[1, 2]).await;
    walls.put("old", Expect::Absent, b"old").await;
    let other = Barrier::new(walls.beneath.clone());
    other.unseal(MOUNT, vec![key(1), key(2)]);
    let random = SeededRandom::new(7);
    let writes = vec![Write::put("new", Expect::Absent, b"new".to_vec(), &random)];
    other.put_all(writes).await.unwrap();

    assert!(matches!(walls.get("old").await.unwrap(), Found::Value(value, _) if value == b"old"));
    assert_eq!(asked.load(Ordering::Relaxed), 0, "nothing is asked for while the keys suffice");
    assert!(matches!(walls.get("new").await.unwrap(), Found::Value(value, _) if value == b"new"));
    walls.put("newer", Expect::Absent, b"newer").await;
    assert!(matches!(walls.get("old").await.unwrap(), Found::Value(value, _) if value == b"old"));
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    // A generation that the keyring does not have either is corruption.
    other.unseal(MOUNT, vec![key(3)]);
    other.put_all(vec![Write::put("odd", Expect::Absent, b"odd".to_vec(), &random)]).await.unwrap();
    walls.corrupt("odd").await;
    // A sealed barrier is not opened by a value.
    walls.barrier.seal();
    assert!(matches!(walls.get("new").await, Err(StorageError::Sealed)));
}
