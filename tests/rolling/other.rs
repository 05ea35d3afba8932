//! A node of another version of the program, in this process: all of it but the number is this build.

use std::fs;
use std::sync::Arc;

use sparekey::auth::Verifier;
use sparekey::auth::fetch::HttpsFetch;
use sparekey::clock::SystemClock;
use sparekey::config::{Config, StorageChoice};
use sparekey::host::anchors::AnchorConfig;
use sparekey::host::seal::Seal;
use sparekey::host::{Host, HostInfo, HostParts};
use sparekey::http::{Limits, serve};
use sparekey::random::OsRandom;
use sparekey::storage::Storage;
use sparekey::storage::postgres::Postgres;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::server::Server;

/// The node while it serves.
pub struct Other {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
    host: Arc<Host>,
}

impl Other {
    /// Serves as `version` where `server` did, which is not running: at its address, with its configuration.
    pub fn instead_of(server: &Server, version: &str) -> Other {
        let text = fs::read_to_string(server.configure()).expect("a configuration");
        let config = Config::parse("sparekey.hcl", &text).expect("the configuration is right");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let (stop, stopped) = watch::channel(false);
        let (host, served) = runtime.block_on(async {
            let listener = TcpListener::bind(server.address()).await.expect("the address is free");
            let StorageChoice::Postgres(choice) = &config.storage else { panic!("the store is one that nodes share") };
            let options = choice.load().expect("a URL");
            let storage: Arc<dyn Storage> = Arc::new(Postgres::open(&options).await.expect("the store opens"));
            let (clock, random) = (Arc::new(SystemClock), Arc::new(OsRandom));
            let parts = HostParts {
                seal: Seal::new(config.seal.load().expect("a seal"), Arc::clone(&storage), random.clone()),
                storage,
                devices: config.devices.clone(),
                verifier: Arc::new(Verifier::new(Arc::new(HttpsFetch::default()), clock.clone())),
                clock,
                random,
                info: HostInfo {
                    version: version.to_owned(),
                    storage_type: "postgres".to_owned(),
                    mount_path: config.mount_path.clone(),
                    api_addr: config.api_addr.clone(),
                    cluster_name: "sparekey".to_owned(),
                    node: config.node_id.clone(),
                },
            };
            let anchoring = AnchorConfig {
                node: config.node_id.clone().expect("it has a name"),
                interval: config.anchors.interval,
                local: config.anchors.local.clone(),
                places: config.anchors.places.clone(),
            };
            let host = Host::with_anchors(parts, anchoring);
            host.start().await.expect("it unseals by itself");
            (Arc::clone(&host), tokio::spawn(serve(listener, None, host, Limits::default(), stopped)))
        });
        Other { runtime, stop, served, host }
    }
    /// Says that it is there, as it does now and then.
    pub fn report(&self) {
        self.runtime.block_on(self.host.report_node()).expect("it is reported");
    }
    /// Ends it as SIGTERM does.
    pub fn end(self) {
        self.stop.send_replace(true);
        self.runtime.block_on(async {
            self.served.await.expect("it ends in good order");
            self.host.shut_down(std::time::Duration::from_secs(10)).await;
        });
    }
}
