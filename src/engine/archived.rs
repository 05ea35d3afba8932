//! Ended sets that left their account's record. They can still be spoken of.

use std::time::Duration;

use crate::domain::refusal::Refusal;
use crate::domain::set::Set;
use crate::engine::attempt::Attempt;
use crate::engine::{keys, record};
use crate::error::{Error, Kind, Result};
use crate::storage::{Expect, Revision, Write};

/// For how long at least a request that comes again is known by its `idempotency_key`, though its set has left the record.
const REPEATS_KNOWN: Duration = Duration::from_secs(24 * 60 * 60);
/// Sets made within that time that are looked at; whoever makes more must do without.
const MOST_LOOKED_AT: usize = 256;
/// How many of them the first look is for; each further one is for four times as many.
const FIRST_LOOK: u32 = 16;

impl Attempt<'_> {
    /// The archived set of this generation and its revision.
    pub fn archived(&mut self, generation: u32) -> Result<Option<(Revision, Set)>> {
        let key = keys::archived_set(&self.record.account.id, generation);
        let found = self.record_at(&key)?;
        found.map(|(revision, bytes)| Ok((revision, record::decode(&key, &bytes)?))).transpose()
    }
    /// Changes the set of this generation, in the record or in the archive. The archive is written after the record: should a
    /// crash come between, the same act does it again.
    pub fn change_set(&mut self, generation: u32, change: impl FnOnce(Set) -> Result<Set, Refusal>) -> Result<()> {
        if self.record.account.set(generation).is_some() {
            return Ok(self.record.account.change_set(generation, change)?);
        }
        let Some((revision, set)) = self.archived(generation)? else {
            return Err(Refusal::NoGeneration(generation.into()).into());
        };
        let key = keys::archived_set(&self.record.account.id, generation);
        let bytes = record::encode(&change(set)?);
        self.after.push(Write::put(key, Expect::At(revision), bytes, self.random));
        Ok(())
    }

    /// Sets that left the record so lately that a request which comes again may mean them, newest first. Where the oldest set of
    /// the record was there a day ago already, what it replaced had ended by then: nothing is read.
    ///
    /// # Errors
    /// 429 where there are too many: what cannot be told must not pass for new.
    pub fn lately_archived(&mut self) -> Result<Vec<Set>> {
        let Some(oldest) = self.record.account.sets.first() else { return Ok(Vec::new()) };
        let (above, mut replaced_at) = (oldest.generation, oldest.stored_at);
        let long_ago = self.now.minus(REPEATS_KNOWN);
        let mut sets = Vec::new();
        for generation in (1..above).rev() {
            if replaced_at <= long_ago {
                break;
            }
            if sets.len() >= MOST_LOOKED_AT {
                let what = "idempotency_key: so many sets of this account were made today that it cannot be told whether this \
                            request was carried out before; see the account's history, and make a new request without the key";
                return Err(Error::new(Kind::TooMany, what).with_retry_after(REPEATS_KNOWN));
            }
            // Those that leave with this write are not in the archive yet.
            let leaving = self.archived.iter().find(|set| set.generation == generation).cloned();
            let Some(set) = (match leaving {
                Some(set) => Some(set),
                None => {
                    let more = FIRST_LOOK.max(3 * (above - generation));
                    let id = *self.record.account.id;
                    let next = (generation.saturating_sub(more) + 1..=generation).rev();
                    let found = self.first_of(next.map(|generation| keys::archived_set(&id, generation)))?;
                    found.map(|(key, bytes)| record::decode::<Set>(&key, &bytes)).transpose()?
                }
            }) else {
                break;
            };
            replaced_at = set.stored_at;
            sets.push(set.settle(self.now));
        }
        Ok(sets)
    }
}
