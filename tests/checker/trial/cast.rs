//! Who takes part: the usual cast, and roles, profiles and sources that a workload may turn on and off.

use std::sync::Arc;

use serde_json::{Value, json};

use super::log::Manner;
use crate::support::http::Client;
use crate::support::scene::{AUDIENCE, ISSUER, Scene};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, claims, credential_change};

/// The `iss` of the issuer whose key is turned.
const GUESTS: &str = "https://guests.example.com/";
/// The role that may do every act.
pub const WORKER: &str = "worker";
/// The role that is turned on and off.
pub const TURNING: &str = "turning";
/// The role whose issuer's key is turned.
pub const GUEST: &str = "guest";

/// A way to the engine: a node's address, or a proxy before it.
#[derive(Clone)]
pub struct Door {
    /// A client without a token.
    pub client: Client,
    /// One with the right to administer.
    pub root: Client,
    /// Which node it leads to.
    pub node: usize,
    /// The engine's time in seconds since 1970.
    pub now: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The cast of a run.
pub struct Cast {
    people: Signer,
    guests: Signer,
    impostor: Signer,
}

impl Cast {
    /// Sets everything up through this door, with a source of events for each client.
    pub fn new(door: &Door, clients: usize) -> Self {
        let scene = Scene::with(door.root.clone(), door.client.clone(), Signer::es256("people"));
        let cast =
            Cast { people: scene.signer.clone(), guests: Signer::es256("guests"), impostor: Signer::es256("guests") };
        let write = |path: &str, body: Value| {
            let answer = door.root.write(&format!("{MOUNT}/{path}"), &body);
            assert!(matches!(answer.status, 200 | 204), "{path}: {} {}", answer.status, answer.text());
        };
        for manner in Manner::ALL {
            write(&format!("profiles/{}", manner.profile()), profile(manner));
        }
        write("issuers/guests", cast.issuer(true));
        let acts = "store,retrieve,outcome,verify,check,enroll,revoke,release,confirm";
        write(&format!("roles/{WORKER}"), role("idp", acts));
        write(&format!("roles/{TURNING}"), role("idp", "retrieve"));
        write(&format!("roles/{GUEST}"), role("guests", "retrieve"));
        write("roles/reader", role("idp", "read,list"));
        for client in 0..clients {
            let source = json!({
                "type": "caep", "issuer": "idp", "bound_audiences": [AUDIENCE], "account_template": "okta/{{email}}",
                "skew": super::judge::ends::SOURCE_SKEW,
            });
            write(&format!("sources/{}", source_of(client)), source);
        }
        cast
    }

    /// An assertion of `subject` for this role, made at `now`.
    pub fn assertion(&self, role: &str, subject: &str, now: u64) -> String {
        let (iss, signer) = match role {
            GUEST => (GUESTS, &self.guests),
            _ => (ISSUER, &self.people),
        };
        let mut claims = claims(iss, subject, AUDIENCE);
        (claims["iat"], claims["exp"]) = (json!(now), json!(now + 300));
        claims["groups"] = json!(["on-call"]);
        signer.jwt(&claims)
    }
    /// A signed event about the person of this account, who enrolled again at `at`.
    pub fn event(&self, account: &str, at: u64, now: u64) -> String {
        let email = account.trim_start_matches("okta/");
        let mut event = credential_change(ISSUER, AUDIENCE, &json!({"format": "email", "email": email}), at);
        event["iat"] = json!(now);
        self.people.set(&event)
    }
    /// The role that is turned, as it lets people act or does not.
    pub fn turning(may: bool) -> Value {
        json!({"bound_claims": {"groups": [if may { "on-call" } else { "nobody" }]}})
    }
    /// The issuer of guests, with their key or with another one.
    pub fn issuer(&self, may: bool) -> Value {
        let signer = if may { &self.guests } else { &self.impostor };
        json!({"bound_issuer": GUESTS, "jwt_validation_pubkeys": [signer.public_pem()]})
    }
}

/// The source through which a client tells of events.
pub fn source_of(client: usize) -> String {
    format!("source-{client}")
}

fn role(issuer: &str, operations: &str) -> Value {
    json!({
        "issuers": [issuer], "bound_audiences": [AUDIENCE], "bound_claims": {"groups": ["on-call"]}, "accounts": ["*"],
        "operations": operations, "max_retrievals": null, "token_ttl": "30m", "token_max_ttl": "30m",
    })
}

fn profile(manner: Manner) -> Value {
    let mut profile = json!({"max_failures": 90, "lockout": "1m"});
    match manner {
        Manner::Plain => {}
        Manner::InTurn => profile["order"] = json!("sequential"),
        Manner::Quarantining => profile["on_enrollment"] = json!("quarantine"),
        Manner::Noting => profile["on_enrollment"] = json!("notify"),
        Manner::Issued => {
            // Long codes are compared by a quick hash: what is tried here is not the stretching.
            profile["kind"] = json!("issued");
            profile["length"] = json!(24);
            profile["verifier"] = json!("hmac-sha256");
            profile["count"] = json!(12);
        }
    }
    profile
}
