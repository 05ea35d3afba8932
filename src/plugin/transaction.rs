//! A transaction of the host's storage that cannot be used after its end and does not stay open behind an act that went away:
//! the host would write through a finished one as if there were none, and never ends one by itself.

use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::host::HostError;
use super::proto::pb::storage_client::StorageClient;
use super::proto::pb::{
    Empty, StorageCommitTxArgs, StorageDeleteArgs, StorageEntry, StorageGetArgs, StoragePutArgs, StorageRollbackTxArgs,
};

/// Calls on the host's storage, all within one transaction or all without.
#[derive(Clone)]
pub struct Calls {
    client: StorageClient<Channel>,
    txn: String,
}

impl Calls {
    /// Calls outside of any transaction.
    pub fn plain(client: StorageClient<Channel>) -> Self {
        Calls { client, txn: String::new() }
    }
    /// The entry's value.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, HostError> {
        let args = StorageGetArgs { key: key.to_owned(), txn: self.txn.clone() };
        let reply = self.client.clone().get(args).await?.into_inner();
        HostError::check(&reply.err)?;
        Ok(reply.entry.map(|entry| entry.value))
    }
    /// Reads side by side; answers come in the order of `keys`.
    pub async fn read(&self, keys: &[&str]) -> Vec<Result<Option<Vec<u8>>, HostError>> {
        if let [key] = keys {
            return vec![self.get(key).await];
        }
        let mut reads = JoinSet::new();
        for (index, key) in keys.iter().enumerate() {
            let (calls, key) = (self.clone(), (*key).to_owned());
            reads.spawn(async move { (index, calls.get(&key).await) });
        }
        let lost = |_| Err(HostError::Lost("the read was cut off".to_owned()));
        let mut answers: Vec<_> = (0..keys.len()).map(lost).collect();
        while let Some(read) = reads.join_next().await {
            if let Ok((index, answer)) = read {
                answers[index] = answer;
            }
        }
        answers
    }
    /// Writes the entry.
    pub async fn put(&self, key: &str, value: Vec<u8>) -> Result<(), HostError> {
        let entry = Some(StorageEntry { key: key.to_owned(), value, seal_wrap: super::root::is_wrapped(key) });
        let args = StoragePutArgs { entry, txn: self.txn.clone() };
        HostError::check(&self.client.clone().put(args).await?.into_inner().err)
    }
    /// Removes the entry.
    pub async fn delete(&self, key: &str) -> Result<(), HostError> {
        let args = StorageDeleteArgs { key: key.to_owned(), txn: self.txn.clone() };
        HostError::check(&self.client.clone().delete(args).await?.into_inner().err)
    }
}

/// An open transaction; rolled back unless it is committed.
pub struct Transaction {
    calls: Option<Calls>,
    /// A write may still be on its way. It would pass the transaction by if it arrived after the rollback, so then there is none.
    writing: bool,
}

/// How a commit came out.
pub enum Committed {
    /// It is durable.
    Yes,
    /// Somebody else changed what this one read or wrote: nothing was written.
    Overtaken,
}

/// What becomes of an entry.
pub type Entry = (String, Option<Vec<u8>>);

impl Transaction {
    /// Begins one.
    pub async fn begin(client: StorageClient<Channel>) -> Result<Self, HostError> {
        let reply = client.clone().begin_tx(Empty {}).await?.into_inner();
        HostError::check(&reply.err)?;
        match reply.txn.is_empty() {
            // Without an id every call would go past the transaction.
            true => Err(HostError::Refused("a transaction without an id".to_owned())),
            false => Ok(Transaction { calls: Some(Calls { client, txn: reply.txn }), writing: false }),
        }
    }
    /// Reads within it.
    pub async fn read(&self, keys: &[&str]) -> Vec<Result<Option<Vec<u8>>, HostError>> {
        match &self.calls {
            Some(calls) => calls.read(keys).await,
            None => Vec::new(),
        }
    }
    /// Writes within it, side by side. Answers when all are answered: [`HostError::Lost`] if one is not.
    pub async fn write(&mut self, entries: Vec<Entry>) -> Result<(), HostError> {
        let Some(calls) = &self.calls else { return Ok(()) };
        let mut writes = JoinSet::new();
        for (key, value) in entries {
            let calls = calls.clone();
            writes.spawn(async move {
                match value {
                    Some(value) => calls.put(&key, value).await,
                    None => calls.delete(&key).await,
                }
            });
        }
        self.writing = true;
        let mut outcome = Ok(());
        while let Some(written) = writes.join_next().await {
            match written.unwrap_or_else(|_| Err(HostError::Lost("the write was cut off".to_owned()))) {
                Ok(()) => {}
                Err(error @ HostError::Lost(_)) => outcome = Err(error),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        self.writing = matches!(outcome, Err(HostError::Lost(_)));
        outcome
    }
    /// Makes it durable. [`HostError::Lost`] if the outcome is unknown.
    pub async fn commit(mut self) -> Result<Committed, HostError> {
        let Some(calls) = self.calls.take() else { return Err(HostError::Refused("no transaction".to_owned())) };
        let args = StorageCommitTxArgs { txn: calls.txn };
        let mut client = calls.client;
        match HostError::check(&client.commit(args).await?.into_inner().err) {
            Err(HostError::Refused(said)) if said.contains("transaction commit failed") => Ok(Committed::Overtaken),
            Err(HostError::Refused(said)) => Err(HostError::Lost(said)),
            other => other.map(|()| Committed::Yes),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let (Some(calls), Ok(runtime)) = (self.calls.take(), tokio::runtime::Handle::try_current()) else { return };
        if self.writing {
            tracing::warn!("a transaction is left to the host: a write in it got no answer");
            return;
        }
        runtime.spawn(async move {
            let Calls { mut client, txn } = calls;
            if let Err(error) = client.rollback(StorageRollbackTxArgs { txn }).await {
                tracing::debug!(code = %error.code(), "a transaction could not be rolled back");
            }
        });
    }
}
