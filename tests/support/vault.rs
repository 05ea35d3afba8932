//! A real OpenBao server that mounts the built binary as its secrets plugin: a folder, a loopback port, raft storage, an audit
//! file.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::bao::Bao;
use super::http::{Answer, Client};
use super::provision;
use super::server::{BINARY, MOUNT, free_address};

const PATIENCE: Duration = Duration::from_secs(60);

/// The plugin's name in the catalog.
pub const PLUGIN: &str = "sparekey";

/// A running vault; ended by its process id when dropped, and its plugin with it.
pub struct Vault {
    child: Option<Child>,
    address: SocketAddr,
    cluster: SocketAddr,
    root_token: String,
    unseal_key: String,
    log_level: &'static str,
    storage: Option<String>,
    dir: TempDir,
}

impl Vault {
    /// A vault that knows of no plugin and writes no line about a request into its log, over this storage block if it is given one.
    pub fn quiet(storage: Option<String>) -> Self {
        let mut vault = Self::new();
        vault.log_level = "warn";
        vault.storage = storage;
        vault.initialized()
    }
    /// A mounted vault that writes no line about a request into its log: for measuring.
    pub fn measured() -> Self {
        let mut vault = Self::new();
        vault.log_level = "warn";
        let vault = vault.initialized();
        vault.install(Path::new(BINARY));
        vault.register();
        vault.enable(MOUNT);
        vault
    }
    /// A vault, initialised and unsealed, with the plugin registered and mounted at `backup-codes/`.
    pub fn mounted() -> Self {
        let vault = Self::registered();
        vault.enable(MOUNT);
        vault
    }
    /// A vault with the plugin registered and no mount.
    pub fn registered() -> Self {
        let vault = Self::bare();
        vault.install(Path::new(BINARY));
        vault.register();
        vault
    }
    /// A vault that knows of no plugin, initialised and unsealed.
    pub fn bare() -> Self {
        Self::new().initialized()
    }
    fn initialized(self) -> Self {
        let mut vault = self;
        vault.boot();
        let init = vault.client().write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1}));
        let init = init.expect(200).json();
        vault.root_token = init["root_token"].as_str().expect("a root token").into();
        vault.unseal_key = init["keys"][0].as_str().expect("an unseal key").into();
        vault.unseal();
        vault
    }
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        for folder in ["plugins", "raft"] {
            fs::create_dir(dir.path().join(folder)).expect("a folder");
        }
        let (address, cluster) = (free_address(), free_address());
        let (root_token, unseal_key) = Default::default();
        Vault { child: None, address, cluster, root_token, unseal_key, log_level: "debug", storage: None, dir }
    }
    /// Another node of the cluster of `leader`, with the plugin in its folder, unsealed and standing by.
    pub fn standby_of(leader: &Vault) -> Self {
        let mut vault = Self::new();
        vault.root_token.clone_from(&leader.root_token);
        vault.unseal_key.clone_from(&leader.unseal_key);
        vault.install(Path::new(BINARY));
        vault.boot();
        vault.client().write("sys/storage/raft/join", &json!({"leader_api_addr": leader.url()})).expect(200);
        vault.client().write("sys/unseal", &json!({"key": vault.unseal_key})).expect(200);
        vault.until("standing by", |health| matches!(health, 429 | 472 | 473));
        leader.until_voting(vault.cluster);
        vault
    }
    /// A node that joined may take over only after a while, which is made short.
    fn until_voting(&self, node: SocketAddr) {
        let short = json!({"server_stabilization_time": "1s"});
        self.root().write("sys/storage/raft/autopilot/configuration", &short).expect(204);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let servers =
                self.root().read("sys/storage/raft/configuration").expect(200).data()["config"]["servers"].clone();
            let mut servers = servers.as_array().expect("servers").iter();
            if servers.any(|server| server["node_id"] == json!(node.to_string()) && server["voter"] == true) {
                return;
            }
            assert!(Instant::now() < deadline, "{node} does not vote within {PATIENCE:?}");
            sleep(Duration::from_millis(100));
        }
    }
    /// Puts `binary` into the plugin directory, over the one that is there.
    pub fn install(&self, binary: &Path) {
        let (beside, place) = (self.plugins().join("new"), self.plugins().join(PLUGIN));
        fs::copy(binary, &beside).expect("the plugin is copied");
        fs::rename(&beside, &place).expect("the plugin is in its place");
    }
    /// Tells the catalog the sum of what is installed.
    pub fn register(&self) {
        self.register_with(&[]);
    }
    /// The same, with variables in the plugin's environment.
    pub fn register_with(&self, environment: &[String]) {
        let sum = hex::encode(Sha256::digest(fs::read(self.plugins().join(PLUGIN)).expect("the plugin")));
        let entry = json!({"sha256": sum, "command": PLUGIN, "env": environment});
        self.root().write(&format!("sys/plugins/catalog/secret/{PLUGIN}"), &entry).expect(204);
    }
    /// Mounts the engine.
    pub fn enable(&self, path: &str) {
        self.root().write(&format!("sys/mounts/{path}"), &json!({"type": PLUGIN})).expect(204);
    }
    /// Opens it after a start or a seal.
    pub fn unseal(&self) {
        self.open();
        self.until("active", |health| health == 200);
    }
    /// Sends the unseal key and does not wait for what comes of it.
    pub fn open(&self) {
        self.client().write("sys/unseal", &json!({"key": self.unseal_key})).expect(200);
    }
    /// Ends and starts it once more, from then on with everything it can say in its log.
    pub fn tell_all(&mut self) {
        self.log_level = "trace";
        self.kill();
        self.boot();
        self.unseal();
    }
    /// Starts a node of a cluster again after its end, and unseals it, whatever part the others give it.
    pub fn rejoin(&mut self) {
        self.boot();
        self.client().write("sys/unseal", &json!({"key": self.unseal_key})).expect(200);
        self.until("unsealed", |health| matches!(health, 200 | 429 | 472 | 473));
    }
    /// Whether it is the node that writes, as far as it knows.
    pub fn leads(&self) -> bool {
        self.client().try_send("GET", "sys/health", None).is_ok_and(|answer| answer.status == 200)
    }
    /// Ends the node that writes at once, if there is one, and starts it again; says when it ended.
    pub fn replace_leader(nodes: &mut [Vault]) -> Option<Instant> {
        let leader = nodes.iter_mut().find(|node| node.leads())?;
        let at = Instant::now();
        leader.kill();
        leader.rejoin();
        Some(at)
    }
    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
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
    /// `bao` as a person with the root token runs it.
    pub fn bao(&self) -> Bao {
        Bao::at(self.dir.path().join("home"), self.url()).token(&self.root_token)
    }
    /// A token with a policy of its own made of `rules` (HCL).
    pub fn token(&self, name: &str, rules: &str) -> String {
        self.root().write(&format!("sys/policies/acl/{name}"), &json!({"policy": rules})).expect(204);
        let made = self.root().write("auth/token/create", &json!({"policies": [name], "display_name": name}));
        made.expect(200).json()["auth"]["client_token"].as_str().expect("a token").to_owned()
    }
    /// The folder with everything this vault reads and writes.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
    /// Its plugin directory.
    pub fn plugins(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }
    /// What it logged, plugins' lines included.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default()
    }
    /// What it audited.
    pub fn audit(&self) -> String {
        fs::read_to_string(self.dir.path().join("audit.log")).unwrap_or_default()
    }
    /// The processes of our plugin that this vault has started and that still run.
    pub fn plugin_pids(&self) -> Vec<i32> {
        let binary = self.plugins().join(PLUGIN);
        pids().filter(|pid| started_as(*pid, &binary)).collect()
    }
    /// All processes that this vault has started and that still run.
    pub fn children(&self) -> Vec<i32> {
        let parent = self.child.as_ref().map(|child| child.id().to_string());
        let of = |pid: &i32| {
            // PID (NAME) STATE PARENT …
            let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let mut fields = line.rsplit(')').next().unwrap_or_default().split_whitespace();
            fields.next() != Some("Z") && fields.next().map(str::to_owned) == parent
        };
        pids().filter(of).collect()
    }
    /// Those of them that were started as this command of the plugin directory.
    pub fn children_named(&self, command: &str) -> Vec<i32> {
        let binary = self.plugins().join(command);
        self.children().into_iter().filter(|pid| started_as(*pid, &binary)).collect()
    }
    /// Ends the one plugin process at once.
    pub fn kill_plugin(&self) {
        self.signal_plugin(Signal::KILL);
    }
    /// Stops the one plugin process, which does not know it, or lets it go on.
    pub fn pause_plugin(&self, paused: bool) {
        self.signal_plugin(if paused { Signal::STOP } else { Signal::CONT });
    }
    fn signal_plugin(&self, signal: Signal) {
        let pids = self.plugin_pids();
        assert_eq!(pids.len(), 1, "{pids:?}");
        let pid = Pid::from_raw(pids[0]).expect("a process id");
        kill_process(pid, signal).expect("the signal arrives");
    }
    /// Ends the plugin process at once if there is one, and says when.
    pub fn try_kill_plugin(&self) -> Option<Instant> {
        let [pid] = self.plugin_pids()[..] else { return None };
        let at = Instant::now();
        let killed = kill_process(Pid::from_raw(pid).expect("a process id"), Signal::KILL);
        killed.is_ok().then_some(at)
    }
    /// Sends a request again for as long as the plugin's end shows in the answer.
    pub fn again(&self, mut send: impl FnMut() -> Answer) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = send();
            let broken = answer.status == 500 && answer.text().contains("rpc error");
            if !broken || Instant::now() > deadline {
                return answer;
            }
            sleep(Duration::from_millis(20));
        }
    }
    /// Ends the vault at once, as a power cut would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    /// Starts the process, or starts it again, and waits until it answers.
    pub fn boot(&mut self) {
        self.configure();
        let log = File::options().create(true).append(true).open(self.dir.path().join("server.log")).expect("a log");
        let child = Command::new(provision::bao())
            .args(["server", &format!("-log-level={}", self.log_level), "-config"])
            .arg(self.dir.path().join("vault.hcl"))
            .env_clear()
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("bao starts");
        self.child = Some(child);
        self.until("listening", |_| true);
    }
    /// Adds lines to the configuration file, from the next start on.
    pub fn more_configuration(&self, lines: &str) {
        fs::write(self.dir.path().join("more.hcl"), lines).expect("a configuration file");
    }
    /// Paths are relative where all nodes of a cluster must name the same one.
    fn configure(&self) {
        let dir = self.dir.path().display();
        let (address, cluster) = (self.address, self.cluster);
        let raft = format!(
            "storage \"raft\" {{\n  path = \"{dir}/raft\"\n  node_id = \"{cluster}\"\n  performance_multiplier = 1\n}}"
        );
        let storage = self.storage.as_ref().unwrap_or(&raft);
        let text = format!(
            "plugin_directory = \"{dir}/plugins\"\napi_addr = \"http://{address}\"\ncluster_addr = \"https://{cluster}\"\n\
             {storage}\n\
             listener \"tcp\" {{\n  address = \"{address}\"\n  cluster_address = \"{cluster}\"\n  tls_disable = true\n}}\n\
             audit \"file\" \"main\" {{\n  options {{\n    file_path = \"audit.log\"\n  }}\n}}\n"
        );
        let more = fs::read_to_string(self.dir.path().join("more.hcl")).unwrap_or_default();
        fs::write(self.dir.path().join("vault.hcl"), text + &more).expect("a configuration file");
    }
    /// Waits until the status of `sys/health` is as `wanted` says.
    pub fn until(&self, what: &str, wanted: impl Fn(u16) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !self.client().try_send("GET", "sys/health", None).is_ok_and(|answer| wanted(answer.status)) {
            assert!(Instant::now() < deadline, "not {what} within {PATIENCE:?}; the vault's log:\n{}", self.log());
            sleep(Duration::from_millis(20));
        }
    }
    /// The file of a policy that lets a token do everything below the mount, and nothing elsewhere.
    pub fn everything_below(mount: &str) -> String {
        format!("path \"{mount}/*\" {{ capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\"] }}")
    }
    /// What a lookup of all leases below the mount lists.
    pub fn leases(&self, mount: &str) -> Value {
        let answer = self.root().list(&format!("sys/leases/lookup/{mount}"));
        match answer.status {
            404 => Value::Null,
            _ => answer.expect(200).data()["keys"].clone(),
        }
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn started_as(pid: i32, binary: &Path) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).next() == Some(binary.as_os_str().as_encoded_bytes())
}

impl Drop for Vault {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> =
                log.lines().filter(|line| line.contains("sparekey") || line.contains("panic")).collect();
            eprintln!("--- last lines of the vault's log about the plugin ---");
            lines.iter().rev().take(30).rev().for_each(|line| eprintln!("{line}"));
        }
        self.kill();
    }
}
