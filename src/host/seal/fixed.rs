//! The static seal's keys: 32 bytes from the machine, with a name each, so that a store can be carried from one key to the
//! next.

use base64::Engine as _;
use zeroize::{Zeroize, Zeroizing};

use super::record::{Holder, Record};
use super::{Opened, sealed};
use crate::crypto::secret::Key;
use crate::error::Result;

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

/// Opens the root key; under the previous key, it is to be wrapped by the current one from now on.
pub(super) fn open(keys: &StaticKeys, key_id: &str, record: &Record) -> Result<Opened> {
    let StaticKeys { current, previous } = keys;
    if key_id == current.id {
        return unwrap(record, current).map(|root| Opened { root, renewed: None });
    }
    let Some(previous) = previous.as_ref().filter(|previous| previous.id == key_id) else {
        return Err(sealed(format!(
            "the store is sealed under key id {key_id:?}, the configuration names {:?}: give that key as previous_key",
            current.id
        )));
    };
    let root = unwrap(record, previous)?;
    let holder = Holder::Static { key_id: current.id.clone(), recovery: record.holder.recovery().cloned() };
    let unseal_key = Key::from_bytes(Zeroizing::new(*current.key.bytes()));
    Ok(Opened { root, renewed: Some((holder, unseal_key)) })
}

fn unwrap(record: &Record, key: &NamedKey) -> Result<Key> {
    record.unwrap(&key.key).ok_or_else(|| {
        sealed(format!(
            "the key named {:?} does not open the seal record: it is another key, or the record was altered",
            key.id
        ))
    })
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
