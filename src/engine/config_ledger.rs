//! The ledger of the configuration: what changed there, by whom, in the same commit as the change.

use serde_json::{Map, Value};

use crate::crypto::keyring::CONFIG_CHAIN;
use crate::engine::cache::storage_failed;
use crate::engine::request::Request;
use crate::engine::{Engine, keys, operator, record, remote};
use crate::error::{Error, Result};
use crate::ledger::archive::{self, Segment};
use crate::ledger::chain::Chain;
use crate::ledger::entry::{Actor, Entry};
use crate::random;
use crate::storage::{Change, Expect, Found, Get, PutError, Revision, Write};

/// Who changes the configuration, on which request.
#[derive(Debug, Clone, Default)]
pub struct By {
    actor: Actor,
    request_id: String,
    remote: Option<String>,
}

impl By {
    /// Whoever sent `request`.
    pub fn request(request: &Request) -> Self {
        By { actor: operator(request), request_id: request.id.clone(), remote: remote(request) }
    }
    /// Actor, request id and address, for a ledger entry.
    pub(super) fn parts(&self) -> (Actor, String, Option<String>) {
        (self.actor.clone(), self.request_id.clone(), self.remote.clone())
    }
    /// The engine itself, going on with what somebody began.
    pub fn engine() -> Self {
        By { actor: Actor { subject: "sparekey".to_owned(), ..Actor::default() }, ..By::default() }
    }
}

/// What is said of a change: the act and its detail, an object that names a `path`.
pub struct Said {
    /// `create`, `update`, `delete`, `rotate`, `rewrap`, `retire`, `recover`, `erase`, `quarantine`, `restore`.
    pub act: &'static str,
    /// Path, before and after.
    pub detail: Value,
}

/// What came of a write.
pub enum Outcome {
    /// It is durable; what audit says of it.
    Done(Map<String, Value>),
    /// Something was not what it was expected to be: read again.
    Conflict,
}

/// Carries `writes` out and notes them, together where the store can; else nothing is written unless the ledger is as it was
/// read, so that a conflict over the ledger leaves nothing half-done.
pub async fn write(engine: &Engine, by: &By, said: &Said, writes: Vec<Write>) -> Result<Outcome> {
    let found = engine.storage.get_many(vec![Get::new(keys::CONFIG_LEDGER)]).await.map_err(storage_failed)?;
    let (mut ledger, revision) = read(found.into_iter().next())?;
    let expect = revision.map_or(Expect::Absent, Expect::At);
    let note = append(engine, by, &mut ledger, said).await?;
    let mut list = vec![Write { key: keys::CONFIG_LEDGER.to_owned(), expect, change: Change::Check }];
    list.extend(segments(engine, &mut ledger).await?);
    list.extend(writes);
    list.push(Write::put(keys::CONFIG_LEDGER, expect, record::encode(&ledger), &*engine.random));
    match engine.storage.put_all(list).await {
        Ok(()) => Ok(Outcome::Done(note)),
        Err(PutError::Conflict { .. }) => Ok(Outcome::Conflict),
        Err(PutError::Unknown(source)) => Err(Error::internal(source)),
        Err(PutError::Failed(error)) => Err(storage_failed(error)),
    }
}

/// How often an entry is tried again when others change the configuration at the same time.
const TRIES: usize = 64;

impl Engine {
    /// Notes what changed elsewhere.
    pub async fn note_configuration(&self, by: &By, said: &Said) -> Result<Map<String, Value>> {
        for _ in 0..TRIES {
            if let Outcome::Done(note) = write(self, by, said, Vec::new()).await? {
                return Ok(note);
            }
        }
        Err(Error::unavailable("too many changes of the configuration at once; try again"))
    }
}

/// The ledger and its revision.
pub fn read(found: Option<Found>) -> Result<(Chain, Option<Revision>)> {
    match found {
        Some(Found::Value(bytes, revision)) => Ok((record::decode(keys::CONFIG_LEDGER, &bytes)?, Some(revision))),
        _ => Ok((Chain::default(), None)),
    }
}

/// Appends an entry; answers what audit says of it.
pub async fn append(engine: &Engine, by: &By, ledger: &mut Chain, said: &Said) -> Result<Map<String, Value>> {
    let keyring = engine.keyring().await?;
    let entry = Entry {
        seq: 0,
        at: engine.clock.now(),
        act: said.act.to_owned(),
        actor: by.actor.clone(),
        request_id: by.request_id.clone(),
        reason: None,
        ticket: None,
        generation: None,
        slot: None,
        remote: by.remote.clone(),
        repeat: false,
        detail: Some(said.detail.to_string()),
        operation: random::bytes(&*engine.random).into(),
    };
    let seq = ledger.append(entry, &|previous, bytes| keyring.ledger_mac(&CONFIG_CHAIN, previous, bytes));
    let mut note = Map::new();
    note.insert("path".to_owned(), said.detail["path"].clone());
    note.insert("seq".to_owned(), seq.into());
    note.insert("head".to_owned(), hex::encode(*ledger.head).into());
    Ok(note)
}

/// The writes that take older entries out of the ledger's record. A segment that a crash left behind is there already: its
/// boundaries are fixed, so it holds the same.
pub async fn segments(engine: &Engine, ledger: &mut Chain) -> Result<Vec<Write>> {
    let mut writes = Vec::new();
    while let Some((first, links)) = ledger.overflow() {
        let key = archive::key("config", first);
        let bytes = record::encode(&Segment { links });
        let found = engine.storage.get_many(vec![Get::new(key.clone())]).await.map_err(storage_failed)?;
        match found.into_iter().next() {
            Some(Found::Value(existing, _)) if existing == bytes => {}
            Some(Found::Value(..)) => {
                return Err(Error::internal(format!("ledger segment {key} holds other entries than the record")));
            }
            _ => writes.push(Write::create(key, bytes, &*engine.random)),
        }
    }
    Ok(writes)
}
