//! The client of the command line: one request at a time over the Vault API, and sentences that say what to do next.
//!
//! It follows no redirect, uses no proxy, retries nothing, and never writes a body anywhere. It blocks, and must not be used
//! inside an asynchronous runtime.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

mod download;
mod failure;
mod settings;
mod tls;

pub use failure::Failure;
pub use settings::{Connection, Settings};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// A client of one server.
pub struct Client {
    settings: Settings,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// A client that will reach the server of `settings`; reads the certificate files, connects to nothing yet.
    pub fn new(settings: Settings) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::local(format!("no runtime for the connection: {error}")))?;
        let http = legacy::Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .build(tls::connector(&settings)?);
        Ok(Client { settings, http, runtime })
    }
    /// Where the server is and how it is reached.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    /// Reads `path`, which comes from [`path`] and may have a query after it.
    pub fn get(&self, path: &str) -> Result<Reply, Failure> {
        self.send(Method::GET, path, None, None)
    }
    /// Lists `path`, as `bao` does.
    pub fn list(&self, path: &str) -> Result<Reply, Failure> {
        self.send(Method::GET, &format!("{path}?list=true"), None, None)
    }
    /// Writes `body`, JSON text, to `path`. The text is wiped when it has been sent.
    pub fn put(&self, path: &str, body: Zeroizing<Vec<u8>>) -> Result<Reply, Failure> {
        self.send(Method::PUT, path, Some(body), None)
    }
    /// The same, the answer to be wrapped for `ttl` where one is given.
    pub fn put_wrapped(&self, path: &str, body: Zeroizing<Vec<u8>>, ttl: Option<&str>) -> Result<Reply, Failure> {
        self.send(Method::PUT, path, Some(body), ttl)
    }
    /// Deletes `path`.
    pub fn delete(&self, path: &str) -> Result<Reply, Failure> {
        self.send(Method::DELETE, path, None, None)
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
        wrap: Option<&str>,
    ) -> Result<Reply, Failure> {
        let changes = body.is_some() || method == Method::DELETE;
        let request = self.request(method, path, body, wrap)?;
        let exchange = async {
            let answer =
                self.http.request(request).await.map_err(|error| failure::of_request(&self.settings, &error))?;
            let (head, body) = answer.into_parts();
            let text = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
                Failure::lost(format!("the answer of {} broke off: {error}", self.settings.address()), changes)
            })?;
            Ok(Reply::new(&head, &text.to_bytes()))
        };
        let limit: Duration = self.settings.timeout();
        match self.runtime.block_on(async { tokio::time::timeout(limit, exchange).await }) {
            Ok(outcome) => outcome.map_err(|failure: Failure| failure.or_lost(changes)),
            Err(_) => Err(Failure::lost(
                format!("no answer from {} within {} seconds", self.settings.address(), limit.as_secs()),
                changes,
            )),
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Zeroizing<Vec<u8>>>,
        wrap: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/v1/{path}", self.settings.address()))
            .header("x-vault-request", "true")
            .header(USER_AGENT, concat!("sparekey/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if let Some(token) = self.settings.token() {
            let mut value = HeaderValue::from_str(token)
                .map_err(|_| Failure::local("the token contains characters that no token has: set BAO_TOKEN anew"))?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        if let Some(namespace) = self.settings.namespace() {
            request = request.header("x-vault-namespace", namespace);
        }
        if let Some(ttl) = wrap {
            request = request.header("x-vault-wrap-ttl", ttl);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Bytes::from_owner).unwrap_or_default();
        request
            .body(Full::new(body))
            .map_err(|error| Failure::local(format!("the request to /v1/{path} cannot be made: {error}")))
    }
}

/// The path below `/v1/` that `parts`, each one or several segments, make together; every segment percent-encoded
/// (RFC 3986 section 2.3). A segment that is empty, `.` or `..` is refused: it would not arrive as written.
pub fn path(parts: &[&str]) -> Result<String, Failure> {
    let mut out = String::new();
    for segment in parts.iter().flat_map(|part| part.trim_matches('/').split('/')) {
        if matches!(segment, "" | "." | "..") {
            return Err(Failure::local(format!("{} has an empty, \".\" or \"..\" segment", parts.join("/"))));
        }
        if !out.is_empty() {
            out.push('/');
        }
        for byte in segment.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    Ok(out)
}

/// `text` without control characters: what a server says must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What the server answered.
pub struct Reply {
    status: u16,
    body: Value,
    retry_after: Option<String>,
    location: Option<String>,
}

impl Reply {
    fn new(head: &hyper::http::response::Parts, text: &Bytes) -> Self {
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Reply {
            status: head.status.as_u16(),
            body: serde_json::from_slice(&Zeroizing::new(text.to_vec())).unwrap_or_default(),
            retry_after: header(RETRY_AFTER),
            location: header(LOCATION),
        }
    }
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }
    /// The whole body; null if there was none, or none in JSON.
    pub fn body(&self) -> &Value {
        &self.body
    }
    /// The member `data` of the answer; empty if there is none.
    pub fn data(&self) -> Map<String, Value> {
        self.body.get("data").and_then(Value::as_object).cloned().unwrap_or_default()
    }
    /// Takes a secret text out of the answer, so that it lies in one place and is wiped there: `part` is `data` or `wrap_info`.
    pub fn take_secret(&mut self, part: &str, name: &str) -> Option<Zeroizing<String>> {
        match self.body.get_mut(part)?.as_object_mut()?.remove(name)? {
            Value::String(text) => Some(Zeroizing::new(text)),
            _ => None,
        }
    }
    /// Vault's warnings.
    pub fn warnings(&self) -> Vec<&str> {
        self.texts("warnings")
    }
    /// Vault's errors.
    pub fn errors(&self) -> Vec<&str> {
        self.texts("errors")
    }
    /// How long the server wants to be left alone, if it says so.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.as_deref().and_then(|text| text.parse().ok()).map(Duration::from_secs)
    }
    /// This answer if it is a success, else a failure that says what to do next.
    pub fn success(self, settings: &Settings) -> Result<Self, Failure> {
        match self.status {
            200..=299 => Ok(self),
            _ => Err(failure::of_reply(settings, &self)),
        }
    }

    fn texts(&self, name: &str) -> Vec<&str> {
        self.body.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}
