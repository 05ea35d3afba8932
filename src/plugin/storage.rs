//! The mounting vault's storage under the engine's contract (`crate::storage`).
//!
//! An entry is `revision (16) ‖ value`. Where the host has transactions, look, compare and write are one. Where it has none, a
//! lock for each key stands in for them: it rests on the host's single active writer, and the engine adds a marker for each burn.
//! Configuration records that are known to be unchanged are not asked for again (`fresh`, `step`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use tonic::Code;
use tonic::transport::Channel;

use super::fresh::{self, Fresh, STAMP, Stamp};
use super::host::HostError;
use super::locks::{Held, Latest, Locks};
use super::proto::pb::storage_client::StorageClient;
use super::proto::pb::{Empty, StorageListArgs, StorageListPageArgs, StorageListReply};
use super::step::HostStep;
use super::transaction::{Calls, Committed, Entry, Transaction};
use crate::random::OsRandom;
use crate::storage::{BoxFuture, Change, Found, Get, PutError, Revision, Step, Storage, StorageError, Write, conflict};

/// How often a write is tried again when a transaction was overtaken by one of another record.
const TRIES: usize = 16;
/// How long a node is taken for one that may not write before it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// What a trial write leaves for a moment.
const TRIAL: &str = "trial";

/// One mount's storage. A write that has begun goes on to its end, whatever becomes of who asked for it.
#[derive(Clone)]
pub struct HostStorage(Arc<Inner>);

/// The connection, and what is held for it.
pub(super) struct Inner {
    client: StorageClient<Channel>,
    transactional: OnceCell<bool>,
    read_only: AtomicBool,
    tried: Mutex<Option<Instant>>,
    shared: Arc<Shared>,
}

/// What all connections of one mount in this process have in common. A host may open a second one before it lets go of the first.
#[derive(Default)]
struct Shared {
    fresh: Fresh,
    locks: Locks,
    latest: Latest,
}

impl HostStorage {
    /// Asks the host for nothing yet: while a plugin is being registered it has no storage.
    pub fn new(client: StorageClient<Channel>) -> Self {
        Self::with(client, Arc::default())
    }
    /// Another connection to the same mount's storage.
    pub fn again(&self, client: StorageClient<Channel>) -> Self {
        Self::with(client, self.0.shared.clone())
    }
    fn with(client: StorageClient<Channel>, shared: Arc<Shared>) -> Self {
        HostStorage(Arc::new(Inner {
            client,
            transactional: OnceCell::new(),
            read_only: AtomicBool::new(false),
            tried: Mutex::default(),
            shared,
        }))
    }
    /// Whether only another node may write, as far as was seen.
    pub fn is_read_only(&self) -> bool {
        self.0.read_only.load(Ordering::Acquire)
    }
    /// Whether this node may write. Where it could not the last time, it tries again now and then: the host tells of a change by
    /// initialising the mount anew, and if it ever did not, the mount must not stay as it is.
    pub async fn may_write(&self) -> bool {
        if self.is_read_only() && self.0.is_time_to_try() {
            // What came of it stands in the flag.
            let _ = self.try_to_write().await;
        }
        !self.is_read_only()
    }
    /// Finds out what the host can, and whether this node may write, by writing.
    pub async fn try_to_write(&self) -> Result<(), HostError> {
        *self.0.tried.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.is_transactional().await?;
        let calls = Calls::plain(self.0.client.clone());
        let written = match calls.put(TRIAL, Vec::new()).await {
            Ok(()) => calls.delete(TRIAL).await,
            Err(error) => Err(error),
        };
        self.0.read_only.store(matches!(written, Err(HostError::ReadOnly)), Ordering::Release);
        written
    }
    /// From here on everything is asked for again.
    pub fn forget(&self) {
        self.0.shared.fresh.forget_all();
    }
    /// The host says that `key` changed on another node.
    pub fn changed(&self, key: &str) {
        match key {
            STAMP => self.forget(),
            key => self.0.shared.fresh.forget(key),
        }
    }
    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    async fn put(self, writes: Vec<Write>) -> Result<(), PutError> {
        if writes.is_empty() {
            return Ok(());
        }
        let failed = |error| PutError::Failed(self.0.failed(error));
        if !self.0.is_transactional().await.map_err(failed)? {
            return self.0.put_in_order(&writes).await;
        }
        let _held = self.0.lock(&writes, true).await;
        for _ in 0..TRIES {
            // A transaction of its own, tried again while it is overtaken.
            match HostStep::for_write(&self).await?.commit(&writes).await? {
                Committed::Yes => return Ok(()),
                Committed::Overtaken => {}
            }
        }
        Err(PutError::Failed(StorageError::Failed("transactions were overtaken too often".into())))
    }
}

impl Inner {
    fn is_time_to_try(&self) -> bool {
        let tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        tried.is_none_or(|at| at.elapsed() > TRY_AGAIN)
    }
    pub(super) fn client(&self) -> StorageClient<Channel> {
        self.client.clone()
    }
    pub(super) fn fresh(&self) -> &Fresh {
        &self.shared.fresh
    }
    /// The locks of what `writes` change; of what they only check, too, where nothing else holds it.
    pub(super) async fn lock(&self, writes: &[Write], transactional: bool) -> Held {
        let keys = writes.iter().filter(|write| !transactional || write.change != Change::Check);
        let stamp = (!transactional && fresh::concerns(writes)).then_some(STAMP);
        self.shared.locks.take(keys.map(|write| write.key.as_str()).chain(stamp)).await
    }
    pub(super) fn latest(&self) -> &Latest {
        &self.shared.latest
    }
    pub(super) async fn is_transactional(&self) -> Result<bool, HostError> {
        let ask = || async {
            match self.client.clone().is_transactional(Empty {}).await {
                Ok(reply) => Ok(reply.into_inner().transactional),
                Err(status) if status.code() == Code::Unimplemented => Ok(false),
                Err(status) => Err(HostError::from(status)),
            }
        };
        self.transactional.get_or_try_init(ask).await.copied()
    }
    pub(super) fn failed(&self, error: HostError) -> StorageError {
        self.note(&error);
        StorageError::Failed(Box::new(error))
    }
    fn note(&self, error: &HostError) {
        if let HostError::ReadOnly = error {
            self.read_only.store(true, Ordering::Release);
        }
    }

    async fn get(&self, gets: Vec<Get>) -> Result<Vec<Found>, StorageError> {
        let since = self.shared.fresh.begin();
        let mut found: Vec<Option<Found>> = gets.iter().map(|get| self.known(get)).collect();
        let calls = Calls::plain(self.client.clone());
        let unknown: Vec<usize> = (0..gets.len()).filter(|index| found[*index].is_none()).collect();
        let keys: Vec<&str> = unknown.iter().map(|index| gets[*index].key.as_str()).collect();
        let values = calls.read(&keys).await;
        for (index, value) in unknown.into_iter().zip(values) {
            let Get { key, known } = &gets[index];
            let value = value.map_err(|error| self.failed(error))?;
            let split = value.map(|bytes| split(key, bytes)).transpose()?;
            self.shared.fresh.found(since, key, split.as_ref().map(|(_, revision)| *revision));
            found[index] = Some(match split {
                None => Found::Absent,
                Some((_, revision)) if *known == Some(revision) => Found::Unchanged,
                Some((value, revision)) => Found::Value(value, revision),
            });
        }
        Ok(found.into_iter().flatten().collect())
    }
    /// What can be said of a key without asking.
    fn known(&self, get: &Get) -> Option<Found> {
        match (self.shared.fresh.lately(&get.key)?, get.known) {
            (None, _) => Some(Found::Absent),
            (Some(revision), known) if known == Some(revision) => Some(Found::Unchanged),
            _ => None,
        }
    }

    /// Writes what is to change, in `transaction`, and the stamp if the configuration is among it; then commits.
    pub(super) async fn commit(&self, mut transaction: Transaction, writes: &[Write]) -> Result<Committed, PutError> {
        let concerns = fresh::concerns(writes);
        let changes = last_changes(writes);
        let mut entries: Vec<Entry> = changes
            .iter()
            .map(|(key, change)| ((*key).to_owned(), change.map(|(value, revision)| joined(revision, value))))
            .collect();
        if concerns {
            entries.push((STAMP.to_owned(), Some(stamp(true))));
        }
        let written = transaction.write(entries).await;
        written.map_err(|error| PutError::Failed(self.failed(error)))?;
        let committed = transaction.commit().await;
        if concerns {
            self.shared.fresh.forget_all();
        }
        match committed {
            Ok(Committed::Yes) => {
                for (key, change) in changes {
                    self.shared.latest.left(key, change.map(|(_, revision)| revision));
                }
                Ok(Committed::Yes)
            }
            Ok(Committed::Overtaken) => Ok(Committed::Overtaken),
            Err(HostError::Lost(said)) => Err(PutError::Unknown(said.into())),
            Err(error) => Err(PutError::Failed(self.failed(error))),
        }
    }

    /// One write after the other, once all of them were looked at, under the locks of all: a list whose last write would come to
    /// nothing must not leave its first behind, made of a record that somebody else has changed since. Where the configuration is among them
    /// the stamp says before the first that it is being changed, and after the last that it has been: whatever happens in
    /// between, nobody takes from memory what was there before.
    pub(super) async fn put_in_order(&self, writes: &[Write]) -> Result<(), PutError> {
        let _held = self.lock(writes, false).await;
        let concerns = fresh::concerns(writes);
        if !concerns {
            return self.each(writes).await;
        }
        let calls = Calls::plain(self.client.clone());
        if let Err(error) = calls.put(STAMP, stamp(false)).await {
            return Err(PutError::Failed(self.failed(error)));
        }
        let outcome = self.each(writes).await;
        if !matches!(outcome, Err(PutError::Unknown(_)))
            && let Err(error) = calls.put(STAMP, stamp(true)).await
        {
            tracing::warn!(?error, "the configuration is read anew for every act until it is next written");
        }
        self.shared.fresh.forget_all();
        outcome
    }
    async fn each(&self, writes: &[Write]) -> Result<(), PutError> {
        let calls = Calls::plain(self.client.clone());
        let mut keys: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut current = HashMap::with_capacity(keys.len());
        for (key, value) in keys.iter().zip(calls.read(&keys).await) {
            let value = value.map_err(|error| PutError::Failed(self.failed(error)))?;
            let split = value.map(|bytes| split(key, bytes)).transpose().map_err(PutError::Failed)?;
            current.insert(*key, split.map(|(_, revision)| revision));
        }
        let known = |key: &str| Ok::<_, PutError>(current.get(key).copied().flatten());
        if let Some(index) = conflict::first(writes, known)? {
            return Err(PutError::Conflict { index });
        }
        let mut begun = false;
        for write in writes {
            let done = match &write.change {
                Change::Put { value, revision } => calls.put(&write.key, joined(*revision, value)).await,
                Change::Delete => calls.delete(&write.key).await,
                Change::Check => continue,
            };
            match done {
                Ok(()) => begun = true,
                Err(error @ HostError::Lost(_)) => return Err(PutError::Unknown(Box::new(error))),
                Err(error) if begun => return Err(PutError::Unknown(Box::new(error))),
                Err(error) => return Err(PutError::Failed(self.failed(error))),
            }
        }
        Ok(())
    }

    /// The same from a host that can page: it need not send a whole folder for a few names of it.
    async fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Option<Vec<String>>, StorageError> {
        // At the root there are few names, and one that is not to be seen.
        if prefix.is_empty() || !self.is_transactional().await.map_err(|error| self.failed(error))? {
            return Ok(None);
        }
        let args = StorageListPageArgs {
            prefix: prefix.to_owned(),
            after: after.unwrap_or_default().to_owned(),
            limit: i32::try_from(limit).unwrap_or(i32::MAX),
            txn: String::new(),
        };
        match self.client.clone().list_page(args).await {
            Ok(reply) => {
                let StorageListReply { mut keys, err } = reply.into_inner();
                HostError::check(&err).map_err(|error| self.failed(error))?;
                keys.sort_unstable();
                Ok(Some(keys))
            }
            Err(status) if status.code() == Code::Unimplemented => Ok(None),
            Err(status) => Err(self.failed(status.into())),
        }
    }
    async fn names(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StorageError> {
        if !prefix.is_empty() && !prefix.ends_with('/') {
            return Err(StorageError::Failed(format!("list prefix {prefix:?} must be empty or end in /").into()));
        }
        if limit == 0 {
            return Ok(Vec::new());
        }
        if let Some(page) = self.page(prefix, after, limit).await? {
            return Ok(page);
        }
        let args = StorageListArgs { prefix: prefix.to_owned(), txn: String::new() };
        let reply = self.client.clone().list(args).await.map_err(|status| self.failed(status.into()))?.into_inner();
        HostError::check(&reply.err).map_err(|error| self.failed(error))?;
        let mut names = reply.keys;
        // The stamp is ours and no record.
        names.retain(|name| after.is_none_or(|after| name.as_str() > after) && !(prefix.is_empty() && name == STAMP));
        names.sort_unstable();
        names.dedup();
        names.truncate(limit);
        Ok(names)
    }
}

/// A value and its revision, or `None` where there will be none.
pub(super) type Becomes<'w> = Option<(&'w [u8], Revision)>;

/// The last change of each key, in order: `None` removes it. Checks change nothing.
pub(super) fn last_changes(writes: &[Write]) -> Vec<(&str, Becomes<'_>)> {
    let mut last: Vec<(&str, Becomes<'_>)> = Vec::new();
    for write in writes {
        let change = match &write.change {
            Change::Put { value, revision } => Some((value.as_slice(), *revision)),
            Change::Delete => None,
            Change::Check => continue,
        };
        match last.iter_mut().find(|(key, _)| *key == write.key) {
            Some(earlier) => earlier.1 = change,
            None => last.push((&write.key, change)),
        }
    }
    last
}

/// The entry of a stamp that nobody has seen.
fn stamp(settled: bool) -> Vec<u8> {
    joined(Revision::new(&OsRandom), Stamp::value(settled))
}

fn joined(revision: Revision, value: &[u8]) -> Vec<u8> {
    let mut entry = Vec::with_capacity(16 + value.len());
    entry.extend_from_slice(&revision.0);
    entry.extend_from_slice(value);
    entry
}

pub(super) fn split(key: &str, mut entry: Vec<u8>) -> Result<(Vec<u8>, Revision), StorageError> {
    match entry.first_chunk::<16>() {
        Some(revision) => {
            let revision = Revision(*revision);
            entry.drain(..16);
            Ok((entry, revision))
        }
        None => Err(StorageError::Corrupt { key: key.to_owned(), source: "no revision".into() }),
    }
}

impl Storage for HostStorage {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(self.0.get(gets))
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            let writing = tokio::spawn(self.clone().put(writes));
            writing.await.unwrap_or_else(|_| Err(PutError::Unknown("the write was cut off".into())))
        })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        Box::new(HostStep::new(HostStorage::clone(&self)))
    }
    fn commits_together(&self) -> bool {
        self.0.transactional.get().is_some_and(|transactional| *transactional)
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(self.0.names(prefix, after, limit))
    }
}
