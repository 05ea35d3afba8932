//! The host's log of requests: fail closed, chained, signed.

/// The receipt of a durable audit device for one response. It opens a disclosure, once.
pub struct Recorded(());
