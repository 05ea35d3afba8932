//! One line of history.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::domain::time::Timestamp;

/// Who acted, as far as it was proven. Its texts are owned, or borrowed (`&str`) from the bytes it is stored as.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Actor<T = String> {
    /// The role's user claim, `root`, or the name of a source.
    #[n(0)]
    pub subject: T,
    /// The assertion's `iss`; empty without one.
    #[n(1)]
    pub issuer: T,
    /// The role; empty without one.
    #[n(2)]
    pub role: T,
    /// `http` or `mounted`.
    #[n(3)]
    pub face: T,
    /// Mounted: the vault's entity behind the request, if it has one.
    #[n(4)]
    pub entity: Option<T>,
    /// Mounted: accessor of the vault's token behind the request.
    #[n(5)]
    pub accessor: Option<T>,
}

/// An act as it stands in the ledger. Nothing here is or contains a code. Its texts are owned, or borrowed (`&str`).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry<T = String> {
    /// From 1, without gaps.
    #[n(0)]
    pub seq: u64,
    /// When.
    #[n(1)]
    pub at: Timestamp,
    /// `store`, `retrieve`, `enroll` …, else `unwrap`, `event`, `lapse`, `create`, `update`, `delete`.
    #[n(2)]
    pub act: T,
    /// Who.
    #[n(3)]
    pub actor: Actor<T>,
    /// The host's request id.
    #[n(4)]
    pub request_id: T,
    /// Why.
    #[n(5)]
    pub reason: Option<T>,
    /// On which ticket.
    #[n(6)]
    pub ticket: Option<T>,
    /// Which set.
    #[n(7)]
    pub generation: Option<u32>,
    /// Which slot.
    #[n(8)]
    pub slot: Option<u32>,
    /// From which address.
    #[n(9)]
    pub remote: Option<T>,
    /// Whether a code was shown again.
    #[n(10)]
    pub repeat: bool,
    /// What else there is to say: counts, causes, before and after. JSON text of an object.
    #[n(11)]
    pub detail: Option<T>,
    /// The write that this entry went down with: recognises an outcome that was unknown.
    #[n(12)]
    pub operation: ByteArray<16>,
}
