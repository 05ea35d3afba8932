//! Whom an event speaks of, and which accounts that is.

use super::*;

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
