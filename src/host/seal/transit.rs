//! The transit seal: another vault wraps the unseal key by its transit engine, and unwraps it at every start. That vault never
//! sees the root key, and whoever copies this store opens nothing without that vault's word.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::record::{Holder, Record};
use super::{Opened, sealed};
use crate::crypto::secret::Key;
use crate::error::{Error, Result, chain};

/// How long the other vault may take for one answer.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The longest wrapped key that is stored.
const MAX_CIPHERTEXT: usize = 1024;
/// Shortest and longest wait between two renewals of the token.
const RENEWALS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));

/// A key of a transit engine. Displayed as `mount/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitKey {
    /// The engine's mount, without slashes at its ends.
    pub mount: String,
    /// The key's name.
    pub name: String,
}

impl fmt::Display for TransitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.name)
    }
}

/// The other vault.
pub struct Transit {
    /// Scheme, host and port, with nothing after them.
    address: String,
    key: TransitKey,
    token: HeaderValue,
    namespace: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Transit {
    /// The vault at `address` (`https://host:port`), reached by `tls`, asked under `token` in `namespace` for what `key` wraps.
    /// `None` if token or namespace hold what no header can carry.
    pub fn new(
        address: &str,
        key: TransitKey,
        token: &str,
        namespace: Option<&str>,
        tls: ClientConfig,
    ) -> Option<Self> {
        let mut token = HeaderValue::from_str(token).ok()?;
        token.set_sensitive(true);
        let namespace = namespace.map(HeaderValue::from_str).transpose().ok()?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Some(Transit { address: address.trim_end_matches('/').to_owned(), key, token, namespace, client })
    }

    pub(super) fn key(&self) -> &TransitKey {
        &self.key
    }

    /// The unseal key as the other vault wraps it.
    pub(super) async fn wrap(&self, unseal_key: &Key) -> Result<String> {
        let plaintext = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(unseal_key.bytes()));
        let answer = self.ask("encrypt", &json!({ "plaintext": &*plaintext })).await.map_err(|why| self.silent(why))?;
        self.ciphertext(&answer)
    }

    /// Opens the root key; a key that the other vault has rotated meanwhile wraps from now on, where its policy lets us.
    pub(super) async fn open(&self, stored: &str, ciphertext: &str, record: &Record) -> Result<Opened> {
        if stored != self.key.to_string() {
            return Err(sealed(format!(
                "the store is sealed by the transit key {stored:?}, the configuration names \"{}\": name the former one",
                self.key
            )));
        }
        let mut answer =
            self.ask("decrypt", &json!({ "ciphertext": ciphertext })).await.map_err(|why| self.silent(why))?;
        let unseal_key = match answer.pointer_mut("/data/plaintext").map(Value::take) {
            Some(Value::String(text)) => unseal_key(&Zeroizing::new(text)),
            _ => None,
        };
        let Some(unseal_key) = unseal_key else {
            return Err(self.silent(Silence::Odd("plaintext")));
        };
        let root = record.unwrap(&unseal_key).ok_or_else(|| {
            sealed(format!("what \"{}\" unwrapped does not open the seal record: the record was altered", self.key))
        })?;
        let newer = match self.ask("rewrap", &json!({ "ciphertext": ciphertext })).await {
            Ok(answer) => Some(self.ciphertext(&answer)?).filter(|newer| version(newer) != version(ciphertext)),
            Err(why) => {
                tracing::info!(%why, "the seal stays under the version of the transit key that wrapped it");
                None
            }
        };
        let renewed = newer.map(|ciphertext| {
            let recovery = record.holder.recovery().cloned();
            (Holder::Transit { key: self.key.to_string(), ciphertext, recovery }, unseal_key)
        });
        Ok(Opened { root, renewed })
    }

    /// Renews the token at half its life, for as long as it can be renewed.
    pub(super) async fn keep_token(&self) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::time::sleep(wait).await;
            match self.post("auth/token/renew-self", &json!({})).await {
                Ok(answer) => {
                    let renewable = answer.pointer("/auth/renewable").and_then(Value::as_bool) == Some(true);
                    let lasts = answer.pointer("/auth/lease_duration").and_then(Value::as_u64).unwrap_or(0);
                    if !renewable || lasts == 0 {
                        return;
                    }
                    wait = Duration::from_secs(lasts / 2).clamp(RENEWALS.0, RENEWALS.1);
                }
                // A root token, or one without a lease: there is nothing to renew.
                Err(Silence::Refused { status: 400, .. }) => return,
                Err(why) => {
                    tracing::warn!(%why, "the transit seal's token could not be renewed: the next start may stay sealed");
                    wait = RENEWALS.0.max(wait / 2);
                }
            }
        }
    }

    fn ciphertext(&self, answer: &Value) -> Result<String> {
        let text = answer.pointer("/data/ciphertext").and_then(Value::as_str);
        let fits = |text: &&str| text.len() <= MAX_CIPHERTEXT && version(text).is_some();
        text.filter(fits).map(str::to_owned).ok_or_else(|| self.silent(Silence::Odd("ciphertext")))
    }

    async fn ask(&self, verb: &str, body: &Value) -> std::result::Result<Value, Silence> {
        let TransitKey { mount, name } = &self.key;
        self.post(&format!("{mount}/{verb}/{name}"), body).await
    }

    async fn post(&self, path: &str, body: &Value) -> std::result::Result<Value, Silence> {
        tokio::time::timeout(TIME_LIMIT, self.exchange(path, body)).await.unwrap_or(Err(Silence::Late))
    }

    async fn exchange(&self, path: &str, body: &Value) -> std::result::Result<Value, Silence> {
        let uri: Uri = format!("{}/v1/{path}", self.address).parse().map_err(|_| Silence::Odd("address"))?;
        let body = serde_json::to_vec(body).map_err(|_| Silence::Odd("request"))?;
        let mut request = Request::put(uri)
            .header(CONTENT_TYPE, "application/json")
            .header("x-vault-request", "true")
            .header("x-vault-token", self.token.clone());
        if let Some(namespace) = &self.namespace {
            request = request.header("x-vault-namespace", namespace.clone());
        }
        // Wiped when the connection has done with it.
        let body = Full::new(Bytes::from_owner(Zeroizing::new(body)));
        let request = request.body(body).map_err(|_| Silence::Odd("request"))?;
        let answer = self.client.request(request).await.map_err(|error| Silence::Unreachable(chain(&error)))?;
        let status = answer.status().as_u16();
        let text = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let text = Zeroizing::new(text.map_err(|error| Silence::Unreachable(error.to_string()))?.to_bytes().to_vec());
        let answer: Value = serde_json::from_slice(&text).unwrap_or_default();
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let errors = answer.get("errors").and_then(Value::as_array).into_iter().flatten();
        let mut errors: Vec<String> =
            errors.filter_map(Value::as_str).map(|text| text.chars().take(200).collect()).collect();
        errors.truncate(3);
        Err(Silence::Refused { status, errors: errors.join("; ") })
    }

    /// A reason to stay sealed.
    fn silent(&self, why: Silence) -> Error {
        sealed(format!("transit seal: {} for key \"{}\": {why}", self.address, self.key))
    }
}

/// Why the other vault gave no key.
#[derive(Debug)]
enum Silence {
    Unreachable(String),
    Late,
    Refused {
        status: u16,
        errors: String,
    },
    /// Something is not as it should be.
    Odd(&'static str),
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Silence::Unreachable(cause) => write!(f, "not reached: {cause}"),
            Silence::Late => write!(f, "no answer within {} seconds", TIME_LIMIT.as_secs()),
            Silence::Refused { status: 503, errors } => write!(f, "it is sealed itself, or not ready (503): {errors}"),
            Silence::Refused { status: 403, errors } => {
                write!(f, "the token may not do this (403); it needs update on encrypt, decrypt and rewrap: {errors}")
            }
            Silence::Refused { status, errors } => write!(f, "answered {status}: {errors}"),
            Silence::Odd(what) => write!(f, "the {what} is not what a transit engine deals in"),
        }
    }
}

/// The version of the key that wrapped: `v3` in `vault:v3:…`.
fn version(ciphertext: &str) -> Option<&str> {
    let (version, rest) = ciphertext.strip_prefix("vault:")?.split_once(':')?;
    let digits = version.strip_prefix('v')?;
    (!rest.is_empty() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(version)
}

fn unseal_key(text: &str) -> Option<Key> {
    let bytes = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(text).ok()?);
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(Key::from_bytes(key))
}
