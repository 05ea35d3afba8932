//! The static seal's keys: 32 bytes from the machine, with a name each, so that a store can be carried from one key to the
//! next.

use base64::Engine as _;
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::secret::Key;

/// A key and its name.
pub struct NamedKey {
    /// Its name, as the record keeps it.
    pub id: String,
    /// The key.
    pub key: Key,
}

/// The keys a static seal starts with.
pub struct StaticKeys {
    /// Wraps from now on.
    pub current: NamedKey,
    /// Opened the store so far; it is wrapped anew under the current key at the next start.
    pub previous: Option<NamedKey>,
}

/// Reads a key: 32 raw bytes, or their base64 (either alphabet, padded or not) or hexadecimal text, with white space around it.
/// `None` for anything else.
pub fn parse_key(mut bytes: Vec<u8>) -> Option<Key> {
    let key = raw(&bytes).or_else(|| {
        let text = std::str::from_utf8(&bytes).ok()?.trim_ascii();
        let decoded = Zeroizing::new(hex::decode(text).ok().filter(|decoded| decoded.len() == 32).or_else(|| {
            let text = text.trim_end_matches('=');
            base64::engine::general_purpose::STANDARD_NO_PAD
                .decode(text)
                .or_else(|_| base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text))
                .ok()
        })?);
        raw(&decoded)
    });
    bytes.zeroize();
    key
}

fn raw(bytes: &[u8]) -> Option<Key> {
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(bytes);
    Some(Key::from_bytes(key))
}
