//! Many clients take codes while something breaks again and again; afterwards each code is accounted for.
//!
//! A client sends the same request until it is answered, so each act is one code: none lost, none twice, all on the record.

pub mod verdict;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::beside::{Asks, Beside, set_up};
use super::http::Answer;
use super::scene::{Scene, codes};
use super::signer::now;
use verdict::Book;

/// How long one request may take, tries included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sets that are emptied side by side: several clients meet at each.
const LANES: u64 = 4;
/// Between two tries of a request.
const PAUSE: Duration = Duration::from_millis(20);

/// What is done.
pub struct Drill {
    /// Clients that send at the same time.
    pub clients: u64,
    /// How long.
    pub length: Duration,
    /// From one fault to the next.
    pub every: Duration,
    /// Codes of each account; an account that is empty is followed by the next.
    pub codes: usize,
}

/// A code that a client was given.
#[derive(Clone)]
pub struct Given {
    /// The number of its account.
    pub account: u64,
    /// Its place there.
    pub slot: u64,
    /// The code.
    pub code: String,
    /// When the try went out that brought it.
    pub sent: Instant,
    /// When it was there.
    pub answered: Instant,
}

/// What came of it.
pub struct Outcome {
    /// All codes that were given out.
    pub given: Vec<Given>,
    /// Tries that brought no code, by status; `no answer` where the connection broke.
    pub failures: BTreeMap<String, usize>,
    /// When something was broken.
    pub faults: Vec<Instant>,
    /// The numbers of the accounts that were used.
    pub accounts: Vec<u64>,
    /// What else was acknowledged meanwhile.
    pub beside: Beside,
}

/// What all clients share.
struct Run<'a> {
    drill: &'a Drill,
    doors: &'a [Scene],
    over: AtomicBool,
    current: [AtomicU64; LANES as usize],
    given: Mutex<Vec<Given>>,
    failures: Mutex<BTreeMap<String, usize>>,
    beside: Beside,
}

/// One of them.
struct Client<'a> {
    run: &'a Run<'a>,
    number: u64,
}

/// The name of an account.
fn name(account: u64) -> String {
    format!("drill/{account}")
}

impl Drill {
    /// Runs it: clients go through `doors` (a node each) in turn; `fault` breaks something and says when it did, or `None` if
    /// there was nothing to break.
    pub fn run(&self, doors: &[Scene], mut fault: impl FnMut() -> Option<Instant>) -> Outcome {
        let run = Run {
            drill: self,
            doors,
            over: AtomicBool::new(false),
            current: std::array::from_fn(|lane| AtomicU64::new(lane as u64)),
            given: Mutex::default(),
            failures: Mutex::default(),
            beside: Beside::default(),
        };
        let mut faults = Vec::new();
        set_up(&doors[0]);
        (0..LANES).for_each(|lane| run.fill(lane, 0));
        scope(|threads| {
            for client in 0..self.clients {
                let run = &run;
                threads.spawn(move || run.client(client));
            }
            let others: [fn(&Client<'_>); 3] = [
                |client| client.run.beside.relying_party(client, 0),
                |client| client.run.beside.turnover(client),
                |client| client.run.beside.removals(client),
            ];
            for (other, number) in others.into_iter().zip(self.clients..) {
                let run = &run;
                threads.spawn(move || other(&Client { run, number }));
            }
            let began = Instant::now();
            while began.elapsed() < self.length {
                let next = Instant::now() + self.every;
                sleep(next.saturating_duration_since(Instant::now()));
                // Nothing is killed that has not served yet: OpenBao 2.7.2 can be left without a plugin that was killed while it
                // started (docs/mounting.md).
                let served = run.given.lock().unwrap().last().map(|given| given.sent);
                if served > faults.last().copied() {
                    faults.extend(fault());
                }
            }
            run.over.store(true, Ordering::Relaxed);
        });
        let last = run.current.iter().map(|account| account.load(Ordering::Relaxed));
        let accounts = last.flat_map(|last| (last % LANES..=last).step_by(LANES as usize)).collect();
        let (given, failures) = (run.given.into_inner().unwrap(), run.failures.into_inner().unwrap());
        Outcome { given, failures, faults, accounts, beside: run.beside }
    }
    /// The codes of an account.
    pub fn codes_of(&self, account: u64) -> Vec<String> {
        codes(account + 1, self.codes)
    }
    /// What the engine itself says of the accounts.
    pub fn books(&self, outcome: &Outcome, scene: &Scene) -> Vec<Book> {
        let of = |account: &u64| Book::read(scene, *account, &name(*account), self.codes_of(*account));
        outcome.accounts.iter().map(of).collect()
    }
}

impl Run<'_> {
    fn client(&self, client: u64) {
        let current = &self.current[(client % LANES) as usize];
        for number in 0_u64.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let account = current.load(Ordering::Relaxed);
            let mut ask = self.doors[0].request(&format!("client-{client}"));
            ask["idempotency_key"] = json!(format!("{client}-{number}"));
            let (answer, sent) = self.until_answered(client, "retrieve", &name(account), &ask);
            if answer.status == 400 && answer.error().starts_with("exhausted") {
                self.fill(client, account + LANES);
                current.fetch_max(account + LANES, Ordering::Relaxed);
                continue;
            }
            let data = answer.expect(200).data();
            let code = data["code"].as_str().unwrap_or_else(|| panic!("no code: {data}")).to_owned();
            let slot = data["slot"].as_u64().expect("a slot");
            self.given.lock().unwrap().push(Given { account, slot, code, sent, answered: Instant::now() });
            if number % 4 == 0 {
                let word = ["worked", "refused", "unused"][number as usize / 4 % 3];
                self.beside.report(&Client { run: self, number: client }, &(name(account), 1, slot), word);
            }
        }
    }
    /// Stores the account's set; several clients may find at once that it is wanted.
    fn fill(&self, client: u64, account: u64) {
        let account = if account < LANES { client % LANES } else { account };
        let body = json!({
            "role": "automation", "jwt": self.doors[0].automation(), "codes": self.drill.codes_of(account), "cas": 0,
            "bound_at": now() - 3_600, "idempotency_key": format!("fill-{account}-{client}"),
        });
        let (answer, _) = self.until_answered(client, "sets", &name(account), &body);
        let other_was_first = answer.status == 400 && answer.error().starts_with("cas");
        assert!(other_was_first || answer.status == 200, "{}: {}", answer.status, answer.text());
    }
    /// Sends the same request until it is answered by the engine; with the moment the last try went out.
    fn until_answered(&self, client: u64, base: &str, account: &str, ask: &Value) -> (Answer, Instant) {
        let deadline = Instant::now() + PATIENCE;
        for door in self.doors.iter().cycle().skip(client as usize % self.doors.len()) {
            let sent = Instant::now();
            let (failure, said) = match door.try_act(base, account, ask) {
                // A host in trouble says 500 or 503, and so do we, and a node names another by 307; everything else is an answer.
                Ok(answer) if !matches!(answer.status, 307 | 500 | 502 | 503) => return (answer, sent),
                Ok(answer) => (answer.status.to_string(), answer.text()),
                Err(error) => ("no answer".to_owned(), error.to_string()),
            };
            assert!(Instant::now() < deadline, "client {client}: no answer but {failure} for {PATIENCE:?}: {said}");
            *self.failures.lock().unwrap().entry(failure).or_default() += 1;
            sleep(PAUSE);
        }
        unreachable!("there is a door")
    }
}

impl Asks for Client<'_> {
    fn scene(&self) -> &Scene {
        &self.run.doors[0]
    }
    fn is_over(&self) -> bool {
        self.run.over.load(Ordering::Relaxed)
    }
    fn until_answered(&self, base: &str, account: &str, body: &Value) -> (Answer, bool) {
        let begun = Instant::now();
        let (answer, sent) = self.run.until_answered(self.number, base, account, body);
        // The last try went out later than the first.
        (answer, sent.duration_since(begun) >= PAUSE)
    }
}

impl Outcome {
    /// From each fault to the first code of a request that went out after it, shortest first.
    pub fn recoveries(&self) -> Vec<Duration> {
        let next = |fault: &Instant| {
            let after = self.given.iter().filter(|given| given.sent >= *fault);
            after.map(|given| given.answered.duration_since(*fault)).min()
        };
        let mut gaps: Vec<Duration> = self.faults.iter().filter_map(next).collect();
        gaps.sort_unstable();
        gaps
    }
    /// In a line: codes, faults, failures, time from a fault to the next code.
    pub fn figures(&self) -> String {
        let gaps = self.recoveries();
        let failures: Vec<String> = self.failures.iter().map(|(what, count)| format!("{count} x {what}")).collect();
        format!(
            "{} codes of {} accounts, {} faults, failures: {}; from a fault to the next code: median {} ms, longest {} ms",
            self.given.len(),
            self.accounts.len(),
            self.faults.len(),
            if failures.is_empty() { "none".to_owned() } else { failures.join(", ") },
            gaps.get(gaps.len() / 2).map_or(0, Duration::as_millis),
            gaps.last().map_or(0, Duration::as_millis),
        )
    }
}
