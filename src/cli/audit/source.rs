//! Where ledgers are read that audit files are compared with: of a running server, or of the store of a stopped one.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::auth::fetch::HttpsFetch;
use crate::auth::{Caller, Verifier};
use crate::cli::client::{Client, Failure, path};
use crate::cli::console::Console;
use crate::cli::offline::{self, Opened};
use crate::clock::SystemClock;
use crate::engine::request::{Body, Face, Operation, Request};
use crate::engine::{Engine, EngineParts};
use crate::error::{Error, Kind};
use crate::random::OsRandom;
use crate::storage::barrier::Barrier;

/// Entries and names in one answer.
pub const PAGE: usize = 1000;

/// Ledgers, and the accounts that have them.
pub trait Ledgers {
    /// Up to [`PAGE`] entries of an account's ledger (or of the configuration's) after entry `after`; `None` if there is none.
    fn entries(&self, account: Option<&str>, after: u64) -> Result<Option<Vec<Value>>, Failure>;
    /// Names of accounts after `after` (empty: from the beginning), and after which one it goes on, if it does.
    fn names(&self, after: &str) -> Result<(Vec<String>, Option<String>), Failure>;
}

/// Those of a running server.
pub struct Running<'a> {
    /// It.
    pub client: &'a Client,
    /// Where its engine is mounted.
    pub mount: &'a str,
}

impl Ledgers for Running<'_> {
    fn entries(&self, account: Option<&str>, after: u64) -> Result<Option<Vec<Value>>, Failure> {
        let target = match account {
            Some(account) => path(&[self.mount, "history", account])?,
            None => path(&[self.mount, "config/history"])?,
        };
        let reply = self.client.get(&format!("{target}?after={after}&limit={PAGE}"))?;
        if reply.status() == 404 {
            return Ok(None);
        }
        let data = reply.success(self.client.settings())?.data();
        Ok(Some(list(&data, "entries")))
    }
    fn names(&self, after: &str) -> Result<(Vec<String>, Option<String>), Failure> {
        let after = if after.is_empty() { String::new() } else { format!("&after={after}") };
        let target = format!("{}?limit={PAGE}{after}", path(&[self.mount, "report/posture"])?);
        let page = self.client.get(&target)?.success(self.client.settings())?.data();
        let names =
            list(&page, "accounts").iter().filter_map(|row| row["account"].as_str().map(str::to_owned)).collect();
        Ok((names, page.get("next").and_then(Value::as_str).map(str::to_owned)))
    }
}

/// Those of a stopped server: its store, opened here.
pub struct Stopped {
    runtime: tokio::runtime::Runtime,
    engine: Engine,
}

impl Stopped {
    /// Opens the store that the configuration file at `config` names, with its seal.
    pub fn open(config: &Path, console: &mut Console) -> Result<Self, Failure> {
        let config = offline::config(config)?;
        let runtime = offline::runtime()?;
        let Opened { raw, keyring, root } = runtime.block_on(Opened::open(&config, console))?;
        let barrier = Barrier::new(raw);
        barrier.unseal(*keyring.mount_id(), keyring.barrier_keys());
        let clock = Arc::new(SystemClock);
        let engine = Engine::new(EngineParts {
            storage: Arc::new(barrier),
            root: Arc::new(root),
            verifier: Arc::new(Verifier::new(Arc::new(HttpsFetch::default()), clock.clone())),
            clock,
            random: Arc::new(OsRandom),
        });
        Ok(Stopped { runtime, engine })
    }
    fn read(&self, path: String, query: Value) -> Result<Option<Map<String, Value>>, Failure> {
        let request = Request {
            id: String::new(),
            operation: Operation::Read,
            path,
            data: query.as_object().cloned().unwrap_or_default(),
            caller: Caller::Root { accessor: String::new() },
            remote: None,
            face: Face::Http,
            wrap: None,
        };
        match self.runtime.block_on(self.engine.handle(request)) {
            Ok(response) => match response.body {
                Body::Data(data) => Ok(Some(data)),
                Body::Listed(data, list) => Ok(Some(list.among(data))),
                _ => Ok(None),
            },
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(offline::told(&error)),
        }
    }
}

impl Ledgers for Stopped {
    fn entries(&self, account: Option<&str>, after: u64) -> Result<Option<Vec<Value>>, Failure> {
        let path = account.map_or_else(|| "config/history".to_owned(), |account| format!("history/{account}"));
        let data = self.read(path, json!({"after": after, "limit": PAGE}))?;
        Ok(data.map(|data| list(&data, "entries")))
    }
    fn names(&self, after: &str) -> Result<(Vec<String>, Option<String>), Failure> {
        let piece = self.runtime.block_on(self.engine.accounts_after(after, PAGE));
        let piece = piece.map_err(|error: Error| offline::told(&error))?;
        Ok((piece.names.iter().map(|name| name.as_str().to_owned()).collect(), piece.next))
    }
}

fn list(data: &Map<String, Value>, name: &str) -> Vec<Value> {
    data.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}
