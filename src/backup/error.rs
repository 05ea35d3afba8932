//! What can be wrong with a backup, each with what to do about it.

use std::error::Error as StdError;
use std::{fmt, io};

use crate::crypto::CryptoError;
use crate::storage::StorageError;

/// Why a backup cannot be made or read.
#[derive(Debug)]
pub enum BackupError {
    /// The file does not begin as a backup does.
    Foreign,
    /// A format that another version wrote.
    Format(u64),
    /// The header cannot be understood.
    Header(&'static str),
    /// The file ends too early.
    Cut {
        /// The frame in which it ends, from 0; none if in the header.
        frame: Option<u64>,
    },
    /// A frame's head says what no frame's head says.
    Framing {
        /// The frame, from 0.
        frame: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A frame does not open.
    Closed {
        /// The frame, from 0.
        frame: u64,
    },
    /// A frame that opens holds something else than it should.
    Content {
        /// The frame, from 0.
        frame: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The records are not the ones that were saved.
    Sum {
        /// Records that were read.
        read: u64,
        /// Records that were saved.
        saved: u64,
    },
    /// There are bytes behind the last frame.
    Trailing,
    /// The keyring does not open.
    Keyring(CryptoError),
    /// The store is not ready to be saved.
    Source(&'static str),
    /// The cryptographic library failed.
    Crypto(CryptoError),
    /// The store failed.
    Storage(StorageError),
    /// The file cannot be read.
    Io(io::Error),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BackupError::Foreign => {
                f.write_str("this is no backup of Sparekey: name the file that `sparekey backup` wrote")
            }
            BackupError::Format(found) => write!(
                f,
                "the backup has format {found} and this version reads {}: use the version that wrote it",
                super::FORMAT
            ),
            BackupError::Header(what) => write!(f, "the header {what}: the file is damaged, use another backup"),
            BackupError::Cut { frame: None } => f.write_str(
                "the file ends within its header: it was cut short, or the backup never finished; use another one",
            ),
            BackupError::Cut { frame: Some(frame) } => write!(
                f,
                "the file ends in frame {frame}, before its end mark: it was cut short, or the backup never finished; use another one"
            ),
            BackupError::Framing { frame, what } => {
                write!(f, "frame {frame} {what}: the file is damaged, use another backup")
            }
            BackupError::Closed { frame } => write!(
                f,
                "frame {frame} does not open: it was altered, or it comes from another backup or another place in this one; \
                 use another backup"
            ),
            BackupError::Content { frame, what } => {
                write!(f, "frame {frame} {what}: another version wrote it, or a defect of this one")
            }
            BackupError::Sum { read, saved } => write!(
                f,
                "{read} records were read and {saved} were saved, or they are not the same: use another backup"
            ),
            BackupError::Trailing => {
                f.write_str("there are bytes behind the end mark: something was added to the file; use another backup")
            }
            BackupError::Keyring(error) => write!(f, "the keyring in the backup: {error}"),
            BackupError::Source(what) => f.write_str(what),
            BackupError::Crypto(error) => error.fmt(f),
            BackupError::Storage(error @ StorageError::Corrupt { .. }) => {
                write!(f, "{error}; `sparekey doctor` tells of every damaged record")
            }
            BackupError::Storage(error) => error.fmt(f),
            BackupError::Io(error) => write!(f, "the file cannot be read: {error}"),
        }
    }
}

impl StdError for BackupError {}

impl From<StorageError> for BackupError {
    fn from(error: StorageError) -> Self {
        BackupError::Storage(error)
    }
}
