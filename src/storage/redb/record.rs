//! A row of the file: the key as UTF-8, and the revision (16 bytes) before the value.

use super::{RedbError, StorageError};
use crate::storage::Revision;

/// The bytes stored for a value.
pub(super) fn join(revision: Revision, value: &[u8]) -> Vec<u8> {
    [revision.0.as_slice(), value].concat()
}

/// The revision and the value in the bytes stored under `key`.
pub(super) fn split<'a>(key: &str, row: &'a [u8]) -> Result<(Revision, &'a [u8]), StorageError> {
    let (revision, value) = row
        .split_first_chunk()
        .ok_or_else(|| StorageError::Corrupt { key: key.to_owned(), source: RedbError::ShortRow(row.len()).into() })?;
    Ok((Revision(*revision), value))
}

/// The key in these bytes.
pub(super) fn key(bytes: &[u8]) -> Result<String, StorageError> {
    String::from_utf8(bytes.to_vec()).map_err(|error| StorageError::Corrupt {
        key: String::from_utf8_lossy(bytes).into_owned(),
        source: error.utf8_error().into(),
    })
}
