//! A set of codes: states whose variants hold only what is true then, and the transitions between them.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::crypto::envelope::WrappedDek;
use crate::crypto::verifier::{VERIFIER, place_of};
use crate::domain::profile::Keeping;
pub use crate::domain::slot::{Handout, Outcome, Repeat, Slot, Use, What};
use crate::domain::time::Timestamp;

/// Who issued the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cbor(index_only)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Another system did; we give them back.
    #[n(0)]
    Escrowed,
    /// This engine did; we only verify them.
    #[n(1)]
    Issued,
}

/// Why a set is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Cause {
    /// A newer set took its place.
    #[n(0)]
    NewerSet,
    /// MFA was enrolled again.
    #[n(1)]
    ReEnrollment,
    /// An operator ended it.
    #[n(2)]
    Operator,
    /// The new set that was owed did not come in time.
    #[n(3)]
    Lapsed,
    /// It is thought to be known to somebody else.
    #[n(4)]
    Compromise,
    /// It got too old.
    #[n(5)]
    Age,
    /// The account was moved to another mount.
    #[n(6)]
    Transferred,
}

impl Cause {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Cause::NewerSet => "newer-set",
            Cause::ReEnrollment => "re-enrollment",
            Cause::Operator => "operator",
            Cause::Lapsed => "lapsed",
            Cause::Compromise => "compromise",
            Cause::Age => "age",
            Cause::Transferred => "transferred",
        }
    }
    /// The status that an end of this cause leads to.
    pub const fn status(self) -> &'static str {
        match self {
            Cause::NewerSet | Cause::ReEnrollment | Cause::Transferred => "superseded",
            Cause::Operator | Cause::Lapsed | Cause::Compromise => "revoked",
            Cause::Age => "expired",
        }
    }
}

/// How a set ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// Why.
    #[n(1)]
    pub cause: Cause,
    /// When keys and ciphertexts go, if they have not gone with the end.
    #[n(2)]
    pub destroy_at: Option<Timestamp>,
}

/// Whether a set may live. Quarantine, age and lapse are not states: they follow from watermarks and clock when it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Status {
    /// The account's current set.
    #[n(0)]
    Live,
    /// Over.
    #[n(1)]
    Ended(#[n(0)] End),
}

/// What we know of the provider's side, which kills no old codes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Provider {
    /// Nobody has said that the provider invalidated the codes.
    #[n(0)]
    Unconfirmed,
    /// Somebody has.
    #[n(1)]
    Confirmed(#[n(0)] Timestamp),
}

/// A set of codes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Set {
    /// Random.
    #[n(0)]
    pub id: ByteArray<16>,
    /// From 1, never reused in the account.
    #[n(1)]
    pub generation: u32,
    /// Who issued it.
    #[n(2)]
    pub kind: Kind,
    /// Whether it lives.
    #[n(3)]
    pub status: Status,
    /// When it came.
    #[n(4)]
    pub stored_at: Timestamp,
    /// The latest time at which its codes were known to be the provider's current ones.
    #[n(5)]
    pub bound_at: Timestamp,
    /// The provider's side of its end.
    #[n(6)]
    pub provider: Provider,
    /// Who else has seen the codes.
    #[n(7)]
    pub custody: Option<String>,
    /// The request that stored it, if it had a key.
    #[n(8)]
    pub repeat: Option<Repeat>,
    /// Who stored it.
    #[n(9)]
    pub stored_by: String,
    /// Slot 1 first.
    #[n(10)]
    pub slots: Vec<Slot>,
    /// The set's key, wrapped; gone once the set is destroyed. An issued set has none.
    #[n(11)]
    pub dek: Option<WrappedDek>,
    /// How an issued set's codes are kept.
    #[n(12)]
    pub keeping: Option<Keeping>,
    /// Wrong codes that were presented while it was the account's current set.
    #[n(13)]
    pub failures: Option<u32>,
}

impl Set {
    /// Whether it is the account's current set.
    pub const fn is_live(&self) -> bool {
        matches!(self.status, Status::Live)
    }
    /// How many codes can still leave.
    pub fn remaining(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_left()).count()
    }
    /// The slot whose turn it is: the lowest one whose code can still leave or be accepted.
    pub fn next(&self) -> Option<u32> {
        self.slots.iter().zip(1..).find(|(slot, _)| slot.is_left()).map(|(_, number)| number)
    }
    /// The slot that `verifier` is of, among those that were not consumed. Takes as long wherever it is.
    pub fn holder_of(&self, verifier: &[u8; VERIFIER]) -> Option<u32> {
        place_of(verifier, self.slots.iter().map(Slot::verifier)).map(|index| index + 1)
    }
    /// Accepted codes: generation, slot, and what is remembered of each.
    pub fn uses(&self) -> impl Iterator<Item = (u32, u32, &Use)> {
        let uses = self.slots.iter().zip(1..).filter_map(|(slot, number)| match slot {
            Slot::Consumed(used) => Some((number, used)),
            _ => None,
        });
        uses.map(|(slot, used)| (self.generation, slot, used))
    }
    /// Whether a code of it was refused where it should have worked: somebody else may have used it.
    pub fn was_refused(&self) -> bool {
        let outcomes = self.slots.iter().filter_map(Slot::handout).filter_map(|handout| handout.outcome.as_ref());
        outcomes.into_iter().any(|outcome| outcome.what == What::Refused)
    }
    /// Whether what codes could be opened or recognised by has gone.
    pub fn is_destroyed(&self) -> bool {
        match self.kind {
            Kind::Escrowed => self.dek.is_none(),
            Kind::Issued => !self.is_live() && self.slots.iter().all(|slot| slot.verifier().is_none()),
        }
    }
    /// The set after an end; keys and ciphertexts go at once unless `destroy_at` lies later.
    pub fn end(mut self, end: End) -> Set {
        self.status = Status::Ended(end);
        if end.destroy_at.is_none() { self.destroy(end.at) } else { self }
    }
    /// Whether the end that was set for its keys and ciphertexts has come.
    pub fn is_to_be_destroyed(&self, now: Timestamp) -> bool {
        matches!(self.status, Status::Ended(End { destroy_at: Some(at), .. }) if at <= now)
    }
    /// The set as it is at `now`.
    pub fn settle(mut self, now: Timestamp) -> Set {
        self.slots = self.slots.into_iter().map(|slot| slot.settle(now)).collect();
        match self.status {
            Status::Ended(End { destroy_at: Some(at), .. }) if at <= now => self.destroy(at),
            _ => self,
        }
    }
    fn destroy(mut self, at: Timestamp) -> Set {
        self.dek = None;
        self.slots = self.slots.into_iter().map(|slot| slot.destroy(at)).collect();
        if let Status::Ended(end) = &mut self.status {
            end.destroy_at = None;
        }
        self
    }
}
