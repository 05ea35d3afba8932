//! The built binary as a plugin process, its host in this process: what a real host never sends, and stores of earlier versions.

#[path = "../support/fake_host.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod fake_host;
mod host;
mod hostile;
mod raw;
mod stores;
#[path = "../support/mod.rs"]
mod support;
mod sweep;
