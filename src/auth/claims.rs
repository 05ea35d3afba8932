//! The registered claims of an assertion: each required one there, of the right JSON type, and the times right.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::auth::issuer::Compiled;
use crate::auth::jwt::{MAX_NAME, Token, json_type};
use crate::auth::refusal::Refusal;
use crate::auth::{Assertion, Presented};
use crate::domain::time::Timestamp;

const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];
/// Most audiences of one token.
const MAX_AUDIENCES: usize = 64;

/// What `iss`, `sub`, `aud`, `exp`, `nbf`, `iat` and `jti` say, once the signature holds. The times are judged apart.
pub(super) struct Registered {
    subject: String,
    audiences: Vec<String>,
    expires_at: Timestamp,
    not_before: Option<Timestamp>,
    issued_at: Timestamp,
}

impl Registered {
    /// Reads them. A name that is one of them but for capitals is refused: another reader might fold it.
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, Refusal> {
        for claim in claims.keys() {
            let folded = claim.replace('ſ', "s");
            if let Some(registered) =
                REGISTERED.iter().find(|known| folded.eq_ignore_ascii_case(known) && claim != **known)
            {
                return Err(Refusal::Ambiguous { claim: claim.clone(), registered });
            }
        }
        let subject = text(claims, "sub")?;
        if subject.is_empty() {
            return Err(Refusal::ClaimMissing("sub"));
        }
        Ok(Registered {
            subject,
            audiences: audiences(claims)?,
            expires_at: time(claims, "exp")?.ok_or(Refusal::ClaimMissing("exp"))?,
            not_before: time(claims, "nbf")?,
            issued_at: time(claims, "iat")?.ok_or(Refusal::ClaimMissing("iat"))?,
        })
    }

    /// Judges the times, with `leeway` for clocks that differ (at most 60 s): `nbf`, `exp`, `iat`, in that order.
    pub(super) fn times(&self, now: Timestamp, leeway: Duration) -> Result<(), Refusal> {
        if self.not_before.is_some_and(|from| from > now.plus(leeway)) {
            return Err(Refusal::NotYet);
        }
        if self.expires_at < now.minus(leeway) {
            return Err(Refusal::Expired);
        }
        if self.issued_at > now.plus(leeway) {
            return Err(Refusal::IssuedInFuture);
        }
        Ok(())
    }

    /// The assertion that they and the rest of `token` make.
    pub(super) fn assertion(self, token: &Token, issuer: &Compiled) -> Assertion {
        Assertion {
            issuer: issuer.name().to_owned(),
            iss: token.unverified_iss().to_owned(),
            subject: self.subject,
            audiences: self.audiences,
            issued_at: self.issued_at,
            expires_at: self.expires_at,
            claims: token.claims().clone(),
            presented: Presented::Request,
            replay: token.replay(),
            trust_email: issuer.trust_email(),
        }
    }
}

fn text(claims: &Map<String, Value>, claim: &'static str) -> Result<String, Refusal> {
    match claims.get(claim) {
        None => Err(Refusal::ClaimMissing(claim)),
        Some(Value::String(text)) if text.len() <= MAX_NAME => Ok(text.clone()),
        Some(Value::String(_)) => Err(Refusal::ClaimType { claim, found: "so long a string" }),
        Some(other) => Err(Refusal::ClaimType { claim, found: json_type(other) }),
    }
}

/// RFC 7519 section 4.1.3: a string, or an array of strings. An empty one names nobody.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<String>, Refusal> {
    let wrong = |found| Refusal::ClaimType { claim: "aud", found };
    match claims.get("aud") {
        None => Err(Refusal::ClaimMissing("aud")),
        Some(Value::String(one)) => Ok(vec![one.clone()]),
        Some(Value::Array(items)) if items.is_empty() => Err(Refusal::ClaimMissing("aud")),
        Some(Value::Array(items)) if items.len() > MAX_AUDIENCES => Err(wrong("so long an array")),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(wrong("an array of others"))).collect()
        }
        Some(other) => Err(wrong(json_type(other))),
    }
}

/// RFC 7519 section 2, NumericDate: a number of seconds, whole or not, from 1970 to 9999. A text is not a number.
pub(super) fn time(claims: &Map<String, Value>, claim: &'static str) -> Result<Option<Timestamp>, Refusal> {
    const LAST: f64 = 253_402_300_799.0;
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(secs) if (0.0..=LAST).contains(&secs) => Ok(Some(Timestamp::from_millis((secs * 1000.0) as i64))),
            _ => Err(Refusal::ClaimType { claim, found: "so large or negative a number" }),
        },
        Some(other) => Err(Refusal::ClaimType { claim, found: json_type(other) }),
    }
}
