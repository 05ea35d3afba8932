//! The load: clients that bring sets, get codes, look at accounts, consume issued codes and pass events on. Each knows what must come
//! back, and what must stand in the ledger in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ways::{Answer, Missed, Request, Ways};
use crate::support::http::Client;
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::{claims, credential_change, now};

/// The account that all clients share.
pub const SHARED: &str = "github/shared";
/// How many codes it has.
const IN_COMMON: usize = 512;
/// How many codes a client's own sets have.
const OWN: usize = 6;

/// One act as its client saw it: what the ledger has to say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Act {
    pub act: &'static str,
    pub generation: Option<u64>,
    pub slot: Option<u64>,
}

/// How long a request took until it was answered, its repeats included, and when it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Timed {
    pub sent: Instant,
    pub took: Duration,
}

/// The row of a table: how many there were in `span`, how many a second, and how many milliseconds half of them, 99 % of them and the
/// slowest took.
pub fn row(name: &str, mut times: Vec<Timed>, span: Duration) -> String {
    times.sort_unstable_by_key(|time| time.took);
    let at = |part: f64| {
        let index = (times.len() as f64 * part).ceil() as usize;
        times.get(index.saturating_sub(1)).map_or(0.0, |time| time.took.as_secs_f64() * 1000.0)
    };
    let rate = times.len() as f64 / span.as_secs_f64();
    format!("| {name} | {} | {rate:.0} | {:.1} | {:.1} | {:.1} |", times.len(), at(0.5), at(0.99), at(1.0))
}

/// What all clients saw together.
#[derive(Default)]
pub struct Seen {
    /// By account, in order; of [`SHARED`] in any order.
    pub acts: BTreeMap<String, Vec<Act>>,
    /// Every code that was given or consumed, with the account.
    pub given: Vec<(String, String)>,
    pub times: Vec<Timed>,
    /// How many requests were sent more than once.
    pub repeated: usize,
}

/// Sets up what the clients need.
pub fn prepare(scene: &Scene, root: &Client) {
    let write = |path: &str, body: Value| root.write(&format!("{MOUNT}/{path}"), &body);
    write(
        "roles/portal",
        json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "portal", "accounts": ["portal/*"],
            "operations": ["store", "verify"],
        }),
    )
    .expect(204);
    write("profiles/quick", json!({"kind": "issued", "length": 24, "count": 6, "verifier": "hmac-sha256"})).expect(204);
    scene.store(SHARED, &codes(999, IN_COMMON), 0).expect(200);
}

/// How clients work.
#[derive(Clone, Copy)]
pub struct Load {
    /// How many at the same time; half of them keep their connections.
    pub clients: usize,
    /// How long each waits before its next request.
    pub pause: Duration,
}

/// Lets clients work at `nodes` until `stop`; `token` may read.
pub fn run(scene: &Scene, token: &str, nodes: &[SocketAddr], load: Load, missed: &Missed, stop: &AtomicBool) -> Seen {
    let seen = Mutex::new(Seen::default());
    std::thread::scope(|scope| {
        for number in 0..load.clients {
            let seen = &seen;
            scope.spawn(move || {
                let ways = Ways::new(nodes, number, number % 2 == 0, missed);
                let mut worker =
                    Worker { number, scene, token, ways, pause: load.pause, seen: Seen::default(), keys: 0 };
                // Whatever one of them finds wrong ends the rest.
                let _ends = Ends(stop);
                worker.work(stop);
                let mut all = seen.lock().expect("no client panicked");
                all.given.extend(worker.seen.given);
                all.times.extend(worker.seen.times);
                all.repeated += worker.seen.repeated;
                for (account, acts) in worker.seen.acts {
                    all.acts.entry(account).or_default().extend(acts);
                }
            });
        }
    });
    let mut seen = seen.into_inner().expect("no client panicked");
    seen.acts.entry(SHARED.to_owned()).or_default().push(Act { act: "store", generation: Some(1), slot: None });
    seen
}

/// Says stop when it goes.
pub struct Ends<'a>(pub &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Worker<'a> {
    number: usize,
    scene: &'a Scene,
    token: &'a str,
    ways: Ways<'a>,
    pause: Duration,
    seen: Seen,
    keys: usize,
}

impl Worker<'_> {
    fn work(&mut self, stop: &AtomicBool) {
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            self.escrowed(round, stop);
            self.issued(round, stop);
            self.enrolled_again(round);
        }
    }
    /// A set is brought in, each of its codes got, one after the other; metadata says at every node what is left.
    fn escrowed(&mut self, round: u64, stop: &AtomicBool) {
        let account = format!("github/client-{}", self.number);
        let set = self.set(round, OWN);
        let body = json!({
            "role": "automation", "jwt": self.scene.automation(), "codes": set, "cas": round - 1, "idempotency_key": self.key(),
        });
        let stored = self.fine("sets", &account, &body);
        assert_eq!(stored.body["data"]["generation"], round, "{account}: {}", stored.body);
        self.saw(&account, "store", Some(round), None);
        for (index, code) in set.iter().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let mut body = self.scene.request("jane");
            body["idempotency_key"] = json!(self.key());
            let given = self.fine("retrieve", &account, &body);
            assert_eq!(given.body["data"]["code"], *code, "{account}: {}", given.body);
            self.saw(&account, "retrieve", Some(round), Some(index as u64 + 1));
            self.seen.given.push((account.clone(), code.clone()));
            let read = self.ask(&Request::read(format!("{MOUNT}/accounts/{account}"), self.token));
            assert_eq!(read.body["data"]["remaining"], OWN - index - 1, "{account}: {}", read.body);
            if index % 3 == 0 {
                self.shared();
            }
        }
    }
    /// A code of the account that all of them share, while there are any.
    fn shared(&mut self) {
        let mut body = self.scene.request(&format!("admin-{}", self.number));
        body["idempotency_key"] = json!(self.key());
        let given = self.act("retrieve", SHARED, &body);
        if given.status == 400 && given.body.to_string().contains("exhausted") {
            return;
        }
        let data = &given.body["data"];
        assert_eq!(given.status, 200, "{}", given.body);
        self.seen.given.push((SHARED.to_owned(), data["code"].as_str().expect("a code").to_owned()));
        let slot = data["slot"].as_u64();
        self.saw(SHARED, "retrieve", Some(1), slot);
    }
    /// A set is issued and each of its codes consumed; a code that was consumed is worth nothing at the next node.
    fn issued(&mut self, round: u64, stop: &AtomicBool) {
        let account = format!("portal/client-{}", self.number);
        let jwt = |worker: &Self| worker.scene.signer.jwt(&claims(ISSUER, "portal", AUDIENCE));
        let body = json!({
            "role": "portal", "jwt": jwt(self), "profile": "quick", "cas": round - 1, "idempotency_key": self.key(),
        });
        let issued = self.fine("sets", &account, &body);
        self.saw(&account, "store", Some(round), None);
        // A repeat shows none: this client would bring a new set.
        let Some(set) = issued.body["data"]["codes"].as_array().cloned() else {
            assert!(issued.tries > 1, "{account}: {}", issued.body);
            return;
        };
        for (index, code) in set.iter().enumerate().take(3) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let body = json!({"role": "portal", "jwt": jwt(self), "code": code, "idempotency_key": self.key()});
            let verified = self.fine("verify", &account, &body);
            assert_eq!(verified.body["data"]["valid"], true, "{account}: {}", verified.body);
            self.saw(&account, "verify", Some(round), Some(index as u64 + 1));
            self.seen.given.push((account.clone(), code.as_str().expect("a code").to_owned()));
        }
    }
    /// MFA is enrolled again: what was there is dead at the next node.
    fn enrolled_again(&mut self, round: u64) {
        let email = format!("client-{}-{round}@example.com", self.number);
        let account = format!("okta/{email}");
        let body = json!({
            "role": "automation", "jwt": self.scene.automation(), "codes": self.set(round + 500, 2), "cas": 0,
            "bound_at": now() - 3_600, "idempotency_key": self.key(),
        });
        self.fine("sets", &account, &body);
        self.saw(&account, "store", Some(1), None);
        let subject = json!({"format": "email", "email": email});
        let event = self.scene.signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now()));
        let told = self.ask(&Request {
            method: "POST",
            path: format!("{MOUNT}/events/idp"),
            token: None,
            media: "application/secevent+jwt",
            body: event.into_bytes(),
        });
        assert_eq!(told.status, 202, "{}", told.body);
        self.saw(&account, "event", Some(1), None);
        let mut body = self.scene.request("jane");
        body["idempotency_key"] = json!(self.key());
        let refused = self.act("retrieve", &account, &body);
        assert_eq!(refused.status, 400, "{account}: a code after the end: {}", refused.body);
    }

    fn set(&self, round: u64, count: usize) -> Vec<String> {
        codes(self.number as u64 * 1_000 + 1_000 + round, count)
    }
    fn key(&mut self) -> String {
        self.keys += 1;
        format!("client-{}-{}", self.number, self.keys)
    }
    fn act(&mut self, base: &str, account: &str, body: &Value) -> Answer {
        self.ask(&Request::write(format!("{MOUNT}/{base}/{account}"), body))
    }
    fn fine(&mut self, base: &str, account: &str, body: &Value) -> Answer {
        let answer = self.act(base, account, body);
        assert_eq!(answer.status, 200, "{base}/{account}, sent {} times: {}", answer.tries, answer.body);
        answer
    }
    fn ask(&mut self, request: &Request) -> Answer {
        std::thread::sleep(self.pause);
        let sent = Instant::now();
        let answer = self.ways.send(request).unwrap_or_else(|why| panic!("nobody answers: {why}"));
        self.seen.times.push(Timed { sent, took: sent.elapsed() });
        self.seen.repeated += usize::from(answer.tries > 1);
        answer
    }
    fn saw(&mut self, account: &str, act: &'static str, generation: Option<u64>, slot: Option<u64>) {
        self.seen.acts.entry(account.to_owned()).or_default().push(Act { act, generation, slot });
    }
}

/// Holds what the clients saw against the ledgers, as a node tells them.
pub fn compare(root: &Client, seen: &Seen) {
    let mut once = BTreeSet::new();
    for given in &seen.given {
        assert!(once.insert(given), "given twice: {given:?}");
    }
    for (account, acts) in &seen.acts {
        let mut told = ledger(root, account);
        let mut acts = acts.clone();
        if account == SHARED {
            told.sort();
            acts.sort();
        }
        assert_eq!(told, acts, "{account}: the ledger, and what the clients saw");
    }
}

/// The acts in the ledger of an account, without repeats that showed a code again.
fn ledger(root: &Client, account: &str) -> Vec<Act> {
    let path = format!("{MOUNT}/history/{account}?verify=true&limit=1000");
    let history = root.read(&path).expect(200).data();
    assert_eq!(history["verified"], true, "{account}");
    let entries = history["entries"].as_array().expect("entries");
    assert!(entries.len() < 1000, "{account}: a page is not enough");
    let name = |entry: &Value| match entry["act"].as_str() {
        Some("store") => "store",
        Some("retrieve") => "retrieve",
        Some("verify") => "verify",
        Some("event") => "event",
        _ => panic!("{account}: {entry}"),
    };
    let ours = entries.iter().filter(|entry| entry["repeat"] != true);
    ours.map(|entry| Act { act: name(entry), generation: entry["generation"].as_u64(), slot: entry["slot"].as_u64() })
        .collect()
}
