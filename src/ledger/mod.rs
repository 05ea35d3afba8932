//! The engine's own history: one hash-chained ledger for each account and one for the configuration.

pub mod archive;
pub mod chain;
pub mod entry;
mod told;
