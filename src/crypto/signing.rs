//! Ed25519 signatures (RFC 8032) for audit checkpoints.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::CryptoError;
use super::secret::Key;

/// A private signing key. The library wipes it when it is dropped.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl SigningKey {
    /// The key that belongs to this seed (RFC 8032 section 5.1.5).
    ///
    /// # Errors
    /// [`CryptoError::Library`] if the library cannot hold the key.
    pub fn from_seed(seed: &Key) -> Result<Self, CryptoError> {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(|_| CryptoError::Library("the signing key"))?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| CryptoError::Library("the signing key"))?;
        Ok(SigningKey { pair, public })
    }
    /// The signature of `message`; the same each time (RFC 8032 section 5.1.6).
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
    /// The public key, which anybody may know.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }
}

/// Whether `signature` is `public`'s signature of `message` (RFC 8032 section 5.1.7).
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok()
}
