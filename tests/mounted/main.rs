//! The mounted face: a real OpenBao mounts the built binary, and the story is told through it.

#[path = "../support/event_table.rs"]
mod event_table;
#[path = "../support/jwt_table/mod.rs"]
mod jwt_table;
#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/path_table.rs"]
mod path_table;
#[path = "../support/mod.rs"]
mod support;

mod assertions;
mod attacks;
mod binaries;
mod canary;
mod document;
mod example_automation;
mod example_opentofu;
mod example_story;
mod faces;
mod identity;
mod import;
mod life;
mod manifest;
mod mounts;
mod nodes;
mod odd;
mod once;
mod policies;
mod reports;
mod rotation;
mod snapshot;
mod story;
mod strangers;
#[path = "../support/document.rs"]
mod written;
