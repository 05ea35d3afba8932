//! Prometheus and its `promtool`, installed or unpacked from Debian's package.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::debian;
use super::http::Client;
use super::run::Run;
use super::server::free_address;

const PATIENCE: Duration = Duration::from_secs(60);

fn program(name: &str) -> PathBuf {
    let needed = ["usr/bin/prometheus", "usr/bin/promtool"];
    debian::root("prometheus", &["prometheus"], &needed).join("usr/bin").join(name)
}

/// Runs `promtool ARGS` in `folder`.
pub fn promtool(folder: &Path, args: &[&str]) -> Run {
    let output = Command::new(program("promtool")).args(args).current_dir(folder).output().expect("promtool starts");
    Run {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A running Prometheus; ended by its process id when dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Prometheus {
    /// With this configuration and these rules, as `prometheus.yml` and `alerts.yml` in a folder of its own.
    pub fn start(configuration: &str, rules: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("prometheus.yml"), configuration).expect("a configuration");
        fs::write(folder.path().join("alerts.yml"), rules).expect("rules");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let address = free_address();
        let child = Command::new(program("prometheus"))
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus starts");
        Prometheus { child, address, folder }
    }
    /// What the expression comes to at this moment: one object a series.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let data = self.get(&format!("/api/v1/query?query={}", encoded(expression)))?;
        data["result"].as_array().cloned().ok_or_else(|| format!("no series: {data}"))
    }
    /// Every rule as Prometheus read it.
    pub fn rules(&self) -> Vec<Value> {
        let data = self.get("/api/v1/rules").expect("rules");
        let groups = data["groups"].as_array().expect("groups");
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }
    /// Waits until `expression` comes to anything.
    pub fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.query(expression).is_ok_and(|series| !series.is_empty()) {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{expression} within {PATIENCE:?}: {:?}\n{log}", self.query(expression));
            sleep(Duration::from_millis(100));
        }
    }
    fn get(&self, path: &str) -> Result<Value, String> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let answer = Client::new(self.address).exchange(head.as_bytes()).map_err(|error| error.to_string())?;
        let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        match body["status"].as_str() {
            Some("success") => Ok(body["data"].clone()),
            _ => Err(format!("{}: {}", answer.status, body["error"])),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric().then(|| char::from(byte).to_string());
    text.bytes().map(|byte| plain(byte).unwrap_or_else(|| format!("%{byte:02X}"))).collect()
}
