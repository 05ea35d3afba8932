//! The one place where a role says yes or no to an assertion.
//!
//! The order is fixed, so that the same request is always refused for the same reason: issuer, subject, audience, user claim, bound
//! claims, operation, account, age of the assertion, sign-in (`acr`, `amr`, `auth_time`), network, where the assertion
//! came from, wrapping, reason, ticket. Who somebody is comes before what they want; whether the account exists is never
//! asked, so that nobody learns it from a refusal.

use std::net::IpAddr;

use serde_json::Value;

use crate::auth::refusal::Refusal;
use crate::auth::{Act, Assertion, Presented, claims};
use crate::domain::glob::Claims;
use crate::domain::name::AccountName;
use crate::domain::role::Capability;
use crate::domain::rule::{Claimed, Rule};
use crate::domain::share::Limit;
use crate::domain::time::Timestamp;

/// Leave for one act, by one subject, on one account. Only [`judge`] makes one; what acts consumes it.
pub struct Grant {
    role: String,
    issuer: String,
    iss: String,
    subject: String,
    capability: Capability,
    account: AccountName,
    single_use: Option<[u8; 32]>,
    presented: Presented,
    expires_at: Timestamp,
    limit: Option<Limit>,
    wrap_required: bool,
}

impl Grant {
    /// The role that granted it.
    pub fn role(&self) -> &str {
        &self.role
    }
    /// Name of the issuer's record.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// The `iss` claim.
    pub fn iss(&self) -> &str {
        &self.iss
    }
    /// Who acts: the value of the role's `user_claim`.
    pub fn subject(&self) -> &str {
        &self.subject
    }
    /// What is granted.
    pub fn capability(&self) -> Capability {
        self.capability
    }
    /// On which account.
    pub fn account(&self) -> &AccountName {
        &self.account
    }
    /// The hash that a claim record is created under, expected absent, before the code leaves; `None` if the act discloses
    /// nothing or the role lets an assertion be used again.
    pub fn single_use(&self) -> Option<&[u8; 32]> {
        self.single_use.as_ref()
    }
    /// When the assertion expires, and so when its claim may be forgotten.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
    /// How many codes the subject may have.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }
    /// Whether codes must leave wrapped: what an act gives out that discloses only sometimes.
    pub fn wrap_required(&self) -> bool {
        self.wrap_required
    }
    /// How the assertion came.
    pub fn presented(&self) -> Presented {
        self.presented
    }
}

/// Whether `rule`, the role `role_name`, grants `act` to who presents `assertion`.
pub fn judge(rule: &Rule, role_name: &str, assertion: &Assertion, act: &Act<'_>) -> Result<Grant, Refusal> {
    let subject = identity(rule, assertion)?;
    may(rule, act.capability, Some(act.account), assertion)?;
    if assertion.presented == Presented::Request {
        age(rule, assertion, act.now)?;
    }
    sign_in(rule, assertion, act.now)?;
    if !rule.accepts_remote(act.remote) {
        return Err(Refusal::Network);
    }
    if assertion.presented != Presented::Request && rule.needs_request(act.capability) {
        return Err(Refusal::NotInRequest);
    }
    if act.capability.discloses() && rule.wrap_required() && !act.wrapped {
        return Err(Refusal::Unwrapped);
    }
    let given = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
    if act.capability.takes_reason() && rule.require_reason() && !given(act.reason) {
        return Err(Refusal::Reason);
    }
    if act.capability.discloses() && !rule.accepts_ticket(act.ticket) {
        return Err(Refusal::Ticket);
    }
    Ok(Grant {
        role: role_name.to_owned(),
        issuer: assertion.issuer.clone(),
        iss: assertion.iss.clone(),
        subject,
        capability: act.capability,
        account: act.account.clone(),
        single_use: single_use(rule, assertion, act.capability).then_some(assertion.replay),
        presented: assertion.presented,
        expires_at: assertion.expires_at,
        limit: rule.limit(),
        wrap_required: rule.wrap_required(),
    })
}

/// Whether the assertion may be used for one disclosure only. The vault's own word is not a thing that could be used up.
fn single_use(rule: &Rule, assertion: &Assertion, capability: Capability) -> bool {
    capability.discloses() && rule.single_use() && assertion.presented != Presented::Host
}

/// Whether the holder of a login token may read metadata: the same order, as far as a read has the parts. `account` is `None` where
/// a list is filtered afterwards, account by account, with [`Rule::covers`].
pub fn judge_metadata(
    rule: &Rule,
    capability: Capability,
    account: Option<&AccountName>,
    assertion: &Assertion,
    now: Timestamp,
    remote: Option<IpAddr>,
) -> Result<(), Refusal> {
    identity(rule, assertion)?;
    may(rule, capability, account, assertion)?;
    sign_in(rule, assertion, now)?;
    if rule.accepts_remote(remote) { Ok(()) } else { Err(Refusal::Network) }
}

/// Issuer, subject, audience.
pub(super) fn addressed(rule: &Rule, assertion: &Assertion) -> Result<(), Refusal> {
    if !rule.issuers().contains(&assertion.issuer) {
        return Err(Refusal::Issuer);
    }
    if rule.bound_subject().is_some_and(|subject| subject != assertion.subject) {
        return Err(Refusal::Subject);
    }
    let addressed = match assertion.presented {
        Presented::Host => rule.audiences().is_empty(),
        Presented::Request | Presented::Login => {
            assertion.audiences.iter().any(|audience| rule.audiences().contains(audience))
        }
    };
    if addressed { Ok(()) } else { Err(Refusal::Audience) }
}

/// Issuer, subject, audience, user claim, bound claims; answers who it is.
pub(super) fn identity(rule: &Rule, assertion: &Assertion) -> Result<String, Refusal> {
    addressed(rule, assertion)?;
    let claims = assertion.view();
    let subject = match claims.get(rule.user_claim()) {
        None => return Err(Refusal::UserClaimMissing(rule.user_claim().to_owned())),
        Some(Value::String(text)) if is_name(text) => text.clone(),
        Some(_) => return Err(Refusal::UserClaimType(rule.user_claim().to_owned())),
    };
    match rule.claimed(claims) {
        Claimed::All => Ok(subject),
        Claimed::Missing(claim) => Err(Refusal::BoundClaimMissing(claim.to_owned())),
        Claimed::Other(claim) => Err(Refusal::BoundClaim(claim.to_owned())),
        Claimed::Strange(claim) => Err(Refusal::BoundClaimType(claim.to_owned())),
    }
}

/// A subject goes into the ledger: short, and nothing in it that could forge a line.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 512 && !text.chars().any(char::is_control)
}

fn may(
    rule: &Rule,
    capability: Capability,
    account: Option<&AccountName>,
    assertion: &Assertion,
) -> Result<(), Refusal> {
    if !rule.permits(capability) {
        return Err(Refusal::Operation(capability));
    }
    match account {
        Some(account) if !rule.covers(account, assertion.view()) => Err(Refusal::Account),
        _ => Ok(()),
    }
}

pub(super) fn age(rule: &Rule, assertion: &Assertion, now: Timestamp) -> Result<(), Refusal> {
    let most = rule.max_assertion_age();
    if now.since(assertion.issued_at) > most { Err(Refusal::TooOld(most)) } else { Ok(()) }
}

/// `acr`, `amr` and `auth_time` as OpenID Connect Core 1.0 section 2 defines them. What a rule needs and the assertion lacks
/// refuses.
pub(super) fn sign_in(rule: &Rule, assertion: &Assertion, now: Timestamp) -> Result<(), Refusal> {
    let wanted = rule.sign_in();
    let acr = assertion.claims.get("acr").and_then(Value::as_str);
    let amr: Vec<&str> = match assertion.claims.get("amr") {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    };
    if !wanted.refused_amr.is_empty()
        && (amr.is_empty() || amr.iter().any(|method| wanted.refused_amr.iter().any(|no| no == method)))
    {
        return Err(Refusal::RefusedMethod);
    }
    let acr_is_fine = wanted.acr.is_empty() || acr.is_some_and(|acr| wanted.acr.iter().any(|fine| fine == acr));
    let amr_is_fine = wanted.amr.iter().all(|need| need.split('|').any(|method| amr.contains(&method)));
    let fresh = wanted.max_age.is_none_or(|most| {
        let signed_in = claims::time(&assertion.claims, "auth_time").ok().flatten();
        signed_in.is_some_and(|at| now.since(at) <= most && at <= now.plus(crate::domain::issuer::MAX_LEEWAY))
    });
    if acr_is_fine && amr_is_fine && fresh {
        return Ok(());
    }
    Err(Refusal::StepUp { acr: wanted.acr.to_vec(), amr: wanted.amr.to_vec(), max_age: wanted.max_age })
}

impl Assertion {
    /// The claims as roles look at them.
    pub fn view(&self) -> Claims<'_> {
        Claims { map: &self.claims, trust_email: self.trust_email }
    }
}
