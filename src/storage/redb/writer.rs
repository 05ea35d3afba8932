//! The writer thread: takes all lists that wait and commits them as one redb transaction with one fsync.
//!
//! While one commit is on its way to the disk the next ones gather, so that a group is as large as the disk is slow and a
//! single caller never waits for company.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ::redb::{Database, Durability, ReadableTable, Table};

use super::error::RedbError;
use super::file::RECORDS;
use super::queue::{Job, Taken};
use super::{Shared, guarded, record};
use crate::storage::{Change, PutError, Revision, StorageError, Write, conflict};

/// How long after a failure the file is first opened again; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What became of one list within its group.
enum Verdict {
    Written,
    Conflict(usize),
    Failed(StorageError),
}

/// Why a whole group failed, and whether some of it may have reached the disk all the same.
struct Failure {
    error: RedbError,
    unknown: bool,
}

/// A database that refuses further work until it is opened again.
struct Broken {
    reason: String,
    again: Instant,
}

/// Works until the queue is closed and empty.
pub(super) fn run(shared: &Shared) {
    let mut broken: Option<Broken> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let wait = broken.as_ref().map(|broken| broken.again.saturating_duration_since(Instant::now()));
        let jobs = match shared.queue.take(wait) {
            Taken::Closed => return,
            Taken::Nothing => Vec::new(),
            Taken::Jobs(jobs) => jobs,
        };
        if let Some(Broken { reason, again }) = &mut broken {
            if Instant::now() < *again {
                refuse(jobs, reason);
                continue;
            }
            if let Err(error) = shared.handle.reopen(reason) {
                tracing::error!(%error, "the store does not open again");
                pause = (pause * 2).min(LONGEST_PAUSE);
                *reason = error.to_string();
                *again = Instant::now() + pause;
                refuse(jobs, reason);
                continue;
            }
            tracing::info!("the store is open again");
            broken = None;
        }
        if jobs.is_empty() {
            continue;
        }
        match commit(shared, &jobs) {
            Ok(verdicts) => {
                pause = FIRST_PAUSE;
                jobs.into_iter().zip(verdicts).for_each(|(job, verdict)| answer(job, verdict));
            }
            Err(Failure { error, unknown }) => {
                tracing::error!(%error, writes = jobs.len(), "the store did not take a group of writes");
                // Lack of room is found before redb is asked: the database is sound.
                if !matches!(error, RedbError::DiskFull { .. }) {
                    broken = Some(Broken { reason: error.to_string(), again: Instant::now() + pause });
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                fail(jobs, &error.to_string(), unknown);
            }
        }
    }
}

fn answer(job: Job, verdict: Verdict) {
    job.answer(match verdict {
        Verdict::Written => Ok(()),
        Verdict::Conflict(index) => Err(PutError::Conflict { index }),
        Verdict::Failed(error) => Err(PutError::Failed(error)),
    });
}

fn refuse(jobs: Vec<Job>, reason: &str) {
    for job in jobs {
        job.answer(Err(PutError::Failed(RedbError::Reopening(reason.to_owned()).into())));
    }
}

fn fail(jobs: Vec<Job>, reason: &str, unknown: bool) {
    for job in jobs {
        job.answer(Err(match unknown {
            true => PutError::Unknown(reason.into()),
            false => PutError::Failed(StorageError::Failed(reason.into())),
        }));
    }
}

/// Commits `jobs` together; each one's conflict is its own.
fn commit(shared: &Shared, jobs: &[Job]) -> Result<Vec<Verdict>, Failure> {
    let before = |error| Failure { error, unknown: false };
    let database = shared.handle.get().map_err(before)?;
    room(shared.handle.free(), jobs).map_err(before)?;
    let committing = Cell::new(false);
    let outcome = guarded(|| group(&database, jobs, &committing));
    match outcome.and_then(|inner| inner) {
        Ok((verdicts, committed)) => {
            shared.commits.fetch_add(u64::from(committed), Ordering::Relaxed);
            Ok(verdicts)
        }
        // redb: a commit that failed "may already have become durable", and is found so or not when the file is opened again.
        Err(error) => Err(Failure { error, unknown: committing.get() }),
    }
}

/// Carries out `jobs` in one transaction; the flag beside the verdicts says whether there was anything to commit.
fn group(database: &Database, jobs: &[Job], committing: &Cell<bool>) -> Result<(Vec<Verdict>, bool), RedbError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let mut verdicts = Vec::with_capacity(jobs.len());
    let mut changed = false;
    {
        let mut table = transaction.open_table(RECORDS)?;
        for Job { writes, .. } in jobs {
            let verdict = judge(&table, writes)?;
            if matches!(verdict, Verdict::Written) {
                changed |= apply(&mut table, writes)?;
            }
            verdicts.push(verdict);
        }
    }
    if changed {
        committing.set(true);
        transaction.commit()?;
    } else {
        transaction.abort()?;
    }
    Ok((verdicts, changed))
}

/// Judges `writes` by what the transaction holds by now. A row that does not decode fails this list only.
fn judge(table: &Table<'_, &'static [u8], &'static [u8]>, writes: &[Write]) -> Result<Verdict, RedbError> {
    enum Trouble {
        Row(StorageError),
        Redb(RedbError),
    }
    let stored = |key: &str| -> Result<Option<Revision>, Trouble> {
        let row = table.get(key.as_bytes()).map_err(|error| Trouble::Redb(error.into()))?;
        let split = row.map(|row| record::split(key, row.value()).map(|(revision, _)| revision));
        split.transpose().map_err(Trouble::Row)
    };
    match conflict::first(writes, stored) {
        Ok(None) => Ok(Verdict::Written),
        Ok(Some(index)) => Ok(Verdict::Conflict(index)),
        Err(Trouble::Row(error)) => Ok(Verdict::Failed(error)),
        Err(Trouble::Redb(error)) => Err(error),
    }
}

/// Carries out `writes`; whether any of them changes something.
fn apply(table: &mut Table<'_, &'static [u8], &'static [u8]>, writes: &[Write]) -> Result<bool, RedbError> {
    let mut changed = false;
    for Write { key, change, .. } in writes {
        match change {
            Change::Put { value, revision } => {
                table.insert(key.as_bytes(), record::join(*revision, value).as_slice())?;
                changed = true;
            }
            Change::Delete => changed |= table.remove(key.as_bytes())?.is_some(),
            Change::Check => {}
        }
    }
    Ok(changed)
}

/// Refuses a group for which the file system may have too little room: a write that fails there makes redb refuse everything,
/// reads included, until the file is opened again; found out before, reads go on and writes do as soon as there is room.
fn room(free: Option<u64>, jobs: &[Job]) -> Result<(), RedbError> {
    const SPARE: usize = 4 << 20;
    const PER_WRITE: usize = 64 << 10;
    let bytes = jobs.iter().map(|job| 2 * job.bytes + PER_WRITE * job.writes.len()).sum::<usize>();
    let needed = u64::try_from(SPARE + bytes).unwrap_or(u64::MAX);
    match free {
        Some(free) if free < needed => Err(RedbError::DiskFull { free, needed }),
        _ => Ok(()),
    }
}
