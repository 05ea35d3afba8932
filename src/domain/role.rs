//! JWT-scoped roles.

/// What a role may allow. The names are those of `operations` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Store a set.
    Store,
    /// Dispense a code.
    Retrieve,
    /// Report an enrollment.
    Enroll,
    /// End a set.
    Revoke,
    /// Let a quarantined set live again.
    Release,
    /// Read an account's metadata.
    Read,
    /// List accounts.
    List,
    /// Read an account's ledger.
    History,
    /// Configure, and manage accounts and tokens.
    Administer,
}
