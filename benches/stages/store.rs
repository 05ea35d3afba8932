//! The embedded store: writes by one caller and by 64 at once, and the read of one act.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use sparekey::random::SeededRandom;
use sparekey::storage::redb::Redb;
use sparekey::storage::{Found, Get, Revision, Storage, Write};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// All of it.
pub fn all(criterion: &mut Criterion) {
    writes(criterion);
    reads(criterion);
}

/// About what an account's record takes.
const RECORD: usize = 4096;
/// Records that are there before anything is measured.
const FILLED: usize = 10_000;

struct Place {
    runtime: Runtime,
    store: Arc<Redb>,
    random: Arc<SeededRandom>,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime");
    let store = Arc::new(Redb::open(&folder.path().join("sparekey.redb")).expect("a store"));
    let random = Arc::new(SeededRandom::new(1));
    for first in (0..FILLED).step_by(1000) {
        let writes = (first..first + 1000)
            .map(|n| Write::create(format!("accounts/team-{}/{n:06}", n % 100), vec![7; RECORD], random.as_ref()))
            .collect();
        runtime.block_on(store.put_all(writes)).expect("a filled store");
    }
    Place { runtime, store, random, _folder: folder }
}

/// An act's writes: a claim is created and the account's record goes down beside it.
fn act(random: &SeededRandom) -> Vec<Write> {
    let name = hex::encode(Revision::new(random).0);
    vec![
        Write::create(format!("claims/{name}"), vec![1; 200], random),
        Write::create(format!("sets/{name}/1"), vec![2; RECORD], random),
    ]
}

/// `rounds` acts by each of `writers` callers at once.
async fn write(place: &Place, writers: usize, rounds: u64) -> Duration {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..writers {
        let (store, random) = (Arc::clone(&place.store), Arc::clone(&place.random));
        tasks.spawn(async move {
            for _ in 0..rounds {
                store.put_all(act(&random)).await.expect("a write");
            }
        });
    }
    tasks.join_all().await;
    start.elapsed()
}

fn writes(criterion: &mut Criterion) {
    let place = place();
    let mut group = criterion.benchmark_group("put_all");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for writers in [1, 64] {
        group.throughput(Throughput::Elements(writers as u64));
        let before = place.store.commits();
        let mut acts = 0;
        group.bench_function(format!("{writers} writers"), |bencher| {
            bencher.iter_custom(|rounds| {
                acts += rounds * writers as u64;
                place.runtime.block_on(write(&place, writers, rounds))
            });
        });
        eprintln!("{writers} writers: {acts} acts in {} commits", place.store.commits() - before);
    }
    group.finish();
}

fn reads(criterion: &mut Criterion) {
    let place = place();
    let name = |n: usize| format!("accounts/team-{}/{n:06}", n % 100);
    let gets = || -> Vec<Get> { (0..6).map(|n| Get::new(name(n * 1009))).collect() };
    let found = place.runtime.block_on(place.store.get_many(gets())).expect("a read");
    assert!(found.iter().all(|found| matches!(found, Found::Value(value, _) if value.len() == RECORD)));
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10);
    group.bench_function("get_many of 6", |bencher| {
        let read = |gets| place.runtime.block_on(place.store.get_many(gets)).expect("a read");
        bencher.iter_batched(gets, read, BatchSize::SmallInput);
    });
    // What reading on a thread for blocking work would cost on top.
    group.bench_function("way to another thread and back", |bencher| {
        let hop = || async { tokio::task::spawn_blocking(|| ()).await.expect("a hop") };
        bencher.iter(|| place.runtime.block_on(async { tokio::spawn(hop()).await.expect("a task") }));
    });
    group.bench_function("list 100 folders of 100", |bencher| {
        bencher.iter(|| place.runtime.block_on(place.store.list("accounts/", None, 100)).expect("a list"));
    });
    group.bench_function("list 100 keys", |bencher| {
        bencher.iter(|| place.runtime.block_on(place.store.list("accounts/team-1/", None, 100)).expect("a list"));
    });
    group.finish();
}
