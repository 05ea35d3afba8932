//! Older entries: segments of fixed length under keys of their own.

use minicbor::{Decode, Encode};

use crate::ledger::chain::Link;

/// A segment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Segment {
    /// Its entries, oldest first.
    #[n(0)]
    pub links: Vec<Link>,
}

/// Storage key of the segment that begins with seq `first`, in the ledger of `owner` (hex of an account id, or `config`).
/// Numbers are padded so that byte order is number order.
pub fn key(owner: &str, first: u64) -> String {
    format!("ledger/{owner}/{first:016}")
}
