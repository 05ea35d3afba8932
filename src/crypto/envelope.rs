//! The envelope of a set: one random DEK, wrapped by the account's KEK, and one ciphertext per code, each bound to its place.
//!
//! AES-GCM does not commit to its key: one ciphertext can be made to open under two. So a DEK yields an encryption key and a
//! commitment, and the commitment beside the wrapped DEK is compared before anything is opened with the key.

use std::collections::BTreeSet;
use std::fmt;

use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::CryptoError;
use super::keyring::Keyring;
use super::labels;
use super::primitive::{self, NONCE, TAG};
use super::secret::{CodeText, Key};
use crate::random::{self, Random};

const DEK: &str = "the wrapped key of the set";
const CODE: &str = "the sealed code";

/// The longest code, in bytes.
pub const MAX_CODE: usize = 256;
/// The highest slot, and so the most codes of a set.
pub const MAX_SLOT: u32 = 512;
/// Plaintexts are padded to a multiple of this: almost every provider's codes come out equally long.
const BLOCK: usize = 32;
/// The longest padded plaintext: length prefix, code, padding.
const MAX_PADDED: usize = (2 + MAX_CODE).next_multiple_of(BLOCK);

/// Where a set belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The account's random id.
    pub account_id: &'a [u8; 16],
    /// The set's random id.
    pub set_id: &'a [u8; 16],
    /// The set's generation, from 1.
    pub generation: u32,
}

/// The key of one set, wrapped. It alone names a KEK generation, so re-wrapping touches no code.
#[derive(Encode, Decode, Clone, PartialEq, Eq)]
pub struct WrappedDek {
    /// Generation of the KEK that wraps it.
    #[n(0)]
    pub kek_generation: u32,
    /// Nonce of the wrap.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub nonce: [u8; 12],
    /// The wrapped key (32) and the tag (16).
    #[n(2)]
    #[cbor(with = "minicbor::bytes")]
    pub ciphertext: [u8; 48],
    /// What the key inside must commit to.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub commitment: [u8; 32],
}

/// One code, sealed.
#[derive(Encode, Decode, Clone, PartialEq, Eq)]
pub struct SealedCode {
    /// Its nonce.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub nonce: [u8; 12],
    /// The padded code and the tag (16).
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub ciphertext: Vec<u8>,
}

/// What a DEK yields.
struct SetKeys {
    encryption: Zeroizing<[u8; 32]>,
    commitment: [u8; 32],
}

/// Seals a new set under a new DEK. `codes` pairs slots (from 1, each once, at most [`MAX_SLOT`]) with codes (1 to [`MAX_CODE`]
/// bytes); the sealed codes come in the same order, all equally long.
///
/// # Errors
/// [`CryptoError::OutOfBounds`] names the bound that a slot or code breaks; [`CryptoError::Library`].
pub fn seal_set(
    keyring: &Keyring,
    place: &Place,
    codes: &[(u32, &CodeText)],
    random: &dyn Random,
) -> Result<(WrappedDek, Vec<(u32, SealedCode)>), CryptoError> {
    let padded = padded_length(codes)?;
    let dek = Key::generate(random);
    let keys = SetKeys::derive(keyring, place, &dek)?;
    let wrapped = wrap(keyring, place, &dek, keys.commitment, random)?;
    let seal = |&(slot, code): &(u32, &CodeText)| {
        Ok((slot, seal_code(keyring, place, slot, &keys, code.expose().as_bytes(), padded, random)?))
    };
    Ok((wrapped, codes.iter().map(seal).collect::<Result<_, _>>()?))
}

/// Opens the code of one slot.
///
/// # Errors
/// [`CryptoError::UnknownGeneration`] or [`CryptoError::RetiredGeneration`] for the KEK; [`CryptoError::CommitmentMismatch`];
/// [`CryptoError::DoesNotOpen`] for anything altered or moved; [`CryptoError::Malformed`].
pub fn open_code(
    keyring: &Keyring,
    place: &Place,
    slot: u32,
    dek: &WrappedDek,
    code: &SealedCode,
) -> Result<CodeText, CryptoError> {
    let (_, keys) = unwrap(keyring, place, dek)?;
    let (padded, tag) = code.ciphertext.split_last_chunk::<TAG>().ok_or(CryptoError::Malformed(CODE))?;
    if padded.is_empty() || padded.len() > MAX_PADDED || padded.len() % BLOCK != 0 {
        return Err(CryptoError::Malformed(CODE));
    }
    let mut plaintext = Zeroizing::new(padded.to_vec());
    let aad = code_label(keyring, place, slot);
    primitive::open(CODE, &keys.encryption, &code.nonce, &aad, &mut plaintext, tag)?;
    unpad(&plaintext).ok_or(CryptoError::Malformed(CODE))
}

/// Checks that a DEK opens at its place, and is the one that its commitment names.
///
/// # Errors
/// As [`open_code`], as far as the DEK is concerned.
pub fn check(keyring: &Keyring, place: &Place, dek: &WrappedDek) -> Result<(), CryptoError> {
    unwrap(keyring, place, dek).map(drop)
}

/// Wraps the same DEK anew under the active KEK.
///
/// # Errors
/// As [`open_code`], as far as the DEK is concerned.
pub fn rewrap(
    keyring: &Keyring,
    place: &Place,
    dek: &WrappedDek,
    random: &dyn Random,
) -> Result<WrappedDek, CryptoError> {
    let (dek, keys) = unwrap(keyring, place, dek)?;
    wrap(keyring, place, &dek, keys.commitment, random)
}

impl SetKeys {
    fn derive(keyring: &Keyring, place: &Place, dek: &Key) -> Result<Self, CryptoError> {
        let info = labels::dek_keys(keyring.mount_id(), place.account_id, place.set_id);
        let both = primitive::derive::<64>(dek.bytes(), keyring.mount_id(), &info)?;
        let mut keys = SetKeys { encryption: Zeroizing::new([0; 32]), commitment: [0; 32] };
        keys.encryption.copy_from_slice(&both[..32]);
        keys.commitment.copy_from_slice(&both[32..]);
        Ok(keys)
    }
}

fn wrap(
    keyring: &Keyring,
    place: &Place,
    dek: &Key,
    commitment: [u8; 32],
    random: &dyn Random,
) -> Result<WrappedDek, CryptoError> {
    let kek_generation = keyring.active_kek()?;
    let kek = keyring.account_kek(kek_generation, place.account_id)?;
    let nonce = random::bytes::<NONCE>(random);
    let aad = labels::wrapped_dek(keyring.mount_id(), kek_generation, place.account_id, place.set_id);
    let mut key = Zeroizing::new(*dek.bytes());
    let tag = primitive::seal(DEK, &kek, &nonce, &aad, &mut *key)?;
    let mut ciphertext = [0; 48];
    ciphertext[..32].copy_from_slice(&*key);
    ciphertext[32..].copy_from_slice(&tag);
    Ok(WrappedDek { kek_generation, nonce, ciphertext, commitment })
}

fn unwrap(keyring: &Keyring, place: &Place, dek: &WrappedDek) -> Result<(Key, SetKeys), CryptoError> {
    let kek = keyring.account_kek(dek.kek_generation, place.account_id)?;
    let aad = labels::wrapped_dek(keyring.mount_id(), dek.kek_generation, place.account_id, place.set_id);
    let (wrapped, tag) = dek.ciphertext.split_last_chunk::<TAG>().ok_or(CryptoError::Malformed(DEK))?;
    let mut key = Zeroizing::new([0; 32]);
    key.copy_from_slice(wrapped);
    primitive::open(DEK, &kek, &dek.nonce, &aad, &mut *key, tag)?;
    let key = Key::from_bytes(key);
    let keys = SetKeys::derive(keyring, place, &key)?;
    if bool::from(keys.commitment.ct_eq(&dek.commitment)) {
        Ok((key, keys))
    } else {
        Err(CryptoError::CommitmentMismatch)
    }
}

fn code_label(keyring: &Keyring, place: &Place, slot: u32) -> labels::Label {
    labels::code(keyring.mount_id(), place.account_id, place.set_id, place.generation, slot)
}

fn seal_code(
    keyring: &Keyring,
    place: &Place,
    slot: u32,
    keys: &SetKeys,
    code: &[u8],
    padded: usize,
    random: &dyn Random,
) -> Result<SealedCode, CryptoError> {
    let length = u16::try_from(code.len()).map_err(|_| CryptoError::OutOfBounds("a code is 1 to 256 bytes"))?;
    let nonce = random::bytes::<NONCE>(random);
    // Encrypted where it lies, with room for the tag: the plaintext is never moved.
    let mut buffer = Zeroizing::new(Vec::with_capacity(padded + TAG));
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(code);
    buffer.resize(padded, 0);
    let tag = primitive::seal(CODE, &keys.encryption, &nonce, &code_label(keyring, place, slot), &mut buffer)?;
    buffer.extend_from_slice(&tag);
    Ok(SealedCode { nonce, ciphertext: std::mem::take(&mut *buffer) })
}

/// Checks every bound and says how long the set's plaintexts will be.
fn padded_length(codes: &[(u32, &CodeText)]) -> Result<usize, CryptoError> {
    let mut slots = BTreeSet::new();
    let mut longest = 1;
    for (slot, code) in codes {
        if !(1..=MAX_SLOT).contains(slot) {
            return Err(CryptoError::OutOfBounds("a slot is 1 to 512"));
        }
        if !slots.insert(*slot) {
            return Err(CryptoError::OutOfBounds("a slot holds one code"));
        }
        let length = code.expose().len();
        if !(1..=MAX_CODE).contains(&length) {
            return Err(CryptoError::OutOfBounds("a code is 1 to 256 bytes"));
        }
        longest = longest.max(length);
    }
    Ok((2 + longest).next_multiple_of(BLOCK))
}

/// The code in a padded plaintext, if that is well-formed: right length, zeros after the code, UTF-8.
fn unpad(plaintext: &[u8]) -> Option<CodeText> {
    let (length, rest) = plaintext.split_first_chunk()?;
    let (code, padding) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let zeros = padding.iter().fold(0, |any, byte| any | byte) == 0;
    if !zeros || !(1..=MAX_CODE).contains(&code.len()) {
        return None;
    }
    Some(CodeText::new(Zeroizing::new(str::from_utf8(code).ok()?.to_owned())))
}

/// Only the shape: a record that derives `Debug` must not fill logs with ciphertext.
impl fmt::Debug for WrappedDek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedDek").field("kek_generation", &self.kek_generation).finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedCode").field("length", &self.ciphertext.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
