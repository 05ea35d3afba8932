//! An act's reads and its write on the host's storage: one transaction where the host has them, with the stamp of the configuration
//! in it, so that neither the account nor anything taken from memory can have changed when it commits.

use std::collections::HashMap;

use super::fresh::{STAMP, Stamp};
use super::host::HostError;
use super::storage::{HostStorage, Inner, split};
use super::transaction::{Calls, Committed, Transaction};
use crate::engine::keys;
use crate::storage::{BoxFuture, Found, Get, PutError, Revision, Step, StorageError, Write, conflict};

/// A step of one mount; see [`crate::storage::Step`].
pub struct HostStep {
    storage: HostStorage,
    /// Begun with the first read, on hosts that have them.
    transaction: Option<Transaction>,
    /// How many writes this process had made before it.
    after: u64,
    stamp: Option<Stamp>,
    /// What was found of each key.
    seen: HashMap<String, Option<Revision>>,
}

impl HostStep {
    /// One that has not asked the host for anything.
    pub fn new(storage: HostStorage) -> Self {
        HostStep { storage, transaction: None, after: 0, stamp: None, seen: HashMap::new() }
    }
    fn inner(&self) -> &Inner {
        self.storage.inner()
    }
    /// Where this step's calls go.
    async fn begin(&mut self) -> Result<(), StorageError> {
        let failed = |error| self.storage.inner().failed(error);
        if self.transaction.is_none() && self.inner().is_transactional().await.map_err(failed)? {
            self.after = self.inner().latest().count();
            let begun = Transaction::begin(self.inner().client()).await;
            self.transaction = Some(begun.map_err(failed)?);
        }
        Ok(())
    }
    async fn ask(&self, keys: &[&str]) -> Vec<Result<Option<Vec<u8>>, HostError>> {
        match &self.transaction {
            Some(transaction) => transaction.read(keys).await,
            None => Calls::plain(self.inner().client()).read(keys).await,
        }
    }
    fn entry(
        &self,
        key: &str,
        read: Result<Option<Vec<u8>>, HostError>,
    ) -> Result<Option<(Vec<u8>, Revision)>, StorageError> {
        read.map_err(|error| self.inner().failed(error))?.map(|bytes| split(key, bytes)).transpose()
    }

    /// The configuration is taken from memory while its stamp, read along, is the one from before.
    async fn get(&mut self, gets: Vec<Get>) -> Result<Vec<Found>, StorageError> {
        self.begin().await?;
        let mut found: Vec<Option<Found>> = gets.iter().map(|_| None).collect();
        let wants_stamp = self.stamp.is_none() && gets.iter().any(|get| keys::is_configuration(&get.key));
        let held = |step: &Self, get: &Get| match step.stamp {
            Some(stamp) => step.inner().fresh().under(stamp, &get.key),
            None => step.inner().fresh().lately(&get.key),
        };
        // What is known may turn out not to be; what is not known is asked for together with the stamp.
        let known: Vec<Option<Option<Revision>>> = gets.iter().map(|get| held(self, get)).collect();
        let useful = |index: usize| from_memory(&gets[index], known[index]).is_some();
        let (later, now): (Vec<usize>, Vec<usize>) = (0..gets.len()).partition(|index| useful(*index));
        let since = self.inner().fresh().begin();
        let mut names: Vec<&str> = now.iter().map(|index| gets[*index].key.as_str()).collect();
        names.extend(wants_stamp.then_some(STAMP));
        let mut read = self.ask(&names).await;
        if wants_stamp && let Some(entry) = read.pop() {
            let stamp = Stamp::read(self.entry(STAMP, entry)?);
            self.stamp = Some(stamp);
            self.inner().fresh().confirm(stamp);
        }
        self.take(&gets, &now, read, since, &mut found)?;
        // Under another stamp nothing is known, and this asks for the rest.
        let mut rest = Vec::new();
        for index in later {
            match from_memory(&gets[index], held(self, &gets[index])) {
                Some(answer) => {
                    self.seen.insert(gets[index].key.clone(), revision_of(&answer, gets[index].known));
                    found[index] = Some(answer);
                }
                None => rest.push(index),
            }
        }
        if !rest.is_empty() {
            let since = self.inner().fresh().begin();
            let names: Vec<&str> = rest.iter().map(|index| gets[*index].key.as_str()).collect();
            let read = self.ask(&names).await;
            self.take(&gets, &rest, read, since, &mut found)?;
        }
        Ok(found.into_iter().flatten().collect())
    }
    fn take(
        &mut self,
        gets: &[Get],
        asked: &[usize],
        read: Vec<Result<Option<Vec<u8>>, HostError>>,
        since: super::fresh::Since,
        found: &mut [Option<Found>],
    ) -> Result<(), StorageError> {
        for (index, entry) in asked.iter().zip(read) {
            let Get { key, known } = &gets[*index];
            let entry = self.entry(key, entry)?;
            let revision = entry.as_ref().map(|(_, revision)| *revision);
            self.inner().fresh().found(since, key, revision);
            self.seen.insert(key.clone(), revision);
            found[*index] = Some(match entry {
                None => Found::Absent,
                Some((_, revision)) if *known == Some(revision) => Found::Unchanged,
                Some((value, revision)) => Found::Value(value, revision),
            });
        }
        Ok(())
    }

    /// Writes under the locks of what changes, so that rivals in this process seldom come to a commit in vain.
    async fn put(mut self, writes: Vec<Write>) -> Result<(), PutError> {
        if writes.is_empty() {
            return Ok(());
        }
        self.begin().await.map_err(PutError::Failed)?;
        if self.transaction.is_none() {
            return self.storage.inner().put_in_order(&writes).await;
        }
        let storage = self.storage.clone();
        let _held = storage.inner().lock(&writes, true).await;
        let latest = storage.inner().latest();
        let outdated = |write: &Write| latest.contradicts(&write.key, write.expect, self.after);
        if let Some(index) = writes.iter().position(outdated) {
            return Err(PutError::Conflict { index });
        }
        match self.commit(&writes).await? {
            Committed::Yes => Ok(()),
            // What it was is found by reading again.
            Committed::Overtaken => Err(PutError::Conflict { index: 0 }),
        }
    }
    /// Compares, writes and commits in the one transaction.
    pub(super) async fn commit(&mut self, writes: &[Write]) -> Result<Committed, PutError> {
        let mut unseen: Vec<&str> = writes.iter().map(|write| write.key.as_str()).collect();
        unseen.retain(|key| !self.seen.contains_key(*key));
        unseen.sort_unstable();
        unseen.dedup();
        for (key, entry) in unseen.iter().zip(self.ask(&unseen).await) {
            let entry = self.entry(key, entry).map_err(PutError::Failed)?;
            self.seen.insert((*key).to_owned(), entry.map(|(_, revision)| revision));
        }
        let seen = &self.seen;
        let current = |key: &str| Ok::<_, PutError>(seen.get(key).copied().flatten());
        if let Some(index) = conflict::first(writes, current)? {
            return Err(PutError::Conflict { index });
        }
        let Some(transaction) = self.transaction.take() else {
            return Err(PutError::Failed(StorageError::Failed("a step without a transaction".into())));
        };
        self.storage.inner().commit(transaction, writes).await
    }
    /// A step for a write that nothing was read for.
    pub(super) async fn for_write(storage: &HostStorage) -> Result<Self, PutError> {
        let mut step = Self::new(storage.clone());
        step.begin().await.map_err(PutError::Failed)?;
        Ok(step)
    }
}

/// What can be said of a key whose revision is known: nothing if its value is wanted.
fn from_memory(get: &Get, known: Option<Option<Revision>>) -> Option<Found> {
    match known? {
        None => Some(Found::Absent),
        Some(revision) if get.known == Some(revision) => Some(Found::Unchanged),
        Some(_) => None,
    }
}

fn revision_of(found: &Found, known: Option<Revision>) -> Option<Revision> {
    match found {
        Found::Absent => None,
        Found::Unchanged => known,
        Found::Value(_, revision) => Some(*revision),
    }
}

impl Step for HostStep {
    fn get_many(&mut self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(self.get(gets))
    }
    fn put_all(self: Box<Self>, writes: Vec<Write>) -> BoxFuture<'static, Result<(), PutError>> {
        Box::pin(async move {
            let writing = tokio::spawn(self.put(writes));
            writing.await.unwrap_or_else(|_| Err(PutError::Unknown("the write was cut off".into())))
        })
    }
}
