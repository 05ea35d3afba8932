//! A lock for each key: writers of one record go one after the other, so that on hosts with transactions these seldom fail, and
//! on hosts without them nothing comes between look and write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::storage::{Expect, Revision};

/// Above this many keys, those that nobody holds are forgotten.
const SWEEP: usize = 4096;

/// Keys that are held until this is dropped.
pub type Held = Vec<OwnedMutexGuard<()>>;

/// What this process left of records: it saves a rival that read before it a commit in vain, and decides nothing.
#[derive(Default)]
pub struct Latest(Mutex<Left>);

#[derive(Default)]
struct Left {
    /// Counts the writes.
    count: u64,
    by_key: HashMap<String, (Option<Revision>, u64)>,
}

impl Latest {
    /// How many writes there were so far.
    pub fn count(&self) -> u64 {
        self.left_so_far().count
    }
    /// `key` is now at `revision`, or gone.
    pub fn left(&self, key: &str, revision: Option<Revision>) {
        let mut left = self.left_so_far();
        if left.by_key.len() >= SWEEP {
            left.by_key.clear();
        }
        left.count += 1;
        let count = left.count;
        left.by_key.insert(key.to_owned(), (revision, count));
    }
    /// Whether after so many writes something else was left than is expected.
    pub fn contradicts(&self, key: &str, expect: Expect, after: u64) -> bool {
        self.left_so_far().by_key.get(key).is_some_and(|(left, count)| *count > after && !expect.holds(*left))
    }
    fn left_so_far(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The locks of a mount.
#[derive(Default)]
pub struct Locks {
    turns: Mutex<HashMap<String, Weak<Turn<()>>>>,
}

impl Locks {
    /// All of these keys at once, taken in order, so that two callers never wait for each other.
    pub async fn take<'k>(&self, keys: impl IntoIterator<Item = &'k str>) -> Held {
        let mut keys: Vec<&str> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        let turns: Vec<Arc<Turn<()>>> = keys.into_iter().map(|key| self.turn(key)).collect();
        let mut held = Vec::with_capacity(turns.len());
        for turn in turns {
            held.push(turn.lock_owned().await);
        }
        held
    }
    fn turn(&self, key: &str) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(key).and_then(Weak::upgrade) {
            return turn;
        }
        if turns.len() >= SWEEP {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(Turn::default());
        turns.insert(key.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_that_want_the_same_keys_in_another_order_take_turns() {
        let locks = Arc::new(Locks::default());
        let first = locks.take(["a", "b", "a"]).await;
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { locks.take(["b", "a"]).await.len() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(locks.take(["c"]).await);
        drop(first);
        assert_eq!(waiting.await.unwrap(), 2);
    }

    #[tokio::test]
    async fn keys_that_nobody_holds_are_forgotten() {
        let locks = Locks::default();
        let held = locks.take(["held"]).await;
        for number in 0..2 * SWEEP {
            drop(locks.take([number.to_string().as_str()]).await);
        }
        assert!(locks.turns.lock().unwrap().len() <= SWEEP);
        assert!(locks.turns.lock().unwrap()["held"].upgrade().is_some());
        drop(held);
    }

    #[test]
    fn only_what_was_left_since_contradicts() {
        let latest = Latest::default();
        let (old, new) = (Revision([1; 16]), Revision([2; 16]));
        let before = latest.count();
        latest.left("a", Some(new));
        assert!(latest.contradicts("a", Expect::At(old), before));
        assert!(latest.contradicts("a", Expect::Absent, before));
        assert!(!latest.contradicts("a", Expect::At(new), before));
        // Whoever read afterwards and found something else found the work of another process.
        assert!(!latest.contradicts("a", Expect::At(old), latest.count()));
        assert!(!latest.contradicts("b", Expect::At(old), before));
    }
}
