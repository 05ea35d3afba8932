//! What a role may demand of the vault that mounts us, where its issuers are of type `host`.
//!
//! The vault vouches for a name and for groups. What it keeps beside an alias (metadata that an auth method mapped from claims)
//! is that of the entity's latest login by that method, perhaps another one than this token came from; so it proves no `acr`, no
//! `amr` and no age, and no role may seem to ask for them. Nor is the vault's word made for an audience.

use crate::domain::glob::Glob;
use crate::domain::issuer::IssuerKind;
use crate::domain::role::{AssertionMode, Role};
use crate::error::{Error, Result};

/// The claims that an issuer of type `host` makes: the alias's name, and the names of its entity's groups.
pub const CLAIMS: [&str; 2] = ["sub", "groups"];

/// Whether `role` demands what its issuers can give, and what they need. `kinds` are those of the issuers that exist; `all` says
/// whether they all do. An issuer that does not exist yet is taken for one of type `jwt`.
pub fn check(role: &Role, kinds: &[IssuerKind], all: bool) -> Result<()> {
    let hosts = kinds.contains(&IssuerKind::Host);
    if !hosts {
        return match role.bound_audiences.is_empty() {
            true => Err(Error::field(
                "bound_audiences",
                "required: at least one exact aud of the tokens (except where all issuers exist and are of type host)",
            )),
            false => Ok(()),
        };
    }
    if !all || kinds.contains(&IssuerKind::Jwt) {
        return Err(Error::field(
            "issuers",
            "issuers of type host do not mix with others, nor with ones that do not exist yet; make a role for each kind",
        ));
    }
    for (field, demanded) in [
        ("bound_audiences", !role.bound_audiences.is_empty()),
        ("required_acr", !role.required_acr.is_empty()),
        ("required_amr", !role.required_amr.is_empty()),
        ("refused_amr", !role.refused_amr.is_empty()),
        ("max_auth_age", role.max_auth_age.is_some()),
    ] {
        if demanded {
            return Err(Error::field(field, "not over issuers of type host: the vault cannot vouch for it"));
        }
    }
    if role.assertion == Some(AssertionMode::Request) {
        return Err(Error::field(
            "assertion",
            "not request over issuers of type host: their word is never in a request; login, or null",
        ));
    }
    if role.user_claim != "sub" {
        return Err(Error::field("user_claim", "sub over issuers of type host: the name of the alias"));
    }
    let other = |name: &&str| !CLAIMS.contains(name);
    let bound = role.bound_claims.keys().map(String::as_str);
    if let Some(name) = bound.clone().find(other) {
        return Err(Error::field(
            "bound_claims",
            format_args!("{name:?}: issuers of type host say sub and groups only"),
        ));
    }
    for text in &role.accounts {
        if Glob::parse("accounts", text)?.claims().any(|name| name != "sub") {
            return Err(Error::field("accounts", format_args!("{text:?}: over issuers of type host only {{{{sub}}}}")));
        }
    }
    Ok(())
}
