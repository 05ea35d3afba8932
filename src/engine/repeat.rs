//! Recognising a retrieval that was carried out before.

use crate::domain::account::Account;
use crate::domain::refusal::Refusal;
use crate::domain::set::{Repeat, Slot};

/// The slot that an earlier request with the same key got.
pub struct Earlier {
    /// Its set.
    pub generation: u32,
    /// Its number.
    pub slot: u32,
    /// Its state now.
    pub state: Slot,
}

/// Finds the slot that this key, or this assertion, was used for. An assertion that is found in a slot repeats that slot only,
/// and only under the key it came with.
pub fn find(account: &Account, key: Option<&Repeat>, replay: Option<&[u8; 32]>) -> Result<Option<Earlier>, Refusal> {
    for set in account.sets.iter().rev() {
        for (state, slot) in set.slots.iter().zip(1u32..) {
            let Some(handout) = state.handout() else { continue };
            let same_key = key.is_some_and(|key| handout.repeat.as_ref().is_some_and(|had| had.key == key.key));
            if same_key {
                if handout.repeat.as_ref() != key {
                    return Err(Refusal::KeyReused);
                }
                return Ok(Some(Earlier { generation: set.generation, slot, state: state.clone() }));
            }
            if replay.is_some_and(|replay| handout.claim.is_some_and(|claim| *claim == *replay)) {
                return Err(Refusal::AssertionUsed);
            }
        }
    }
    Ok(None)
}
