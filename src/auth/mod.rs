//! Who asks, and what they may do: callers, assertions, grants.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::domain::name::AccountName;
use crate::domain::role::Capability;
use crate::domain::time::Timestamp;

mod believed;
mod claims;
pub mod fetch;
pub mod host;
pub mod issuer;
mod json;
pub mod judge;
pub mod jwks;
pub mod jwt;
pub mod login;
pub mod refusal;

pub use issuer::Compiled;
pub use judge::{Grant, judge, judge_metadata};
pub use jwks::Verifier;
pub use jwt::Token;
pub use login::{LoginGrant, judge_login, login};
pub use refusal::Refusal;

/// The holder of the token that came with a request, as the host knows it.
#[derive(Clone)]
pub enum Caller {
    /// No token, or a path where it is ignored.
    Anonymous,
    /// The root token.
    Root {
        /// The token's accessor.
        accessor: String,
    },
    /// A token from a JWT login.
    Login {
        /// The token's accessor.
        accessor: String,
        /// The role of the login.
        role: String,
        /// The claims the token was issued on, checked then.
        assertion: Assertion,
    },
    /// Whoever the vault that mounts us let through: its policies have judged the path and the operation, and nothing else.
    Host {
        /// The vault's entity; empty for its root token and tokens without one.
        entity_id: String,
        /// Accessor of the vault's token.
        accessor: String,
        /// What the vault calls the token's holder. Whoever made the token may have chosen it: it proves nothing.
        display_name: String,
    },
}

/// Whether an assertion came with this request or was checked when the caller logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presented {
    /// In this request's `jwt`.
    Request,
    /// At login; `exp`, `iat` and age were counted then.
    Login,
    /// By the vault that mounts us, as it knows the caller now: nobody signed it, and it has no age.
    Host,
}

/// A JWT whose signature, algorithm, issuer, type and times hold. Nothing is granted by it yet: a role decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assertion {
    /// Name of the issuer's record under `issuers/`.
    pub issuer: String,
    /// The `iss` claim.
    pub iss: String,
    /// The `sub` claim.
    pub subject: String,
    /// Audiences in the token.
    pub audiences: Vec<String>,
    /// The `iat` claim.
    #[serde(serialize_with = "millis", deserialize_with = "from_millis")]
    pub issued_at: Timestamp,
    /// The `exp` claim.
    #[serde(serialize_with = "millis", deserialize_with = "from_millis")]
    pub expires_at: Timestamp,
    /// All claims.
    pub claims: Map<String, Value>,
    /// How it came.
    pub presented: Presented,
    /// SHA-256 over `iss` and `jti`; without `jti` over the signed bytes, header and payload, never the signature.
    pub replay: [u8; 32],
    /// The issuer vouches for its e-mail claims without `email_verified`.
    pub trust_email: bool,
}

/// An act somebody wants to do on an account, with what a role may ask about.
pub struct Act<'a> {
    /// What.
    pub capability: Capability,
    /// To which account.
    pub account: &'a AccountName,
    /// When.
    pub now: Timestamp,
    /// From where.
    pub remote: Option<IpAddr>,
    /// Why.
    pub reason: Option<&'a str>,
    /// On which ticket.
    pub ticket: Option<&'a str>,
    /// Whether the answer will be wrapped.
    pub wrapped: bool,
}

fn millis<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.millis())
}

fn from_millis<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    i64::deserialize(deserializer).map(Timestamp::from_millis)
}
