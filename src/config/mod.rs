//! The configuration file: HCL 2 or JSON with Vault's words, read once into types. An error names file, line and field, and
//! says what would be right. `docs/configuration.md` has every word.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::audit::DeviceConfig;
use crate::http::tls::TlsFiles;

mod anchors;
mod blocks;
mod error;
mod hcl;
mod json;
mod seal;
mod section;
mod storage;
mod tree;

pub use anchors::AnchorChoice;
pub use error::ConfigError;
pub use seal::{KeyName, KeySource, SealChoice};
pub use storage::{PostgresChoice, StorageChoice, UrlSource};

/// Everything a server is told at start.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// Where it listens; at least one.
    pub listeners: Vec<Listener>,
    /// Where it keeps everything.
    pub storage: StorageChoice,
    /// Who holds the unseal key.
    pub seal: SealChoice,
    /// Audit devices, in order.
    pub devices: Vec<DeviceConfig>,
    /// Where what was acknowledged is anchored outside the store.
    pub anchors: AnchorChoice,
    /// Metrics.
    pub telemetry: Telemetry,
    /// The address that clients are told, if one was given.
    pub api_addr: Option<String>,
    /// Where the engine is mounted; ends in `/`.
    pub mount_path: String,
    /// The operator's log.
    pub log: Log,
    /// Name of the cluster, if one was given.
    pub cluster_name: Option<String>,
    /// This node's name among those that serve one store, if one was given.
    pub node_id: Option<String>,
    /// How long it goes on serving after it was told to end, so that balancers notice first.
    pub shutdown_delay: Duration,
    /// What was accepted but deserves a word in the log.
    pub warnings: Vec<String>,
}

/// One address, and how long and how much a client may send there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 takes any free one.
    pub address: SocketAddr,
    /// Certificates; `None` where TLS is disabled.
    pub tls: Option<TlsFiles>,
    /// Largest request body in bytes.
    pub max_request_size: usize,
    /// How long a client may take to send the head of a request.
    pub read_header_timeout: Duration,
    /// How long a client may take to send the body.
    pub read_timeout: Duration,
    /// How long a connection may stand still while there is something to send on it.
    pub write_timeout: Duration,
    /// How long a connection may rest between requests.
    pub idle_timeout: Duration,
    /// Whether `sys/metrics` asks for no token here.
    pub open_metrics: bool,
}

impl Listener {
    /// `address` without TLS, everything else as it is by default.
    pub fn plain(address: SocketAddr) -> Self {
        Listener {
            address,
            tls: None,
            max_request_size: 1 << 20,
            read_header_timeout: Duration::from_secs(30),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            open_metrics: false,
        }
    }
}

/// Metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// How long a metric that no longer moves is shown.
    pub prometheus_retention_time: Duration,
    /// Whether the host's name stays out of metric names.
    pub disable_hostname: bool,
}

/// The operator's log, written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Least severe lines that are written.
    pub level: tracing::Level,
    /// Their shape.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Standard,
    /// One JSON object a line.
    Json,
}

impl Default for Telemetry {
    fn default() -> Self {
        Telemetry { prometheus_retention_time: Duration::from_secs(24 * 3600), disable_hostname: false }
    }
}

impl Default for Log {
    fn default() -> Self {
        Log { level: tracing::Level::INFO, format: LogFormat::Standard }
    }
}

/// A configuration is small; a larger file is something else.
const MAX_BYTES: usize = 1 << 20;

impl Config {
    /// Reads the file at `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| ConfigError::whole(&file, error))?;
        if bytes.len() > MAX_BYTES {
            return Err(ConfigError::whole(&file, "larger than 1 MiB: this is no configuration file"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => {
                let line =
                    1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count();
                Err(ConfigError::new(&file, line, "", "not UTF-8"))
            }
        }
    }

    /// Reads `text`, which errors call `file`. JSON if `file` ends in `.json` or the text begins with `{`, else HCL 2.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = if file.ends_with(".json") || text.trim_ascii_start().starts_with('{') {
            json::parse(file, text)?
        } else {
            hcl::parse(file, text)?
        };
        blocks::read(file, &root)
    }
}
