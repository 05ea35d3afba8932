//! An answer kept for the holder of a wrapping token: sealed under a key that only the token yields, bound to the token's hash.
//!
//! Layout: `format (1) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`. The token has 142 random bits, so HKDF (RFC 5869) without
//! stretching is enough; it is used for one answer, so the random nonce cannot repeat.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::CryptoError;
use super::labels::{self, FORMAT};
use super::primitive::{self, NONCE, TAG};
use crate::random::{self, Random};

const WHAT: &str = "the wrapped answer";
const HEAD: usize = 1 + NONCE;

/// Seals `answer` for the holder of `token`, whose keyed hash is `token_hash`.
///
/// # Errors
/// [`CryptoError::Library`] only.
pub fn seal(
    token: &[u8],
    mount_id: &[u8; 16],
    token_hash: &[u8; 32],
    answer: &[u8],
    random: &dyn Random,
) -> Result<Vec<u8>, CryptoError> {
    let key = key(token, mount_id)?;
    let nonce = random::bytes::<NONCE>(random);
    // Encrypted where it is written: the buffer never moves, so no copy of the answer is left behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(HEAD + answer.len() + TAG));
    sealed.push(FORMAT);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(answer);
    let aad = labels::wrapped_answer(mount_id, token_hash);
    let tag = primitive::seal(WHAT, &key, &nonce, &aad, &mut sealed[HEAD..])?;
    sealed.extend_from_slice(&tag);
    Ok(std::mem::take(&mut *sealed))
}

/// Opens what [`seal`] sealed.
///
/// # Errors
/// [`CryptoError::NewerFormat`]; [`CryptoError::Malformed`]; [`CryptoError::DoesNotOpen`] for another token or altered bytes.
pub fn open(
    token: &[u8],
    mount_id: &[u8; 16],
    token_hash: &[u8; 32],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    const MALFORMED: CryptoError = CryptoError::Malformed(WHAT);
    let (format, rest) = bytes.split_first().ok_or(MALFORMED)?;
    match *format {
        FORMAT => {}
        0 => return Err(MALFORMED),
        found => return Err(CryptoError::NewerFormat { what: WHAT, found }),
    }
    let (nonce, rest) = rest.split_first_chunk().ok_or(MALFORMED)?;
    let (ciphertext, tag) = rest.split_last_chunk().ok_or(MALFORMED)?;
    let key = key(token, mount_id)?;
    let mut answer = Zeroizing::new(ciphertext.to_vec());
    primitive::open(WHAT, &key, nonce, &labels::wrapped_answer(mount_id, token_hash), &mut answer, tag)?;
    Ok(answer)
}

fn key(token: &[u8], mount_id: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut out = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(mount_id), token)
        .expand(labels::wrapped_answer_key(mount_id).bytes(), &mut *out)
        .map_err(|_| CryptoError::Library("key derivation"))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    const MOUNT: [u8; 16] = [1; 16];
    const HASH: [u8; 32] = [2; 32];

    #[test]
    fn only_the_token_opens_it_and_only_at_its_place() {
        let sealed = seal(b"s.token", &MOUNT, &HASH, b"answer", &SeededRandom::new(1)).unwrap();
        assert_eq!(open(b"s.token", &MOUNT, &HASH, &sealed).unwrap().as_slice(), b"answer");
        let refused = Err(CryptoError::DoesNotOpen(WHAT));
        assert_eq!(open(b"s.tokem", &MOUNT, &HASH, &sealed).map(|_| ()), refused);
        assert_eq!(open(b"s.token", &[9; 16], &HASH, &sealed).map(|_| ()), refused);
        assert_eq!(open(b"s.token", &MOUNT, &[9; 32], &sealed).map(|_| ()), refused);
        for at in 1..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(open(b"s.token", &MOUNT, &HASH, &altered).map(|_| ()), refused, "byte {at}");
        }
    }

    #[test]
    fn other_formats_and_short_bytes_are_named() {
        let mut sealed = seal(b"s.token", &MOUNT, &HASH, b"", &SeededRandom::new(1)).unwrap();
        for cut in 0..sealed.len() {
            assert_eq!(open(b"s.token", &MOUNT, &HASH, &sealed[..cut]).map(|_| ()), Err(CryptoError::Malformed(WHAT)));
        }
        sealed[0] = 7;
        let newer = CryptoError::NewerFormat { what: WHAT, found: 7 };
        assert_eq!(open(b"s.token", &MOUNT, &HASH, &sealed).map(|_| ()), Err(newer));
    }
}
