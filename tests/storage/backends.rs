//! Every backend, ready to use, each on a place of its own.

use std::path::PathBuf;
use std::sync::Arc;

use sparekey::crypto::barrier::BarrierKey;
use sparekey::crypto::secret::Key;
use sparekey::plugin::HostStorage;
use sparekey::random::SeededRandom;
use sparekey::storage::barrier::Barrier;
use sparekey::storage::memory::Memory;
use sparekey::storage::postgres::{ConnectionUrl, Options, Postgres, Table};
use sparekey::storage::redb::Redb;
use sparekey::storage::{Found, Get, PutError, Revision, Storage, Write};
use tempfile::TempDir;

use crate::fake_host::FakeHost;
use crate::postgres_server;

pub const MOUNT: [u8; 16] = [7; 16];

/// A store under test.
pub struct Backend {
    pub store: Arc<dyn Storage>,
    /// Whether a conflict anywhere in a list keeps all of it from being written.
    pub atomic: bool,
    pub random: SeededRandom,
    _folder: Option<TempDir>,
}

impl Backend {
    fn new(store: Arc<dyn Storage>, folder: Option<TempDir>) -> Self {
        Backend { store, atomic: true, random: SeededRandom::new(1), _folder: folder }
    }
    pub async fn get(&self, key: &str) -> Found {
        self.store.get_many(vec![Get::new(key)]).await.unwrap().pop().unwrap()
    }
    /// Creates `key`, which must work, and tells its revision.
    pub async fn create(&self, key: &str, value: &[u8]) -> Revision {
        self.store.put_all(vec![Write::create(key, value.to_vec(), &self.random)]).await.unwrap();
        self.revision(key).await
    }
    pub async fn revision(&self, key: &str) -> Revision {
        match self.get(key).await {
            Found::Value(_, revision) => revision,
            other => panic!("{key}: {other:?}"),
        }
    }
    pub async fn value(&self, key: &str) -> Option<Vec<u8>> {
        match self.get(key).await {
            Found::Value(value, _) => Some(value),
            Found::Absent => None,
            Found::Unchanged => panic!("{key} cannot be unchanged"),
        }
    }
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        self.store.list(prefix, after, limit).await.unwrap()
    }
}

/// The index in a conflict.
pub fn conflict(result: Result<(), PutError>) -> usize {
    match result {
        Err(PutError::Conflict { index }) => index,
        other => panic!("no conflict: {other:?}"),
    }
}

pub fn memory() -> Backend {
    Backend::new(Arc::new(Memory::new()), None)
}

pub fn sequential_memory() -> Backend {
    Backend { atomic: false, ..Backend::new(Arc::new(Memory::sequential()), None) }
}

pub fn redb() -> Backend {
    let (folder, path) = place();
    Backend::new(Arc::new(Redb::open(&path).unwrap()), Some(folder))
}

pub fn barrier_over_memory() -> Backend {
    Backend::new(unsealed(Arc::new(Memory::new())), None)
}

pub fn barrier_over_redb() -> Backend {
    let (folder, path) = place();
    Backend::new(unsealed(Arc::new(Redb::open(&path).unwrap())), Some(folder))
}

pub fn host_with_transactions() -> Backend {
    Backend::new(Arc::new(HostStorage::new(FakeHost::with_transactions().client())), None)
}

pub fn host_without_transactions() -> Backend {
    let store = HostStorage::new(FakeHost::without_transactions().client());
    Backend::new(Arc::new(store), None)
}

/// A table of its own in the server that this binary's tests share.
pub fn postgres() -> Backend {
    Backend::new(Arc::new(open(options(""))), None)
}

/// The same with statements that the server keeps.
pub fn postgres_prepared() -> Backend {
    Backend::new(Arc::new(open(Options { prepared_statements: true, ..options("") })), None)
}

/// The same where every transaction is serializable.
pub fn postgres_serializable() -> Backend {
    Backend::new(Arc::new(open(options("&options=-cdefault_transaction_isolation%3Dserializable"))), None)
}

pub fn barrier_over_postgres() -> Backend {
    Backend::new(unsealed(Arc::new(open(options("")))), None)
}

/// Options for a table of its own, with more in the URL.
pub fn options(more: &str) -> Options {
    let url = format!("{}{more}", postgres_server::shared().url());
    let mut options = Options::new(ConnectionUrl::new(url.into()));
    options.table = Table::parse(&postgres_server::table()).unwrap();
    options.max_parallel = 6;
    options
}

/// Opens a store from a test's own thread.
pub fn open(options: Options) -> Postgres {
    let opened = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(Postgres::open(&options)));
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// A folder that goes with the test, and where a store would be in it.
pub fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparekey.redb");
    (folder, path)
}

/// The barrier's key of this generation: the same each time.
pub fn key(generation: u32) -> BarrierKey {
    BarrierKey { generation, key: Key::generate(&SeededRandom::new(generation.into())) }
}

fn unsealed(inner: Arc<dyn Storage>) -> Arc<Barrier> {
    let barrier = Barrier::new(inner);
    barrier.unseal(MOUNT, vec![key(1)]);
    Arc::new(barrier)
}
