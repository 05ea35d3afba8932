//! What every face translates into, and what it gets back. A face knows these types and no operation by name.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::audit::Recorded;
use crate::auth::Caller;
use crate::crypto::secret::CodeText;
use crate::engine::listed::List;
use crate::storage::Write;

/// Vault's operations. `PUT` and `POST` are both an update; a create is an update of what does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `GET`.
    Read,
    /// `LIST`, or `GET` with `?list=true`.
    List,
    /// `PUT` and `POST`.
    Update,
    /// `DELETE`.
    Delete,
}

/// Which face a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// The standalone server.
    Http,
    /// A vault that mounts us.
    Mounted {
        /// For how long the vault will wrap the answer, if it was asked to.
        wrap_ttl: Option<Duration>,
    },
}

impl Face {
    /// The word for it in ledger entries.
    pub const fn word(self) -> &'static str {
        match self {
            Face::Http => "http",
            Face::Mounted { .. } => "mounted",
        }
    }
}

/// The wish to get the answer wrapped instead of bare (standalone face only: a mounting vault wraps by itself).
pub struct Wrap {
    /// Keyed hash of the wrapping token; the token itself stays with the host.
    pub token_hash: [u8; 32],
    /// How long the wrapping lives.
    pub ttl: Duration,
    /// The host's record of the wrapping, written in the same commit as the burn.
    pub record: Write,
}

/// One request to the engine.
pub struct Request {
    /// The host's request id (a UUID).
    pub id: String,
    /// What is asked.
    pub operation: Operation,
    /// Path below the mount, without a leading slash.
    pub path: String,
    /// Body of an update, query of a read or list.
    pub data: Map<String, Value>,
    /// Who asks, as far as the host knows.
    pub caller: Caller,
    /// Where the request came from.
    pub remote: Option<IpAddr>,
    /// Through which face.
    pub face: Face,
    /// Set when the answer to an act that discloses shall be wrapped.
    pub wrap: Option<Wrap>,
}

impl Request {
    /// How long the answer will stay wrapped, if it will be: by our own host or by a vault that mounts us.
    pub fn wrap_ttl(&self) -> Option<Duration> {
        match self.face {
            Face::Http => self.wrap.as_ref().map(|wrap| wrap.ttl),
            Face::Mounted { wrap_ttl } => wrap_ttl,
        }
    }
}

/// The answer to a request: what may be said at once, and what only the audit receipt opens.
pub struct Response {
    /// Status and body.
    pub body: Body,
    /// Vault's warnings.
    pub warnings: Vec<String>,
    /// Codes that leave with this answer, if any.
    pub disclosure: Option<Disclosure>,
    /// What audit says of the act: account, generation, slot, ledger seq and head, where they apply. Never a code.
    pub note: Map<String, Value>,
}

/// Status and body of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// 200 with `data`.
    Data(Map<String, Value>),
    /// 200 with `data` and a list among it.
    Listed(Map<String, Value>, List),
    /// 204.
    Empty,
    /// 202 without a body (RFC 8935 push).
    Accepted,
    /// 400 with `{"err","description"}` (RFC 8935 section 2.4).
    EventError {
        /// The error code of the protocol.
        err: &'static str,
        /// A sentence for the transmitter.
        description: String,
    },
    /// The slot is wrapped: the host answers with its `wrap_info`.
    Wrapped,
}

impl Response {
    /// 204.
    pub fn empty() -> Self {
        Response { body: Body::Empty, warnings: Vec::new(), disclosure: None, note: Map::new() }
    }
    /// 200 with `data` (an object).
    pub fn data(data: Map<String, Value>) -> Self {
        Response { body: Body::Data(data), ..Response::empty() }
    }
    /// 200 with `data` (an object) and a list among it.
    pub fn listed(data: Map<String, Value>, list: List) -> Self {
        Response { body: Body::Listed(data, list), ..Response::empty() }
    }
}

/// Codes in clear, as they stand in an answer. Wiped when the last holder lets go.
pub enum Codes {
    /// One.
    One(CodeText),
    /// A whole set, slot 1 first.
    Set(Arc<[CodeText]>),
}

impl Codes {
    /// The codes, slot 1 first.
    pub fn all(&self) -> &[CodeText] {
        match self {
            Codes::One(code) => std::slice::from_ref(code),
            Codes::Set(codes) => codes,
        }
    }
}

impl From<CodeText> for Codes {
    fn from(code: CodeText) -> Self {
        Codes::One(code)
    }
}

/// Plaintext on its way out: a box that opens only against the audit's receipt, by value.
pub struct Disclosure {
    field: &'static str,
    codes: Codes,
}

impl Disclosure {
    /// Boxes `codes`, which will stand in the answer as `field`: one as a string, a set as a list.
    pub fn new(field: &'static str, codes: impl Into<Codes>) -> Self {
        Disclosure { field, codes: codes.into() }
    }
    /// Opens the box: the field's name and the codes.
    pub fn open(self, _receipt: Recorded) -> (&'static str, Codes) {
        (self.field, self.codes)
    }
}
