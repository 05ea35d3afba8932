//! Sources as they are written, read and kept.

use super::*;

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
