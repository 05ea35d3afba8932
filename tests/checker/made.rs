//! Histories made by hand: what honest clients and an honest engine write down. What is wrong with one was put there by the test.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::corpus::Dice;
use crate::trial::log::{Asked, Book, Entry, Log, Manner, Said, State, Try};

/// The account of all histories.
const ACCOUNT: &str = "okta/a0@example.com";
/// Seconds since 1970 at which they begin.
const START: u64 = 1_800_000_000;

/// A history that is being made.
pub struct Made {
    pub log: Log,
    dice: Dice,
    /// Microseconds since the run began.
    pub clock: u64,
    acts: usize,
    sets: BTreeMap<u64, Vec<(String, char)>>,
    live: Option<u64>,
    tokens: Vec<String>,
}

impl Made {
    /// An empty one.
    pub fn new(seed: u64) -> Self {
        let mut log = Log::default();
        log.terms.accounts.insert(ACCOUNT.to_owned(), Manner::Plain);
        log.books.push(Book {
            account: ACCOUNT.to_owned(),
            verified: true,
            state: Some(State::default()),
            ..Book::default()
        });
        let (dice, sets) = (Dice::new(seed), BTreeMap::new());
        Made { log, dice, clock: 1_000_000, acts: 0, sets, live: None, tokens: Vec::new() }
    }
    /// One of so many honest acts.
    pub fn random(seed: u64, acts: usize) -> Self {
        let mut made = Made::new(seed);
        for _ in 0..acts {
            made.step();
        }
        made.done()
    }
    /// A short one with everything in it, whatever the dice say.
    pub fn full(seed: u64) -> Self {
        let mut made = Made::random(seed, 12);
        made.store(false);
        (0..3).for_each(|_| drop(made.retrieve(false)));
        made.revoke();
        made.store(false);
        (0..3).for_each(|_| drop(made.retrieve(false)));
        made.event(60);
        made.store(false);
        made.retrieve(false);
        made.login();
        made.role(false);
        made.role(true);
        made.done()
    }
    fn step(&mut self) {
        let lost = self.dice.below(6) == 0;
        match self.dice.below(12) {
            0 => self.store(lost),
            1 => self.revoke(),
            2 => self.event(self.dice.below(90) as u64),
            3 => self.login(),
            4 => self.role(self.dice.below(2) == 0),
            // Something that never reached the engine.
            5 => {
                let (act, sent, answered) = self.times();
                self.tried(&act, sent, answered, retrieve("worker"), None, Said::default());
            }
            _ => drop(self.retrieve(lost)),
        }
    }
    /// A fresh act with the moments around its effect: acts overlap as their dice fall.
    pub fn times(&mut self) -> (String, u64, u64) {
        self.acts += 1;
        self.clock += 500 + self.dice.below(5_000) as u64;
        let (before, after) = (self.dice.below(8_000) as u64, self.dice.below(8_000) as u64);
        (format!("c{}-{}", self.acts % 4, self.acts), self.clock - before, self.clock + after)
    }
    /// Writes down a request.
    pub fn tried(&mut self, act: &str, sent: u64, answered: u64, asked: Asked, status: Option<u16>, said: Said) {
        let account = ACCOUNT.to_owned();
        self.log.tries.push(Try { act: act.to_owned(), node: 0, account, sent, answered, asked, status, said });
    }
    /// Writes into the ledger.
    pub fn entered(&mut self, act: &str, subject: &str, place: (Option<u64>, Option<u64>), detail: Value) {
        let at = i64::try_from(START * 1000 + self.clock / 1000).unwrap();
        let entries = &mut self.log.books[0].entries;
        let (seq, (generation, slot)) = (entries.len() as u64 + 1, place);
        let (act, subject) = (act.to_owned(), subject.to_owned());
        entries.push(Entry { seq, at, act, subject, generation, slot, repeat: false, detail });
    }

    /// A set of four codes, bound when it is stored.
    pub fn store(&mut self, lost: bool) {
        let (act, sent, answered) = self.times();
        let generation = self.sets.len() as u64 + 1;
        let codes: Vec<String> = (0..4).map(|slot| format!("{generation:04x}O-{slot:05x}")).collect();
        let superseded: Vec<u64> = self.live.into_iter().collect();
        self.end();
        self.sets.insert(generation, codes.iter().map(|code| (code.clone(), 'h')).collect());
        self.live = Some(generation);
        let bound_at = Some(START + self.clock / 1_000_000 + 100);
        self.entered("store", &act, (Some(generation), None), json!({"count": 4, "superseded": superseded}));
        let asked = Asked::Store { codes, cas: Some(generation - 1), bound_at, enrollment: None };
        let said = Said { generation: Some(generation), ..Said::default() };
        self.answered(&act, sent, answered, asked, lost, said);
    }
    /// The next code; refused if there is none. Answers the act and its place.
    pub fn retrieve(&mut self, lost: bool) -> Option<(String, u64, u64)> {
        let (act, sent, answered) = self.times();
        let next = self.live.and_then(|live| {
            let slot = self.sets[&live].iter().position(|(_, state)| *state == 'h')?;
            Some((live, slot as u64 + 1))
        });
        let Some((generation, slot)) = next else {
            let said = Said { refusal: "exhausted".to_owned(), ..Said::default() };
            self.tried(&act, sent, answered, retrieve("worker"), Some(400), said);
            return None;
        };
        let held = &mut self.sets.get_mut(&generation).unwrap()[slot as usize - 1];
        held.1 = 'd';
        let said =
            Said { generation: Some(generation), slot: Some(slot), code: Some(held.0.clone()), ..Said::default() };
        self.entered("retrieve", &act, (Some(generation), Some(slot)), Value::Null);
        self.answered(&act, sent, answered, retrieve("worker"), lost, said);
        Some((act, generation, slot))
    }
    /// The end of the set, if one is alive.
    pub fn revoke(&mut self) {
        let Some(generation) = self.live else { return };
        let (act, sent, answered) = self.times();
        self.end();
        self.entered("revoke", &act, (Some(generation), None), json!({"cause": "operator"}));
        let said = Said { generation: Some(generation), ..Said::default() };
        self.answered(&act, sent, answered, Asked::Revoke { generation: None }, false, said);
    }
    /// An event so many seconds after the latest set was bound, which ends it if these are more than the skew.
    pub fn event(&mut self, later: u64) {
        let (act, sent, answered) = self.times();
        // Behind the whole past, and one second for each.
        self.clock += 200_000_000;
        let (sent, answered) = (sent + 200_000_000, answered + 200_000_000);
        let at = START + self.clock / 1_000_000 - later.min(90);
        let superseded: Vec<u64> = self.live.into_iter().collect();
        self.end();
        let when = time::OffsetDateTime::from_unix_timestamp(at as i64).unwrap();
        let when = when.format(&time::format_description::well_known::Rfc3339).unwrap();
        self.entered("event", "source-0", (None, None), json!({"occurred_at": when, "superseded": superseded}));
        let asked = Asked::Event { id: act.clone(), source: "source-0".to_owned(), at };
        self.answered(&act, sent, answered, asked, false, Said::default());
    }
    /// Somebody logs in, reads by the token, and ends it.
    pub fn login(&mut self) {
        let (act, sent, answered) = self.times();
        self.tried(&act, sent, answered, Asked::Login, Some(200), Said::default());
        for asked in [Asked::Read { token: Some(act.clone()) }, Asked::End { token: act.clone() }] {
            self.clock += 20_000;
            let (next, sent, answered) = self.times();
            self.tried(&next, sent, answered, asked, Some(200), Said::default());
        }
        self.clock += 20_000;
        self.tokens.push(act);
    }
    /// The role is turned, and somebody acts under it or is refused.
    pub fn role(&mut self, may: bool) {
        self.clock += 20_000;
        let (act, sent, answered) = self.times();
        let asked = Asked::Role { name: "turning".to_owned(), may };
        self.tried(&act, sent, answered, asked, Some(204), Said::default());
        self.clock += 20_000;
        let (next, sent, answered) = self.times();
        if !may {
            let said = Said { refusal: "role".to_owned(), ..Said::default() };
            self.tried(&next, sent, answered, retrieve("turning"), Some(403), said);
        }
        self.clock += 20_000;
    }
    /// With the metadata as they are at the end.
    fn done(mut self) -> Self {
        let state = self.log.books[0].state.as_mut().unwrap();
        let letters = |set: &Vec<(String, char)>| set.iter().map(|(_, state)| *state).collect();
        state.slots = self.sets.iter().rev().take(5).map(|(generation, set)| (*generation, letters(set))).collect();
        state.generation = self.sets.len() as u64;
        state.active = self.live;
        let held = |live: &u64| self.sets[live].iter().filter(|(_, state)| *state == 'h').count() as u64;
        state.remaining = self.live.as_ref().map_or(0, held);
        self
    }
    fn end(&mut self) {
        let Some(live) = self.live.take() else { return };
        for slot in self.sets.get_mut(&live).unwrap() {
            if slot.1 == 'h' {
                slot.1 = 'v';
            }
        }
    }
    fn answered(&mut self, act: &str, sent: u64, answered: u64, asked: Asked, lost: bool, said: Said) {
        match lost {
            true => self.tried(act, sent, answered, asked, None, Said::default()),
            false => self.tried(act, sent, answered, asked, Some(200), said),
        }
    }
    /// The code of a place.
    pub fn code(&self, generation: u64, slot: u64) -> String {
        self.sets[&generation][slot as usize - 1].0.clone()
    }
    /// The token of the latest login.
    pub fn token(&self) -> String {
        self.tokens.last().unwrap().clone()
    }
}

/// What asks for a code under a role.
pub fn retrieve(role: &str) -> Asked {
    Asked::Retrieve { slot: None, wrapped: false, role: role.to_owned() }
}
