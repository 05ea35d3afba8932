//! The lines as they are written: Vault's members in an order that lets a verifier find what it needs without reading the rest.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::conceal::{Concealer, Salt, clear, note};
use super::entry::{RequestEntry, ResponseEntry, VoidEntry};
use crate::auth::Caller;
use crate::domain::time::Timestamp;
use crate::engine::request::Operation;

/// What one body says, before its link in the chain is put in front: the members of a JSON object without its opening brace.
pub fn body_of(shape: &impl Serialize) -> Vec<u8> {
    match serde_json::to_vec(shape) {
        Ok(mut json) => {
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
        time: now.to_string(),
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
    let said = (!entry.note.is_empty()).then(|| note(entry.note));
    let (disclosure, note) = if discloses { (said, None) } else { (None, said) };
    let response = ResponseShape {
        status: entry.status,
        disclosure,
        note,
        data: entry.data.map(|data| concealer.response(data)).filter(|data| !data.is_empty()),
        warnings: entry.warnings,
        auth: entry.auth.map(|auth| {
            json!({
                "client_token": salt.text(auth.client_token),
                "accessor": salt.accessor(auth.accessor),
                "metadata": {"role": clear(auth.role), "subject": clear(auth.subject)},
                "token_ttl": auth.ttl.as_secs(),
                "token_type": "service",
            })
        }),
        wrap_info: entry.wrap_info.map(|wrap| {
            json!({
                "token": salt.text(wrap.token),
                "accessor": salt.accessor(wrap.accessor),
                "ttl": wrap.ttl.as_secs(),
                "creation_path": clear(wrap.creation_path),
            })
        }),
    };
    body_of(&Line {
        time: now.to_string(),
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
        time: now.to_string(),
        kind: "void",
        disclosed: None,
        request: request_shape(&entry.request, salt, None),
        auth: auth_shape(&entry.request, salt),
        response: None,
        void: Some(json!({"reason": clear(entry.reason), "disclosure": note(entry.note)})),
        error: None,
    })
}

/// The body of the line that says how many lines the device could not take.
pub fn missed(device: &str, lines: u64, now: Timestamp) -> Vec<u8> {
    body_of(&Missed { time: now.to_string(), kind: "missed", missed: json!({"device": device, "lines": lines}) })
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    disclosed: Option<bool>,
    request: RequestShape<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ResponseShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    void: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Missed {
    time: String,
    #[serde(rename = "type")]
    kind: &'static str,
    missed: Value,
}

#[derive(Serialize)]
struct RequestShape<'a> {
    id: String,
    operation: &'static str,
    mount_point: &'a str,
    mount_type: &'a str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_token_accessor: Option<String>,
}

#[derive(Serialize)]
struct ResponseShape {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    disclosure: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "is_zero")]
    warnings: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_info: Option<Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn request_shape<'a>(entry: &RequestEntry<'a>, salt: &Salt, data: Option<Map<String, Value>>) -> RequestShape<'a> {
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
        data: data.filter(|data| !data.is_empty()),
        remote_address: entry.remote.map(|remote| remote.to_string()),
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

fn auth_shape(entry: &RequestEntry<'_>, salt: &Salt) -> Option<Value> {
    let mut auth = match entry.caller {
        Caller::Anonymous => return None,
        Caller::Host { entity_id, display_name, .. } => {
            json!({"display_name": display_name, "entity_id": entity_id, "token_type": "service"})
        }
        Caller::Root { .. } => json!({"display_name": "root", "policies": ["root"], "token_type": "service"}),
        Caller::Login { role, assertion, .. } => json!({
            "display_name": clear(&format!("jwt-{}", assertion.subject)),
            "metadata": {
                "role": clear(role),
                "subject": clear(&assertion.subject),
                "issuer": clear(&assertion.issuer),
            },
            "token_type": "service",
        }),
    };
    if let (Some(accessor), Value::Object(auth)) = (accessor(entry.caller), &mut auth) {
        auth.insert("accessor".into(), salt.accessor(accessor).into());
        auth.extend(entry.token.map(|token| ("client_token".to_owned(), Value::String(salt.text(token)))));
    }
    Some(auth)
}
