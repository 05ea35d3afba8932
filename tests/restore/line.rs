//! The server beneath the store is replaced: a standby was promoted, with or without everything that was acknowledged. A store in
//! memory stands in for the database; the lines are those of `storage/line.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sparekey::storage::line::{Line, Lines};
use sparekey::storage::memory::Memory;
use sparekey::storage::{Apart, BoxFuture, Found, Get, PutError, Step, Storage, StorageError, Write};

use super::cluster::{all, pair_over, put_back, told, until};
use super::support::scene::codes;

/// The server that answers: its line, and what is on it.
type Serving = Arc<Mutex<(String, Arc<Memory>)>>;

/// A node's way to the database.
struct Lined {
    serving: Serving,
    lines: Arc<Lines>,
    unchecked: bool,
}

impl Lined {
    fn over(serving: &Serving) -> Arc<dyn Storage> {
        Arc::new(Lined { serving: Arc::clone(serving), lines: Arc::default(), unchecked: false })
    }
    fn look(&self) -> Result<Arc<Memory>, StorageError> {
        let (line, memory) = self.serving.lock().unwrap().clone();
        match self.lines.observe(Line::new(line)) {
            Err(changed) if !self.unchecked => Err(StorageError::Failed(changed.into())),
            _ => Ok(memory),
        }
    }
}

impl Storage for Lined {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move { self.look()?.get_many(gets).await })
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move { self.look().map_err(PutError::Failed)?.put_all(writes).await })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        Box::new(Apart(self))
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(async move { self.look()?.list(prefix, after, limit).await })
    }
    fn lines(&self) -> Option<&Lines> {
        Some(&self.lines)
    }
    fn unchecked(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        let (serving, lines) = (Arc::clone(&self.serving), Arc::clone(&self.lines));
        Some(Arc::new(Lined { serving, lines, unchecked: true }))
    }
}

fn serving() -> Serving {
    Arc::new(Mutex::new(("db/1".to_owned(), Arc::new(Memory::new()))))
}

#[test]
fn a_promotion_that_lost_nothing_goes_on_by_itself() {
    let serving = serving();
    let pair = pair_over([Lined::over(&serving), Lined::over(&serving)]);
    let [one, two] = &pair.scenes;
    one.store("team/a", &codes(1, 9), 0).expect(200);
    two.retrieve("team/a", "jane").expect(200);
    serving.lock().unwrap().0 = "db/2".to_owned();
    // Not at once: the other node might know more.
    let mut words = Vec::new();
    until("it goes on", || {
        let answer = one.retrieve("team/a", "jane");
        words.push(answer.error());
        answer.status == 200
    });
    assert!(words.iter().any(|word| word.starts_with("line-changed: ")), "{words:?}");
    let told = told(&pair.one, &pair.root);
    assert_eq!(told["quarantine"], false, "{told}");
}

#[test]
fn a_promotion_that_lost_acts_gives_nothing_again() {
    let serving = serving();
    let pair = pair_over([Lined::over(&serving), Lined::over(&serving)]);
    let [one, two] = &pair.scenes;
    one.store("team/a", &codes(1, 9), 0).expect(200);
    // The standby has this, and not what follows.
    std::thread::sleep(Duration::from_millis(200));
    let old: Arc<dyn Storage> = serving.lock().unwrap().1.clone();
    let standby = Arc::new(Memory::new());
    let copied: Arc<dyn Storage> = standby.clone();
    put_back(&pair.one, &copied, &all(&pair.one, &old));
    let given = two.retrieve("team/a", "jane").expect(200).data()["code"].clone();
    *serving.lock().unwrap() = ("db/2".to_owned(), standby);
    let mut refused = 0;
    until("quarantined", || {
        let answer = one.retrieve("team/a", "jane");
        assert_ne!(answer.status, 200, "{given} was given again by the other node: {}", answer.text());
        refused += 1;
        answer.error().starts_with("restore-quarantine: ")
    });
    let told = told(&pair.one, &pair.root);
    assert_eq!(told["quarantine"], true, "{told} after {refused} refusals");
}

#[test]
fn acts_of_the_last_moment_are_missed_though_no_line_tells() {
    let pair = super::cluster::pair();
    let [one, two] = &pair.scenes;
    one.store("team/a", &codes(1, 9), 0).expect(200);
    std::thread::sleep(Duration::from_millis(200));
    let before = all(&pair.one, &pair.storage);
    two.retrieve("team/a", "jane").expect(200);
    // Before any epoch has moved, most of the time: the store has the epoch that everybody knows.
    put_back(&pair.one, &pair.storage, &before);
    until("noticed", || told(&pair.one, &pair.root)["quarantine"] == true);
}
