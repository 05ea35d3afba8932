//! Sparekey: the secrets engine for backup MFA codes.
//!
//! One request, eight stops: face → table → auth (request audited) → storage `get_many` → domain decides → crypto opens one
//! code into a box → storage `put_all` (claim, burn; a conflict goes back to the read) → audit acknowledges, the receipt opens
//! the box, the face renders.
//!
//! `domain` and `crypto` are pure: no I/O, no clock, no randomness of their own. `engine` holds the one table of paths and one
//! file per operation. `http` and `host` are the standalone face, `plugin` the mounted one, `relay` a receiver of events before both; `auth` judges assertions; `ledger` and `audit` keep the
//! record; `storage` keeps everything, `backup` carries it
//! away and back.

pub mod audit;
pub mod auth;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod engine;
pub mod error;
pub mod host;
pub mod http;
pub mod ledger;
pub mod pem;
pub mod plugin;
pub mod process;
pub mod random;
pub mod relay;
pub mod sources;
pub mod storage;
