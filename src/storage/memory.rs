//! A store in memory: for `--dev` and for tests. It forgets everything when it is dropped.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::snapshot::{Batch, Entry, Snapshot};
use super::{
    Apart, BoxFuture, Change, Found, Get, PutError, Revision, Step, Storage, StorageError, Write, conflict, level,
};

type Map = BTreeMap<String, (Vec<u8>, Revision)>;

/// A sorted map behind a lock that is held for one synchronous step, never over an await.
#[derive(Debug, Default)]
pub struct Memory {
    map: Mutex<Map>,
    sequential: bool,
}

impl Memory {
    /// An empty store that carries out all writes of a list or none.
    pub fn new() -> Self {
        Self::default()
    }
    /// An empty store that carries out writes one after the other and lets others in between, as a backend without
    /// transactions does: for proving that an order of writes is harmless wherever it stops.
    pub fn sequential() -> Self {
        Memory { sequential: true, ..Self::default() }
    }
    fn map(&self) -> MutexGuard<'_, Map> {
        // A panic cannot leave the map half changed: every step below checks first and then only inserts and removes.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn put(&self, writes: Vec<Write>) -> Result<(), PutError> {
        let mut map = self.map();
        let stored = |key: &str| Ok(map.get(key).map(|(_, revision)| *revision));
        if let Some(index) = conflict::first(&writes, stored).map_err(PutError::Failed)? {
            return Err(PutError::Conflict { index });
        }
        for Write { key, change, .. } in writes {
            match change {
                Change::Put { value, revision } => drop(map.insert(key, (value, revision))),
                Change::Delete => drop(map.remove(&key)),
                Change::Check => {}
            }
        }
        Ok(())
    }
    fn get(&self, gets: Vec<Get>) -> Vec<Found> {
        let map = self.map();
        let found = |get: Get| match map.get(&get.key) {
            None => Found::Absent,
            Some((_, revision)) if get.known == Some(*revision) => Found::Unchanged,
            Some((value, revision)) => Found::Value(value.clone(), *revision),
        };
        gets.into_iter().map(found).collect()
    }
}

impl Storage for Memory {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move { Ok(self.get(gets)) })
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            if !self.sequential {
                return self.put(writes);
            }
            for (index, write) in writes.into_iter().enumerate() {
                self.put(vec![write]).map_err(|error| match error {
                    PutError::Conflict { .. } => PutError::Conflict { index },
                    other => other,
                })?;
                tokio::task::yield_now().await;
            }
            Ok(())
        })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        Box::new(Apart(self))
    }
    fn commits_together(&self) -> bool {
        !self.sequential
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(async move {
            let map = self.map();
            level::entries(prefix, after, limit, |from| {
                Ok(map.range::<str, _>((from, Bound::Unbounded)).next().map(|(key, _)| key.clone()))
            })
        })
    }
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StorageError>> {
        Box::pin(async move { Ok(Box::new(Copied(self.map().clone())) as Box<dyn Snapshot>) })
    }
}

/// A copy of the map, which is used up from its beginning.
struct Copied(Map);

impl Snapshot for Copied {
    fn total(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Entry>, StorageError>> {
        Box::pin(async move {
            let mut batch = Batch::new(limit);
            while !batch.is_full() {
                let Some((key, (value, revision))) = self.0.pop_first() else { break };
                batch.push(Entry { key, value, revision });
            }
            Ok(batch.end())
        })
    }
}
