//! The faulty layer does what its switches say, and nothing when none is thrown.

use std::sync::Arc;
use std::time::Duration;

use sparekey::random::SeededRandom;
use sparekey::storage::faulty::{Counts, Faulty, Outcome, Times};
use sparekey::storage::line::Lines;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Apart, BoxFuture, Found, Get, PutError, Step, Storage, StorageError, Write};

use crate::backends::conflict;

fn layer() -> (Faulty, SeededRandom) {
    (Faulty::new(Arc::new(Memory::new())), SeededRandom::new(6))
}

async fn value(store: &Faulty, key: &str) -> Option<Vec<u8>> {
    match store.get_many(vec![Get::new(key)]).await.unwrap().pop() {
        Some(Found::Value(value, _)) => Some(value),
        _ => None,
    }
}

#[tokio::test]
async fn reads_and_writes_fail_as_often_as_told() {
    let (store, random) = layer();
    store.fail_writes(Times::Next(2));
    for _ in 0..2 {
        let result = store.put_all(vec![Write::create("a", vec![1], &random)]).await;
        assert!(matches!(result, Err(PutError::Failed(StorageError::Failed(_)))), "{result:?}");
    }
    assert_eq!(value(&store, "a").await, None);
    store.put_all(vec![Write::create("a", vec![1], &random)]).await.unwrap();
    store.fail_reads(Times::Always);
    assert!(matches!(store.get_many(vec![Get::new("a")]).await, Err(StorageError::Failed(_))));
    assert!(matches!(store.list("", None, 1).await, Err(StorageError::Failed(_))));
    store.put_all(vec![Write::create("b", vec![2], &random)]).await.unwrap();
    store.fail_reads(Times::Never);
    assert_eq!(value(&store, "b").await, Some(vec![2]));
}

#[tokio::test]
async fn an_unknown_outcome_is_what_was_chosen() {
    let (store, random) = layer();
    for (key, outcome, there) in [("lost", Outcome::Lost, false), ("written", Outcome::Written, true)] {
        store.answer_unknown(outcome, Times::Next(1));
        let result = store.put_all(vec![Write::create(key, vec![1], &random)]).await;
        assert!(matches!(result, Err(PutError::Unknown(_))), "{result:?}");
        assert_eq!(value(&store, key).await.is_some(), there, "{key}");
    }
    store.answer_unknown(Outcome::Written, Times::Always);
    assert_eq!(conflict(store.put_all(vec![Write::create("written", vec![2], &random)]).await), 0);
    assert_eq!(value(&store, "written").await, Some(vec![1]));
}

#[tokio::test]
async fn a_freeze_stops_after_each_number_of_writes() {
    for carried in 0..=4 {
        let (store, random) = layer();
        let writes = |tag: u8| (0..3u8).map(|n| Write::create(format!("k/{tag}/{n}"), vec![n], &random)).collect();
        store.freeze_after(carried);
        let first: Result<(), PutError> = store.put_all(writes(1)).await;
        match carried {
            0 => assert!(matches!(first, Err(PutError::Failed(_))), "{first:?}"),
            1..=3 => assert!(matches!(first, Err(PutError::Unknown(_))), "{first:?}"),
            _ => first.unwrap(),
        }
        if carried <= 3 {
            assert!(store.list("k/", None, 9).await.is_err(), "frozen reads fail");
            assert!(matches!(store.put_all(writes(2)).await, Err(PutError::Failed(_))));
        }
        store.thaw();
        assert_eq!(store.list("k/1/", None, 9).await.unwrap().len(), carried.min(3));
        assert_eq!(store.list("k/2/", None, 9).await.unwrap().len(), 0);
        store.put_all(writes(3)).await.unwrap();
    }
}

#[tokio::test]
async fn a_freeze_between_lists_names_the_write_of_a_conflict() {
    let (store, random) = layer();
    store.put_all(vec![Write::create("b", vec![0], &random)]).await.unwrap();
    store.freeze_after(10);
    let writes = vec![Write::create("a", vec![1], &random), Write::create("b", vec![1], &random)];
    assert_eq!(conflict(store.put_all(writes).await), 1);
    assert_eq!(value(&store, "a").await, Some(vec![1]), "one by one");
}

#[tokio::test]
async fn a_corrupted_value_comes_back_flipped_until_healed() {
    let (store, random) = layer();
    let writes = vec![Write::create("a", vec![8, 8, 8], &random), Write::create("b", vec![8], &random)];
    store.put_all(writes).await.unwrap();
    store.corrupt("a", 1);
    store.corrupt("b", 99);
    assert_eq!(value(&store, "a").await, Some(vec![8, 9, 8]));
    assert_eq!(value(&store, "b").await, Some(vec![9]));
    store.heal();
    assert_eq!(value(&store, "a").await, Some(vec![8, 8, 8]));
}

#[tokio::test]
async fn a_delay_delays_every_call() {
    let (store, random) = layer();
    store.delay(Duration::from_millis(10));
    let start = std::time::Instant::now();
    store.put_all(vec![Write::create("a", vec![1], &random)]).await.unwrap();
    store.get_many(vec![Get::new("a")]).await.unwrap();
    store.list("", None, 1).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30), "{:?}", start.elapsed());
}

#[tokio::test]
async fn everything_asked_is_counted() {
    let (store, random) = layer();
    let writes = vec![Write::create("a", vec![0; 10], &random), Write::create("b", vec![0; 5], &random)];
    store.put_all(writes).await.unwrap();
    store.get_many(vec![Get::new("a"), Get::new("b"), Get::new("c")]).await.unwrap();
    store.list("", None, 1).await.unwrap();
    let expected = Counts {
        get_many: 1,
        put_all: 1,
        list: 1,
        batches: 0,
        keys_read: 3,
        writes: 2,
        bytes_read: 15,
        bytes_written: 15,
    };
    assert_eq!(store.counts(), expected);
    store.reset_counts();
    assert_eq!(store.counts(), Counts::default());
}

/// A store whose server has a line.
struct Lined {
    memory: Arc<Memory>,
    lines: Arc<Lines>,
    unchecked: bool,
}

impl Lined {
    fn look(&self) -> Result<(), StorageError> {
        self.lines.check().or_else(|changed| match self.unchecked {
            true => Ok(()),
            false => Err(StorageError::Failed(changed.into())),
        })
    }
}

impl Storage for Lined {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move {
            self.look()?;
            self.memory.get_many(gets).await
        })
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        self.memory.put_all(writes)
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
        self.memory.list(prefix, after, limit)
    }
    fn lines(&self) -> Option<&Lines> {
        Some(&self.lines)
    }
    fn unchecked(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        let (memory, lines) = (Arc::clone(&self.memory), Arc::clone(&self.lines));
        Some(Arc::new(Lined { memory, lines, unchecked: true }))
    }
}

#[tokio::test]
async fn lines_are_those_of_the_store_beneath_and_the_view_without_them_has_the_same_switches() {
    let lined = Lined { memory: Arc::default(), lines: Arc::default(), unchecked: false };
    let layer = Arc::new(Faulty::new(Arc::new(lined)));
    layer.lines().unwrap().distrust();
    assert!(layer.get_many(vec![Get::new("a")]).await.is_err(), "nobody has approved of the line");
    let unchecked = Arc::clone(&layer).unchecked().unwrap();
    assert!(unchecked.get_many(vec![Get::new("a")]).await.is_ok());
    layer.fail_reads(Times::Next(1));
    assert!(unchecked.get_many(vec![Get::new("a")]).await.is_err(), "a switch counts for every view");
    let (none, _) = self::layer();
    assert!(none.lines().is_none() && Arc::new(none).unchecked().is_none());
}
