//! What the integration tests share: the built server on a port of its own, a small HTTP client, keys that sign assertions
//! and events, and the real clients, provisioned once.

#![allow(dead_code, reason = "every test binary compiles this module and uses its own part of it")]

pub mod bao;
pub mod beside;
pub mod canary;
pub mod clients;
pub mod corpus;
pub mod crowd;
pub mod debian;
pub mod drill;
pub mod haproxy;
pub mod http;
pub mod kept;
pub mod pg_proxy;
pub mod pkcs11;
pub mod postgres;
pub mod prometheus;
pub mod provision;
pub mod run;
pub mod scene;
pub mod server;
pub mod signer;
pub mod temptation;
pub mod vault;
