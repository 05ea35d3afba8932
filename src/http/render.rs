//! Answers as HTTP responses (RFC 9110) with Vault's headers. Buffers are wiped once they are sent.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
};
use hyper::{Response, StatusCode};
use zeroize::Zeroizing;

use super::outgoing::Outgoing;
use crate::host::answer::{Answer, Refusal};
use crate::host::envelope;
use crate::host::stream::Stream;
use crate::sources::EventRefusal;

/// What hyper sends.
pub type Reply = Response<Outgoing>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const STRICT: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// The bytes of `answer`.
pub fn reply(answer: Answer) -> Reply {
    match answer {
        Answer::Logical(envelope) => json(200, envelope::bytes(*envelope)),
        Answer::Bare { status, document } => json(status, document),
        Answer::Text { status, media, text: body } => text(status, media, body),
        Answer::Empty { status } => standard(status, Outgoing::default()),
        Answer::Stream { media, stream } => streamed(media, stream),
        Answer::EventRefused(refusal) => event_refused(&refusal),
        Answer::Refused(refusal) => refused(&refusal),
    }
}

/// `refusal` in Vault's shape. As Vault's do, a 413 lacks two headers of every other answer.
pub fn refused(refusal: &Refusal) -> Reply {
    let mut reply = json(refusal.status, envelope::errors(&refusal.errors));
    if refusal.status == 413 {
        reply.headers_mut().remove(CACHE_CONTROL);
        reply.headers_mut().remove(STRICT_TRANSPORT_SECURITY);
    }
    if let Some(seconds) = refusal.retry_after {
        reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    reply
}

/// 400 in the protocol of event transmitters (RFC 8935 section 2.3).
fn event_refused(refusal: &EventRefusal) -> Reply {
    let mut reply = json(400, envelope::event_error(refusal.err, &refusal.description));
    reply.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    reply
}

/// 307 to `location`, which is made of bytes that a request line had. What RFC 3986 has no place for is escaped: a browser
/// takes a backslash for a slash, so that `/\host` would lead it to another host.
pub fn moved(location: &str) -> Reply {
    let mut safe = String::with_capacity(location.len());
    for byte in location.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => safe.push(char::from(byte)),
            _ if b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte) => safe.push(char::from(byte)),
            other => safe.push_str(&format!("%{other:02X}")),
        }
    }
    let body = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", safe.replace('&', "&amp;"));
    let mut reply = text(307, "text/html; charset=utf-8", body);
    match HeaderValue::from_str(&safe) {
        Ok(value) => {
            reply.headers_mut().insert(LOCATION, value);
            reply
        }
        Err(_) => plain(400, "400 Bad Request"),
    }
}

/// A plain text, for what Vault's server says before its router.
pub fn plain(status: u16, body: &str) -> Reply {
    text(status, "text/plain; charset=utf-8", body.to_owned())
}

fn text(status: u16, media: &'static str, body: String) -> Reply {
    let mut reply = standard(status, Full::new(Bytes::from(body)).into());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}

fn json(status: u16, bytes: Zeroizing<Vec<u8>>) -> Reply {
    standard(status, Full::new(Bytes::from_owner(bytes)).into())
}

fn streamed(media: &'static str, stream: Stream) -> Reply {
    let mut reply = standard(200, Outgoing::stream(stream));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    reply
}

fn standard(status: u16, body: Outgoing) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(STRICT_TRANSPORT_SECURITY, STRICT);
    reply
}
