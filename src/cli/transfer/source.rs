//! The store that accounts leave: of a server that is stopped, opened with its seal key for as long as the command runs.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use crate::auth::Verifier;
use crate::auth::fetch::HttpsFetch;
use crate::cli::client::Failure;
use crate::cli::console::Console;
use crate::cli::offline::{self, Opened};
use crate::clock::SystemClock;
use crate::config::StorageChoice;
use crate::domain::name::AccountName;
use crate::engine::{Engine, EngineParts, keys};
use crate::random::OsRandom;
use crate::storage::barrier::Barrier;
use crate::storage::{Found, Get, Storage};

/// Names that one look into the store brings.
const PAGE: usize = 256;

/// An open store.
pub(super) struct Source {
    /// The engine over it.
    pub engine: Engine,
    storage: Arc<dyn Storage>,
}

impl Source {
    /// Opens the store of the server that `config` is of. Whoever holds the file's lock (a running server) is in the way.
    pub async fn open(config: &Path, console: &mut Console) -> Result<Self, Failure> {
        let config = offline::config(config)?;
        if matches!(config.storage, StorageChoice::Postgres(_)) {
            return Err(Failure::local(
                "this server keeps everything in PostgreSQL: accounts move out of a redb file only, because nothing here sees \
                 whether every node over a database has been stopped",
            ));
        }
        let Opened { raw, keyring, root } = Opened::open(&config, console).await?;
        let barrier = Arc::new(Barrier::new(raw));
        barrier.unseal(*keyring.mount_id(), keyring.barrier_keys());
        let storage: Arc<dyn Storage> = barrier;
        let clock = Arc::new(SystemClock);
        let engine = Engine::new(EngineParts {
            storage: Arc::clone(&storage),
            root: Arc::new(root),
            verifier: Arc::new(Verifier::new(Arc::new(HttpsFetch::default()), clock.clone())),
            clock,
            random: Arc::new(OsRandom),
        });
        Ok(Source { engine, storage })
    }
    /// The names of `wanted` (accounts, and folders that end in `/`), or of everything.
    pub fn names<'a>(&'a self, wanted: &'a [String]) -> Names<'a> {
        let roots = match wanted {
            [] => vec![String::new()],
            wanted => wanted.to_vec(),
        };
        Names { storage: &*self.storage, roots: roots.into(), folders: Vec::new() }
    }
}

/// Names of accounts, one after the other: a page a folder is held, however many there are.
pub(super) struct Names<'a> {
    storage: &'a dyn Storage,
    roots: VecDeque<String>,
    folders: Vec<Folder>,
}

struct Folder {
    prefix: String,
    page: VecDeque<String>,
    after: Option<String>,
    whole: bool,
    deleted: bool,
}

impl Folder {
    fn new(prefix: String, deleted: bool) -> Self {
        Folder { prefix, page: VecDeque::new(), after: None, whole: false, deleted }
    }
    fn key(&self) -> String {
        let base = if self.deleted { keys::TOMBSTONES } else { keys::ACCOUNTS };
        format!("{base}{}", self.prefix)
    }
}

impl Names<'_> {
    /// The next one.
    pub async fn next(&mut self) -> Result<Option<AccountName>, Failure> {
        loop {
            let Some(folder) = self.folders.last_mut() else {
                let Some(root) = self.roots.pop_front() else { return Ok(None) };
                if root.is_empty() || root.ends_with('/') {
                    self.folders.extend([Folder::new(root.clone(), true), Folder::new(root, false)]);
                    continue;
                }
                let name = AccountName::parse(&root).map_err(|error| Failure::local(error.public().to_owned()))?;
                return Ok(Some(name));
            };
            if let Some(name) = folder.page.pop_front() {
                let (full, deleted) = (format!("{}{name}", folder.prefix), folder.deleted);
                if name.ends_with('/') {
                    self.folders.push(Folder::new(full, deleted));
                    continue;
                }
                let name = AccountName::parse(&full).map_err(|error| Failure::local(error.public().to_owned()))?;
                // An account that was made again leaves no tombstone, but for a crash between the two.
                if deleted && self.is_there(&name).await? {
                    continue;
                }
                return Ok(Some(name));
            }
            if folder.whole {
                self.folders.pop();
                continue;
            }
            let listed = self.storage.list(&folder.key(), folder.after.as_deref(), PAGE).await;
            let listed = listed.map_err(|error| Failure::local(error.to_string()))?;
            folder.whole = listed.len() < PAGE;
            folder.after = listed.last().cloned();
            folder.page = listed.into();
        }
    }
    async fn is_there(&self, name: &AccountName) -> Result<bool, Failure> {
        let found = self.storage.get_many(vec![Get::new(keys::account(name))]).await;
        let found = found.map_err(|error| Failure::local(error.to_string()))?;
        Ok(matches!(found.first(), Some(Found::Value(..))))
    }
}
