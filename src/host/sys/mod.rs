//! The `sys/` paths that clients need.

pub mod capabilities;
pub mod describe;
pub mod doctor;
pub mod generate_root;
pub mod keys;
pub mod metrics;
pub mod mounts;
pub mod nodes;
pub mod restore;
pub mod snapshot;
pub mod status;
