//! Recognising a retrieval that was carried out before.

use crate::domain::refusal::Refusal;
use crate::domain::set::{Repeat, Set, Slot};
use crate::engine::attempt::Attempt;
use crate::error::Result;

/// The slot that an earlier request with the same key got.
pub struct Earlier {
    /// Its set.
    pub generation: u32,
    /// Its number.
    pub slot: u32,
    /// Its state now.
    pub state: Slot,
}

/// Finds the slot that this key, or this assertion, was used for, in sets of the record and in those that left it lately. An
/// assertion that is found in a slot repeats that slot only, and only under the key it came with.
pub fn find(attempt: &mut Attempt<'_>, key: Option<&Repeat>, replay: Option<&[u8; 32]>) -> Result<Option<Earlier>> {
    let found = find_in(attempt.record.account.sets.iter().rev(), key, replay)?;
    // Without a key no request comes again: its claim is refused, wherever the set is.
    if found.is_some() || key.is_none() {
        return Ok(found);
    }
    Ok(find_in(attempt.lately_archived()?.iter(), key, replay)?)
}

fn find_in<'s>(
    sets: impl Iterator<Item = &'s Set>,
    key: Option<&Repeat>,
    replay: Option<&[u8; 32]>,
) -> std::result::Result<Option<Earlier>, Refusal> {
    for set in sets {
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
