//! Keys and ciphertexts, pure: the key hierarchy, the envelope, fingerprints and the labels that bind each to its place.

pub mod envelope;
pub mod fingerprint;
pub mod keyring;
pub mod labels;
pub mod secret;
pub mod signing;
