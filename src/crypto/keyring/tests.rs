use std::collections::BTreeSet;

use super::*;
use crate::random::SeededRandom;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn ring(seed: u64) -> Keyring {
    Keyring::generate(at(1), &SeededRandom::new(seed))
}

#[test]
fn every_key_is_a_key_of_its_own() {
    let keyring = ring(1);
    let singles = [&keyring.ledger, &keyring.fingerprint, &keyring.token_hash, &keyring.signing];
    let entries = keyring.keks.iter().chain(singles).chain(&keyring.barrier);
    let keys: BTreeSet<[u8; 32]> = entries.map(|entry| *entry.key.bytes()).collect();
    assert_eq!(keys.len(), 6);
    assert!(!keys.contains(&[0; 32]));
}

#[test]
fn the_ledger_mac_depends_on_all_that_goes_in() {
    let keyring = ring(1);
    let mac = keyring.ledger_mac(&[1; 16], &[2; 32], b"entry");
    assert_eq!(keyring.ledger_mac(&[1; 16], &[2; 32], b"entry"), mac);
    let others = [
        keyring.ledger_mac(&[9; 16], &[2; 32], b"entry"),
        keyring.ledger_mac(&[1; 16], &[9; 32], b"entry"),
        keyring.ledger_mac(&[1; 16], &[2; 32], b"entri"),
        keyring.ledger_mac(&[1; 16], &[2; 32], b""),
        ring(2).ledger_mac(&[1; 16], &[2; 32], b"entry"),
    ];
    assert!(!others.contains(&mac));
}

#[test]
fn a_keyed_hash_depends_on_purpose_and_borders() {
    let keyring = ring(1);
    let parts: [&[&[u8]]; 6] = [&[], &[b""], &[b"", b""], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"]];
    let mut seen = BTreeSet::new();
    for purpose in HashPurpose::ALL {
        for parts in parts {
            assert!(seen.insert(keyring.keyed_hash(purpose, parts)), "{purpose:?} {parts:?}");
        }
    }
    assert_eq!(seen.len(), HashPurpose::ALL.len() * parts.len());
}

#[test]
fn a_fingerprint_belongs_to_one_account_and_one_mount() {
    let keyring = ring(1);
    let print = keyring.fingerprinter(&[1; 16]).print(b"12345678");
    assert_eq!(keyring.fingerprinter(&[1; 16]).print(b"12345678"), print);
    assert_ne!(keyring.fingerprinter(&[1; 16]).print(b"12345679"), print);
    assert_ne!(keyring.fingerprinter(&[2; 16]).print(b"12345678"), print);
    assert_ne!(ring(2).fingerprinter(&[1; 16]).print(b"12345678"), print);
}

#[test]
fn a_new_kek_wraps_and_the_former_one_only_unwraps() {
    let mut keyring = ring(1);
    let random = SeededRandom::new(2);
    assert_eq!(keyring.active_kek().unwrap(), 1);
    assert_eq!(keyring.add_kek(at(2), &random).unwrap(), 2);
    assert_eq!(keyring.active_kek().unwrap(), 2);
    let keks: Vec<KeyInfo> = keyring.keks().collect();
    let info = |generation, created_at, state| KeyInfo { generation, created_at, state };
    assert_eq!(keks, [info(1, at(1), KeyState::DecryptOnly), info(2, at(2), KeyState::Active)]);
    assert!(keyring.account_kek(1, &[1; 16]).is_ok());
    assert_ne!(keyring.account_kek(1, &[1; 16]).unwrap(), keyring.account_kek(2, &[1; 16]).unwrap());
    assert_ne!(keyring.account_kek(2, &[1; 16]).unwrap(), keyring.account_kek(2, &[2; 16]).unwrap());
}

#[test]
fn a_kek_is_retired_once_recoverable_for_a_day_and_then_erased() {
    let mut keyring = ring(1);
    let random = SeededRandom::new(2);
    let active = CryptoError::KeyState("the active KEK cannot be retired; rotate first");
    assert_eq!(keyring.retire_kek(1, at(2)), Err(active));
    keyring.add_kek(at(2), &random).unwrap();
    let unknown = CryptoError::UnknownGeneration { key: "KEK", generation: 3 };
    assert_eq!(keyring.retire_kek(3, at(3)), Err(unknown));
    keyring.retire_kek(1, at(3)).unwrap();
    keyring.retire_kek(1, at(1000)).unwrap();
    assert_eq!(keyring.keks().next().unwrap().state, KeyState::Retired { at: at(3) }, "the first time counts");
    assert_eq!(keyring.account_kek(1, &[1; 16]), Err(CryptoError::RetiredGeneration { generation: 1 }));
    let day = 24 * 60 * 60;
    assert!(keyring.erase_retired(at(2 + day)).is_empty());
    keyring.recover_kek(1).unwrap();
    keyring.recover_kek(2).unwrap();
    assert_eq!(keyring.active_kek().unwrap(), 2, "recovering leaves the active one alone");
    assert!(keyring.account_kek(1, &[1; 16]).is_ok());
    assert!(keyring.erase_retired(at(9 * day)).is_empty(), "a recovered KEK is not erased");
    keyring.retire_kek(1, at(4)).unwrap();
    assert_eq!(keyring.erase_retired(at(4 + day)), [1]);
    assert_eq!(keyring.recover_kek(1), Err(CryptoError::UnknownGeneration { key: "KEK", generation: 1 }));
    assert_eq!(keyring.add_kek(at(5), &random).unwrap(), 3, "a generation is never used again");
}

#[test]
fn the_newest_barrier_key_comes_last() {
    let mut keyring = ring(1);
    assert_eq!(keyring.add_barrier_key(at(2), &SeededRandom::new(2)).unwrap(), 2);
    let keys = keyring.barrier_keys();
    assert_eq!(keys.iter().map(|key| key.generation).collect::<Vec<_>>(), [1, 2]);
    assert_ne!(keys[0].key.bytes(), keys[1].key.bytes());
}

#[test]
fn the_signing_key_stays_the_same() {
    let keyring = ring(1);
    assert_eq!(keyring.signing().unwrap().public(), keyring.signing().unwrap().public());
    assert_ne!(keyring.signing().unwrap().public(), ring(2).signing().unwrap().public());
}
