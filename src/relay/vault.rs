//! The way to a vault: one bounded PUT, and what its answer means.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde_json::Value;

use super::outcome::Outcome;
use super::route::Target;
use crate::error::chain;
use crate::pem::{self, PemFile};

/// Largest answer of a vault that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Idle connections that are kept for each vault, and for how long.
const KEPT: usize = 16;
const KEPT_FOR: Duration = Duration::from_secs(30);
/// The longest wait that is passed on to a sender, in seconds.
const LONGEST_WAIT: u64 = 3600;

/// Why vaults cannot be reached at all: names the file.
#[derive(Debug)]
pub struct VaultsError(String);

impl fmt::Display for VaultsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for VaultsError {}

/// A client of vaults. It follows no redirect and sends nothing but the event.
pub struct Vaults {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    patience: Duration,
}

impl Vaults {
    /// A client that trusts the authorities in `ca_cert` (PEM), or those of this machine, and gives a vault `patience` for the
    /// whole of an exchange.
    pub fn new(ca_cert: Option<&Path>, patience: Duration) -> Result<Self, VaultsError> {
        let file = ca_cert.map(|file| PemFile::new("--ca-cert", file));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| VaultsError(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(pem::trusted(file).map_err(|error| VaultsError(error.to_string()))?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT_FOR)
            .pool_max_idle_per_host(KEPT)
            .build(connector);
        Ok(Vaults { http, patience })
    }

    /// Brings `body` (`{"set": …}`) to `target`.
    pub async fn deliver(&self, target: &Target, body: Bytes) -> Outcome {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(target.uri().clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("sparekey-relay/", env!("CARGO_PKG_VERSION")))
            .header("x-vault-request", "true")
            .body(Full::new(body));
        let Ok(request) = request else { return Outcome::later("the request cannot be made") };
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| chain(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| error.to_string())?;
            Ok((head.status.as_u16(), head.headers, body.to_bytes()))
        };
        match tokio::time::timeout(self.patience, exchange).await {
            Ok(Ok((status, headers, body))) => meaning(status, &headers, body),
            Ok(Err(error)) => Outcome::Later { why: error, retry_after: None },
            Err(_) => Outcome::later("no answer in time"),
        }
    }
}

/// Only 202 acknowledges, and only RFC 8935's own error refuses for good. Everything else (sealed, standby without a leader, no
/// such mount or source, a policy or a proxy in between) is something to be put right, and the event must come again then.
fn meaning(status: u16, headers: &HeaderMap, body: Bytes) -> Outcome {
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    match status {
        202 => Outcome::Accepted,
        400 if is_event_error(&body) => Outcome::Refused { status: 400, body },
        status => Outcome::Later {
            why: format!("it answered {status}"),
            retry_after: asked.map(|seconds: u64| seconds.clamp(1, LONGEST_WAIT)),
        },
    }
}

/// Whether `body` is RFC 8935 section 2.3's error: an object with `err` and `description`.
fn is_event_error(body: &[u8]) -> bool {
    let Ok(Value::Object(error)) = serde_json::from_slice(body) else { return false };
    ["err", "description"].iter().all(|name| error.get(*name).is_some_and(Value::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_202_acknowledges_and_only_the_rfcs_error_refuses() {
        let said = |status: u16, retry_after: Option<&str>, body: &'static str| {
            let mut headers = HeaderMap::new();
            retry_after.map(|text| headers.insert(RETRY_AFTER, text.parse().unwrap()));
            meaning(status, &headers, Bytes::from(body))
        };
        assert_eq!(said(202, None, ""), Outcome::Accepted);
        let error = r#"{"err":"invalid_key","description":"Key ID 12345 has been revoked."}"#;
        assert_eq!(said(400, None, error), Outcome::Refused { status: 400, body: Bytes::from(error) });
        for (status, body) in [
            (200, ""),
            (204, ""),
            (307, ""),
            (400, r#"{"errors":["unsupported operation"]}"#),
            (400, r#"{"err":"invalid_key"}"#),
            (400, r#"{"err":1,"description":"x"}"#),
            (400, "<html>"),
            (401, error),
            (403, r#"{"errors":["permission denied"]}"#),
            (404, r#"{"errors":[]}"#),
            (413, ""),
            (429, ""),
            (500, error),
            (503, r#"{"errors":["Vault is sealed"]}"#),
        ] {
            assert!(matches!(said(status, None, body), Outcome::Later { retry_after: None, .. }), "{status} {body}");
        }
        let wait = |text: &str| match said(503, Some(text), "") {
            Outcome::Later { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!((wait("7"), wait("0"), wait("999999")), (Some(7), Some(1), Some(3600)));
        assert_eq!((wait("soon"), wait("-1")), (None, None));
    }
}
