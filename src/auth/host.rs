//! The vault's own word for who asks: an assertion that nobody signed, made of what the vault that mounts us knows of the
//! caller's entity. Pure but for the trait by which the vault is asked.
//!
//! The vault tells us the entity of the token and all its aliases; it does not tell by which of them this token's holder logged
//! in. So an entity counts only if every alias it has belongs to an auth method that the role trusts: else whoever logs in by the
//! weakest method would be taken for a user of the strongest. The token's display name counts for nothing: whoever made the
//! token may have chosen it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::auth::{Assertion, Compiled, Presented, Refusal};
use crate::domain::issuer::IssuerKind;
use crate::domain::time::Timestamp;
use crate::error::Result;

/// Most aliases and groups that are looked at.
pub const MOST: usize = 1024;

/// An entity of the vault, as far as it matters here. Metadata is left out on purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostIdentity {
    /// The entity's id.
    pub entity_id: String,
    /// Whether the vault has been told to let it do nothing.
    pub disabled: bool,
    /// All its aliases.
    pub aliases: Vec<HostAlias>,
    /// Names of all its groups, inherited ones included.
    pub groups: Vec<String>,
}

/// What an auth method calls an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAlias {
    /// The auth method's accessor.
    pub mount_accessor: String,
    /// The name there.
    pub name: String,
}

/// An answer of the vault under way.
pub type Looking<'a> = Pin<Box<dyn Future<Output = Result<Option<HostIdentity>>> + Send + 'a>>;

/// A vault that can be asked who an entity is.
pub trait Identities: Send + Sync {
    /// The entity of that id; `None` if there is none. An error if the vault does not answer.
    fn look_up<'a>(&'a self, entity_id: &'a str) -> Looking<'a>;
}

/// What kind of word a role's issuers give, or why they give none together.
pub fn kind_of(issuers: &[Arc<Compiled>]) -> std::result::Result<IssuerKind, Refusal> {
    let hosts = issuers.iter().filter(|issuer| issuer.kind() == IssuerKind::Host).count();
    match hosts {
        0 => Ok(IssuerKind::Jwt),
        all if all == issuers.len() => Ok(IssuerKind::Host),
        _ => Err(Refusal::MixedIssuers),
    }
}

/// What the vault vouches for: the entity's alias at the first of `issuers` (all of type `host`, the role's in its order) that
/// has one, and the entity's groups.
pub fn vouch(
    issuers: &[Arc<Compiled>],
    identity: &HostIdentity,
    now: Timestamp,
) -> std::result::Result<Assertion, Refusal> {
    if identity.disabled || identity.entity_id.is_empty() {
        return Err(Refusal::NoEntity);
    }
    let trusted =
        |alias: &HostAlias| issuers.iter().any(|issuer| issuer.mount_accessor() == Some(alias.mount_accessor.as_str()));
    let found = issuers.iter().find_map(|issuer| {
        let alias =
            identity.aliases.iter().find(|alias| issuer.mount_accessor() == Some(alias.mount_accessor.as_str()));
        alias.map(|alias| (issuer, alias))
    });
    let Some((issuer, alias)) = found else { return Err(Refusal::NoAlias) };
    if identity.aliases.len() >= MOST || !identity.aliases.iter().all(trusted) {
        return Err(Refusal::OtherAlias);
    }
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), Value::from(alias.name.as_str()));
    let groups = identity.groups.iter().filter(|name| !name.is_empty()).take(MOST);
    claims.insert("groups".to_owned(), groups.map(|name| Value::from(name.as_str())).collect());
    Ok(Assertion {
        issuer: issuer.name().to_owned(),
        iss: format!("host:{}", alias.mount_accessor),
        subject: alias.name.clone(),
        audiences: Vec::new(),
        issued_at: now,
        expires_at: now,
        claims,
        presented: Presented::Host,
        replay: [0; 32],
        trust_email: false,
    })
}
