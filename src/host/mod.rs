//! The standalone host, small on purpose: seal, tokens, wrapping and the `sys/` paths that clients need.
//!
//! A call goes through [`Host::handle`]: paths that answer while sealed are in [`sys::status`], all others take the steps of
//! [`pipeline`], whose order is fixed. What needs the root key lives in one [`Unsealed`], which is there or not; a request
//! takes a reference to it and goes on with that, whatever happens to the seal meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::audit::{Broker, DeviceConfig, DeviceStatus};
use crate::auth::Verifier;
use crate::clock::Clock;
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::engine::Engine;
use crate::error::Result;
use crate::random::Random;
use crate::storage::Storage;
use crate::storage::barrier::Barrier;

pub mod anchors;
pub mod answer;
pub mod call;
mod conclusion;
mod dispatch;
pub mod doctor;
pub mod envelope;
mod failure;
pub mod ident;
mod lifecycle;
mod login;
pub mod metrics;
pub mod pipeline;
mod route;
pub mod routes;
pub mod seal;
pub mod stream;
pub mod sys;
mod tidy;
pub mod tokens;
mod visit;
pub mod wrapping;

use anchors::{AnchorConfig, Anchors};
use metrics::Metrics;
use seal::Seal;
use sys::generate_root::RootAttempt;
use tokens::Tokens;
use wrapping::Wrappings;

/// How many writes may be at work at once. Each runs to its end though the client hangs up, so they are bounded here and not
/// by the number of connections.
pub const MAX_ACTS: usize = 1024;

/// What a host is made of.
pub struct HostParts {
    /// The store, below the barrier.
    pub storage: Arc<dyn Storage>,
    /// The seal over the same store.
    pub seal: Seal,
    /// The audit devices of the configuration.
    pub devices: Vec<DeviceConfig>,
    /// Verifies assertions and events.
    pub verifier: Arc<Verifier>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for keys and tokens.
    pub random: Arc<dyn Random>,
    /// What the host tells of itself.
    pub info: HostInfo,
}

/// What the host tells of itself.
#[derive(Debug, Clone)]
pub struct HostInfo {
    /// The program's version.
    pub version: String,
    /// `redb`, `inmem` …
    pub storage_type: String,
    /// Where the engine is mounted, with a closing slash.
    pub mount_path: String,
    /// Where clients reach this node, if the configuration says so.
    pub api_addr: Option<String>,
    /// A name for people.
    pub cluster_name: String,
    /// This node's name among those that serve the same store; `None` where it is the only one.
    pub node: Option<String>,
}

/// The host.
pub struct Host {
    raw: Arc<dyn Storage>,
    barrier: Arc<Barrier>,
    seal: Seal,
    devices: Vec<DeviceConfig>,
    anchoring: AnchorConfig,
    verifier: Arc<Verifier>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    info: HostInfo,
    state: RwLock<Option<Arc<Unsealed>>>,
    /// What was last known, for health when the store does not answer.
    initialized: AtomicBool,
    acts: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    /// One change of the seal at a time.
    turnstile: Semaphore,
    /// One reading of the whole store at a time.
    reading: Arc<Semaphore>,
}

/// What exists only while the root key is in memory.
pub struct Unsealed {
    keyring: Arc<Keyring>,
    root: Arc<Key>,
    root_attempt: RootAttempt,
    metrics: Arc<Metrics>,
    engine: Arc<Engine>,
    tokens: Tokens,
    wrappings: Wrappings,
    audit: Broker,
    anchors: Option<Arc<Anchors>>,
    /// Tells the task that keeps the anchors to write a last one and end.
    keeping: Option<Keeping>,
}

/// The task that keeps the anchors.
struct Keeping {
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Unsealed {
    /// Whether a restore waits to be accepted, as far as this node knows.
    fn is_quarantined(&self) -> bool {
        self.anchors.as_ref().is_some_and(|anchors| anchors.told().quarantined)
    }
}

impl Host {
    /// A sealed host that keeps no anchors.
    pub fn new(parts: HostParts) -> Arc<Host> {
        Host::with_anchors(parts, AnchorConfig::default())
    }

    /// A sealed host that anchors what it acknowledges outside the store.
    pub fn with_anchors(parts: HostParts, anchoring: AnchorConfig) -> Arc<Host> {
        let HostParts { storage, seal, devices, verifier, clock, random, info } = parts;
        let devices = match &info.node {
            Some(node) => devices.into_iter().map(|device| device.on_node(node)).collect(),
            None => devices,
        };
        Arc::new(Host {
            barrier: Arc::new(Barrier::new(Arc::clone(&storage))),
            raw: storage,
            seal,
            devices,
            anchoring,
            verifier,
            metrics: Arc::new(Metrics::new(clock.now())),
            clock,
            random,
            info,
            state: RwLock::new(None),
            initialized: AtomicBool::new(false),
            acts: Arc::new(Semaphore::new(MAX_ACTS)),
            turnstile: Semaphore::new(1),
            reading: Arc::new(Semaphore::new(1)),
        })
    }

    /// What the host tells of itself.
    pub fn info(&self) -> &HostInfo {
        &self.info
    }

    /// Whether the root key is out of memory.
    pub fn is_sealed(&self) -> bool {
        self.unsealed().is_none()
    }

    /// How each audit device is doing, in the order declared; none while sealed.
    pub fn devices(&self) -> Vec<DeviceStatus> {
        self.unsealed().map(|open| open.audit.status()).unwrap_or_default()
    }

    /// Opens the audit devices' files anew, after somebody moved them away (SIGHUP).
    pub async fn reopen(&self) -> Result<()> {
        match self.unsealed() {
            Some(open) => open.audit.reopen().await,
            None => Ok(()),
        }
    }

    /// Waits until no write is at work, at most `patience`; then closes the audit devices and forgets the root key.
    pub async fn shut_down(&self, patience: Duration) {
        self.close(patience).await;
    }

    fn unsealed(&self) -> Option<Arc<Unsealed>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_state(&self, state: Option<Arc<Unsealed>>) -> Option<Arc<Unsealed>> {
        std::mem::replace(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner), state)
    }

    /// Whether the store is initialised, as far as can be told now.
    async fn is_initialized(&self) -> bool {
        if self.unsealed().is_some() {
            return true;
        }
        match self.seal.initialized().await {
            Ok(initialized) => {
                self.initialized.store(initialized, Ordering::Relaxed);
                initialized
            }
            Err(error) => {
                tracing::warn!(?error, "the seal record cannot be read");
                self.initialized.load(Ordering::Relaxed)
            }
        }
    }
}
