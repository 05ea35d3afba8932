//! One server of its own on a redb file: killed, stopped for a while, told to end, its file damaged between two starts, its audit
//! file taken away, no file allowed to grow, the disk of its audit file full or standing still, its clock moved.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use super::peer::Peer;
use super::room::Room;
use super::steps::Clock;
use super::{Broken, Stand, audited, damage};
use crate::support::corpus::Dice;
use crate::support::http::Client;
use crate::support::server::{Server, Setup};
use crate::support::signer::now;
use crate::trial::cast::Door;
use crate::trial::log::{Finding, Log};
use crate::trial::proxy::Proxy;

/// One node on redb, with a proxy before it.
pub struct Redb {
    server: Server,
    proxy: Proxy,
    /// The other end of a second audit device.
    peer: Peer,
    /// Audit files that were taken away, oldest first.
    away: Vec<PathBuf>,
    /// The server's own clock, where it is moved.
    clock: Option<Clock>,
    /// The disk of its audit file, where it has one of its own. Goes after the server.
    room: Option<Room>,
}

impl Redb {
    /// Starts it; with every fourth seed by a clock that is moved, with others on two disks.
    pub fn start(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::stepped(seed),
            2 => Self::roomed(seed),
            _ => Self::with(seed, None, None),
        }
    }
    /// Starts it by a clock that is moved, where there is one.
    pub fn stepped(seed: u64) -> Self {
        Self::with(seed, Clock::new(), None)
    }
    /// Starts it with a disk for its audit file alone, where one can be had.
    pub fn roomed(seed: u64) -> Self {
        Self::with(seed, None, Room::new())
    }
    fn with(seed: u64, clock: Option<Clock>, room: Option<Room>) -> Self {
        let peer = Peer::start();
        let environment = clock.as_ref().map(Clock::environment).unwrap_or_default();
        let setup = Setup::default()
            .static_seal()
            .log_level("warn")
            .extra(&peer.device())
            .environment(environment)
            .audit_in(room.as_ref().map(Room::path));
        let server = setup.start();
        let proxy = Proxy::before(server.address(), seed ^ 0x5eed);
        Redb { server, proxy, peer, away: Vec::new(), clock, room }
    }
    /// Its clock shows hours more or less for a while, in which it may be killed.
    fn jump(&mut self, dice: &Dice) -> Option<String> {
        let word = self.clock.as_ref()?.jump(dice);
        let kills = dice.below(3) == 0;
        if kills {
            self.server.kill();
            self.server.boot();
        }
        sleep(Duration::from_millis(50 + dice.below(1_000) as u64));
        self.clock.as_ref()?.right();
        let what = if kills { "node killed (SIGKILL) and started by a clock" } else { "clock of a node" };
        Some(format!("{what} set {word} by hours"))
    }
    /// Kills it, and sees what a damaged copy of its file answers.
    pub fn damage(&mut self, dice: &Dice, accounts: &[String]) -> Broken {
        self.server.kill();
        let folder = damage::copy(&self.server);
        self.server.boot();
        let (kind, findings) = damage::try_out(&self.server, folder.path(), accounts, dice);
        Broken { kind: Some(format!("node killed; of a copy {kind}")), findings }
    }
    fn door(&self, address: std::net::SocketAddr) -> Door {
        let client = Client::new(address);
        let now = self.clock.as_ref().map_or_else(|| Arc::new(now) as _, Clock::now);
        Door { root: client.token(self.server.root_token()), client, node: 0, now }
    }
}

impl Stand for Redb {
    fn name(&self) -> &'static str {
        "redb"
    }
    fn steps_clock(&self) -> bool {
        self.clock.is_some()
    }
    fn doors(&self) -> Vec<Door> {
        vec![self.door(self.server.address())]
    }
    fn ways(&self, client: usize) -> Vec<Door> {
        let address = if client % 4 == 3 { self.proxy.address() } else { self.server.address() };
        vec![self.door(address)]
    }
    fn fault(&mut self, dice: &Dice, accounts: &[String]) -> Broken {
        if dice.below(6) == 0
            && let Some(kind) = self.jump(dice)
        {
            return Broken::of(&kind);
        }
        if let Some(room) = self.room.as_ref().filter(|_| dice.below(5) == 0) {
            return Broken::of(full_or_still(room, dice));
        }
        match dice.below(24) {
            0..=11 => {
                self.server.kill();
                self.server.boot();
                Broken::of("node killed (SIGKILL)")
            }
            12..=14 => {
                self.server.signal(Signal::STOP);
                sleep(Duration::from_millis(20 + dice.below(600) as u64));
                self.server.signal(Signal::CONT);
                Broken::of("node stopped and continued (SIGSTOP)")
            }
            15 => {
                self.server.terminate();
                self.server.boot();
                Broken::of("node told to end (SIGTERM)")
            }
            16..=17 => {
                self.proxy.cut_all();
                Broken::of("all connections of a proxy cut")
            }
            20..=21 => {
                self.peer.rest(dice);
                Broken::of("audit peer reads nothing for a while")
            }
            22..=23 => {
                // The audit file is the longest.
                let most = fs::metadata(self.server.audit()).map_or(0, |meta| meta.len()) + dice.below(8192) as u64;
                self.server.limit(Some(most));
                sleep(Duration::from_millis(50 + dice.below(500) as u64));
                self.server.limit(None);
                Broken::of("disk full for a node: its audit file does not grow")
            }
            18 => self.damage(dice, accounts),
            _ => {
                let file = self.server.audit().with_file_name(format!("audit.{}", self.away.len()));
                fs::rename(self.server.audit(), &file).expect("the audit file is there");
                self.away.push(file);
                // The server notices, and goes on in a new file of that name.
                while !self.server.audit().exists() {
                    sleep(Duration::from_millis(5));
                }
                Broken::of("audit file taken away")
            }
        }
    }
    fn settle(&mut self) {
        self.server.until("unsealed", |health| health == 200);
    }
    fn end(&mut self, log: &Log) -> Vec<Finding> {
        self.server.terminate();
        let files = self.away.iter().cloned().chain([self.server.audit()]).filter(|file| file.exists());
        audited::judge(&[files.collect()], log)
    }
    fn passed(&self) -> Vec<(String, usize)> {
        self.proxy.counts().into_iter().map(|(kind, count)| (format!("connection {kind}"), count)).collect()
    }
}

/// The disk of the audit file fills up or stands still for a while: sometimes for longer than a request waits.
fn full_or_still(room: &Room, dice: &Dice) -> &'static str {
    let long = if dice.below(4) == 0 { 2_500 } else { 0 };
    let time = Duration::from_millis(long + 50 + dice.below(900) as u64);
    match dice.below(2) {
        0 => {
            room.fill(dice.below(64 << 10) as u64, || sleep(time));
            "disk of the audit file full"
        }
        _ => {
            room.stall(time);
            "disk of the audit file stands still"
        }
    }
}
