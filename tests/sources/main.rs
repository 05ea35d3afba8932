//! Enrollment sources: their configuration, whom they speak of, and what a Security Event Token comes to.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sparekey::domain::fields::Fields;
use sparekey::domain::time::Timestamp;
use sparekey::sources::{Effect, Event, EventRefusal, Received, Source, Subject, interpret};

mod anything;
mod configuration;
mod subjects;

const CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
const STREAM: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

fn written(old: Option<&Source>, fields: Value) -> Result<Source, String> {
    Source::update(old, &mut Fields::new(object(fields))).map_err(|error| error.public().to_owned())
}

fn source(extra: Value) -> Source {
    let mut fields = json!({"type": "caep", "issuer": "idp", "bound_audiences": ["https://vault.example.net/caep"]});
    for (name, value) in object(extra) {
        fields[name] = value;
    }
    written(None, fields).unwrap()
}

/// A token as CAEP 1.0 draws it, with the members of `extra` put over it (`null` takes one away).
fn claims(extra: Value) -> Map<String, Value> {
    let mut claims = object(json!({
        "iss": "https://idp.example.com/3456789/", "jti": "07efd930", "iat": 1_615_305_159,
        "aud": "https://vault.example.net/caep", "txn": "8675309",
        "sub_id": {"format": "iss_sub", "iss": "https://idp.example.com/3456789/", "sub": "jane"},
        "events": {CHANGE: change(json!({}))},
    }));
    put_over(&mut claims, extra);
    claims
}

fn change(extra: Value) -> Value {
    let mut change = object(json!({
        "credential_type": "fido2-roaming", "change_type": "create", "initiating_entity": "user",
        "reason_admin": {"en": "User self-enrollment"}, "event_timestamp": 1_615_304_991,
    }));
    put_over(&mut change, extra);
    change.into()
}

fn put_over(map: &mut Map<String, Value>, extra: Value) {
    for (name, value) in object(extra) {
        match value {
            Value::Null => map.remove(&name),
            value => map.insert(name, value),
        };
    }
}

fn enrolled(claims: &Map<String, Value>) -> Event {
    match interpret(claims, &source(json!({}))) {
        Ok(Received::Enrollment(event)) => event,
        other => panic!("{other:?}"),
    }
}

fn changed(extra: Value) -> Event {
    enrolled(&claims(json!({"events": {CHANGE: change(extra)}})))
}

fn refused(extra: Value) -> EventRefusal {
    interpret(&claims(extra.clone()), &source(json!({}))).expect_err(&extra.to_string())
}

#[test]
fn a_credential_change_becomes_an_event() {
    let jane = Subject::IssSub { iss: "https://idp.example.com/3456789/".to_owned(), sub: "jane".to_owned() };
    assert_eq!(
        enrolled(&claims(json!({}))),
        Event {
            id: r#"["https://idp.example.com/3456789/","07efd930"]"#.to_owned(),
            issuer: "https://idp.example.com/3456789/".to_owned(),
            subjects: vec![jane],
            credential_type: "fido2-roaming".to_owned(),
            change_type: "create".to_owned(),
            at: Timestamp::from_secs(1_615_304_991),
            time_inferred: false,
            initiating_entity: Some("user".to_owned()),
            effect: Effect::End,
        }
    );
}

#[test]
fn the_matrix_decides_what_a_change_does() {
    let ends = ["app", "fido2-platform", "fido2-roaming", "fido2-next", "fido-u2f", "phone-voice", "phone-sms"];
    let notifies = ["password", "pin", "x509", "verifiable-credential", "recovery-code"];
    let unknown = ["otp", "App", "smoke-signal", "fido2", "phone"];
    for change_type in ["create", "update", "delete", "revoke"] {
        for (types, effect) in
            [(&ends[..], Effect::End), (&notifies[..], Effect::Notify), (&unknown[..], Effect::Quarantine)]
        {
            for credential_type in types {
                let event = changed(json!({"credential_type": credential_type, "change_type": change_type}));
                assert_eq!(event.effect, effect, "{credential_type} {change_type}");
            }
        }
    }
    assert_eq!(changed(json!({"change_type": "replace"})).effect, Effect::Quarantine);
    assert_eq!(changed(json!({"change_type": "Create"})).effect, Effect::Quarantine);
}

#[test]
fn the_time_is_the_events_own_then_toe_then_iat() {
    let at = |claims_extra: Value, stamp: Value| {
        let mut all = claims(claims_extra);
        all["events"] = json!({CHANGE: change(json!({"event_timestamp": stamp}))});
        let event = enrolled(&all);
        (event.at.millis(), event.time_inferred)
    };
    assert_eq!(at(json!({"toe": 1_615_304_000}), json!(1_615_304_991)), (1_615_304_991_000, false));
    assert_eq!(at(json!({"toe": 1_615_304_000}), Value::Null), (1_615_304_000_000, false));
    assert_eq!(at(json!({}), Value::Null), (1_615_305_159_000, true));
    assert_eq!(at(json!({}), json!(1_615_304_991.25)), (1_615_304_991_250, false));
    // An optional member that cannot be read does not make us deaf to the change.
    for stamp in [json!("2021-03-09"), json!(-1), json!(true), json!({})] {
        assert_eq!(at(json!({}), stamp.clone()), (1_615_305_159_000, true), "{stamp}");
    }
    // Late or far too early: reported as it stands, the engine decides.
    assert_eq!(at(json!({}), json!(0)), (0, false));
    assert!(at(json!({}), json!(u64::MAX)).0 >= 253_402_300_799_000);
    assert!(at(json!({}), json!(1e300)).0 >= 253_402_300_799_000);
}

#[test]
fn a_token_of_the_wrong_form_is_refused_with_the_protocols_own_code() {
    let change = || change(json!({}));
    for (extra, err, names) in [
        (json!({"sub": "jane"}), "invalid_request", "sub"),
        (json!({"exp": 1_915_305_159}), "invalid_request", "exp"),
        (json!({"iss": null}), "invalid_issuer", "iss"),
        (json!({"iss": 5}), "invalid_issuer", "iss"),
        (json!({"aud": null}), "invalid_audience", "aud"),
        (json!({"aud": "https://vault.example.net/"}), "invalid_audience", "aud"),
        (json!({"aud": "https://vault.example.net/CAEP"}), "invalid_audience", "aud"),
        (json!({"aud": ["a", ["https://vault.example.net/caep"]]}), "invalid_audience", "aud"),
        (json!({"aud": {"https://vault.example.net/caep": 1}}), "invalid_audience", "aud"),
        (json!({"jti": null}), "invalid_request", "jti"),
        (json!({"jti": ""}), "invalid_request", "jti"),
        (json!({"jti": "a\nb"}), "invalid_request", "jti"),
        (json!({"jti": "x".repeat(1025)}), "invalid_request", "jti"),
        (json!({"iat": null}), "invalid_request", "iat"),
        (json!({"iat": "now"}), "invalid_request", "iat"),
        (json!({"events": null}), "invalid_request", "events"),
        (json!({"events": {}}), "invalid_request", "events"),
        (json!({"events": [CHANGE]}), "invalid_request", "events"),
        (json!({"events": {CHANGE: change(), "urn:other": {}}}), "invalid_request", "exactly one"),
        (json!({"events": {CHANGE: true}}), "invalid_request", "event"),
        (json!({"events": {CHANGE: {"change_type": "create"}}}), "invalid_request", "credential_type"),
        (json!({"events": {CHANGE: {"credential_type": "app"}}}), "invalid_request", "change_type"),
        (json!({"events": {CHANGE: {"credential_type": 1, "change_type": "create"}}}), "invalid_request", "type"),
        (json!({"sub_id": null}), "invalid_request", "sub_id"),
        (json!({"sub_id": "jane"}), "invalid_request", "sub_id"),
        (json!({"sub_id": {"email": "jane@example.com"}}), "invalid_request", "format"),
        (json!({"sub_id": {"format": 1}}), "invalid_request", "format"),
        (json!({"sub_id": {"format": "email"}}), "invalid_request", "sub_id.email"),
        (json!({"sub_id": {"format": "email", "email": ["jane@example.com"]}}), "invalid_request", "sub_id.email"),
        (json!({"sub_id": {"format": "iss_sub", "sub": "jane"}}), "invalid_request", "sub_id.iss"),
        (json!({"sub_id": {"format": "opaque", "id": "x".repeat(1025)}}), "invalid_request", "sub_id.id"),
        (json!({"sub_id": {"format": "aliases"}}), "invalid_request", "identifiers"),
        (json!({"sub_id": {"format": "aliases", "identifiers": []}}), "invalid_request", "identifiers"),
        (
            json!({"sub_id": {"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": []}]}}),
            "invalid_request",
            "simple",
        ),
        (json!({"sub_id": {"format": "complex", "user": "jane"}}), "invalid_request", "user"),
        (
            json!({"sub_id": {"format": "complex", "user": {"format": "complex", "user": {}}}}),
            "invalid_request",
            "user",
        ),
    ] {
        let refusal = refused(extra.clone());
        assert_eq!(refusal.err, err, "{extra}: {refusal:?}");
        assert!(refusal.description.contains(names), "{extra}: {refusal:?}");
    }
}

#[test]
fn unknown_members_and_old_tokens_are_taken() {
    let odd = claims(json!({
        "iat": 1_000_000_000, "aud": ["https://other.example.net", "https://vault.example.net/caep"], "toe": "soon",
        "nonsense": {"a": [1]},
        "sub_id": {"format": "email", "email": "Jane@Example.COM", "note": "x"},
        "events": {CHANGE: change(json!({"initiating_entity": "oracle", "x509_serial": 7}))},
    }));
    let event = enrolled(&odd);
    assert_eq!(event.subjects, [Subject::Email("jane@example.com".to_owned())]);
    assert_eq!(event.initiating_entity, None);
}

#[test]
fn no_two_pairs_of_issuer_and_jti_share_an_id() {
    let id = |iss: &str, jti: &str| enrolled(&claims(json!({"iss": iss, "jti": jti}))).id;
    assert_ne!(id("a", "b\",\"c"), id("a\",\"b", "c"));
    assert_ne!(id("a,b", "c"), id("a", "b,c"));
    assert_eq!(id("a", "b"), id("a", "b"));
}

#[test]
fn the_streams_own_events_and_strange_ones_are_told_apart() {
    let told = |event: &str, body: Value| {
        interpret(&claims(json!({"events": {event: body}, "sub_id": null})), &source(json!({})))
    };
    let verification = format!("{STREAM}verification");
    assert_eq!(
        told(&verification, json!({"state": "VGhpcw"})),
        Ok(Received::Verification { state: Some("VGhpcw".to_owned()) })
    );
    assert_eq!(told(&verification, json!({})), Ok(Received::Verification { state: None }));
    assert_eq!(told(&verification, json!({"state": 5})).unwrap_err().err, "invalid_request");
    assert_eq!(
        told(&format!("{STREAM}stream-updated"), json!({"status": "paused", "reason": "Internal\nerror"})),
        Ok(Received::StreamUpdated { status: "paused".to_owned(), reason: Some("Internal error".to_owned()) })
    );
    assert_eq!(told(&format!("{STREAM}stream-updated"), json!({})).unwrap_err().err, "invalid_request");
    match told("urn:some\x07thing", json!({})) {
        Ok(Received::Ignored { why }) => assert!(why.starts_with("urn:some thing is not"), "{why}"),
        other => panic!("{other:?}"),
    }
}
