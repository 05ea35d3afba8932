//! What a source has sent so far: counters, and subjects that no account was found for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use minicbor::{Decode, Encode};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::engine::cache::storage_failed;
use crate::engine::enroll::Seen;
use crate::engine::{keys, record};
use crate::error::{Error, Result};
use crate::random::Random;
use crate::storage::{Expect, Found, Get, PutError, Storage, Write};

/// Most unmapped subjects that are listed; the oldest make room.
const UNMAPPED_KEPT: usize = 100;
/// The fields that a read of a source adds to its configuration.
pub const SHOWN: [&str; 5] = ["counters", "last_event", "last_verification", "stream_status", "unmapped"];
/// How often a counter is tried again when others count at the same time.
const TRIES: usize = 64;
/// How long what nobody waits for is gathered before it is counted.
const SOON: Duration = Duration::from_millis(200);

/// One thing to count.
pub enum Tally {
    /// An enrollment was applied.
    Applied(Timestamp),
    /// A token was refused after its signature had been verified.
    Refused,
    /// An event of a kind that changes nothing here.
    Ignored,
    /// A verification event: the stream is alive.
    Verified(Timestamp),
    /// The transmitter changed the stream's state.
    Stream(String),
}

/// The states of all sources, and what is still to be counted in them.
pub struct States {
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
}

struct Queue {
    /// Who has it writes; one at a time, in the order in which they came.
    turn: Semaphore,
    waiting: Mutex<Vec<Tally>>,
    /// Whether somebody will write what waits, though nobody waits for it.
    soon: AtomicBool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Vec<Tally>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tallies that are being written; those of others wait again if whoever writes them goes away meanwhile.
struct Taken<'a> {
    tallies: Vec<Tally>,
    queue: &'a Queue,
}

impl Taken<'_> {
    fn settled(mut self) {
        self.tallies.clear();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.queue.waiting().append(&mut self.tallies);
    }
}

/// The state of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct SourceState {
    #[n(0)]
    applied: u64,
    #[n(1)]
    refused: u64,
    #[n(2)]
    ignored: u64,
    #[n(3)]
    unmapped: u64,
    #[n(4)]
    last_event: Option<Timestamp>,
    #[n(5)]
    last_verification: Option<Timestamp>,
    #[n(6)]
    stream: Option<String>,
    #[n(7)]
    unmapped_subjects: Vec<Unmapped>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Unmapped {
    #[n(0)]
    at: Timestamp,
    #[n(1)]
    subjects: Vec<String>,
}

impl SourceState {
    /// What a read of the source adds to its configuration.
    pub fn wire(&self) -> Map<String, Value> {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let listed: Vec<Value> = self
            .unmapped_subjects
            .iter()
            .map(|one| json!({"at": one.at.to_string(), "subjects": one.subjects}))
            .collect();
        let mut map = Map::new();
        map.insert(
            "counters".to_owned(),
            json!({"applied": self.applied, "refused": self.refused, "ignored": self.ignored, "unmapped": self.unmapped}),
        );
        map.insert("last_event".to_owned(), json!(time(self.last_event)));
        map.insert("last_verification".to_owned(), json!(time(self.last_verification)));
        map.insert("stream_status".to_owned(), json!(self.stream));
        map.insert("unmapped".to_owned(), Value::Array(listed));
        map
    }
    fn count(&mut self, tally: &Tally) {
        match tally {
            Tally::Applied(at) => {
                self.applied += 1;
                self.last_event = Some(*at);
            }
            Tally::Refused => self.refused += 1,
            Tally::Ignored => self.ignored += 1,
            Tally::Verified(at) => self.last_verification = Some(*at),
            Tally::Stream(status) => self.stream = Some(status.clone()),
        }
    }
}

impl States {
    /// The states in `storage`.
    pub fn new(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        States { storage, clock, random, queues: Mutex::default() }
    }
    /// Reads a source's state. What waits to be counted in it is written first.
    pub async fn read(&self, source: &str) -> Result<SourceState> {
        let queue = self.queue(source);
        self.write(source, &queue).await;
        let key = keys::source_state(source);
        match self.storage.get_many(vec![Get::new(&key)]).await.map_err(storage_failed)?.into_iter().next() {
            Some(Found::Value(bytes, _)) => record::decode(&key, &bytes),
            _ => Ok(SourceState::default()),
        }
    }
    /// Counts, together with all that wait to be counted at this source, and comes back when that is written. A counter that cannot be
    /// written is logged.
    pub async fn count(&self, source: &str, tally: Tally) {
        let queue = self.queue(source);
        queue.waiting().push(tally);
        self.write(source, &queue).await;
    }
    /// Counts within a fifth of a second, together with all that come until then: what an event does is durable elsewhere, and one
    /// record that each of them writes would be the one that all of them queue for. A crash forgets what was not counted yet.
    pub fn count_soon(self: &Arc<Self>, source: &str, tally: Tally) {
        let queue = self.queue(source);
        queue.waiting().push(tally);
        if queue.soon.swap(true, Ordering::AcqRel) {
            return;
        }
        // Weak: what nobody else holds any more must be closed and not wait for this.
        let (states, source) = (Arc::downgrade(self), source.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            // Before what waits is taken: who comes later sees to it that this is done again.
            queue.soon.store(false, Ordering::Release);
            if let Some(states) = states.upgrade() {
                states.write(&source, &queue).await;
            }
        });
    }
    /// Writes all that waits to be counted: before the store is closed.
    pub async fn settle(&self) {
        let queues: Vec<(String, Arc<Queue>)> =
            self.queues().iter().map(|(name, queue)| (name.clone(), Arc::clone(queue))).collect();
        for (source, queue) in queues {
            self.write(&source, &queue).await;
        }
    }
    /// Lists subjects that no account was found for, once for each event, before the event is acknowledged.
    pub async fn note_unmapped(&self, source: &str, event: &str, subjects: Vec<String>) -> Result<()> {
        tracing::warn!(source, "an enrollment event names nobody we have an account for; see sources/{source}");
        let at = self.clock.now();
        self.change(source, Some(event), |state| {
            state.unmapped += 1;
            state.last_event = Some(at);
            state.unmapped_subjects.push(Unmapped { at, subjects: subjects.clone() });
            let over = state.unmapped_subjects.len().saturating_sub(UNMAPPED_KEPT);
            state.unmapped_subjects.drain(..over);
        })
        .await
    }

    /// Sources are configured by operators, so there are never many.
    fn queue(&self, source: &str) -> Arc<Queue> {
        let new = || Queue { turn: Semaphore::new(1), waiting: Mutex::default(), soon: AtomicBool::new(false) };
        let mut queues = self.queues();
        match queues.get(source) {
            Some(queue) => Arc::clone(queue),
            None => Arc::clone(queues.entry(source.to_owned()).or_insert_with(|| Arc::new(new()))),
        }
    }
    fn queues(&self) -> MutexGuard<'_, HashMap<String, Arc<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
    async fn write(&self, source: &str, queue: &Queue) {
        let Ok(_turn) = queue.turn.acquire().await else { return };
        let taken = Taken { tallies: std::mem::take(&mut *queue.waiting()), queue };
        // Somebody who had a turn before has counted them.
        if taken.tallies.is_empty() {
            return;
        }
        let count = |state: &mut SourceState| taken.tallies.iter().for_each(|tally| state.count(tally));
        if let Err(error) = self.change(source, None, count).await {
            tracing::warn!(source, ?error, events = taken.tallies.len(), "could not count");
        }
        taken.settled();
    }
    /// Changes the state; with `event`, only if that event was not seen before.
    async fn change(&self, source: &str, event: Option<&str>, change: impl Fn(&mut SourceState)) -> Result<()> {
        let key = keys::source_state(source);
        for _ in 0..TRIES {
            let found = self.storage.get_many(vec![Get::new(&key)]).await.map_err(storage_failed)?;
            let (mut state, expect) = match found.into_iter().next() {
                Some(Found::Value(bytes, revision)) => (record::decode(&key, &bytes)?, Expect::At(revision)),
                _ => (SourceState::default(), Expect::Absent),
            };
            change(&mut state);
            let mut writes = Vec::new();
            if let Some(event) = event {
                let seen = Seen { at: self.clock.now(), todo: Vec::new() };
                writes.push(Write::create(event, record::encode(&seen), &*self.random));
            }
            writes.push(Write::put(&key, expect, record::encode(&state), &*self.random));
            match self.storage.put_all(writes).await {
                Ok(()) => return Ok(()),
                Err(PutError::Conflict { index: 0 }) if event.is_some() => {
                    return self.storage.settled().await.map_err(storage_failed);
                }
                Err(PutError::Conflict { .. }) => {}
                Err(PutError::Unknown(source)) => return Err(Error::internal(source)),
                Err(PutError::Failed(error)) => return Err(storage_failed(error)),
            }
        }
        Err(Error::unavailable("too many events at once; send it again"))
    }
}
