//! The built server as a process of its own: a folder, a port, a configuration file, an embedded store and an audit file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::json;
use tempfile::TempDir;

use super::http::Client;
pub use setup::Setup;

mod setup;

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_sparekey");
/// The binary that servers are started from: the one under test, or another build that `SPAREKEY_BINARY` names.
pub fn binary() -> PathBuf {
    std::env::var_os("SPAREKEY_BINARY").map_or_else(|| BINARY.into(), PathBuf::from)
}
/// Where the engine is mounted.
pub const MOUNT: &str = "backup-codes";

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Config {
    seal: String,
    storage: Option<String>,
    log_level: &'static str,
    extra: String,
    environment: Vec<(&'static str, OsString)>,
    audit_folder: Option<PathBuf>,
    binary: PathBuf,
}

/// A running (or stopped) server; ended by its process id when dropped.
pub struct Server {
    child: Option<Child>,
    config: Config,
    address: SocketAddr,
    root_token: String,
    unseal_keys: Vec<String>,
    patience: Duration,
    dir: TempDir,
}

impl Server {
    /// A server with one unseal key, initialised and unsealed.
    pub fn start() -> Self {
        Setup::default().start()
    }
    /// Another node with the same seal over the same store, which has to be one that nodes can share and a seal that unseals by
    /// itself. It has an address and audit files of its own.
    pub fn another(&self) -> Self {
        let mut server = Server {
            child: None,
            config: self.config.clone(),
            address: free_address(),
            root_token: self.root_token.clone(),
            unseal_keys: self.unseal_keys.clone(),
            patience: self.patience,
            dir: tempfile::tempdir().expect("a folder"),
        };
        server.boot();
        server.until("unsealed", |health| health == 200);
        server
    }
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// The same as `http://ADDRESS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    /// A client without a token.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }
    /// A client with the root token.
    pub fn root(&self) -> Client {
        self.client().token(&self.root_token)
    }
    /// The root token.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }
    /// The unseal keys (hex), none with a static seal.
    pub fn unseal_keys(&self) -> &[String] {
        &self.unseal_keys
    }
    /// The folder with everything this server reads and writes.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store.redb")
    }
    /// The audit file.
    pub fn audit(&self) -> PathBuf {
        self.config.audit_folder.as_deref().unwrap_or(self.dir.path()).join("audit.log")
    }
    /// Everything it has written to stdout and stderr, over all starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }
    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let mut child = self.child.take().expect("a running server");
        let deadline = Instant::now() + self.patience;
        loop {
            if let Some(status) = child.try_wait().expect("a status") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server did not end within {:?} of SIGTERM; its log:\n{}", self.patience, self.log());
            }
            sleep(Duration::from_millis(10));
        }
    }
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("a running server");
        kill_process(Pid::from_child(child), signal).expect("the signal is delivered");
    }
    /// Lets no file of its grow beyond so many bytes, as on a full disk; without a number, as it was. A write beyond fails (EFBIG).
    pub fn limit(&self, most: Option<u64>) {
        let child = self.child.as_ref().expect("a running server");
        let limit = Rlimit { current: most, maximum: getrlimit(Resource::Fsize).maximum };
        prlimit(Some(Pid::from_child(child)), Resource::Fsize, limit).expect("the limit is set");
    }
    /// Starts it again on the same port and store, and unseals it where it does not unseal itself.
    pub fn restart(&mut self) {
        self.kill();
        self.boot();
        for key in self.unseal_keys.clone() {
            if self.client().write("sys/unseal", &json!({"key": key})).expect(200).json()["sealed"] == false {
                break;
            }
        }
        self.until("unsealed", |health| health == 200);
    }
    /// Leaves its folder where it is when it is dropped.
    pub fn keep(&mut self) {
        self.dir.disable_cleanup(true);
    }
    /// Another seal block from the next start on.
    pub fn reseal(&mut self, block: String) {
        self.config.seal = block;
    }
    /// Another program from the next start on.
    pub fn replace_binary(&mut self, path: &Path) {
        self.config.binary = path.to_owned();
    }
    /// Starts the process and waits until it answers.
    pub fn boot(&mut self) {
        for _ in 0..5 {
            self.configure();
            if self.spawn() {
                return;
            }
            self.address = free_address();
        }
        panic!("no port could be had; the server's log:\n{}", self.log());
    }

    /// The configuration file, written anew (the port may have changed).
    pub fn configure(&self) -> PathBuf {
        let path = self.dir.path().join("sparekey.hcl");
        let own = format!("storage \"redb\" {{\n  path = \"{}\"\n}}", self.store().display());
        let text = format!(
            "mount_path = \"{MOUNT}/\"\napi_addr = \"{url}\"\nlog_level = \"{level}\"\n\
             listener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n\
             {storage}\n{seal}\n\
             audit \"file\" \"main\" {{\n  options = {{ file_path = \"{audit}\" }}\n}}\n{extra}\n",
            url = self.url(),
            level = self.config.log_level,
            address = self.address,
            storage = self.config.storage.as_ref().unwrap_or(&own),
            seal = self.config.seal,
            audit = self.audit().display(),
            extra = self.config.extra,
        );
        fs::write(&path, text).expect("a configuration file");
        path
    }

    /// False if the port was taken meanwhile.
    fn spawn(&mut self) -> bool {
        let before = self.log().len();
        let log = File::options().create(true).append(true).open(self.dir.path().join("server.log")).expect("a log");
        // A write beyond a limit shall fail, and its signal not end the process.
        let child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
            .arg(&self.config.binary)
            .args(["server", "--config"])
            .arg(self.dir.path().join("sparekey.hcl"))
            .envs(self.config.environment.clone())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("the server's binary starts");
        self.child = Some(child);
        let deadline = Instant::now() + self.patience;
        while self.health().is_none() {
            let child = self.child.as_mut().expect("just started");
            if let Some(status) = child.try_wait().expect("a status") {
                self.child = None;
                let log = self.log();
                let said = &log[before..];
                if said.to_lowercase().contains("address already in use") || said.contains("os error 98") {
                    return false;
                }
                panic!("the server ended at its start ({status}); it said:\n{said}");
            }
            assert!(
                Instant::now() < deadline,
                "no answer within {:?}; the server said:\n{}",
                self.patience,
                &self.log()[before..]
            );
            sleep(Duration::from_millis(5));
        }
        true
    }

    fn initialize(&mut self, static_seal: bool, shares: u8, threshold: u8) {
        let body = if static_seal {
            json!({"recovery_shares": shares, "recovery_threshold": threshold})
        } else {
            json!({"secret_shares": shares, "secret_threshold": threshold})
        };
        let answer = self.client().write("sys/init", &body).expect(200).json();
        self.root_token = answer["root_token"].as_str().expect("a root token").into();
        if !static_seal {
            let keys = answer["keys"].as_array().expect("unseal keys");
            self.unseal_keys = keys.iter().filter_map(|key| key.as_str().map(str::to_string)).collect();
            for key in &self.unseal_keys[..usize::from(threshold)] {
                self.client().write("sys/unseal", &json!({"key": key})).expect(200);
            }
        }
        self.until("unsealed", |health| health == 200);
    }

    /// Waits until the status of `sys/health` is as `wanted` says.
    pub fn until(&self, what: &str, wanted: impl Fn(u16) -> bool) {
        let deadline = Instant::now() + self.patience;
        while !self.health().is_some_and(&wanted) {
            assert!(
                Instant::now() < deadline,
                "not {what} within {:?}; the server's log:\n{}",
                self.patience,
                self.log()
            );
            sleep(Duration::from_millis(5));
        }
    }
    fn health(&self) -> Option<u16> {
        self.client().try_send("GET", "sys/health", None).ok().map(|answer| answer.status)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("--- last lines of the server's log ---");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        self.kill();
    }
}

/// A free loopback port below the range from which the system gives ports to clients, so that no client's own socket takes
/// it while the server is down.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16 % 11_000;
    for _ in 0..2_000 {
        let port = 20_000 + start.wrapping_add(NEXT.fetch_add(7, Ordering::Relaxed)) % 12_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free port between 20000 and 32000")
}
