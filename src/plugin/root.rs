//! The root key of a mounted engine.
//!
//! The vault that mounts us is the seal: the root key lies in the mount's own storage, under the vault's barrier and, where its
//! seal can, wrapped by the seal itself. So the envelope is the same as standalone, and whoever reads the vault's storage below
//! its barrier, or one record of the mount through it, still has no code.
//!
//! Record [`keys::ROOT`]: `format (1) ‖ key (32)`. It is made once, together with the keyring that it opens, and never again: a
//! keyring without a root key is an error, not an occasion for a new one.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::engine::keys;
use crate::engine::record::FORMAT;
use crate::error::{Error, Result};
use crate::random::Random;
use crate::storage::{Change, Expect, Found, Get, PutError, Revision, Storage, Write};

/// Storage keys that the host shall wrap by its seal, beside its barrier.
pub const WRAPPED: [&str; 2] = [keys::ROOT, keys::KEYRING];

/// Whether `key` is one of them.
pub fn is_wrapped(key: &str) -> bool {
    WRAPPED.contains(&key)
}

/// The mount's root key; made, with the keyring, if the mount is new. `None` if it is new and may not be written here.
pub async fn open(
    storage: &dyn Storage,
    writable: bool,
    clock: &dyn Clock,
    random: &dyn Random,
) -> Result<Option<Arc<Key>>> {
    for _ in 0..4 {
        let gets = vec![Get::new(keys::ROOT), Get::new(keys::KEYRING)];
        let mut found = storage.get_many(gets).await.map_err(Error::internal)?.into_iter();
        let (root, keyring) = (value(found.next()), value(found.next()));
        let mut writes = Vec::new();
        let key = match (root, keyring) {
            (Some(root), Some(_)) => return Ok(Some(Arc::new(read(&root)?))),
            (None, Some(_)) => {
                return Err(Error::internal(
                    "the record root-key is missing, and the keyring cannot be opened without it: restore the storage",
                ));
            }
            _ if !writable => return Ok(None),
            // A crash came between the two.
            (Some(root), None) => read(&root)?,
            (None, None) => {
                let key = Key::generate(random);
                let mut record = Vec::with_capacity(33);
                record.push(FORMAT);
                record.extend_from_slice(key.bytes());
                writes.push(Write::create(keys::ROOT, record, random));
                key
            }
        };
        let revision = Revision::new(random);
        let value = Keyring::generate(clock.now(), random).seal(&key, &revision, random).map_err(Error::internal)?;
        let change = Change::Put { value, revision };
        writes.push(Write { key: keys::KEYRING.to_owned(), expect: Expect::Absent, change });
        match storage.put_all(writes).await {
            Ok(()) => return Ok(Some(Arc::new(key))),
            Err(PutError::Conflict { .. } | PutError::Unknown(_)) => {}
            Err(PutError::Failed(error)) => return Err(Error::internal(error)),
        }
    }
    Err(Error::unavailable("the mount could not be set up; try again"))
}

fn value(found: Option<Found>) -> Option<Zeroizing<Vec<u8>>> {
    match found {
        Some(Found::Value(bytes, _)) => Some(Zeroizing::new(bytes)),
        _ => None,
    }
}

fn read(record: &[u8]) -> Result<Key> {
    match record.split_first() {
        Some((&FORMAT, key)) => <[u8; 32]>::try_from(key)
            .map(|key| Key::from_bytes(Zeroizing::new(key)))
            .map_err(|_| Error::internal("the record root-key is corrupt: restore the storage")),
        Some((newer, _)) if *newer > FORMAT => Err(Error::internal(format!(
            "the record root-key has format {newer}, this version reads up to {FORMAT}; start the version that wrote it"
        ))),
        _ => Err(Error::internal("the record root-key is corrupt: restore the storage")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::random::OsRandom;
    use crate::storage::memory::Memory;

    async fn opened(store: &Memory, writable: bool) -> Result<Option<Arc<Key>>> {
        open(store, writable, &SystemClock, &OsRandom).await
    }

    #[tokio::test]
    async fn a_new_mount_gets_one_root_key_and_keeps_it() {
        for store in [Memory::new(), Memory::sequential()] {
            assert!(opened(&store, false).await.unwrap().is_none(), "nothing is made where nothing may be written");
            let first = opened(&store, true).await.unwrap().unwrap();
            let second = opened(&store, false).await.unwrap().unwrap();
            assert!(first.bytes() == second.bytes());
            let found = store.get_many(vec![Get::new(keys::KEYRING)]).await.unwrap().remove(0);
            let Found::Value(bytes, revision) = found else { panic!("a keyring") };
            assert!(Keyring::open(&first, &revision, &bytes).is_ok());
        }
    }

    #[tokio::test]
    async fn a_keyring_without_its_root_key_is_never_replaced() {
        let store = Memory::new();
        opened(&store, true).await.unwrap();
        let Found::Value(_, revision) = store.get_many(vec![Get::new(keys::ROOT)]).await.unwrap().remove(0) else {
            panic!("a root key")
        };
        store.put_all(vec![Write::delete(keys::ROOT, revision)]).await.unwrap();
        assert!(format!("{:?}", opened(&store, true).await.err().unwrap()).contains("root-key is missing"));
    }

    #[tokio::test]
    async fn a_crash_between_the_two_records_is_mended() {
        let (store, whole) = (Memory::new(), Memory::new());
        opened(&whole, true).await.unwrap();
        let Found::Value(bytes, _) = whole.get_many(vec![Get::new(keys::ROOT)]).await.unwrap().remove(0) else {
            panic!("a root key")
        };
        store.put_all(vec![Write::create(keys::ROOT, bytes.clone(), &OsRandom)]).await.unwrap();
        assert_eq!(opened(&store, true).await.unwrap().unwrap().bytes()[..], bytes[1..]);
    }

    #[test]
    fn what_is_no_root_key_is_an_error() {
        for record in [&[][..], &[FORMAT], &[FORMAT; 32], &[FORMAT; 34], &[0; 33]] {
            assert!(read(record).is_err());
        }
        assert!(format!("{:?}", read(&[FORMAT + 1; 33]).err().unwrap()).contains("format 2"));
    }
}
