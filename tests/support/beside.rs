//! What goes on beside the retrievals while something is killed again and again: sets that are issued and presented, sets that follow one another
//! and are confirmed, accounts that come in from another mount, codes whose outcome is reported. Nobody leaves a question open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread::{self, sleep};
use std::time::Duration;

use serde_json::{Value, json};

use super::http::Answer;
use super::scene::{AUDIENCE, Scene, codes, parcel};
use super::server::MOUNT;

/// A place of a code: account, generation, slot.
pub type Place = (String, u64, u64);

/// Who asks, and never leaves a question open.
pub trait Asks: Sync {
    /// The cast.
    fn scene(&self) -> &Scene;
    /// Whether it is time to stop.
    fn is_over(&self) -> bool;
    /// Sends the same request until it is answered; whether a try got no answer.
    fn until_answered(&self, base: &str, account: &str, body: &Value) -> (Answer, bool);

    /// Stores a set after generation `cas`, under a key: a store whose answer was lost is answered the same again, whoever sent it
    /// once more, this caller or a vault whose plugin had died.
    fn until_stored(&self, account: &str, codes: &[String], cas: u64) {
        let jwt = self.scene().automation();
        let key = format!("set-{cas}");
        let body = json!({"role": "automation", "jwt": jwt, "codes": codes, "cas": cas, "idempotency_key": key});
        self.until_answered("sets", account, &body).0.expect(200);
    }
}

/// Generations of an account of which each is confirmed; then comes the next account.
const TURNS: u64 = 40;

/// What the server has acknowledged.
#[derive(Default)]
pub struct Beside {
    /// How often each issued code was accepted.
    accepted: Mutex<BTreeMap<Place, usize>>,
    /// Sets whose codes nobody saw, since the answer was lost.
    unseen: Mutex<usize>,
    /// The last word on a code.
    outcomes: Mutex<BTreeMap<Place, &'static str>>,
    /// Generations by account.
    confirmed: Mutex<BTreeMap<String, BTreeSet<u64>>>,
    /// Accounts that came in and whose code was taken.
    moved: Mutex<Vec<String>>,
}

/// The role and the profile that these acts take.
pub fn set_up(scene: &Scene) {
    let role = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "rotator", "accounts": ["*"],
        "operations": ["store", "verify", "check", "outcome", "confirm", "transfer"],
    });
    let plain = json!({"kind": "issued", "length": 24, "verifier": "hmac-sha256"});
    for (path, body) in [("roles/desk", role), ("profiles/plain", plain)] {
        scene.try_administer(&format!("{MOUNT}/{path}"), &body).expect("an answer").expect(204);
    }
}

/// The body of an act of the desk's.
fn desk(scene: &Scene, fields: Value) -> Value {
    let mut body = json!({"role": "desk", "jwt": scene.automation()});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

impl Beside {
    /// Issues sets, and lets two callers present every code of each.
    pub fn relying_party(&self, asks: &impl Asks, number: usize) {
        for turn in (0..).take_while(|_| !asks.is_over()) {
            let account = format!("issued/{number}/{turn}");
            let body = desk(asks.scene(), json!({"profile": "plain", "cas": 0, "idempotency_key": "first"}));
            let made = asks.until_answered("sets", &account, &body).0.expect(200).data();
            let Some(codes) = made["codes"].as_array() else {
                *self.unseen.lock().unwrap() += 1;
                continue;
            };
            let account = &account;
            let won: Vec<Vec<bool>> = thread::scope(|scope| {
                let callers: Vec<_> =
                    (0..2).map(|caller| scope.spawn(move || Self::present(asks, account, codes, caller))).collect();
                callers.into_iter().map(|caller| caller.join().expect("a caller does not panic")).collect()
            });
            for slot in 0..codes.len() {
                let times = won.iter().filter(|won| won[slot]).count();
                let place = (account.clone(), 1, slot as u64 + 1);
                *self.accepted.lock().unwrap().entry(place).or_default() += times;
            }
        }
    }
    /// Whether each code was accepted from this caller.
    fn present(asks: &impl Asks, account: &str, codes: &[Value], caller: usize) -> Vec<bool> {
        let tries = codes.iter().enumerate().map(|(at, code)| {
            let key = format!("{caller}-{at}");
            let body = desk(asks.scene(), json!({"code": code, "idempotency_key": key}));
            asks.until_answered("verify", account, &body).0.expect(200).data()["valid"] == true
        });
        tries.collect()
    }
    /// Reports what became of a code.
    pub fn report(&self, asks: &impl Asks, place: &Place, outcome: &'static str) {
        let (account, generation, slot) = place;
        let fields = json!({"generation": generation, "slot": slot, "outcome": outcome, "note": "as it was"});
        asks.until_answered("outcome", account, &desk(asks.scene(), fields)).0.expect(200);
        self.outcomes.lock().unwrap().insert(place.clone(), outcome);
    }
    /// Stores one set after the other, and confirms the end of each.
    pub fn turnover(&self, asks: &impl Asks) {
        for turn in (0..).take_while(|_| !asks.is_over()) {
            let (account, generation) = (format!("turnover/{}", turn / TURNS), turn % TURNS + 1);
            let set = codes(800_000_000 + turn, 2);
            asks.until_stored(&account, &set, generation - 1);
            if generation > 1 {
                let ended = generation - 1;
                let body = desk(asks.scene(), json!({"generation": ended, "note": "gone there, too"}));
                asks.until_answered("confirm", &account, &body).0.expect(200);
                self.confirmed.lock().unwrap().entry(account).or_default().insert(ended);
            }
            sleep(Duration::from_millis(5));
        }
    }
    /// Takes accounts in from another mount, and the one code that each has left.
    pub fn removals(&self, asks: &impl Asks) {
        for turn in (0_u64..).take_while(|_| !asks.is_over()) {
            let account = format!("moved/{turn}");
            let code = &codes(700_000_000 + turn, 1)[0];
            let parcel = parcel(code, u128::from(turn).to_be_bytes());
            let arrive =
                || asks.until_answered("transfer", &account, &desk(asks.scene(), parcel.clone())).0.expect(200).data();
            assert_eq!(arrive()["remaining"], 1);
            let mut ask = asks.scene().request("carol");
            ask["idempotency_key"] = json!("k");
            let given = asks.until_answered("retrieve", &account, &ask).0.expect(200).data();
            assert_eq!((&given["code"], &given["slot"]), (&json!(code), &json!(2)), "{account}");
            let again = arrive();
            assert_eq!(
                (&again["unchanged"], &again["remaining"]),
                (&json!(true), &json!(0)),
                "a code came back: {again}"
            );
            self.moved.lock().unwrap().push(account);
            sleep(Duration::from_millis(20));
        }
    }
    /// Everything that was acknowledged is there, once, and nothing else is.
    pub fn look(&self, scene: &Scene) {
        let accepted = self.accepted.lock().unwrap();
        let (confirmed, moved) = (self.confirmed.lock().unwrap(), self.moved.lock().unwrap());
        let outcomes = self.outcomes.lock().unwrap();
        println!(
            "{} codes presented twice each, {} issued sets that nobody saw, {} outcomes, {} confirmations, {} accounts moved in",
            accepted.len(),
            self.unseen.lock().unwrap(),
            outcomes.len(),
            confirmed.values().map(BTreeSet::len).sum::<usize>(),
            moved.len()
        );
        assert!(!accepted.is_empty() && !confirmed.is_empty() && !moved.is_empty() && !outcomes.is_empty());
        for (place, times) in accepted.iter() {
            assert_eq!(*times, 1, "{place:?} was accepted {times} times");
        }
        let in_ledger =
            noted(scene, accepted.keys().map(|place| &place.0), "verify", |entry| entry["detail"]["valid"] == true);
        let wanted: Vec<&Place> = accepted.keys().collect();
        assert_eq!(in_ledger.iter().collect::<Vec<_>>(), wanted, "what was accepted is not what the ledger says");

        for ((account, generation, slot), outcome) in outcomes.iter() {
            let data = scene.read("accounts", account).expect(200).data();
            let set = data["sets"].as_array().expect("sets").iter().find(|set| set["generation"] == *generation);
            let noted = &set.expect("the set")["slots"][*slot as usize - 1]["outcome"];
            assert_eq!(noted, outcome, "{account} {slot}");
        }
        for (account, generations) in confirmed.iter() {
            let noted = noted(scene, [account].into_iter(), "confirm", |_| true);
            let noted: BTreeSet<u64> = noted.into_iter().map(|place| place.1).collect();
            assert_eq!(&noted, generations, "{account}: confirmed, and in the ledger");
            let data = scene.read("accounts", account).expect(200).data();
            for set in data["sets"].as_array().expect("sets") {
                let wanted =
                    if generations.contains(&set["generation"].as_u64().expect("a number")) { "confirmed" } else { "" };
                assert_eq!(
                    set["provider"].as_str().filter(|word| *word == "confirmed").unwrap_or_default(),
                    wanted,
                    "{account}: {set}"
                );
            }
        }
        for account in moved.iter() {
            let data = scene.read("accounts", account).expect(200).data();
            assert_eq!((&data["generation"], &data["remaining"]), (&json!(1), &json!(0)), "{account}");
            assert_eq!(noted(scene, [account].into_iter(), "transfer", |_| true).len(), 1, "{account}");
        }
    }
}

/// The places of these acts in the ledgers, repeats left out, each once; the chains hold.
fn noted<'a>(
    scene: &Scene,
    accounts: impl Iterator<Item = &'a String>,
    act: &str,
    counts: impl Fn(&Value) -> bool,
) -> Vec<Place> {
    let mut places = BTreeSet::new();
    for account in accounts.collect::<BTreeSet<_>>() {
        let history = scene.read("history", &format!("{account}?verify=true&limit=1000")).expect(200).data();
        assert_eq!(history["verified"], true, "{account}: {history}");
        let entries = history["entries"].as_array().expect("entries").iter();
        for entry in entries.filter(|entry| entry["act"] == act && entry["repeat"] != true && counts(entry)) {
            let number = |field: &str| entry[field].as_u64().unwrap_or_default();
            let place = (account.clone(), number("generation"), number("slot"));
            assert!(places.insert(place.clone()), "{act} of {place:?} stands in the ledger twice");
        }
    }
    places.into_iter().collect()
}
