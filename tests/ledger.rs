//! The record speaks: who can write to the store but does not hold the ledger key cannot rewrite an account's history.

use minicbor::bytes::ByteVec;
use sparekey::crypto::keyring::Keyring;
use sparekey::domain::time::Timestamp;
use sparekey::ledger::chain::{Chain, Link};
use sparekey::ledger::entry::{Actor, Entry};
use sparekey::random::SeededRandom;

const ACCOUNT: [u8; 16] = [1; 16];

fn entry(act: &str, slot: u32) -> Entry {
    Entry {
        seq: 0,
        at: Timestamp::from_secs(1_800_000_000),
        act: act.to_owned(),
        actor: Actor { subject: "alice".to_owned(), role: "on-call".to_owned(), ..Actor::default() },
        request_id: "5f0c7a3e-0000-4000-8000-000000000000".to_owned(),
        reason: Some("phone lost".to_owned()),
        ticket: None,
        generation: Some(1),
        slot: Some(slot),
        remote: None,
        repeat: false,
        detail: None,
        operation: [slot as u8; 16].into(),
    }
}

/// The same link with another content, under the hash it had.
fn forged(link: &Link, change: impl FnOnce(&mut Entry)) -> Link {
    let mut entry = link.entry().expect("an entry");
    change(&mut entry);
    Link { bytes: ByteVec::from(minicbor::to_vec(&entry).expect("bytes")), hash: link.hash }
}

#[test]
fn a_rewritten_ledger_does_not_verify() {
    let ring = Keyring::generate(Timestamp::from_secs(1), &SeededRandom::new(8));
    let mac = |previous: &[u8; 32], bytes: &[u8]| ring.ledger_mac(&ACCOUNT, previous, bytes);
    let mut good = Chain::default();
    for slot in 1..=2 {
        good.append(entry("retrieve", slot), &mac);
    }
    // From here on there are two histories, as after a restored backup.
    let mut other = good.clone();
    for slot in 3..=6 {
        good.append(entry("retrieve", slot), &mac);
        other.append(entry("retrieve", slot + 10), &mac);
    }
    assert_eq!(good.verify_recent(&mac), Ok(()));
    assert_eq!(other.verify_recent(&mac), Ok(()));

    let rewrite = |change: &dyn Fn(&mut Chain)| {
        let mut chain = good.clone();
        change(&mut chain);
        chain
    };
    let renumber = |chain: &mut Chain| {
        let numbered = chain.recent.iter().zip(1..).map(|(link, seq)| forged(link, |entry| entry.seq = seq));
        chain.recent = numbered.collect();
        chain.seq = chain.recent.len() as u64;
    };
    let rewritten: [(&str, Chain); 8] = [
        ("altered", rewrite(&|chain| chain.recent[2] = forged(&chain.recent[2], |entry| entry.slot = Some(9)))),
        (
            "given to another",
            rewrite(&|chain| {
                chain.recent[5] = forged(&chain.recent[5], |entry| entry.actor.subject = "mallory".into())
            }),
        ),
        (
            "dropped",
            rewrite(&|chain| {
                chain.recent.remove(3);
                renumber(chain);
            }),
        ),
        (
            "reordered",
            rewrite(&|chain| {
                chain.recent.swap(3, 4);
                renumber(chain);
            }),
        ),
        (
            "repeated",
            rewrite(&|chain| {
                chain.recent.insert(3, chain.recent[3].clone());
                renumber(chain);
            }),
        ),
        (
            "cut off at the end",
            rewrite(&|chain| {
                chain.recent.pop();
                chain.seq -= 1;
            }),
        ),
        (
            "cut off at the start",
            rewrite(&|chain| {
                chain.recent.remove(0);
            }),
        ),
        ("spliced from another history", rewrite(&|chain| chain.recent[3] = other.recent[3].clone())),
    ];
    for (what, chain) in rewritten {
        assert!(chain.verify_recent(&mac).is_err(), "nobody noticed that an entry was {what}");
    }
    // Nor does one account's history pass for another's.
    let elsewhere = |previous: &[u8; 32], bytes: &[u8]| ring.ledger_mac(&[2; 16], previous, bytes);
    assert!(good.verify_recent(&elsewhere).is_err(), "nobody noticed that the history was moved to another account");
}
