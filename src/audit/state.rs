//! What the store keeps of a device, under `audit/<name>`, or under `nodes/<node>/audit/<name>` where several nodes serve one
//! store and the salt alone is shared: its salt, and the number and hash of its last checkpoint, with which
//! the file is compared when it is opened again. Whoever cuts a file short would have to change the store as well.

use std::sync::Arc;
use std::time::Duration;

use minicbor::{Decode, Encode};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::chain::Head;
use super::config::DeviceConfig;
use super::devices::{Anchor, Job};
use crate::error::{Error, Result};
use crate::random::{self, Random};
use crate::storage::{Expect, Found, Get, PutError, Revision, Storage, StorageError, Write, format};

/// Folder of what nodes keep.
const NODES: &str = "nodes/";
/// The only format there is.
const FORMAT: u8 = 1;

/// The record as it is stored (CBOR, RFC 8949).
#[derive(Encode, Decode)]
#[cbor(array)]
struct Stored {
    #[n(0)]
    format: u8,
    #[cbor(n(1), with = "minicbor::bytes")]
    salt: [u8; 32],
    #[n(2)]
    seq: u64,
    #[cbor(n(3), with = "minicbor::bytes")]
    hash: [u8; 32],
    #[n(4)]
    clean: bool,
}

/// A device's record, and how it is written.
pub struct Kept {
    key: String,
    storage: Arc<dyn Storage>,
    random: Arc<dyn Random>,
    revision: Revision,
    salt: [u8; 32],
    anchor: Anchor,
}

impl Kept {
    /// Reads the record of a device, or makes one with a fresh salt; the devices of one name on all nodes have the same.
    ///
    /// # Errors
    /// 503 if the store does not answer or its record is corrupt: without the salt, equal values would no longer look equal.
    pub async fn load(device: &DeviceConfig, storage: Arc<dyn Storage>, random: Arc<dyn Random>) -> Result<Kept> {
        let name = device.name();
        let shared = format!("audit/{name}");
        let salt = random::bytes(&*random);
        let Some(node) = &device.node else { return Self::load_or_make(shared, salt, storage, random).await };
        let salt = Self::load_or_make(shared, salt, Arc::clone(&storage), Arc::clone(&random)).await?.salt;
        Self::load_or_make(format!("{NODES}{node}/audit/{name}"), salt, storage, random).await
    }

    async fn load_or_make(
        key: String,
        salt: [u8; 32],
        storage: Arc<dyn Storage>,
        random: Arc<dyn Random>,
    ) -> Result<Kept> {
        if let Some((stored, revision)) = read(&*storage, &key).await.map_err(unavailable)? {
            let anchor = Anchor { head: Head { seq: stored.seq, hash: stored.hash }, clean: stored.clean };
            return Ok(Kept { key, storage, random, revision, salt: stored.salt, anchor });
        }
        // Nothing was ever written, so that nothing can be unfinished.
        let anchor = Anchor { head: Head::GENESIS, clean: true };
        let revision = Revision([0; 16]);
        let mut kept = Kept { key, storage, random, revision, salt, anchor };
        match kept.put(Expect::Absent, anchor).await {
            Ok(()) => Ok(kept),
            // Another node was first, or our own write went through after all: what is there counts.
            Err(PutError::Conflict { .. } | PutError::Unknown(_)) => {
                match read(&*kept.storage, &kept.key).await.map_err(unavailable)? {
                    Some((stored, revision)) => {
                        let anchor = Anchor { head: Head { seq: stored.seq, hash: stored.hash }, clean: stored.clean };
                        Ok(Kept { revision, salt: stored.salt, anchor, ..kept })
                    }
                    None => Err(Error::unavailable("the state of an audit device cannot be kept in the store")),
                }
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// The device's salt.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// The last checkpoint that was kept.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// Keeps `anchor`.
    pub async fn save(&mut self, anchor: Anchor) -> Result<(), PutError> {
        if anchor == self.anchor {
            return Ok(());
        }
        match self.put(Expect::At(self.revision), anchor).await {
            Err(PutError::Conflict { .. } | PutError::Unknown(_)) => {}
            done => return done,
        }
        // An earlier write whose outcome was unknown, or somebody else's: go on from what is there.
        let expect = match read(&*self.storage, &self.key).await.map_err(PutError::Failed)? {
            None => Expect::Absent,
            Some((_, revision)) => Expect::At(revision),
        };
        self.put(expect, anchor).await
    }

    async fn put(&mut self, expect: Expect, anchor: Anchor) -> Result<(), PutError> {
        let stored = Stored {
            format: FORMAT,
            salt: self.salt,
            seq: anchor.head.seq,
            hash: anchor.head.hash,
            clean: anchor.clean,
        };
        let value = minicbor::to_vec(&stored).map_err(|error| PutError::Failed(StorageError::Failed(error.into())))?;
        let revision = Revision::new(&*self.random);
        let change = crate::storage::Change::Put { value, revision };
        self.storage.put_all(vec![Write { key: self.key.clone(), expect, change }]).await?;
        self.revision = revision;
        self.anchor = anchor;
        Ok(())
    }
}

/// Keeps a device's checkpoints as they come, the latest only, and reminds the device to make some. Ends with the device.
pub async fn keep(mut kept: Kept, queue: mpsc::WeakSender<Job>, mut anchors: watch::Receiver<Anchor>, every: Duration) {
    let every = every.max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ended = tokio::select! {
            changed = anchors.changed() => changed.is_err(),
            _ = ticks.tick() => {
                if let Some(queue) = queue.upgrade() {
                    // A full queue makes checkpoints by itself.
                    let _ = queue.try_send(Job::Tick);
                }
                false
            }
        };
        let anchor = *anchors.borrow_and_update();
        if let Err(error) = kept.save(anchor).await {
            tracing::warn!(key = kept.key, error = %error, "an audit checkpoint could not be kept in the store; it is tried again");
        }
        if ended {
            return;
        }
    }
}

/// Whether `bytes` are the state of a device.
pub fn is_state(bytes: &[u8]) -> bool {
    minicbor::decode::<Stored>(bytes).is_ok_and(|stored| stored.format == FORMAT)
}

async fn read(storage: &dyn Storage, key: &str) -> Result<Option<(Stored, Revision)>, StorageError> {
    match storage.get_many(vec![Get::new(key)]).await?.pop() {
        Some(Found::Value(bytes, _)) if format::is_newer(&bytes, FORMAT) => {
            Err(corrupt(key, "it has a format that this version does not know: start the version that wrote it".into()))
        }
        Some(Found::Value(bytes, revision)) => match minicbor::decode::<Stored>(&bytes) {
            Ok(stored) if stored.format == FORMAT => Ok(Some((stored, revision))),
            Ok(stored) => Err(corrupt(key, format!("format {} is none", stored.format))),
            Err(error) => Err(corrupt(key, error.to_string())),
        },
        _ => Ok(None),
    }
}

fn corrupt(key: &str, what: String) -> StorageError {
    StorageError::Corrupt { key: key.to_owned(), source: what.into() }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("the state of the audit devices cannot be read from the store or kept in it").with_source(error)
}
