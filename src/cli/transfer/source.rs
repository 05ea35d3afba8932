//! The store that accounts leave: of a server that is stopped, opened with its seal key for as long as the command runs.

use std::collections::VecDeque;
use std::error::Error as _;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::auth::Verifier;
use crate::auth::fetch::HttpsFetch;
use crate::cli::client::Failure;
use crate::cli::console::Console;
use crate::clock::SystemClock;
use crate::config::{Config, StorageChoice};
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::domain::name::AccountName;
use crate::engine::{Engine, EngineParts, keys};
use crate::error::Error;
use crate::host::seal::{Progress, Seal, parse_share};
use crate::random::OsRandom;
use crate::storage::barrier::Barrier;
use crate::storage::redb::Redb;
use crate::storage::{Found, Get, Storage};

/// Names that one look into the store brings.
const PAGE: usize = 256;
/// Most text that is read for shares, in bytes.
const MAX_SHARES: u64 = 64 * 1024;

/// An open store.
pub(super) struct Source {
    /// The engine over it.
    pub engine: Engine,
    storage: Arc<dyn Storage>,
}

impl Source {
    /// Opens the store of the server that `config` is of. Whoever holds the file's lock (a running server) is in the way.
    pub async fn open(config: &Path, console: &mut Console) -> Result<Self, Failure> {
        let config = Config::load(config).map_err(|error| Failure::local(error.to_string()))?;
        let path = match &config.storage {
            StorageChoice::Redb { path } => path,
            StorageChoice::Postgres(_) => {
                return Err(Failure::local(
                    "this server keeps everything in PostgreSQL: accounts move out of a redb file only, because nothing here sees \
                     whether every node over a database has been stopped",
                ));
            }
            StorageChoice::Memory => {
                return Err(Failure::local(
                    "this server keeps everything in memory: once it is stopped, nothing is left",
                ));
            }
        };
        if !path.exists() {
            return Err(Failure::local(format!("there is no store at {}", path.display())));
        }
        let raw: Arc<dyn Storage> = Arc::new(Redb::open(path).map_err(|error| {
            Failure::local(format!("{error}. The server must be stopped while accounts move out of its store"))
        })?);
        let random = Arc::new(OsRandom);
        let choice = config.seal.load().map_err(|error| Failure::local(error.to_string()))?;
        let seal = Seal::new(choice, Arc::clone(&raw), random.clone());
        let root = unseal(&seal, console).await?;
        let found =
            raw.get_many(vec![Get::new(keys::KEYRING)]).await.map_err(|error| Failure::local(error.to_string()))?;
        let Some(Found::Value(bytes, revision)) = found.into_iter().next() else {
            return Err(Failure::local("the store has a seal but no keyring: it is damaged"));
        };
        let keyring =
            Keyring::open(&root, &revision, &bytes).map_err(|error| Failure::local(format!("the keyring: {error}")))?;
        let barrier = Arc::new(Barrier::new(raw));
        barrier.unseal(*keyring.mount_id(), keyring.barrier_keys());
        let storage: Arc<dyn Storage> = barrier;
        let clock = Arc::new(SystemClock);
        let engine = Engine::new(EngineParts {
            storage: Arc::clone(&storage),
            root: Arc::new(root),
            verifier: Arc::new(Verifier::new(Arc::new(HttpsFetch::default()), clock.clone())),
            clock,
            random,
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

async fn unseal(seal: &Seal, console: &mut Console) -> Result<Key, Failure> {
    if !seal.initialized().await.map_err(|error| told(&error))? {
        return Err(Failure::local("the store was never initialised: there is nothing to move"));
    }
    if let Some(root) = seal.auto_unseal().await.map_err(|error| told(&error))? {
        return Ok(root);
    }
    let mut piped = (!console.can_ask()).then(piped_shares).transpose()?;
    loop {
        let status = seal.status();
        let text = match &mut piped {
            Some(shares) => shares.pop_front(),
            None => console.ask_hidden(&format!("Unseal key {} of {} (not shown): ", status.progress + 1, status.t)),
        };
        let text = text.ok_or_else(|| {
            Failure::local(format!("{} of {} unseal keys were given: one a line is wanted", status.progress, status.t))
        })?;
        let share = parse_share(&text).map_err(|_| Failure::local("an unseal key is hexadecimal or base64"))?;
        match seal.unseal(&share).await {
            Ok(Progress::Root(root)) => return Ok(root),
            Ok(Progress::More(_)) => {}
            Err(_) => return Err(Failure::local("these unseal keys do not open the store")),
        }
    }
}

/// Unseal keys from standard input, one a line.
fn piped_shares() -> Result<VecDeque<Zeroizing<String>>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(MAX_SHARES as usize));
    std::io::stdin()
        .lock()
        .take(MAX_SHARES)
        .read_to_string(&mut text)
        .map_err(|error| Failure::local(format!("the unseal keys cannot be read: {error}")))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(|line| Zeroizing::new(line.to_owned())).collect())
}

/// What the engine keeps from callers, the operator with the seal key may read.
pub(super) fn told(error: &Error) -> Failure {
    Failure::local(match error.source() {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    })
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
