//! Signatures that were verified lately, so that a token which is presented again costs a hash and no arithmetic on a curve.
//!
//! What is remembered is that *this* key verifies *this* signature over *these* bytes by *this* algorithm: that was true and
//! stays true, whatever happens later. Everything that can change is judged each time as if nothing were remembered: whether the
//! issuer still has that key, whether it may sign by that algorithm, times, claims, single use. A signature that does not verify
//! leaves nothing behind, so strangers cannot fill the memory, and what is in it is a hash that tells nothing of a token.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use jsonwebtoken::Algorithm;
use sha2::{Digest, Sha256};

use crate::domain::pubkey::PublicKey;

/// How many are remembered at least, after as many others came; twice as many at most.
const GENERATION: usize = 4096;

/// Verified signatures, by a hash of all that went into them.
#[derive(Default)]
pub struct Believed(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Believed {
    /// As [`PublicKey::verify`], from memory where it can be.
    pub fn verify(&self, key: &PublicKey, algorithm: Algorithm, signed: &[u8], signature: &str) -> bool {
        // What the key may not verify it never did.
        if !key.verifies(algorithm) {
            return false;
        }
        let mark = mark(key, algorithm, signed, signature);
        if self.holds(&mark) {
            return true;
        }
        let verified = key.verify(algorithm, signed, signature);
        if verified {
            self.hold(mark);
        }
        verified
    }

    fn holds(&self, mark: &[u8; 32]) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.young.contains(mark) {
            return true;
        }
        // Who comes again stays.
        let again = held.old.contains(mark);
        if again {
            held.add(*mark);
        }
        again
    }

    fn hold(&self, mark: [u8; 32]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(mark);
    }
}

impl Generations {
    fn add(&mut self, mark: [u8; 32]) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(mark);
    }
}

/// Each part with its length before it, so that no two inputs look alike.
fn mark(key: &PublicKey, algorithm: Algorithm, signed: &[u8], signature: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [key.fingerprint().as_slice(), &[algorithm as u8], signed, signature.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: usize) -> [u8; 32] {
        Sha256::digest(number.to_be_bytes()).into()
    }

    #[test]
    fn it_holds_the_latest_and_never_more_than_two_generations() {
        let believed = Believed::default();
        for number in 0..5 * GENERATION {
            believed.hold(mark(number));
            assert!(believed.holds(&mark(0)), "asked for with every step, after {number}");
        }
        let held = believed.0.lock().unwrap();
        assert!(held.young.len() + held.old.len() <= 2 * GENERATION);
        drop(held);
        assert!(believed.holds(&mark(5 * GENERATION - 1)) && believed.holds(&mark(4 * GENERATION)));
        assert!(!believed.holds(&mark(1)), "the oldest made room");
    }
}
