//! The HTTP face: Vault's conventions on the wire, translated into engine and host requests.

pub mod tls;
pub mod wire;
