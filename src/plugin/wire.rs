//! The host's messages as the engine's requests, and its answers as the host's messages: the way to the table and back.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::host::READ_ONLY;
use super::proto::pb;
use crate::audit::Recorded;
use crate::auth::Caller;
use crate::engine::request::{Body, Codes, Face, Operation, Request, Response};
use crate::error::{Error, Kind, Result};
use crate::http::json;
use crate::random::{self, OsRandom};

/// Longest `data` of a request, in bytes: as long as a body of the standalone face.
const MAX_DATA: usize = 1024 * 1024;

/// Numbers of the host's error types. One above the highest counts as success there, so they are written here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorType {
    /// Any error by its text.
    Unknown = 0,
    /// 500; the text goes to the client.
    Internal = 2,
    /// The status that stands in the code, which must not be nought.
    Coded = 3,
    /// 405.
    UnsupportedOperation = 5,
    /// 404.
    UnsupportedPath = 6,
    /// 400.
    InvalidRequest = 7,
    /// 403.
    PermissionDenied = 8,
}

/// The engine's operation, if the host's word is for one of the table's.
pub fn operation(word: &str) -> Option<Operation> {
    match word {
        "read" => Some(Operation::Read),
        "list" => Some(Operation::List),
        "create" | "update" => Some(Operation::Update),
        "delete" => Some(Operation::Delete),
        _ => None,
    }
}

/// Takes a request over. Its `data`, which may hold codes and assertions, is wiped.
pub fn request(sent: pb::Request, operation: Operation) -> Result<Request> {
    let data = Zeroizing::new(sent.data);
    if data.len() > MAX_DATA {
        return Err(Error::new(Kind::TooLarge, "http: request body too large"));
    }
    let data = json::object(data.as_bytes())?;
    let caller = match sent.unauthenticated {
        true => Caller::Anonymous,
        false => Caller::Host {
            entity_id: sent.entity_id,
            accessor: sent.client_token_accessor,
            display_name: sent.display_name,
        },
    };
    let wrap = sent.wrap_info.and_then(|wrap| u64::try_from(wrap.ttl).ok()).filter(|nanos| *nanos > 0);
    Ok(Request {
        id: if sent.id.is_empty() { hex::encode(random::bytes::<16>(&OsRandom)) } else { sent.id },
        operation,
        path: sent.path,
        data,
        caller,
        remote: sent.connection.as_ref().and_then(|connection| address(&connection.remote_addr)),
        face: Face::Mounted { wrap_ttl: wrap.map(Duration::from_nanos) },
        wrap: None,
    })
}

fn address(text: &str) -> Option<IpAddr> {
    let plain = text.parse::<IpAddr>().ok();
    plain.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())).map(|address| address.to_canonical())
}

/// What the host gets for an answer of the engine.
pub fn reply(answer: Result<Response>) -> pb::HandleRequestReply {
    let mut response = match answer {
        Ok(response) => response,
        Err(error) => return refused(&error),
    };
    let warnings = std::mem::take(&mut response.warnings);
    let data = match response.body {
        Body::Data(mut data) => {
            let Some(disclosure) = response.disclosure else { return answered(&Value::Object(data), warnings) };
            let (field, codes) = disclosure.open(Recorded::by_the_mounting_host());
            let mut copies: Vec<Value> =
                codes.all().iter().map(|code| Value::String(code.expose().to_owned())).collect();
            let shown = match codes {
                Codes::One(_) => copies.pop().unwrap_or_default(),
                Codes::Set(_) => Value::Array(copies),
            };
            data.insert(field.to_owned(), shown);
            let mut data = Value::Object(data);
            let reply = answered(&data, warnings);
            wipe(data.get_mut(field));
            return reply;
        }
        Body::Listed(fields, list) => {
            let mut text = Vec::new();
            list.write_among(&fields, &mut text);
            return match String::from_utf8(text) {
                Ok(text) => told(text, warnings),
                Err(error) => refused(&Error::internal(error)),
            };
        }
        Body::Empty if warnings.is_empty() => return pb::HandleRequestReply::default(),
        Body::Empty => Value::Null,
        Body::Accepted => raw(202, ""),
        Body::EventError { err, description } => raw(400, &json!({"err": err, "description": description}).to_string()),
        Body::Wrapped => return refused(&Error::internal("an answer was wrapped that only the host can wrap")),
    };
    answered(&data, warnings)
}

/// Wipes the copies that were made of codes.
fn wipe(shown: Option<&mut Value>) {
    match shown {
        Some(Value::String(copy)) => copy.zeroize(),
        Some(Value::Array(copies)) => copies.iter_mut().for_each(|copy| wipe(Some(copy))),
        _ => {}
    }
}

/// An answer with `data`, which the host passes on as the client's `data`.
pub fn answered(data: &Value, warnings: Vec<String>) -> pb::HandleRequestReply {
    told(data.to_string(), warnings)
}

fn told(data: String, warnings: Vec<String>) -> pb::HandleRequestReply {
    let response = pb::Response { data, warnings, ..pb::Response::default() };
    pb::HandleRequestReply { response: Some(response), err: None }
}

/// An answer that the host sends as it stands. The body is base64, since the host decodes whatever looks like it.
fn raw(status: u16, body: &str) -> Value {
    json!({"http_status_code": status, "http_content_type": "application/json", "http_raw_body": STANDARD.encode(body)})
}

/// An error as the host shows it: the sentence bare, as the standalone face does, where the host can; else the host lists it.
fn refused(error: &Error) -> pb::HandleRequestReply {
    let sentence = error.public();
    match error.kind() {
        Kind::Invalid => shown(sentence, ErrorType::InvalidRequest),
        Kind::Denied if sentence.is_empty() => bare(ErrorType::PermissionDenied),
        Kind::Denied => shown(sentence, ErrorType::PermissionDenied),
        Kind::NotFound if sentence.is_empty() => pb::HandleRequestReply::default(),
        Kind::NotFound if sentence == "unsupported path" => bare(ErrorType::UnsupportedPath),
        Kind::NotFound => shown(sentence, ErrorType::UnsupportedPath),
        Kind::Unsupported => bare(ErrorType::UnsupportedOperation),
        Kind::Internal => {
            tracing::error!(error = ?error, "a request failed");
            failed(ErrorType::Internal, sentence, 0)
        }
        kind @ (Kind::TooLarge | Kind::MediaType | Kind::TooMany | Kind::Unavailable) => {
            failed(ErrorType::Coded, sentence, kind.status().into())
        }
    }
}

/// An error whose text the host has itself.
pub fn bare(kind: ErrorType) -> pb::HandleRequestReply {
    failed(kind, "", 0)
}

/// Makes the host forward the request to the node that may write.
pub fn forward() -> pb::HandleRequestReply {
    failed(ErrorType::Unknown, READ_ONLY, 0)
}

/// An error of the host's own kinds.
pub fn error(kind: ErrorType, text: &str) -> pb::ProtoError {
    pb::ProtoError { err_type: kind as u32, err_msg: text.to_owned(), err_code: 0 }
}

fn failed(kind: ErrorType, text: &str, code: i64) -> pb::HandleRequestReply {
    let err = pb::ProtoError { err_code: code, ..error(kind, text) };
    pb::HandleRequestReply { response: None, err: Some(err) }
}

/// The sentence as the only error, with the status of `kind`.
fn shown(sentence: &str, kind: ErrorType) -> pb::HandleRequestReply {
    let data = Map::from_iter([("error".to_owned(), Value::from(sentence))]);
    pb::HandleRequestReply { err: Some(error(kind, "")), ..answered(&Value::Object(data), Vec::new()) }
}
