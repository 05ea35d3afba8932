//! The lines as they are written: Vault's members in an order that lets a verifier find what it needs without reading the rest.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use super::conceal::{Concealer, Fields, Note, clear};
use super::entry::{RequestEntry, ResponseEntry, VoidEntry};
use super::salt::{Accessor, Hashed, Salt};
use crate::auth::Caller;
use crate::domain::time::Timestamp;
use crate::engine::request::Operation;

/// What one body says, before its link in the chain is put in front: the members of a JSON object without its opening brace.
pub fn body_of(shape: &impl Serialize) -> Vec<u8> {
    let mut json = Vec::with_capacity(1024);
    match serde_json::to_writer(&mut json, shape) {
        Ok(()) => {
            json.remove(0);
            json
        }
        // Shapes have text keys only, so that this cannot come about; if it did, the line would say so.
        Err(_) => br#""error":"this entry could not be written as JSON"}"#.to_vec(),
    }
}

/// The body of a request line.
pub fn request(entry: &RequestEntry<'_>, salt: &Salt, now: Timestamp) -> Vec<u8> {
    let concealer = Concealer::new(salt);
    body_of(&Line {
        time: Text(now),
        kind: "request",
        disclosed: None,
        request: request_shape(entry, salt, Some(concealer.request(entry.data))),
        auth: auth_shape(entry, salt),
        response: None,
        void: None,
        error: entry.error.map(clear),
    })
}

/// The body of a response line; `discloses` marks the intent of a disclosure.
pub fn response(entry: &ResponseEntry<'_>, discloses: bool, salt: &Salt, now: Timestamp) -> Vec<u8> {
    let concealer = Concealer::new(salt);
    let request = request_shape(&entry.request, salt, Some(concealer.request(entry.request.data)));
    let said = (!entry.note.is_empty()).then_some(Note(entry.note));
    let (disclosure, note) = if discloses { (said, None) } else { (None, said) };
    let response = ResponseShape {
        status: entry.status,
        disclosure,
        note,
        data: entry.data.filter(|data| !data.is_empty()).map(|data| concealer.response(data, entry.list)),
        warnings: entry.warnings,
        auth: entry.auth.map(|auth| TokenShape {
            client_token: salt.text(auth.client_token),
            accessor: salt.accessor(auth.accessor),
            metadata: Metadata { role: clear(auth.role), subject: clear(auth.subject), issuer: None },
            token_ttl: auth.ttl.as_secs(),
            token_type: SERVICE,
        }),
        wrap_info: entry.wrap_info.map(|wrap| WrapShape {
            token: salt.text(wrap.token),
            accessor: salt.accessor(wrap.accessor),
            ttl: wrap.ttl.as_secs(),
            creation_path: clear(wrap.creation_path),
        }),
    };
    body_of(&Line {
        time: Text(now),
        kind: "response",
        disclosed: discloses.then_some(true),
        request,
        auth: auth_shape(&entry.request, salt),
        response: Some(response),
        void: None,
        error: entry.error.map(clear),
    })
}

/// The body of a void line.
pub fn void(entry: &VoidEntry<'_>, salt: &Salt, now: Timestamp) -> Vec<u8> {
    body_of(&Line {
        time: Text(now),
        kind: "void",
        disclosed: None,
        request: request_shape(&entry.request, salt, None),
        auth: auth_shape(&entry.request, salt),
        response: None,
        void: Some(VoidShape { reason: clear(entry.reason), disclosure: Note(entry.note) }),
        error: None,
    })
}

/// The body of the line that says how many lines the device could not take.
pub fn missed(device: &str, lines: u64, now: Timestamp) -> Vec<u8> {
    body_of(&Missed { time: Text(now), kind: "missed", missed: MissedShape { device, lines } })
}

/// All tokens are of this type.
const SERVICE: &str = "service";

/// Written as it is displayed.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: Text<Timestamp>,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disclosed: Option<bool>,
    request: RequestShape<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<AuthShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    void: Option<VoidShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct VoidShape<'a> {
    reason: Cow<'a, str>,
    disclosure: Note<'a>,
}

#[derive(Serialize)]
struct Missed<'a> {
    time: Text<Timestamp>,
    #[serde(rename = "type")]
    kind: &'static str,
    missed: MissedShape<'a>,
}

#[derive(Serialize)]
struct MissedShape<'a> {
    device: &'a str,
    lines: u64,
}

#[derive(Serialize)]
struct RequestShape<'a> {
    id: Cow<'a, str>,
    operation: &'static str,
    mount_point: &'a str,
    mount_type: &'a str,
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<Hashed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token_accessor: Option<Accessor<'a>>,
}

#[derive(Serialize)]
struct ResponseShape<'a> {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    disclosure: Option<Note<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Note<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    warnings: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<TokenShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_info: Option<WrapShape<'a>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// A token that leaves.
#[derive(Serialize)]
struct TokenShape<'a> {
    accessor: Accessor<'a>,
    client_token: Hashed,
    metadata: Metadata<'a>,
    token_ttl: u64,
    token_type: &'static str,
}

#[derive(Serialize)]
struct WrapShape<'a> {
    token: Hashed,
    accessor: Accessor<'a>,
    ttl: u64,
    creation_path: Cow<'a, str>,
}

/// The holder of the token that came.
#[derive(Serialize)]
struct AuthShape<'a> {
    accessor: Accessor<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<Hashed>,
    display_name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<[&'static str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    token_type: &'static str,
}

/// What a login was about.
#[derive(Serialize)]
struct Metadata<'a> {
    role: Cow<'a, str>,
    subject: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Cow<'a, str>>,
}

fn request_shape<'a>(entry: &RequestEntry<'a>, salt: &Salt, data: Option<Fields<'a>>) -> RequestShape<'a> {
    RequestShape {
        id: clear(entry.id),
        operation: match entry.operation {
            Operation::Read => "read",
            Operation::List => "list",
            Operation::Update => "update",
            Operation::Delete => "delete",
        },
        mount_point: entry.mount_point,
        mount_type: entry.mount_type,
        path: clear(entry.path),
        data: data.filter(|_| !entry.data.is_empty()),
        remote_address: entry.remote,
        wrap_ttl: entry.wrap_ttl.map(|ttl| ttl.as_secs()),
        client_token: entry.token.map(|token| salt.text(token)),
        client_token_accessor: accessor(entry.caller).map(|accessor| salt.accessor(accessor)),
    }
}

fn accessor(caller: &Caller) -> Option<&str> {
    match caller {
        Caller::Anonymous => None,
        Caller::Root { accessor } | Caller::Login { accessor, .. } | Caller::Host { accessor, .. } => Some(accessor),
    }
}

fn auth_shape<'a>(entry: &RequestEntry<'a>, salt: &Salt) -> Option<AuthShape<'a>> {
    let bare = AuthShape {
        accessor: salt.accessor(accessor(entry.caller)?),
        client_token: entry.token.map(|token| salt.text(token)),
        display_name: Cow::Borrowed("root"),
        policies: None,
        entity_id: None,
        metadata: None,
        token_type: SERVICE,
    };
    Some(match entry.caller {
        Caller::Anonymous => return None,
        Caller::Host { entity_id, display_name, .. } => {
            AuthShape { display_name: display_name.into(), entity_id: Some(entity_id), ..bare }
        }
        Caller::Root { .. } => AuthShape { policies: Some(["root"]), ..bare },
        Caller::Login { role, assertion, .. } => AuthShape {
            display_name: Cow::Owned(clear(&format!("jwt-{}", assertion.subject)).into_owned()),
            metadata: Some(Metadata {
                role: clear(role),
                subject: clear(&assertion.subject),
                issuer: Some(clear(&assertion.issuer)),
            }),
            ..bare
        },
    })
}
