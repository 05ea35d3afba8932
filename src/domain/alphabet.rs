//! The characters of codes: which a profile demands of imported ones, and which codes made here are drawn from.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::secret::CodeText;
use crate::domain::code::canonical;
use crate::random::Random;

/// The characters that codes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// Crockford's base 32.
    Crockford32,
    /// 0-9.
    Digits,
    /// 0-9 a-f.
    Hex,
    /// 0-9 a-z.
    Alphanumeric,
}

impl Alphabet {
    /// The alphabet of this word on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "crockford32" => Alphabet::Crockford32,
            "digits" => Alphabet::Digits,
            "hex" => Alphabet::Hex,
            "alphanumeric" => Alphabet::Alphanumeric,
            _ => return None,
        })
    }
    /// Whether an imported code, in canonical form, has these characters only.
    pub fn holds(self, canonical: &str) -> bool {
        canonical.bytes().all(|b| match self {
            Alphabet::Crockford32 => b.is_ascii_digit() || (b.is_ascii_lowercase() && b != b'u'),
            Alphabet::Digits => b.is_ascii_digit(),
            Alphabet::Hex => b.is_ascii_hexdigit(),
            Alphabet::Alphanumeric => b.is_ascii_alphanumeric(),
        })
    }
    /// What codes made here are drawn from. No alphabet has `o`, `i` or `l`, so that [`folded`] is right for all of them.
    const fn symbols(self) -> &'static [u8] {
        match self {
            Alphabet::Crockford32 => b"0123456789ABCDEFGHJKMNPQRSTVWXYZ",
            Alphabet::Digits => b"0123456789",
            Alphabet::Hex => b"0123456789abcdef",
            Alphabet::Alphanumeric => b"0123456789abcdefghjkmnpqrstuvwxyz",
        }
    }
    /// Entropy of a code of `length` characters that is drawn here, in bits.
    pub fn bits(self, length: u64) -> f64 {
        // A profile's length is at most 256: exact in a float.
        (self.symbols().len() as f64).log2() * length as f64
    }
    /// Draws a code of `length` characters, every one equally likely, shown in groups of `group` (0: in one piece).
    pub fn draw(self, length: u64, group: u64, random: &dyn Random) -> CodeText {
        let symbols = self.symbols();
        // Bytes beyond the last whole run of the alphabet would favour its beginning: they are drawn again.
        let fair = 256 / symbols.len() * symbols.len();
        let mut text = Zeroizing::new(String::with_capacity(2 * length as usize));
        let mut drawn = 0;
        let mut byte = Zeroizing::new([0; 1]);
        while drawn < length {
            random.fill(&mut *byte);
            if usize::from(byte[0]) >= fair {
                continue;
            }
            if group > 0 && drawn > 0 && drawn % group == 0 {
                text.push('-');
            }
            text.push(char::from(symbols[usize::from(byte[0]) % symbols.len()]));
            drawn += 1;
        }
        CodeText::new(text)
    }
}

/// The form in which codes made here are compared: canonical, and what looks alike is one (Crockford's base 32 reads `o` as 0,
/// `i` and `l` as 1). Computed once per code, before any hash or comparison.
pub fn folded(text: &str) -> Zeroizing<String> {
    let plain = canonical(text);
    let mut out = Zeroizing::new(String::with_capacity(plain.len()));
    out.extend(plain.chars().map(|c| match c {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    }));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    const ALL: [Alphabet; 4] = [Alphabet::Crockford32, Alphabet::Digits, Alphabet::Hex, Alphabet::Alphanumeric];

    #[test]
    fn drawn_codes_have_the_length_the_alphabet_and_the_groups() {
        let random = SeededRandom::new(1);
        for alphabet in ALL {
            for (length, group) in [(16, 4), (23, 4), (20, 0), (7, 5)] {
                let code = alphabet.draw(length, group, &random);
                let plain = canonical(code.expose());
                assert_eq!(plain.len() as u64, length, "{alphabet:?}");
                assert!(alphabet.holds(&plain), "{alphabet:?}");
                assert_eq!(folded(code.expose()), plain, "drawn codes hold nothing that folding changes");
                let pieces: Vec<usize> = code.expose().split('-').map(str::len).collect();
                let group = if group == 0 { length } else { group };
                assert!(pieces[..pieces.len() - 1].iter().all(|piece| *piece as u64 == group));
            }
        }
    }

    #[test]
    fn every_character_is_equally_likely() {
        let random = SeededRandom::new(2);
        for alphabet in ALL {
            let symbols = alphabet.symbols();
            let mut seen = vec![0_u32; symbols.len()];
            let draws = 2000 * symbols.len() as u64;
            for byte in alphabet.draw(draws, 0, &random).expose().bytes() {
                seen[symbols.iter().position(|symbol| *symbol == byte).unwrap()] += 1;
            }
            // Binomial around 2000: six standard deviations are about 270.
            assert!(seen.iter().all(|count| (1730..2270).contains(count)), "{alphabet:?}: {seen:?}");
        }
    }

    #[test]
    fn entropy_is_that_of_the_drawn_characters() {
        assert_eq!(Alphabet::Crockford32.bits(16), 80.0);
        assert_eq!(Alphabet::Hex.bits(16), 64.0);
        assert!(Alphabet::Digits.bits(19) < 64.0 && Alphabet::Digits.bits(20) > 64.0);
    }

    #[test]
    fn look_alikes_are_one() {
        for spelling in ["O1IL-ab", "oill ab", "0111-AB", " 0\u{2013}1 1 1ab"] {
            assert_eq!(folded(spelling).as_str(), "0111ab", "{spelling:?}");
        }
    }
}
