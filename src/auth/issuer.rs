//! An issuer made ready: its keys parsed once, its algorithms known. Cached by the revision of its record.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::auth::believed::Believed;
use crate::auth::jwt::Token;
use crate::auth::refusal::Refusal;
use crate::domain::issuer::{Issuer, IssuerKind, MAX_KEYS, Source};
use crate::domain::pubkey::{PublicKey, algorithm};
use crate::error::Result;

/// The record of `issuers/:name`, compiled.
pub struct Compiled {
    name: String,
    issuer: Issuer,
    algorithms: Vec<Algorithm>,
    pinned: Option<Vec<PublicKey>>,
}

impl Compiled {
    /// Compiles `issuer`, which stands under `issuers/<name>`. Call it when the record is written, too: certificates in
    /// `jwks_ca_pem` and `oidc_discovery_ca_pem` are read here. The error names the field.
    pub fn new(name: &str, issuer: &Issuer) -> Result<Self> {
        let algorithms: Vec<Algorithm> = issuer.algorithms().iter().filter_map(|name| algorithm(name)).collect();
        let pinned = match issuer.source() {
            Source::Pinned => Some(issuer.pinned_keys()?),
            Source::Jwks { ca_pem, .. } => {
                super::fetch::check_ca("jwks_ca_pem", ca_pem)?;
                None
            }
            Source::Discovery { ca_pem, .. } => {
                super::fetch::check_ca("oidc_discovery_ca_pem", ca_pem)?;
                None
            }
            Source::Host { .. } => None,
        };
        Ok(Compiled { name: name.to_owned(), issuer: issuer.clone(), algorithms, pinned })
    }

    /// Its name under `issuers/`.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// What its word is.
    pub fn kind(&self) -> IssuerKind {
        self.issuer.kind()
    }
    /// The auth method whose aliases it vouches for, if it is of type `host`.
    pub fn mount_accessor(&self) -> Option<&str> {
        match self.issuer.source() {
            Source::Host { mount_accessor } => Some(mount_accessor),
            Source::Pinned | Source::Jwks { .. } | Source::Discovery { .. } => None,
        }
    }
    /// The `iss` claim of its tokens, exactly; empty for type `host`.
    pub fn bound_issuer(&self) -> &str {
        self.issuer.bound_issuer()
    }
    /// How much its clock may differ from ours.
    pub fn leeway(&self) -> Duration {
        self.issuer.leeway()
    }
    /// Whether it vouches for its e-mail claims without `email_verified`.
    pub fn trust_email(&self) -> bool {
        self.issuer.trust_email()
    }
    pub(super) fn source(&self) -> Source<'_> {
        self.issuer.source()
    }
    pub(super) fn pinned(&self) -> Option<&[PublicKey]> {
        self.pinned.as_deref()
    }
    /// Whether Vault's words for static keys apply.
    pub(super) fn is_pem(&self) -> bool {
        self.pinned().is_some_and(|keys| keys.iter().all(|key| key.kid().is_none()))
    }

    /// The algorithm that `token` names, if this issuer may sign with it: a choice among what the configuration allows.
    pub(super) fn algorithm(&self, token: &Token) -> Result<Algorithm, Refusal> {
        const UNBUILT: &str = "ES512";
        let alg = token.alg();
        let Some(found) = algorithm(alg) else {
            return Err(match alg {
                UNBUILT => Refusal::NoKey { pinned: self.is_pem() },
                _ => Refusal::Algorithm { alg: alg.to_owned(), pinned: self.is_pem() },
            });
        };
        if !self.algorithms.is_empty() && !self.algorithms.contains(&found) {
            return Err(Refusal::AlgorithmNotAllowed(alg.to_owned()));
        }
        Ok(found)
    }

    /// Looks among `keys` for one that verifies `token`. Without `jwt_supported_algs` only keys of one family count: RSA before
    /// EC before Ed25519. `kid` is compared, nothing else: a key without one may be any, a token without one may be of any key.
    pub(super) fn look(&self, keys: &[PublicKey], token: &Token, algorithm: Algorithm, believed: &Believed) -> Look {
        let family = self.algorithms.is_empty().then(|| keys.iter().map(PublicKey::family).min()).flatten();
        let mut look = Look::NoKey;
        for key in
            keys.iter().filter(|key| key.verifies(algorithm) && family.is_none_or(|family| family == key.family()))
        {
            let named = match (token.kid(), key.kid()) {
                (Some(wanted), Some(kid)) if wanted != kid => continue,
                (Some(_), Some(_)) => true,
                _ => false,
            };
            if believed.verify(key, algorithm, token.signed(), token.signature()) {
                return Look::Verified;
            }
            look = if named || look == Look::ForgedByName { Look::ForgedByName } else { Look::Forged };
        }
        look
    }
}

/// What a look at an issuer's keys came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// A key verifies the signature.
    Verified,
    /// The key that has this very `kid` does not; a newer set would not change that.
    ForgedByName,
    /// Keys that fit do not: a newer set might.
    Forged,
    /// No key has that `kid` and verifies that algorithm: a newer set might.
    NoKey,
}

/// The keys of a fetched JWK set (RFC 7517 section 5: what is not understood is passed over). `None` if it is no set at all.
pub(super) fn keys_of(set: &Value) -> Option<Vec<PublicKey>> {
    let keys = set.get("keys")?.as_array()?;
    Some(
        keys.iter()
            .take(MAX_KEYS)
            .filter_map(Value::as_object)
            .filter_map(|key| PublicKey::from_jwk(key).ok().flatten())
            .collect(),
    )
}
