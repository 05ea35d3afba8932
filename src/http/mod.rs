//! The HTTP face: Vault's conventions on the wire, translated into calls to the host, and its answers into responses.

pub mod body;
pub mod form;
pub mod json;
pub mod listener;
pub mod outgoing;
pub mod paced;
pub mod places;
pub mod render;
pub mod server;
pub mod tls;
pub mod wire;

pub use listener::{Limits, Service, bind, listen};
pub use server::serve;
