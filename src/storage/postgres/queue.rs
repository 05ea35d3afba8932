//! Acts that wait for the database, and which of them may travel together.
//!
//! As many groups as there are places are on their way at a time; an act that finds a place free goes at once and alone, so that
//! nobody waits for company. A key that a group on its way changes is left alone by the others of this node: acts on one
//! account follow each other here and not in the database's lock table.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::act::{Act, Row};
use super::error::PostgresError;
use crate::storage::PutError;

/// The most acts that wait.
const MOST_WAITING: usize = 4096;
/// The most bytes that wait.
const MOST_BYTES: usize = 64 << 20;
/// The most acts and bytes of one group: a group is as slow as its slowest row.
const GROUP_ACTS: usize = 64;
const GROUP_BYTES: usize = 1 << 20;

/// An act and where its answer goes.
pub(super) struct Job {
    pub(super) act: Act,
    pub(super) answer: oneshot::Sender<Result<(), PutError>>,
    /// When the caller is told that it did not happen.
    pub(super) until: Instant,
    /// Whether the line of the server does not matter.
    pub(super) unchecked: bool,
}

impl Job {
    /// Answers; a caller that has gone does not matter.
    pub(super) fn answer(self, result: Result<(), PutError>) {
        drop(self.answer.send(result));
    }
}

/// Acts that go in one statement.
pub(super) struct Group {
    pub(super) jobs: Vec<Job>,
    /// The keys that the queue keeps for it.
    held: Vec<String>,
}

pub(super) struct Queue {
    places: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    bytes: usize,
    under_way: usize,
    held: HashSet<String>,
}

/// Whether the caller has to send what waits.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// A place was free and is the caller's now.
    Go,
    /// Somebody who is under way will take it along.
    Wait,
}

impl Queue {
    pub(super) fn new(places: usize) -> Self {
        Queue { places, state: Mutex::default() }
    }
    /// Adds `job`, or refuses it.
    pub(super) fn push(&self, job: Job) -> Result<Pushed, PostgresError> {
        if job.act.bytes > MOST_BYTES {
            return Err(PostgresError::TooLarge { bytes: job.act.bytes, most: MOST_BYTES });
        }
        let mut state = self.state();
        if state.waiting.len() >= MOST_WAITING || state.bytes + job.act.bytes > MOST_BYTES {
            return Err(PostgresError::Waiting(state.waiting.len()));
        }
        state.bytes += job.act.bytes;
        state.waiting.push_back(job);
        if state.under_way >= self.places {
            return Ok(Pushed::Wait);
        }
        state.under_way += 1;
        Ok(Pushed::Go)
    }
    /// The next group for a place that the caller has. `None` gives the place back.
    pub(super) fn next(&self) -> Option<Group> {
        let mut state = self.state();
        let group = state.gather();
        if group.is_none() {
            state.under_way -= 1;
        }
        group
    }
    /// Lets others at the keys of a group that has ended.
    pub(super) fn release(&self, held: &Held) {
        let mut state = self.state();
        for key in &held.0 {
            state.held.remove(key);
        }
    }
    fn state(&self) -> MutexGuard<'_, State> {
        // Every step leaves a whole state behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of a group on its way.
pub(super) struct Held(Vec<String>);

impl Group {
    /// The jobs, and what is to be released when they are done.
    pub(super) fn into_parts(self) -> (Vec<Job>, Held) {
        (self.jobs, Held(self.held))
    }
}

impl State {
    fn gather(&mut self) -> Option<Group> {
        let mut group = Group { jobs: Vec::new(), held: Vec::new() };
        let mut checked: HashSet<String> = HashSet::new();
        let (mut bytes, mut index) = (0, 0);
        while let Some(job) = self.waiting.get(index) {
            let act = &job.act;
            let alone = act.stands_alone() || act.only_asks();
            let taken = |row: &Row| self.held.contains(&row.key) || (row.changes() && checked.contains(&row.key));
            let free = !act.rows.iter().any(taken);
            let fits =
                group.jobs.is_empty() || (!alone && group.jobs.len() < GROUP_ACTS && bytes + act.bytes <= GROUP_BYTES);
            if !free || !fits {
                index += 1;
                continue;
            }
            let Some(job) = self.waiting.remove(index) else { break };
            self.bytes -= job.act.bytes;
            bytes += job.act.bytes;
            for row in &job.act.rows {
                if row.changes() {
                    self.held.insert(row.key.clone());
                    group.held.push(row.key.clone());
                } else {
                    checked.insert(row.key.clone());
                }
            }
            group.jobs.push(job);
            if alone || group.jobs.len() == GROUP_ACTS {
                break;
            }
        }
        (!group.jobs.is_empty()).then_some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Change, Expect, Revision, Write};

    fn write(key: &str, change: Change) -> Write {
        Write { key: key.into(), expect: Expect::At(Revision([1; 16])), change }
    }
    fn put(key: &str) -> Write {
        write(key, Change::Put { value: vec![0], revision: Revision([2; 16]) })
    }
    fn push(queue: &Queue, writes: Vec<Write>) -> Pushed {
        let (answer, _) = oneshot::channel();
        queue.push(Job { act: Act::new(writes), answer, until: Instant::now(), unchecked: false }).unwrap()
    }
    fn keys(group: &Group) -> Vec<&str> {
        group.jobs.iter().map(|job| job.act.rows[0].key.as_str()).collect()
    }

    #[tokio::test]
    async fn acts_on_other_keys_travel_together_and_those_on_one_key_in_turn() {
        let queue = Queue::new(2);
        assert_eq!(push(&queue, vec![put("a")]), Pushed::Go);
        let first = queue.next().unwrap();
        for key in ["a", "b", "c", "a"] {
            push(&queue, vec![put(key)]);
        }
        assert_eq!(push(&queue, vec![put("d")]), Pushed::Wait, "two places");
        let second = queue.next().unwrap();
        assert_eq!(keys(&second), ["b", "c", "d"]);
        assert!(queue.next().is_none());
        let (_, held) = first.into_parts();
        queue.release(&held);
        assert_eq!(push(&queue, vec![put("e")]), Pushed::Go, "the place that was given back");
        let third = queue.next().unwrap();
        assert_eq!(keys(&third), ["a", "e"]);
    }

    #[tokio::test]
    async fn many_may_check_a_key_and_none_of_them_travels_with_its_change() {
        let queue = Queue::new(1);
        push(&queue, vec![put("a"), write("keyring", Change::Check)]);
        push(&queue, vec![put("b"), write("keyring", Change::Check)]);
        push(&queue, vec![put("keyring")]);
        push(&queue, vec![put("c"), write("keyring", Change::Check)]);
        assert_eq!(keys(&queue.next().unwrap()), ["a", "b", "c"]);
        assert_eq!(keys(&queue.next().unwrap()), ["keyring"]);
    }

    #[tokio::test]
    async fn an_act_that_removes_something_goes_alone() {
        let queue = Queue::new(1);
        for (key, change) in [("a", Change::Delete), ("b", Change::Delete)] {
            push(&queue, vec![write(key, change)]);
        }
        push(&queue, vec![put("c")]);
        assert_eq!(keys(&queue.next().unwrap()), ["a"]);
        assert_eq!(keys(&queue.next().unwrap()), ["b"]);
        assert_eq!(keys(&queue.next().unwrap()), ["c"]);
    }

    #[tokio::test]
    async fn a_group_is_bounded() {
        let queue = Queue::new(1);
        for n in 0..100 {
            push(&queue, vec![put(&n.to_string())]);
        }
        assert_eq!(queue.next().unwrap().jobs.len(), GROUP_ACTS);
        assert_eq!(queue.next().unwrap().jobs.len(), 100 - GROUP_ACTS);
    }
}
