//! The `sys/` paths that clients need.

pub mod capabilities;
pub mod describe;
pub mod mounts;
pub mod status;
