//! Security Event Tokens (RFC 8417): the envelope around an event, after its signature held.

use serde_json::{Map, Value};

use super::EventRefusal;
use crate::domain::time::Timestamp;

/// The envelope: everything that is the same for every kind of event.
pub(super) struct Envelope<'a> {
    /// The `iss` claim.
    pub iss: String,
    /// The `jti` claim.
    pub jti: String,
    /// When the token was made.
    pub iat: Timestamp,
    /// When the event happened, if the token says so.
    pub toe: Option<Timestamp>,
    /// The subject beside the events, if there.
    pub sub_id: Option<&'a Value>,
    /// URI of the one event.
    pub event_type: &'a str,
    /// The event itself.
    pub event: &'a Map<String, Value>,
}

/// Reads the envelope of a token that is meant for one of `audiences`.
pub(super) fn open<'a>(claims: &'a Map<String, Value>, audiences: &[String]) -> Result<Envelope<'a>, EventRefusal> {
    for (claim, why) in
        [("sub", "the subject of an event stands in sub_id (SSF 1.0)"), ("exp", "an event does not expire (SSF 1.0)")]
    {
        if claims.contains_key(claim) {
            return Err(EventRefusal::invalid_request(format!("a Security Event Token must not carry {claim}: {why}")));
        }
    }
    let iss = bounded_text("iss", claims.get("iss"), 1024)
        .map_err(|refusal| EventRefusal::invalid_issuer(refusal.description))?;
    if !addressed_to(claims.get("aud"), audiences) {
        return Err(EventRefusal::invalid_audience("aud names none of the audiences that this source is bound to"));
    }
    let jti = bounded_text("jti", claims.get("jti"), 1024)?;
    let Some(iat) = claims.get("iat").and_then(numeric_date) else {
        return Err(EventRefusal::invalid_request("iat must be a number of seconds (RFC 8417 section 2.2)"));
    };
    let Some(events) = claims.get("events").and_then(Value::as_object) else {
        return Err(EventRefusal::invalid_request("events must be an object (RFC 8417 section 2.2)"));
    };
    let mut each = events.iter();
    let (Some((event_type, event)), None) = (each.next(), each.next()) else {
        return Err(EventRefusal::invalid_request(format!(
            "events must hold exactly one event (SSF 1.0), not {}",
            events.len()
        )));
    };
    let Some(event) = event.as_object() else {
        return Err(EventRefusal::invalid_request("the event must be an object (RFC 8417 section 2.2)"));
    };
    let toe = claims.get("toe").and_then(numeric_date);
    Ok(Envelope { iss, jti, iat, toe, sub_id: claims.get("sub_id"), event_type, event })
}

fn addressed_to(aud: Option<&Value>, audiences: &[String]) -> bool {
    let ours = |value: &Value| value.as_str().is_some_and(|text| audiences.iter().any(|audience| audience == text));
    match aud {
        Some(Value::Array(list)) => list.iter().any(ours),
        Some(single) => ours(single),
        None => false,
    }
}

/// A required text of 1 to `max` bytes without control characters.
pub(super) fn bounded_text(name: &str, value: Option<&Value>, max: usize) -> Result<String, EventRefusal> {
    match value {
        Some(Value::String(text)) if !text.is_empty() && text.len() <= max && !text.chars().any(char::is_control) => {
            Ok(text.clone())
        }
        None => Err(EventRefusal::invalid_request(format!("{name} is missing"))),
        Some(_) => Err(EventRefusal::invalid_request(format!(
            "{name} must be a text of 1 to {max} bytes without control characters"
        ))),
    }
}

/// A time in seconds, fractions allowed (RFC 7519 section 2). One beyond the last time there is counts as that: it is later
/// than now in either case. `None` for anything but a number from zero on.
pub(super) fn numeric_date(value: &Value) -> Option<Timestamp> {
    if let Some(secs) = value.as_u64() {
        return Some(Timestamp::from_secs(i64::try_from(secs).unwrap_or(i64::MAX).min(LATEST)));
    }
    let secs = value.as_f64().filter(|secs| secs.is_finite() && *secs >= 0.0)?;
    #[expect(clippy::cast_possible_truncation, reason = "held between zero and the last millisecond of the year 9999")]
    let millis = (secs.min(LATEST as f64) * 1000.0) as i64;
    Some(Timestamp::from_millis(millis))
}

/// The last second of the year 9999.
const LATEST: i64 = 253_402_300_799;
