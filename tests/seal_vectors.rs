//! Test vectors of the seal record (docs/format.md), under `tests/vectors/seal.json`: what the seal writes from known randomness, and
//! that it opens on bare primitives: shares by Lagrange over GF(256), then AES-256-GCM.
//!
//! `cargo test --test seal_vectors -- --ignored regenerate` writes them anew.

use std::path::PathBuf;
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use serde_json::{Value, json};
use sparekey::crypto::secret::Key;
use sparekey::host::seal::{InitShares, KEY, NamedKey, Progress, Seal, SealConfig, StaticKeys};
use sparekey::random::SeededRandom;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Found, Get, Storage, Write};
use zeroize::Zeroizing;

#[path = "crypto_vectors/plain.rs"]
#[expect(dead_code, reason = "the layouts of other records are checked elsewhere")]
mod plain;

const STATIC_KEY: [u8; 32] = *b"thirty-two bytes of a test's key";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/seal.json")
}

fn vectors() -> Value {
    serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    ::hex::decode(value.as_str().expect("a hexadecimal text")).unwrap()
}

fn config(kind: &str) -> SealConfig {
    match kind {
        "shamir" => SealConfig::Shamir,
        _ => SealConfig::Static(StaticKeys {
            current: NamedKey { id: "2026-01".to_owned(), key: Key::from_bytes(Zeroizing::new(STATIC_KEY)) },
            previous: None,
        }),
    }
}

/// What the seal makes from the seed.
async fn make(kind: &str, shares: InitShares) -> Value {
    let store = Arc::new(Memory::new());
    let seal = Seal::new(config(kind), store.clone(), Arc::new(SeededRandom::new(2026)));
    let made = seal.init(shares).await.unwrap();
    let Found::Value(record, _) = store.get_many(vec![Get::new(KEY)]).await.unwrap().remove(0) else {
        panic!("no record")
    };
    json!({
        "record": ::hex::encode(record),
        "keys": made.keys.iter().map(::hex::encode).collect::<Vec<_>>(),
        "root_key": ::hex::encode(made.root.bytes()),
    })
}

async fn make_all() -> Value {
    let shares = InitShares { shares: 3, threshold: 2, ..InitShares::default() };
    let recovery = InitShares { recovery_shares: 3, recovery_threshold: 2, ..InitShares::default() };
    json!({
        "shamir": make("shamir", shares).await,
        "static": make("static", recovery).await,
        "static_without_recovery": make("static", InitShares::default()).await,
        "static_key": ::hex::encode(STATIC_KEY),
    })
}

#[tokio::test]
#[ignore = "writes the vectors anew"]
async fn regenerate() {
    let text = serde_json::to_string_pretty(&make_all().await).unwrap();
    std::fs::write(file(), text + "\n").unwrap();
}

#[tokio::test]
async fn the_same_randomness_gives_the_same_bytes() {
    assert_eq!(make_all().await, vectors());
}

/// Takes `length` bytes off the front.
fn take(rest: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, left) = rest.split_at(length);
    *rest = left;
    taken.to_vec()
}

/// Expects these bytes at the front.
fn expect(rest: &mut &[u8], bytes: &[u8]) {
    assert_eq!(take(rest, bytes.len()), bytes);
}

/// Id, holder fields for the AAD, nonce and wrapped key of a record, read by hand.
struct Plain {
    id: Vec<u8>,
    holder: [Vec<u8>; 5],
    nonce: Vec<u8>,
    wrapped: Vec<u8>,
}

fn read(record: &[u8]) -> Plain {
    let rest = &mut &*record;
    expect(rest, &[0x85, 1, 0x50]);
    let id = take(rest, 16);
    expect(rest, &[0x82]);
    let number = |byte: u8| plain::number(byte.into()).to_vec();
    let holder = match take(rest, 1)[0] {
        0 => {
            expect(rest, &[0x81, 0x82]);
            let quorum = take(rest, 2);
            [b"shamir".to_vec(), number(quorum[0]), number(quorum[1]), Vec::new(), Vec::new()]
        }
        _ => {
            let fields = take(rest, 1)[0] - 0x80;
            let length = take(rest, 1)[0] - 0x60;
            let key_id = take(rest, length.into());
            if fields == 2 {
                expect(rest, &[0x82, 0x82]);
                let quorum = take(rest, 2);
                expect(rest, &[0x58, 32]);
                [b"static".to_vec(), number(quorum[0]), number(quorum[1]), key_id, take(rest, 32)]
            } else {
                [b"static".to_vec(), number(0), number(0), key_id, Vec::new()]
            }
        }
    };
    expect(rest, &[0x4c]);
    let nonce = take(rest, 12);
    expect(rest, &[0x58, 48]);
    let wrapped = take(rest, 48);
    assert!(rest.is_empty());
    Plain { id, holder, nonce, wrapped }
}

impl Plain {
    fn open(&self, key: &[u8]) -> Vec<u8> {
        let fields: Vec<&[u8]> = self.holder.iter().map(Vec::as_slice).collect();
        let aad = plain::layout("seal/root", &self.id, &fields);
        let nonce: [u8; 12] = self.nonce.as_slice().try_into().unwrap();
        Aes256Gcm::new_from_slice(key)
            .unwrap()
            .decrypt(&Nonce::from(nonce), Payload { msg: &self.wrapped, aad: &aad })
            .unwrap()
    }
}

/// Multiplies in GF(256) modulo x^8 + x^4 + x^3 + x + 1.
fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1b };
        b >>= 1;
    }
    product
}

/// a^254 is the inverse.
fn inverse(a: u8) -> u8 {
    (0..254).fold(1, |product, _| times(product, a))
}

/// The polynomial through these shares (32 bytes of y, then x) at 0.
fn interpolate(shares: &[&Vec<u8>]) -> Vec<u8> {
    let x = |share: &Vec<u8>| share[32];
    (0..32)
        .map(|byte| {
            shares.iter().fold(0, |sum, share| {
                let others = shares.iter().filter(|other| x(other) != x(share));
                let weight = others.fold(1, |w, other| times(w, times(x(other), inverse(x(other) ^ x(share)))));
                sum ^ times(share[byte], weight)
            })
        })
        .collect()
}

#[test]
fn the_vectors_open_on_bare_primitives() {
    let v = vectors();
    let shamir = &v["shamir"];
    let shares: Vec<Vec<u8>> = shamir["keys"].as_array().unwrap().iter().map(hex).collect();
    let record = read(&hex(&shamir["record"]));
    for pair in [[0, 1], [0, 2], [2, 1]] {
        let key = interpolate(&pair.map(|at| &shares[at]));
        assert_eq!(record.open(&key), hex(&shamir["root_key"]));
    }

    for name in ["static", "static_without_recovery"] {
        let record = read(&hex(&v[name]["record"]));
        assert_eq!(record.open(&hex(&v["static_key"])), hex(&v[name]["root_key"]));
    }
    let record = read(&hex(&v["static"]["record"]));
    let keys: Vec<Vec<u8>> = v["static"]["keys"].as_array().unwrap().iter().map(hex).collect();
    let info = plain::layout("seal/recovery", &record.id, &[]);
    let check_key = plain::hkdf(&hex(&v["static"]["root_key"]), &record.id, &info, 32);
    assert_eq!(plain::hmac(&check_key, &interpolate(&[&keys[0], &keys[2]])), record.holder[4]);
}

#[tokio::test]
async fn the_seal_opens_the_vectors() {
    let v = vectors();
    for name in ["shamir", "static"] {
        let store = Arc::new(Memory::new());
        let random = Arc::new(SeededRandom::new(1));
        store.put_all(vec![Write::create(KEY, hex(&v[name]["record"]), &*random)]).await.unwrap();
        let seal = Seal::new(config(name), store, random);
        let root = if name == "shamir" {
            seal.unseal(&hex(&v[name]["keys"][2])).await.unwrap();
            match seal.unseal(&hex(&v[name]["keys"][0])).await.unwrap() {
                Progress::Root(root) => root,
                Progress::More(_) => panic!("two shares are enough"),
            }
        } else {
            seal.auto_unseal().await.unwrap().unwrap()
        };
        assert_eq!(root.bytes().to_vec(), hex(&v[name]["root_key"]), "{name}");
    }
}
