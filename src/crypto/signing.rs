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

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    /// RFC 8032 section 7.1, tests 1 to 3: seed, public key, message, signature.
    const RFC_8032: [[&str; 4]; 3] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
        [
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ],
    ];

    #[test]
    fn signs_as_the_standard_does() {
        for [seed, public, message, signature] in RFC_8032.map(|row| row.map(|text| hex::decode(text).unwrap())) {
            let seed = Key::from_bytes(Zeroizing::new(seed.try_into().unwrap()));
            let key = SigningKey::from_seed(&seed).unwrap();
            assert_eq!(key.public()[..], public);
            assert_eq!(key.sign(&message)[..], signature);
            assert!(verify(&key.public(), &message, &signature.try_into().unwrap()));
        }
    }

    #[test]
    fn another_message_key_or_signature_is_refused() {
        let key = SigningKey::from_seed(&Key::from_bytes(Zeroizing::new([1; 32]))).unwrap();
        let other = SigningKey::from_seed(&Key::from_bytes(Zeroizing::new([2; 32]))).unwrap();
        let signature = key.sign(b"head");
        assert!(verify(&key.public(), b"head", &signature));
        assert!(!verify(&key.public(), b"tail", &signature));
        assert!(!verify(&other.public(), b"head", &signature));
        assert!(!verify(&[0; 32], b"head", &[0; 64]));
        for bit in 0..signature.len() * 8 {
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!verify(&key.public(), b"head", &flipped), "bit {bit}");
        }
    }
}
