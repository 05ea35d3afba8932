//! Three servers over one PostgreSQL: any of them is killed or stopped, the database is killed, ended, stopped, and cut off from them,
//! between a COMMIT and its answer too; once its synchronous standby takes over. A node's audit file does not grow, another reader of
//! its audit goes silent, its clock is moved.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::peer::Peer;
use super::steps::Clock;
use super::{Broken, Stand, audited};
use crate::support::corpus::Dice;
use crate::support::http::Client;
use crate::support::postgres;
use crate::support::server::{Server, Setup};
use crate::support::signer::now;
use crate::trial::cast::Door;
use crate::trial::log::{Finding, Log};
use crate::trial::proxy::Proxy;

/// The name of the standby.
const STANDBY: &str = "second";
/// A commit is acknowledged when the standby has it.
const SYNCHRONOUS: [&str; 1] = ["synchronous_standby_names=second"];

/// Three nodes, their database, a proxy between both and one before a node.
pub struct Postgres {
    nodes: Vec<Server>,
    /// Before the last node.
    proxy: Proxy,
    /// Before each of the databases.
    between: [Proxy; 2],
    database: postgres::Server,
    /// A synchronous standby, until it is promoted.
    standby: Option<postgres::Server>,
    /// The other end of a second audit device of the first node.
    peer: Peer,
    /// Each node's own clock, where they are moved.
    clocks: Vec<Clock>,
}

impl Postgres {
    /// Starts everything; with every fourth seed by clocks that are moved.
    pub fn start(seed: u64) -> Self {
        let clocks: Vec<Clock> = match seed % 4 {
            0 => (0..3).filter_map(|_| Clock::new()).collect(),
            _ => Vec::new(),
        };
        let peer = Peer::start();
        let mut database = postgres::Server::new();
        database.start(&[]);
        let mut standby = postgres::Server::standby(&database, STANDBY);
        standby.start(&[]);
        database.stop();
        database.start(&SYNCHRONOUS);
        let between =
            [&database, &standby].map(|server| Proxy::passing(SocketAddr::from(([127, 0, 0, 1], server.port()))));
        let hosts = between.each_ref().map(|proxy| proxy.address().to_string()).join(",");
        let url = format!("postgres://{}@{hosts}/postgres?sslmode=disable", postgres::USER);
        let block = format!("storage \"postgres\" {{\n  connection_url = \"{url}\"\n}}");
        let setup = |number: usize| {
            let setup = Setup::default().log_level("warn").storage(&block);
            let peer = if number == 1 { peer.device() } else { String::new() };
            let setup = setup.environment(clocks.get(number - 1).map(Clock::environment).unwrap_or_default());
            // After a promotion codes wait until every node has had time to object: about three times this.
            setup.extra(&format!("node_id = \"node-{number}\"\nanchor_interval = \"1s\"\n{peer}"))
        };
        let first = setup(1).static_seal().start();
        let others = [2, 3].map(|number| setup(number).beside(&first));
        let nodes: Vec<Server> = [first].into_iter().chain(others).collect();
        let proxy = Proxy::before(nodes[2].address(), seed ^ 0x5eed);
        Postgres { nodes, proxy, between, database, standby: Some(standby), peer, clocks }
    }
    /// The settings of the database that takes writes.
    fn settings(&self) -> &'static [&'static str] {
        if self.standby.is_some() { &SYNCHRONOUS } else { &[] }
    }
    /// The database dies and its standby takes over. Each node compares the new line of history with what it remembers, while it
    /// runs or when it starts.
    fn promote(&mut self, standby: postgres::Server, restarts: bool) {
        self.database.kill();
        standby.promote();
        self.database = standby;
        for node in self.nodes.iter_mut().filter(|_| restarts) {
            node.kill();
            node.boot();
        }
    }
    fn door(&self, node: usize, address: SocketAddr) -> Door {
        let client = Client::new(address);
        let now = self.clocks.get(node).map_or_else(|| Arc::new(now) as _, Clock::now);
        Door { root: client.token(self.nodes[0].root_token()), client, node, now }
    }
    /// One node's clock, or each one's in its own way, shows hours more or less for a while, in which the node may be killed.
    fn jump(&mut self, node: usize, dice: &Dice) -> &'static str {
        let all = dice.below(3) == 0;
        let moved = || self.clocks.iter().enumerate().filter(|(other, _)| all || *other == node);
        moved().for_each(|(_, clock)| {
            clock.jump(dice);
        });
        let kills = dice.below(3) == 0;
        if kills {
            self.nodes[node].kill();
            self.nodes[node].boot();
        }
        sleep(Duration::from_millis(50 + dice.below(1_000) as u64));
        self.clocks.iter().for_each(Clock::right);
        match (kills, all) {
            (true, _) => "node killed (SIGKILL) and started by a clock set by hours",
            (false, true) => "clocks of all nodes set by hours",
            (false, false) => "clock of a node set by hours",
        }
    }
}

impl Stand for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }
    fn steps_clock(&self) -> bool {
        !self.clocks.is_empty()
    }
    fn doors(&self) -> Vec<Door> {
        self.nodes.iter().enumerate().map(|(node, at)| self.door(node, at.address())).collect()
    }
    fn ways(&self, client: usize) -> Vec<Door> {
        let mut ways = self.doors();
        if client % 4 == 3 {
            ways[2] = self.door(2, self.proxy.address());
        }
        ways
    }
    fn fault(&mut self, dice: &Dice, _: &[String]) -> Broken {
        let node = dice.below(self.nodes.len());
        let pause = Duration::from_millis(20 + dice.below(600) as u64);
        if dice.below(12) == 0
            && let Some(standby) = self.standby.take()
        {
            let restarts = dice.below(2) == 0;
            self.promote(standby, restarts);
            return Broken::of(match restarts {
                true => "database killed, its standby promoted, nodes restarted",
                false => "database killed, its standby promoted",
            });
        }
        if !self.clocks.is_empty() && dice.below(6) == 0 {
            return Broken::of(self.jump(node, dice));
        }
        Broken::of(match dice.below(30) {
            0..=8 => {
                self.nodes[node].kill();
                self.nodes[node].boot();
                "node killed (SIGKILL)"
            }
            9..=11 => {
                self.nodes[node].signal(Signal::STOP);
                sleep(pause);
                self.nodes[node].signal(Signal::CONT);
                "node stopped and continued (SIGSTOP)"
            }
            12..=13 => {
                self.database.kill();
                self.database.start(self.settings());
                "database killed (SIGKILL)"
            }
            24..=25 => {
                self.database.stop_at_once();
                self.database.start(self.settings());
                "database stopped at once (immediate) and started"
            }
            26..=27 => {
                let most = fs::metadata(self.nodes[node].audit()).map_or(0, |meta| meta.len());
                self.nodes[node].limit(Some(most + dice.below(8192) as u64));
                sleep(pause);
                self.nodes[node].limit(None);
                "disk full for a node: its audit file does not grow"
            }
            28 => {
                self.peer.rest(dice);
                "audit peer reads nothing for a while"
            }
            14 => {
                self.database.stop();
                self.database.start(self.settings());
                "database told to end"
            }
            15..=16 => {
                self.database.signal("STOP");
                sleep(pause);
                self.database.signal("CONT");
                "database stopped and continued (SIGSTOP)"
            }
            17..=18 => {
                self.between.iter().for_each(Proxy::cut_all);
                "all connections to the database cut"
            }
            19..=22 => {
                self.between.iter().for_each(Proxy::swallow_answers);
                "all connections to the database cut before their next answer"
            }
            _ => {
                self.proxy.cut_all();
                "all connections of a proxy cut"
            }
        })
    }
    fn settle(&mut self) {
        self.nodes.iter().for_each(|node| node.until("unsealed", |health| health == 200));
        // A node that has a new line before it compares in its own time.
        let deadline = Instant::now() + Duration::from_secs(90);
        let reads = |door: &Door| {
            let read = door.root.try_send("GET", "backup-codes/config", None);
            read.is_ok_and(|answer| answer.status == 200)
        };
        while !self.doors().iter().all(reads) {
            assert!(Instant::now() < deadline, "a node does not answer after everything was made whole");
            sleep(Duration::from_millis(50));
        }
    }
    fn end(&mut self, log: &Log) -> Vec<Finding> {
        for node in &mut self.nodes {
            node.terminate();
        }
        audited::judge(&self.nodes.iter().map(|node| vec![node.audit()]).collect::<Vec<_>>(), log)
    }
    fn passed(&self) -> Vec<(String, usize)> {
        self.proxy.counts().into_iter().map(|(kind, count)| (format!("connection {kind}"), count)).collect()
    }
}
