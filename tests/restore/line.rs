//! The server beneath the store is replaced: a standby was promoted, with or without everything that was acknowledged. A store in
//! memory stands in for the database; the lines are those of `storage/line.rs`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sparekey::storage::line::{Line, Lines};
use sparekey::storage::memory::Memory;
use sparekey::storage::{Apart, BoxFuture, Found, Get, PutError, Step, Storage, StorageError, Write};

use super::cluster::{all, pair_over, put_back, told, until};
use super::support::scene::codes;

/// A database whose server has a line.
struct Lined {
    inner: Arc<Memory>,
    lines: Arc<Lines>,
    line: Arc<Mutex<String>>,
    unchecked: bool,
}

impl Lined {
    fn look(&self) -> Result<(), StorageError> {
        let line = Line::new(self.line.lock().unwrap().clone());
        match self.lines.observe(line) {
            Err(changed) if !self.unchecked => Err(StorageError::Failed(changed.into())),
            _ => Ok(()),
        }
    }
}

impl Storage for Lined {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move {
            self.look()?;
            self.inner.get_many(gets).await
        })
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            self.look().map_err(PutError::Failed)?;
            self.inner.put_all(writes).await
        })
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
        self.inner.list(prefix, after, limit)
    }
    fn lines(&self) -> Option<&Lines> {
        Some(&self.lines)
    }
    fn unchecked(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        let (inner, lines, line) = (Arc::clone(&self.inner), Arc::clone(&self.lines), Arc::clone(&self.line));
        Some(Arc::new(Lined { inner, lines, line, unchecked: true }))
    }
}

fn lined() -> (Arc<dyn Storage>, Arc<Mutex<String>>, Arc<dyn Storage>) {
    let (inner, line) = (Arc::new(Memory::new()), Arc::new(Mutex::new("db/1".to_owned())));
    let lines = Arc::new(Lines::new());
    let storage = Lined { inner: Arc::clone(&inner), lines, line: Arc::clone(&line), unchecked: false };
    (Arc::new(storage), line, inner)
}

#[test]
fn a_promotion_that_lost_nothing_goes_on_by_itself() {
    let (storage, line, _) = lined();
    let pair = pair_over(storage);
    let [one, two] = &pair.scenes;
    one.store("team/a", &codes(1, 9), 0).expect(200);
    two.retrieve("team/a", "jane").expect(200);
    *line.lock().unwrap() = "db/2".to_owned();
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
    let (storage, line, inner) = lined();
    let pair = pair_over(storage);
    let [one, two] = &pair.scenes;
    one.store("team/a", &codes(1, 9), 0).expect(200);
    // The standby has this, and not what follows.
    std::thread::sleep(Duration::from_millis(200));
    let before = all(&pair.one, &inner);
    let given = two.retrieve("team/a", "jane").expect(200).data()["code"].clone();
    *line.lock().unwrap() = "db/2".to_owned();
    put_back(&pair.one, &inner, &before);
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
