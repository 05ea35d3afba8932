//! `sparekey server`: from a configuration to a server that listens, and from a signal to its end.

use std::error::Error as _;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::auth::Verifier;
use crate::auth::fetch::HttpsFetch;
use crate::cli::console::Console;
use crate::cli::signals::{Signal, Signals};
use crate::cli::store;
use crate::clock::SystemClock;
use crate::config::{Config, Listener, StorageChoice};
use crate::error::Error;
use crate::host::anchors::AnchorConfig;
use crate::host::seal::Seal;
use crate::host::{Host, HostInfo, HostParts};
use crate::http::tls::TlsReloader;
use crate::http::{Limits, bind, serve};
use crate::process;
use crate::random::OsRandom;
use crate::storage::copy;

mod development;

use development::Development;

/// Run the server.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  sparekey server --config /etc/sparekey.hcl
  sparekey server --dev
  sparekey server --dev --dev-root-token-id root --dev-listen-address 127.0.0.1:8201

Signals: TERM and INT finish what is under way (30 s at most) and end; HUP reads certificates and opens audit files again.")]
pub struct Args {
    /// The configuration file (HCL or JSON).
    #[arg(long, value_name = "FILE", required_unless_present = "dev", conflicts_with = "dev")]
    config: Option<PathBuf>,
    /// A server in memory, unsealed, without TLS, for trying things out: never keep a real code in it.
    #[arg(long)]
    dev: bool,
    /// The root token of a development server [default: a random one].
    #[arg(long, value_name = "TOKEN", requires = "dev", conflicts_with = "config")]
    dev_root_token_id: Option<String>,
    /// Where a development server listens.
    #[arg(long, value_name = "ADDRESS", requires = "dev", conflicts_with = "config", default_value = "127.0.0.1:8200")]
    dev_listen_address: SocketAddr,
    // No conflict with --config: the variable may be set while somebody runs a real server.
    /// Where a development server keeps its issuer's key and its audit files [default: sparekey/dev in your state folder].
    #[arg(long, value_name = "DIR", env = "SPAREKEY_DEV_DIR", hide_env_values = true)]
    dev_dir: Option<PathBuf>,
}

/// Runs `sparekey server` until a signal ends it.
pub fn run(args: Args) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Console::standard().complain(&format!("sparekey: {failure}"));
            ExitCode::FAILURE
        }
    }
}

/// Why there is no server: a sentence for the person who started it.
pub(super) struct Failure(String);

impl Failure {
    fn new(what: impl fmt::Display) -> Self {
        Failure(what.to_string())
    }
    /// `what` failed for the reason that `error` keeps from callers.
    fn of(what: &str, error: &Error) -> Self {
        match error.source() {
            Some(cause) => Failure(format!("{what}: {cause}")),
            None => Failure(format!("{what}: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn start(args: Args) -> Result<(), Failure> {
    let (config, development) = if args.dev {
        let (config, development) = Development::new(args.dev_listen_address, args.dev_dir, args.dev_root_token_id)?;
        (config, Some(development))
    } else {
        // The command line has seen to it that there is one.
        (Config::load(&args.config.unwrap_or_default()).map_err(Failure::new)?, None)
    };
    process::start_log(config.log);
    for warning in process::harden().iter().chain(&config.warnings) {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format_args!("the runtime does not start: {error}")))?;
    let ended = runtime.block_on(async {
        // Before anything can be lost: from here on a signal is an orderly end.
        let signals = Signals::new().map_err(|error| Failure::new(format_args!("signals: {error}")))?;
        let server = Server::build(&config, development.as_ref()).await?;
        server.run(signals).await
    });
    // What still hangs about (a connection that does not end) is not waited for.
    runtime.shutdown_background();
    ended
}

/// A host and the doors to it.
struct Server {
    host: Arc<Host>,
    doors: Vec<Door>,
    /// How long it goes on serving once it was told to end.
    delay: Duration,
}

/// An address that is bound.
struct Door {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<TlsReloader>>,
    limits: Limits,
}

impl Server {
    async fn build(config: &Config, development: Option<&Development>) -> Result<Self, Failure> {
        // Doors first: a port that is taken or a broken certificate should not cost an unsealing.
        let mut doors = Vec::new();
        for listener in &config.listeners {
            doors.push(Door::open(listener, config.shutdown_delay).await?);
        }
        let random = Arc::new(OsRandom);
        let (storage, storage_type) = store::open(&config.storage).await.map_err(Failure::new)?;
        if copy::is_unfinished(&*storage).await.map_err(Failure::new)? {
            return Err(Failure::new(
                "the store is an unfinished copy: run the `sparekey storage migrate` or `sparekey restore` that began it again",
            ));
        }
        let seal = Seal::new(config.seal.load().map_err(Failure::new)?, Arc::clone(&storage), random.clone());
        let waits = seal.asks_elsewhere();
        let initialized = seal.initialized().await.map_err(|error| Failure::of("seal", &error))?;
        let clock = Arc::new(SystemClock);
        let anchoring = AnchorConfig {
            node: node_name(config),
            interval: config.anchors.interval,
            local: config.anchors.local.clone(),
            places: config.anchors.places.clone(),
        };
        let parts = HostParts {
            storage,
            seal,
            devices: config.devices.clone(),
            verifier: Arc::new(Verifier::new(Arc::new(HttpsFetch::default()), clock.clone())),
            clock,
            random,
            info: HostInfo {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                storage_type: storage_type.to_owned(),
                mount_path: config.mount_path.clone(),
                api_addr: config.api_addr.clone(),
                cluster_name: config.cluster_name.clone().unwrap_or_else(|| "sparekey".to_owned()),
                node: config.node_id.clone().or_else(|| host_name(&config.storage)),
            },
        };
        let host = Host::with_anchors(parts, anchoring);
        match development {
            Some(development) => {
                let address = doors.first().map_or(([127, 0, 0, 1], 0).into(), |door| door.address);
                development.furnish(&host, address).await?;
            }
            None if initialized => {
                match host.start().await {
                    Ok(()) => {}
                    // It may come back: then the server unseals without anybody's help.
                    Err(error) if waits => tracing::warn!(?error, "sealed: the vault that unseals gave no key"),
                    Err(error) => return Err(Failure::of("the store does not unseal", &error)),
                }
            }
            None => tracing::warn!("not initialised: run `bao operator init`, or PUT /v1/sys/init"),
        }
        Ok(Server { host, doors, delay: config.shutdown_delay })
    }

    /// Serves until a signal; then lets requests under way end. A second signal ends at once.
    async fn run(self, mut signals: Signals) -> Result<(), Failure> {
        let (stop, stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let mut reloaders = Vec::new();
        let sealed = self.host.is_sealed();
        for Door { socket, address, tls, limits } in self.doors {
            tracing::info!(%address, tls = tls.is_some(), sealed, "listening");
            reloaders.extend(tls.clone());
            serving.spawn(serve(socket, tls, Arc::clone(&self.host), limits, stopped.clone()));
        }
        let host = Arc::clone(&self.host);
        let attending = tokio::spawn(async move { host.attend_seal().await });
        while signals.next().await == Signal::Reload {
            reload(&self.host, &reloaders).await;
        }
        match self.delay.is_zero() {
            true => tracing::info!("ending: no new connections; requests under way are finished"),
            false => {
                tracing::info!(after = ?self.delay, "ending: sys/health says so now, and after the delay no connection is taken")
            }
        }
        stop.send_replace(true);
        attending.abort();
        let drained = async {
            while serving.join_next().await.is_some() {}
            self.host.shut_down(SHUT_DOWN).await;
        };
        let impatient = async { while signals.next().await != Signal::End {} };
        tokio::select! {
            () = drained => tracing::info!("ended"),
            () = impatient => tracing::warn!("a second signal: ended at once"),
        }
        Ok(())
    }
}

/// This machine's name, where others may serve the same store and no name was given.
fn host_name(storage: &StorageChoice) -> Option<String> {
    if !matches!(storage, StorageChoice::Postgres(_)) {
        return None;
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
    Some(machine().chars().map(plain).take(128).collect()).filter(|name: &String| !name.is_empty())
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What the node is called in its anchors: its name, or its machine and where it listens.
fn node_name(config: &Config) -> String {
    match (&config.node_id, config.listeners.first()) {
        (Some(node), _) => node.clone(),
        (None, Some(listener)) => format!("{} {}", machine(), listener.address),
        (None, None) => machine(),
    }
}

/// What writes get after the last connection has ended.
const SHUT_DOWN: Duration = Duration::from_secs(10);

impl Door {
    async fn open(listener: &Listener, delay: Duration) -> Result<Self, Failure> {
        let tls = match &listener.tls {
            None => None,
            Some(files) => Some(Arc::new(TlsReloader::new(files).map_err(Failure::new)?)),
        };
        let failed = |error| Failure::new(format_args!("listener {}: {error}", listener.address));
        let socket = bind(listener.address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let limits = Limits {
            max_body: listener.max_request_size,
            // One clock runs from the end of an answer to the end of the next head: it keeps to both words.
            head_time: listener.read_header_timeout.min(listener.idle_timeout),
            body_time: listener.read_timeout,
            stall_time: listener.write_timeout,
            open_metrics: listener.open_metrics,
            delay,
            ..Limits::default()
        };
        Ok(Door { socket, address, tls, limits })
    }
}

async fn reload(host: &Host, reloaders: &[Arc<TlsReloader>]) {
    for tls in reloaders {
        match tls.reload() {
            Ok(()) => tracing::info!("certificates were read again"),
            Err(error) => tracing::error!(%error, "certificates could not be read again; the old ones stay"),
        }
    }
    match host.reopen().await {
        Ok(()) => tracing::info!("audit files were opened again"),
        Err(error) => tracing::error!(?error, "audit files could not be opened again"),
    }
}
