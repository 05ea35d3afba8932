//! A store with one writer at a time: a mounting vault without transactions writes one record after the other, and the plugin
//! keeps others away from them until it is through (`src/plugin/locks.rs`). Reads come in between.

use std::sync::Arc;

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
            self.inner.put_all(writes).await
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
}
