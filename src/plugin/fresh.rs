//! Which revisions of configuration records are known without asking the host.
//!
//! Only one process writes the mount's storage, on the active node, and every write of it goes past here; on other nodes the
//! host says which key changed. So what was read or written last still stands, until one of these says otherwise. It is asked
//! for again after a while all the same: a write that was under way in a process that died may land after its successor's read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::engine::keys;
use crate::storage::Revision;

/// Above this many records everything is forgotten.
const CAPACITY: usize = 50_000;
/// How long something is known at most.
const LASTS: Duration = Duration::from_secs(30);

/// What is known.
#[derive(Default)]
pub struct Fresh {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Counts what happened, so that a read that began before it does not bring back what was.
    epoch: u64,
    known: HashMap<String, (Option<Revision>, Instant)>,
}

/// When a read began.
#[derive(Clone, Copy)]
pub struct Since(u64);

impl Fresh {
    /// The revision of `key`, if it is known: `Some(None)` is known to be absent.
    pub fn get(&self, key: &str) -> Option<Option<Revision>> {
        let state = self.state();
        let (revision, since) = state.known.get(key)?;
        (since.elapsed() < LASTS).then_some(*revision)
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
    /// These keys are about to change, have changed, or may have.
    pub fn forget<'k>(&self, keys: impl IntoIterator<Item = &'k str>) {
        let mut state = self.state();
        state.epoch += 1;
        for key in keys {
            state.known.remove(key);
        }
    }
    /// Nothing is known any more.
    pub fn forget_all(&self) {
        let mut state = self.state();
        state.epoch += 1;
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
        assert_eq!(fresh.get("roles/a"), Some(Some(old)));
        let late = fresh.begin();
        fresh.forget(["roles/a"]);
        fresh.found(late, "roles/a", Some(old));
        assert_eq!(fresh.get("roles/a"), None);
    }

    #[test]
    fn records_of_accounts_are_never_known() {
        let fresh = Fresh::default();
        for key in ["accounts/a", "tombstones/a", "claims/a", "events/a/b", "source-state/a", "config-ledger"] {
            fresh.found(fresh.begin(), key, None);
            assert_eq!(fresh.get(key), None, "{key}");
        }
        fresh.found(fresh.begin(), "config", None);
        assert_eq!(fresh.get("config"), Some(None));
    }
}
