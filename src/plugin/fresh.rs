//! Which revisions of configuration records are known without asking the host, and how it is found out that one is not.
//!
//! Every write of a configuration record also writes a *stamp*, a small record that nothing else touches. What was read is known
//! under the stamp that stood then: while it stands, no configuration has changed, whoever wrote it, on whatever node. An act
//! reads the stamp in its own transaction ([`Fresh::confirm`]), so that nothing it takes from memory is older than itself. What
//! only shows something takes what is known for a short while, which the host cuts shorter on the nodes that only read by saying
//! which key changed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::keys;
use crate::storage::{Change, Revision, Write};

/// Key of the stamp: its revision is what changes.
pub const STAMP: &str = "configuration-stamp";
/// Above this many records everything is forgotten.
const CAPACITY: usize = 50_000;
/// How long something is known at most without a look at the stamp.
const LASTS: Duration = Duration::from_secs(30);

/// Whether these writes change the configuration.
pub fn concerns(writes: &[Write]) -> bool {
    writes.iter().any(|write| write.change != Change::Check && keys::is_configuration(&write.key))
}

/// The stamp as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// No configuration was ever written with one.
    Never,
    /// Since this the configuration has stood still.
    Settled(Revision),
    /// On a host without transactions: the configuration is being changed, or a change of it stopped in the middle.
    Changing,
}

impl Stamp {
    const SETTLED: &[u8] = &[0];
    const CHANGING: &[u8] = &[1];

    /// From the entry under [`STAMP`].
    pub fn read(entry: Option<(Vec<u8>, Revision)>) -> Self {
        match entry {
            None => Stamp::Never,
            Some((value, revision)) if value == Self::SETTLED => Stamp::Settled(revision),
            Some(_) => Stamp::Changing,
        }
    }
    /// The value that says so.
    pub const fn value(settled: bool) -> &'static [u8] {
        if settled { Self::SETTLED } else { Self::CHANGING }
    }
}

/// What is known.
#[derive(Default)]
pub struct Fresh {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts what happened, so that a read that began before it does not bring back what was.
    epoch: u64,
    /// What everything is known under.
    stamp: Option<Stamp>,
    known: HashMap<String, (Option<Revision>, Instant)>,
}

/// When a read began.
#[derive(Clone, Copy)]
pub struct Since(u64);

impl Fresh {
    /// The revision of `key`, if it was known a short while ago: `Some(None)` is known to be absent.
    pub fn lately(&self, key: &str) -> Option<Option<Revision>> {
        let state = self.state();
        let (revision, since) = state.known.get(key)?;
        (since.elapsed() < LASTS).then_some(*revision)
    }
    /// The revision of `key`, if it is known under `stamp`, which was read just now.
    pub fn under(&self, stamp: Stamp, key: &str) -> Option<Option<Revision>> {
        let state = self.state();
        (state.stamp == Some(stamp)).then(|| state.known.get(key).map(|(revision, _)| *revision)).flatten()
    }
    /// The stamp that stands now. If it is another than before, nothing is known any more; while it is being changed nothing is
    /// known at all. Whether it is the one from before.
    pub fn confirm(&self, stamp: Stamp) -> bool {
        let mut state = self.state();
        if state.stamp == Some(stamp) && stamp != Stamp::Changing {
            return true;
        }
        state.epoch += 1;
        state.known.clear();
        state.stamp = (stamp != Stamp::Changing).then_some(stamp);
        false
    }
    /// A read begins.
    pub fn begin(&self) -> Since {
        Since(self.state().epoch)
    }
    /// A read that began then found this.
    pub fn found(&self, since: Since, key: &str, revision: Option<Revision>) {
        if !keys::is_configuration(key) {
            return;
        }
        let mut state = self.state();
        if state.epoch != since.0 {
            return;
        }
        if state.known.len() >= CAPACITY {
            state.known.clear();
        }
        state.known.insert(key.to_owned(), (revision, Instant::now()));
    }
    /// This key has changed, or may have.
    pub fn forget(&self, key: &str) {
        let mut state = self.state();
        state.epoch += 1;
        state.known.remove(key);
    }
    /// Nothing is known any more.
    pub fn forget_all(&self) {
        let mut state = self.state();
        state.epoch += 1;
        state.stamp = None;
        state.known.clear();
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_began_before_a_change_brings_nothing_back() {
        let fresh = Fresh::default();
        let old = Revision([1; 16]);
        let since = fresh.begin();
        fresh.found(since, "roles/a", Some(old));
        assert_eq!(fresh.lately("roles/a"), Some(Some(old)));
        let late = fresh.begin();
        fresh.forget("roles/a");
        fresh.found(late, "roles/a", Some(old));
        assert_eq!(fresh.lately("roles/a"), None);
    }

    #[test]
    fn another_stamp_ends_what_was_known_and_a_changing_one_lets_nothing_be_known() {
        let fresh = Fresh::default();
        let (one, two) = (Stamp::Settled(Revision([1; 16])), Stamp::Settled(Revision([2; 16])));
        assert!(!fresh.confirm(one));
        fresh.found(fresh.begin(), "roles/a", None);
        assert!(fresh.confirm(one));
        assert_eq!((fresh.under(one, "roles/a"), fresh.under(two, "roles/a")), (Some(None), None));
        let late = fresh.begin();
        assert!(!fresh.confirm(two));
        fresh.found(late, "roles/a", None);
        assert_eq!((fresh.under(one, "roles/a"), fresh.under(two, "roles/a")), (None, None));
        for _ in 0..2 {
            assert!(!fresh.confirm(Stamp::Changing));
            fresh.found(fresh.begin(), "roles/a", None);
            assert_eq!(fresh.under(Stamp::Changing, "roles/a"), None);
        }
    }

    #[test]
    fn records_of_accounts_are_never_known() {
        let fresh = Fresh::default();
        for key in ["accounts/a", "tombstones/a", "claims/a", "events/a/b", "source-state/a", "config-ledger", STAMP] {
            fresh.found(fresh.begin(), key, None);
            assert_eq!(fresh.lately(key), None, "{key}");
        }
        fresh.found(fresh.begin(), "config", None);
        assert_eq!(fresh.lately("config"), Some(None));
    }
}
