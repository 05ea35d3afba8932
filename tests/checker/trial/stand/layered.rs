//! Two nodes in this process over one store, with a layer of faults between: reads and writes fail, stall, lie about what they did or
//! stop in the middle; the clock jumps by hours; audit files go away; sweeps come at any time. On request no file may grow for
//! a while, as on a full disk.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use sparekey::clock::{Clock, SettableClock, SystemClock};
use sparekey::storage::Storage;
use sparekey::storage::faulty::{Faulty, Outcome, Times};
use sparekey::storage::memory::Memory;
use sparekey::storage::redb::Redb;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use super::one_writer::OneWriter;
use super::peer::Peer;
use super::{Broken, Stand};
use crate::inprocess::{Node, Setup};
use crate::support::corpus::Dice;
use crate::support::http::Client;
use crate::support::server::BINARY;
use crate::trial::cast::Door;
use crate::trial::judge::Kind;
use crate::trial::log::{Finding, Log};
use crate::trial::proxy::Proxy;

/// Two nodes over one store, with a proxy before the second.
pub struct Layered {
    nodes: Vec<Node>,
    root: String,
    layer: Arc<Faulty>,
    /// Whether the store carries out a list of writes one by one, so that it may stop in the middle.
    one_by_one: bool,
    proxy: Proxy,
    /// The other end of a second audit device of both.
    peer: Peer,
    ticking: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
    /// Keeps the signal of a file that may not grow from ending this process.
    signals: Option<tokio::runtime::Runtime>,
    _folder: TempDir,
}

impl Layered {
    /// Starts them: over redb, or for an even seed over a store in memory that writes one by one. `full` lets the disk be full.
    pub fn start(seed: u64, full: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let one_by_one = seed.is_multiple_of(2);
        let store: Arc<dyn Storage> = match one_by_one {
            true => Arc::new(Memory::sequential()),
            false => Arc::new(Redb::open(&folder.path().join("store.redb")).expect("a store")),
        };
        let layer = Arc::new(Faulty::new(store));
        let shared: Arc<dyn Storage> = match one_by_one {
            true => Arc::new(OneWriter::new(layer.clone())),
            false => layer.clone(),
        };
        let peer = Peer::start();
        let start = |number: usize| {
            let node = Some(format!("node-{number}"));
            let devices = vec![peer.config()];
            Setup { storage: Some(Arc::clone(&shared)), node, devices, ..Setup::default() }.start()
        };
        let nodes: Vec<Node> = (1..=2).map(start).collect();
        let born = json!({"secret_shares": 1, "secret_threshold": 1});
        let born = nodes[0].client().write("sys/init", &born).expect(200).json();
        for node in &nodes {
            node.client().write("sys/unseal", &json!({"key": born["keys"][0]})).expect(200);
        }
        let root = born["root_token"].as_str().expect("a root token").to_owned();
        let ticking = Arc::new(AtomicBool::new(true));
        let clocks: Vec<Arc<SettableClock>> = nodes.iter().map(|node| node.clock.clone()).collect();
        let ticker = std::thread::spawn({
            let ticking = Arc::clone(&ticking);
            move || tick(&clocks, &ticking)
        });
        let proxy = Proxy::before(nodes[1].address, seed ^ 0x5eed);
        let signals = full.then(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            // SIGXFSZ; once it is listened for, a write beyond the limit fails and does not end the process.
            let listening = runtime.block_on(async { signal(SignalKind::from_raw(25)) });
            std::mem::forget(listening.expect("a signal to listen for"));
            runtime
        });
        let ticker = Some(ticker);
        Layered { nodes, root, layer, one_by_one, proxy, peer, ticking, ticker, signals, _folder: folder }
    }
    fn door(&self, node: usize, address: std::net::SocketAddr) -> Door {
        let (client, clock) = (Client::new(address), self.nodes[node].clock.clone());
        let now = move || u64::try_from(clock.now().millis() / 1000).unwrap_or(0);
        Door { root: client.token(&self.root), client, node, now: Arc::new(now) }
    }
    /// No file may grow for a while: audit and store come to their end.
    fn fill_disk(&self, dice: &Dice) {
        let written = self.nodes.iter().map(|node| fs::metadata(node.audit()).map_or(0, |meta| meta.len())).max();
        let most = written.unwrap_or(0) + dice.below(4096) as u64;
        let before = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(most), maximum: before.maximum }).expect("a limit");
        sleep(Duration::from_millis(30 + dice.below(300) as u64));
        setrlimit(Resource::Fsize, before).expect("the limit is lifted");
    }
    /// Every clock shows hours more or less, for a while.
    fn jump(&self, dice: &Dice) -> &'static str {
        let hours = 1 + dice.below(12) as i64;
        let (hours, kind) = match dice.below(2) {
            0 => (hours, "clock set forward by hours"),
            _ => (-hours, "clock set back by hours"),
        };
        // One node's clock alone, or all of them.
        let nodes = &self.nodes[dice.below(2)..];
        nodes.iter().for_each(|node| node.clock.advance(hours * 3_600_000));
        sleep(Duration::from_millis(50 + dice.below(400) as u64));
        nodes.iter().for_each(|node| node.clock.advance(-hours * 3_600_000));
        kind
    }
}

/// Lets clocks go with the system's, whatever they show.
fn tick(clocks: &[Arc<SettableClock>], ticking: &AtomicBool) {
    let (began, mut told) = (Instant::now(), 0);
    let start = SystemClock.now();
    clocks.iter().for_each(|clock| clock.set(start));
    while ticking.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(2));
        let elapsed = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
        clocks.iter().for_each(|clock| clock.advance(elapsed - told));
        told = elapsed;
    }
}

impl Stand for Layered {
    fn name(&self) -> &'static str {
        "layered"
    }
    fn steps_clock(&self) -> bool {
        true
    }
    fn writes_in_order(&self) -> bool {
        self.one_by_one
    }
    fn doors(&self) -> Vec<Door> {
        self.nodes.iter().enumerate().map(|(node, at)| self.door(node, at.address)).collect()
    }
    fn ways(&self, client: usize) -> Vec<Door> {
        let second = if client % 4 == 3 { self.proxy.address() } else { self.nodes[1].address };
        vec![self.door(0, self.nodes[0].address), self.door(1, second)]
    }
    fn fault(&mut self, dice: &Dice, _: &[String]) -> Broken {
        let times = Times::Next(1 + dice.below(8));
        let pause = Duration::from_millis(5 + dice.below(120) as u64);
        let kind = match dice.below(if self.signals.is_some() { 21 } else { 19 }) {
            0..=2 => {
                self.layer.fail_writes(times);
                "writes of the store fail"
            }
            3 => {
                self.layer.fail_reads(times);
                "reads of the store fail"
            }
            4..=6 => {
                self.layer.answer_unknown(Outcome::Written, times);
                "writes happen and their answer is lost"
            }
            7..=8 => {
                self.layer.answer_unknown(Outcome::Lost, times);
                "writes are lost and nobody knows"
            }
            9 => {
                self.layer.delay(Duration::from_millis(dice.below(60) as u64));
                sleep(pause);
                self.layer.delay(Duration::ZERO);
                "store slow"
            }
            10..=12 if self.one_by_one => {
                self.layer.freeze_after(dice.below(12));
                sleep(pause);
                self.layer.thaw();
                "store stops in the middle of a list of writes"
            }
            13..=14 => self.jump(dice),
            15 => {
                let node = dice.pick(&self.nodes);
                let file = node.path().join(format!("audit.{}", dice.below(1 << 30)));
                let _ = fs::rename(node.audit(), file);
                "audit file taken away"
            }
            16 => {
                let node = dice.pick(&self.nodes);
                // A store that fails meanwhile fails it too; the next one goes on.
                let _ = node.run(node.host.tidy(|| true));
                "swept"
            }
            18 => {
                self.peer.rest(dice);
                "audit peer reads nothing for a while"
            }
            19..=20 => {
                self.fill_disk(dice);
                "disk full: no file grows"
            }
            _ => {
                self.proxy.cut_all();
                "all connections of a proxy cut"
            }
        };
        Broken::of(kind)
    }
    fn settle(&mut self) {
        self.layer.thaw();
        self.layer.delay(Duration::ZERO);
        self.layer.fail_reads(Times::Never);
        self.layer.fail_writes(Times::Never);
        self.layer.answer_unknown(Outcome::Lost, Times::Never);
    }
    fn end(&mut self, _: &Log) -> Vec<Finding> {
        self.ticking.store(false, Ordering::Relaxed);
        self.ticker.take().map(JoinHandle::join);
        let mut findings = Vec::new();
        for node in &mut self.nodes {
            node.drain(Duration::from_secs(10));
            node.run(node.host.shut_down(Duration::from_secs(10)));
            // Files by the number of their first line: that is the order in which they were written.
            let mut files: BTreeMap<u64, std::path::PathBuf> = BTreeMap::new();
            for entry in fs::read_dir(node.path()).expect("the node's folder").flatten() {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                let first = text.lines().next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
                if let Some(seq) = first.and_then(|line| line["chain"]["seq"].as_u64()) {
                    files.insert(seq, entry.path());
                }
            }
            let said = Command::new(BINARY).args(["audit", "verify"]).args(files.values()).output().expect("it starts");
            if !said.status.success() {
                let words = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
                findings.push(Finding { kind: Kind::Unverifiable, words: format!("audit verify: {words}") });
            }
        }
        findings
    }
    fn passed(&self) -> Vec<(String, usize)> {
        self.proxy.counts().into_iter().map(|(kind, count)| (format!("connection {kind}"), count)).collect()
    }
}

impl Drop for Layered {
    fn drop(&mut self) {
        self.ticking.store(false, Ordering::Relaxed);
        self.ticker.take().map(JoinHandle::join);
    }
}
