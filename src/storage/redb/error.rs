//! What can go wrong with the file, each with what to do about it.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};

use crate::storage::StorageError;

#[derive(Debug)]
pub(super) enum RedbError {
    /// Another handle holds the file's lock.
    AlreadyOpen(PathBuf),
    /// The file has no bytes.
    Empty(PathBuf),
    /// A redb file whose tables are not ours.
    Foreign(PathBuf),
    /// Written in a format that this version does not know.
    Format { path: PathBuf, found: u64, known: u64 },
    /// The file cannot be opened.
    Open { path: PathBuf, source: Box<RedbError> },
    /// The operating system refused something.
    Io(io::Error),
    /// redb refused something.
    Redb(Box<::redb::Error>),
    /// redb panicked, which it does on some damaged pages.
    Panicked,
    /// A write was not answered for so long.
    Hangs(Duration),
    /// The writer thread could not be started.
    Thread(io::Error),
    /// A row shorter than its revision.
    ShortRow(usize),
    /// A list of writes larger than the queue takes altogether.
    TooLarge { bytes: usize, most: usize },
    /// Too many writes wait already.
    Busy { waiting: usize },
    /// The store is being closed.
    Closed,
    /// Too little room on the file system for the writes that wait.
    DiskFull { free: u64, needed: u64 },
    /// An earlier failure made redb refuse further work; the file is being opened anew.
    Reopening(String),
}

impl fmt::Display for RedbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RedbError::AlreadyOpen(path) => write!(
                f,
                "store {} is open in another process: stop the other server, or give this one a path of its own",
                path.display()
            ),
            RedbError::Empty(path) => write!(
                f,
                "store {} is an empty file: put the store back from a backup, or remove the file to begin a new store",
                path.display()
            ),
            RedbError::Foreign(path) => write!(
                f,
                "{} is a redb file but no Sparekey store: name another path, or move the file away to begin a new store",
                path.display()
            ),
            RedbError::Format { path, found, known } if found > known => write!(
                f,
                "store {} has format {found} and this version reads up to {known}: run the newer version that wrote it, or put \
                 back a backup made before the upgrade",
                path.display()
            ),
            RedbError::Format { path, found, .. } => {
                write!(f, "store {} has the unknown format {found}: put the store back from a backup", path.display())
            }
            RedbError::Open { path, source } => write!(
                f,
                "store {} does not open: {source}; if the file is damaged, put the store back from a backup",
                path.display()
            ),
            RedbError::Io(source) => source.fmt(f),
            RedbError::Redb(source) => source.fmt(f),
            RedbError::Panicked => f.write_str("redb stopped at something it did not expect, probably a damaged page"),
            RedbError::Hangs(after) => {
                write!(f, "the disk did not take a write within {} seconds: look at it", after.as_secs())
            }
            RedbError::Thread(source) => write!(f, "the store's writer thread did not start: {source}"),
            RedbError::ShortRow(bytes) => write!(f, "the row has {bytes} bytes, fewer than its revision"),
            RedbError::TooLarge { bytes, most } => {
                write!(f, "the writes have {bytes} bytes together and the store takes at most {most} at once")
            }
            RedbError::Busy { waiting } => write!(f, "{waiting} writes wait for the store already: try again later"),
            RedbError::Closed => f.write_str("the store is being closed"),
            RedbError::DiskFull { free, needed } => write!(
                f,
                "the store's file system has {free} bytes free and the next commit wants {needed}: make room there"
            ),
            RedbError::Reopening(reason) => {
                write!(f, "the store failed ({reason}) and is being opened anew: try again shortly")
            }
        }
    }
}

impl StdError for RedbError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            RedbError::Open { source, .. } => Some(source),
            RedbError::Io(source) | RedbError::Thread(source) => Some(source),
            RedbError::Redb(source) => Some(source),
            _ => None,
        }
    }
}

impl From<RedbError> for StorageError {
    fn from(error: RedbError) -> Self {
        StorageError::Failed(error.into())
    }
}

macro_rules! from_redb {
    ($($error:ident),*) => {
        $(impl From<::redb::$error> for RedbError {
            fn from(error: ::redb::$error) -> Self {
                RedbError::Redb(Box::new(error.into()))
            }
        })*
    };
}

from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError, SetDurabilityError);
