//! The embedded store: one redb file, one process, one writer thread that commits waiting writes in groups.
//!
//! Reads run where they are called, on the asynchronous runtime's own threads: redb keeps its pages in a cache in this process,
//! so that the six records of an act take 10 to 20 µs, less than the way to another thread and back alone
//! (`benches/stages/store.rs` measures both). Readers never wait for the writer: they see the last commit.

use std::any::Any;
use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ::redb::{ReadOnlyTable, ReadableDatabase};
use tokio::sync::oneshot;

use self::error::RedbError;
use self::file::{File, Place, RECORDS};
use self::handle::Handle;
use self::queue::{Job, Queue};
use self::snapshot::RedbSnapshot;
use super::snapshot::Snapshot;
use super::{Apart, BoxFuture, Found, Get, PutError, Step, Storage, StorageError, Write, level};

mod error;
mod file;
mod handle;
mod page_list;
mod pages;
mod queue;
mod record;
mod snapshot;
mod writer;

/// How long a write is waited for. A disk that hangs answers nobody; then the outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store in one redb file. Dropping it commits what still waits and closes the file.
pub struct Redb {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// Renames a closed store, and the list of its pages with it.
///
/// # Errors
/// What the file system says; then nothing was renamed.
pub fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)?;
    page_list::follow(from, to);
    Ok(())
}

/// What callers and the writer thread have in common.
struct Shared {
    handle: Handle,
    queue: Queue,
    commits: AtomicU64,
}

impl Redb {
    /// Opens the store at `path`, which is created (readable by its owner alone) if there is none.
    ///
    /// Damage is an error and never an absent record: after an orderly end each page is compared with what was written there when it is
    /// read; otherwise, and where the list of pages beside the file is missing, the whole file is checked first, at about two seconds
    /// for a gigabyte.
    ///
    /// # Errors
    /// [`StorageError::Failed`] with a sentence that says what to do: the file is open in another process, is damaged or empty,
    /// is not a Sparekey store, or has a format that only a newer version reads.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Self::start(Box::new(File::new(path)))
    }
    /// How many commits, each with one fsync, have been made since the store was opened.
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }
    fn start(place: Box<dyn Place>) -> Result<Self, StorageError> {
        let shared =
            Arc::new(Shared { handle: Handle::open(place)?, queue: Queue::default(), commits: AtomicU64::new(0) });
        let writer = thread::Builder::new()
            .name("redb-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared)
            })
            .map_err(RedbError::Thread)?;
        Ok(Redb { shared, writer: Some(writer) })
    }
    /// Runs `read` on the last commit.
    fn read<T>(
        &self,
        read: impl FnOnce(&ReadOnlyTable<&'static [u8], &'static [u8]>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let database = self.shared.handle.get()?;
        guarded(|| {
            let transaction = database.begin_read().map_err(RedbError::from)?;
            read(&transaction.open_table(RECORDS).map_err(RedbError::from)?)
        })?
    }
}

/// Runs `step`; redb may panic on a page that was damaged while the file was open, and that must fail this call alone.
fn guarded<T>(step: impl FnOnce() -> T) -> Result<T, RedbError> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic: Box<dyn Any + Send>| {
        drop(panic);
        RedbError::Panicked
    })
}

impl Storage for Redb {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move {
            self.read(|table| {
                let found = |get: Get| {
                    let Some(row) = table.get(get.key.as_bytes()).map_err(RedbError::from)? else {
                        return Ok(Found::Absent);
                    };
                    let (revision, value) = record::split(&get.key, row.value())?;
                    Ok(if get.known == Some(revision) {
                        Found::Unchanged
                    } else {
                        Found::Value(value.to_vec(), revision)
                    })
                };
                gets.into_iter().map(found).collect()
            })
        })
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            if writes.is_empty() {
                return Ok(());
            }
            let (answer, answered) = oneshot::channel();
            self.shared.queue.push(Job::new(writes, answer)).map_err(|error| PutError::Failed(error.into()))?;
            match tokio::time::timeout(PATIENCE, answered).await {
                // Without an answer the thread has ended in the middle of its work.
                Ok(answer) => answer.unwrap_or_else(|_| Err(PutError::Unknown(RedbError::Panicked.into()))),
                // It waits or is being written still: it may come about.
                Err(_) => Err(PutError::Unknown(RedbError::Hangs(PATIENCE).into())),
            }
        })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        Box::new(Apart(self))
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(async move {
            self.read(|table| {
                level::entries(prefix, after, limit, |from| {
                    let from = (from.map(str::as_bytes), Bound::<&[u8]>::Unbounded);
                    let Some(row) = table.range::<&[u8]>(from).map_err(RedbError::from)?.next() else {
                        return Ok(None);
                    };
                    record::key(row.map_err(RedbError::from)?.0.value()).map(Some)
                })
            })
        })
    }
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StorageError>> {
        Box::pin(async move { Ok(Box::new(RedbSnapshot::begin(self)?) as Box<dyn Snapshot>) })
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to say: its callers were told.
            drop(writer.join());
        }
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").field("commits", &self.commits()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
