//! The engine without a face: on a store in memory, a clock that stands still, and keys made for the test.

mod access;
mod answers;
mod check;
mod configuration;
mod crash;
mod destroy;
#[path = "../support/document.rs"]
mod document;
mod enrollment;
mod events;
#[path = "../support/fake_host.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod fake_host;
mod format;
mod harness;
mod host;
mod issued;
mod keys;
mod lapse;
mod limits;
mod once;
mod outcome;
mod record;
mod repeats;
mod report;
mod sets;
mod size;
mod sweep;
mod transfer;
mod turns;
mod verify;
mod versions;
mod vouched;
mod wrapped;
