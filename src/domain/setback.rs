//! What is remembered of an account whose record came back older than acts that were acknowledged: a store put back to an earlier
//! state, and accepted by an operator.

use minicbor::{Decode, Encode};

use crate::domain::account::Account;
use crate::domain::refusal::Refusal;
use crate::domain::set::Set;
use crate::domain::time::Timestamp;

/// An account that went back.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Setback {
    /// When that was found and accepted.
    #[n(0)]
    pub at: Timestamp,
    /// The last ledger entry that the store still had.
    #[n(1)]
    pub seq: u64,
    /// The last ledger entry that was acknowledged, as far as is known.
    #[n(2)]
    pub known_seq: u64,
    /// The generation whose set is held until somebody releases it.
    #[n(3)]
    pub held: Option<u32>,
    /// What the operator said who accepted it.
    #[n(4)]
    pub reason: String,
}

impl Setback {
    /// Whether an act that was acknowledged at `at` as entry `seq` is one of those that are known to be lost.
    pub fn explains(&self, seq: u64, at: Timestamp) -> bool {
        seq > self.seq && at <= self.at
    }
}

impl Account {
    /// Notes that acts up to ledger entry `known_seq` were lost where the ledger now ends at `seq`; the live set is held until it
    /// is released. `generation` is the highest that any of those acts named: none up to it is given to another set.
    pub fn set_back(
        &mut self,
        (seq, known_seq): (u64, u64),
        generation: Option<u32>,
        reason: &str,
        now: Timestamp,
    ) -> Option<u32> {
        let held = self.live().map(|set| set.generation);
        self.generation = self.generation.max(generation.unwrap_or(0));
        // What an earlier acceptance explains stays explained.
        let (seq, known_seq) = match &self.setback {
            Some(before) => (before.seq.min(seq), before.known_seq.max(known_seq)),
            None => (seq, known_seq),
        };
        self.setback = Some(Setback { at: now, seq, known_seq, held, reason: reason.to_owned() });
        held
    }

    /// Why `set` is held, if it is.
    pub fn holds(&self, set: &Set) -> Option<&Setback> {
        self.setback.as_ref().filter(|setback| setback.held == Some(set.generation))
    }

    /// The refusal for a set that is quarantined.
    pub(super) fn blocks(&self, set: &Set) -> Refusal {
        match self.holds(set) {
            Some(setback) => Refusal::Held(set.generation, setback.at, setback.reason.clone()),
            None => Refusal::Quarantined(set.generation),
        }
    }

    /// Lets a held set go, whatever enrollments say of it; answers whether it was held.
    pub fn let_go(&mut self, generation: u32) -> bool {
        match &mut self.setback {
            Some(setback) if setback.held == Some(generation) => {
                setback.held = None;
                true
            }
            _ => false,
        }
    }
}
