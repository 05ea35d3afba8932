//! A fingerprint key of another mount, kept for an account that came from there: fingerprints that came along were made under
//! it, and nobody could make them anew without the codes.
//!
//! It is sealed under a key derived from our own fingerprint key, so that it lives outside KEK retirement as that one does, and is
//! bound to the account it came with and to where it came from.

use std::fmt;

use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use super::CryptoError;
use super::fingerprint::Fingerprinter;
use super::keyring::Keyring;
use super::labels;
use super::primitive::{self, KeyedMac, NONCE};
use super::secret::Key;
use crate::random::{self, Random};

const WHAT: &str = "an inherited fingerprint key";

/// Where an account was before: the random ids of that mount, and of the account there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Origin {
    /// The mount's.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub mount_id: [u8; 16],
    /// The account's.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub account_id: [u8; 16],
}

impl Origin {
    /// Makes fingerprints as were made there under `key`.
    pub fn fingerprinter(&self, key: &Key) -> Fingerprinter {
        Fingerprinter::new(&KeyedMac::new(key.bytes()), &self.mount_id, &self.account_id)
    }
}

/// The fingerprint key of another mount, sealed.
#[derive(Encode, Decode, Clone, PartialEq, Eq)]
pub struct InheritedKey {
    /// Nonce of the seal.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    nonce: [u8; NONCE],
    /// The key (32) and the tag (16).
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    ciphertext: [u8; 48],
}

impl Keyring {
    /// Seals `key`, which made the fingerprints of `origin`, for our account `account_id`.
    ///
    /// # Errors
    /// [`CryptoError::Library`] only.
    pub fn inherit(
        &self,
        account_id: &[u8; 16],
        origin: &Origin,
        key: &Key,
        random: &dyn Random,
    ) -> Result<InheritedKey, CryptoError> {
        let under = self.inheriting_key(account_id, origin)?;
        let nonce = random::bytes::<NONCE>(random);
        let mut sealed = Zeroizing::new(*key.bytes());
        let tag = primitive::seal(WHAT, &under, &nonce, &self.inherited_label(account_id, origin), &mut *sealed)?;
        let mut ciphertext = [0; 48];
        ciphertext[..32].copy_from_slice(&*sealed);
        ciphertext[32..].copy_from_slice(&tag);
        Ok(InheritedKey { nonce, ciphertext })
    }
    /// The key that [`Keyring::inherit`] sealed.
    ///
    /// # Errors
    /// [`CryptoError::DoesNotOpen`] for another account, another origin or altered bytes.
    pub fn inherited(&self, account_id: &[u8; 16], origin: &Origin, sealed: &InheritedKey) -> Result<Key, CryptoError> {
        let under = self.inheriting_key(account_id, origin)?;
        let (body, tag) = sealed.ciphertext.split_last_chunk().ok_or(CryptoError::Malformed(WHAT))?;
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(body);
        primitive::open(WHAT, &under, &sealed.nonce, &self.inherited_label(account_id, origin), &mut *key, tag)?;
        Ok(Key::from_bytes(key))
    }
    /// Makes fingerprints as `origin` made them, with the key that came from there.
    ///
    /// # Errors
    /// As [`Keyring::inherited`].
    pub fn inherited_fingerprinter(
        &self,
        account_id: &[u8; 16],
        origin: &Origin,
        sealed: &InheritedKey,
    ) -> Result<Fingerprinter, CryptoError> {
        Ok(origin.fingerprinter(&self.inherited(account_id, origin, sealed)?))
    }

    fn inheriting_key(&self, account_id: &[u8; 16], origin: &Origin) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let own = self.fingerprint_key();
        primitive::derive(own.bytes(), self.mount_id(), &self.inherited_label(account_id, origin))
    }
    fn inherited_label(&self, account_id: &[u8; 16], origin: &Origin) -> labels::Label {
        labels::inherited_key(self.mount_id(), account_id, &origin.mount_id, &origin.account_id)
    }
}

/// Only that it is there: a record that derives `Debug` must not fill logs with ciphertext.
impl fmt::Debug for InheritedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InheritedKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::random::SeededRandom;

    #[test]
    fn fingerprints_of_another_mount_are_made_again_and_at_their_place_only() {
        let random = SeededRandom::new(1);
        let [there, here] = [1, 2].map(|seed| Keyring::generate(Timestamp::from_secs(1), &SeededRandom::new(seed)));
        let origin = Origin { mount_id: *there.mount_id(), account_id: [3; 16] };
        let sealed = here.inherit(&[4; 16], &origin, &there.fingerprint_key(), &random).unwrap();
        let made = here.inherited_fingerprinter(&[4; 16], &origin, &sealed).unwrap().print(b"abcde12345");
        assert_eq!(made, there.fingerprinter(&[3; 16]).print(b"abcde12345"));
        assert_ne!(made, here.fingerprinter(&[4; 16]).print(b"abcde12345"));

        let refused = Err(CryptoError::DoesNotOpen(WHAT));
        let open = |ring: &Keyring, account: [u8; 16], origin: Origin, sealed: &InheritedKey| {
            ring.inherited(&account, &origin, sealed).map(|_| ())
        };
        assert_eq!(open(&here, [4; 16], origin, &sealed), Ok(()));
        assert_eq!(open(&there, [4; 16], origin, &sealed), refused);
        assert_eq!(open(&here, [5; 16], origin, &sealed), refused);
        assert_eq!(open(&here, [4; 16], Origin { account_id: [9; 16], ..origin }, &sealed), refused);
        assert_eq!(open(&here, [4; 16], Origin { mount_id: [9; 16], ..origin }, &sealed), refused);
        let mut altered = sealed.clone();
        altered.ciphertext[47] ^= 1;
        assert_eq!(open(&here, [4; 16], origin, &altered), refused);
    }
}
