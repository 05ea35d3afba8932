//! The rules, pure: what an account, a set, a code, a profile and a role are and how they may change. No I/O, no clock, no
//! randomness of its own; a test reads the `use` lines and fails otherwise.

pub mod about;
pub mod account;
pub mod alphabet;
pub mod claimed;
pub mod code;
pub mod enrollment;
pub mod expiry;
pub mod fields;
pub mod fingerprints;
pub mod glob;
pub mod issuer;
pub mod moving;
pub mod name;
pub mod obligation;
pub mod presented;
pub mod profile;
pub mod pubkey;
pub mod refusal;
pub mod role;
pub mod rule;
pub mod set;
pub mod setback;
pub mod share;
pub mod slot;
pub mod throttle;
pub mod time;
pub mod vouching;
