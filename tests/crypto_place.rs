//! Bound to its place: no ciphertext opens anywhere but where it was sealed, nor after a single bit has changed.
//!
//! The keys are made equal on purpose wherever two places could otherwise be told apart by their keys alone: what refuses here is
//! the binding.

use std::sync::Mutex;

use sparekey::crypto::CryptoError;
use sparekey::crypto::barrier::{BarrierKey, open_value, seal_value};
use sparekey::crypto::envelope::{Place, SealedCode, WrappedDek, open_code, rewrap, seal_set};
use sparekey::crypto::keyring::Keyring;
use sparekey::crypto::secret::{CodeText, Key};
use sparekey::domain::time::Timestamp;
use sparekey::random::{Random, SeededRandom};
use sparekey::storage::Revision;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp::from_secs(1_782_900_000);
const ROOT: [u8; 32] = [8; 32];

/// Draws the same key every time (32 bytes of 9); the first 16 bytes drawn are the mount id; the rest is random.
struct SameKeys {
    mount_id: Mutex<Option<[u8; 16]>>,
    rest: SeededRandom,
}

impl SameKeys {
    fn new(mount_id: [u8; 16]) -> Self {
        SameKeys { mount_id: Mutex::new(Some(mount_id)), rest: SeededRandom::new(mount_id[0].into()) }
    }
}

impl Random for SameKeys {
    fn fill(&self, bytes: &mut [u8]) {
        match bytes.len() {
            16 => bytes.copy_from_slice(&self.mount_id.lock().unwrap().take().expect("one mount id")),
            32 => bytes.fill(9),
            _ => self.rest.fill(bytes),
        }
    }
}

/// A keyring with two generations of KEK and of barrier key, all keys equal but for the mount id.
fn ring(mount_id: [u8; 16]) -> (Keyring, SameKeys) {
    let random = SameKeys::new(mount_id);
    let mut ring = Keyring::generate(NOW, &random);
    ring.add_kek(NOW, &random).unwrap();
    ring.add_barrier_key(NOW, &random).unwrap();
    (ring, random)
}

fn key(bytes: [u8; 32]) -> Key {
    Key::from_bytes(Zeroizing::new(bytes))
}

fn texts(count: u32) -> Vec<CodeText> {
    (1..=count).map(|slot| CodeText::new(Zeroizing::new(format!("{slot:05}-abcde")))).collect()
}

fn seal(ring: &Keyring, place: &Place, random: &dyn Random) -> (WrappedDek, Vec<SealedCode>) {
    let texts = texts(2);
    let codes: Vec<(u32, &CodeText)> = (1..).zip(&texts).collect();
    let (dek, sealed) = seal_set(ring, place, &codes, random).unwrap();
    (dek, sealed.into_iter().map(|(_, code)| code).collect())
}

const HERE: Place = Place { account_id: &[1; 16], set_id: &[2; 16], generation: 3 };

#[test]
fn ciphertext_moved_anywhere_does_not_open() {
    let (ring_a, random) = ring([0xA; 16]);
    let (ring_b, other_random) = ring([0xB; 16]);
    assert_eq!(ring_a.barrier_keys()[0].key.bytes(), ring_b.barrier_keys()[0].key.bytes(), "the keys must be equal");
    let (dek, codes) = seal(&ring_a, &HERE, &random);
    assert_eq!(open_code(&ring_a, &HERE, 1, &dek, &codes[0]).unwrap().expose(), "00001-abcde");
    assert_eq!(open_code(&ring_a, &HERE, 2, &dek, &codes[1]).unwrap().expose(), "00002-abcde");

    // The sealed code with the key it was sealed under, as a whole.
    let account = Place { account_id: &[7; 16], ..HERE };
    let set = Place { set_id: &[7; 16], ..HERE };
    let generation = Place { generation: 4, ..HERE };
    let whole = [
        ("mount", &ring_b, HERE, 1, 2),
        ("account", &ring_a, account, 1, 2),
        ("set", &ring_a, set, 1, 2),
        ("generation", &ring_a, generation, 1, 2),
        ("slot", &ring_a, HERE, 2, 2),
        ("slot never used", &ring_a, HERE, 3, 2),
        ("KEK generation", &ring_a, HERE, 1, 1),
    ];
    for (moved, ring, place, slot, kek_generation) in whole {
        let dek = WrappedDek { kek_generation, ..dek.clone() };
        let opened = open_code(ring, &place, slot, &dek, &codes[0]);
        assert!(matches!(opened, Err(CryptoError::DoesNotOpen(_))), "opened at another {moved}");
        if moved.starts_with("slot") || moved == "generation" {
            continue; // the wrapped key belongs to the whole set, which one id names
        }
        assert!(rewrap(ring, &place, &dek, &random).is_err(), "the key was unwrapped at another {moved}");
    }

    // The sealed code alone, to a place whose set has the very same DEK.
    for (moved, ring, place, slot) in [
        ("mount", &ring_b, HERE, 1),
        ("account", &ring_a, account, 1),
        ("set", &ring_a, set, 1),
        ("generation", &ring_a, generation, 1),
        ("slot", &ring_a, HERE, 2),
    ] {
        let (native_dek, native) = seal(ring, &place, &other_random);
        assert!(open_code(ring, &place, slot, &native_dek, &native[slot as usize - 1]).is_ok(), "the place is sound");
        let opened = open_code(ring, &place, slot, &native_dek, &codes[0]);
        assert_eq!(opened.err(), Some(CryptoError::DoesNotOpen("the sealed code")), "opened at another {moved}");
    }

    // A barrier value.
    let (mount_a, mount_b, at, later) = (ring_a.mount_id(), ring_b.mount_id(), Revision([4; 16]), Revision([5; 16]));
    let keys = ring_a.barrier_keys();
    let sealed = seal_value(&keys[1], mount_a, "accounts/a", &at, b"record", &random).unwrap();
    assert_eq!(open_value(&keys, mount_a, "accounts/a", &at, &sealed).unwrap(), b"record");
    let mut renumbered = sealed.clone();
    renumbered[4] = 1;
    for (moved, mount, name, revision, sealed) in [
        ("mount", mount_b, "accounts/a", &at, &sealed),
        ("storage key", mount_a, "accounts/b", &at, &sealed),
        ("revision", mount_a, "accounts/a", &later, &sealed),
        ("key generation", mount_a, "accounts/a", &at, &renumbered),
    ] {
        let opened = open_value(&keys, mount, name, revision, sealed);
        assert_eq!(opened, Err(CryptoError::DoesNotOpen("the stored value")), "opened at another {moved}");
    }

    // The keyring.
    let sealed = ring_a.seal(&key(ROOT), &at, &random).unwrap();
    assert_eq!(Keyring::open(&key(ROOT), &at, &sealed).unwrap().mount_id(), mount_a);
    let mut other_mount = sealed.clone();
    other_mount[1..17].copy_from_slice(mount_b);
    for (moved, root, revision, sealed) in
        [("root key", [7; 32], &at, &sealed), ("revision", ROOT, &later, &sealed), ("mount", ROOT, &at, &other_mount)]
    {
        let opened = Keyring::open(&key(root), revision, sealed);
        assert_eq!(opened.err(), Some(CryptoError::DoesNotOpen("the keyring")), "opened at another {moved}");
    }
}

#[test]
fn a_value_of_one_kind_does_not_open_as_another() {
    let (ring, random) = ring([0xA; 16]);
    let at = Revision([4; 16]);
    // Under equal root and barrier keys a keyring's record laid out as a barrier value, and the other way round.
    let keys = [BarrierKey { generation: u32::from_be_bytes([0xA; 4]), key: key(ROOT) }];
    let record = ring.seal(&key(ROOT), &at, &random).unwrap();
    assert!(open_value(&keys, ring.mount_id(), "keyring", &at, &record).is_err());
    let as_value = [&record[..5], &record[17..]].concat();
    assert_eq!(
        open_value(&keys, ring.mount_id(), "keyring", &at, &as_value),
        Err(CryptoError::DoesNotOpen("the stored value"))
    );
    let value = seal_value(&keys[0], ring.mount_id(), "keyring", &at, &[0; 100], &random).unwrap();
    let as_record = [&value[..1], ring.mount_id(), &value[5..]].concat();
    assert_eq!(Keyring::open(&key(ROOT), &at, &as_record).err(), Some(CryptoError::DoesNotOpen("the keyring")));
}

/// `bytes` with each of its bits changed in turn.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn no_bit_can_change_unnoticed() {
    let (ring, random) = ring([0xA; 16]);
    let (dek, codes) = seal(&ring, &HERE, &random);
    for nonce in flips(&codes[0].nonce) {
        let code = SealedCode { nonce: nonce.try_into().unwrap(), ..codes[0].clone() };
        assert!(open_code(&ring, &HERE, 1, &dek, &code).is_err());
    }
    for ciphertext in flips(&codes[0].ciphertext) {
        assert!(open_code(&ring, &HERE, 1, &dek, &SealedCode { ciphertext, ..codes[0].clone() }).is_err());
    }
    let record = minicbor::to_vec(&dek).unwrap();
    for flipped in flips(&record) {
        if let Ok(dek) = minicbor::decode::<WrappedDek>(&flipped) {
            assert!(open_code(&ring, &HERE, 1, &dek, &codes[0]).is_err());
        }
    }
    let at = Revision([4; 16]);
    let keys = ring.barrier_keys();
    let value = seal_value(&keys[1], ring.mount_id(), "accounts/a", &at, b"record", &random).unwrap();
    for flipped in flips(&value) {
        assert!(open_value(&keys, ring.mount_id(), "accounts/a", &at, &flipped).is_err());
    }
    let record = ring.seal(&key(ROOT), &at, &random).unwrap();
    for flipped in flips(&record) {
        assert!(Keyring::open(&key(ROOT), &at, &flipped).is_err());
    }
}

#[test]
fn a_changed_commitment_is_refused_before_anything_is_opened() {
    let (ring, random) = ring([0xA; 16]);
    let (dek, codes) = seal(&ring, &HERE, &random);
    for commitment in flips(&dek.commitment) {
        let dek = WrappedDek { commitment: commitment.try_into().unwrap(), ..dek.clone() };
        // Were the code opened first, the sound one would come out and the broken one would say that it does not open.
        assert_eq!(open_code(&ring, &HERE, 1, &dek, &codes[0]).err(), Some(CryptoError::CommitmentMismatch));
        let broken = SealedCode { ciphertext: vec![0; 48], ..codes[0].clone() };
        assert_eq!(open_code(&ring, &HERE, 1, &dek, &broken).err(), Some(CryptoError::CommitmentMismatch));
        assert_eq!(rewrap(&ring, &HERE, &dek, &random).err(), Some(CryptoError::CommitmentMismatch));
    }
}

#[test]
fn a_cut_or_longer_value_does_not_open() {
    let (ring, random) = ring([0xA; 16]);
    let (dek, codes) = seal(&ring, &HERE, &random);
    let at = Revision([4; 16]);
    let keys = ring.barrier_keys();
    let value = seal_value(&keys[1], ring.mount_id(), "accounts/a", &at, b"record", &random).unwrap();
    let record = ring.seal(&key(ROOT), &at, &random).unwrap();
    let cuts = |bytes: &[u8]| {
        let mut all: Vec<Vec<u8>> = (0..bytes.len()).map(|end| bytes[..end].to_vec()).collect();
        all.extend([1, 16, 32].map(|more| [bytes, &vec![0; more]].concat()));
        all
    };
    for ciphertext in cuts(&codes[0].ciphertext) {
        assert!(open_code(&ring, &HERE, 1, &dek, &SealedCode { ciphertext, ..codes[0].clone() }).is_err());
    }
    for cut in cuts(&value) {
        assert!(open_value(&keys, ring.mount_id(), "accounts/a", &at, &cut).is_err());
    }
    for cut in cuts(&record) {
        assert!(Keyring::open(&key(ROOT), &at, &cut).is_err());
    }
}
