//! The record: bad values by name, partial updates, and the same form read and written.

use super::*;

#[test]
fn bad_values_and_unknown_fields_are_refused_by_name() {
    let complete =
        json!({"issuers": "idp", "bound_audiences": "a", "bound_subject": "s", "accounts": "*", "operations": "read"});
    for (field, value, says) in [
        ("issuers", json!(null), "issuers"),
        ("issuers", json!("IDP"), "issuers"),
        ("issuers", json!("../x"), "issuers"),
        ("bound_subject", json!(null), "bound_subject or bound_claims"),
        ("bound_subject", json!(""), "bound_subject or bound_claims"),
        ("bound_claims", json!("x"), "bound_claims"),
        ("bound_claims", json!({"a": []}), "bound_claims"),
        ("bound_claims", json!({"a": {"b": 1}}), "bound_claims"),
        ("bound_claims", json!({"a": null}), "bound_claims"),
        ("bound_claims_type", json!("regex"), "bound_claims_type"),
        ("user_claim", json!(""), "user_claim"),
        ("accounts", json!(null), "accounts"),
        ("accounts", json!([""]), "accounts"),
        ("accounts", json!("GitHub/*"), "accounts"),
        ("accounts", json!("a/+/b"), "accounts"),
        ("accounts", json!("a/{{b"), "accounts"),
        ("accounts", json!("a/{{}}"), "accounts"),
        ("accounts", json!("a/{b}"), "accounts"),
        ("accounts", json!("a}}"), "accounts"),
        ("operations", json!(null), "operations"),
        ("operations", json!("read,write"), "operations"),
        ("operations", json!("Read"), "operations"),
        ("operations", json!("issue"), "not built yet"),
        ("operations", json!("approve"), "not built yet"),
        ("operations", json!("approve"), "not built yet"),
        ("assertion", json!("never"), "assertion"),
        ("single_use", json!("maybe"), "single_use"),
        ("max_assertion_age", json!(0), "max_assertion_age"),
        ("max_assertion_age", json!("soon"), "max_assertion_age"),
        ("max_auth_age", json!(-1), "max_auth_age"),
        ("max_retrievals", json!(0), "max_retrievals"),
        ("max_retrievals", json!(1.5), "max_retrievals"),
        ("per", json!("0s"), "per"),
        ("scope", json!("planet"), "scope"),
        ("require_reason", json!(2), "require_reason"),
        ("ticket_pattern", json!("("), "ticket_pattern"),
        ("ticket_pattern", json!("a)|(b"), "ticket_pattern"),
        ("ticket_pattern", json!("((((a{1,100}){1,100}){1,100}){1,100})"), "ticket_pattern"),
        ("ticket_pattern", json!("a".repeat(300)), "ticket_pattern"),
        ("bound_cidrs", json!("10.0.0.0/33"), "bound_cidrs"),
        ("bound_cidrs", json!("localhost"), "bound_cidrs"),
        ("wrap", json!("sometimes"), "wrap"),
        ("token_ttl", json!("100h"), "token_ttl"),
        ("token_max_ttl", json!("1s"), "token_ttl"),
        ("audiences", json!("a"), "audiences"),
        ("required_acrs", json!("a"), "required_acrs"),
    ] {
        let mut all = complete.clone();
        all[field] = value.clone();
        let error = Role::update(None, "r", &mut fields(all)).expect_err(&format!("{field} = {value}"));
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.public().contains(says), "{field} = {value}: {error}");
    }
    for name in ["root", "default", "Root", "", "a/b", "..", "a b"] {
        assert!(Role::update(None, name, &mut fields(complete.clone())).is_err(), "{name:?}");
    }
}

#[test]
fn given_fields_replace_absent_ones_stay_null_resets() {
    let old = role(json!({"max_auth_age": "5m", "single_use": false, "wrap": "required", "ticket_pattern": "T[0-9]"}));
    let new = Role::update(Some(&old), "r", &mut fields(json!({"max_auth_age": null, "wrap": "optional"}))).unwrap();
    let (was, is) = (old.wire(), new.wire());
    assert_eq!((&was["max_auth_age"], &is["max_auth_age"]), (&json!(300), &json!(null)));
    assert_eq!((&was["wrap"], &is["wrap"]), (&json!("required"), &json!("optional")));
    for field in was.keys().filter(|field| !matches!(field.as_str(), "max_auth_age" | "wrap")) {
        assert_eq!(was[field], is[field], "{field}");
    }
}

#[test]
fn what_is_read_can_be_written_back_and_changes_nothing() {
    for changes in [
        json!({}),
        json!({
            "bound_claims": {"a": ["x", 1, true]}, "user_claim": "email", "assertion": "request", "single_use": false,
            "max_assertion_age": "1m", "required_acr": "x", "required_amr": ["a|b"], "refused_amr": "c", "max_auth_age": "2m",
            "max_retrievals": 3, "per": "2h", "scope": "role", "require_reason": true, "ticket_pattern": "x+",
            "bound_cidrs": "10.0.0.1,2001:db8::/32", "wrap": "required", "token_ttl": 60, "token_max_ttl": 120,
            "operations": "retrieve,store,retrieve",
        }),
        json!({"bound_claims": {"a": "x*"}, "bound_claims_type": "glob"}),
    ] {
        let role = role(changes);
        let again = Role::update(Some(&role), "r", &mut Fields::new(role.wire())).unwrap();
        assert_eq!(again, role);
        let anew = Role::update(None, "r", &mut Fields::new(role.wire())).unwrap();
        assert_eq!(anew, role);
        let stored: Role = serde_json::from_str(&serde_json::to_string(&role).unwrap()).unwrap();
        assert_eq!(stored, role);
    }
    let mut newer = role(json!({})).wire();
    newer.insert("a_field_of_tomorrow".into(), true.into());
    assert!(serde_json::from_value::<Role>(newer.into()).is_err(), "a check that is not understood is never dropped");
}

#[test]
fn what_a_role_may_demand_depends_on_what_its_issuers_can_give() {
    let jwt = role(json!({}));
    let host = |changes: Value| {
        let mut all = json!({"bound_audiences": null, "accounts": ["okta/{{sub}}", "x/*"], "assertion": "login"});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        role(all)
    };
    let fine = |role: &Role, kinds: &[IssuerKind], all: bool| vouching::check(role, kinds, all).unwrap();
    let refused = |role: &Role, kinds: &[IssuerKind], all: bool, says: &str| {
        let error = vouching::check(role, kinds, all).unwrap_err();
        assert!(error.kind() == Kind::Invalid && error.public().starts_with(says), "{error} lacks {says}");
    };
    let (signed, vouched) = (IssuerKind::Jwt, IssuerKind::Host);
    for (kinds, all) in [(&[signed][..], true), (&[signed, signed], true), (&[], false), (&[signed], false)] {
        fine(&jwt, kinds, all);
        refused(&host(json!({})), kinds, all, "bound_audiences");
    }
    fine(&host(json!({})), &[vouched], true);
    fine(&host(json!({"assertion": null})), &[vouched, vouched], true);
    fine(&host(json!({"bound_subject": null, "bound_claims": {"groups": "sre", "sub": "a"}})), &[vouched], true);
    for (kinds, all) in [(&[vouched, signed][..], true), (&[vouched], false)] {
        refused(&host(json!({})), kinds, all, "issuers");
        refused(&jwt, kinds, all, "issuers");
    }
    refused(&jwt, &[vouched], true, "bound_audiences");
    for (field, value) in [
        ("required_acr", json!("phr")),
        ("required_amr", json!("mfa")),
        ("refused_amr", json!("otp")),
        ("max_auth_age", json!("5m")),
        ("assertion", json!("request")),
        ("user_claim", json!("email")),
        ("bound_claims", json!({"acr": "phr"})),
        ("bound_claims", json!({"groups": "sre", "email": "a@example.com"})),
        ("accounts", json!(["okta/{{email}}"])),
        ("accounts", json!(["okta/*", "{{groups}}/x"])),
    ] {
        refused(&host(json!({field: value})), &[vouched], true, field);
    }
}
