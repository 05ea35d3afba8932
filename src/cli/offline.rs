//! The store of a stopped server, opened by its configuration, and its seal, opened by the machine's key or by people.

use std::collections::VecDeque;
use std::error::Error as _;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::cli::client::Failure;
use crate::cli::console::Console;
use crate::cli::store;
use crate::config::{Config, StorageChoice};
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::engine::keys;
use crate::error::Error;
use crate::host::seal::{Progress, Seal, parse_share};
use crate::random::OsRandom;
use crate::storage::redb::Redb;
use crate::storage::{Found, Get, Storage};

/// Most text that is read for shares, in bytes.
const MAX_SHARES: u64 = 64 * 1024;

/// Reads the configuration file at `path`.
pub(super) fn config(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| Failure::local(error.to_string()))
}

/// A runtime for work on a store.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::local(format!("no runtime for the store: {error}")))
}

/// The store that `choice` names, beneath its barrier. Where there is none yet one is begun if `create`.
pub(super) async fn storage(choice: &StorageChoice, create: bool) -> Result<Arc<dyn Storage>, Failure> {
    match choice {
        StorageChoice::Redb { path } => {
            if !create && !path.exists() {
                return Err(Failure::local(format!("there is no store at {}", path.display())));
            }
            let store = Redb::open(path)
                .map_err(|error| Failure::local(format!("{error}. The server must be stopped meanwhile")))?;
            Ok(Arc::new(store))
        }
        StorageChoice::Postgres(_) => store::open(choice).await.map(|(store, _)| store).map_err(Failure::local),
        StorageChoice::Memory => Err(Failure::local(
            "this server keeps everything in memory: once it is stopped, nothing is left, and nothing can be put there",
        )),
    }
}

/// A store whose root key is in memory.
pub(super) struct Opened {
    /// The store beneath the barrier.
    pub raw: Arc<dyn Storage>,
    /// Its keys.
    pub keyring: Keyring,
    /// Its root key.
    pub root: Key,
}

impl Opened {
    /// Opens the store of the server that `config` is of. Whoever holds the file's lock (a running server) is in the way.
    pub async fn open(config: &Config, console: &mut Console) -> Result<Self, Failure> {
        let raw = storage(&config.storage, false).await?;
        let root = unseal(config, &raw, console).await?;
        let found =
            raw.get_many(vec![Get::new(keys::KEYRING)]).await.map_err(|error| Failure::local(error.to_string()))?;
        let Some(Found::Value(bytes, revision)) = found.into_iter().next() else {
            return Err(Failure::local("the store has a seal but no keyring: it is damaged"));
        };
        let keyring =
            Keyring::open(&root, &revision, &bytes).map_err(|error| Failure::local(format!("the keyring: {error}")))?;
        Ok(Opened { raw, keyring, root })
    }
}

/// The root key behind the seal record in `raw`: by the static key of `config`, else by unseal keys that are asked for on the
/// terminal or read from standard input, one a line.
pub(super) async fn unseal(config: &Config, raw: &Arc<dyn Storage>, console: &mut Console) -> Result<Key, Failure> {
    let choice = config.seal.load().map_err(|error| Failure::local(error.to_string()))?;
    let seal = Seal::new(choice, Arc::clone(raw), Arc::new(OsRandom));
    if !seal.initialized().await.map_err(|error| told(&error))? {
        return Err(Failure::local("the store was never initialised: there is nothing in it"));
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
