//! The standalone host's barrier: every stored value is sealed under a key of its own storage key and bound to its revision.
//!
//! Layout: `format (1) ‖ barrier key generation (4, big endian) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`.

use super::CryptoError;
use super::labels::{self, FORMAT};
use super::primitive::{self, NONCE, TAG};
use super::secret::Key;
use crate::random::{self, Random};
use crate::storage::Revision;

const WHAT: &str = "the stored value";
const HEAD: usize = 1 + 4 + NONCE;

/// How many bytes sealing adds to a value.
pub const OVERHEAD: usize = HEAD + TAG;

/// One generation of the barrier's key.
pub struct BarrierKey {
    /// Its number, from 1.
    pub generation: u32,
    /// The key.
    pub key: Key,
}

/// Seals `plaintext` as the value of `storage_key` at `revision`, which must be fresh.
///
/// # Errors
/// [`CryptoError::Library`] only.
pub fn seal_value(
    key: &BarrierKey,
    mount_id: &[u8; 16],
    storage_key: &str,
    revision: &Revision,
    plaintext: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, CryptoError> {
    let derived = primitive::derive::<32>(key.key.bytes(), mount_id, &labels::barrier_key(mount_id, storage_key))?;
    let aad = labels::barrier_value(mount_id, key.generation, storage_key, &revision.0);
    let nonce = random::bytes::<NONCE>(random);
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
    sealed.push(FORMAT);
    sealed.extend_from_slice(&key.generation.to_be_bytes());
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let tag = primitive::seal(WHAT, &derived, &nonce, &aad, &mut sealed[HEAD..])?;
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Opens what [`seal_value`] sealed for this mount, storage key and revision.
///
/// # Errors
/// [`CryptoError::Malformed`], [`CryptoError::NewerFormat`], [`CryptoError::UnknownGeneration`] if `keys` lacks the key that the
/// value names, [`CryptoError::DoesNotOpen`].
pub fn open_value(
    keys: &[BarrierKey],
    mount_id: &[u8; 16],
    storage_key: &str,
    revision: &Revision,
    sealed: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let (format, rest) = sealed.split_first().ok_or(CryptoError::Malformed(WHAT))?;
    match *format {
        FORMAT => {}
        0 => return Err(CryptoError::Malformed(WHAT)),
        found => return Err(CryptoError::NewerFormat { what: WHAT, found }),
    }
    let (generation, rest) = rest.split_first_chunk().ok_or(CryptoError::Malformed(WHAT))?;
    let (nonce, rest) = rest.split_first_chunk().ok_or(CryptoError::Malformed(WHAT))?;
    let (ciphertext, tag) = rest.split_last_chunk().ok_or(CryptoError::Malformed(WHAT))?;
    let generation = u32::from_be_bytes(*generation);
    let key = keys
        .iter()
        .find(|key| key.generation == generation)
        .ok_or(CryptoError::UnknownGeneration { key: "barrier", generation })?;
    let derived = primitive::derive::<32>(key.key.bytes(), mount_id, &labels::barrier_key(mount_id, storage_key))?;
    let aad = labels::barrier_value(mount_id, generation, storage_key, &revision.0);
    let mut plaintext = ciphertext.to_vec();
    primitive::open(WHAT, &derived, nonce, &aad, &mut plaintext, tag)?;
    Ok(plaintext)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;
    use crate::random::SeededRandom;

    fn key(generation: u32) -> BarrierKey {
        BarrierKey { generation, key: Key::from_bytes(Zeroizing::new([generation as u8; 32])) }
    }

    proptest! {
        #[test]
        fn any_value_comes_back(seed: u64, name in "[a-z0-9/@._-]{1,100}", value: Vec<u8>) {
            let (random, at) = (SeededRandom::new(seed), Revision([1; 16]));
            let sealed = seal_value(&key(2), &[3; 16], &name, &at, &value, &random).unwrap();
            prop_assert_eq!(sealed.len(), value.len() + OVERHEAD);
            prop_assert_eq!(open_value(&[key(1), key(2)], &[3; 16], &name, &at, &sealed).unwrap(), value);
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_value() {
        let (random, at) = (SeededRandom::new(1), Revision([1; 16]));
        let mut sealed = seal_value(&key(2), &[3; 16], "a", &at, b"value", &random).unwrap();
        let open = |keys: &[BarrierKey], sealed: &[u8]| open_value(keys, &[3; 16], "a", &at, sealed).unwrap_err();
        assert_eq!(open(&[key(1)], &sealed), CryptoError::UnknownGeneration { key: "barrier", generation: 2 });
        assert_eq!(open(&[key(2)], &[]), CryptoError::Malformed(WHAT));
        assert_eq!(open(&[key(2)], &sealed[..HEAD + TAG - 1]), CryptoError::Malformed(WHAT));
        assert_eq!(open(&[key(2)], &sealed[..HEAD + TAG]), CryptoError::DoesNotOpen(WHAT));
        sealed[0] = FORMAT + 1;
        assert_eq!(open(&[key(2)], &sealed), CryptoError::NewerFormat { what: WHAT, found: FORMAT + 1 });
        sealed[0] = 0;
        assert_eq!(open(&[key(2)], &sealed), CryptoError::Malformed(WHAT));
    }

    #[test]
    fn equal_values_do_not_look_equal() {
        let (random, at) = (SeededRandom::new(1), Revision([1; 16]));
        let seal = || seal_value(&key(1), &[3; 16], "a", &at, b"value", &random).unwrap();
        assert_ne!(seal()[5..], seal()[5..]);
    }
}
