//! The head of a request, parsed once into a [`Call`] or answered on the spot: Vault's conventions for paths, methods, query
//! strings and headers.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Uri};
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

/// Reads a head. `Err` answers what goes no further.
pub fn head(parts: &Parts, remote: Option<SocketAddr>) -> Result<Call, Early> {
    let headers = &parts.headers;
    let token = token(headers)?;
    let path = path(&parts.uri)?;
    let mut query = match parts.uri.query() {
        None | Some("") => Map::new(),
        Some(text) => {
            form::pairs(text).ok_or_else(|| refuse(400, "query: at most 256 pairs, percent-encoded UTF-8"))?
        }
    };
    if query.contains_key("jwt") {
        return Err(refuse(400, "jwt: not in the query string, since URLs are logged; send it in the body of a write"));
    }
    let verb = verb(&parts.method, &mut query, headers)?;
    let writes = matches!(verb, Verb::Update | Verb::Patch);
    let path = match verb {
        Verb::List | Verb::Scan if !path.ends_with('/') => format!("{path}/"),
        _ if writes && path.ends_with('/') => return Err(refuse(400, "cannot write to a path ending in '/'")),
        _ => path,
    };
    let wrap_ttl = wrap_ttl(headers)?;
    let foreign_namespace = foreign_namespace(headers);
    Ok(Call { verb, path, query, body: Map::new(), token, wrap_ttl, foreign_namespace, remote })
}

/// Reads a body as its media type says, which of a form that holds JSON is a lie (curl's default).
pub fn body(headers: &HeaderMap, bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    match media_type(headers) {
        Some("application/secevent+jwt") => {
            let text = std::str::from_utf8(bytes).map_err(|_| Error::field("set", "not a compact JWS"))?;
            Ok(Map::from_iter([("set".to_owned(), Value::String(text.trim().to_owned()))]))
        }
        Some("application/x-www-form-urlencoded") if !json::looks_like_json(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(form::pairs)
            .ok_or_else(|| Error::invalid("failed to parse form: at most 256 pairs, percent-encoded UTF-8")),
        _ => json::object(bytes),
    }
}

fn refuse(status: u16, sentence: &str) -> Early {
    Box::new(render::refused(&Refusal::new(status, sentence)))
}

fn silent(status: u16) -> Early {
    Box::new(render::refused(&Refusal::silent(status)))
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

/// The path below `/v1/`, decoded.
fn path(uri: &Uri) -> Result<String, Early> {
    let raw = uri.path();
    if let Some(clean) = cleaned(raw) {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Err(Box::new(render::moved(&format!("{clean}{query}"))));
    }
    if matches!(raw, "/" | "/ui/") {
        return Err(Box::new(render::plain(404, "404 page not found\n")));
    }
    let below = match raw.strip_prefix("/v1/") {
        Some(below) if !below.is_empty() => below,
        _ => return Err(silent(404)),
    };
    let decoded = form::decode(below).ok_or_else(|| refuse(400, "path: percent-encoded UTF-8 is needed"))?;
    if decoded.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(refuse(400, "relative paths not supported"));
    }
    Ok(decoded)
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

fn verb(method: &Method, query: &mut Map<String, Value>, headers: &HeaderMap) -> Result<Verb, Early> {
    match method.as_str() {
        "GET" => chosen(query),
        "HEAD" => Ok(Verb::Head),
        "PUT" | "POST" => Ok(Verb::Update),
        "DELETE" => Ok(Verb::Delete),
        "LIST" => Ok(Verb::List),
        "SCAN" => Ok(Verb::Scan),
        "HELP" => Ok(Verb::Help),
        "PATCH" => match media_type(headers) {
            Some("application/merge-patch+json") => Ok(Verb::Patch),
            Some(other) => Err(refuse(
                415,
                &format!("PATCH requires Content-Type of application/merge-patch+json, provided {other}"),
            )),
            None => Err(refuse(400, "mime: no media type")),
        },
        "OPTIONS" => Err(refuse(400, "cannot handle internal-only request operation")),
        _ => Err(silent(405)),
    }
}

/// What `GET` means under `?help`, `?list` and `?scan`.
fn chosen(query: &mut Map<String, Value>) -> Result<Verb, Early> {
    for (name, verb) in [("help", Verb::Help), ("list", Verb::List), ("scan", Verb::Scan)] {
        match query.get(name) {
            None => {}
            Some(Value::String(text)) => match parse_bool(text) {
                Some(true) => {
                    query.remove(name);
                    return Ok(verb);
                }
                Some(false) => {}
                None => return Err(silent(400)),
            },
            Some(_) => return Err(silent(400)),
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

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Duration>, Early> {
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
            Err(refuse(400, "requested wrap ttl cannot be negative"))
        }
        None => {
            let shown: String = text.chars().take(64).flat_map(char::escape_default).collect();
            let sentence = format!("error parsing X-Vault-Wrap-TTL header: time: invalid duration \"{shown}\"");
            Err(refuse(400, &sentence))
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
mod tests {
    use super::*;
    use hyper::Request;

    fn read(method: &str, uri: &str, headers: &[(&str, &[u8])]) -> Result<Call, Early> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        head(&request.body(()).unwrap().into_parts().0, None)
    }
    fn fine(method: &str, uri: &str, headers: &[(&str, &[u8])]) -> Call {
        read(method, uri, headers).unwrap_or_else(|reply| panic!("{method} {uri}: {}", reply.status()))
    }
    fn status(method: &str, uri: &str, headers: &[(&str, &[u8])]) -> u16 {
        match read(method, uri, headers) {
            Ok(_) => panic!("{method} {uri} went through"),
            Err(reply) => reply.status().as_u16(),
        }
    }

    #[test]
    fn methods_and_their_spellings() {
        for (method, uri, verb) in [
            ("GET", "/v1/a", Verb::Read),
            ("GET", "/v1/a?list=true", Verb::List),
            ("GET", "/v1/a?list=1", Verb::List),
            ("GET", "/v1/a?list=True", Verb::List),
            ("GET", "/v1/a?list=false", Verb::Read),
            ("GET", "/v1/a?help=1", Verb::Help),
            ("GET", "/v1/a?help=0", Verb::Read),
            ("LIST", "/v1/a", Verb::List),
            ("HELP", "/v1/a", Verb::Help),
            ("PUT", "/v1/a?list=xyz", Verb::Update),
            ("POST", "/v1/a", Verb::Update),
            ("DELETE", "/v1/a", Verb::Delete),
            ("HEAD", "/v1/a", Verb::Head),
            ("SCAN", "/v1/a", Verb::Scan),
        ] {
            assert_eq!(fine(method, uri, &[]).verb, verb, "{method} {uri}");
        }
        assert_eq!(status("GET", "/v1/a?list=xyz", &[]), 400);
        assert_eq!(status("BREW", "/v1/a", &[]), 405);
        assert_eq!(status("OPTIONS", "/v1/a", &[]), 400);
    }

    #[test]
    fn a_list_path_ends_in_a_slash_and_a_write_path_does_not() {
        assert_eq!(fine("LIST", "/v1/eng", &[]).path, "eng/");
        assert_eq!(fine("LIST", "/v1/eng/", &[]).path, "eng/");
        assert_eq!(fine("GET", "/v1/eng/", &[]).path, "eng/");
        assert_eq!(status("PUT", "/v1/eng/", &[]), 400);
        assert_eq!(status("POST", "/v1/eng%2f", &[]), 400);
    }

    #[test]
    fn odd_paths_are_sent_to_the_clean_one_or_refused() {
        let moved = |uri: &str| {
            let reply = read("GET", uri, &[]).err().unwrap();
            assert_eq!(reply.status(), 307, "{uri}");
            reply.headers()["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(moved("/v1//eng/dup"), "/v1/eng/dup");
        assert_eq!(moved("/v1/a/../b?x=1"), "/v1/b?x=1");
        assert_eq!(moved("/v1/a/./b/"), "/v1/a/b/");
        assert_eq!(moved("//evil.example/v1/a"), "/evil.example/v1/a");
        assert_eq!(moved("/v1/../../../x"), "/x");
        for uri in ["/v1/a/%2e%2e/b", "/v1/%2e%2e/sys", "/v1/a/%2e", "/v1/a%2f..%2fb", "/v1/%zz", "/v1/%ff"] {
            assert_eq!(status("GET", uri, &[]), 400, "{uri}");
        }
        for uri in ["/v1", "/v1/", "/v2/x", "/", "/ui/", "/V1/sys/health"] {
            assert_eq!(status("GET", uri, &[]), 404, "{uri}");
        }
        assert_eq!(fine("GET", "/v1/%65ng", &[]).path, "eng");
        assert_eq!(fine("GET", "/v1/a..b/c", &[]).path, "a..b/c");
    }

    #[test]
    fn the_token_header_goes_before_bearer() {
        let sent = |headers: &[(&str, &[u8])]| fine("GET", "/v1/a", headers).token.map(|t| t.expose().to_owned());
        assert_eq!(sent(&[("x-vault-token", b"s.a"), ("authorization", b"Bearer s.b")]).as_deref(), Some("s.a"));
        assert_eq!(sent(&[("authorization", b"Bearer s.b")]).as_deref(), Some("s.b"));
        assert_eq!(sent(&[("x-vault-token", b""), ("authorization", b"Bearer s.b")]).as_deref(), Some("s.b"));
        assert_eq!(sent(&[("authorization", b"bearer s.b")]), None);
        assert_eq!(sent(&[("authorization", b"Basic abc")]), None);
        assert_eq!(status("GET", "/v1/a", &[("x-vault-token", b"s.\xff")]), 400);
    }

    #[test]
    fn assertions_in_a_query_string_are_refused() {
        for method in ["GET", "PUT", "LIST", "DELETE"] {
            assert_eq!(status(method, "/v1/backup-codes/retrieve/a?jwt=x", &[]), 400);
            assert_eq!(status(method, "/v1/backup-codes/retrieve/a?a=1&%6awt=x", &[]), 400);
        }
    }

    #[test]
    fn wrapping_times_read_as_vault_reads_them() {
        let ttl = |text: &[u8]| fine("GET", "/v1/a", &[("x-vault-wrap-ttl", text)]).wrap_ttl.map(|ttl| ttl.as_secs());
        assert_eq!(ttl(b"60"), Some(60));
        assert_eq!(ttl(b"1m0s"), Some(60));
        assert_eq!(ttl(b"99999h"), Some(359_996_400));
        assert_eq!(ttl(b"1500ms"), Some(2));
        assert_eq!(ttl(b"0"), None);
        assert_eq!(ttl(b""), None);
        assert_eq!(status("GET", "/v1/a", &[("x-vault-wrap-ttl", b"abc")]), 400);
        assert_eq!(status("GET", "/v1/a", &[("x-vault-wrap-ttl", b"-5s")]), 400);
    }

    #[test]
    fn only_the_root_namespace_is_here() {
        let foreign = |name: &[u8]| fine("GET", "/v1/a", &[("x-vault-namespace", name)]).foreign_namespace;
        for root in [&b""[..], b"/", b"root", b"root/"] {
            assert!(!foreign(root));
        }
        for other in [&b"ns1/"[..], b"nope", b"root/x", b"\xff"] {
            assert!(foreign(other));
        }
    }

    #[test]
    fn patch_needs_its_media_type() {
        let merge: &[u8] = b"application/merge-patch+json; charset=utf-8";
        assert_eq!(fine("PATCH", "/v1/a", &[("content-type", merge)]).verb, Verb::Patch);
        assert_eq!(status("PATCH", "/v1/a", &[]), 400);
        assert_eq!(status("PATCH", "/v1/a", &[("content-type", b"application/json")]), 415);
    }

    #[test]
    fn bodies_read_by_their_media_type() {
        let read = |media: &str, bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, media.parse().unwrap());
            body(&headers, bytes)
        };
        let form = "application/x-www-form-urlencoded";
        assert_eq!(read(form, b"a=1&b=x%20y").unwrap()["b"], "x y");
        assert_eq!(read(form, b"{\"a\":1}").unwrap()["a"], 1);
        assert!(read(form, b"null").unwrap().is_empty());
        assert_eq!(read("text/plain", b"{\"a\":1}").unwrap()["a"], 1);
        assert_eq!(read("application/secevent+jwt", b"a.b.c\n").unwrap()["set"], "a.b.c");
        assert!(read("application/secevent+jwt", b"\xff").is_err());
        assert!(read("text/plain", b"a=1").is_err());
    }
}
