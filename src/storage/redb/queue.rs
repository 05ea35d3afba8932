//! Writes that wait for the writer thread: bounded, because a slow disk must make callers fail and not the memory grow.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::error::RedbError;
use crate::storage::{Change, PutError, Write};

/// The most lists that wait.
const MOST_JOBS: usize = 4096;
/// The most bytes of keys and values that wait.
const MOST_BYTES: usize = 64 << 20;

/// One `put_all` and where its answer goes.
pub(super) struct Job {
    pub(super) writes: Vec<Write>,
    pub(super) answer: oneshot::Sender<Result<(), PutError>>,
    pub(super) bytes: usize,
}

impl Job {
    pub(super) fn new(writes: Vec<Write>, answer: oneshot::Sender<Result<(), PutError>>) -> Self {
        let bytes = writes.iter().map(|write| write.key.len() + value_len(&write.change)).sum();
        Job { writes, answer, bytes }
    }
    /// Answers; a caller that has gone does not matter.
    pub(super) fn answer(self, result: Result<(), PutError>) {
        drop(self.answer.send(result));
    }
}

fn value_len(change: &Change) -> usize {
    match change {
        Change::Put { value, .. } => value.len(),
        Change::Delete | Change::Check => 0,
    }
}

/// What the writer thread finds when it looks.
pub(super) enum Taken {
    /// Everything that waited.
    Jobs(Vec<Job>),
    /// Nothing came within the time given.
    Nothing,
    /// Nothing waits and nothing will come.
    Closed,
}

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds `job`, or refuses it.
    pub(super) fn push(&self, job: Job) -> Result<(), RedbError> {
        if job.bytes > MOST_BYTES {
            return Err(RedbError::TooLarge { bytes: job.bytes, most: MOST_BYTES });
        }
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(RedbError::Closed);
        }
        if waiting.jobs.len() >= MOST_JOBS || waiting.bytes + job.bytes > MOST_BYTES {
            return Err(RedbError::Busy { waiting: waiting.jobs.len() });
        }
        waiting.bytes += job.bytes;
        waiting.jobs.push(job);
        self.changed.notify_one();
        Ok(())
    }
    /// Takes all that waits as soon as there is something; waits no longer than `most`.
    pub(super) fn take(&self, most: Option<Duration>) -> Taken {
        let idle = |waiting: &mut Waiting| waiting.jobs.is_empty() && !waiting.closed;
        let mut waiting = match most {
            None => self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner),
            Some(most) => {
                self.changed.wait_timeout_while(self.lock(), most, idle).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        waiting.bytes = 0;
        match mem::take(&mut waiting.jobs) {
            jobs if !jobs.is_empty() => Taken::Jobs(jobs),
            _ if waiting.closed => Taken::Closed,
            _ => Taken::Nothing,
        }
    }
    /// Refuses further jobs; what waits is still taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
