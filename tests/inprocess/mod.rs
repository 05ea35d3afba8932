//! The real server in this process: real sockets, a store in memory, an audit file in a folder of its own, a clock that the test
//! moves.

#![allow(dead_code, reason = "every test binary compiles this module and uses its own part of it")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sparekey::audit::DeviceConfig;
use sparekey::auth::Verifier;
use sparekey::auth::fetch::HttpsFetch;
use sparekey::clock::{Clock, SettableClock, SystemClock};
use sparekey::host::anchors::AnchorConfig;
use sparekey::host::seal::{Seal, SealConfig};
use sparekey::host::{Host, HostInfo, HostParts};
use sparekey::http::tls::TlsReloader;
use sparekey::http::{Limits, serve};
use sparekey::random::OsRandom;
use sparekey::storage::Storage;
use sparekey::storage::memory::Memory;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::support::http::Client;

/// Where the engine is mounted.
pub const MOUNT: &str = "backup-codes/";

/// A running server.
pub struct Node {
    /// Where it listens.
    pub address: SocketAddr,
    /// The host behind it.
    pub host: Arc<Host>,
    /// Its clock, which starts at the present time and then stands still.
    pub clock: Arc<SettableClock>,
    /// The store beneath its barrier.
    pub storage: Arc<dyn Storage>,
    stop: watch::Sender<bool>,
    served: Option<tokio::task::JoinHandle<()>>,
    runtime: Option<Runtime>,
    folder: Arc<TempDir>,
}

/// How a node is made.
pub struct Setup {
    /// Bounds of the listener.
    pub limits: Limits,
    /// A store that outlives the node; in memory if none.
    pub storage: Option<Arc<dyn Storage>>,
    /// The folder with the audit file.
    pub folder: Option<Arc<TempDir>>,
    /// TLS, if the listener speaks it.
    pub tls: Option<Arc<TlsReloader>>,
    /// Whether there is an audit file.
    pub audited: bool,
    /// Its name among several.
    pub node: Option<String>,
    /// Audit devices beside it.
    pub devices: Vec<DeviceConfig>,
    /// Which anchors it keeps; none if none.
    pub anchors: AnchorConfig,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            limits: Limits::default(),
            storage: None,
            folder: None,
            tls: None,
            audited: true,
            node: None,
            devices: Vec::new(),
            anchors: AnchorConfig::default(),
        }
    }
}

impl Setup {
    /// Starts it sealed, or not initialised if the store is fresh.
    pub fn start(self) -> Node {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let storage = self.storage.unwrap_or_else(|| Arc::new(Memory::new()));
        let folder = self.folder.unwrap_or_else(|| Arc::new(tempfile::tempdir().unwrap()));
        let clock = Arc::new(SettableClock::new(SystemClock.now()));
        let random = Arc::new(OsRandom);
        let options =
            BTreeMap::from([("file_path".to_owned(), folder.path().join("audit.log").to_str().unwrap().to_owned())]);
        let mut devices = self.devices;
        if self.audited {
            devices.push(DeviceConfig::new("file", "file", &options).unwrap());
        }
        let parts = HostParts {
            seal: Seal::new(SealConfig::Shamir, Arc::clone(&storage), random.clone()),
            storage: Arc::clone(&storage),
            devices,
            verifier: Arc::new(Verifier::new(Arc::new(HttpsFetch::default()), clock.clone())),
            clock: clock.clone(),
            random,
            info: HostInfo {
                version: "0.1.0".to_owned(),
                storage_type: "inmem".to_owned(),
                mount_path: MOUNT.to_owned(),
                api_addr: None,
                cluster_name: "sparekey".to_owned(),
                node: self.node,
            },
        };
        let host = Host::with_anchors(parts, self.anchors);
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let served = runtime.spawn(serve(listener, self.tls, Arc::clone(&host), self.limits, stopped));
        Node { address, host, clock, storage, stop, served: Some(served), runtime: Some(runtime), folder }
    }

    /// Starts it, initialises it and unseals it. Returns the root token too.
    pub fn ready(self) -> (Node, String) {
        let node = self.start();
        let birth = node.run(node.host.init_dev(None)).unwrap();
        let root = birth.root_token.expose().to_owned();
        (node, root)
    }
}

impl Node {
    /// A client without a token.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }
    /// The audit file.
    pub fn audit(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }
    /// The folder of the audit file, to be kept for another node.
    pub fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }
    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
    /// Runs `future` on the node's runtime.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(future)
    }
    /// Moves the clock on.
    pub fn wait(&self, time: Duration) {
        self.clock.advance(i64::try_from(time.as_millis()).unwrap());
    }
    /// Stops listening and waits for what is at work; returns whether it ended within `patience`.
    pub fn drain(&mut self, patience: Duration) -> bool {
        let _ = self.stop.send(true);
        let Some(served) = self.served.take() else { return true };
        self.run(async { tokio::time::timeout(patience, served).await.is_ok() })
    }
    /// Tells it to stop, without waiting.
    pub fn stop(&self) {
        let _ = self.stop.send(true);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}
