//! New generations and the end of old ones. The caller seals the keyring anew and stores it; until then nothing has changed.

use std::time::Duration;

use super::{Entry, KeyState, Keyring};
use crate::crypto::CryptoError;
use crate::domain::time::Timestamp;
use crate::random::Random;

/// How long a retired KEK can be recovered.
pub const RECOVERABLE: Duration = Duration::from_secs(24 * 60 * 60);

const EXHAUSTED: CryptoError = CryptoError::KeyState("no generation number is left for this key");

impl Keyring {
    /// Makes a new KEK the active one and returns its generation; the former one only unwraps from here on.
    ///
    /// # Errors
    /// [`CryptoError::KeyState`] when every generation number is used up.
    pub fn add_kek(&mut self, now: Timestamp, random: &dyn Random) -> Result<u32, CryptoError> {
        add(&mut self.keks, now, random)
    }

    /// Makes a new barrier key the one that seals and returns its generation; the former ones only open from here on.
    ///
    /// # Errors
    /// [`CryptoError::KeyState`] when every generation number is used up.
    pub fn add_barrier_key(&mut self, now: Timestamp, random: &dyn Random) -> Result<u32, CryptoError> {
        add(&mut self.barrier, now, random)
    }

    /// Retires a KEK that wraps nothing any more, which the caller has made sure of.
    ///
    /// # Errors
    /// [`CryptoError::UnknownGeneration`]; [`CryptoError::KeyState`] if it is the active one. Retiring twice changes nothing.
    pub fn retire_kek(&mut self, generation: u32, now: Timestamp) -> Result<(), CryptoError> {
        let state = self.kek_state(generation)?;
        match state {
            KeyState::Active => Err(CryptoError::KeyState("the active KEK cannot be retired; rotate first")),
            KeyState::DecryptOnly => {
                *state = KeyState::Retired { at: now };
                Ok(())
            }
            KeyState::Retired { .. } => Ok(()),
        }
    }

    /// Lets a retired KEK unwrap again.
    ///
    /// # Errors
    /// [`CryptoError::UnknownGeneration`] if it was never there or is erased already.
    pub fn recover_kek(&mut self, generation: u32) -> Result<(), CryptoError> {
        let state = self.kek_state(generation)?;
        if let KeyState::Retired { .. } = state {
            *state = KeyState::DecryptOnly;
        }
        Ok(())
    }

    /// Erases the KEKs that were retired at least [`RECOVERABLE`] ago and returns their generations.
    pub fn erase_retired(&mut self, now: Timestamp) -> Vec<u32> {
        let due = |entry: &mut Entry| match entry.info.state {
            KeyState::Retired { at } => now >= at.plus(RECOVERABLE),
            KeyState::Active | KeyState::DecryptOnly => false,
        };
        self.keks.extract_if(.., due).map(|entry| entry.info.generation).collect()
    }

    fn kek_state(&mut self, generation: u32) -> Result<&mut KeyState, CryptoError> {
        let kek = self.keks.iter_mut().find(|kek| kek.info.generation == generation);
        kek.map(|kek| &mut kek.info.state).ok_or(CryptoError::UnknownGeneration { key: "KEK", generation })
    }
}

/// Generations only ever grow, erased ones included, because the newest entry is never erased.
fn add(entries: &mut Vec<Entry>, now: Timestamp, random: &dyn Random) -> Result<u32, CryptoError> {
    let newest = entries.last_mut().ok_or(EXHAUSTED)?;
    let generation = newest.info.generation.checked_add(1).ok_or(EXHAUSTED)?;
    newest.info.state = KeyState::DecryptOnly;
    entries.push(Entry::generate(generation, now, random));
    Ok(generation)
}
