//! What the host says of a request and its answer. Values are borrowed as they came; [`super::conceal`] decides what a line
//! may carry of them.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::engine::listed::List;
use crate::engine::request::Operation;

/// What the note of every disclosure line names.
pub(super) const DISCLOSURE: [&str; 5] = ["account", "generation", "slot", "seq", "head"];

/// One request, before it is worked on.
#[derive(Clone, Copy)]
pub struct RequestEntry<'a> {
    /// The request's id (a UUID), the same in its response entry.
    pub id: &'a str,
    /// What is asked.
    pub operation: Operation,
    /// The mount with its closing slash: `backup-codes/`, `sys/`, `auth/jwt/`, `auth/token/`.
    pub mount_point: &'a str,
    /// The mount's type: `sparekey`, `system`, `jwt`, `token`.
    pub mount_type: &'a str,
    /// The whole path below `/v1/`, mount included, without a query. In clear.
    pub path: &'a str,
    /// Body of an update, query of a read or list, as it came. Strings are HMAC'd, codes left out.
    pub data: &'a Map<String, Value>,
    /// Who asks.
    pub caller: &'a Caller,
    /// The token that came, if any. HMAC'd.
    pub token: Option<&'a str>,
    /// Where the request came from.
    pub remote: Option<IpAddr>,
    /// The wrapping that was asked for.
    pub wrap_ttl: Option<Duration>,
    /// Why it was refused before any work, if it was: the sentence the caller gets.
    pub error: Option<&'a str>,
}

/// The answer to a request, before it is given.
#[derive(Clone, Copy)]
pub struct ResponseEntry<'a> {
    /// The request again.
    pub request: RequestEntry<'a>,
    /// The status of the answer.
    pub status: u16,
    /// The sentence of a refusal or failure. In clear.
    pub error: Option<&'a str>,
    /// `data` of the answer, without what is disclosed.
    pub data: Option<&'a Map<String, Value>>,
    /// The list among it.
    pub list: Option<&'a List>,
    /// How many warnings the answer carries (their text may repeat what the caller sent).
    pub warnings: usize,
    /// The token that a login or renewal gave out.
    pub auth: Option<AuthInfo<'a>>,
    /// The wrapping the answer went into.
    pub wrap_info: Option<WrapInfo<'a>>,
    /// What the engine says of the act, in clear. A disclosure must name `account`, `generation`, `slot`, `seq` and `head`.
    pub note: &'a Map<String, Value>,
}

/// A token that leaves with the answer.
#[derive(Clone, Copy)]
pub struct AuthInfo<'a> {
    /// The token. HMAC'd.
    pub client_token: &'a str,
    /// Its accessor. HMAC'd unless the device says otherwise.
    pub accessor: &'a str,
    /// The role of the login. In clear.
    pub role: &'a str,
    /// The subject of the login. In clear.
    pub subject: &'a str,
    /// How long the token lives.
    pub ttl: Duration,
}

/// A wrapping that leaves with the answer.
#[derive(Clone, Copy)]
pub struct WrapInfo<'a> {
    /// The wrapping token. HMAC'd.
    pub token: &'a str,
    /// Its accessor. HMAC'd unless the device says otherwise.
    pub accessor: &'a str,
    /// How long it lives.
    pub ttl: Duration,
    /// The path whose answer is wrapped. In clear.
    pub creation_path: &'a str,
}

/// A disclosure line was written, but the act did not come about: nothing was disclosed.
#[derive(Clone, Copy)]
pub struct VoidEntry<'a> {
    /// The request.
    pub request: RequestEntry<'a>,
    /// What stopped it. In clear.
    pub reason: &'a str,
    /// The note of the disclosure line it takes back.
    pub note: &'a Map<String, Value>,
}
