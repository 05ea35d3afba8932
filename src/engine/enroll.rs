//! `enroll/:account`: somebody trusted says that MFA was enrolled again. Older sets end.

use std::sync::Arc;
use std::time::Duration;

use minicbor::{Decode, Encode};
use serde_json::{Map, Value, json};

use crate::auth::Grant;
use crate::crypto::keyring::HashPurpose;
use crate::domain::enrollment::Weight;
use crate::domain::role::Capability;
use crate::domain::time::Timestamp;
use crate::engine::ask::{Ask, text};
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::request::{Request, Response};
use crate::engine::{Call, Engine, actor, keys, record, remote};
use crate::error::Result;
use crate::ledger::entry::Entry;
use crate::storage::Write;

/// How far an event's time may be off where no source says otherwise.
pub const SKEW: Duration = Duration::from_secs(30);
/// The folder of enrollments that came through `enroll/`.
const SOURCE: &str = "enroll";

/// An event that was taken in, with the accounts still to do.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Seen {
    /// When it came.
    #[n(0)]
    pub at: Timestamp,
    /// Accounts it has not reached yet; empty once it is done.
    #[n(1)]
    pub todo: Vec<String>,
}

/// Carries out `enroll/:account`.
pub async fn enroll(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let id = text(&mut fields, "enrollment_id", 256)?;
    let occurred_at = fields.time("occurred_at")?.value();
    let method = text(&mut fields, "method", 64)?;
    let keyring = engine.keyring().await?;
    // Without an id the assertion stands for the event, so that a repeated request is one event.
    let Begun { request, account, ask } = &begun;
    let id = id.unwrap_or_else(|| ask.jwt.as_ref().map_or_else(|| request.id.clone(), |jwt| jwt.to_string()));
    let id = keyring.keyed_hash(HashPurpose::RequestContent, &[b"enroll", account.as_str().as_bytes(), id.as_bytes()]);
    let event = keys::event(SOURCE, &id);
    let told = Told { at: occurred_at, method: method.as_deref(), event: &event };
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, &grant, request, ask, &told);
    begun.act(engine, Capability::Enroll, &fields, vec![event.clone()], decide).await
}

struct Told<'a> {
    at: Option<Timestamp>,
    method: Option<&'a str>,
    event: &'a str,
}

fn decide(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    request: &Request,
    ask: &Ask,
    told: &Told<'_>,
) -> Result<Decision<Response>> {
    let in_the_way = attempt.in_the_way(told.event).map(|(bytes, _)| Arc::from(bytes.as_slice()));
    if let Some(known) = attempt.raw(told.event).map(|(_, bytes)| bytes).or(in_the_way) {
        // A newer version may have meant something else than that it is done.
        record::body(told.event, &known)?;
        return Ok(Decision::Keep(Response::data(answer(attempt, &Outcome::default(), true))));
    }
    attempt.refuse_codes_in(ask.texts().chain(told.method.map(|text| ("method", text))))?;
    let seen = Seen { at: attempt.now, todo: Vec::new() };
    attempt.after.push(Write::create(told.event, record::encode(&seen), attempt.random));
    let mut entry = attempt.entry("enroll", actor(grant, request), &request.id, remote(request));
    entry.reason = ask.reason.clone();
    entry.ticket = ask.ticket.clone();
    let at = told.at.unwrap_or(attempt.now);
    let detail = json!({"method": told.method});
    let (outcome, note) = apply(attempt, entry, Fact { at, weight: Weight::Ends, source: SOURCE, skew: SKEW }, detail)?;
    let mut response = Response::data(answer(attempt, &outcome, false));
    response.note = note;
    Ok(Decision::Write(response))
}

/// An enrollment as it is applied to an account.
pub struct Fact<'a> {
    /// When it happened, as far as the sender knows.
    pub at: Timestamp,
    /// How surely.
    pub weight: Weight,
    /// Who told us.
    pub source: &'a str,
    /// How far its time may be off.
    pub skew: Duration,
}

/// What an enrollment did.
#[derive(Default)]
pub struct Outcome {
    superseded: Vec<u32>,
    quarantined: Vec<u32>,
}

/// Applies an enrollment to the account of this try and logs it. An end always fits, whatever the record's size.
pub fn apply(
    attempt: &mut Attempt<'_>,
    mut entry: Entry,
    fact: Fact<'_>,
    detail: Value,
) -> Result<(Outcome, Map<String, Value>)> {
    let profile = attempt.ending_profile();
    let account = &mut attempt.record.account;
    let (superseded, quarantined) = account.enroll(fact.at, fact.weight, fact.source, &profile, fact.skew, attempt.now);
    let left = account.live().is_some();
    let mut told = json!({
        "enrollment": account.enrollment.number, "occurred_at": fact.at.to_string(), "source": fact.source,
        "superseded": superseded, "quarantined": quarantined,
    });
    if fact.at > attempt.now {
        told["clamped"] = json!("the event's time lies in the future and counts as its receipt");
    }
    if !superseded.is_empty() && !left {
        told["without_fallback"] = json!(true);
        tracing::warn!(account = attempt.name.as_str(), "an enrollment left this account without any backup code");
    }
    if let (Value::Object(told), Value::Object(detail)) = (&mut told, detail) {
        told.extend(detail.into_iter().filter(|(_, value)| !value.is_null()));
    }
    entry.generation = superseded.first().or(quarantined.first()).copied();
    entry.detail = Some(told.to_string());
    let note = attempt.log(entry);
    Ok((Outcome { superseded, quarantined }, note))
}

fn answer(attempt: &Attempt<'_>, outcome: &Outcome, unchanged: bool) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("enrollment".to_owned(), json!(attempt.record.account.enrollment.number));
    data.insert("superseded".to_owned(), json!(outcome.superseded));
    data.insert("quarantined".to_owned(), json!(outcome.quarantined));
    data.insert("unchanged".to_owned(), json!(unchanged));
    data
}
