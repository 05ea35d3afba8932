//! Storage failures of the host's own records, as errors that a caller may see.

use crate::error::Error;
use crate::storage::{PutError, StorageError};

/// A read or list that failed.
pub fn read(error: StorageError) -> Error {
    match error {
        StorageError::Sealed => Error::unavailable("Vault is sealed"),
        other => Error::internal(other),
    }
}

/// A write that failed for another reason than a conflict, or whose conflicts do not end.
pub fn write(error: PutError) -> Error {
    match error {
        PutError::Failed(error) => read(error),
        PutError::Conflict { .. } => {
            Error::unavailable("storage conflict: somebody else keeps changing the same record; try again")
                .with_source(error)
        }
        PutError::Unknown(_) => Error::internal(error),
    }
}
