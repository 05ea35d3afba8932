//! Comparing acknowledged acts with the ledgers that should hold them.

use std::collections::BTreeMap;

use crate::domain::name::AccountName;
use crate::domain::time::Timestamp;
use crate::engine::cache::storage_failed;
use crate::engine::history::read_segments;
use crate::engine::record::Record;
use crate::engine::{Engine, config_ledger, keys, record};
use crate::error::Result;
use crate::ledger::chain::{Chain, RECENT};
use crate::storage::{Found, Get};

/// Accounts that are read at once.
const BATCH: usize = 64;

/// An act that was acknowledged: the entry it has in a ledger, as an audit line or an anchor names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The account, or `None` for the configuration.
    pub account: Option<String>,
    /// Number of the entry.
    pub seq: u64,
    /// Its hash.
    pub head: [u8; 32],
    /// The generation it was about, if it was about one.
    pub generation: Option<u32>,
    /// When it was acknowledged.
    pub at: Timestamp,
}

/// The latest acknowledged act of each ledger.
#[derive(Debug, Default, Clone)]
pub struct Sightings {
    latest: BTreeMap<Option<String>, Sighting>,
}

impl Sightings {
    /// Takes `sighting` in; of each ledger the latest entry stays, and the highest generation.
    pub fn take(&mut self, sighting: Sighting) {
        let generation = sighting.generation;
        let held = self.latest.entry(sighting.account.clone()).or_insert_with(|| sighting.clone());
        let highest = held.generation.max(generation);
        if held.seq < sighting.seq {
            *held = sighting;
        }
        held.generation = highest;
    }
    /// Takes an entry back that did not come about.
    pub fn withdraw(&mut self, account: &str, seq: u64) {
        let key = Some(account.to_owned());
        if self.latest.get(&key).is_some_and(|held| held.seq == seq) {
            self.latest.remove(&key);
        }
    }
    /// How many ledgers there are.
    pub fn len(&self) -> usize {
        self.latest.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }
    /// All of them, the configuration's first.
    pub fn into_vec(self) -> Vec<Sighting> {
        self.latest.into_values().collect()
    }
}

/// What the store says of an acknowledged act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has it.
    Holds,
    /// It lost it: its ledger ends at this entry, or went on from it in another way.
    Back(u64),
    /// It lost it, and an operator accepted that.
    Explained,
    /// It does not know the account at all.
    Missing,
    /// It lost it, an operator accepted the store since, and nothing of it could be held: an account that is missing, or an entry of
    /// the configuration.
    Past,
}

impl Engine {
    /// What the store says of each of `sightings`.
    pub async fn compare(&self, sightings: &[Sighting]) -> Result<Vec<Verdict>> {
        let mut verdicts = Vec::with_capacity(sightings.len());
        if sightings.is_empty() {
            return Ok(verdicts);
        }
        let accepted_at = self.restore_state().await?.restore.accepted_at;
        for batch in sightings.chunks(BATCH) {
            let records = self.records_of(batch).await?;
            for (sighting, record) in batch.iter().zip(records) {
                let verdict = match (&sighting.account, record) {
                    (None, _) => {
                        let get = vec![Get::new(keys::CONFIG_LEDGER)];
                        let found = self.storage.get_many(get).await.map_err(storage_failed)?;
                        let (ledger, _) = config_ledger::read(found.into_iter().next())?;
                        self.find("config", &ledger, sighting).await?
                    }
                    (Some(_), None) => Verdict::Missing,
                    (Some(_), Some(record)) => {
                        let owner = hex::encode(*record.account.id);
                        let found = self.find(&owner, &record.ledger, sighting).await?;
                        let explained =
                            |setback: &crate::domain::setback::Setback| setback.explains(sighting.seq, sighting.at);
                        match found {
                            Verdict::Back(_) if record.account.setback.as_ref().is_some_and(explained) => {
                                Verdict::Explained
                            }
                            found => found,
                        }
                    }
                };
                // Whoever accepted it has been told what is gone, or asked for no more.
                let past = accepted_at.is_some_and(|accepted| sighting.at <= accepted);
                verdicts.push(match (&sighting.account, verdict) {
                    (_, Verdict::Missing) | (None, Verdict::Back(_)) if past => Verdict::Past,
                    (_, verdict) => verdict,
                });
            }
        }
        Ok(verdicts)
    }

    async fn records_of(&self, batch: &[Sighting]) -> Result<Vec<Option<Record>>> {
        let names: Vec<Option<AccountName>> = batch
            .iter()
            .map(|sighting| sighting.account.as_deref().and_then(|name| AccountName::parse(name).ok()))
            .collect();
        let mut records: Vec<Option<Record>> = names.iter().map(|_| None).collect();
        for key in [keys::account as fn(&AccountName) -> String, keys::tombstone] {
            let wanted: Vec<(usize, String)> = names
                .iter()
                .enumerate()
                .filter(|(index, _)| records[*index].is_none())
                .filter_map(|(index, name)| Some((index, key(name.as_ref()?))))
                .collect();
            let gets = wanted.iter().map(|(_, key)| Get::new(key.clone())).collect();
            let found = self.storage.get_many(gets).await.map_err(storage_failed)?;
            for ((index, key), found) in wanted.into_iter().zip(found) {
                if let Found::Value(bytes, _) = found {
                    records[index] = Some(record::decode(&key, &bytes)?);
                }
            }
        }
        Ok(records)
    }

    /// Whether `ledger` of `owner`, or its archive, has the entry.
    async fn find(&self, owner: &str, ledger: &Chain, sighting: &Sighting) -> Result<Verdict> {
        let seq = sighting.seq;
        if seq > ledger.seq || seq == 0 {
            return Ok(Verdict::Back(ledger.seq));
        }
        let agrees = |hash: &[u8; 32]| *hash == sighting.head;
        let found = if seq >= ledger.first() {
            let index = usize::try_from(seq - ledger.first()).unwrap_or(usize::MAX);
            ledger.recent.get(index).is_some_and(|link| agrees(&link.hash))
        } else {
            let first = (seq - 1) / RECENT as u64 * RECENT as u64 + 1;
            let segment = read_segments(self, owner, &[first]).await?.pop().flatten().unwrap_or_default();
            let index = usize::try_from(seq - first).unwrap_or(usize::MAX);
            segment.get(index).is_some_and(|link| agrees(&link.hash))
        };
        Ok(if found { Verdict::Holds } else { Verdict::Back(seq - 1) })
    }
}
