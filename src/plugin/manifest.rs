//! What an operator has to know of the plugin before a vault may run it, as the binary itself tells it.

use hcl::{Attribute, Block, Body};
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

/// What a configuration file of OpenBao says to have the binary with this sum registered: from the plugin directory, or out of an image.
/// The version there is the catalog's; a plugin that named one itself could not be registered under another.
pub fn stanza(sha256: &str, image: Option<&str>) -> Result<String, hcl::Error> {
    let setting = |name: &str| Attribute::new(name, true);
    let plugin = Block::builder("plugin").add_labels(["secret", "sparekey"]);
    let plugin = match image {
        Some(image) => plugin.add_attribute(("image", image)).add_attribute(("binary_name", "sparekey")),
        None => plugin.add_attribute(("command", "sparekey")),
    };
    let plugin = plugin
        .add_attribute(("version", concat!("v", env!("CARGO_PKG_VERSION"))))
        .add_attribute(("sha256sum", sha256))
        .build();
    let body = Body::builder();
    let body = if image.is_some() { body.add_attribute(setting("plugin_auto_download")) } else { body };
    hcl::to_string(&body.add_attribute(setting("plugin_auto_register")).add_block(plugin).build())
}
