//! How a server is set up before its first start.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::signer;
use super::{Config, PATIENCE, Server, binary, free_address};

/// How a server shall be set up before its first start.
pub struct Setup {
    shares: u8,
    threshold: u8,
    static_seal: bool,
    seal: Option<String>,
    storage: Option<String>,
    log_level: &'static str,
    extra: String,
    environment: Vec<(&'static str, OsString)>,
    audit_folder: Option<PathBuf>,
    binary: PathBuf,
    initialized: bool,
    patience: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            shares: 1,
            threshold: 1,
            static_seal: false,
            seal: None,
            storage: None,
            log_level: "info",
            extra: String::new(),
            environment: Vec::new(),
            audit_folder: None,
            binary: binary(),
            initialized: true,
            patience: PATIENCE,
        }
    }
}

impl Setup {
    /// A static seal, so that the server unseals itself at every start.
    pub fn static_seal(mut self) -> Self {
        self.static_seal = true;
        self
    }
    /// This block of the configuration as a seal that unseals by itself.
    pub fn seal(mut self, block: String) -> Self {
        self.seal = Some(block);
        self
    }
    /// This block of the configuration as its store, and not a file of its own.
    pub fn storage(mut self, block: impl Into<String>) -> Self {
        self.storage = Some(block.into());
        self
    }
    /// Shamir shares of the root key.
    pub fn shares(mut self, shares: u8, threshold: u8) -> Self {
        (self.shares, self.threshold) = (shares, threshold);
        self
    }
    /// Leaves the server as it starts: not initialised, sealed.
    pub fn uninitialized(mut self) -> Self {
        self.initialized = false;
        self
    }
    /// The server's `log_level`.
    pub fn log_level(mut self, level: &'static str) -> Self {
        self.log_level = level;
        self
    }
    /// More lines for the configuration file.
    pub fn extra(mut self, lines: &str) -> Self {
        self.extra = lines.into();
        self
    }
    /// How long a start, or an end, may take.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
    /// Variables of its environment beside those of this process.
    pub fn environment(mut self, variables: Vec<(&'static str, OsString)>) -> Self {
        self.environment = variables;
        self
    }
    /// The folder of its audit file, if it is not the server's own.
    pub fn audit_in(mut self, folder: Option<PathBuf>) -> Self {
        self.audit_folder = folder;
        self
    }
    /// Another program than the one of this build.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }
    /// The block of a static seal whose key lies in this file.
    pub fn sealed_by(key: &Path) -> String {
        format!("seal \"static\" {{\n  current_key_id = \"test\"\n  current_key = \"file://{}\"\n}}", key.display())
    }
    /// Starts it over the store of `first` and by the same static seal; it serves when this returns.
    pub fn beside(self, first: &Server) -> Server {
        let server = self.seal(Self::sealed_by(&first.dir().join("seal.key"))).uninitialized().start();
        server.until("unsealed", |health| health == 200);
        server
    }
    /// Starts it; initialised and unsealed unless asked otherwise.
    pub fn start(self) -> Server {
        let dir = tempfile::tempdir().expect("a folder");
        let seal = if let Some(block) = &self.seal {
            block.clone()
        } else if self.static_seal {
            let key = hex::encode([signer::fresh(), signer::fresh(), signer::fresh()].concat());
            fs::write(dir.path().join("seal.key"), &key[..64]).expect("a seal key");
            Self::sealed_by(&dir.path().join("seal.key"))
        } else {
            "seal \"shamir\" {}".to_string()
        };
        let address = free_address();
        let mut server = Server {
            child: None,
            config: Config {
                seal,
                storage: self.storage,
                log_level: self.log_level,
                extra: self.extra,
                environment: self.environment,
                audit_folder: self.audit_folder,
                binary: self.binary,
            },
            address,
            root_token: String::new(),
            unseal_keys: Vec::new(),
            patience: self.patience,
            dir,
        };
        server.boot();
        if self.initialized {
            server.initialize(self.static_seal || self.seal.is_some(), self.shares, self.threshold);
        }
        server
    }
}
