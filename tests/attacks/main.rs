//! What an attacker, a broken client or a failing disk may send or do to a server, through its real HTTP face. Every table
//! stands beside a good request that succeeds, so that a refusal proves something.

mod assertions;
mod bodies;
mod descriptions;
mod events;
mod failures;
mod fields;
mod oracle;
mod paths;
mod races;
mod stage;
mod strangers;
mod wire;

#[path = "../support/event_table.rs"]
mod event_table;
#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../support/jwt_table/mod.rs"]
mod jwt_table;
#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/path_table.rs"]
mod path_table;
#[path = "../support/mod.rs"]
mod support;
