//! CAEP `credential-change` (OpenID CAEP 1.0 section 3.3), and the two events of the stream itself (SSF 1.0).

use serde_json::{Map, Value};

use super::set::{self, Envelope, bounded_text, numeric_date};
use super::{Effect, Event, EventRefusal, Received, Source, Subject, subject};
use crate::domain::time::Timestamp;

const CREDENTIAL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

/// What the claims of a verified Security Event Token say, to the source they came to.
///
/// Old tokens are as good as new ones, and unknown members are passed over. The time of a change is its `event_timestamp`,
/// else the token's `toe`, else its `iat`, marked as inferred; one that cannot be read counts as absent, since a transmitter's
/// slip in an optional member must not leave a dead set alive. The subject is `sub_id`, else `subject` in the event; where
/// both stand and differ, the change quarantines the accounts of both.
pub fn interpret(claims: &Map<String, Value>, source: &Source) -> Result<Received, EventRefusal> {
    let envelope = set::open(claims, source.bound_audiences())?;
    match envelope.event_type {
        CREDENTIAL_CHANGE => credential_change(&envelope, source).map(Received::Enrollment),
        VERIFICATION => match envelope.event.get("state") {
            None => Ok(Received::Verification { state: None }),
            state => Ok(Received::Verification { state: Some(bounded_text("state", state, 1024)?) }),
        },
        STREAM_UPDATED => Ok(Received::StreamUpdated {
            status: bounded_text("status", envelope.event.get("status"), 128)?,
            reason: envelope.event.get("reason").and_then(Value::as_str).map(printable),
        }),
        other => Ok(Received::Ignored { why: format!("{} is not an event this source acts on", printable(other)) }),
    }
}

fn credential_change(envelope: &Envelope<'_>, source: &Source) -> Result<Event, EventRefusal> {
    let event = envelope.event;
    let credential_type = bounded_text("credential_type", event.get("credential_type"), 128)?;
    let change_type = bounded_text("change_type", event.get("change_type"), 128)?;
    let (subjects, agreed) = subjects(envelope, source.critical_subject_members())?;
    let effect = if agreed { effect(&credential_type, &change_type) } else { Effect::Quarantine };
    let (at, time_inferred) = time(envelope);
    let entity = event.get("initiating_entity").and_then(Value::as_str);
    Ok(Event {
        id: Value::from(vec![envelope.iss.as_str(), envelope.jti.as_str()]).to_string(),
        issuer: envelope.iss.clone(),
        subjects,
        credential_type,
        change_type,
        at,
        time_inferred,
        initiating_entity: entity
            .filter(|who| matches!(*who, "admin" | "user" | "policy" | "system"))
            .map(str::to_owned),
        effect,
    })
}

/// Whom the event is about, and whether its two places for a subject agree.
fn subjects(envelope: &Envelope<'_>, critical: &[String]) -> Result<(Vec<Subject>, bool), EventRefusal> {
    let inner = envelope.event.get("subject");
    match (envelope.sub_id, inner) {
        (None, None) => Err(EventRefusal::invalid_request("sub_id is missing: an event names its subject (RFC 9493)")),
        (Some(outer), None) => Ok((subject::read("sub_id", outer, critical)?, true)),
        (None, Some(inner)) => Ok((subject::read("subject", inner, critical)?, true)),
        (Some(outer), Some(inner)) => {
            let mut outer = subject::read("sub_id", outer, critical)?;
            let inner = subject::read("subject", inner, critical)?;
            let agreed = outer == inner;
            outer.extend(inner);
            outer.sort();
            outer.dedup();
            Ok((outer, agreed))
        }
    }
}

fn time(envelope: &Envelope<'_>) -> (Timestamp, bool) {
    match envelope.event.get("event_timestamp").and_then(numeric_date).or(envelope.toe) {
        Some(at) => (at, false),
        None => (envelope.iat, true),
    }
}

/// What a change of this kind does.
///
/// A second factor that comes, changes or goes ends older sets: whoever enrolled it may not be who held the codes. Passwords,
/// PINs, certificates and wallet credentials are not second factors in this sense. `recovery-code` only notifies: codes made
/// anew are dead at the provider already, and a job that rotates them stores the new set in the same seconds, which an
/// event that arrives late must not block. What nobody has agreed on with us quarantines.
fn effect(credential_type: &str, change_type: &str) -> Effect {
    if !matches!(change_type, "create" | "update" | "delete" | "revoke") {
        return Effect::Quarantine;
    }
    match credential_type {
        "app" | "fido2-platform" | "fido2-roaming" | "fido-u2f" | "phone-voice" | "phone-sms" => Effect::End,
        "password" | "pin" | "x509" | "verifiable-credential" | "recovery-code" => Effect::Notify,
        other if other.starts_with("fido2-") || other.starts_with("phone-") => Effect::End,
        _ => Effect::Quarantine,
    }
}

/// Free text as far as it may stand in a log: bounded, control characters as spaces.
fn printable(text: &str) -> String {
    text.chars().take(256).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
