//! The store-wide epoch: a number that only grows, moved on while acts happen and at every start. Each epoch names the hash of the
//! one before it, so that two stores that went on from the same one do not agree, and is signed, so that nobody makes one up.
//!
//! The hash is SHA-256 (FIPS 180-4), the signature Ed25519 (RFC 8032), both over these lines, each ended by a line feed:
//!
//! ```text
//! sparekey epoch 1
//! <mount id, lower-case hex>
//! <number>
//! <time>
//! <node>
//! <hash of the epoch before, lower-case hex; zeros for the first one>
//! ```

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::crypto::signing::SigningKey;
use crate::domain::time::Timestamp;

/// Marks of the latest epochs that are kept one by one; of earlier ones each 64th, of those before each 4096th, as many again.
const KEPT: u64 = 64;

/// An epoch as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Epoch {
    /// Its number, from 1.
    #[n(0)]
    pub number: u64,
    /// When it began.
    #[n(1)]
    pub at: Timestamp,
    /// The node that began it.
    #[n(2)]
    pub node: String,
    /// The hash of the one before.
    #[n(3)]
    pub previous: ByteArray<32>,
    /// Its own hash.
    #[n(4)]
    pub hash: ByteArray<32>,
    /// The signature.
    #[n(5)]
    pub signature: ByteArray<64>,
    /// Earlier ones, ascending, itself last: so that another store of this mount can be told from an older state of this one.
    #[n(6)]
    pub trail: Vec<Mark>,
}

/// An epoch that was.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Its number.
    #[n(0)]
    pub number: u64,
    /// Its hash, the first 16 bytes of it in lower-case hex.
    #[n(1)]
    pub hash: String,
}

/// How a store's epoch stands to one that was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The same, or later and nothing says otherwise.
    Follows,
    /// The store is older.
    Older,
    /// The store went on from an earlier epoch on a way of its own.
    Forked,
}

impl Epoch {
    /// The epoch that follows `before`, numbered `number` at least, begun at `now` by `node`.
    pub fn after(
        before: Option<&Epoch>,
        number: u64,
        node: &str,
        now: Timestamp,
        mount_id: &[u8; 16],
        signing: &SigningKey,
    ) -> Epoch {
        let number = number.max(before.map_or(0, |before| before.number) + 1);
        let previous = before.map_or([0; 32], |before| *before.hash);
        let message = message(mount_id, number, now, node, &previous);
        let hash: [u8; 32] = Sha256::digest(&message).into();
        let mut trail = before.map(|before| before.trail.clone()).unwrap_or_default();
        trail.retain(|mark| {
            let age = number - mark.number.min(number);
            age < KEPT
                || (mark.number % KEPT == 0 && age < KEPT * KEPT)
                || (mark.number % (KEPT * KEPT) == 0 && age < KEPT * KEPT * KEPT)
        });
        trail.push(Mark { number, hash: hex::encode(&hash[..16]) });
        Epoch {
            number,
            at: now,
            node: node.to_owned(),
            previous: previous.into(),
            hash: hash.into(),
            signature: signing.sign(&message).into(),
            trail,
        }
    }

    /// How this epoch, which is the store's, stands to `seen` and its earlier ones.
    pub fn relation(&self, seen: &[Mark]) -> Relation {
        let Some(last) = seen.last() else { return Relation::Follows };
        if self.number < last.number {
            return Relation::Older;
        }
        let differs = |mark: &Mark| self.trail.iter().any(|ours| ours.number == mark.number && ours.hash != mark.hash);
        if seen.iter().any(differs) { Relation::Forked } else { Relation::Follows }
    }
}

fn message(mount_id: &[u8; 16], number: u64, at: Timestamp, node: &str, previous: &[u8; 32]) -> Vec<u8> {
    let (mount, previous) = (hex::encode(mount_id), hex::encode(previous));
    format!("sparekey epoch 1\n{mount}\n{number}\n{at}\n{node}\n{previous}\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::crypto::secret::Key;
    use crate::crypto::signing;

    fn key() -> SigningKey {
        SigningKey::from_seed(&Key::from_bytes(Zeroizing::new([1; 32]))).unwrap()
    }
    fn next(before: Option<&Epoch>, node: &str) -> Epoch {
        Epoch::after(before, 0, node, Timestamp::from_secs(1_780_000_000), &[7; 16], &key())
    }
    fn run(mut epoch: Epoch, node: &str, steps: usize) -> Epoch {
        for _ in 0..steps {
            epoch = next(Some(&epoch), node);
        }
        epoch
    }

    #[test]
    fn an_epoch_is_signed_over_all_that_it_says() {
        let one = next(None, "a");
        let message = message(&[7; 16], 1, one.at, "a", &[0; 32]);
        assert!(signing::verify(&key().public(), &message, &one.signature));
        assert_eq!(Sha256::digest(&message)[..], one.hash[..]);
    }

    #[test]
    fn older_later_and_forked_stores_are_told_apart() {
        let base = run(next(None, "a"), "a", 9);
        let later = run(base.clone(), "a", 5);
        let other = run(base.clone(), "b", 5);
        assert_eq!(later.relation(&base.trail), Relation::Follows);
        assert_eq!(later.relation(&later.trail), Relation::Follows);
        assert_eq!(base.relation(&later.trail), Relation::Older);
        assert_eq!(other.relation(&later.trail), Relation::Forked);
        // Long after, the marks that are kept still tell.
        let (later, other) = (run(later, "a", 9000), run(other, "b", 9100));
        assert_eq!(other.relation(&later.trail), Relation::Forked);
        assert_eq!(run(later.clone(), "b", 300).relation(&later.trail), Relation::Follows);
        assert!(later.trail.len() < 3 * KEPT as usize, "{} marks", later.trail.len());
    }
}
