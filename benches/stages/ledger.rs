//! What verifying and telling a history costs, without storage and without HTTP.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use sparekey::crypto::keyring::Keyring;
use sparekey::domain::time::Timestamp;
use sparekey::engine::listed::List;
use sparekey::engine::record::{decode, encode};
use sparekey::ledger::archive::Segment;
use sparekey::ledger::chain::{Chain, GENESIS, verify};
use sparekey::random::SeededRandom;

use crate::domain::entry;

const ENTRIES: usize = 1000;

/// All of it.
pub fn all(criterion: &mut Criterion) {
    let keyring = Keyring::generate(Timestamp::from_secs(0), &SeededRandom::new(1));
    let mac = |previous: &[u8; 32], bytes: &[u8]| keyring.ledger_mac(&[1; 16], previous, bytes);
    let mut chain = Chain::default();
    for _ in 0..ENTRIES {
        chain.append(entry("retrieve"), &mac);
    }
    let bytes = encode(&Segment { links: chain.recent.clone() });
    let told = || {
        let mut list = List::new("entries", 512 * ENTRIES);
        for link in &chain.recent {
            let entry = link.read().expect("an entry");
            list.push(|out| entry.write(&link.hash, out));
        }
        list
    };
    let mut group = criterion.benchmark_group("ledger of a thousand entries");
    group.throughput(Throughput::Bytes(told().size() as u64));
    group.bench_function("decode", |bench| {
        bench.iter(|| decode::<Segment>("ledger", black_box(&bytes)).expect("links").links.len());
    });
    group.bench_function("read every entry", |bench| {
        bench.iter(|| chain.recent.iter().filter(|link| black_box(link).read().is_ok()).count());
    });
    group.bench_function("verify", |bench| bench.iter(|| verify(&GENESIS, 1, black_box(&chain.recent), &mac)));
    group.bench_function("read and tell", |bench| bench.iter(told));
    group.finish();
}
