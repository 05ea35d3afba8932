//! Many accounts: each page reads a bounded number of records, however many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sparekey::storage::memory::Memory;
use sparekey::storage::{Apart, BoxFuture, Found, Get, PutError, Step, Storage, StorageError, Write};

use super::report;
use crate::harness::{Bench, CODES};

/// A store that counts what is read of it.
struct Counting {
    inner: Memory,
    gets: AtomicUsize,
    most: AtomicUsize,
    listed: AtomicUsize,
}

impl Storage for Counting {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        self.gets.fetch_add(gets.len(), Ordering::SeqCst);
        self.most.fetch_max(gets.len(), Ordering::SeqCst);
        self.inner.get_many(gets)
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        self.inner.put_all(writes)
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
        self.listed.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix, after, limit)
    }
}

/// Every page of each report over `count` accounts: all are told of, and no page reads more than its share.
async fn pages_over(count: usize) {
    let store = Arc::new(Counting { inner: Memory::new(), gets: 0.into(), most: 0.into(), listed: 0.into() });
    let bench = Bench::over(store.clone()).await;
    bench.store("seed/a", &CODES).await;
    // Copies of one record under other names: what is measured is reading.
    let found = store.inner.get_many(vec![Get::new("accounts/seed/a")]).await.unwrap();
    let Some(Found::Value(bytes, _)) = found.into_iter().next() else { panic!("a record") };
    for number in 1..count {
        let key = format!("accounts/f{:02}/u{number:06}@example.com", number % 20);
        store.inner.put_all(vec![Write::create(key, bytes.clone(), &sparekey::random::OsRandom)]).await.unwrap();
    }
    for (which, list) in [("posture", "accounts"), ("access", "accounts"), ("usage", "acts")] {
        let limit = 500;
        let (mut seen, mut pages, mut query) = (0, 0, json!({"limit": limit}));
        let begun = std::time::Instant::now();
        store.most.store(0, Ordering::SeqCst);
        loop {
            store.gets.store(0, Ordering::SeqCst);
            store.listed.store(0, Ordering::SeqCst);
            let page = report(&bench, which, query.clone()).await;
            let rows = page[list].as_array().unwrap().len();
            // A usage page looks for acts in as many accounts as it takes, and in deleted ones too.
            let share = if which == "usage" { 2 * (limit + 64) } else { limit };
            let (gets, listed) = (store.gets.load(Ordering::SeqCst), store.listed.load(Ordering::SeqCst));
            assert!(
                rows <= limit && gets <= share + 40 && listed <= 60,
                "{which}: {rows} rows, {gets} gets, {listed} lists"
            );
            seen += rows;
            pages += 1;
            match page["next"].as_str() {
                Some(next) => query["after"] = json!(next),
                None => break,
            }
        }
        assert!(store.most.load(Ordering::SeqCst) <= 64, "records are held a few at a time");
        assert_eq!(seen, count, "{which}");
        assert!(pages <= count / limit + 1, "{which}: {pages} pages");
        println!("{which}: {count} accounts in {pages} pages, {:?}", begun.elapsed());
    }
    let csv = report(&bench, "posture", json!({"format": "csv", "limit": 1000})).await;
    assert_eq!(csv["csv"].as_str().unwrap().lines().count(), 1001);
    let nothing = report(&bench, "posture", json!({"prefix": "none"})).await;
    assert_eq!((&nothing["accounts"], &nothing["next"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn two_thousand_accounts_are_read_page_by_page() {
    pages_over(2_000).await;
}

/// By hand: `cargo test --release --test engine many -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "takes minutes without optimisation"]
async fn a_hundred_thousand_accounts_are_read_page_by_page() {
    pages_over(100_000).await;
}
