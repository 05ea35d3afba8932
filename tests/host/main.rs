//! The standalone host over real HTTP: seal, tokens, wrapping, audit, and what happens when the store or audit fails.

#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../support/mod.rs"]
mod support;

mod audit;
mod issued;
mod operator;
mod paths;
mod seal;
mod tokens;
mod versions;
mod wrapping;

use inprocess::Node;
use serde_json::{Value, json};
use support::http::{Answer, Client};
use support::scene::{AUDIENCE, ISSUER, Scene};
use support::signer::{Signer, claims};

/// The usual cast on this node.
fn scene(node: &Node, root: &str) -> Scene {
    Scene::with(node.client().token(root), node.client(), Signer::es256("idp-1"))
}

/// Adds a role that may log in as `subject` for ten minutes, an hour at most, with these operations.
fn role(node: &Node, root: &str, name: &str, operations: &[&str]) {
    let role = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": name, "accounts": ["*"],
        "operations": operations, "token_ttl": "10m", "token_max_ttl": "1h",
    });
    node.client().token(root).write(&format!("backup-codes/roles/{name}"), &role).expect(204);
}

/// Logs in under the role `name`.
fn log_in(node: &Node, scene: &Scene, name: &str) -> Answer {
    let jwt = scene.signer.jwt(&claims(ISSUER, name, AUDIENCE));
    node.client().write("auth/jwt/login", &json!({"role": name, "jwt": jwt}))
}

/// The token of such a login.
fn token(node: &Node, scene: &Scene, name: &str) -> String {
    let answer = log_in(node, scene, name).expect(200).json();
    answer["auth"]["client_token"].as_str().unwrap().to_owned()
}

fn lookup(client: &Client) -> Answer {
    client.read("auth/token/lookup-self")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
