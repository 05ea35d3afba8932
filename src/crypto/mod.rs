//! Keys and ciphertexts, pure: the key hierarchy, the envelope, the barrier, backups, fingerprints, verifiers and the labels that bind each to
//! its place. `docs/format.md` draws every byte.
//!
//! Nothing here reads a clock, a file or the network; randomness is an argument. Secrets are the types of [`secret`].

pub mod backup;
pub mod barrier;
pub mod envelope;
mod error;
pub mod fingerprint;
pub mod inherited;
pub mod keyring;
pub mod labels;
mod primitive;
pub mod secret;
pub mod signing;
pub mod verifier;
pub mod wrapped;

pub use error::CryptoError;
