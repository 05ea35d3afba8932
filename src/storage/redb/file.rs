//! The file itself: made for its owner alone, locked, checked, and marked with its format.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::backends::FileBackend;
use ::redb::{Database, DatabaseError, ReadableDatabase, StorageBackend, TableDefinition, TableHandle};

use super::error::RedbError;
use super::pages::{Pages, Sums};
use super::{guarded, page_list};

/// Key → revision ‖ value, one row each: the commonest act rewrites one row, so a second table would only add pages to a commit.
pub(super) const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");

const FORMAT: TableDefinition<&str, u64> = TableDefinition::new("sparekey-format");
const VERSION: &str = "version";
/// The format that this program writes and the only one that it reads.
pub(super) const KNOWN: u64 = 1;

/// Pages kept in memory: more than all pages that lead to the records of a million accounts. The records themselves are in the system's
/// cache of files, a microsecond away. redb's own default of 1 GiB is more than a small host has, and what is kept is held by each thread's
/// part of the allocator in turn, so that the process may come to hold this several times.
const CACHE: usize = 64 << 20;

/// Where a database lives, so that it can be opened again after a failure.
pub(super) trait Place: Send + Sync {
    /// Opens the database, in which no damage goes unnoticed, of the known format.
    fn open(&self, missing: Missing) -> Result<Database, RedbError>;
    /// How many bytes can still be written there, if that is known.
    fn free(&self) -> Option<u64>;
}

/// What to do where there is no database yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Begin an empty one.
    Create,
    /// Fail: there was one a moment ago, and an empty one in its place would forget what was acknowledged.
    Refuse,
}

/// A path in the file system.
pub(super) struct File {
    path: PathBuf,
}

impl File {
    pub(super) fn new(path: &Path) -> Self {
        File { path: path.to_owned() }
    }
    fn backend(&self, missing: Missing) -> Result<FileBackend, RedbError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let file = match options.open(&self.path) {
            Ok(file) if file.metadata().map_err(RedbError::Io)?.len() == 0 => {
                return Err(RedbError::Empty(self.path.clone()));
            }
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && missing == Missing::Create => {
                let file = options.create_new(true).open(&self.path).map_err(RedbError::Io)?;
                // The name in the folder must be as durable as what will be written under it.
                let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
                fs::File::open(folder.unwrap_or(Path::new(".")))
                    .and_then(|folder| folder.sync_all())
                    .map_err(RedbError::Io)?;
                file
            }
            Err(error) => return Err(RedbError::Io(error)),
        };
        Ok(FileBackend::new(file)?)
    }
}

impl Place for File {
    fn open(&self, missing: Missing) -> Result<Database, RedbError> {
        let path = self.path.clone();
        self.backend(missing).and_then(|backend| listed(&path, backend)).map_err(|error| match error {
            error @ (RedbError::Empty(_)
            | RedbError::Foreign(_)
            | RedbError::Format { .. }
            | RedbError::AlreadyOpen(_)) => error,
            error => RedbError::Open { path, source: Box::new(error) },
        })
    }
    fn free(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.path).ok()?;
        stat.f_bavail.checked_mul(stat.f_frsize)
    }
}

/// Opens the database in the file at `path`, which `backend` reads and writes, by the list of its pages, if there is one.
pub(super) fn listed(path: &Path, backend: impl StorageBackend) -> Result<Database, RedbError> {
    let list = page_list::take(path);
    let check = if list.is_some() { Check::AsRead } else { Check::Whole };
    let sums = Sums::new(list);
    let pages = Pages::new(backend, Arc::clone(&sums), page_list::beside(path));
    database(path, pages, check).inspect(|_| sums.opened())
}

/// How damage is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// By reading the whole file now.
    Whole,
    /// The backend compares each page when it is read.
    AsRead,
}

/// Opens the database kept by `backend`; `path` is for the sentences.
pub(super) fn database(path: &Path, backend: impl StorageBackend, check: Check) -> Result<Database, RedbError> {
    // Without either a damaged page may hide a key, and a hidden claim would let a code out twice.
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(check == Check::Whole);
    let database = match guarded(|| builder.create_with_backend(backend))? {
        Err(DatabaseError::DatabaseAlreadyOpen) => return Err(RedbError::AlreadyOpen(path.to_owned())),
        other => other?,
    };
    match format(&database)? {
        Found::Format(KNOWN) => Ok(database),
        Found::Format(found) => Err(RedbError::Format { path: path.to_owned(), found, known: KNOWN }),
        Found::Foreign => Err(RedbError::Foreign(path.to_owned())),
        Found::New => {
            let transaction = database.begin_write()?;
            transaction.open_table(FORMAT)?.insert(VERSION, KNOWN)?;
            transaction.open_table(RECORDS)?;
            transaction.commit()?;
            Ok(database)
        }
    }
}

enum Found {
    New,
    Format(u64),
    Foreign,
}

fn format(database: &Database) -> Result<Found, RedbError> {
    let transaction = database.begin_read()?;
    let tables: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    if tables.is_empty() && transaction.list_multimap_tables()?.next().is_none() {
        return Ok(Found::New);
    }
    if !tables.iter().any(|table| table == FORMAT.name()) {
        return Ok(Found::Foreign);
    }
    let version = transaction.open_table(FORMAT)?.get(VERSION)?;
    Ok(version.map_or(Found::Foreign, |version| Found::Format(version.value())))
}
