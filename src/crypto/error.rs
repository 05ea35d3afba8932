//! Which step failed. Never what the secret was.

use std::error::Error as StdError;
use std::fmt;

/// A step of this module that failed. Carries names and numbers of keys and formats only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CryptoError {
    /// The ciphertext names a key generation that the keyring does not hold.
    UnknownGeneration {
        /// Which kind of key.
        key: &'static str,
        /// The generation named.
        generation: u32,
    },
    /// The ciphertext names a KEK that is retired: it must be recovered before it opens anything.
    RetiredGeneration {
        /// The generation named.
        generation: u32,
    },
    /// The key commitment beside a wrapped key is not the one of the key inside.
    CommitmentMismatch,
    /// The ciphertext does not open: altered, moved from another place, or sealed under another key.
    DoesNotOpen(&'static str),
    /// The bytes are not laid out as this format is.
    Malformed(&'static str),
    /// Written by a newer version of this program, which must be used to read it.
    NewerFormat {
        /// What was to be read.
        what: &'static str,
        /// The format number found.
        found: u8,
    },
    /// An argument is outside its bounds, which the text names.
    OutOfBounds(&'static str),
    /// The act does not fit the state of the key, as the text says.
    KeyState(&'static str),
    /// The cryptographic library failed, for instance for lack of memory.
    Library(&'static str),
}

impl fmt::Display for CryptoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CryptoError::UnknownGeneration { key, generation } => {
                write!(f, "the keyring holds no {key} key of generation {generation}")
            }
            CryptoError::RetiredGeneration { generation } => {
                write!(f, "KEK generation {generation} is retired; recover it before opening what it wraps")
            }
            CryptoError::CommitmentMismatch => f.write_str("the key commitment does not match the wrapped key"),
            CryptoError::DoesNotOpen(what) => {
                write!(f, "{what} does not open: altered, moved from another place, or sealed under another key")
            }
            CryptoError::Malformed(what) => write!(f, "{what} is malformed"),
            CryptoError::NewerFormat { what, found } => {
                write!(f, "{what} has format {found}, which a newer version wrote; use that version or later")
            }
            CryptoError::OutOfBounds(bound) => write!(f, "out of bounds: {bound}"),
            CryptoError::KeyState(why) => f.write_str(why),
            CryptoError::Library(step) => write!(f, "the cryptographic library failed at {step}"),
        }
    }
}

impl StdError for CryptoError {}
