//! Frames of a backup: sealed under a key that only this backup has, each bound to its number, its kind and the backup's header.
//!
//! Layout of a sealed frame: `nonce (12) ‖ ciphertext ‖ tag (16)`.

use zeroize::Zeroizing;

use super::CryptoError;
use super::barrier::BarrierKey;
use super::labels;
use super::primitive::{self, NONCE, TAG};
use crate::random::{self, Random};

const WHAT: &str = "the frame";

/// How many bytes sealing adds to a frame.
pub const OVERHEAD: usize = NONCE + TAG;

/// The key of one backup's frames.
pub struct FrameKey {
    key: Zeroizing<[u8; 32]>,
    mount_id: [u8; 16],
    header: [u8; 32],
}

impl FrameKey {
    /// The key of the backup whose header has the SHA-256 `header`, under a barrier key of the mount. The header holds a random
    /// id, so no two backups have a key in common.
    ///
    /// # Errors
    /// [`CryptoError::Library`] only.
    pub fn derive(barrier: &BarrierKey, mount_id: &[u8; 16], header: &[u8; 32]) -> Result<Self, CryptoError> {
        let key = primitive::derive(barrier.key.bytes(), mount_id, &labels::backup_key(mount_id, header))?;
        Ok(FrameKey { key, mount_id: *mount_id, header: *header })
    }
    /// Seals `plaintext` as frame `number`, from 0, of this kind.
    ///
    /// # Errors
    /// [`CryptoError::Library`] only.
    pub fn seal(&self, number: u64, kind: u8, plaintext: &[u8], random: &dyn Random) -> Result<Vec<u8>, CryptoError> {
        let aad = labels::backup_frame(&self.mount_id, &self.header, number, kind);
        let nonce = random::bytes::<NONCE>(random);
        let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let tag = primitive::seal(WHAT, &self.key, &nonce, &aad, &mut sealed[NONCE..])?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }
    /// Opens frame `number` of this kind.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`]; [`CryptoError::DoesNotOpen`] for altered bytes, another place or another backup.
    pub fn open(&self, number: u64, kind: u8, sealed: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let aad = labels::backup_frame(&self.mount_id, &self.header, number, kind);
        let (nonce, rest) = sealed.split_first_chunk().ok_or(CryptoError::Malformed(WHAT))?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(CryptoError::Malformed(WHAT))?;
        let mut plaintext = ciphertext.to_vec();
        primitive::open(WHAT, &self.key, nonce, &aad, &mut plaintext, tag)?;
        Ok(plaintext)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Key;
    use crate::random::SeededRandom;

    fn key(generation: u8, mount: u8, header: u8) -> FrameKey {
        let key = Key::from_bytes(Zeroizing::new([generation; 32]));
        let barrier = BarrierKey { generation: generation.into(), key };
        FrameKey::derive(&barrier, &[mount; 16], &[header; 32]).unwrap()
    }

    #[test]
    fn a_frame_opens_at_its_place_only() {
        let sealed = key(1, 2, 3).seal(4, 1, b"records", &SeededRandom::new(1)).unwrap();
        assert_eq!(sealed.len(), 7 + OVERHEAD);
        assert_eq!(key(1, 2, 3).open(4, 1, &sealed).unwrap(), b"records");
        let refused = Err(CryptoError::DoesNotOpen(WHAT));
        assert_eq!(key(1, 2, 3).open(5, 1, &sealed), refused, "another place");
        assert_eq!(key(1, 2, 3).open(4, 2, &sealed), refused, "another kind");
        assert_eq!(key(1, 2, 9).open(4, 1, &sealed), refused, "another backup");
        assert_eq!(key(1, 9, 3).open(4, 1, &sealed), refused, "another mount");
        assert_eq!(key(9, 2, 3).open(4, 1, &sealed), refused, "another key");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(key(1, 2, 3).open(4, 1, &altered), refused, "byte {at}");
        }
        for cut in 0..OVERHEAD {
            assert_eq!(key(1, 2, 3).open(4, 1, &sealed[..cut]), Err(CryptoError::Malformed(WHAT)));
        }
    }
}
