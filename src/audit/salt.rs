//! HMACs under a device's salt (`hmac-sha256:<hex>`, RFC 2104): what stands in lines for what must not.

use std::borrow::Cow;

use aws_lc_rs::hmac;
use serde::ser::{Serialize, Serializer};

use super::conceal::clear;

/// A device's salt, ready for use.
pub struct Salt {
    key: hmac::Key,
    hmac_accessor: bool,
    elide_lists: bool,
}

impl Salt {
    /// Takes over 32 random bytes and the device's options.
    pub fn new(salt: &[u8; 32], hmac_accessor: bool, elide_lists: bool) -> Self {
        Salt { key: hmac::Key::new(hmac::HMAC_SHA256, salt), hmac_accessor, elide_lists }
    }
    /// Whether lists of names are counted and not shown.
    pub const fn elides_lists(&self) -> bool {
        self.elide_lists
    }
    /// `hmac-sha256:<hex>` of `text`.
    pub fn text(&self, text: &str) -> Hashed {
        let mut shown = [0; HASHED];
        let (word, hex) = shown.split_at_mut(HASH_WORD.len());
        word.copy_from_slice(HASH_WORD);
        // The lengths fit: an HMAC-SHA256 is 32 bytes.
        let _ = hex::encode_to_slice(hmac::sign(&self.key, text.as_bytes()), hex);
        Hashed(shown)
    }
    /// An accessor, HMAC'd unless the device says otherwise.
    pub fn accessor<'t>(&self, accessor: &'t str) -> Accessor<'t> {
        if self.hmac_accessor { Accessor::Hashed(self.text(accessor)) } else { Accessor::Clear(clear(accessor)) }
    }
}

const HASH_WORD: &[u8] = b"hmac-sha256:";
const HASHED: usize = HASH_WORD.len() + 64;

/// An HMAC as lines show it.
pub struct Hashed([u8; HASHED]);

impl Hashed {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Serialize for Hashed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An accessor as a device shows it.
#[derive(serde::Serialize)]
#[serde(untagged)]
pub enum Accessor<'t> {
    /// HMAC'd.
    Hashed(Hashed),
    /// In clear.
    Clear(Cow<'t, str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmacs_are_those_of_rfc_4231() {
        // RFC 4231 test case 2, its key padded with zeros to the length of a salt (which HMAC does anyway).
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let wanted = "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(Salt::new(&key, true, false).text("what do ya want for nothing?").as_str(), wanted);
    }
}
