//! A host's storage as it was measured, in this process: with or without transactions, read-only, counting, failing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use sparekey::plugin::proto::pb::storage_client::StorageClient;
use sparekey::plugin::proto::pb::storage_server::{Storage, StorageServer};
use sparekey::plugin::proto::pb::*;
use tokio::io::DuplexStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// What is in it and how it behaves.
#[derive(Default)]
pub struct FakeHost {
    state: Mutex<State>,
    transactional: bool,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Vec<u8>>,
    open: HashMap<String, Open>,
    begun: usize,
    read_only: bool,
    calls: Vec<String>,
    /// Calls with an id that is not open: the real host lets them through to the store.
    strays: Vec<String>,
    /// The next commit is carried out, and its answer gets lost.
    lose_commit: bool,
    /// The next commit finds itself overtaken.
    overtake: bool,
    /// The next so many plain writes are carried out; then every write fails.
    writes_left: Option<usize>,
}

/// A transaction: what it saw and what it will write.
#[derive(Default)]
struct Open {
    seen: BTreeMap<String, Option<Vec<u8>>>,
    writes: BTreeMap<String, Option<Vec<u8>>>,
}

const READ_ONLY: &str = "cannot write to readonly storage";

impl FakeHost {
    /// A host with transactions, as OpenBao's raft has them.
    pub fn with_transactions() -> Arc<Self> {
        Arc::new(FakeHost { transactional: true, ..FakeHost::default() })
    }
    /// A host that knows nothing of them, as Vault.
    pub fn without_transactions() -> Arc<Self> {
        Arc::default()
    }
    /// A client of it. Must be called in a runtime.
    pub fn client(self: &Arc<Self>) -> StorageClient<Channel> {
        let host = self.clone();
        let connector = tower::service_fn(move |_| {
            let host = host.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(1 << 20);
                host.serve(ours);
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(theirs))
            }
        });
        let channel = Endpoint::from_static("http://fake").connect_with_connector_lazy(connector);
        StorageClient::new(channel).max_decoding_message_size(64 << 20)
    }
    /// Serves it on a connection until that ends. Must be called in a runtime.
    pub fn serve(self: &Arc<Self>, connection: DuplexStream) {
        let connections = tokio_stream::once(Ok::<DuplexStream, std::io::Error>(connection));
        let service = StorageServer::new(Served(self.clone())).max_decoding_message_size(64 << 20);
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(connections));
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
    /// Another node is the one that may write, or no longer.
    pub fn read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }
    /// What was called since the last time this was asked, in order: `Get key`, `Commit` …
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }
    /// The next commit is durable and is not answered.
    pub fn lose_commit(&self) {
        self.state().lose_commit = true;
    }
    /// The next commit is refused as overtaken.
    pub fn overtake(&self) {
        self.state().overtake = true;
    }
    /// So many more writes, then none.
    pub fn stop_after(&self, writes: Option<usize>) {
        self.state().writes_left = writes;
    }
    /// The keys that are there.
    pub fn keys(&self) -> BTreeSet<String> {
        self.state().entries.keys().cloned().collect()
    }
    /// Writes an entry as somebody else.
    pub fn set(&self, key: &str, value: &[u8]) {
        self.state().entries.insert(key.to_owned(), value.to_vec());
    }
    /// An entry as it lies there.
    pub fn entry(&self, key: &str) -> Option<Vec<u8>> {
        self.state().entries.get(key).cloned()
    }
    /// Transactions that nobody has ended.
    pub fn left_open(&self) -> usize {
        self.state().open.len()
    }
    /// Calls that went past a transaction that was over.
    pub fn strays(&self) -> Vec<String> {
        self.state().strays.clone()
    }
}

impl State {
    fn note(&mut self, call: String, txn: &str) {
        if !txn.is_empty() && !self.open.contains_key(txn) {
            self.strays.push(call.clone());
        }
        self.calls.push(call);
    }
    fn level(&self, prefix: &str) -> BTreeSet<String> {
        let below = self.entries.keys().filter_map(|key| key.strip_prefix(prefix));
        let level = below.map(|rest| match rest.find('/') {
            Some(slash) => rest[..=slash].to_owned(),
            None => rest.to_owned(),
        });
        level.collect()
    }
    fn get(&mut self, key: &str, txn: &str) -> Option<Vec<u8>> {
        let stored = self.entries.get(key).cloned();
        let Some(open) = self.open.get_mut(txn) else { return stored };
        if let Some(written) = open.writes.get(key) {
            return written.clone();
        }
        open.seen.entry(key.to_owned()).or_insert_with(|| stored.clone());
        stored
    }
    fn write(&mut self, key: &str, value: Option<Vec<u8>>, txn: &str) -> String {
        if self.read_only {
            return READ_ONLY.to_owned();
        }
        let stored = self.entries.get(key).cloned();
        if let Some(open) = self.open.get_mut(txn) {
            open.seen.entry(key.to_owned()).or_insert(stored);
            open.writes.insert(key.to_owned(), value);
            return String::new();
        }
        match &mut self.writes_left {
            Some(0) => return "the disk is gone (test)".to_owned(),
            Some(left) => *left -= 1,
            None => {}
        }
        self.apply(key.to_owned(), value);
        String::new()
    }
    fn apply(&mut self, key: String, value: Option<Vec<u8>>) {
        match value {
            Some(value) => self.entries.insert(key, value),
            None => self.entries.remove(&key),
        };
    }
}

/// The service; apart from the host, since the trait is not ours and `Arc` is not either.
struct Served(Arc<FakeHost>);

impl Served {
    fn only_with_transactions(&self) -> Result<(), Status> {
        match self.0.transactional {
            true => Ok(()),
            false => Err(Status::unimplemented("unknown method")),
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Storage for Served {
    async fn list(&self, request: Request<StorageListArgs>) -> Answer<StorageListReply> {
        let StorageListArgs { prefix, txn } = request.into_inner();
        let mut state = self.0.state();
        state.note(format!("List {prefix}"), &txn);
        let keys = state.level(&prefix);
        Ok(Response::new(StorageListReply { keys: keys.into_iter().collect(), err: String::new() }))
    }
    async fn list_page(&self, request: Request<StorageListPageArgs>) -> Answer<StorageListReply> {
        self.only_with_transactions()?;
        let StorageListPageArgs { prefix, after, limit, txn } = request.into_inner();
        let mut state = self.0.state();
        state.note(format!("ListPage {prefix}"), &txn);
        let most = if limit > 0 { limit as usize } else { usize::MAX };
        let keys = state.level(&prefix).into_iter().filter(|key| *key > after).take(most).collect();
        Ok(Response::new(StorageListReply { keys, err: String::new() }))
    }
    async fn get(&self, request: Request<StorageGetArgs>) -> Answer<StorageGetReply> {
        let StorageGetArgs { key, txn } = request.into_inner();
        let value = {
            let mut state = self.0.state();
            state.note(format!("Get {key}"), &txn);
            state.get(&key, &txn)
        };
        // Others come in between, as they do on a real host.
        tokio::task::yield_now().await;
        let entry = value.map(|value| StorageEntry { key, value, seal_wrap: false });
        Ok(Response::new(StorageGetReply { entry, err: String::new() }))
    }
    async fn put(&self, request: Request<StoragePutArgs>) -> Answer<StoragePutReply> {
        let StoragePutArgs { entry, txn } = request.into_inner();
        let entry = entry.ok_or_else(|| Status::invalid_argument("no entry"))?;
        let mut state = self.0.state();
        state.note(format!("Put {}", entry.key), &txn);
        let err = state.write(&entry.key, Some(entry.value), &txn);
        Ok(Response::new(StoragePutReply { err }))
    }
    async fn delete(&self, request: Request<StorageDeleteArgs>) -> Answer<StorageDeleteReply> {
        let StorageDeleteArgs { key, txn } = request.into_inner();
        let mut state = self.0.state();
        state.note(format!("Delete {key}"), &txn);
        let err = state.write(&key, None, &txn);
        Ok(Response::new(StorageDeleteReply { err }))
    }
    async fn is_transactional(&self, _request: Request<Empty>) -> Answer<StorageIsTransactionalReply> {
        self.only_with_transactions()?;
        self.0.state().calls.push("IsTransactional".to_owned());
        Ok(Response::new(StorageIsTransactionalReply { transactional: true }))
    }
    async fn begin_read_only_tx(&self, _request: Request<Empty>) -> Answer<StorageBeginTxReply> {
        Err(Status::unimplemented("not used"))
    }
    async fn begin_tx(&self, _request: Request<Empty>) -> Answer<StorageBeginTxReply> {
        self.only_with_transactions()?;
        let mut state = self.0.state();
        state.calls.push("BeginTx".to_owned());
        state.begun += 1;
        let txn = state.begun.to_string();
        state.open.insert(txn.clone(), Open::default());
        Ok(Response::new(StorageBeginTxReply { txn, err: String::new() }))
    }
    async fn commit(&self, request: Request<StorageCommitTxArgs>) -> Answer<StorageCommitTxReply> {
        let mut state = self.0.state();
        state.calls.push("Commit".to_owned());
        let open = state.open.remove(&request.into_inner().txn);
        let Open { seen, writes } = open.ok_or_else(|| Status::unknown("missing storage implementation"))?;
        let overtaken = std::mem::take(&mut state.overtake);
        if overtaken || seen.iter().any(|(key, value)| state.entries.get(key) != value.as_ref()) {
            return Ok(Response::new(StorageCommitTxReply { err: "transaction commit failed".to_owned() }));
        }
        if state.read_only {
            return Ok(Response::new(StorageCommitTxReply { err: READ_ONLY.to_owned() }));
        }
        for (key, value) in writes {
            state.apply(key, value);
        }
        match std::mem::take(&mut state.lose_commit) {
            true => Err(Status::unavailable("the connection broke (test)")),
            false => Ok(Response::new(StorageCommitTxReply { err: String::new() })),
        }
    }
    async fn rollback(&self, request: Request<StorageRollbackTxArgs>) -> Answer<StorageRollbackTxReply> {
        let mut state = self.0.state();
        state.calls.push("Rollback".to_owned());
        match state.open.remove(&request.into_inner().txn) {
            Some(_) => Ok(Response::new(StorageRollbackTxReply { err: String::new() })),
            None => Err(Status::unknown("missing storage implementation")),
        }
    }
}
