//! The head of a request, parsed once into a [`Call`] or answered on the spot: Vault's conventions for paths, methods, query
//! strings and headers.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Uri, Version};
use serde_json::{Map, Value};

use super::form;
use super::json;
use super::render::{self, Reply};
use crate::domain::time::parse_duration;
use crate::error::Error;
use crate::host::answer::Refusal;
use crate::host::call::{Call, Token, Verb};

/// The answer to a request that goes no further.
pub type Early = Box<Reply>;

/// Reads a head. `Err` answers what names no path of ours by no method of ours; what else is wrong goes into the call, so that
/// its refusal is recorded.
pub fn head(parts: &Parts, remote: Option<SocketAddr>) -> Result<Call, Early> {
    let headers = &parts.headers;
    one_host(parts)?;
    let token = token(headers)?;
    let raw = below(&parts.uri)?;
    let mut refused = None;
    let path = noted(&mut refused, decoded(raw)).unwrap_or_else(|| raw.to_owned());
    let mut query = noted(&mut refused, query(&parts.uri)).unwrap_or_default();
    let verb = match &parts.method {
        &Method::GET => noted(&mut refused, chosen(&mut query)).unwrap_or(Verb::Read),
        method => verb(method, headers).map_err(|refusal| Box::new(render::refused(&refusal)))?,
    };
    let path = match verb {
        Verb::List | Verb::Scan if !path.ends_with('/') => format!("{path}/"),
        _ => path,
    };
    if matches!(verb, Verb::Update | Verb::Patch) && path.ends_with('/') {
        refused.get_or_insert(Refusal::new(400, "cannot write to a path ending in '/'"));
    }
    let wrap_ttl = noted(&mut refused, wrap_ttl(headers)).flatten();
    let foreign_namespace = foreign_namespace(headers);
    let text_metrics =
        headers.get(ACCEPT).is_some_and(|value| contains(value.as_bytes(), b"application/openmetrics-text"));
    Ok(Call {
        verb,
        path,
        query,
        body: Map::new(),
        token,
        wrap_ttl,
        foreign_namespace,
        text_metrics,
        open_metrics: false,
        shutting_down: false,
        remote,
        refused,
    })
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// What was read, or nothing and a note of why; the first reason counts.
fn noted<T>(refused: &mut Option<Refusal>, read: Result<T, Refusal>) -> Option<T> {
    read.map_err(|refusal| refused.get_or_insert(refusal)).ok()
}

/// Reads a body as its media type says, which of a form that holds JSON is a lie (curl's default).
pub fn body(headers: &HeaderMap, bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let is = |media: &str| media_type(headers).is_some_and(|sent| sent.eq_ignore_ascii_case(media));
    if is("application/secevent+jwt") {
        // Bytes that are not UTF-8 are no compact JWS either: whoever takes the token apart says so.
        let text = String::from_utf8_lossy(bytes);
        return Ok(Map::from_iter([("set".to_owned(), Value::String(text.trim().to_owned()))]));
    }
    if is("application/x-www-form-urlencoded") && !json::looks_like_json(bytes) {
        return std::str::from_utf8(bytes)
            .ok()
            .and_then(form::pairs)
            .ok_or_else(|| Error::invalid("failed to parse form: at most 256 pairs, percent-encoded UTF-8"));
    }
    json::object(bytes)
}

/// A request says once for whom it is (RFC 9112 section 3.2): two hosts are two readings of it.
fn one_host(parts: &Parts) -> Result<(), Early> {
    let hosts = parts.headers.get_all(HOST).iter().count();
    match hosts {
        1 => Ok(()),
        0 if parts.version < Version::HTTP_11 => Ok(()),
        0 => Err(Box::new(render::plain(400, "400 Bad Request: missing required Host header"))),
        _ => Err(Box::new(render::plain(400, "400 Bad Request: too many Host headers"))),
    }
}

fn token(headers: &HeaderMap) -> Result<Option<Token>, Early> {
    let printable = |bytes: &[u8]| bytes.iter().all(|b| (0x20..0x7f).contains(b));
    let text = match headers.get("x-vault-token").map(|value| value.as_bytes()) {
        Some(bytes) if !bytes.is_empty() => bytes,
        _ => match headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")) {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => return Ok(None),
        },
    };
    match std::str::from_utf8(text) {
        Ok(text) if printable(text.as_bytes()) => Ok(Some(Token::new(text.trim().to_owned()))),
        _ => Err(Box::new(render::plain(400, "400 Bad Request"))),
    }
}

/// The path below `/v1/`, as it came.
fn below(uri: &Uri) -> Result<&str, Early> {
    let raw = uri.path();
    if let Some(clean) = cleaned(raw) {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Err(Box::new(render::moved(&format!("{clean}{query}"))));
    }
    if matches!(raw, "/" | "/ui/") {
        return Err(Box::new(render::plain(404, "404 page not found\n")));
    }
    match raw.strip_prefix("/v1/") {
        Some(below) if !below.is_empty() => Ok(below),
        _ => Err(Box::new(render::refused(&Refusal::silent(404)))),
    }
}

fn decoded(below: &str) -> Result<String, Refusal> {
    let decoded = form::decode(below).ok_or_else(|| Refusal::new(400, "path: percent-encoded UTF-8 is needed"))?;
    match decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
        true => Err(Refusal::new(400, "relative paths not supported")),
        false => Ok(decoded),
    }
}

fn query(uri: &Uri) -> Result<Map<String, Value>, Refusal> {
    let query = form::pairs(uri.query().unwrap_or_default())
        .ok_or_else(|| Refusal::new(400, "query: at most 256 pairs, percent-encoded UTF-8"))?;
    match query.contains_key("jwt") {
        true => Err(Refusal::new(
            400,
            "jwt: not in the query string, since URLs are logged; send it in the body of a write",
        )),
        false => Ok(query),
    }
}

/// The path without empty, `.` and `..` segments, if it has any.
fn cleaned(raw: &str) -> Option<String> {
    let inner = raw.strip_prefix('/')?;
    let last = inner.split('/').count().saturating_sub(1);
    let odd = |(at, segment): (usize, &str)| matches!(segment, "." | "..") || (segment.is_empty() && at < last);
    if !inner.split('/').enumerate().any(odd) {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in inner.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut clean = format!("/{}", kept.join("/"));
    if raw.ends_with('/') && clean.len() > 1 {
        clean.push('/');
    }
    Some(clean)
}

/// What any method but `GET` means.
fn verb(method: &Method, headers: &HeaderMap) -> Result<Verb, Refusal> {
    match method.as_str() {
        "HEAD" => Ok(Verb::Head),
        "PUT" | "POST" => Ok(Verb::Update),
        "DELETE" => Ok(Verb::Delete),
        "LIST" => Ok(Verb::List),
        "SCAN" => Ok(Verb::Scan),
        "HELP" => Ok(Verb::Help),
        "PATCH" => match media_type(headers) {
            Some(sent) if sent.eq_ignore_ascii_case("application/merge-patch+json") => Ok(Verb::Patch),
            Some(other) => Err(Refusal::new(
                415,
                format!("PATCH requires Content-Type of application/merge-patch+json, provided {other}"),
            )),
            None => Err(Refusal::new(400, "mime: no media type")),
        },
        "OPTIONS" => Err(Refusal::new(400, "cannot handle internal-only request operation")),
        _ => Err(Refusal::silent(405)),
    }
}

/// What `GET` means under `?help`, `?list` and `?scan`.
fn chosen(query: &mut Map<String, Value>) -> Result<Verb, Refusal> {
    for (name, verb) in [("help", Verb::Help), ("list", Verb::List), ("scan", Verb::Scan)] {
        match query.get(name) {
            None => {}
            Some(Value::String(text)) => match parse_bool(text) {
                Some(true) => {
                    query.remove(name);
                    return Ok(verb);
                }
                Some(false) => {}
                None => return Err(Refusal::silent(400)),
            },
            Some(_) => return Err(Refusal::silent(400)),
        }
    }
    Ok(Verb::Read)
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get("x-vault-wrap-ttl") else { return Ok(None) };
    let text = value.to_str().unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(None);
    }
    match parse_duration(text) {
        // Whole seconds, a broken one rounded up.
        Some(ttl) => {
            Ok((!ttl.is_zero()).then(|| Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0))))
        }
        None if text.strip_prefix('-').is_some_and(|rest| parse_duration(rest).is_some()) => {
            Err(Refusal::new(400, "requested wrap ttl cannot be negative"))
        }
        None => {
            let shown: String = text.chars().take(64).flat_map(char::escape_default).collect();
            let sentence = format!("error parsing X-Vault-Wrap-TTL header: time: invalid duration \"{shown}\"");
            Err(Refusal::new(400, sentence))
        }
    }
}

fn foreign_namespace(headers: &HeaderMap) -> bool {
    headers.get("x-vault-namespace").is_some_and(|value| {
        let name = value.as_bytes();
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let name = name.strip_suffix(b"/").unwrap_or(name);
        !matches!(name, b"" | b"root")
    })
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = text.split(';').next().unwrap_or(text).trim();
    (!essence.is_empty()).then_some(essence)
}

#[cfg(test)]
mod tests;
