//! Every field of a role, both ways: granted as it says, refused as it says.

mod accounts;
mod acts;
mod record;
mod sign_in;
mod who;

use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sparekey::auth::{Act, Assertion, Grant, Presented, Refusal, judge, judge_login, judge_metadata};
use sparekey::domain::fields::Fields;
use sparekey::domain::glob::{Claims, Glob};
use sparekey::domain::issuer::IssuerKind;
use sparekey::domain::name::AccountName;
use sparekey::domain::role::{Capability, Role, Scope};
use sparekey::domain::rule::Rule;
use sparekey::domain::share::Limit;
use sparekey::domain::time::Timestamp;
use sparekey::domain::vouching;
use sparekey::error::Kind;

const NOW: i64 = 1_800_000_000;
const ACCOUNT: &str = "okta/jane@example.com";

fn fields(value: Value) -> Fields {
    Fields::new(value.as_object().unwrap().clone())
}

/// A role that grants everything on every account, changed by `changes`.
fn role(changes: Value) -> Role {
    let mut all = json!({
        "issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_subject": "jane", "accounts": ["*"],
        "operations": ["store", "retrieve", "enroll", "revoke", "release", "read", "list", "history", "administer"],
        "require_reason": false,
    });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Role::update(None, "r", &mut fields(all)).unwrap()
}

fn rule(changes: Value) -> Rule {
    role(changes).compile().unwrap()
}

/// What an issuer says of jane, changed by `changes`; null takes a claim out.
fn assertion(changes: Value) -> Assertion {
    let mut claims: Map<String, Value> = Map::new();
    claims.insert("sub".into(), "jane".into());
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), value.clone()),
        };
    }
    Assertion {
        issuer: "idp".into(),
        iss: "https://idp.example.com".into(),
        subject: claims.get("sub").and_then(Value::as_str).unwrap_or("jane").into(),
        audiences: vec!["other".into(), "sparekey".into()],
        issued_at: Timestamp::from_secs(NOW - 60),
        expires_at: Timestamp::from_secs(NOW + 60),
        claims,
        presented: Presented::Request,
        replay: [7; 32],
        trust_email: false,
    }
}

/// An act, with what a test wants to change.
struct Try {
    capability: Capability,
    account: &'static str,
    remote: Option<&'static str>,
    reason: Option<&'static str>,
    ticket: Option<&'static str>,
    wrapped: bool,
}

impl Default for Try {
    fn default() -> Self {
        Try {
            capability: Capability::Retrieve,
            account: ACCOUNT,
            remote: None,
            reason: None,
            ticket: None,
            wrapped: false,
        }
    }
}

impl Try {
    fn by(&self, rule: &Rule, assertion: &Assertion) -> Result<Grant, Refusal> {
        let account = AccountName::parse(self.account).unwrap();
        let act = Act {
            capability: self.capability,
            account: &account,
            now: Timestamp::from_secs(NOW),
            remote: self.remote.map(|text| text.parse::<IpAddr>().unwrap()),
            reason: self.reason,
            ticket: self.ticket,
            wrapped: self.wrapped,
        };
        judge(rule, "r", assertion, &act)
    }
}

fn granted(rule: &Rule, assertion: &Assertion) -> Result<(), Refusal> {
    Try::default().by(rule, assertion).map(drop)
}

const ACTS: [Capability; 5] =
    [Capability::Store, Capability::Retrieve, Capability::Enroll, Capability::Revoke, Capability::Release];
