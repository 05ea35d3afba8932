//! Trusted issuers of assertions and of security events: where their keys come from and what they may sign with. An issuer of
//! type `host` signs nothing: it is the vault that mounts us, speaking of who logged in by one of its auth methods.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::fields::{Fields, Given};
use crate::domain::pubkey::{self, Family, PublicKey};
use crate::error::{Error, Result};

/// Longest list of keys that one issuer may have.
pub const MAX_KEYS: usize = 64;
/// Largest allowance for clocks that differ (RFC 7519 section 4.1.4 asks for "no more than a few minutes").
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);

/// The configuration of `issuers/:name`, complete and valid: every key in it can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    #[serde(rename = "type")]
    kind: IssuerKind,
    bound_issuer: String,
    jwks_url: Option<String>,
    jwks_ca_pem: Option<String>,
    oidc_discovery_url: Option<String>,
    oidc_discovery_ca_pem: Option<String>,
    jwt_validation_pubkeys: Vec<String>,
    jwks: Option<Value>,
    jwt_supported_algs: Vec<String>,
    clock_skew_leeway: u64,
    trust_email: bool,
    /// Absent in records that were written before there was another type.
    #[serde(default)]
    mount_accessor: Option<String>,
}

/// What an issuer's word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IssuerKind {
    /// A signed JWT.
    Jwt,
    /// What the vault that mounts us knows of the caller. It has no meaning elsewhere.
    Host,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// Keys in the configuration: no network, never stale.
    Pinned,
    /// A JWK set at this URL.
    Jwks {
        /// Where.
        url: &'a str,
        /// The authority to trust instead of the public ones.
        ca_pem: Option<&'a str>,
    },
    /// OpenID Connect Discovery 1.0 below this URL.
    Discovery {
        /// The issuer's URL, without the well-known suffix.
        url: &'a str,
        /// The authority to trust instead of the public ones.
        ca_pem: Option<&'a str>,
    },
    /// No keys: the vault that mounts us vouches for aliases of this auth method.
    Host {
        /// The auth method's accessor.
        mount_accessor: &'a str,
    },
}

impl Issuer {
    /// The issuer that `fields` make of `old` (or of nothing): given fields replace, absent ones stay, `null` resets.
    pub fn update(old: Option<&Issuer>, fields: &mut Fields) -> Result<Issuer> {
        let kind = kind(old, fields.string("type")?)?;
        let text = |given: Given<String>, old: Option<String>| given_text(given).over(old, None);
        let was = old;
        let issuer = Issuer {
            kind,
            bound_issuer: text(fields.string("bound_issuer")?, was.map(|was| was.bound_issuer.clone()))
                .unwrap_or_default(),
            jwks_url: text(fields.string("jwks_url")?, was.and_then(|was| was.jwks_url.clone())),
            jwks_ca_pem: text(fields.string("jwks_ca_pem")?, was.and_then(|was| was.jwks_ca_pem.clone())),
            oidc_discovery_url: text(
                fields.string("oidc_discovery_url")?,
                was.and_then(|was| was.oidc_discovery_url.clone()),
            ),
            oidc_discovery_ca_pem: text(
                fields.string("oidc_discovery_ca_pem")?,
                was.and_then(|was| was.oidc_discovery_ca_pem.clone()),
            ),
            jwt_validation_pubkeys: fields
                .list("jwt_validation_pubkeys")?
                .over(was.map(|was| was.jwt_validation_pubkeys.clone()).unwrap_or_default(), Vec::new()),
            jwks: given_jwks(fields.take("jwks"))?.over(was.and_then(|was| was.jwks.clone()), None),
            jwt_supported_algs: fields
                .list("jwt_supported_algs")?
                .over(was.map(|was| was.jwt_supported_algs.clone()).unwrap_or_default(), Vec::new()),
            clock_skew_leeway: match fields.duration("clock_skew_leeway")? {
                Given::Absent => was.map_or(MAX_LEEWAY.as_secs(), |was| was.clock_skew_leeway),
                Given::Reset => MAX_LEEWAY.as_secs(),
                Given::Value(leeway) if leeway <= MAX_LEEWAY => leeway.as_secs(),
                Given::Value(_) => {
                    return Err(Error::field(
                        "clock_skew_leeway",
                        format_args!("at most {} seconds", MAX_LEEWAY.as_secs()),
                    ));
                }
            },
            trust_email: fields.boolean("trust_email")?.over(was.is_some_and(|was| was.trust_email), false),
            mount_accessor: text(fields.string("mount_accessor")?, was.and_then(|was| was.mount_accessor.clone())),
        };
        fields.refuse_unknown()?;
        issuer.check()?;
        Ok(issuer)
    }

    fn check(&self) -> Result<()> {
        match (self.kind, &self.mount_accessor) {
            (IssuerKind::Host, accessor) => return self.check_host(accessor.as_deref().unwrap_or_default()),
            (IssuerKind::Jwt, Some(_)) => return Err(Error::field("mount_accessor", "belongs to type host")),
            (IssuerKind::Jwt, None) => {}
        }
        if self.bound_issuer.is_empty() {
            return Err(Error::field("bound_issuer", "required: the exact iss claim of this issuer's tokens"));
        }
        if self.bound_issuer.len() > 1024 || self.bound_issuer.chars().any(char::is_control) {
            return Err(Error::field("bound_issuer", "at most 1024 bytes, no control characters"));
        }
        let given: Vec<_> = [
            ("jwks_url", self.jwks_url.is_some()),
            ("oidc_discovery_url", self.oidc_discovery_url.is_some()),
            ("jwt_validation_pubkeys", !self.jwt_validation_pubkeys.is_empty()),
            ("jwks", self.jwks.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        match given.as_slice() {
            [_] => {}
            [] => {
                return Err(Error::invalid(
                    "exactly one of jwks_url, oidc_discovery_url, jwt_validation_pubkeys and jwks must be set; none is",
                ));
            }
            several => {
                return Err(Error::invalid(format!(
                    "exactly one of jwks_url, oidc_discovery_url, jwt_validation_pubkeys and jwks must be set, not {}; set the \
                     others to null",
                    several.join(" and ")
                )));
            }
        }
        for (ca, url, set) in [
            ("jwks_ca_pem", "jwks_url", self.jwks_ca_pem.is_some() && self.jwks_url.is_none()),
            (
                "oidc_discovery_ca_pem",
                "oidc_discovery_url",
                self.oidc_discovery_ca_pem.is_some() && self.oidc_discovery_url.is_none(),
            ),
        ] {
            if set {
                return Err(Error::field(ca, format_args!("only together with {url}")));
            }
        }
        for (field, url) in [("jwks_url", &self.jwks_url), ("oidc_discovery_url", &self.oidc_discovery_url)] {
            if let Some(url) = url {
                check_url(field, url)?;
            }
        }
        for (field, pem) in [("jwks_ca_pem", &self.jwks_ca_pem), ("oidc_discovery_ca_pem", &self.oidc_discovery_ca_pem)]
        {
            if let Some(pem) = pem {
                check_ca(field, pem)?;
            }
        }
        let family = self.family_of_algorithms()?;
        let keys = self.pinned_keys()?;
        if let Some(first) = keys.first() {
            let wanted = family.unwrap_or(first.family());
            if let Some(other) = keys.iter().find(|key| key.family() != wanted) {
                return Err(Error::invalid(format!(
                    "an issuer's keys and algorithms are of one family: {} and {} do not mix; make another issuer for the other",
                    wanted.name(),
                    other.family().name()
                )));
            }
        }
        Ok(())
    }

    /// The vault vouches for a name and for groups; there is nothing to sign and nothing to be of an age.
    fn check_host(&self, accessor: &str) -> Result<()> {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if accessor.is_empty() || accessor.len() > 128 || !accessor.bytes().all(letter) {
            return Err(Error::field(
                "mount_accessor",
                "required for type host: the accessor of an auth method, as `bao auth list` shows it",
            ));
        }
        for (field, given) in [
            ("bound_issuer", !self.bound_issuer.is_empty()),
            ("jwks_url", self.jwks_url.is_some()),
            ("jwks_ca_pem", self.jwks_ca_pem.is_some()),
            ("oidc_discovery_url", self.oidc_discovery_url.is_some()),
            ("oidc_discovery_ca_pem", self.oidc_discovery_ca_pem.is_some()),
            ("jwt_validation_pubkeys", !self.jwt_validation_pubkeys.is_empty()),
            ("jwks", self.jwks.is_some()),
            ("jwt_supported_algs", !self.jwt_supported_algs.is_empty()),
            ("trust_email", self.trust_email),
        ] {
            if given {
                return Err(Error::field(field, "belongs to type jwt: an issuer of type host signs nothing"));
            }
        }
        Ok(())
    }

    fn family_of_algorithms(&self) -> Result<Option<Family>> {
        let mut family = None;
        for name in &self.jwt_supported_algs {
            let Some(found) = pubkey::algorithm(name).and_then(Family::of) else {
                let known: Vec<_> = pubkey::ALGORITHMS.iter().map(|(name, _)| *name).collect();
                return Err(Error::field(
                    "jwt_supported_algs",
                    format_args!("unsupported signing algorithm {name:?}; of {}", known.join(", ")),
                ));
            };
            if *family.get_or_insert(found) != found {
                return Err(Error::field("jwt_supported_algs", "algorithms of one family (RS and PS, ES, or EdDSA)"));
            }
        }
        Ok(family)
    }

    /// The keys that stand in the configuration, parsed; none for a fetched source.
    pub fn pinned_keys(&self) -> Result<Vec<PublicKey>> {
        if let Some(set) = &self.jwks {
            let keys = inline_keys(set)?;
            return match keys.is_empty() {
                true => Err(Error::field("jwks", "a JWK set with at least one signing key of RSA, EC or Ed25519")),
                false => Ok(keys),
            };
        }
        if self.jwt_validation_pubkeys.len() > MAX_KEYS {
            return Err(Error::field("jwt_validation_pubkeys", format_args!("at most {MAX_KEYS} keys")));
        }
        self.jwt_validation_pubkeys
            .iter()
            .enumerate()
            .map(|(at, pem)| {
                PublicKey::from_pem(pem)
                    .map_err(|what| Error::field("jwt_validation_pubkeys", format_args!("item {}: {what}", at + 1)))
            })
            .collect()
    }

    /// What is stored, in the form of section 16 of the API: writing it back changes nothing.
    pub fn wire(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
    /// What its word is.
    pub fn kind(&self) -> IssuerKind {
        self.kind
    }
    /// The `iss` claim that its tokens carry, exactly; empty for type `host`.
    pub fn bound_issuer(&self) -> &str {
        &self.bound_issuer
    }
    /// Where the keys come from.
    pub fn source(&self) -> Source<'_> {
        if let Some(mount_accessor) = &self.mount_accessor {
            return Source::Host { mount_accessor };
        }
        match (&self.jwks_url, &self.oidc_discovery_url) {
            (Some(url), _) => Source::Jwks { url, ca_pem: self.jwks_ca_pem.as_deref() },
            (None, Some(url)) => Source::Discovery { url, ca_pem: self.oidc_discovery_ca_pem.as_deref() },
            (None, None) => Source::Pinned,
        }
    }
    /// The names in `jwt_supported_algs`; empty means all that the keys can verify.
    pub fn algorithms(&self) -> &[String] {
        &self.jwt_supported_algs
    }
    /// How much its clock may differ from ours.
    pub fn leeway(&self) -> Duration {
        Duration::from_secs(self.clock_skew_leeway)
    }
    /// Whether it vouches for its e-mail claims without `email_verified`.
    pub fn trust_email(&self) -> bool {
        self.trust_email
    }
}

/// A record keeps the type it was made with: what roles demand of one type the other cannot give.
fn kind(old: Option<&Issuer>, given: Given<String>) -> Result<IssuerKind> {
    let kind = match given {
        Given::Absent => old.map_or(IssuerKind::Jwt, Issuer::kind),
        Given::Reset => IssuerKind::Jwt,
        Given::Value(text) => match text.as_str() {
            "jwt" => IssuerKind::Jwt,
            "host" => IssuerKind::Host,
            _ => return Err(Error::field("type", format_args!("jwt or host, not {text:?}"))),
        },
    };
    match old {
        Some(old) if old.kind != kind => Err(Error::field("type", "cannot change; delete the issuer and make it anew")),
        _ => Ok(kind),
    }
}

/// `jwks` as an object or as its text.
fn given_jwks(given: Given<Value>) -> Result<Given<Option<Value>>> {
    let wanted = || Error::field("jwks", "a JWK set: an object with a list \"keys\", or its text");
    Ok(match given {
        Given::Absent => Given::Absent,
        Given::Reset => Given::Reset,
        Given::Value(Value::String(text)) if text.is_empty() => Given::Reset,
        Given::Value(Value::String(text)) => Given::Value(Some(serde_json::from_str(&text).map_err(|_| wanted())?)),
        Given::Value(value @ Value::Object(_)) => Given::Value(Some(value)),
        Given::Value(_) => return Err(wanted()),
    })
}

fn inline_keys(set: &Value) -> Result<Vec<PublicKey>> {
    let wanted = || Error::field("jwks", "a JWK set: an object with a list \"keys\" of objects");
    let keys = set.get("keys").and_then(Value::as_array).ok_or_else(wanted)?;
    if keys.len() > MAX_KEYS {
        return Err(Error::field("jwks", format_args!("at most {MAX_KEYS} keys")));
    }
    let mut read = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let key = key.as_object().ok_or_else(wanted)?;
        let key =
            PublicKey::from_jwk(key).map_err(|what| Error::field("jwks", format_args!("key {}: {what}", at + 1)))?;
        read.extend(key);
    }
    Ok(read)
}

/// Refuses URLs that are not `https`, or `http` to this machine, and any with credentials or a fragment in them.
fn check_url(field: &str, url: &str) -> Result<()> {
    let (rest, secure) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, true),
        (None, Some(rest)) => (rest, false),
        (None, None) => ("", false),
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let plain = url.len() <= 2048 && url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\'));
    if host.is_empty() || authority.contains('@') || !plain || !(secure || local) {
        return Err(Error::field(field, "an https URL (http only to this machine) without credentials or fragment"));
    }
    Ok(())
}

/// Checks the form only; whoever makes a connection out of it checks the certificates.
fn check_ca(field: &str, pem: &str) -> Result<()> {
    let begins = pem.matches("-----BEGIN ").count();
    if begins == 0 || begins != pem.matches("-----BEGIN CERTIFICATE-----").count() {
        return Err(Error::field(field, "certificates in PEM form and nothing else"));
    }
    Ok(())
}

/// An empty text means the same as `null`.
fn given_text(given: Given<String>) -> Given<Option<String>> {
    match given {
        Given::Absent => Given::Absent,
        Given::Value(text) if !text.trim().is_empty() => Given::Value(Some(text)),
        Given::Reset | Given::Value(_) => Given::Reset,
    }
}
