//! What a caller says about a set it wants to store.

use crate::domain::time::Timestamp;

/// What a caller says about a set it wants to store.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claimed {
    /// The highest generation it knows of.
    pub cas: Option<u64>,
    /// When the codes were known to be the provider's current ones.
    pub bound_at: Option<Timestamp>,
    /// The enrollment they belong to.
    pub enrollment: Option<u64>,
}
