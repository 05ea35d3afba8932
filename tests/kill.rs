//! Nothing acknowledged is lost and no code is handed out twice, though the server is killed again and again.
//!
//! Longer by hand: `KILL_ROUNDS=2000 KILL_CLIENTS=64 cargo test --test kill -- --nocapture`.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::beside::{Asks, Beside, Place, set_up};
use support::http::Answer;
use support::scene::{Scene, codes};
use support::server::{BINARY, Server, Setup};

/// Accounts in use at any time; several clients share each.
const LANES: usize = 4;
const CODES: usize = 20;
/// Accounts that are stored and left alone.
const IDLE: u64 = 24;
const IDLE_SEED: u64 = 900_000_000;

fn env(name: &str, otherwise: usize) -> usize {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

#[test]
fn no_code_is_lost_or_handed_out_twice_when_the_server_is_killed() {
    let rounds = env("KILL_ROUNDS", 50);
    let clients = env("KILL_CLIENTS", 32);
    let mut server = Setup::default().static_seal().log_level("warn").start();
    let play = Arc::new(Play {
        scene: Scene::new(&server),
        lanes: (0..LANES).map(|_| Mutex::new(None)).collect(),
        stop: AtomicBool::new(false),
        seen: Mutex::default(),
        unknown: AtomicUsize::new(0),
        rotations: AtomicUsize::new(0),
        rewrapped: AtomicUsize::new(0),
        beside: Beside::default(),
    });
    set_up(&play.scene);
    let operator = {
        let play = Arc::clone(&play);
        thread::spawn(move || play.operator())
    };
    let mut threads: Vec<_> = (0..clients)
        .map(|client| {
            let play = Arc::clone(&play);
            thread::spawn(move || play.client(client))
        })
        .collect();

    let others: [fn(&Play); 4] = [
        |play| play.beside.relying_party(play, 0),
        |play| play.beside.relying_party(play, 1),
        |play| play.beside.turnover(play),
        |play| play.beside.removals(play),
    ];
    threads.extend(others.map(|other| {
        let play = Arc::clone(&play);
        thread::spawn(move || other(&play))
    }));

    // Sets that nobody touches: only re-wrapping reaches their keys.
    for number in 0..IDLE {
        play.scene.store(&format!("idle/{number}"), &codes(IDLE_SEED + number, 2), 0).expect(200);
    }
    let mut reached = 0;
    for round in 0..rounds {
        // Long enough that something happens, and each time at another moment.
        let before = play.count();
        let deadline = Instant::now() + Duration::from_secs(30);
        while play.count() < before + 1 + (round * 7) % 40 {
            assert!(Instant::now() < deadline, "round {round}: no code in 30 s; the log:\n{}", server.log());
            assert!(threads.iter().all(|thread| !thread.is_finished()), "a client gave up");
            sleep(Duration::from_micros(200 + 137 * (round as u64 % 13)));
        }
        server.kill();
        server.boot();
        reached += 1;
    }
    play.stop.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().expect("a client does not panic");
    }
    operator.join().expect("the operator does not panic");
    let seen = play.seen.lock().expect("no client panicked");
    let (rotations, rewrapped) = (play.rotations.load(Ordering::SeqCst), play.rewrapped.load(Ordering::SeqCst));
    println!("{rotations} rotations of keys, {rewrapped} keys of sets wrapped anew meanwhile");
    assert!(rotations > 0 && rewrapped > 0, "keys were to be rotated and re-wrapped meanwhile");
    println!(
        "killed {reached} times; {} codes seen by {clients} clients; {} requests broke off, {} of their codes were burnt \
         unseen and seen again by key",
        seen.len(),
        play.unknown.load(Ordering::SeqCst),
        seen.iter().filter(|sight| sight.repeat).count()
    );

    for number in 0..IDLE {
        let answer = play.scene.retrieve(&format!("idle/{number}"), "admin").expect(200);
        assert_eq!(answer.data()["code"], codes(IDLE_SEED + number, 2)[0], "after {rotations} rotations");
    }

    // None twice, and each the one that was imported at that place.
    let places: BTreeSet<&Place> = seen.iter().map(|sight| &sight.place).collect();
    assert_eq!(places.len(), seen.len(), "a place was handed out twice");
    let texts: BTreeSet<&str> = seen.iter().map(|sight| sight.code.as_str()).collect();
    assert_eq!(texts.len(), seen.len(), "a code was handed out twice");
    for sight in seen.iter() {
        let (account, _, slot) = &sight.place;
        assert_eq!(sight.code, codes(seed(account), CODES)[*slot as usize - 1], "{:?}", sight.place);
    }

    // Every code seen is in the ledger, and nothing else is: whoever asked has got the answer in the end.
    let ledger = ledger(&play.scene, &seen);
    assert_eq!(
        places.into_iter().cloned().collect::<BTreeSet<_>>(),
        ledger,
        "what was seen is not what the ledger says"
    );
    play.beside.look(&play.scene);
    server.terminate();
    audited(&server, &ledger);
}

/// A code that a client saw.
struct Sight {
    place: Place,
    code: String,
    repeat: bool,
}

struct Play {
    scene: Scene,
    /// Each lane's account that has codes left.
    lanes: Vec<Mutex<Option<usize>>>,
    stop: AtomicBool,
    seen: Mutex<Vec<Sight>>,
    unknown: AtomicUsize,
    rotations: AtomicUsize,
    rewrapped: AtomicUsize,
    beside: Beside,
}

fn account(lane: usize, number: usize) -> String {
    format!("kill/lane-{lane}/{number}")
}

/// Codes differ from account to account.
fn seed(account: &str) -> u64 {
    let numbers: Vec<u64> = account.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    numbers[0] * 1_000_000 + numbers[1]
}

impl Asks for Play {
    fn scene(&self) -> &Scene {
        &self.scene
    }
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
    fn until_answered(&self, base: &str, account: &str, body: &Value) -> (Answer, bool) {
        let mut broken = false;
        loop {
            match self.scene.try_act(base, account, body) {
                Ok(answer) if answer.status < 500 => return (answer, broken),
                // Sealed still, or the store's writer was full: nothing happened, or the repeat will tell.
                Ok(_) => {}
                Err(_) => broken = true,
            }
            sleep(Duration::from_millis(3));
        }
    }
}

impl Play {
    fn count(&self) -> usize {
        self.seen.lock().expect("no client panicked").len()
    }

    /// Rotates the keys of sets and of the barrier, and re-wraps, until told to stop. What breaks off is asked again.
    fn operator(&self) {
        let ask = |path: &str, body: Value| loop {
            match self.scene.try_administer(path, &body) {
                Ok(answer) if answer.status < 500 => return answer,
                _ if self.stop.load(Ordering::SeqCst) => return self.scene.read("config", "keys"),
                _ => sleep(Duration::from_millis(3)),
            }
        };
        while !self.stop.load(Ordering::SeqCst) {
            let answer = ask("backup-codes/config/keys/rotate", json!({}));
            // Nothing is retired within the minutes of this test: at some time there are enough.
            assert!(answer.status == 200 || answer.error().starts_with("too-many"), "{}", answer.text());
            ask("sys/rotate", json!({}));
            self.rotations.fetch_add(1, Ordering::SeqCst);
            for _ in 0..20 {
                let answer = ask("backup-codes/config/keys/rewrap", json!({"batch": 3})).expect(200).data();
                let rewrapped = answer["rewrapped"].as_u64().unwrap_or_default() as usize;
                self.rewrapped.fetch_max(rewrapped, Ordering::SeqCst);
                assert_eq!(answer["failed"].as_u64().unwrap_or_default(), 0, "{answer}");
                if answer["state"] != "running" {
                    break;
                }
                sleep(Duration::from_millis(5));
            }
        }
    }

    /// Asks for codes until told to stop, and never leaves a question open.
    fn client(&self, client: usize) {
        let lane = client % LANES;
        for turn in 0.. {
            if self.is_over() {
                return;
            }
            let number = self.current(lane, None);
            let account = account(lane, number);
            let mut body = self.scene.request(&format!("admin-{client}"));
            body["idempotency_key"] = json!(format!("{client}-{turn}"));
            let (answer, broken) = self.until_answered("retrieve", &account, &body);
            if broken {
                self.unknown.fetch_add(1, Ordering::SeqCst);
            }
            if answer.status == 400 && answer.error().contains("exhausted") {
                self.current(lane, Some(number));
                continue;
            }
            let data = answer.expect(200).data();
            let slot = data["slot"].as_u64().expect("a slot");
            let code = data["code"].as_str().unwrap_or_else(|| panic!("no code, though within the window: {data}"));
            let repeat = data["repeat"] == true;
            assert!(broken || !repeat, "a first request was taken for a repeat: {data}");
            let place = (account, data["generation"].as_u64().expect("a generation"), slot);
            self.seen.lock().expect("no client panicked").push(Sight {
                place: place.clone(),
                code: code.into(),
                repeat,
            });
            if turn % 4 == 0 {
                self.beside.report(self, &place, ["worked", "refused", "unused"][turn / 4 % 3]);
            }
        }
    }

    /// The lane's account; the next one, stored first, if `spent` is the present one.
    fn current(&self, lane: usize, spent: Option<usize>) -> usize {
        let mut current = self.lanes[lane].lock().expect("no client panicked");
        if current.is_none() || *current == spent {
            let number = current.map_or(0, |number| number + 1);
            let account = account(lane, number);
            let codes = codes(seed(&account), CODES);
            self.until_stored(&account, &codes, 0);
            *current = Some(number);
        }
        current.unwrap_or_default()
    }
}

/// The places that the accounts' ledgers call dispensed; every chain is verified, no place stands there twice.
fn ledger(scene: &Scene, seen: &[Sight]) -> BTreeSet<Place> {
    let accounts: BTreeSet<&String> = seen.iter().map(|sight| &sight.place.0).collect();
    let mut places = BTreeSet::new();
    for account in accounts {
        let history = scene.read("history", &format!("{account}?verify=true&limit=1000")).expect(200).data();
        assert_eq!(history["verified"], true, "{account}: {history}");
        for entry in history["entries"].as_array().expect("entries") {
            if entry["act"] == "retrieve" && entry["repeat"] != true {
                let number = |field: &str| entry[field].as_u64().unwrap_or_else(|| panic!("{field} in {entry}"));
                let place = (account.clone(), number("generation"), number("slot"));
                assert!(places.insert(place.clone()), "{place:?} stands in the ledger twice");
            }
        }
    }
    places
}

/// Every place is in the audit, disclosed to one request (by its idempotency key) and its repeats only; the file holds
/// together.
fn audited(server: &Server, places: &BTreeSet<Place>) {
    let said = Command::new(BINARY).args(["audit", "verify"]).arg(server.audit()).output().expect("the binary starts");
    let printed = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "audit verify: {printed}{}", String::from_utf8_lossy(&said.stderr));
    let file = fs::read_to_string(server.audit()).expect("the audit file");
    let mut askers: BTreeMap<Place, BTreeSet<String>> = BTreeMap::new();
    // A line that a kill cut short is no JSON; the verification above has judged it.
    for line in file.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        // A set that was issued has no slot of its own.
        if line["disclosed"] == true && line["response"]["disclosure"]["slot"].is_u64() {
            let said = &line["response"]["disclosure"];
            let account = said["account"].as_str().expect("an account").to_owned();
            let place =
                (account, said["generation"].as_u64().expect("a number"), said["slot"].as_u64().expect("a number"));
            askers.entry(place).or_default().insert(line["request"]["data"]["idempotency_key"].to_string());
        }
    }
    for place in places {
        let askers = askers.get(place).unwrap_or_else(|| panic!("{place:?} is not in the audit"));
        assert_eq!(askers.len(), 1, "{place:?} went to {askers:?}");
    }
}
