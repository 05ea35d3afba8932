//! The storage contract. Every backend passes the same suite (`tests/storage/`).
//!
//! * A key is a `/`-separated text; a value is bytes; every value has a [`Revision`], chosen by the writer before the write
//!   (so that the barrier can bind the ciphertext to it) and never repeated for a key, not even after delete and re-creation.
//! * [`Storage::get_many`] reads each key's newest committed value. A key whose revision the caller knows already comes back
//!   as [`Found::Unchanged`].
//! * [`Storage::put_all`] carries out all writes or none where the backend can commit them together; otherwise one after the
//!   other **in the order given**, stopping at the first conflict; it may look at all of them before it writes any. Every write states what it expects of the key; the
//!   expectation is checked in the same atomic step as the write; a write sees those before it in its list. `Ok` means durable.
//! * [`Storage::step`] begins reads that a write follows. What it reads is never older than the step, whatever a backend keeps in
//!   memory. Where the backend can, reads and write are one transaction: then a change of anything that was read is a
//!   conflict too.
//! * [`Storage::list`] names one level below a prefix, sorted by bytes; folders end in `/`. A prefix that is neither empty nor
//!   ends in `/` is an error.
//! * [`Storage::settled`] is asked before something that was only read is acknowledged as done.
//! * [`Storage::snapshot`] gives everything that was stored at one moment, in the order of the keys.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use self::snapshot::Snapshot;
use crate::random::{self, Random};

pub mod barrier;
pub(crate) mod conflict;
pub mod copy;
pub mod digest;
pub mod faulty;
pub mod format;
mod level;
pub mod line;
pub mod memory;
pub mod postgres;
pub mod redb;
pub mod snapshot;

/// A future that any backend can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The version of a value: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision(pub [u8; 16]);

impl Revision {
    /// A revision that has never been used.
    pub fn new(random: &dyn Random) -> Self {
        Revision(random::bytes(random))
    }
}

/// A read of one key.
#[derive(Debug, Clone)]
pub struct Get {
    /// The key.
    pub key: String,
    /// The revision the caller holds already.
    pub known: Option<Revision>,
}

impl Get {
    /// A read that knows nothing yet.
    pub fn new(key: impl Into<String>) -> Self {
        Get { key: key.into(), known: None }
    }
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The value is still the one of the known revision.
    Unchanged,
    /// There is no such key.
    Absent,
    /// The value and its revision.
    Value(Vec<u8>, Revision),
}

/// What a write expects of its key at the moment of the write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key's value has this revision.
    At(Revision),
}

impl Expect {
    /// Whether a key whose value has the revision `current` (`None`: no such key) is what was expected.
    pub fn holds(self, current: Option<Revision>) -> bool {
        match self {
            Expect::Absent => current.is_none(),
            Expect::At(revision) => current == Some(revision),
        }
    }
}

/// What a write does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Stores `value` under `revision`.
    Put {
        /// The new value.
        value: Vec<u8>,
        /// Its revision, never used before.
        revision: Revision,
    },
    /// Removes the key.
    Delete,
    /// Only checks the expectation.
    Check,
}

/// One write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: String,
    /// What it must be now.
    pub expect: Expect,
    /// What becomes of it.
    pub change: Change,
}

impl Write {
    /// Stores `value` under `key` with a fresh revision if `expect` holds.
    pub fn put(key: impl Into<String>, expect: Expect, value: Vec<u8>, random: &dyn Random) -> Self {
        Write { key: key.into(), expect, change: Change::Put { value, revision: Revision::new(random) } }
    }
    /// Creates `key`, which must not exist.
    pub fn create(key: impl Into<String>, value: Vec<u8>, random: &dyn Random) -> Self {
        Self::put(key, Expect::Absent, value, random)
    }
    /// Deletes `key`, which must be at `revision`.
    pub fn delete(key: impl Into<String>, revision: Revision) -> Self {
        Write { key: key.into(), expect: Expect::At(revision), change: Change::Delete }
    }
    /// Only checks that `key` is still at `revision`.
    pub fn check(key: impl Into<String>, revision: Revision) -> Self {
        Write { key: key.into(), expect: Expect::At(revision), change: Change::Check }
    }
}

/// A read or list that failed.
#[derive(Debug)]
pub enum StorageError {
    /// The barrier has no key in memory.
    Sealed,
    /// A value does not open or decode: an error, never an empty answer.
    Corrupt {
        /// The key whose value is corrupt.
        key: String,
        /// What is wrong with it.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The backend failed.
    Failed(Box<dyn StdError + Send + Sync>),
}

/// A write that did not happen, or of which it is not known.
#[derive(Debug)]
pub enum PutError {
    /// The first write whose expectation did not hold. On a backend that commits together nothing was written.
    Conflict {
        /// Index of that write in the list; 0 where a [`Step`] found changed what it had only read.
        index: usize,
    },
    /// The outcome is unknown (connection lost after commit): read again and look for the operation id.
    Unknown(Box<dyn StdError + Send + Sync>),
    /// Nothing was written.
    Failed(StorageError),
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::Sealed => f.write_str("sealed"),
            StorageError::Corrupt { key, source } => write!(f, "record {key} is corrupt: {source}"),
            StorageError::Failed(source) => write!(f, "storage failed: {source}"),
        }
    }
}

impl fmt::Display for PutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Conflict { index } => write!(f, "write {index} found another revision"),
            PutError::Unknown(source) => write!(f, "outcome of the write unknown: {source}"),
            PutError::Failed(source) => write!(f, "{source}"),
        }
    }
}

impl StdError for StorageError {}
impl StdError for PutError {}

/// A store of revisioned values; see the module's contract.
pub trait Storage: Send + Sync + 'static {
    /// Reads every key, in order.
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>>;
    /// Carries out every write if every expectation holds.
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>>;
    /// Begins reads that a write follows.
    fn step(self: Arc<Self>) -> Box<dyn Step>;
    /// Whether `put_all` carries out all writes or none. Where it does not, an act that must happen once also leaves a marker of
    /// its own before it changes anything.
    fn commits_together(&self) -> bool {
        true
    }
    /// Names up to `limit` entries of one level below `prefix` (which ends in `/` or is empty) that sort after `after`.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>>;
    /// What is stored now, to be read through.
    ///
    /// # Errors
    /// [`StorageError::Failed`] where the backend gives no snapshots, with what to use instead.
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StorageError>> {
        Box::pin(async { Err(snapshot::unsupported()) })
    }
    /// Returns once everything that can be read is as durable as what was written. For an answer that says something was done and
    /// rests on a read alone: what the store shows need not have reached a standby yet.
    ///
    /// # Errors
    /// [`StorageError::Failed`] where that cannot be known now.
    fn settled(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async { Ok(()) })
    }
    /// The lines of the server beneath, where a store has one that can be replaced by a copy (see [`mod@line`]).
    fn lines(&self) -> Option<&line::Lines> {
        None
    }
    /// The same store, which also answers while the server's line is not approved: for the comparison that decides about that, and
    /// for nothing else. `None` where a store has no lines.
    fn unchecked(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        None
    }
}

/// Reads, and the write that stands on them. One that is dropped has read and nothing else.
pub trait Step: Send + Sync {
    /// Reads every key, in order.
    fn get_many(&mut self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>>;
    /// Carries out every write if every expectation holds. A write that has begun goes on to its end.
    fn put_all(self: Box<Self>, writes: Vec<Write>) -> BoxFuture<'static, Result<(), PutError>>;
}

/// The step of a backend whose every read is of the moment: its reads and its write stand apart, and the expectations join them.
pub struct Apart(pub Arc<dyn Storage>);

impl Step for Apart {
    fn get_many(&mut self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        self.0.get_many(gets)
    }
    fn put_all(self: Box<Self>, writes: Vec<Write>) -> BoxFuture<'static, Result<(), PutError>> {
        Box::pin(async move { self.0.put_all(writes).await })
    }
}
