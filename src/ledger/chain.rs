//! The chain: every entry's hash is an HMAC over the hash before it and the entry's own bytes, so that altering, dropping or
//! reordering entries shows. Entries are kept as the bytes that were hashed; verifying never re-encodes.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use crate::ledger::entry::Entry;

/// Entries that stay in the record; a segment of as many goes to the archive when twice as many are there.
pub const RECENT: usize = 32;
/// The hash before the first entry.
pub const GENESIS: [u8; 32] = [0; 32];

/// An entry's bytes and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Link {
    /// CBOR of an [`Entry`].
    #[n(0)]
    pub bytes: ByteVec,
    /// HMAC-SHA256 under the ledger key over chain id, previous hash and `bytes`.
    #[n(1)]
    pub hash: ByteArray<32>,
}

impl Link {
    /// The entry.
    pub fn entry(&self) -> Result<Entry, Broken> {
        minicbor::decode(&self.bytes).map_err(|_| UNREADABLE)
    }
    /// The entry, its texts where they lie.
    pub fn read(&self) -> Result<Entry<&str>, Broken> {
        minicbor::decode(&self.bytes).map_err(|_| UNREADABLE)
    }
    /// The entry, if it is number `seq` and follows from the one whose hash is `previous`.
    pub fn follow(&self, previous: &[u8; 32], seq: u64, mac: Mac<'_>) -> Result<Entry<&str>, Broken> {
        if mac(previous, &self.bytes) != *self.hash {
            return Err(Broken { seq, what: "does not follow from the one before it" });
        }
        let entry = self.read().map_err(|broken| Broken { seq, ..broken })?;
        if entry.seq == seq { Ok(entry) } else { Err(Broken { seq, what: "has another number" }) }
    }
}

const UNREADABLE: Broken = Broken { seq: 0, what: "does not decode" };

/// A chain that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The first entry that does not fit.
    pub seq: u64,
    /// What is wrong there.
    pub what: &'static str,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ledger entry {}: {}", self.seq, self.what)
    }
}
impl std::error::Error for Broken {}

/// The recent end of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Chain {
    /// How many entries there are in all; the seq of the last one.
    #[n(0)]
    pub seq: u64,
    /// Hash of the last entry; [`GENESIS`] before the first.
    #[n(1)]
    pub head: ByteArray<32>,
    /// Hash of the entry before `recent`.
    #[n(2)]
    pub base: ByteArray<32>,
    /// The latest entries, oldest first.
    #[n(3)]
    pub recent: Vec<Link>,
}

impl Default for Chain {
    fn default() -> Self {
        Chain { seq: 0, head: GENESIS.into(), base: GENESIS.into(), recent: Vec::new() }
    }
}

/// Computes an entry's hash from the hash before it and the entry's bytes.
pub type Mac<'a> = &'a dyn Fn(&[u8; 32], &[u8]) -> [u8; 32];

impl Chain {
    /// Appends `entry`, whose seq is set here; answers it.
    pub fn append(&mut self, mut entry: Entry, mac: Mac<'_>) -> u64 {
        entry.seq = self.seq + 1;
        let mut bytes = Vec::with_capacity(256);
        // Writing to a Vec cannot fail, and no part of an entry refuses to encode.
        let _ = minicbor::encode(&entry, &mut bytes);
        let hash = mac(&self.head, &bytes);
        self.seq = entry.seq;
        self.head = hash.into();
        self.recent.push(Link { bytes: bytes.into(), hash: hash.into() });
        self.seq
    }
    /// The seq of the oldest entry in the record.
    pub fn first(&self) -> u64 {
        self.seq + 1 - self.recent.len() as u64
    }
    /// Takes out the oldest segment if the record holds more than it should: its first seq and links. Segments begin at
    /// 1, 33, 65 …, so that a repeated archiving finds the same segment.
    pub fn overflow(&mut self) -> Option<(u64, Vec<Link>)> {
        if self.recent.len() < 2 * RECENT {
            return None;
        }
        let first = self.first();
        let rest = self.recent.split_off(RECENT);
        let segment = std::mem::replace(&mut self.recent, rest);
        if let Some(last) = segment.last() {
            self.base = last.hash;
        }
        Some((first, segment))
    }
    /// Checks the recent entries against base and head.
    pub fn verify_recent(&self, mac: Mac<'_>) -> Result<(), Broken> {
        let head = verify(&self.base, self.first(), &self.recent, mac)?;
        if head == *self.head { Ok(()) } else { Err(Broken { seq: self.seq, what: "is not the head of the ledger" }) }
    }
    /// Whether the write `operation` went down.
    pub fn holds(&self, operation: &[u8; 16]) -> bool {
        self.recent.iter().rev().filter_map(|link| link.read().ok()).any(|entry| *entry.operation == *operation)
    }
}

/// Checks links that follow `base` and begin with seq `first`; answers the last hash.
pub fn verify(base: &[u8; 32], first: u64, links: &[Link], mac: Mac<'_>) -> Result<[u8; 32], Broken> {
    let mut previous = *base;
    for (seq, link) in (first..).zip(links) {
        link.follow(&previous, seq, mac)?;
        previous = *link.hash;
    }
    Ok(previous)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::ledger::entry::Actor;

    fn mac(previous: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::new().chain_update(previous).chain_update(bytes).finalize().into()
    }
    fn entry(act: &str) -> Entry {
        Entry {
            seq: 0,
            at: Timestamp::from_secs(1),
            act: act.to_owned(),
            actor: Actor::default(),
            request_id: String::new(),
            reason: None,
            ticket: None,
            generation: None,
            slot: None,
            remote: None,
            repeat: false,
            detail: None,
            operation: [7; 16].into(),
        }
    }
    fn chain(length: usize) -> Chain {
        let mut chain = Chain::default();
        for index in 0..length {
            chain.append(entry(&format!("act {index}")), &mac);
        }
        chain
    }

    #[test]
    fn altering_dropping_and_reordering_show() {
        let good = chain(5);
        assert_eq!(good.verify_recent(&mac), Ok(()));
        let mut altered = good.clone();
        let mut bytes = altered.recent[2].bytes.to_vec();
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        altered.recent[2].bytes = bytes.into();
        assert_eq!(altered.verify_recent(&mac).unwrap_err().seq, 3);
        let mut dropped = good.clone();
        dropped.recent.remove(1);
        assert!(dropped.verify_recent(&mac).is_err());
        let mut swapped = good.clone();
        swapped.recent.swap(3, 4);
        assert_eq!(swapped.verify_recent(&mac).unwrap_err().seq, 4);
        let mut cut = good;
        cut.recent.pop();
        cut.seq -= 1;
        assert_eq!(cut.verify_recent(&mac).unwrap_err().what, "is not the head of the ledger");
    }

    #[test]
    fn segments_have_fixed_boundaries_and_continue() {
        let mut chain = chain(2 * RECENT);
        let (first, segment) = chain.overflow().unwrap();
        assert_eq!((first, segment.len(), chain.first()), (1, RECENT, 33));
        let head = verify(&GENESIS, first, &segment, &mac).unwrap();
        assert_eq!(head, *chain.base);
        assert_eq!(chain.verify_recent(&mac), Ok(()));
        assert_eq!(chain.overflow(), None);
        for _ in 0..RECENT {
            chain.append(entry("more"), &mac);
        }
        assert_eq!(chain.overflow().unwrap().0, 33);
        assert!(chain.holds(&[7; 16]) && !chain.holds(&[8; 16]));
    }
}
