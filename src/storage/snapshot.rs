//! What a store held at one moment, read from beginning to end: backups, moves and examinations stand on it.

use std::collections::VecDeque;

use super::{BoxFuture, Revision, StorageError};

/// One stored value and where it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The value's revision.
    pub revision: Revision,
}

/// Everything that was stored at the moment at which the snapshot was made, in the order of the keys' bytes.
///
/// What is written meanwhile does not show in it, and it holds no writer up. A store may have to keep what was overwritten
/// since as long as it lives: read it through and drop it.
pub trait Snapshot: Send {
    /// The next entries: at least one, at most `limit` (which is at least 1) and, beyond the first, no more than about
    /// [`BATCH`] bytes; none once all were read.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] is about one record, and the next call goes on behind it. [`StorageError::Sealed`] may pass.
    /// After [`StorageError::Failed`] the snapshot is of no more use.
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Entry>, StorageError>>;
    /// About how many entries there are in all, where that costs nothing: for estimates.
    fn total(&self) -> Option<u64> {
        None
    }
}

/// About how many bytes of keys and values come in one batch.
pub const BATCH: usize = 1 << 20;

/// The error of a store that gives no snapshots: a mounting vault's.
pub(super) fn unsupported() -> StorageError {
    const SENTENCE: &str = "this store gives no snapshot; what a vault mounts is saved by that vault's own means, such as \
                            `bao operator raft snapshot save`";
    StorageError::Failed(SENTENCE.into())
}

/// A batch that grows until it is full.
pub(crate) struct Batch {
    entries: Vec<Entry>,
    bytes: usize,
    limit: usize,
}

impl Batch {
    pub(crate) fn new(limit: usize) -> Self {
        Batch { entries: Vec::new(), bytes: 0, limit: limit.max(1) }
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= self.limit || self.bytes >= BATCH
    }
    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += entry.key.len() + entry.value.len();
        self.entries.push(entry);
    }
    pub(crate) fn end(self) -> Vec<Entry> {
        self.entries
    }
}

/// A snapshot whose every entry goes through a step that may find it corrupt.
pub(super) struct Stepped<F> {
    beneath: Box<dyn Snapshot>,
    read: VecDeque<Entry>,
    /// What is wrong with the entry behind the last batch.
    corrupt: Option<StorageError>,
    step: F,
}

impl<F: FnMut(&mut Entry) -> Result<(), StorageError> + Send> Stepped<F> {
    pub(super) fn new(beneath: Box<dyn Snapshot>, step: F) -> Self {
        Stepped { beneath, read: VecDeque::new(), corrupt: None, step }
    }
}

impl<F: FnMut(&mut Entry) -> Result<(), StorageError> + Send> Snapshot for Stepped<F> {
    fn total(&self) -> Option<u64> {
        self.beneath.total()
    }
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Entry>, StorageError>> {
        Box::pin(async move {
            if let Some(error) = self.corrupt.take() {
                return Err(error);
            }
            if self.read.is_empty() {
                self.read = self.beneath.next(limit).await?.into();
            }
            let mut batch = Batch::new(limit);
            while let Some(entry) = self.read.front_mut().filter(|_| !batch.is_full()) {
                match (self.step)(entry) {
                    Ok(()) => self.read.pop_front().into_iter().for_each(|entry| batch.push(entry)),
                    Err(error @ StorageError::Corrupt { .. }) => {
                        self.read.pop_front();
                        if batch.is_empty() {
                            return Err(error);
                        }
                        self.corrupt = Some(error);
                        break;
                    }
                    Err(_) if !batch.is_empty() => break,
                    Err(error) => return Err(error),
                }
            }
            Ok(batch.end())
        })
    }
}
