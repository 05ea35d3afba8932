//! Enrollment sources: their configuration, whom they speak of, and what a Security Event Token comes to.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sparekey::domain::fields::Fields;
use sparekey::domain::time::Timestamp;
use sparekey::sources::{Effect, Event, EventRefusal, Received, Source, Subject, interpret};

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
fn every_form_of_subject_is_read() {
    let subjects = |sub_id: Value| {
        let event = enrolled(&claims(json!({"sub_id": sub_id})));
        event.subjects.iter().map(Subject::to_string).collect::<Vec<_>>()
    };
    let jane = json!({"format": "email", "email": "jane@example.com"});
    assert_eq!(subjects(jane.clone()), ["email:jane@example.com"]);
    assert_eq!(subjects(json!({"subject_type": "email", "email": "jane@example.com"})), ["email:jane@example.com"]);
    assert_eq!(subjects(json!({"subject_type": "iss-sub", "iss": "i", "sub": "s"})), ["iss_sub:i|s"]);
    assert_eq!(subjects(json!({"format": "opaque", "id": "00u1"})), ["opaque:00u1"]);
    assert_eq!(
        subjects(json!({"format": "account", "uri": "acct:jane@example.com"})),
        ["account:acct:jane@example.com"]
    );
    assert_eq!(subjects(json!({"format": "phone_number", "phone_number": "+15550100"})), ["unmapped:phone_number"]);
    assert_eq!(subjects(json!({"format": "complex", "user": jane.clone()})), ["email:jane@example.com"]);
    assert_eq!(subjects(json!({"user": jane.clone()})), ["email:jane@example.com"]);
    assert_eq!(
        subjects(json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "00u1"}, jane.clone(), jane]})),
        ["email:jane@example.com", "opaque:00u1"]
    );
}

#[test]
fn a_subject_without_a_user_meets_no_account() {
    let everybody = source(json!({"account_template": "okta/{{email}}", "subjects": {"opaque:acme": "github/acme"}}));
    for sub_id in [
        json!({"format": "complex", "tenant": {"format": "opaque", "id": "acme"}}),
        json!({"tenant": {"format": "opaque", "id": "acme"}, "group": {"format": "opaque", "id": "acme"}}),
        json!({"format": "complex"}),
    ] {
        match interpret(&claims(json!({"sub_id": sub_id.clone()})), &everybody) {
            Ok(Received::Enrollment(event)) => assert!(everybody.accounts(&event.subjects).is_empty(), "{sub_id}"),
            other => panic!("{sub_id}: {other:?}"),
        }
    }
}

#[test]
fn a_member_declared_critical_must_be_one_we_know() {
    let strict = source(json!({"critical_subject_members": ["user", "tenant", "robot"]}));
    let jane = json!({"format": "email", "email": "jane@example.com"});
    let tenant = json!({"format": "opaque", "id": "acme"});
    let with = |name: &str| {
        claims(
            json!({"sub_id": {"format": "complex", "user": jane, "tenant": tenant, name: {"format": "opaque", "id": "x"}}}),
        )
    };
    let refusal = interpret(&with("robot"), &strict).unwrap_err();
    assert_eq!(refusal.err, "invalid_request");
    assert!(refusal.description.contains("sub_id.robot"), "{refusal:?}");
    assert!(interpret(&with("gadget"), &strict).is_ok(), "unknown, but not critical");
    assert!(interpret(&with("robot"), &source(json!({}))).is_ok(), "not declared critical");
}

#[test]
fn a_subject_inside_the_event_counts_and_two_that_differ_quarantine() {
    let jane = json!({"user": {"format": "email", "email": "jane@example.com"}});
    let joe = json!({"format": "email", "email": "joe@example.com"});
    let both = |outer: Value, inner: Value| {
        let event = enrolled(&claims(json!({"sub_id": outer, "events": {CHANGE: change(json!({"subject": inner}))}})));
        (event.subjects.iter().map(Subject::to_string).collect::<Vec<_>>(), event.effect)
    };
    assert_eq!(both(Value::Null, jane.clone()), (vec!["email:jane@example.com".to_owned()], Effect::End));
    let spelled = json!({"format": "email", "email": "JANE@example.com"});
    assert_eq!(both(spelled, jane.clone()), (vec!["email:jane@example.com".to_owned()], Effect::End));
    assert_eq!(
        both(joe, jane),
        (vec!["email:jane@example.com".to_owned(), "email:joe@example.com".to_owned()], Effect::Quarantine)
    );
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

#[test]
fn a_source_is_created_updated_and_reset_as_vault_does() {
    let made = source(json!({
        "skew": "2m", "account_template": "okta/{{email}}", "bound_audiences": "a, b,a",
        "subjects": {"email:Jane@Example.com": "github/acme-owner", "iss_sub:https://idp|auth0|7": ["b/c", "a", "a"]},
    }));
    let wire = json!({
        "type": "caep", "issuer": "idp", "bound_audiences": ["a", "b"], "skew": 120,
        "subjects": {"email:jane@example.com": ["github/acme-owner"], "iss_sub:https://idp|auth0|7": ["a", "b/c"]},
        "account_template": "okta/{{email}}", "critical_subject_members": [],
    });
    assert_eq!(Value::Object(made.wire()), wire);
    assert_eq!(written(None, wire.clone()).unwrap(), made, "a read written as new is the same");
    assert_eq!(written(Some(&made), wire).unwrap(), made, "a read written back changes nothing");
    assert_eq!(written(Some(&made), json!({})).unwrap(), made);

    let moved = written(Some(&made), json!({"skew": 5, "subjects": {"opaque:1": "x"}, "issuer": "other"})).unwrap();
    assert_eq!(moved.skew(), Duration::from_secs(5));
    assert_eq!(moved.issuer(), "other");
    assert_eq!(moved.wire()["subjects"], json!({"opaque:1": ["x"]}));
    assert_eq!(moved.bound_audiences(), ["a", "b"]);
    let reset = written(Some(&moved), json!({"skew": null, "subjects": null, "account_template": null})).unwrap();
    assert_eq!(reset.skew(), Duration::from_secs(30));
    assert_eq!(reset.wire()["subjects"], json!({}));
    assert_eq!(reset.wire()["account_template"], "");
}

#[test]
fn what_a_source_may_not_be_is_named() {
    let good = json!({"type": "caep", "issuer": "idp", "bound_audiences": ["a"]});
    for (extra, names) in [
        (json!({"type": null}), "type: "),
        (json!({"type": "okta"}), "type: okta is not built yet"),
        (json!({"type": "carrier-pigeon"}), "type: unknown"),
        (json!({"issuer": null}), "issuer: "),
        (json!({"issuer": "a/b"}), "issuer: "),
        (json!({"bound_audiences": null}), "bound_audiences: "),
        (json!({"bound_audiences": []}), "bound_audiences: "),
        (json!({"bound_audiences": ["a\u{0}"]}), "bound_audiences: "),
        (json!({"skew": "2h"}), "skew: "),
        (json!({"skew": "500ms"}), "skew: "),
        (json!({"skew": -1}), "skew: "),
        (json!({"subjects": ["email:a@b"]}), "subjects: "),
        (json!({"subjects": {"jane@example.com": "a"}}), "subjects: "),
        (json!({"subjects": {"email:jane": "a"}}), "subjects: "),
        (json!({"subjects": {"iss_sub:https://idp": "a"}}), "subjects: "),
        (json!({"subjects": {"phone:1": "a"}}), "subjects: "),
        (json!({"subjects": {"opaque:": "a"}}), "subjects: "),
        (json!({"subjects": {"opaque:1": []}}), "subjects: opaque:1"),
        (json!({"subjects": {"opaque:1": 5}}), "subjects: opaque:1"),
        (json!({"subjects": {"opaque:1": "GitHub/Acme"}}), "github/acme"),
        (json!({"subjects": {"email:a@b.c": "a", "email:A@b.c": "b"}}), "twice"),
        (json!({"account_template": "okta/jane"}), "account_template: "),
        (json!({"account_template": "okta/{{groups}}"}), "{{email}}"),
        (json!({"account_template": "okta/{{email"}), "account_template: "),
        (json!({"account_template": "/{{email}}"}), "account_template: "),
        (json!({"account_template": "Okta/{{email}}"}), "account_template: "),
        (json!({"account_template": 5}), "account_template: "),
        (json!({"poll_url": "https://idp"}), "poll_url: unknown field"),
    ] {
        let mut fields = good.clone();
        for (name, value) in object(extra.clone()) {
            fields[name] = value;
        }
        let told = written(None, fields).expect_err(&extra.to_string());
        assert!(told.contains(names), "{extra}: {told}");
    }
}

#[test]
fn a_source_survives_storage_and_an_unknown_field_there_is_an_error() {
    let made =
        source(json!({"subjects": {"account:acct:a@b": ["x", "y"]}, "account_template": "{{iss_host}}/{{sub}}"}));
    let bytes = serde_json::to_vec(&made).unwrap();
    assert_eq!(serde_json::from_slice::<Source>(&bytes).unwrap(), made);
    let mut newer: Value = serde_json::from_slice(&bytes).unwrap();
    newer["filter"] = json!("x");
    assert!(serde_json::from_value::<Source>(newer).is_err());
}

#[test]
fn subjects_meet_the_accounts_of_map_and_template_together() {
    let mapped = source(json!({
        "subjects": {"email:jane@example.com": ["github/acme-owner", "aws/root"], "opaque:00u1": "okta/jane@example.com"},
        "account_template": "okta/{{email}}",
    }));
    let accounts = |source: &Source, subjects: &[Subject]| {
        source.accounts(subjects).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let email = |text: &str| Subject::parse(&format!("email:{text}")).unwrap();
    assert_eq!(
        accounts(&mapped, &[email("JANE@example.com"), Subject::Opaque("00u1".to_owned())]),
        ["aws/root", "github/acme-owner", "okta/jane@example.com"]
    );
    assert!(accounts(&mapped, &[Subject::Opaque("00U1".to_owned())]).is_empty(), "other formats exactly");
    for strange in ["a/b@example.com", "a+b@example.com", "../x@example.com", "\u{212a}@example.com", "a b@example.com"]
    {
        assert!(accounts(&mapped, &[Subject::Email(strange.to_owned())]).is_empty(), "{strange}");
    }
    let by_sub = source(json!({"account_template": "{{iss_host}}/{{sub}}"}));
    let iss_sub = |iss: &str, sub: &str| [Subject::IssSub { iss: iss.to_owned(), sub: sub.to_owned() }];
    assert_eq!(accounts(&by_sub, &iss_sub("https://IdP.example.com:8443/x", "00u1")), ["idp.example.com/00u1"]);
    for (iss, sub) in
        [("https://idp", ".."), ("https://idp", ""), ("https://idp", "A"), ("not a uri", "a"), ("/x", "a")]
    {
        assert!(accounts(&by_sub, &iss_sub(iss, sub)).is_empty(), "{iss} {sub}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![Just("email"), Just("complex"), Just("aliases"), Just("opaque"), Just(CHANGE)]
            .prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("format"),
        Just("user"),
        Just("email"),
        Just("identifiers"),
        Just("iss"),
        Just("sub"),
        Just("id"),
        Just("subject"),
        Just("events"),
        Just(CHANGE),
        Just("event_timestamp"),
        Just("tenant"),
        Just("aud"),
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The JSON text of `value` with the members of every object in an order drawn from `order`.
fn shuffled(value: &Value, order: &mut impl Iterator<Item = usize>) -> String {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), shuffled(value, order)))
                .collect();
            for last in (1..members.len()).rev() {
                members.swap(last, order.next().unwrap_or(0) % (last + 1));
            }
            format!("{{{}}}", members.join(","))
        }
        Value::Array(list) => {
            format!("[{}]", list.iter().map(|value| shuffled(value, order)).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

proptest! {
    #[test]
    fn no_claims_whatever_panic(extra in any_json(), place in 0..5_usize) {
        let source = source(json!({"account_template": "{{iss_host}}/{{sub}}", "critical_subject_members": "x"}));
        let mut all = claims(json!({}));
        match place {
            0 => all = extra.as_object().cloned().unwrap_or_default(),
            1 => drop(all.insert("sub_id".to_owned(), extra)),
            2 => drop(all.insert("events".to_owned(), extra)),
            3 => drop(all.insert("events".to_owned(), json!({CHANGE: extra}))),
            _ => drop(all.insert("events".to_owned(), json!({CHANGE: change(json!({"subject": extra}))}))),
        }
        if let Ok(Received::Enrollment(event)) = interpret(&all, &source) {
            source.accounts(&event.subjects);
        }
    }

    #[test]
    fn no_configuration_whatever_panics(extra in any_json(), field in 0..5_usize) {
        let field = ["subjects", "account_template", "bound_audiences", "skew", "type"][field];
        let _ = written(None, json!({"type": "caep", "issuer": "idp", "bound_audiences": "a", field: extra}));
    }

    #[test]
    fn the_order_of_members_means_nothing(order in prop::collection::vec(any::<usize>(), 64), inner in any::<bool>()) {
        let jane = json!({"format": "complex", "user": {"format": "iss_sub", "iss": "i", "sub": "s"}, "tenant": {"format": "opaque", "id": "t"}});
        let all = claims(if inner {
            json!({"sub_id": null, "events": {CHANGE: change(json!({"subject": jane}))}})
        } else {
            json!({"sub_id": jane})
        });
        let text = shuffled(&Value::Object(all.clone()), &mut order.into_iter());
        let again: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let source = source(json!({}));
        let read = interpret(&all, &source);
        prop_assert!(matches!(read, Ok(Received::Enrollment(_))));
        prop_assert_eq!(interpret(&again, &source), read);
    }
}
