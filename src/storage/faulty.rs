//! A layer for tests that makes any store fail, stall, lie about its answers or stop in the middle of a list of writes, and
//! that counts what it is asked.
//!
//! It is part of the library, and not of one test, because the engine's tests, the HTTP tests and the benches all lay it
//! between the program and a real store. No configuration reaches it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::Lines;
use super::snapshot::{Entry, Snapshot};
use super::{BoxFuture, Change, Found, Get, PutError, Step, Storage, StorageError, Write};

/// How often a fault happens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Times {
    /// Not at all.
    #[default]
    Never,
    /// With the next so many calls.
    Next(usize),
    /// With every call until told otherwise.
    Always,
}

/// What has happened when the answer is [`PutError::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was written and the answer got lost.
    Written,
    /// The request got lost: nothing was written.
    Lost,
}

/// What was asked so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `get_many`.
    pub get_many: usize,
    /// Calls of `put_all`.
    pub put_all: usize,
    /// Calls of `list`.
    pub list: usize,
    /// Batches of snapshots.
    pub batches: usize,
    /// Keys read.
    pub keys_read: usize,
    /// Writes asked for, checks included.
    pub writes: usize,
    /// Bytes of values that came back.
    pub bytes_read: usize,
    /// Bytes of values handed over.
    pub bytes_written: usize,
}

/// A [`Storage`] with switches over another. Without any switch thrown it passes everything on.
pub struct Faulty {
    inner: Arc<dyn Storage>,
    /// One set of switches for every view of the store.
    switches: Arc<Mutex<Switches>>,
}

#[derive(Default)]
struct Switches {
    reads: Times,
    writes: Times,
    unknown: Option<(Outcome, Times)>,
    settled: Times,
    delay: Duration,
    corrupt: HashMap<String, usize>,
    /// How many single writes are still carried out.
    left: Option<usize>,
    counts: Counts,
}

/// How a `put_all` goes on, judged when it begins.
enum Plan {
    Fail,
    Unknown(Outcome),
    OneByOne,
    Pass,
}

impl Faulty {
    /// A layer over `inner`.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Faulty { inner, switches: Arc::default() }
    }
    /// `get_many`, `list` and the batches of snapshots answer [`StorageError::Failed`].
    pub fn fail_reads(&self, times: Times) {
        self.switches().reads = times;
    }
    /// `settled` answers [`StorageError::Failed`]: what is read may be lost.
    pub fn fail_settling(&self, times: Times) {
        self.switches().settled = times;
    }
    /// `put_all` writes nothing and answers [`PutError::Failed`].
    pub fn fail_writes(&self, times: Times) {
        self.switches().writes = times;
    }
    /// `put_all` answers [`PutError::Unknown`], and `outcome` is what is true. A conflict is answered as one.
    pub fn answer_unknown(&self, outcome: Outcome, times: Times) {
        self.switches().unknown = Some((outcome, times));
    }
    /// Every call first waits so long.
    pub fn delay(&self, delay: Duration) {
        self.switches().delay = delay;
    }
    /// Whenever `key` is read, the byte at `index` of its value (the last one if the value is shorter) comes back flipped.
    pub fn corrupt(&self, key: impl Into<String>, index: usize) {
        self.switches().corrupt.insert(key.into(), index);
    }
    /// Ends [`Faulty::corrupt`] for all keys.
    pub fn heal(&self) {
        self.switches().corrupt.clear();
    }
    /// The crash: `writes` more single writes are carried out, in order and one by one as a backend without transactions does,
    /// then every call fails until [`Faulty::thaw`]. The `put_all` in which the last of them falls gets no good answer even if
    /// it was complete; it is [`PutError::Unknown`] if it wrote anything.
    pub fn freeze_after(&self, writes: usize) {
        self.switches().left = Some(writes);
    }
    /// Ends the freeze.
    pub fn thaw(&self) {
        self.switches().left = None;
    }
    /// What was asked since the layer was made or [`Faulty::reset_counts`].
    pub fn counts(&self) -> Counts {
        self.switches().counts
    }
    /// Counts from nought again.
    pub fn reset_counts(&self) {
        self.switches().counts = Counts::default();
    }
    fn switches(&self) -> MutexGuard<'_, Switches> {
        self.switches.lock().unwrap_or_else(PoisonError::into_inner)
    }
    async fn stall(&self) {
        let delay = self.switches().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
    fn before_read(&self, count: impl FnOnce(&mut Counts)) -> Result<(), StorageError> {
        let mut switches = self.switches();
        count(&mut switches.counts);
        match switches.left == Some(0) || switches.reads.strikes() {
            true => Err(fault("read")),
            false => Ok(()),
        }
    }
    fn before_settling(&self) -> Result<(), StorageError> {
        let mut switches = self.switches();
        match switches.left == Some(0) || switches.settled.strikes() {
            true => Err(fault("settling")),
            false => Ok(()),
        }
    }
    fn before_write(&self, writes: &[Write]) -> Plan {
        let mut switches = self.switches();
        switches.counts.put_all += 1;
        switches.counts.writes += writes.len();
        switches.counts.bytes_written += writes.iter().map(value_len).sum::<usize>();
        if switches.left == Some(0) || switches.writes.strikes() {
            return Plan::Fail;
        }
        if let Some((outcome, times)) = &mut switches.unknown
            && times.strikes()
        {
            return Plan::Unknown(*outcome);
        }
        if switches.left.is_some() { Plan::OneByOne } else { Plan::Pass }
    }
    /// Whether one more write may be carried out.
    fn one_more(&self) -> bool {
        match &mut self.switches().left {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }
    async fn one_by_one(&self, writes: Vec<Write>) -> Result<(), PutError> {
        for (index, write) in writes.into_iter().enumerate() {
            match self.one_more() {
                true => self.inner.put_all(vec![write]).await.map_err(|error| match error {
                    PutError::Conflict { .. } => PutError::Conflict { index },
                    other => other,
                })?,
                false if index == 0 => return Err(PutError::Failed(fault("write"))),
                false => return Err(PutError::Unknown("the store stopped in the middle (test)".into())),
            }
        }
        match self.switches().left {
            Some(0) => Err(PutError::Unknown("the store stopped before it could answer (test)".into())),
            _ => Ok(()),
        }
    }
    fn after_read(&self, keys: &[String], found: &mut [Found]) {
        let mut switches = self.switches();
        for (key, found) in keys.iter().zip(found) {
            if let Found::Value(value, _) = found {
                switches.read(key, value);
            }
        }
    }
}

impl Times {
    fn strikes(&mut self) -> bool {
        match self {
            Times::Never | Times::Next(0) => false,
            Times::Next(left) => {
                *left -= 1;
                true
            }
            Times::Always => true,
        }
    }
}

fn fault(what: &str) -> StorageError {
    StorageError::Failed(format!("the {what} was made to fail (test)").into())
}

fn value_len(write: &Write) -> usize {
    match &write.change {
        Change::Put { value, .. } => value.len(),
        Change::Delete | Change::Check => 0,
    }
}

impl Storage for Faulty {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move {
            self.stall().await;
            self.before_read(|counts| {
                counts.get_many += 1;
                counts.keys_read += gets.len();
            })?;
            let keys: Vec<String> = gets.iter().map(|get| get.key.clone()).collect();
            let mut found = self.inner.get_many(gets).await?;
            self.after_read(&keys, &mut found);
            Ok(found)
        })
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            self.stall().await;
            match self.before_write(&writes) {
                Plan::Fail => Err(PutError::Failed(fault("write"))),
                Plan::Unknown(Outcome::Lost) => Err(lost()),
                Plan::Unknown(Outcome::Written) => {
                    self.inner.put_all(writes).await?;
                    Err(unanswered())
                }
                Plan::OneByOne => self.one_by_one(writes).await,
                Plan::Pass => self.inner.put_all(writes).await,
            }
        })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        let inner = self.inner.clone().step();
        Box::new(FaultyStep { layer: self, inner })
    }
    fn commits_together(&self) -> bool {
        self.inner.commits_together()
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(async move {
            self.stall().await;
            self.before_read(|counts| counts.list += 1)?;
            self.inner.list(prefix, after, limit).await
        })
    }
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StorageError>> {
        Box::pin(async move {
            let inner = Arc::clone(&self.inner).snapshot().await?;
            Ok(Box::new(FaultySnapshot { layer: self, inner }) as Box<dyn Snapshot>)
        })
    }
    fn settled(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            self.stall().await;
            self.before_settling()?;
            self.inner.settled().await
        })
    }
    fn lines(&self) -> Option<&Lines> {
        self.inner.lines()
    }
    fn unchecked(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        let inner = Arc::clone(&self.inner).unchecked()?;
        Some(Arc::new(Faulty { inner, switches: Arc::clone(&self.switches) }))
    }
}

/// A snapshot under the same switches.
struct FaultySnapshot {
    layer: Arc<Faulty>,
    inner: Box<dyn Snapshot>,
}

impl Snapshot for FaultySnapshot {
    fn total(&self) -> Option<u64> {
        self.inner.total()
    }
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Entry>, StorageError>> {
        Box::pin(async move {
            self.layer.stall().await;
            self.layer.before_read(|counts| counts.batches += 1)?;
            let mut entries = self.inner.next(limit).await?;
            let mut switches = self.layer.switches();
            for Entry { key, value, .. } in &mut entries {
                switches.read(key, value);
            }
            Ok(entries)
        })
    }
}

impl Switches {
    /// Counts a value that was read, and flips a byte of it where that was asked for.
    fn read(&mut self, key: &str, value: &mut [u8]) {
        self.counts.bytes_read += value.len();
        if let (Some(index), Some(last)) = (self.corrupt.get(key), value.len().checked_sub(1)) {
            value[(*index).min(last)] ^= 0x01;
        }
    }
}

/// A step under the same switches.
struct FaultyStep {
    layer: Arc<Faulty>,
    inner: Box<dyn Step>,
}

impl Step for FaultyStep {
    fn get_many(&mut self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move {
            self.layer.stall().await;
            self.layer.before_read(|counts| {
                counts.get_many += 1;
                counts.keys_read += gets.len();
            })?;
            let keys: Vec<String> = gets.iter().map(|get| get.key.clone()).collect();
            let mut found = self.inner.get_many(gets).await?;
            self.layer.after_read(&keys, &mut found);
            Ok(found)
        })
    }
    fn put_all(self: Box<Self>, writes: Vec<Write>) -> BoxFuture<'static, Result<(), PutError>> {
        Box::pin(async move {
            self.layer.stall().await;
            match self.layer.before_write(&writes) {
                Plan::Fail => Err(PutError::Failed(fault("write"))),
                Plan::Unknown(Outcome::Lost) => Err(lost()),
                Plan::Unknown(Outcome::Written) => {
                    self.inner.put_all(writes).await?;
                    Err(unanswered())
                }
                Plan::OneByOne => self.layer.one_by_one(writes).await,
                Plan::Pass => self.inner.put_all(writes).await,
            }
        })
    }
}

fn lost() -> PutError {
    PutError::Unknown("the request was made to get lost (test)".into())
}

fn unanswered() -> PutError {
    PutError::Unknown("the answer was made to get lost (test)".into())
}
