//! That a slot was burnt, remembered beside the account's record: on a store that does not commit writes together an older record
//! could come back.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::domain::account::Account;
use crate::domain::refusal::Refusal;
use crate::domain::set::Slot;
use crate::domain::time::Timestamp;
use crate::engine::attempt::Attempt;
use crate::engine::{keys, record};
use crate::error::Result;
use crate::storage::Write;

/// What is remembered of a burn.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Marker {
    /// Keyed hash of the act.
    #[n(0)]
    pub act: ByteArray<32>,
    /// When it was tried.
    #[n(1)]
    pub at: Timestamp,
    /// The account that the set belongs to.
    #[n(2)]
    pub account: String,
}

/// What the store is to remember of a burn.
pub enum Mark {
    /// Nothing: the record and all that belongs to it go down together.
    None,
    /// This, before the record.
    Ours(Write),
    /// Another act has marked the slot: its code has left, or was accepted, whatever the record says.
    Taken,
}

/// The mark of a burn by `act`, which is the same when the same caller goes on with it after a crash.
pub fn mark(attempt: &Attempt<'_>, generation: u32, slot: u32, act: &ByteArray<32>) -> Result<Mark> {
    if !attempt.marks_burns {
        return Ok(Mark::None);
    }
    let set = attempt.record.account.set(generation).ok_or(Refusal::NoGeneration(generation.into()))?;
    let key = keys::burn(&set.id, slot);
    match attempt.in_the_way(&key) {
        None => {
            let marker = Marker { act: *act, at: attempt.now, account: attempt.name.as_str().to_owned() };
            Ok(Mark::Ours(Write::create(key, record::encode(&marker), attempt.random)))
        }
        Some((bytes, revision)) => {
            let marked: Marker = record::decode(&key, bytes)?;
            Ok(if marked.act == *act { Mark::Ours(Write::check(key, *revision)) } else { Mark::Taken })
        }
    }
}

/// Whether the burn that the marker under `key` is for stands in the account's record: the slot is held no longer, or its set has
/// left the record.
pub fn stands(account: &Account, key: &str) -> bool {
    let held = account.sets.iter().flat_map(|set| {
        let held = set.slots.iter().zip(1u32..).filter(|(slot, _)| matches!(slot, Slot::Held(_) | Slot::Issued(_)));
        held.map(|(_, slot)| keys::burn(&set.id, slot))
    });
    !held.into_iter().any(|held| held == key)
}
