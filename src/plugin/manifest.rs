//! What an operator has to know of the plugin before a vault may run it, as the binary itself tells it.

use serde_json::{Value, json};

use super::backend;
use super::handshake::PROTOCOL;

/// Hosts that the tests mount this engine in.
const TESTED: &[(&str, &str)] = &[("OpenBao", "2.7.2")];

/// The manifest of this binary but for its checksum, which only the file has.
pub fn manifest() -> Value {
    let special = backend::special_paths();
    let tested: Vec<Value> = TESTED.iter().map(|(name, version)| json!({"name": name, "version": version})).collect();
    json!({
        "name": "sparekey",
        "version": env!("CARGO_PKG_VERSION"),
        "type": "secret",
        "command": "sparekey",
        "args": [],
        "env": [],
        "protocol": {"name": "go-plugin", "version": PROTOCOL, "transport": "grpc", "auto_mtls": true, "multiplexing": true},
        "unauthenticated_paths": special.unauthenticated,
        "seal_wrapped_storage": special.seal_wrap_storage,
        "tested_with": tested,
    })
}
