//! The three primitives everything here is made of, each in one shape: AES-256-GCM (NIST SP 800-38D), HKDF-SHA256
//! (RFC 5869) and HMAC-SHA256 (RFC 2104). Labels come from [`super::labels`] only.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::CryptoError;
use super::labels::{Label, Sink};

/// Length of an AES-GCM nonce.
pub(super) const NONCE: usize = 12;
/// Length of an AES-GCM tag.
pub(super) const TAG: usize = 16;

/// Encrypts `buffer` in place and returns the tag. `what` names the value in an error.
pub(super) fn seal(
    what: &'static str,
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    aad: &Label,
    buffer: &mut [u8],
) -> Result<[u8; TAG], CryptoError> {
    let tag = Aes256Gcm::new(key.into()).encrypt_inout_detached(nonce.into(), aad.bytes(), buffer.into());
    tag.map(Into::into).map_err(|_| CryptoError::Library(what))
}

/// Decrypts `buffer` in place if the tag holds; otherwise leaves it as it was. `what` names the value in an error.
pub(super) fn open(
    what: &'static str,
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    aad: &Label,
    buffer: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), CryptoError> {
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(nonce.into(), aad.bytes(), buffer.into(), tag.into())
        .map_err(|_| CryptoError::DoesNotOpen(what))
}

/// `N` bytes of HKDF-SHA256 over `key`.
pub(super) fn derive<const N: usize>(
    key: &[u8; 32],
    salt: &[u8; 16],
    info: &Label,
) -> Result<Zeroizing<[u8; N]>, CryptoError> {
    const { assert!(N <= 255 * 32, "RFC 5869 section 2.3") };
    let mut out = Zeroizing::new([0; N]);
    Hkdf::<Sha256>::new(Some(salt), key)
        .expand(info.bytes(), &mut *out)
        .map_err(|_| CryptoError::Library("key derivation"))?;
    Ok(out)
}

/// HMAC-SHA256 with its key absorbed: cloning it costs no compression, which the hot path relies on.
#[derive(Clone)]
pub(super) struct KeyedMac(Hmac<Sha256>);

impl KeyedMac {
    /// A state keyed with `key`.
    pub(super) fn new(key: &[u8; 32]) -> Self {
        // RFC 2104 pads a short key with zeros to the block; done here, the constructor cannot fail.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(key);
        KeyedMac(Hmac::new((&*block).into()))
    }
    /// The code over everything fed so far.
    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into_bytes().into()
    }
}

impl Sink for KeyedMac {
    fn put(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compiles only for types that wipe themselves: the features of the libraries that do this must stay on.
    fn wiped<T: zeroize::ZeroizeOnDrop>() {}

    #[test]
    fn states_that_hold_keys_are_wiped() {
        wiped::<Aes256Gcm>();
        // An HMAC state is two of these and is not marked itself.
        wiped::<Sha256>();
    }
}
