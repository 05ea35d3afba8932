//! The barrier: seals every value before it reaches the store beneath and opens it on the way back, while a key is in memory.
//!
//! A value is bound to its storage key and its revision, so that one moved to another key, or an older one put back under a
//! newer revision, is an error. Names of keys are stored in clear, and a store that hands out an old value together with its
//! old revision is not found out here: the ledger's chain and the audit devices tell of that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::line::Lines;
use super::snapshot::{Entry, Snapshot, Stepped};
use super::{Apart, BoxFuture, Change, Found, Get, PutError, Revision, Step, Storage, StorageError, Write};
use crate::crypto::CryptoError;
use crate::crypto::barrier::{self, BarrierKey};
use crate::random::OsRandom;

/// Keys whose values pass as they are, because the host seals them under the root key.
const PASSED: [&str; 2] = ["keyring", "seal"];

/// Opens the keys of a barrier from the keyring record as it is in the store: revision and bytes.
pub type Opener = Arc<dyn Fn(&Revision, &[u8]) -> Result<Vec<BarrierKey>, CryptoError> + Send + Sync>;

/// A [`Storage`] that seals what it stores in `inner`.
///
/// While it is sealed every call answers [`StorageError::Sealed`], for the passed keys too: a host that unseals reads
/// `seal` and `keyring` from the store beneath.
pub struct Barrier {
    inner: Arc<dyn Storage>,
    open: Arc<RwLock<Option<Open>>>,
    failures: AtomicU64,
}

struct Open {
    mount_id: [u8; 16],
    keys: Vec<BarrierKey>,
    uses: AtomicU64,
    opener: Option<Opener>,
}

impl Barrier {
    /// A sealed barrier over `inner`.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Barrier { inner, open: Arc::default(), failures: AtomicU64::new(0) }
    }
    /// Opens with `keys` of the mount `mount_id`: the one of the highest generation seals, all open. Replaces the keys held so
    /// far (after a rotation); without any key the barrier stays sealed.
    pub fn unseal(&self, mount_id: [u8; 16], keys: Vec<BarrierKey>) {
        self.unseal_as(mount_id, keys, None);
    }
    /// The same; a value that is sealed under a newer key than these, since another node has rotated, is opened by what `opener`
    /// finds in the keyring then.
    pub fn unseal_with(&self, mount_id: [u8; 16], keys: Vec<BarrierKey>, opener: Opener) {
        self.unseal_as(mount_id, keys, Some(opener));
    }
    fn unseal_as(&self, mount_id: [u8; 16], mut keys: Vec<BarrierKey>, opener: Option<Opener>) {
        keys.sort_by_key(|key| key.generation);
        let open = (!keys.is_empty()).then(|| Open { mount_id, keys, uses: AtomicU64::new(0), opener });
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = open;
    }
    /// Seals with the newest of `keys` from here on. A barrier that was sealed meanwhile stays so.
    pub fn rotate(&self, mut keys: Vec<BarrierKey>) {
        keys.sort_by_key(|key| key.generation);
        if let Some(open) = &mut *self.open.write().unwrap_or_else(PoisonError::into_inner)
            && keys.last().map(|key| key.generation) > open.keys.last().map(|key| key.generation)
        {
            (open.keys, open.uses) = (keys, AtomicU64::new(0));
        }
    }
    /// How many calls of the store beneath failed, or brought what does not open.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
    /// Counts a failure; a sealed barrier and a write that found something else are none.
    fn counted<T>(&self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(StorageError::Failed(_) | StorageError::Corrupt { .. }) = &result {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        result
    }
    /// Forgets the keys. A read under way answers [`StorageError::Sealed`]; a write under way has left sealed already.
    pub fn seal(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
    /// Whether the barrier holds no key.
    pub fn is_sealed(&self) -> bool {
        self.with(|_| Ok(())).is_err()
    }
    /// How many values the active key has sealed since the barrier was opened with it (0 while sealed).
    pub fn uses(&self) -> u64 {
        self.with(|open| Ok(open.uses.load(Ordering::Relaxed))).unwrap_or(0)
    }
    /// Opens, in its place, an entry of a snapshot of the store beneath.
    ///
    /// # Errors
    /// [`StorageError::Sealed`], [`StorageError::Corrupt`].
    pub fn open_entry(&self, entry: &mut Entry) -> Result<(), StorageError> {
        self.with(|open| {
            if !passes(&entry.key) {
                let value = open.value(&entry.key, &entry.revision, &entry.value);
                entry.value =
                    value.map_err(|error| StorageError::Corrupt { key: entry.key.clone(), source: error.into() })?;
            }
            Ok(())
        })
    }
    /// Takes over the keys that another node has made meanwhile.
    async fn renew(&self) -> Result<(), StorageError> {
        let Some(opener) = self.with(|open| Ok(open.opener.clone()))? else { return Ok(()) };
        let found = self.counted(self.inner.get_many(vec![Get::new(PASSED[0])]).await)?;
        if let Some(Found::Value(bytes, revision)) = found.first() {
            let corrupt =
                |error: CryptoError| StorageError::Corrupt { key: PASSED[0].to_owned(), source: error.into() };
            self.rotate(opener(revision, bytes).map_err(corrupt)?);
        }
        Ok(())
    }
    /// Runs one synchronous step with the keys, which therefore never outlive [`Barrier::seal`] over an await.
    fn with<T>(&self, step: impl FnOnce(&Open) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        step(open.as_ref().ok_or(StorageError::Sealed)?)
    }
}

impl Open {
    fn seal(&self, writes: &mut [Write]) -> Result<(), StorageError> {
        let Some(active) = self.keys.last() else { return Err(StorageError::Sealed) };
        for Write { key, change, .. } in writes {
            let Change::Put { value, revision } = change else { continue };
            if !passes(key) {
                *value = barrier::seal_value(active, &self.mount_id, key, revision, value, &OsRandom)
                    .map_err(|error| StorageError::Failed(error.into()))?;
                self.uses.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
    fn open(&self, key: &str, found: &Found) -> Result<Found, CryptoError> {
        match found {
            Found::Value(sealed, revision) if !passes(key) => {
                self.value(key, revision, sealed).map(|value| Found::Value(value, *revision))
            }
            other => Ok(other.clone()),
        }
    }
    /// Opens all of them, or names the first that does not open.
    fn open_all(&self, keys: &[String], found: &[Found]) -> Result<Vec<Found>, (String, CryptoError)> {
        let each = keys.iter().zip(found);
        each.map(|(key, found)| self.open(key, found).map_err(|error| (key.clone(), error))).collect()
    }
    fn value(&self, key: &str, revision: &Revision, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        barrier::open_value(&self.keys, &self.mount_id, key, revision, sealed)
    }
}

fn passes(key: &str) -> bool {
    PASSED.contains(&key)
}

impl Storage for Barrier {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move {
            self.with(|_| Ok(()))?;
            let keys: Vec<String> = gets.iter().map(|get| get.key.clone()).collect();
            let found = self.counted(self.inner.get_many(gets).await)?;
            let mut opened = self.with(|open| Ok(open.open_all(&keys, &found)))?;
            if let Err((_, CryptoError::UnknownGeneration { .. })) = opened {
                self.renew().await?;
                opened = self.with(|open| Ok(open.open_all(&keys, &found)))?;
            }
            self.counted(opened.map_err(|(key, error)| StorageError::Corrupt { key, source: error.into() }))
        })
    }
    fn put_all(&self, mut writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            self.with(|open| open.seal(&mut writes)).map_err(PutError::Failed)?;
            let written = self.inner.put_all(writes).await;
            if let Err(PutError::Unknown(_) | PutError::Failed(_)) = &written {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
            written
        })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        Box::new(Apart(self))
    }
    fn commits_together(&self) -> bool {
        self.inner.commits_together()
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(async move {
            self.with(|_| Ok(()))?;
            self.counted(self.inner.list(prefix, after, limit).await)
        })
    }
    /// What is stored, opened. Whoever wants it as it lies, sealed and needing no key, asks the store beneath.
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StorageError>> {
        Box::pin(async move {
            self.with(|_| Ok(()))?;
            let beneath = self.counted(Arc::clone(&self.inner).snapshot().await)?;
            let step = move |entry: &mut Entry| self.counted(self.open_entry(entry));
            Ok(Box::new(Stepped::new(beneath, step)) as Box<dyn Snapshot>)
        })
    }
    fn settled(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.settled()
    }
    fn lines(&self) -> Option<&Lines> {
        self.inner.lines()
    }
    fn unchecked(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        let inner = Arc::clone(&self.inner).unchecked()?;
        Some(Arc::new(Barrier { inner, open: Arc::clone(&self.open), failures: AtomicU64::new(0) }))
    }
}
