//! What is remembered of every code that was ever in a set of an account: enough to recognise it, not to read it.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::crypto::verifier::place_of;
use crate::domain::alphabet::folded;
use crate::domain::code::canonical;
use crate::domain::profile::Keeping;
use crate::domain::time::Timestamp;

/// Bytes of one fingerprint.
pub const PRINT: usize = 16;
/// While a set is alive its fingerprints are kept.
const FOREVER: Timestamp = Timestamp::from_millis(i64::MAX);
/// Most stretches of free text that are looked at as possible codes: looking at one is slow on purpose.
pub const MOST_SUSPECTS: usize = 32;

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
    /// How the codes are kept, if they were issued here: then a fingerprint is the verifier itself.
    #[n(4)]
    keeping: Option<Keeping>,
}

/// A code's fingerprints, one for each way in which codes are kept.
#[derive(Clone, Copy)]
pub struct Prints {
    /// Of the canonical code: escrowed.
    pub escrowed: [u8; PRINT],
    /// Of the folded code: issued, not stretched.
    pub folded: [u8; PRINT],
    /// Of the folded code, stretched: issued. `None` where no such code is here.
    pub stretched: Option<[u8; PRINT]>,
}

/// A set's fingerprints as they are to be remembered.
pub struct Remembered<'a> {
    /// Its number.
    pub generation: u32,
    /// Slot 1 first.
    pub prints: &'a [[u8; PRINT]],
    /// Byte lengths of the codes in the form that was printed.
    pub lengths: BTreeSet<u16>,
    /// How the codes are kept, if they were issued here.
    pub keeping: Option<Keeping>,
}

/// The fingerprints of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Fingerprints {
    #[n(0)]
    generations: Vec<Generation>,
}

impl Fingerprints {
    /// Remembers a live set's fingerprints, until [`Fingerprints::keep_until`] says otherwise.
    pub fn remember(&mut self, set: Remembered<'_>) {
        let Remembered { generation, prints, lengths, keeping } = set;
        let until = FOREVER;
        self.generations.push(Generation { generation, until, prints: prints.concat().into(), lengths, keeping });
    }
    /// What is remembered of the code in `slot` (from 1) of a generation, if it still is.
    pub fn print_of(&self, generation: u32, slot: u32) -> Option<&[u8]> {
        let one = self.generations.iter().find(|one| one.generation == generation)?;
        let index = usize::try_from(slot).ok()?.checked_sub(1)?;
        one.prints.as_chunks::<PRINT>().0.get(index).map(|print| &print[..])
    }
    /// Which of these, of canonical codes, were in a set before, as indices.
    pub fn known(&self, prints: &[[u8; PRINT]]) -> Vec<usize> {
        let all = self.all(|keeping| keeping.is_none());
        prints.iter().enumerate().filter(|(_, print)| all.contains(*print)).map(|(index, _)| index).collect()
    }
    /// Which of these, of stretched codes, were in a set before, as indices.
    pub fn known_stretched(&self, prints: &[[u8; PRINT]]) -> Vec<usize> {
        if prints.is_empty() {
            return Vec::new();
        }
        let all = self.all(|keeping| *keeping == Some(Keeping::Argon2id));
        prints.iter().enumerate().filter(|(_, print)| all.contains(*print)).map(|(index, _)| index).collect()
    }
    /// Whether a folded code has the length and the characters of a stretched one that is remembered.
    pub fn may_be_stretched(&self, folded: &str) -> bool {
        let length = u16::try_from(folded.len()).unwrap_or(u16::MAX);
        self.lengths(Some(Keeping::Argon2id)).contains(&length) && folded.bytes().all(|b| b.is_ascii_alphanumeric())
    }
    /// Generation and slot of a code, the latest if it was in several. Takes as long whether and wherever it is there.
    pub fn locate(&self, code: &Prints) -> Option<(u32, u32)> {
        let mut found = None;
        for one in &self.generations {
            let print = match one.keeping {
                None => Some(&code.escrowed),
                Some(Keeping::HmacSha256) => Some(&code.folded),
                Some(Keeping::Argon2id) => code.stretched.as_ref(),
            };
            let Some(print) = print else { continue };
            let place = place_of(print, one.prints.as_chunks::<PRINT>().0.iter().map(Some));
            found = place.map(|index| (one.generation, index + 1)).or(found);
        }
        found
    }
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.generations.is_empty()
    }
    /// What is remembered of codes that were not issued here: generation, until when it is kept (`None` while the set is alive),
    /// the fingerprints, slot 1 first, and the codes' lengths.
    pub fn escrowed(&self) -> impl Iterator<Item = (u32, Option<Timestamp>, &[[u8; PRINT]], &BTreeSet<u16>)> {
        self.generations.iter().filter(|one| one.keeping.is_none()).map(|one| {
            let until = (one.until < FOREVER).then_some(one.until);
            (one.generation, until, one.prints.as_chunks::<PRINT>().0, &one.lengths)
        })
    }
    /// Whether some fingerprints here are of stretched codes.
    pub fn has_stretched(&self) -> bool {
        self.generations.iter().any(|one| one.keeping == Some(Keeping::Argon2id))
    }
    /// Whether every code that is remembered was issued here and is not stretched.
    pub fn is_never_stretched(&self) -> bool {
        !self.generations.is_empty() && self.generations.iter().all(|one| one.keeping == Some(Keeping::HmacSha256))
    }
    /// Whether `text` contains a code of the account in any spelling; `print` computes a fingerprint. Stretched codes are not
    /// among them: [`Fingerprints::suspects`] names what may be one.
    pub fn found_in(&self, text: &str, print: impl Fn(&[u8]) -> [u8; PRINT]) -> bool {
        let contains = |text: &str, keeping: Option<Keeping>| {
            let lengths = self.lengths(keeping);
            if lengths.first().is_none_or(|shortest| text.len() < usize::from(*shortest)) {
                return false;
            }
            let all = self.all(|one| *one == keeping);
            lengths
                .into_iter()
                .any(|length| text.as_bytes().windows(length.into()).any(|window| all.contains(&print(window))))
        };
        contains(&canonical(text), None) || contains(&folded(text), Some(Keeping::HmacSha256))
    }
    /// What in `text` may be a stretched code: words, or words in a row, that have a code's length and characters, and a digit
    /// among them, as nearly every code has and words have not. Folded. At most [`MOST_SUSPECTS`] and one more.
    pub fn suspects(&self, text: &str) -> Vec<Zeroizing<String>> {
        let lengths = self.lengths(Some(Keeping::Argon2id));
        let Some(longest) = lengths.last().copied() else { return Vec::new() };
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let mut found: Vec<Zeroizing<String>> = Vec::new();
        for start in 0..words.len() {
            let mut run = Zeroizing::new(String::with_capacity(4 * text.len()));
            for word in &words[start..] {
                run.push_str(&canonical(word));
                if run.len() > usize::from(longest) || found.len() > MOST_SUSPECTS {
                    break;
                }
                let folded = folded(&run);
                let has_digit = run.bytes().any(|b| b.is_ascii_digit());
                if has_digit && self.may_be_stretched(&folded) && !found.contains(&folded) {
                    found.push(folded);
                }
            }
        }
        found
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
    fn all(&self, kept: impl Fn(&Option<Keeping>) -> bool) -> BTreeSet<[u8; PRINT]> {
        let generations = self.generations.iter().filter(|one| kept(&one.keeping));
        generations.flat_map(|one| one.prints.as_chunks::<PRINT>().0.iter().copied()).collect()
    }
    fn lengths(&self, keeping: Option<Keeping>) -> BTreeSet<u16> {
        let generations = self.generations.iter().filter(|one| one.keeping == keeping);
        generations.flat_map(|one| one.lengths.iter().copied()).collect()
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

    fn with(generation: u32, code: &str, keeping: Option<Keeping>) -> Fingerprints {
        let mut prints = Fingerprints::default();
        let lengths = BTreeSet::from([u16::try_from(code.len()).unwrap()]);
        prints.remember(Remembered { generation, prints: &[print(code.as_bytes())], lengths, keeping });
        prints
    }

    #[test]
    fn a_code_is_found_in_text_in_any_spelling_and_forgotten_in_time() {
        let mut prints = with(1, "abcde12345", None);
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

    #[test]
    fn an_issued_code_is_found_with_its_look_alikes() {
        let prints = with(1, "0123111abcdefghjkmnpqr5", Some(Keeping::HmacSha256));
        assert!(prints.found_in("it was O123-ILI-ABCDEFGHJKMNPQR5.", print));
        assert!(!prints.found_in("it was O123-ILI-ABCDEFGHJKMNPQR6.", print));
    }

    #[test]
    fn what_may_be_a_stretched_code_is_named_and_prose_is_not() {
        let prints = with(1, "7kq29m2pxw4tb8hd", Some(Keeping::Argon2id));
        for text in ["7KQ2-9M2P-XW4T-B8HD", "he typed 7kq2 9m2p xw4t b8hd and", "(7KQ29M2PXW4TB8HD)"] {
            let found = prints.suspects(text);
            assert!(found.iter().any(|one| one.as_str() == "7kq29m2pxw4tb8hd"), "{text}");
        }
        assert!(
            prints.suspects("Phone lost on the way to work; the manager called and confirmed by voice.").is_empty()
        );
        let numbers = "4711 ".repeat(100);
        assert!(prints.suspects(&numbers).len() <= MOST_SUSPECTS + 1);
        let many: Vec<String> = (1000..1100).map(|number| number.to_string()).collect();
        assert_eq!(prints.suspects(&many.join(" ")).len(), MOST_SUSPECTS + 1);
        assert!(with(1, "abcde12345", None).suspects("abcde12345").is_empty());
    }

    #[test]
    fn a_code_is_located_by_the_way_it_is_kept_and_the_latest_set_counts() {
        let prints = |escrowed: &[u8], folded: &[u8], stretched: Option<&[u8]>| Prints {
            escrowed: print(escrowed),
            folded: print(folded),
            stretched: stretched.map(print),
        };
        let mut all = with(1, "aaaa", None);
        all.generations.extend(with(2, "bbbb", Some(Keeping::HmacSha256)).generations);
        all.generations.extend(with(3, "cccc", Some(Keeping::Argon2id)).generations);
        all.generations.extend(with(4, "aaaa", None).generations);
        assert_eq!(all.locate(&prints(b"aaaa", b"x", None)), Some((4, 1)));
        assert_eq!(all.locate(&prints(b"x", b"bbbb", None)), Some((2, 1)));
        assert_eq!(all.locate(&prints(b"x", b"x", Some(b"cccc"))), Some((3, 1)));
        assert_eq!(all.locate(&prints(b"bbbb", b"cccc", Some(b"aaaa"))), None);
    }
}
