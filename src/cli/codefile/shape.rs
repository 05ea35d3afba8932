//! What a code looks like, without what it is.

use crate::domain::code::MAX_BYTES;

/// Fewest letters and digits of a code. Six digits are the 20 bits that NIST SP 800-63B asks of a look-up secret.
const MIN_LENGTH: usize = 6;

/// Whether `token` could be a code or a group of one: ASCII letters and digits, single dashes between.
pub(super) fn is_group(token: &str) -> bool {
    !token.is_empty()
        && token.split('-').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Whether `tokens`, joined by single spaces, can be one code: long enough, and if there are several groups, all of one
/// length and without dashes.
pub(super) fn is_code(tokens: &[&str]) -> bool {
    let Some(first) = tokens.first() else { return false };
    let length: usize = tokens.iter().map(|token| token.bytes().filter(u8::is_ascii_alphanumeric).count()).sum();
    let even = tokens.len() == 1 || tokens.iter().all(|token| token.len() == first.len() && !token.contains('-'));
    let bytes = tokens.iter().map(|token| token.len() + 1).sum::<usize>();
    even && tokens.iter().all(|token| is_group(token)) && length >= MIN_LENGTH && bytes <= MAX_BYTES + 1
}

/// In how many tokens a code each `tokens` can be read, where they stand on a line with single spaces between.
pub(super) fn readings(tokens: &[&str]) -> Vec<usize> {
    let alike = |size: usize| tokens.chunks(size).all(is_code);
    (1..=tokens.len()).filter(|size| tokens.len().is_multiple_of(*size) && alike(*size)).collect()
}

/// The pattern of a code: `x` for every letter or digit, dashes and spaces as they are.
pub(super) fn pattern(tokens: &[&str]) -> String {
    let part = |token: &&str| token.chars().map(|c| if c == '-' { '-' } else { 'x' }).collect::<String>();
    tokens.iter().map(part).collect::<Vec<_>>().join(" ")
}

/// Which kinds of characters a code, or all codes of a file, have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Class {
    /// Digits.
    pub digits: bool,
    /// Small letters.
    pub lower: bool,
    /// Capital letters.
    pub upper: bool,
}

impl Class {
    /// The kinds in `tokens`.
    pub fn of(tokens: &[&str]) -> Self {
        let any = |kind: fn(&u8) -> bool| tokens.iter().any(|token| token.bytes().any(|b| kind(&b)));
        Class {
            digits: any(u8::is_ascii_digit),
            lower: any(u8::is_ascii_lowercase),
            upper: any(u8::is_ascii_uppercase),
        }
    }
    /// The kinds in either.
    pub fn or(self, other: Self) -> Self {
        Class {
            digits: self.digits || other.digits,
            lower: self.lower || other.lower,
            upper: self.upper || other.upper,
        }
    }
    /// Letters, and nothing else.
    pub fn letters_only(self) -> bool {
        !self.digits
    }
    /// Digits, and nothing else.
    pub fn digits_only(self) -> bool {
        !self.lower && !self.upper
    }
    /// Has a kind that `other` lacks.
    pub fn beyond(self, other: Self) -> bool {
        (self.digits && !other.digits) || (self.lower && !other.lower) || (self.upper && !other.upper)
    }
}

/// Words that stand in headers of such files. One of them alone on a line may be a header even if it has the codes' shape.
pub(super) fn is_header_word(token: &str) -> bool {
    const WORDS: [&str; 26] = [
        "account",
        "accounts",
        "authenticator",
        "backup",
        "backups",
        "bitbucket",
        "bitwarden",
        "company",
        "dropbox",
        "emergency",
        "facebook",
        "github",
        "gitlab",
        "google",
        "linkedin",
        "microsoft",
        "office",
        "password",
        "passwords",
        "personal",
        "recovery",
        "restore",
        "security",
        "twitter",
        "verification",
        "private",
    ];
    WORDS.contains(&token.to_ascii_lowercase().as_str())
}
