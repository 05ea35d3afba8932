//! What the cryptography of one request costs.

use std::hint::black_box;

use criterion::Criterion;
use sparekey::crypto::barrier::{open_value, seal_value};
use sparekey::crypto::envelope::{Place, open_code, seal_set};
use sparekey::crypto::keyring::{HashPurpose, Keyring};
use sparekey::crypto::secret::{CodeText, Key};
use sparekey::crypto::signing::verify;
use sparekey::crypto::verifier::Workspace;
use sparekey::domain::time::Timestamp;
use sparekey::random::OsRandom;
use sparekey::storage::Revision;
use zeroize::Zeroizing;

/// All of it.
pub fn all(bench: &mut Criterion) {
    envelope(bench);
    macs(bench);
    barrier(bench);
    sealing(bench);
}

const PLACE: Place = Place { account_id: &[1; 16], set_id: &[2; 16], generation: 3 };

fn envelope(bench: &mut Criterion) {
    let keyring = Keyring::generate(Timestamp::from_secs(0), &OsRandom);
    let texts: Vec<CodeText> =
        (0..10).map(|slot| CodeText::new(Zeroizing::new(format!("7KQ{slot}-9M2P-XW4T-B8HD")))).collect();
    let codes: Vec<(u32, &CodeText)> = (1..).zip(&texts).collect();
    let Ok((dek, sealed)) = seal_set(&keyring, &PLACE, &codes, &OsRandom) else { return };
    let Some((slot, code)) = sealed.first() else { return };
    bench.bench_function("envelope/open_code", |run| {
        run.iter(|| open_code(&keyring, &PLACE, *slot, black_box(&dek), black_box(code)));
    });
    bench.bench_function("envelope/seal_set of 10", |run| {
        run.iter(|| seal_set(&keyring, &PLACE, black_box(&codes), &OsRandom));
    });
}

fn macs(bench: &mut Criterion) {
    let keyring = Keyring::generate(Timestamp::from_secs(0), &OsRandom);
    let entry = [7; 300];
    bench.bench_function("ledger_mac of 300 bytes", |run| {
        run.iter(|| keyring.ledger_mac(&[1; 16], black_box(&[2; 32]), black_box(&entry)));
    });
    bench.bench_function("fingerprinter of an account", |run| run.iter(|| keyring.fingerprinter(black_box(&[1; 16]))));
    let fingerprinter = keyring.fingerprinter(&[1; 16]);
    bench.bench_function("fingerprint of a code", |run| {
        run.iter(|| fingerprinter.print(black_box(b"7KQ09M2PXW4TB8HD")));
    });
    // What a presented code costs, and each guess of a thief: slow on purpose.
    bench.bench_function("verifier/stretch", |run| {
        let stretcher = keyring.stretcher(&[1; 16]);
        let mut workspace = Workspace::new().expect("memory");
        run.iter(|| stretcher.stretch(black_box("7kq09m2pxw4tb8hd"), &mut workspace));
    });
    bench.bench_function("keyed_hash of a token", |run| {
        run.iter(|| keyring.keyed_hash(HashPurpose::Token, black_box(&[b"hvs.CAESIJ2W7xGm4Yk1uQ0TtVbE"])));
    });
}

fn barrier(bench: &mut Criterion) {
    let keyring = Keyring::generate(Timestamp::from_secs(0), &OsRandom);
    let keys = keyring.barrier_keys();
    let (mount_id, revision) = (keyring.mount_id(), Revision::new(&OsRandom));
    let (name, record) = ("accounts/github/acme-owner", vec![7; 2048]);
    let Some(key) = keys.last() else { return };
    bench.bench_function("barrier/seal 2 KiB", |run| {
        run.iter(|| seal_value(key, mount_id, name, &revision, black_box(&record), &OsRandom));
    });
    let Ok(sealed) = seal_value(key, mount_id, name, &revision, &record, &OsRandom) else { return };
    bench.bench_function("barrier/open 2 KiB", |run| {
        run.iter(|| open_value(&keys, mount_id, name, &revision, black_box(&sealed)));
    });
}

fn sealing(bench: &mut Criterion) {
    let keyring = Keyring::generate(Timestamp::from_secs(0), &OsRandom);
    let (root, revision) = (Key::generate(&OsRandom), Revision::new(&OsRandom));
    let Ok(sealed) = keyring.seal(&root, &revision, &OsRandom) else { return };
    bench.bench_function("keyring/open", |run| run.iter(|| Keyring::open(&root, &revision, black_box(&sealed))));
    let Ok(signing) = keyring.signing() else { return };
    let (public, signature) = (signing.public(), signing.sign(&[7; 64]));
    bench.bench_function("signing/sign", |run| run.iter(|| signing.sign(black_box(&[7; 64]))));
    bench.bench_function("signing/verify", |run| run.iter(|| verify(&public, black_box(&[7; 64]), &signature)));
}
