//! A store with one writer at a time: a mounting vault without transactions writes one record after the other, and the plugin
//! looks at all of them first and keeps others away until it is through (`src/plugin/storage.rs`). Reads come in between.

use std::sync::Arc;

use sparekey::storage::line::Lines;
use sparekey::storage::snapshot::Snapshot;
use sparekey::storage::{Apart, BoxFuture, Found, Get, PutError, Step, Storage, StorageError, Write};
use tokio::sync::Mutex;

/// The layer, for all nodes over `inner`.
pub struct OneWriter {
    inner: Arc<dyn Storage>,
    turn: Mutex<()>,
}

impl OneWriter {
    /// Over `inner`.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        OneWriter { inner, turn: Mutex::default() }
    }
}

impl Storage for OneWriter {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        self.inner.get_many(gets)
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            let _turn = self.turn.lock().await;
            let gets = writes.iter().map(|write| Get::new(write.key.clone())).collect();
            let found = self.inner.get_many(gets).await.map_err(PutError::Failed)?;
            let revision = |found: &Found| match found {
                Found::Value(_, revision) => Some(*revision),
                Found::Absent | Found::Unchanged => None,
            };
            // No list of the engine's names a key twice.
            let mut looked = writes.iter().zip(&found);
            match looked.position(|(write, found)| !write.expect.holds(revision(found))) {
                Some(index) => Err(PutError::Conflict { index }),
                None => self.inner.put_all(writes).await,
            }
        })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        Box::new(Apart(self))
    }
    fn commits_together(&self) -> bool {
        self.inner.commits_together()
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        self.inner.list(prefix, after, limit)
    }
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StorageError>> {
        Arc::clone(&self.inner).snapshot()
    }
    fn settled(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        self.inner.settled()
    }
    fn lines(&self) -> Option<&Lines> {
        self.inner.lines()
    }
}
