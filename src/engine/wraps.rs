//! Wrapped keys of sets: wrapping them anew under the active KEK, and how often each KEK has wrapped.
//!
//! Counts are added up in memory and join the record `wraps` now and then: what was counted since is lost in a crash.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use minicbor::{Decode, Encode};

use crate::crypto::CryptoError;
use crate::crypto::envelope::{self, Place};
use crate::crypto::keyring::Keyring;
use crate::domain::set::Set;
use crate::engine::attempt::Attempt;
use crate::engine::cache::storage_failed;
use crate::engine::{Engine, keys, record};
use crate::error::Result;
use crate::random::Random;
use crate::storage::{Expect, Found, Get, Revision, Write};

/// Wraps by generation.
pub type Counts = BTreeMap<u32, u64>;

/// Wraps that are counted and not yet written down.
#[derive(Default)]
pub struct Tally(Mutex<Counts>);

/// The record of counts.
#[derive(Default, Encode, Decode)]
pub struct Wraps {
    #[n(0)]
    counts: Counts,
}

/// Wraps the key of `set` under the active KEK, if another one wraps it. Whether it did.
///
/// # Errors
/// [`CryptoError`] if the key cannot be unwrapped; the set is as it was.
pub fn renew(
    keyring: &Keyring,
    account_id: &[u8; 16],
    set: &mut Set,
    random: &dyn Random,
) -> Result<bool, CryptoError> {
    let active = keyring.active_kek()?;
    let Some(dek) = set.dek.as_ref().filter(|dek| dek.kek_generation != active) else { return Ok(false) };
    let place = Place { account_id, set_id: &set.id, generation: set.generation };
    set.dek = Some(envelope::rewrap(keyring, &place, dek, random)?);
    Ok(true)
}

impl Attempt<'_> {
    /// Wraps anew what an older KEK wraps. Every record that is written goes through here, so after a rotation nothing is ever
    /// written under an older KEK, wherever it is moved; a scan only has to find what nobody touches. A key that does not unwrap
    /// must not keep an end from being written: it stays, and re-wrapping tells of it.
    pub fn renew_wraps(&mut self) {
        let id = *self.record.account.id;
        for set in self.record.account.sets.iter_mut().chain(&mut self.archived) {
            match renew(&self.keyring, &id, set, self.random) {
                Ok(true) => {
                    self.wrapped += 1;
                    self.bind_keyring = true;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(account = self.name.as_str(), generation = set.generation, %error, "a key of a set does not unwrap");
                }
            }
        }
    }
}

impl Tally {
    /// Counts `number` wraps of `generation`.
    pub fn add(&self, generation: u32, number: u64) {
        if number > 0 {
            *self.counts().entry(generation).or_default() += number;
        }
    }
    fn take(&self) -> Counts {
        std::mem::take(&mut *self.counts())
    }
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// How often each generation has wrapped.
    pub async fn wraps(&self) -> Result<Counts> {
        let (mut counts, _) = self.written_wraps().await?;
        for (generation, number) in self.tally.counts().iter() {
            *counts.entry(*generation).or_default() += number;
        }
        Ok(counts)
    }
    /// Writes down what was counted since the last time. What cannot be written now is kept for the next time.
    pub async fn tally_wraps(&self) {
        let new = self.tally.take();
        if new.is_empty() {
            return;
        }
        if let Err(error) = self.write_wraps(&new).await {
            tracing::debug!(?error, "wraps are written down another time");
            for (generation, number) in new {
                self.tally.add(generation, number);
            }
        }
    }

    async fn write_wraps(&self, new: &Counts) -> Result<()> {
        let (mut counts, revision) = self.written_wraps().await?;
        for (generation, number) in new {
            let count = counts.entry(*generation).or_default();
            *count = count.saturating_add(*number);
        }
        let known: Vec<u32> = self.keyring().await?.keks().map(|kek| kek.generation).collect();
        counts.retain(|generation, _| known.contains(generation));
        let expect = revision.map_or(Expect::Absent, Expect::At);
        let write = Write::put(keys::WRAPS, expect, record::encode(&Wraps { counts }), &*self.random);
        self.storage.put_all(vec![write]).await.map_err(crate::error::Error::internal)
    }

    async fn written_wraps(&self) -> Result<(Counts, Option<Revision>)> {
        let found = self.storage.get_many(vec![Get::new(keys::WRAPS)]).await.map_err(storage_failed)?;
        Ok(match found.into_iter().next() {
            Some(Found::Value(bytes, revision)) => {
                (record::decode::<Wraps>(keys::WRAPS, &bytes)?.counts, Some(revision))
            }
            _ => (Counts::new(), None),
        })
    }
}
