//! `auth/jwt/login`: a JWT that satisfies a role becomes a token.

use std::time::Duration;

use zeroize::Zeroizing;

use super::answer::{Auth, Envelope, Refusal};
use super::tokens::SYSTEM_MAX_TTL;
use super::tokens::record::{Holder, LoginHolder};
use super::visit::{Acted, Visit, ignored};
use crate::domain::fields::Fields;
use crate::engine::login::Login;

/// Judges the assertion and issues a token.
pub(super) async fn login(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let role = fields.string("role")?.value().filter(|role| !role.is_empty());
    let jwt = Zeroizing::new(fields.string("jwt")?.value().unwrap_or_default());
    let refuse = |error| Refusal::of(error, visit.caller);
    let Login { grant, assertion } =
        visit.open.engine.login(role.as_deref(), &jwt, visit.remote).await.map_err(refuse)?;
    // A role that says nothing means the system's time, not for ever.
    let or_system = |ttl: Duration| if ttl.is_zero() { SYSTEM_MAX_TTL } else { ttl };
    let mut policies = grant.policies;
    policies.sort();
    policies.dedup();
    let holder = LoginHolder {
        role: grant.role,
        assertion,
        display_name: grant.display_name,
        policies: policies.clone(),
        metadata: grant.metadata.clone(),
    };
    let holder = Holder::Login(Box::new(holder));
    let (ttl, max_ttl) = (or_system(grant.ttl), or_system(grant.max_ttl));
    let (token, record) = visit.open.tokens.issue(holder, ttl, max_ttl, None).await.map_err(refuse)?;
    let auth = Auth {
        client_token: token,
        accessor: record.accessor,
        policies,
        metadata: Some(grant.metadata),
        lease_duration: record.ttl.as_secs(),
        renewable: true,
    };
    Ok(Envelope { warnings: ignored(&fields), ..Envelope::auth(auth) }.into())
}
