//! Who the role is for: issuers, audiences, subject, claims, and the name under which somebody acts.

use super::*;

#[test]
fn a_grant_says_who_may_do_what_where() {
    let grant = Try::default().by(&rule(json!({})), &assertion(json!({}))).ok().unwrap();
    assert_eq!((grant.role(), grant.issuer(), grant.iss()), ("r", "idp", "https://idp.example.com"));
    assert_eq!((grant.subject(), grant.account().as_str()), ("jane", ACCOUNT));
    assert_eq!((grant.capability(), grant.presented()), (Capability::Retrieve, Presented::Request));
}

#[test]
fn issuers() {
    let mut stranger = assertion(json!({}));
    stranger.issuer = "idp2".into();
    assert_eq!(granted(&rule(json!({})), &stranger), Err(Refusal::Issuer));
    assert_eq!(granted(&rule(json!({"issuers": "idp,idp2"})), &stranger), Ok(()));
}

#[test]
fn bound_audiences_are_exact() {
    for (audiences, fine) in [
        ("sparekey", true),
        ("x,sparekey", true),
        ("spare", false),
        ("sparekey2", false),
        ("SPAREKEY", false),
        ("*", false),
    ] {
        let result = granted(&rule(json!({"bound_audiences": audiences})), &assertion(json!({})));
        assert_eq!(result, if fine { Ok(()) } else { Err(Refusal::Audience) }, "{audiences}");
    }
}

#[test]
fn bound_subject() {
    let jane = rule(json!({"bound_subject": "jane"}));
    assert_eq!(granted(&jane, &assertion(json!({}))), Ok(()));
    for other in ["Jane", "jane ", "jan", "joe"] {
        assert_eq!(granted(&jane, &assertion(json!({"sub": other}))), Err(Refusal::Subject), "{other}");
    }
    let anybody = rule(json!({"bound_subject": null, "bound_claims": {"team": "a"}}));
    assert_eq!(granted(&anybody, &assertion(json!({"sub": "joe", "team": "a"}))), Ok(()));
}

#[test]
fn bound_claims_need_every_claim_and_any_value() {
    let two = rule(json!({"bound_claims": {"team": ["a", "b"], "level": 3, "staff": true, "/job/id": "42"}}));
    let fine = json!({"team": "b", "level": 3, "staff": true, "job": {"id": "42"}});
    assert_eq!(granted(&two, &assertion(fine.clone())), Ok(()));
    let with = |claim: &str, value: Value| {
        let mut all = fine.clone();
        all[claim] = value;
        granted(&two, &assertion(all))
    };
    assert_eq!(with("team", json!(["x", "a"])), Ok(()));
    for (claim, value) in [
        ("team", json!("c")),
        ("team", json!(["c"])),
        ("team", json!([])),
        ("team", json!([["a"]])),
        ("team", json!("A")),
        ("team", json!("a,b")),
        ("level", json!(4)),
        ("level", json!("3")),
        ("staff", json!(false)),
        ("staff", json!("true")),
    ] {
        assert_eq!(with(claim, value.clone()), Err(Refusal::BoundClaim(claim.into())), "{claim} {value}");
    }
    assert_eq!(with("job", json!({"id": "43"})), Err(Refusal::BoundClaim("/job/id".into())));
    assert_eq!(with("job", json!({})), Err(Refusal::BoundClaimMissing("/job/id".into())));
    assert_eq!(with("level", json!(null)), Err(Refusal::BoundClaimMissing("level".into())));
    assert_eq!(with("team", json!({"a": 1})), Err(Refusal::BoundClaimType("team".into())));
}

#[test]
fn bound_claims_type() {
    let claims = json!({"team": ["on-call-*", "exact"]});
    let exact = rule(json!({"bound_claims": claims}));
    let glob = rule(json!({"bound_claims": claims, "bound_claims_type": "glob"}));
    for (team, as_text, as_glob) in [
        ("on-call-db", false, true),
        ("on-call-", false, true),
        ("on-call-*", true, true),
        ("exact", true, true),
        ("off-call-db", false, false),
        ("exactly", false, false),
    ] {
        let jane = assertion(json!({"team": team}));
        assert_eq!(granted(&exact, &jane).is_ok(), as_text, "{team}");
        assert_eq!(granted(&glob, &jane).is_ok(), as_glob, "{team}");
    }
    assert!(granted(&glob, &assertion(json!({"team": 7}))).is_err());
}

#[test]
fn user_claim_names_who_acts() {
    let by_mail = rule(json!({"user_claim": "email"}));
    let grant = Try::default().by(&by_mail, &assertion(json!({"email": "jane@example.com"}))).ok().unwrap();
    assert_eq!(grant.subject(), "jane@example.com");
    assert_eq!(granted(&by_mail, &assertion(json!({}))), Err(Refusal::UserClaimMissing("email".into())));
    for value in [json!(7), json!(""), json!(["a"]), json!("a\nb"), json!("x".repeat(600)), json!(true)] {
        let refused = granted(&by_mail, &assertion(json!({"email": value})));
        assert_eq!(refused, Err(Refusal::UserClaimType("email".into())), "{value}");
    }
    let nested = rule(json!({"user_claim": "/job/id"}));
    let grant = Try::default().by(&nested, &assertion(json!({"job": {"id": "42"}}))).ok().unwrap();
    assert_eq!(grant.subject(), "42");
}

#[test]
fn token_ttls_and_what_a_login_gives() {
    let rule = rule(json!({"token_ttl": "10m", "token_max_ttl": "1h"}));
    let login = judge_login(&rule, "automation", &assertion(json!({})), Timestamp::from_secs(NOW), None).unwrap();
    assert_eq!((login.ttl.as_secs(), login.max_ttl.as_secs()), (600, 3600));
    assert_eq!((login.display_name.as_str(), login.subject.as_str()), ("jwt-jane", "jane"));
    assert_eq!(login.policies, ["automation", "default"]);
    assert_eq!(Value::from(login.metadata), json!({"role": "automation", "subject": "jane"}));
}
