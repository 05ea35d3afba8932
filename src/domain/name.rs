//! Account names and the names of roles, profiles, issuers and sources: one spelling each, any other is refused.

use std::fmt;

use crate::error::{Error, Result};

/// The name of an account: segments of `[a-z0-9._@-]+` joined by `/`, no `.` or `..` segment, at most 512 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// Longest name in bytes.
    pub const MAX: usize = 512;

    /// Takes `text` as it stands or says what is wrong with it, naming the right spelling where there is one.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::field("account", "a name such as github/acme-owner is missing"));
        }
        if text.len() > Self::MAX {
            return Err(Error::field("account", format_args!("at most {} bytes", Self::MAX)));
        }
        let fine = |segment: &str| {
            !matches!(segment, "" | "." | "..") && segment.bytes().all(|b| segment_byte(b) && !b.is_ascii_uppercase())
        };
        if text.split('/').all(fine) {
            return Ok(AccountName(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        if lower != text && lower.split('/').all(fine) {
            return Err(Error::field(
                "account",
                format_args!("capitals are not folded; the right spelling is {lower}"),
            ));
        }
        Err(Error::field(
            "account",
            "segments of a-z 0-9 . _ @ - joined by single slashes, none of them \".\" or \"..\"",
        ))
    }
    /// Whether a segment of a name may hold this byte.
    pub const fn may_hold(byte: u8) -> bool {
        segment_byte(byte) && !byte.is_ascii_uppercase()
    }
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn segment_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'@' | b'-')
}

/// Checks the name of a role, profile, issuer or source: one segment of `[a-z0-9._-]+`, not `.` or `..`, at most 128 bytes.
pub fn record_name(field: &str, text: &str) -> Result<String> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 128 || matches!(text, "." | "..") || !text.bytes().all(fine) {
        let lower = text.to_ascii_lowercase();
        if lower != text && record_name(field, &lower).is_ok() {
            return Err(Error::field(field, format_args!("capitals are not folded; the right spelling is {lower}")));
        }
        return Err(Error::field(field, "1 to 128 characters of a-z 0-9 . _ -"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_is_taken() {
        for good in ["github/acme-owner", "okta/jane@example.com", "a", "a/b/c_d.e"] {
            assert_eq!(AccountName::parse(good).unwrap().as_str(), good);
        }
        for bad in
            ["", "/a", "a/", "a//b", ".", "a/../b", "a/./b", "a b", "a*", "a+b", "a,b", "ä", "a\0", "a\\b", "a%2fb"]
        {
            assert!(AccountName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(AccountName::parse(&"a".repeat(513)).is_err());
        let told = AccountName::parse("GitHub/Acme").unwrap_err();
        assert!(told.public().contains("github/acme"), "{told}");
    }
}
