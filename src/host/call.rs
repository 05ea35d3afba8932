//! One request as the wire has read it: a verb, a path below `/v1/`, fields, and the headers that mean something here.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::answer::Refusal;

/// What is asked of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `GET`.
    Read,
    /// `HEAD`, which health alone answers.
    Head,
    /// `LIST`, or `GET` with `?list=true`.
    List,
    /// `PUT` and `POST`.
    Update,
    /// `DELETE`.
    Delete,
    /// `PATCH`, which no path here takes.
    Patch,
    /// `SCAN`, or `GET` with `?scan=true`, which no path here takes.
    Scan,
    /// `HELP`, or `GET` with `?help=1`.
    Help,
}

/// A token as a caller sent it or as it will be sent to one. Wiped when dropped; no `Debug`, no `Clone`.
pub struct Token(Zeroizing<String>);

impl Token {
    /// Longest token that is looked up at all, in bytes.
    pub const MAX: usize = 512;

    /// Takes over `text`.
    pub fn new(text: String) -> Self {
        Token(Zeroizing::new(text))
    }
    /// Whether a token of this length is looked up.
    pub fn may_exist(&self) -> bool {
        (1..=Self::MAX).contains(&self.0.len())
    }
    /// The text, for hashing and for the one answer that carries it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// One request.
pub struct Call {
    /// What is asked.
    pub verb: Verb,
    /// Of which path: below `/v1/`, decoded, without a leading slash. That of a list ends in a slash.
    pub path: String,
    /// The query string's fields, without those that only choose the verb.
    pub query: Map<String, Value>,
    /// The body's fields.
    pub body: Map<String, Value>,
    /// `X-Vault-Token`, else `Authorization: Bearer`.
    pub token: Option<Token>,
    /// `X-Vault-Wrap-TTL`, where it is more than zero.
    pub wrap_ttl: Option<Duration>,
    /// Whether `X-Vault-Namespace` names any namespace but the root one.
    pub foreign_namespace: bool,
    /// Whether the client takes metrics as text (`Accept: application/openmetrics-text`, as Prometheus sends it).
    pub text_metrics: bool,
    /// Whether metrics are told without a token here: the listener's `unauthenticated_metrics_access`.
    pub open_metrics: bool,
    /// Whether the server was told to stop, so that `sys/health` sends balancers elsewhere.
    pub shutting_down: bool,
    /// Where the request came from.
    pub remote: Option<SocketAddr>,
    /// Why the face refuses it: a query or body that cannot be read. Nothing is done for it but recording the refusal.
    pub refused: Option<Refusal>,
}

impl Call {
    /// The fields that a path of this verb reads: the query of a read or list, the body of a write.
    pub fn fields(&mut self) -> Map<String, Value> {
        match self.verb {
            Verb::Update | Verb::Patch => std::mem::take(&mut self.body),
            _ => std::mem::take(&mut self.query),
        }
    }
}
