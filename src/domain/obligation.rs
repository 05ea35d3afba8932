//! What a retrieval leaves behind: a set that is owed, and a share that is used up.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::domain::account::Account;
use crate::domain::profile::Profile;
use crate::domain::time::Timestamp;

/// A new set is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Obligation {
    /// Since the first retrieval.
    #[n(0)]
    pub since: Timestamp,
    /// Until then; never extended.
    #[n(1)]
    pub by: Timestamp,
    /// The generation that must be replaced.
    #[n(2)]
    pub generation: u32,
}

/// One retrieval that still counts against a role's `max_retrievals`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Retrieval {
    /// Keyed hash of role, issuer and subject.
    #[n(0)]
    pub by: ByteArray<32>,
    /// When it stops counting.
    #[n(1)]
    pub until: Timestamp,
}

impl Account {
    /// After a code left: a new set is owed from the first retrieval on.
    pub fn owe(&mut self, generation: u32, profile: &Profile, now: Timestamp) -> Obligation {
        *self.obligation.get_or_insert_with(|| Obligation {
            since: now,
            by: now.plus(profile.regenerate_within),
            generation,
        })
    }
}
