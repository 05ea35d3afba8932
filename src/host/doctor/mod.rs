//! The examination of a store: everything is read, opened, decoded and computed anew, and nothing is changed.
//!
//! It is driven in steps, so that whoever drives it sets the pace: `sparekey doctor` on a stopped server's store, and
//! `sys/storage/doctor` on a running one's. Memory holds one batch, whatever the store holds; only if there are more ledger
//! segments than the accounts want, the accounts' ids are held to name those that are left over.

use std::error::Error as _;
use std::sync::Arc;

use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::domain::time::Timestamp;
use crate::engine::keys;
use crate::error::Error;
use crate::storage::barrier::Barrier;
use crate::storage::snapshot::Snapshot;
use crate::storage::{Found, Get, Storage, StorageError};

mod account;
mod ledger;
mod leftovers;
mod others;
mod report;

pub use report::{Counts, Finding, Progress, Report};

use report::next;

/// Entries of one step: few enough to let others work in between.
const BATCH: usize = 64;

/// An examination under way.
pub struct Examination {
    raw: Arc<dyn Storage>,
    /// A barrier of its own: what is examined stands still, whatever becomes of the server's keys.
    barrier: Arc<Barrier>,
    keyring: Arc<Keyring>,
    root: Arc<Key>,
    now: Timestamp,
    snapshot: Box<dyn Snapshot>,
    total: Option<u64>,
    report: Report,
    segments_wanted: u64,
    segments_found: u64,
    ended: bool,
}

/// Why a store cannot be examined.
#[derive(Debug)]
pub enum CannotExamine {
    /// There is no keyring, or it does not open with this root key.
    Keyring(String),
    /// The store does not answer.
    Storage(StorageError),
}

impl std::fmt::Display for CannotExamine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CannotExamine::Keyring(what) => {
                write!(f, "the keyring {what}: without it nothing in the store can be read; put it back from a backup")
            }
            CannotExamine::Storage(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CannotExamine {}

impl From<StorageError> for CannotExamine {
    fn from(error: StorageError) -> Self {
        CannotExamine::Storage(error)
    }
}

impl Examination {
    /// Begins to examine `raw`, the store beneath the barrier, as it is now.
    ///
    /// # Errors
    /// [`CannotExamine`].
    pub async fn begin(raw: Arc<dyn Storage>, root: Arc<Key>, now: Timestamp) -> Result<Self, CannotExamine> {
        // The keyring after the snapshot: it has at least the keys that anything in there was sealed under.
        let snapshot = Arc::clone(&raw).snapshot().await?;
        let found = raw.get_many(vec![Get::new(keys::KEYRING)]).await?.into_iter().next();
        let Some(Found::Value(bytes, revision)) = found else {
            return Err(CannotExamine::Keyring("is not there".to_owned()));
        };
        let keyring = Keyring::open(&root, &revision, &bytes)
            .map_err(|error| CannotExamine::Keyring(format!("does not open: {error}")))?;
        let barrier = Arc::new(Barrier::new(Arc::clone(&raw)));
        barrier.unseal(*keyring.mount_id(), keyring.barrier_keys());
        Ok(Examination {
            total: snapshot.total(),
            raw,
            barrier,
            keyring: Arc::new(keyring),
            root,
            now,
            snapshot,
            report: Report::default(),
            segments_wanted: 0,
            segments_found: 0,
            ended: false,
        })
    }

    /// Examines some more; how far that is, or nothing once all is done.
    ///
    /// # Errors
    /// [`StorageError`] if the store failed: there is no result then.
    pub async fn step(&mut self) -> Result<Option<Progress>, StorageError> {
        if self.ended {
            return Ok(None);
        }
        match self.snapshot.next(BATCH).await {
            Ok(entries) if entries.is_empty() => {
                // One more than wanted is one that nobody leads to.
                if self.segments_found > self.segments_wanted {
                    self.leftovers().await?;
                }
                self.report.findings.sort_by(|one, other| one.key.cmp(&other.key));
                self.report.sound = self.report.broken == 0;
                self.ended = true;
            }
            Ok(entries) => {
                for mut entry in entries {
                    self.report.counts.records += 1;
                    self.report.counts.bytes += (entry.key.len() + entry.value.len()) as u64;
                    match self.barrier.open_entry(&mut entry) {
                        Ok(()) => self.record(&entry).await?,
                        Err(error) => self.closed(&error)?,
                    }
                }
            }
            Err(error @ StorageError::Corrupt { .. }) => {
                self.report.counts.records += 1;
                self.closed(&error)?;
            }
            Err(error) => return Err(error),
        }
        let (done, broken) = (self.report.counts.records, self.report.broken);
        Ok(Some(Progress { done, total: self.total, broken }))
    }

    /// The result, once [`Examination::step`] has nothing more to do.
    pub fn report(self) -> Report {
        self.report
    }

    /// A value that does not open, or a row that is none.
    fn closed(&mut self, error: &StorageError) -> Result<(), StorageError> {
        match error {
            StorageError::Corrupt { key, source } => {
                if key.starts_with("ledger/") {
                    self.segments_found += 1;
                }
                self.report.broken(key, source.to_string(), next::RECORD);
                Ok(())
            }
            _ => Err(StorageError::Sealed),
        }
    }
}

/// What an error keeps from callers.
fn named(error: &Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
