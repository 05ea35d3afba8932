//! A server on the embedded store, with all its costs in view.

use std::fs;
use std::sync::{Arc, Barrier};
use std::thread;

use serde_json::{Value, json};
use sparekey::storage::faulty::{Counts, Faulty};
use sparekey::storage::redb::Redb;
use stats_alloc::Stats;
use tempfile::TempDir;

use crate::ALLOCATIONS;
use crate::inprocess::{MOUNT, Node, Setup};
use crate::line::Line;
use crate::support::http::Client;
use crate::support::scene::{AUDIENCE, ISSUER, Scene};
use crate::support::signer::{Signer, claims};

/// The server.
pub struct Place {
    pub node: Node,
    pub scene: Scene,
    pub root_token: String,
    redb: Arc<Redb>,
    store: Arc<Faulty>,
    _folder: TempDir,
}

/// What had been used at a moment.
#[derive(Clone, Copy)]
pub struct Reading {
    allocations: Stats,
    store: Counts,
    commits: u64,
    fsyncs: u64,
    audit: u64,
}

/// What was used between two moments.
#[derive(Debug)]
pub struct Used {
    pub allocations: usize,
    pub allocated: usize,
    pub reads: usize,
    pub writes: usize,
    pub read: usize,
    pub written: usize,
    pub audit: usize,
    pub commits: usize,
    pub fsyncs: usize,
}

impl Place {
    /// A server with the usual cast, a role that acts on login claims, and a profile of codes that are verified.
    pub fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let redb = Arc::new(Redb::open(&folder.path().join("sparekey.redb")).unwrap());
        let store = Arc::new(Faulty::new(redb.clone()));
        let (node, root_token) = Setup { storage: Some(store.clone()), ..Setup::default() }.ready();
        let plain = node.client();
        let scene = Scene::with(plain.token(&root_token), plain, Signer::es256("cost"));
        let place = Place { node, scene, root_token, redb, store, _folder: folder };
        place.fine(
            "roles/desk",
            json!({
                "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "desk", "accounts": ["*"],
                "operations": ["retrieve", "verify", "store", "read"], "assertion": "login", "single_use": false,
                "max_retrievals": null, "require_reason": false,
            }),
        );
        place.fine("profiles/app", json!({"kind": "issued", "length": 24, "verifier": "hmac-sha256"}));
        place
    }

    /// A write by root below the mount that must succeed.
    pub fn fine(&self, path: &str, body: Value) -> Value {
        let answer = self.client(&self.root_token).write(&format!("{MOUNT}{path}"), &body);
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// The embedded store itself.
    pub fn redb(&self) -> Arc<Redb> {
        Arc::clone(&self.redb)
    }

    /// A client with this token.
    pub fn client(&self, token: &str) -> Client {
        self.node.client().token(token)
    }

    /// A fresh assertion of the desk.
    pub fn desk(&self) -> String {
        self.scene.signer.jwt(&claims(ISSUER, "desk", AUDIENCE))
    }

    /// A request as a client keeps it ready.
    pub fn request(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Vec<u8> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let token = token.map(|token| ("X-Vault-Token", token));
        self.request_with(method, path, token.as_slice(), &body)
    }

    /// The same with these headers and this body.
    pub fn request_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let address = self.node.address;
        let length = body.len();
        format!(
            "{method} /v1/{path} HTTP/1.1\r\nHost: {address}\r\nX-Vault-Request: true\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// What is used by now. The allocations come last, so that none of this function's own are among them.
    pub fn reading(&self) -> Reading {
        let devices = self.node.host.devices();
        Reading {
            store: self.store.counts(),
            commits: self.redb.commits(),
            fsyncs: devices.iter().map(|device| device.syncs).sum(),
            audit: fs::metadata(self.node.audit()).unwrap().len(),
            allocations: ALLOCATIONS.stats(),
        }
    }

    /// Asks for all of these one after the other; what that used.
    pub fn measure(&self, requests: &[Vec<u8>]) -> Used {
        let mut line = Line::to(self.node.address);
        // The connection's own buffers and the caches are there before anything counts.
        let (warm, counted) = requests.split_at(requests.len() / 5);
        for request in warm {
            line.ask(request);
        }
        let before = self.reading();
        for request in counted {
            line.ask(request);
        }
        let used = self.reading().since(&before);
        used.per(counted.len())
    }

    /// Asks for all of these, each list over a connection of its own and all lists at the same time; what that used altogether.
    pub fn measure_at_once(&self, lists: &[Vec<Vec<u8>>]) -> Used {
        let start = Barrier::new(lists.len());
        let before = self.reading();
        thread::scope(|scope| {
            for list in lists {
                let (start, address) = (&start, self.node.address);
                scope.spawn(move || {
                    let mut line = Line::to(address);
                    start.wait();
                    list.iter().for_each(|request| line.ask(request));
                });
            }
        });
        self.reading().since(&before)
    }
}

impl Reading {
    /// What was used since then.
    pub fn since(&self, before: &Reading) -> Used {
        let allocations = self.allocations - before.allocations;
        Used {
            allocations: allocations.allocations + allocations.reallocations,
            allocated: allocations.bytes_allocated,
            reads: self.store.get_many - before.store.get_many,
            writes: self.store.put_all - before.store.put_all,
            read: self.store.bytes_read - before.store.bytes_read,
            written: self.store.bytes_written - before.store.bytes_written,
            audit: (self.audit - before.audit) as usize,
            commits: (self.commits - before.commits) as usize,
            fsyncs: (self.fsyncs - before.fsyncs) as usize,
        }
    }
}

impl Used {
    /// For each of `requests`, to the nearest: a checkpoint that falls into the time is not theirs.
    pub fn per(self, requests: usize) -> Used {
        let each = |all: usize| (all + requests / 2) / requests;
        Used {
            allocations: each(self.allocations),
            allocated: each(self.allocated),
            reads: each(self.reads),
            writes: each(self.writes),
            read: each(self.read),
            written: each(self.written),
            audit: each(self.audit),
            commits: each(self.commits),
            fsyncs: each(self.fsyncs),
        }
    }
}
