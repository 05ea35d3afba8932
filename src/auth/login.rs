//! Logging in with a JWT: what a role makes of an assertion that shall stand for a session.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use serde_json::Value;

use crate::auth::judge::{addressed, age, identity, sign_in};
use crate::auth::{Assertion, Compiled, Presented, Refusal, Token, Verifier};
use crate::domain::rule::Rule;
use crate::domain::time::Timestamp;

/// What a login by JWT gives: the ingredients of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginGrant {
    /// The role.
    pub role: String,
    /// Who: the value of the role's `user_claim`.
    pub subject: String,
    /// As Vault names it: `jwt-` and the subject.
    pub display_name: String,
    /// `default` and the role's name, sorted.
    pub policies: Vec<String>,
    /// `role` and `subject`.
    pub metadata: Map<String, Value>,
    /// How long the token lives before it must be renewed.
    pub ttl: Duration,
    /// How long it lives at most.
    pub max_ttl: Duration,
}

/// Whether `rule`, the role `role_name`, lets who presents `assertion` log in. The times of the assertion count now and not again,
/// but for `max_auth_age`.
pub fn judge_login(
    rule: &Rule,
    role_name: &str,
    assertion: &Assertion,
    now: Timestamp,
    remote: Option<IpAddr>,
) -> Result<LoginGrant, Refusal> {
    if !rule.accepts_remote(remote) {
        return Err(Refusal::Network);
    }
    let subject = identity(rule, assertion)?;
    age(rule, assertion, now)?;
    sign_in(rule, assertion, now)?;
    let mut policies = vec!["default".to_owned(), role_name.to_owned()];
    policies.sort();
    let mut metadata = Map::new();
    metadata.insert("role".into(), role_name.into());
    metadata.insert("subject".into(), subject.clone().into());
    Ok(LoginGrant {
        role: role_name.to_owned(),
        display_name: format!("jwt-{subject}"),
        subject,
        policies,
        metadata,
        ttl: rule.token_ttl(),
        max_ttl: rule.token_max_ttl(),
    })
}

/// A whole login by `jwt`, refused for the same reason as Vault would refuse it first: address, form, algorithm and signature,
/// types of the claims, subject, audience, times, user claim, bound claims; then what only our roles ask for. The assertion says
/// that it was presented at a login.
pub async fn login(
    verifier: &Verifier,
    rule: &Rule,
    role_name: &str,
    issuers: &[Arc<Compiled>],
    jwt: &str,
    now: Timestamp,
    remote: Option<IpAddr>,
) -> Result<(LoginGrant, Assertion), Refusal> {
    if !rule.accepts_remote(remote) {
        return Err(Refusal::Network);
    }
    let token = Token::parse(jwt)?;
    let (mut assertion, times) = verifier.verify_but_times(&token, issuers, now).await?;
    addressed(rule, &assertion)?;
    times?;
    let grant = judge_login(rule, role_name, &assertion, now, remote)?;
    assertion.presented = Presented::Login;
    Ok((grant, assertion))
}
