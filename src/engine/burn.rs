//! That a slot was burnt, remembered beside the account's record: on a store that does not commit writes together an older record
//! could come back.

use minicbor::bytes::ByteArray;

use crate::domain::refusal::Refusal;
use crate::engine::attempt::Attempt;
use crate::engine::{keys, record};
use crate::error::Result;
use crate::storage::Write;

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
    let act = record::encode(act);
    Ok(match attempt.in_the_way(&key) {
        None => Mark::Ours(Write::create(key, act, attempt.random)),
        Some((marked, revision)) if *marked == act => Mark::Ours(Write::check(key, *revision)),
        Some(_) => Mark::Taken,
    })
}
