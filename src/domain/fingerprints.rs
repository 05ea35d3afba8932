//! What is remembered of every code that was ever in a set of an account: enough to recognise it, not to read it.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::domain::code::canonical;
use crate::domain::time::Timestamp;

/// Bytes of one fingerprint.
pub const PRINT: usize = 16;

/// The fingerprints of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Generation {
    /// Which.
    #[n(0)]
    generation: u32,
    /// When they may be forgotten; the end of time while the set is alive.
    #[n(1)]
    until: Timestamp,
    /// One after the other, slot 1 first.
    #[n(2)]
    prints: ByteVec,
    /// Byte lengths that the canonical codes have, to find them in free text.
    #[n(3)]
    lengths: BTreeSet<u16>,
}

/// The fingerprints of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Fingerprints {
    #[n(0)]
    generations: Vec<Generation>,
}

impl Fingerprints {
    /// Remembers a live set's fingerprints (slot 1 first) and the byte lengths of its canonical codes, until
    /// [`Fingerprints::keep_until`] says otherwise.
    pub fn remember(&mut self, generation: u32, prints: &[[u8; PRINT]], lengths: BTreeSet<u16>) {
        let until = Timestamp::from_millis(i64::MAX);
        self.generations.push(Generation { generation, until, prints: prints.concat().into(), lengths });
    }
    /// Which of these were in a set before, as indices.
    pub fn known(&self, prints: &[[u8; PRINT]]) -> Vec<usize> {
        let all = self.all();
        prints.iter().enumerate().filter(|(_, print)| all.contains(*print)).map(|(index, _)| index).collect()
    }
    /// Whether `text` contains a code of the account in any spelling; `print` computes a fingerprint.
    pub fn found_in(&self, text: &str, print: impl Fn(&[u8]) -> [u8; PRINT]) -> bool {
        let lengths: BTreeSet<u16> = self.generations.iter().flat_map(|one| one.lengths.iter().copied()).collect();
        let plain = canonical(text);
        if lengths.first().is_none_or(|shortest| plain.len() < usize::from(*shortest)) {
            return false;
        }
        let all = self.all();
        lengths
            .into_iter()
            .any(|length| plain.as_bytes().windows(length.into()).any(|window| all.contains(&print(window))))
    }
    /// The set has ended: its fingerprints may be forgotten at `until`.
    pub fn keep_until(&mut self, generation: u32, until: Timestamp) {
        for one in self.generations.iter_mut().filter(|one| one.generation == generation) {
            one.until = until;
        }
    }
    /// Forgets what is past its time.
    pub fn expire(&mut self, now: Timestamp) {
        self.generations.retain(|one| one.until > now);
    }
    fn all(&self) -> BTreeSet<[u8; PRINT]> {
        self.generations.iter().flat_map(|one| one.prints.as_chunks::<PRINT>().0.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(bytes: &[u8]) -> [u8; PRINT] {
        let mut out = [0u8; PRINT];
        for (index, byte) in bytes.iter().enumerate() {
            out[index % PRINT] = out[index % PRINT].wrapping_mul(31).wrapping_add(*byte);
        }
        out
    }

    #[test]
    fn a_code_is_found_in_text_in_any_spelling_and_forgotten_in_time() {
        let mut prints = Fingerprints::default();
        prints.remember(1, &[print(b"abcde12345")], BTreeSet::from([10]));
        for text in ["abcde-12345", "used ABCDE 12345 today", "x(abcde12345)", "ab-cd-e1 23 45", "abcde\u{2013}12345"] {
            assert!(prints.found_in(text, print), "{text}");
        }
        for text in ["", "abcde-1234", "ticket 12345", "abcde x 12345"] {
            assert!(!prints.found_in(text, print), "{text}");
        }
        assert_eq!(prints.known(&[print(b"other"), print(b"abcde12345")]), [1]);
        prints.expire(Timestamp::from_secs(1_000_000_000));
        assert!(prints.found_in("abcde-12345", print), "never while the set is alive");
        prints.keep_until(1, Timestamp::from_secs(100));
        prints.expire(Timestamp::from_secs(100));
        assert!(!prints.found_in("abcde-12345", print));
    }
}
