//! A store, a clock, a folder and sample entries.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sparekey::audit::{Broker, DeviceConfig, Head, Pace, Replay, Report, RequestEntry, ResponseEntry, VoidEntry};
use sparekey::auth::Caller;
use sparekey::clock::SettableClock;
use sparekey::crypto::secret::Key;
use sparekey::crypto::signing::SigningKey;
use sparekey::domain::time::Timestamp;
use sparekey::engine::request::Operation;
use sparekey::random::SeededRandom;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Change, Expect, Found, Get, Revision, Storage, Write};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// Everything a broker stands on; it outlives several brokers, as the store outlives several servers.
pub struct Rig {
    pub folder: TempDir,
    pub storage: Arc<dyn Storage>,
    pub pace: Pace,
}

impl Rig {
    pub fn new() -> Self {
        // No checkpoint by time: a test says itself when.
        let pace =
            Pace { deadline: Duration::from_secs(5), checkpoint_every: Duration::from_secs(3600), ..Pace::default() };
        Rig { folder: tempfile::tempdir().unwrap(), storage: Arc::new(Memory::new()), pace }
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    pub fn file(&self, name: &str) -> DeviceConfig {
        let path = self.path(&format!("{name}.log"));
        self.device("file", name, &[("file_path", path.to_str().unwrap())])
    }
    pub fn device(&self, kind: &str, name: &str, options: &[(&str, &str)]) -> DeviceConfig {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        DeviceConfig::new(kind, name, &options.collect::<BTreeMap<_, _>>()).unwrap().with_pace(self.pace)
    }
    pub async fn open(&self, devices: Vec<DeviceConfig>) -> Broker {
        let clock = Arc::new(SettableClock::new(Timestamp::from_secs(1_780_000_000)));
        let random = Arc::new(SeededRandom::new(1));
        Broker::open(devices, Arc::clone(&self.storage), signing_key(), clock, random).await.unwrap()
    }
    /// A broker on the file `main`.
    pub async fn main(&self) -> Broker {
        self.open(vec![self.file("main")]).await
    }
    pub fn main_path(&self) -> PathBuf {
        self.path("main.log")
    }
    pub fn lines(&self) -> Vec<Value> {
        read(&self.main_path())
    }
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_seed(&Key::from_bytes(Zeroizing::new([3; 32]))).unwrap()
}

/// A file's lines as JSON.
pub fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "every line is finished");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Replays files as `sparekey audit verify` does.
pub fn verify(paths: &[&Path]) -> Report {
    verify_against(paths, None)
}

pub fn verify_against(paths: &[&Path], anchor: Option<Head>) -> Report {
    let mut replay = Replay::new(Some(signing_key().public()), anchor);
    for path in paths {
        replay.file(path.file_name().unwrap().to_str().unwrap());
        let bytes = std::fs::read(path).unwrap();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n");
            replay.line(whole.unwrap_or(line), whole.is_some());
        }
    }
    replay.finish()
}

/// One sample act.
pub struct Act {
    pub id: String,
    pub path: String,
    pub data: Map<String, Value>,
    pub note: Map<String, Value>,
    pub caller: Caller,
}

impl Act {
    pub fn new(id: impl Into<String>) -> Self {
        let note = json!({"account": "github/acme-owner", "generation": 2, "slot": 3, "seq": 17, "head": "ab12"});
        Act {
            id: id.into(),
            path: "backup-codes/retrieve/github/acme-owner".into(),
            data: object(json!({"role": "oncall", "reason": "phone lost"})),
            note: object(note),
            caller: Caller::Root { accessor: "accessor-1".into() },
        }
    }
    pub fn with(mut self, data: Value) -> Self {
        self.data = object(data);
        self
    }
    pub fn request(&self) -> RequestEntry<'_> {
        RequestEntry {
            id: &self.id,
            operation: Operation::Update,
            mount_point: "backup-codes/",
            mount_type: "sparekey",
            path: &self.path,
            data: &self.data,
            caller: &self.caller,
            token: Some("s.token-1"),
            remote: Some([127, 0, 0, 1].into()),
            wrap_ttl: None,
            error: None,
        }
    }
    pub fn response(&self) -> ResponseEntry<'_> {
        ResponseEntry {
            request: self.request(),
            status: 200,
            error: None,
            data: None,
            list: None,
            warnings: 0,
            auth: None,
            wrap_info: None,
            note: &self.note,
        }
    }
    pub fn void(&self) -> VoidEntry<'_> {
        VoidEntry { request: self.request(), reason: "the store refused the write", note: &self.note }
    }
}

pub fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => panic!("an object"),
    }
}

/// Writes `count` request lines.
pub async fn write(broker: &Broker, count: usize) {
    for number in 0..count {
        broker.request(Act::new(format!("id-{number}")).request()).await.unwrap();
    }
}

/// What the store knew of a device at some time.
pub type Snapshot = Vec<(String, Vec<u8>, Revision)>;

pub async fn snapshot(rig: &Rig, device: &str) -> Snapshot {
    let found = rig.storage.get_many(vec![Get::new(format!("audit/{device}"))]).await.unwrap().remove(0);
    let Found::Value(value, revision) = found else { panic!("a record") };
    vec![(format!("audit/{device}"), value, revision)]
}

/// A store that knows that and nothing else: a server that crashed then finds it so.
pub async fn copy(snapshot: &Snapshot) -> Arc<dyn Storage> {
    let storage = Rig::new().storage;
    for (key, value, revision) in snapshot.clone() {
        let change = Change::Put { value, revision };
        storage.put_all(vec![Write { key, expect: Expect::Absent, change }]).await.unwrap();
    }
    storage
}
