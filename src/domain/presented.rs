//! A code is presented: is it one of the account's, and what follows from it being so or not.

use crate::crypto::verifier::VERIFIER;
use crate::domain::account::Account;
use crate::domain::profile::{Order, Profile};
use crate::domain::refusal::Refusal;
use crate::domain::set::{Repeat, Set, Use};
use crate::domain::throttle::Lock;
use crate::domain::time::Timestamp;

/// A presented code that was accepted before under the same key.
pub struct Accepted {
    /// Its set.
    pub generation: u32,
    /// Its slot.
    pub slot: u32,
    /// Until when it is answered alike.
    pub until: Timestamp,
}

impl Accepted {
    /// The one of these sets' codes that was accepted under this key. A key binds the whole request, the code included.
    pub fn find<'s>(sets: impl Iterator<Item = &'s Set>, key: &Repeat) -> Result<Option<Self>, Refusal> {
        let same = |(_, _, used): &(u32, u32, &Use)| used.repeat.as_ref().is_some_and(|had| had.key == key.key);
        match sets.flat_map(Set::uses).find(same) {
            Some((_, _, used)) if used.repeat.as_ref() != Some(key) => Err(Refusal::KeyReused),
            Some((generation, slot, used)) => Ok(Some(Accepted { generation, slot, until: used.until })),
            None => Ok(None),
        }
    }
}

impl Account {
    /// Why no code of this account is looked at, if none is.
    pub fn lock(&self, now: Timestamp) -> Option<Lock> {
        self.failures.and_then(|failures| failures.lock(now))
    }
    /// The place of the code that `verifier` is of, if it is one of the current set and may be used now; else the word that says
    /// why not. The caller of the service learns only that it was not accepted.
    pub fn accept(
        &self,
        verifier: &[u8; VERIFIER],
        profile: &Profile,
        now: Timestamp,
    ) -> Result<(u32, u32), &'static str> {
        // Looked for first and in whatever state the set is, so that the state does not show in the time.
        let place = self.live().and_then(|set| set.holder_of(verifier));
        let set = self.usable(profile, now).map_err(|refusal| refusal.word())?;
        if profile.refuses_use(now).is_some() {
            return Err("review");
        }
        let slot = place.ok_or("wrong")?;
        if profile.order == Order::Sequential && set.next() != Some(slot) {
            return Err("out-of-turn");
        }
        Ok((set.generation, slot))
    }
    /// The code of a slot is used up. It ends the row of wrong ones.
    pub fn consume(&mut self, generation: u32, slot: u32, used: Use) -> Result<(), Refusal> {
        self.change_slot(generation, slot, |held| Ok((held.consume(slot, used)?, ())))?;
        self.failures = None;
        Ok(())
    }
    /// Counts a wrong code against the account and its current set; answers the lock that it leads to.
    pub fn fail(&mut self, profile: &Profile, now: Timestamp) -> Option<Lock> {
        if let Some(set) = self.sets.iter_mut().rev().find(|set| set.is_live()) {
            set.failures = Some(set.failures.unwrap_or(0).saturating_add(1));
        }
        self.failures.get_or_insert_default().count(profile.limits(), now)
    }
    /// An operator ends the row of wrong codes; answers how many there were. Refused while no lock stands.
    pub fn unlock(&mut self, now: Timestamp) -> Result<u32, Refusal> {
        match (self.lock(now), self.failures.take()) {
            (Some(_), Some(failures)) => Ok(failures.in_a_row),
            (_, failures) => {
                self.failures = failures;
                Err(Refusal::NotLocked)
            }
        }
    }
}
