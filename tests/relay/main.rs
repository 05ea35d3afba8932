//! The relay between an identity provider and vaults: what it acknowledges, what it passes on, what it holds back.

#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod command;
mod engines;
mod fake;
mod tls;
