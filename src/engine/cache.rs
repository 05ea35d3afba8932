//! Reads of records that seldom change. Each read names the revision that is held already, so nothing served from memory is
//! older than the request that uses it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::auth::Compiled;
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::domain::profile::Profile;
use crate::domain::role::Role;
use crate::domain::rule::Rule;
use crate::engine::keys;
use crate::engine::restore::Restore;
use crate::engine::restore::epoch::Epoch;
use crate::engine::settings::Settings;
use crate::error::{Error, Result};
use crate::sources::Source;
use crate::storage::{Found, Get, PutError, Revision, Step, Storage, StorageError, Write};

/// Most records held in memory; beyond it others make room.
const CAPACITY: usize = 50_000;

/// A role and what was compiled from it.
pub struct CompiledRole {
    /// The role as it was written.
    pub role: Role,
    /// The role as it is applied.
    pub rule: Rule,
}

/// A record, parsed once per revision.
#[derive(Clone)]
pub enum Parsed {
    /// `keyring`.
    Keyring(Arc<Keyring>),
    /// `config`.
    Settings(Arc<Settings>),
    /// `roles/…`.
    Role(Arc<CompiledRole>),
    /// `issuers/…`.
    Issuer(Arc<Compiled>),
    /// `profiles/…`.
    Profile(Arc<Profile>),
    /// `sources/…`.
    Source(Arc<Source>),
    /// `restore`.
    Restore(Arc<Restore>),
    /// `epoch`.
    Epoch(Arc<Epoch>),
    /// Anything else: bytes, never cached.
    Raw(Arc<[u8]>),
}

impl Parsed {
    /// Reads a record; the keyring with the root key.
    pub fn parse(key: &str, bytes: Vec<u8>, revision: &Revision, root: &Key) -> Result<Self> {
        let (folder, name) = key.split_once('/').unwrap_or((key, ""));
        Ok(match folder {
            keys::KEYRING => {
                let keyring = Keyring::open(root, revision, &bytes).map_err(Error::internal)?;
                Parsed::Keyring(Arc::new(keyring))
            }
            keys::CONFIG => Parsed::Settings(Arc::new(from_json(key, &bytes)?)),
            "roles" => {
                let role: Role = from_json(key, &bytes)?;
                let rule = role.compile()?;
                Parsed::Role(Arc::new(CompiledRole { role, rule }))
            }
            "issuers" => Parsed::Issuer(Arc::new(Compiled::new(name, &from_json(key, &bytes)?)?)),
            keys::RESTORE => Parsed::Restore(Arc::new(super::record::decode(key, &bytes)?)),
            keys::EPOCH => Parsed::Epoch(Arc::new(super::record::decode(key, &bytes)?)),
            "profiles" => Parsed::Profile(Arc::new(from_json(key, &bytes)?)),
            "sources" => Parsed::Source(Arc::new(from_json(key, &bytes)?)),
            _ => Parsed::Raw(bytes.into()),
        })
    }
}

/// Reads a configuration record: the format byte, then JSON.
pub fn from_json<T: serde::de::DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T> {
    let body = super::record::body(key, bytes)?;
    serde_json::from_slice(body).map_err(|error| Error::internal(format!("record {key} does not decode: {error}")))
}

/// Bytes of a configuration record.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = vec![super::record::FORMAT];
    serde_json::to_writer(&mut bytes, value).map_err(Error::internal)?;
    Ok(bytes)
}

/// Parsed records by key.
#[derive(Default)]
pub struct Cache {
    records: RwLock<HashMap<String, (Revision, Parsed)>>,
}

impl Cache {
    /// What was last seen under `key`; only a guess until a read confirms it.
    pub fn guess(&self, key: &str) -> Option<Parsed> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).get(key).map(|(_, parsed)| parsed.clone())
    }
    fn held(&self, key: &str) -> Option<(Revision, Parsed)> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
    fn hold(&self, key: &str, revision: Revision, parsed: &Parsed) {
        if matches!(parsed, Parsed::Raw(_)) {
            return;
        }
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= CAPACITY {
            records.clear();
        }
        records.insert(key.to_owned(), (revision, parsed.clone()));
    }
    /// Drops what is held under `key`.
    pub fn forget(&self, key: &str) {
        self.records.write().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
    /// Drops everything: on seal, so that no key outlives it.
    pub fn clear(&self) {
        self.records.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Records as one read, or a few, found them.
#[derive(Default)]
pub struct Snapshot {
    found: HashMap<String, Option<(Revision, Parsed)>>,
    step: Option<Box<dyn Step>>,
}

impl Snapshot {
    /// One that reads within `step`: for what a write will stand on.
    pub fn within(step: Box<dyn Step>) -> Self {
        Snapshot { step: Some(step), ..Snapshot::default() }
    }
    /// These records as they are held in memory: a guess, until a read finds them under the same revisions. `None` if one of them is
    /// not held.
    pub fn remembered(wanted: &[String], cache: &Cache) -> Option<Self> {
        let held = |key: &String| cache.held(key).map(|record| (key.clone(), Some(record)));
        let found = wanted.iter().map(held).collect::<Option<_>>()?;
        Some(Snapshot { found, step: None })
    }
    /// The write that stands on what was read.
    pub async fn put_all(mut self, writes: Vec<Write>, storage: &dyn Storage) -> Result<(), PutError> {
        match self.step.take() {
            Some(step) => step.put_all(writes).await,
            None => storage.put_all(writes).await,
        }
    }
    /// Reads those of `wanted` that are not here yet, in one call.
    pub async fn load(
        &mut self,
        wanted: impl IntoIterator<Item = String>,
        storage: &dyn Storage,
        cache: &Cache,
        root: &Key,
    ) -> Result<()> {
        let mut gets = Vec::new();
        let mut held = Vec::new();
        for key in wanted {
            if self.found.contains_key(&key) || gets.iter().any(|get: &Get| get.key == key) {
                continue;
            }
            let known = cache.held(&key);
            gets.push(Get { key, known: known.as_ref().map(|(revision, _)| *revision) });
            held.push(known);
        }
        if gets.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = gets.iter().map(|get| get.key.clone()).collect();
        let found = match &mut self.step {
            Some(step) => step.get_many(gets).await,
            None => storage.get_many(gets).await,
        };
        let found = found.map_err(storage_failed)?;
        self.found.reserve(names.len());
        for ((key, known), found) in names.into_iter().zip(held).zip(found) {
            let record = match found {
                Found::Unchanged => known,
                Found::Absent => {
                    cache.forget(&key);
                    None
                }
                Found::Value(bytes, revision) => {
                    let parsed = Parsed::parse(&key, bytes, &revision, root)?;
                    cache.hold(&key, revision, &parsed);
                    Some((revision, parsed))
                }
            };
            self.found.insert(key, record);
        }
        Ok(())
    }
    /// Whether `key` was read.
    pub fn has_read(&self, key: &str) -> bool {
        self.found.contains_key(key)
    }
    /// The revision under which `key` was found.
    pub fn revision(&self, key: &str) -> Option<Revision> {
        self.get(key).map(|(revision, _)| *revision)
    }
    fn get(&self, key: &str) -> Option<&(Revision, Parsed)> {
        self.found.get(key).and_then(Option::as_ref)
    }
    /// The bytes of a record that is not parsed here.
    pub fn raw(&self, key: &str) -> Option<(Revision, Arc<[u8]>)> {
        match self.get(key) {
            Some((revision, Parsed::Raw(bytes))) => Some((*revision, bytes.clone())),
            _ => None,
        }
    }
    /// The key hierarchy.
    pub fn keyring(&self) -> Result<Arc<Keyring>> {
        match self.get(keys::KEYRING) {
            Some((_, Parsed::Keyring(keyring))) => Ok(keyring.clone()),
            _ => Err(Error::internal("the keyring record is missing")),
        }
    }
    /// The mount's settings.
    pub fn settings(&self) -> Arc<Settings> {
        match self.get(keys::CONFIG) {
            Some((_, Parsed::Settings(settings))) => settings.clone(),
            _ => Arc::default(),
        }
    }
    /// What the store says of restores.
    pub fn restore(&self) -> Arc<Restore> {
        match self.get(keys::RESTORE) {
            Some((_, Parsed::Restore(restore))) => restore.clone(),
            _ => Arc::default(),
        }
    }
    /// The store's epoch.
    pub fn epoch(&self) -> Option<Arc<Epoch>> {
        match self.get(keys::EPOCH) {
            Some((_, Parsed::Epoch(epoch))) => Some(epoch.clone()),
            _ => None,
        }
    }
    /// A role.
    pub fn role(&self, name: &str) -> Option<Arc<CompiledRole>> {
        match self.get(&format!("{}{name}", keys::ROLES)) {
            Some((_, Parsed::Role(role))) => Some(role.clone()),
            _ => None,
        }
    }
    /// An issuer.
    pub fn issuer(&self, name: &str) -> Option<Arc<Compiled>> {
        match self.get(&format!("{}{name}", keys::ISSUERS)) {
            Some((_, Parsed::Issuer(issuer))) => Some(issuer.clone()),
            _ => None,
        }
    }
    /// A profile; the built-in one where it was never written.
    pub fn profile(&self, name: &str) -> Option<Arc<Profile>> {
        match self.get(&format!("{}{name}", keys::PROFILES)) {
            Some((_, Parsed::Profile(profile))) => Some(profile.clone()),
            _ => Profile::built_in(name).map(Arc::new),
        }
    }
    /// A source.
    pub fn source(&self, name: &str) -> Option<Arc<Source>> {
        match self.get(&format!("{}{name}", keys::SOURCES)) {
            Some((_, Parsed::Source(source))) => Some(source.clone()),
            _ => None,
        }
    }
}

/// A storage failure as the caller may see it.
pub fn storage_failed(error: StorageError) -> Error {
    match error {
        StorageError::Sealed => Error::unavailable("Vault is sealed"),
        other => Error::internal(other),
    }
}
