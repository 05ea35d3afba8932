//! A snapshot of the file: one read transaction, which keeps the pages that it needs from being written over.

use std::ops::Bound;
use std::sync::Arc;

use ::redb::{ReadOnlyTable, ReadableDatabase, ReadableTableMetadata};

use super::error::RedbError;
use super::file::RECORDS;
use super::{Redb, guarded, record};
use crate::storage::snapshot::{Batch, Entry, Snapshot};
use crate::storage::{BoxFuture, StorageError};

pub(super) struct RedbSnapshot {
    /// Holds its transaction. When the file is closed because of a failure, reads from it fail from then on.
    table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// The last key that was dealt with.
    last: Option<Vec<u8>>,
    /// Stays open as long as it is read.
    _store: Arc<Redb>,
}

impl RedbSnapshot {
    pub(super) fn begin(store: Arc<Redb>) -> Result<Self, StorageError> {
        let database = store.shared.handle.get()?;
        let table = guarded(|| Ok::<_, RedbError>(database.begin_read()?.open_table(RECORDS)?))??;
        Ok(RedbSnapshot { table, last: None, _store: store })
    }
    fn read(&mut self, limit: usize) -> Result<Vec<Entry>, StorageError> {
        let mut batch = Batch::new(limit);
        let from = match &self.last {
            None => Bound::Unbounded,
            Some(last) => Bound::Excluded(last.as_slice()),
        };
        let mut dealt_with = None;
        for row in self.table.range::<&[u8]>((from, Bound::Unbounded)).map_err(RedbError::from)? {
            if batch.is_full() {
                break;
            }
            let (key, value) = row.map_err(RedbError::from)?;
            match entry(key.value(), value.value()) {
                Ok(entry) => batch.push(entry),
                // The error comes first in the next batch.
                Err(_) if !batch.is_empty() => break,
                Err(error) => {
                    self.last = Some(key.value().to_vec());
                    return Err(error);
                }
            }
            dealt_with = Some(key.value().to_vec());
        }
        self.last = dealt_with.or(self.last.take());
        Ok(batch.end())
    }
}

fn entry(key: &[u8], row: &[u8]) -> Result<Entry, StorageError> {
    let key = record::key(key)?;
    let (revision, value) = record::split(&key, row)?;
    Ok(Entry { value: value.to_vec(), revision, key })
}

impl Snapshot for RedbSnapshot {
    fn total(&self) -> Option<u64> {
        guarded(|| self.table.len().ok()).ok().flatten()
    }
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Entry>, StorageError>> {
        Box::pin(async move { guarded(|| self.read(limit))? })
    }
}
