//! What clients were given, held against what the engine says it gave.

use std::collections::{BTreeMap, BTreeSet};

use super::Given;
use crate::support::scene::Scene;

/// What the engine says of an account.
#[derive(Clone)]
pub struct Book {
    /// Its number.
    pub account: u64,
    /// The codes that were stored, in order.
    pub codes: Vec<String>,
    /// How often each slot stands in the history as dispensed, repeats of the same request left out.
    pub dispensed: BTreeMap<u64, usize>,
    /// Whether the chain of the history holds.
    pub verified: bool,
    /// Codes that are still held.
    pub remaining: usize,
}

impl Book {
    /// Reads an account and its whole history.
    pub fn read(scene: &Scene, account: u64, name: &str, codes: Vec<String>) -> Self {
        let remaining =
            scene.read("accounts", name).expect(200).data()["remaining"].as_u64().expect("a number") as usize;
        let mut book = Book { account, codes, dispensed: BTreeMap::new(), verified: true, remaining };
        let mut after = 0;
        loop {
            let page =
                scene.read("history", &format!("{name}?limit=1000&verify=true&after={after}")).expect(200).data();
            book.verified &= page["verified"] == true;
            let entries = page["entries"].as_array().expect("entries");
            for entry in entries.iter().filter(|entry| entry["act"] == "retrieve" && entry["repeat"] == false) {
                *book.dispensed.entry(entry["slot"].as_u64().expect("a slot")).or_default() += 1;
            }
            match entries.last() {
                Some(last) => after = last["seq"].as_u64().expect("a number"),
                None => return book,
            }
        }
    }
}

/// Everything that is not as it must be.
pub fn verdict(given: &[Given], books: &[Book]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for Given { account, slot, code, .. } in given {
        if !seen.insert(code) {
            wrong.push(format!("{code} was given twice"));
        }
        let Some(book) = books.iter().find(|book| book.account == *account) else {
            wrong.push(format!("account {account} has no book"));
            continue;
        };
        if slot.checked_sub(1).and_then(|index| book.codes.get(index as usize)) != Some(code) {
            wrong.push(format!("{code} is not what stands in slot {slot} of account {account}"));
        }
        match book.dispensed.get(slot) {
            Some(1) => {}
            times => wrong.push(format!("slot {slot} of account {account} is recorded {} times", times.unwrap_or(&0))),
        }
    }
    let slots: BTreeSet<(u64, u64)> = given.iter().map(|given| (given.account, given.slot)).collect();
    for Book { account, codes, dispensed, verified, remaining } in books {
        if !verified {
            wrong.push(format!("the history of account {account} does not verify"));
        }
        if remaining + dispensed.len() != codes.len() {
            let (gone, all) = (dispensed.len(), codes.len());
            wrong.push(format!("account {account}: {remaining} remain and {gone} are recorded, of {all}"));
        }
        // Each client asked until it was answered: what was burnt for it, it has.
        for slot in dispensed.keys().filter(|slot| !slots.contains(&(*account, **slot))) {
            wrong.push(format!("slot {slot} of account {account} was burnt for nobody"));
        }
    }
    wrong
}
