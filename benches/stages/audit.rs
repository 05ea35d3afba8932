//! The audit: disclosures by one caller and by 64 at once, and how fast a file is verified beside a bare SHA-256 of it.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use serde_json::{Map, Value, json};
use sparekey::audit::{Broker, DeviceConfig, Replay, RequestEntry, ResponseEntry};
use sparekey::auth::Caller;
use sparekey::clock::SystemClock;
use sparekey::crypto::secret::Key;
use sparekey::crypto::signing::SigningKey;
use sparekey::engine::request::Operation;
use sparekey::random::{OsRandom, SeededRandom};
use sparekey::storage::memory::Memory;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

/// All of it.
pub fn all(criterion: &mut Criterion) {
    disclosures(criterion);
    verification(criterion);
}

struct Place {
    runtime: Runtime,
    broker: Arc<Broker>,
    folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let path = folder.path().join("audit.log").display().to_string();
    let options = BTreeMap::from([("file_path".to_owned(), path)]);
    let device = DeviceConfig::new("file", "main", &options).expect("a device");
    let key = SigningKey::from_seed(&Key::generate(&SeededRandom::new(1))).expect("a key");
    let (storage, clock, random) = (Arc::new(Memory::new()), Arc::new(SystemClock), Arc::new(OsRandom));
    let broker = runtime.block_on(Broker::open(vec![device], storage, key, clock, random)).expect("a broker");
    Place { runtime, broker: Arc::new(broker), folder }
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The two lines of one retrieve.
async fn disclose(broker: &Broker, id: &str) {
    let data = map(json!({"role": "oncall", "reason": "phone lost", "ticket": "INC-17", "idempotency_key": id}));
    let note = map(json!({"account": "github/acme-owner", "generation": 2, "slot": 3, "seq": 17, "head": "00"}));
    let request = RequestEntry {
        id,
        operation: Operation::Update,
        mount_point: "backup-codes/",
        mount_type: "sparekey",
        path: "backup-codes/retrieve/github/acme-owner",
        data: &data,
        caller: &Caller::Anonymous,
        token: None,
        remote: Some([127, 0, 0, 1].into()),
        wrap_ttl: None,
        error: None,
    };
    broker.disclosing_request(request).await.expect("written");
    let (data, auth, wrap_info, error) = (None, None, None, None);
    let entry =
        ResponseEntry { request, status: 200, error, data, list: None, warnings: 0, auth, wrap_info, note: &note };
    black_box(broker.disclosure(entry).await.expect("on disk"));
}

fn disclosures(criterion: &mut Criterion) {
    let place = place();
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    for callers in [1_u64, 64] {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(format!("disclosures/{callers}"), |bench| {
            bench.iter_custom(|rounds| {
                let begun = Instant::now();
                place.runtime.block_on(async {
                    let mut tasks = JoinSet::new();
                    for caller in 0..callers {
                        let broker = Arc::clone(&place.broker);
                        tasks.spawn(async move {
                            for round in 0..rounds {
                                disclose(&broker, &format!("{caller}-{round}")).await;
                            }
                        });
                    }
                    tasks.join_all().await;
                });
                begun.elapsed()
            });
        });
    }
    group.finish();
    place.runtime.block_on(place.broker.close());
}

fn verification(criterion: &mut Criterion) {
    let place = place();
    place.runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for caller in 0..64 {
            let broker = Arc::clone(&place.broker);
            tasks.spawn(async move {
                for round in 0..300 {
                    disclose(&broker, &format!("{caller}-{round}")).await;
                }
            });
        }
        tasks.join_all().await;
        place.broker.close().await;
    });
    let bytes = std::fs::read(place.folder.path().join("audit.log")).expect("the file");
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(10).throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("verify", |bench| {
        bench.iter(|| {
            let mut replay = Replay::new(None, None);
            replay.file("audit.log");
            let mut rest = &bytes[..];
            while let Some(at) = memchr::memchr(b'\n', rest) {
                replay.line(&rest[..at], true);
                rest = &rest[at + 1..];
            }
            let report = replay.finish();
            assert!(report.intact, "{:?}", report.findings);
        });
    });
    group.bench_function("bare SHA-256", |bench| {
        bench.iter(|| black_box(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes)));
    });
    group.finish();
}
