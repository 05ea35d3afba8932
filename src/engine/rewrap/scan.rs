//! Some records of a scan: what an older KEK wraps in them is wrapped anew, each record on the condition that nobody changed
//! it meanwhile.

use std::collections::BTreeSet;

use crate::crypto::CryptoError;
use crate::crypto::keyring::Keyring;
use crate::domain::set::Set;
use crate::engine::cache::{Snapshot, storage_failed};
use crate::engine::record::{self, Record};
use crate::engine::wraps;
use crate::engine::{Engine, keys};
use crate::error::{Error, Result};
use crate::storage::{Expect, PutError, Write};

/// Records that are written together. Where somebody else is at work on one of them the rest goes one by one.
const TOGETHER: usize = 64;
/// How often a record is tried before it is left to the next scan.
const TRIES: usize = 16;

/// What was found in some records.
#[derive(Debug, Default)]
pub struct Found {
    /// Keys that were wrapped anew.
    pub rewrapped: u64,
    /// Keys that stayed as they are.
    pub failed: u64,
    /// Retired generations that still wrap something: they must be recovered.
    pub retired: BTreeSet<u32>,
}

/// Wraps anew what needs it in the records under `names`.
pub async fn rewrap(engine: &Engine, names: &[String]) -> Result<Found> {
    let mut found = Found::default();
    for some in names.chunks(TOGETHER) {
        if !together(engine, some, &mut found).await? {
            for one in some {
                alone(engine, one, &mut found).await?;
            }
        }
    }
    Ok(found)
}

/// All at once; `false` if somebody else was at work on one of them.
async fn together(engine: &Engine, names: &[String], found: &mut Found) -> Result<bool> {
    let step = Step::read(engine, names).await?;
    match step.write(engine).await? {
        true => {
            found.add(&step);
            Ok(true)
        }
        false => Ok(false),
    }
}

async fn alone(engine: &Engine, name: &String, found: &mut Found) -> Result<()> {
    let mut left = 0;
    for _ in 0..TRIES {
        let step = Step::read(engine, std::slice::from_ref(name)).await?;
        if step.write(engine).await? {
            found.add(&step);
            return Ok(());
        }
        left = step.rewrapped;
        tokio::task::yield_now().await;
    }
    found.failed += left;
    Ok(())
}

impl Found {
    fn add(&mut self, step: &Step) {
        self.rewrapped += step.rewrapped;
        self.failed += step.failed;
        self.retired.extend(&step.retired);
    }
}

/// What is to be written of some records.
struct Step {
    active: u32,
    writes: Vec<Write>,
    rewrapped: u64,
    failed: u64,
    retired: BTreeSet<u32>,
}

impl Step {
    async fn read(engine: &Engine, names: &[String]) -> Result<Step> {
        let mut snapshot = Snapshot::default();
        let wanted = std::iter::once(keys::KEYRING.to_owned()).chain(names.iter().cloned());
        engine.load(&mut snapshot, wanted).await?;
        let keyring = snapshot.keyring()?;
        let active = keyring.active_kek().map_err(Error::internal)?;
        let mut step = Step { active, writes: Vec::new(), rewrapped: 0, failed: 0, retired: BTreeSet::new() };
        if let Some(revision) = snapshot.revision(keys::KEYRING) {
            step.writes.push(Write::check(keys::KEYRING, revision));
        }
        for name in names {
            let Some((revision, bytes)) = snapshot.raw(name) else { continue };
            if let Some(value) = step.renewed(engine, &keyring, name, &bytes)? {
                step.writes.push(Write::put(name.clone(), Expect::At(revision), value, &*engine.random));
            }
        }
        Ok(step)
    }

    /// The record with its keys wrapped anew, if any needs it. A record that does not decode is not passed over: it may need a
    /// key that would be retired.
    fn renewed(&mut self, engine: &Engine, keyring: &Keyring, name: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
        let before = self.rewrapped;
        let value = match name.strip_prefix(keys::ARCHIVED_SETS) {
            Some(rest) => {
                let id = rest.split_once('/').and_then(|(id, _)| <[u8; 16]>::try_from(hex::decode(id).ok()?).ok());
                let id = id.ok_or_else(|| Error::internal(format!("record {name} names no account")))?;
                let mut set: Set = record::decode(name, bytes)?;
                self.renew(engine, keyring, &id, &mut set, name);
                (self.rewrapped > before).then(|| record::encode(&set))
            }
            None => {
                let mut record: Record = record::decode(name, bytes)?;
                let id = *record.account.id;
                for set in &mut record.account.sets {
                    self.renew(engine, keyring, &id, set, name);
                }
                (self.rewrapped > before).then(|| record::encode(&record))
            }
        };
        Ok(value)
    }

    fn renew(&mut self, engine: &Engine, keyring: &Keyring, id: &[u8; 16], set: &mut Set, name: &str) {
        match wraps::renew(keyring, id, set, &*engine.random) {
            Ok(true) => self.rewrapped += 1,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(record = name, generation = set.generation, %error, "a key of a set does not unwrap");
                self.failed += 1;
                if let CryptoError::RetiredGeneration { generation } = error {
                    self.retired.insert(generation);
                }
            }
        }
    }

    /// Whether it was written. `false`: something changed since it was read, or it is not known what came of the write.
    async fn write(&self, engine: &Engine) -> Result<bool> {
        if self.rewrapped == 0 {
            return Ok(true);
        }
        match engine.storage.put_all(self.writes.clone()).await {
            Ok(()) => {
                engine.tally.add(self.active, self.rewrapped);
                Ok(true)
            }
            Err(PutError::Conflict { .. } | PutError::Unknown(_)) => Ok(false),
            Err(PutError::Failed(error)) => Err(storage_failed(error)),
        }
    }
}
