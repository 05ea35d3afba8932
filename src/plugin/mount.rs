//! One mount in this process: its storage, its engine, and nothing that another mount has.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::anchors::{self, Keeper};
use super::host::{Host, HostError};
use super::identity::HostIdentities;
use super::root;
use super::storage::HostStorage;
use crate::auth::Verifier;
use crate::auth::fetch::HttpsFetch;
use crate::clock::SystemClock;
use crate::engine::{Engine, EngineParts};
use crate::error::{Error, Result};
use crate::random::OsRandom;

/// How long the host's periodic call is used at most.
const LOOK_AFTER: Duration = Duration::from_secs(20);
/// How many records are looked at in one turn of a sweep, which the host gives once a minute.
const SWEPT: usize = 500;
/// The same of accounts and archives.
const SWEPT_SETS: usize = 250;
/// How long what was counted of events last may take to be written when the mount goes.
const SETTLE: Duration = Duration::from_millis(500);

/// A mount.
pub struct Mount {
    /// The host's lasting id of it; empty while the plugin is only being registered.
    pub uuid: String,
    storage: HostStorage,
    identities: Arc<HostIdentities>,
    /// Where this machine keeps what it knows of the storage, if it does.
    anchors: Option<PathBuf>,
    opened: Mutex<Option<Opened>>,
}

/// An engine, and what is kept outside its storage: nothing on a node that may not write.
struct Opened {
    engine: Arc<Engine>,
    keeper: Option<Keeper>,
}

impl Mount {
    /// A mount that has not asked its host for anything yet; `before` is the same mount on an older connection, if there is one.
    pub fn new(uuid: String, host: Host, before: Option<&Mount>) -> Self {
        let storage = match before {
            Some(before) => before.storage.again(host.storage),
            None => HostStorage::new(host.storage),
        };
        Mount {
            uuid,
            storage,
            identities: Arc::new(HostIdentities::new(host.view)),
            anchors: anchors::folder(),
            opened: Mutex::default(),
        }
    }
    /// Whether only another node may write: updates must go there before anything is read here.
    pub fn is_read_only(&self) -> bool {
        self.storage.is_read_only()
    }
    /// The same, found out anew if it was so for a while.
    pub async fn may_write(&self) -> bool {
        self.storage.may_write().await
    }
    /// Learns whether this node may write, and opens the engine; makes its keys if the mount is new.
    pub async fn initialize(&self) -> Result<()> {
        match self.storage.try_to_write().await {
            Ok(()) | Err(HostError::ReadOnly) => {}
            Err(error) => return Err(Error::internal(error)),
        }
        self.storage.forget();
        self.forget_all();
        match self.engine().await {
            Err(error) if error.kind() != crate::error::Kind::Unavailable => Err(error),
            _ => Ok(()),
        }
    }
    /// The engine, opened at its first use: where nothing may be written it waits for the node that may.
    pub async fn engine(&self) -> Result<Arc<Engine>> {
        let writable = !self.is_read_only();
        let anchored = writable && self.anchors.is_some();
        if let Some(opened) = self.slot().as_ref().filter(|opened| opened.keeper.is_some() || !anchored) {
            return Ok(opened.engine.clone());
        }
        let Some(root) = root::open(&self.storage, writable, &SystemClock, &OsRandom).await? else {
            return Err(Error::unavailable("the mount is not set up yet; the active node does that when it unseals"));
        };
        let clock = Arc::new(SystemClock);
        let engine = Engine::new(EngineParts {
            storage: Arc::new(self.storage.clone()),
            root,
            verifier: Arc::new(Verifier::new(Arc::new(HttpsFetch::default()), clock.clone())),
            clock,
            random: Arc::new(OsRandom),
        });
        let engine = Arc::new(engine.with_identities(self.identities.clone()));
        let keeper = match self.anchors.clone().filter(|_| anchored) {
            None => None,
            Some(folder) => {
                let storage = self.storage.clone();
                Some(Keeper::begin(folder, &engine, move || !storage.is_read_only()).await?)
            }
        };
        let mut slot = self.slot();
        // Another request may have opened it meanwhile.
        if slot.as_ref().is_none_or(|opened| opened.keeper.is_none() && keeper.is_some()) {
            *slot = Some(Opened { engine: engine.clone(), keeper });
        }
        Ok(slot.as_ref().map_or(engine, |opened| opened.engine.clone()))
    }
    /// Takes in what an act says of ledgers, before it is acknowledged.
    pub fn note(&self, note: &Map<String, Value>) {
        if let Some(keeper) = self.slot().as_ref().and_then(|opened| opened.keeper.as_ref()) {
            keeper.note(note);
        }
    }
    /// What the host's periodic call is for: goes on with what takes long, on the node that may write.
    pub async fn look_after(&self, go_on: impl Fn() -> bool) {
        if self.is_read_only() {
            return;
        }
        let rewrapped = match self.engine().await {
            Ok(engine) => engine.look_after(LOOK_AFTER, || go_on() && !self.is_read_only()).await,
            Err(_) => return,
        };
        if let Err(error) = rewrapped
            && !self.is_read_only()
        {
            tracing::warn!(mount = self.uuid, ?error, "what takes long could not go on; tried again");
        }
    }
    /// Removes some of what is over; nothing on a node that may not write.
    pub async fn sweep(&self, go_on: impl Fn() -> bool) {
        let engine = self.slot().as_ref().map(|opened| opened.engine.clone());
        let Some(engine) = engine.filter(|_| !self.is_read_only()) else { return };
        let go_on = || go_on() && !self.is_read_only();
        let swept = match engine.sweep(SWEPT, &go_on).await {
            Ok(swept) => engine.sweep_sets(SWEPT_SETS, &go_on).await.map(|sets| swept.gone() + sets.gone()),
            Err(error) => Err(error),
        };
        match swept {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(mount = self.uuid, gone, "swept"),
            Err(_) if self.is_read_only() => {}
            Err(error) => tracing::warn!(mount = self.uuid, ?error, "a sweep stopped; the next goes on"),
        }
    }
    /// Writes down what was counted of events last, before the mount goes.
    pub async fn settle(&self) {
        let engine = self.slot().as_ref().map(|opened| opened.engine.clone());
        if let Some(engine) = engine.filter(|_| !self.is_read_only())
            && tokio::time::timeout(SETTLE, engine.settle_counts()).await.is_err()
        {
            tracing::warn!(mount = self.uuid, "what was counted of events last could not be written in time");
        }
    }
    /// Another node wrote `key`.
    pub fn changed(&self, key: &str) {
        self.storage.changed(key);
        if root::is_wrapped(key) {
            self.forget_all();
        } else if let Some(opened) = &*self.slot() {
            opened.engine.forget(Some(key));
        }
    }
    /// Drops the engine and every key it holds.
    pub fn forget_all(&self) {
        if let Some(opened) = self.slot().take() {
            opened.engine.forget(None);
        }
    }
    fn slot(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
