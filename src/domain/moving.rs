//! Accounts that move from one mount to another: what is remembered at either end, so that no code is at both.
//!
//! The mount that an account leaves is marked first, then the other one takes it in, then the account is ended here: in every
//! moment between, no code leaves here, and none leaves there that could still leave here.

use std::time::Duration;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::crypto::inherited::{InheritedKey, Origin};
use crate::domain::account::Account;
use crate::domain::fingerprints::Fingerprints;
use crate::domain::refusal::Refusal;
use crate::domain::set::{Cause, End, Set, Slot};
use crate::domain::time::Timestamp;

/// Where an account came from, and where it is going.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Moving {
    /// Set once it is leaving, or has left.
    #[n(0)]
    pub departure: Option<Departure>,
    /// Set if it came from another mount.
    #[n(1)]
    pub arrival: Option<Arrival>,
    /// Fingerprints that were made elsewhere.
    #[n(2)]
    pub inherited: Vec<Inherited>,
}

/// The state of an account's ledger: its last entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// Its number.
    #[n(0)]
    pub seq: u64,
    /// Its hash.
    #[n(1)]
    pub hash: ByteArray<32>,
}

/// An account that goes elsewhere. Nothing of it can be had here any more.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Departure {
    /// It may be there already: nobody has said so yet.
    #[n(0)]
    Leaving {
        /// Where to, for people.
        #[n(0)]
        to: String,
        /// The ledger as it stood when it left.
        #[n(1)]
        head: Head,
    },
    /// It is there.
    #[n(1)]
    Left {
        /// Where to, for people.
        #[n(0)]
        to: String,
        /// Since when.
        #[n(1)]
        at: Timestamp,
    },
}

/// How an account came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Arrival {
    /// From where.
    #[n(0)]
    pub origin: Origin,
    /// Its ledger there when it left.
    #[n(1)]
    pub head: Head,
    /// The number of the entry here that says so.
    #[n(2)]
    pub seq: u64,
}

/// Fingerprints that another mount made, and the key to make others like them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Inherited {
    /// Who made them.
    #[n(0)]
    pub origin: Origin,
    /// Under which key.
    #[n(1)]
    pub key: InheritedKey,
    /// They.
    #[n(2)]
    pub prints: Fingerprints,
}

impl Account {
    /// Refuses what an account can no longer do that is leaving or has left.
    pub fn is_here(&self) -> Result<(), Refusal> {
        match self.moving.as_ref().and_then(|moving| moving.departure.as_ref()) {
            None => Ok(()),
            Some(Departure::Leaving { to, .. }) => Err(Refusal::Leaving(to.clone())),
            Some(Departure::Left { to, .. }) => Err(Refusal::Left(to.clone())),
        }
    }
    /// Ends the account here: its codes are elsewhere, so what they could be opened by goes at once. Answers the generation that
    /// ended.
    pub fn leave(&mut self, to: String, retention: Duration, now: Timestamp) -> Option<u32> {
        let live = self.live().map(|set| set.generation);
        if let Some(generation) = live {
            self.keep_prints(generation, now.plus(retention));
        }
        let end = End { at: now, cause: Cause::Transferred, destroy_at: None };
        let sets = std::mem::take(&mut self.sets).into_iter();
        self.sets = sets.map(|set| if set.is_live() { set.end(end) } else { set }).collect();
        self.obligation = None;
        self.moving.get_or_insert_default().departure = Some(Departure::Left { to, at: now });
        live
    }
    /// Fingerprints of an ended generation may be forgotten at `until`, wherever they were made.
    pub(super) fn keep_prints(&mut self, generation: u32, until: Timestamp) {
        self.fingerprints.keep_until(generation, until);
        for one in self.moving.iter_mut().flat_map(|moving| &mut moving.inherited) {
            one.prints.keep_until(generation, until);
        }
    }
    /// Forgets fingerprints past their time, wherever they were made, and keys that made none that is left.
    pub(super) fn expire_prints(&mut self, now: Timestamp) {
        self.fingerprints.expire(now);
        let Some(moving) = &mut self.moving else { return };
        moving.inherited.iter_mut().for_each(|one| one.prints.expire(now));
        moving.inherited.retain(|one| !one.prints.is_empty());
    }
    /// Fingerprints that were made elsewhere.
    pub fn inherited(&self) -> &[Inherited] {
        self.moving.as_ref().map_or(&[], |moving| &moving.inherited)
    }
    /// How the account came here, if it did.
    pub fn arrival(&self) -> Option<&Arrival> {
        self.moving.as_ref().and_then(|moving| moving.arrival.as_ref())
    }
    /// Where the account is going, and its ledger when it left, while nobody has said that it is there.
    pub fn leaving(&self) -> Option<(&str, &Head)> {
        match self.moving.as_ref().and_then(|moving| moving.departure.as_ref()) {
            Some(Departure::Leaving { to, head }) => Some((to, head)),
            _ => None,
        }
    }
    /// Where the account has gone.
    pub fn gone_to(&self) -> Option<&str> {
        match self.moving.as_ref().and_then(|moving| moving.departure.as_ref()) {
            Some(Departure::Left { to, .. }) => Some(to),
            _ => None,
        }
    }
}

impl Set {
    /// Slots whose code can still leave, from 1.
    pub fn held(&self) -> impl Iterator<Item = u32> + '_ {
        self.slots.iter().zip(1..).filter(|(slot, _)| matches!(slot, Slot::Held(_))).map(|(_, number)| number)
    }
}
