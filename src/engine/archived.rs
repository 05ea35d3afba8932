//! Ended sets that left their account's record. They can still be spoken of.

use crate::domain::refusal::Refusal;
use crate::domain::set::Set;
use crate::engine::attempt::Attempt;
use crate::engine::{keys, record};
use crate::error::Result;
use crate::storage::{Expect, Revision, Write};

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
}
