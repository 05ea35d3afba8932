//! Which accounts: globs, templates, folders.

use super::*;

#[test]
fn accounts() {
    for (patterns, fine) in [
        ("okta/jane@example.com", true),
        ("okta/*", true),
        ("*", true),
        ("*@example.com", true),
        ("o*/*@*.com", true),
        ("github/*,okta/*", true),
        ("github/*", false),
        ("okta", false),
        ("okta/", false),
        ("okta/jane@example.co", false),
        ("okta/jane@example.com*x", false),
    ] {
        let result = granted(&rule(json!({"accounts": patterns})), &assertion(json!({})));
        assert_eq!(result, if fine { Ok(()) } else { Err(Refusal::Account) }, "{patterns}");
    }
}

#[test]
fn templates_stand_for_claims_that_widen_nothing() {
    let own = rule(json!({"accounts": ["okta/{{login}}"]}));
    assert_eq!(granted(&own, &assertion(json!({"login": "jane@example.com"}))), Ok(()));
    for value in [
        json!("joe@example.com"),
        json!("*"),
        json!("*@example.com"),
        json!("jane@example.co*"),
        json!("a/b"),
        json!(""),
        json!("jane@example.com\n"),
        json!("Jane@example.com"),
        json!(["jane@example.com"]),
        json!(null),
        json!({}),
        json!("../okta/jane@example.com"),
    ] {
        assert_eq!(granted(&own, &assertion(json!({"login": value}))), Err(Refusal::Account), "{value}");
    }
    let number = rule(json!({"accounts": ["x/{{id}}/*"]}));
    let at = Try { account: "x/42/y", ..Try::default() };
    assert!(at.by(&number, &assertion(json!({"id": 42}))).is_ok());
    assert!(at.by(&number, &assertion(json!({"id": 42.5}))).is_err());
    let nested = rule(json!({"accounts": ["x/{{/org/name}}/*"]}));
    assert!(at.by(&nested, &assertion(json!({"org": {"name": "42"}}))).is_ok());
    assert!(at.by(&nested, &assertion(json!({"org": {"name": "*"}}))).is_err());
}

#[test]
fn an_email_in_a_template_must_be_verified_or_vouched_for() {
    for template in ["okta/{{email}}", "okta/{{/email}}", "okta/{{ email }}"] {
        let own = rule(json!({"accounts": [template]}));
        let mail = "jane@example.com";
        assert_eq!(granted(&own, &assertion(json!({"email": mail, "email_verified": true}))), Ok(()));
        for verified in [json!(null), json!(false), json!("true"), json!(1)] {
            let unverified = assertion(json!({"email": mail, "email_verified": verified}));
            assert_eq!(granted(&own, &unverified), Err(Refusal::Account), "{template} {verified}");
            assert_eq!(granted(&own, &Assertion { trust_email: true, ..unverified }), Ok(()));
        }
    }
}

#[test]
fn metadata_is_read_within_the_role() {
    let rule = rule(json!({"accounts": ["github/*"], "operations": ["read", "list"], "required_acr": ["aal2"]}));
    let account = |name: &str| AccountName::parse(name).unwrap();
    let now = Timestamp::from_secs(NOW);
    let jane = assertion(json!({"acr": "aal2"}));
    let read =
        |name: &str, jane: &Assertion| judge_metadata(&rule, Capability::Read, Some(&account(name)), jane, now, None);
    assert_eq!(read("github/a", &jane), Ok(()));
    assert_eq!(read("okta/a", &jane), Err(Refusal::Account));
    assert!(matches!(read("github/a", &assertion(json!({"acr": "aal1"}))), Err(Refusal::StepUp { .. })));
    let login = Assertion { presented: Presented::Login, issued_at: Timestamp::from_secs(0), ..jane.clone() };
    assert_eq!(read("github/a", &login), Ok(()), "times were counted at login");
    assert!(
        rule.reaches("github/", jane.view()) && rule.reaches("", jane.view()) && !rule.reaches("okta/", jane.view())
    );
}

fn claims(map: &Map<String, Value>) -> Claims<'_> {
    Claims { map, trust_email: false }
}

/// The definition, for comparing: what a glob means, tried out letter by letter.
fn by_definition(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|at| by_definition(rest, &name[at..])),
        [first, rest @ ..] => name.first() == Some(first) && by_definition(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn a_glob_without_a_star_is_equality(a in "[ab/]{1,6}", b in "[ab]{1,3}(/[ab]{1,3})?") {
        let account = AccountName::parse(&b).unwrap();
        let glob = Glob::parse("accounts", &a).unwrap();
        prop_assert_eq!(glob.matches(&account, claims(&Map::new())), a == b);
    }

    #[test]
    fn a_glob_means_what_it_says(pattern in "[ab*/]{1,8}", name in "[ab]{1,4}(/[ab]{1,4}){0,2}") {
        let account = AccountName::parse(&name).unwrap();
        let glob = Glob::parse("accounts", &pattern).unwrap();
        let map = Map::new();
        let matches = glob.matches(&account, claims(&map));
        prop_assert_eq!(matches, by_definition(pattern.as_bytes(), name.as_bytes()));
        if matches {
            for at in 0..=name.len() {
                prop_assert!(glob.reaches(&name[..at], claims(&map)), "a folder on the way is never hidden");
            }
        }
    }

    #[test]
    fn a_claim_never_widens_a_pattern(value in "\\PC{0,6}|[ab*/]{0,6}", name in "[ab]{1,4}(/[ab]{1,4}){0,2}") {
        let account = AccountName::parse(&name).unwrap();
        let glob = Glob::parse("accounts", "a/{{c}}").unwrap();
        let mut map = Map::new();
        map.insert("c".into(), value.clone().into());
        let expected = name == format!("a/{value}") && !value.contains(['*', '/']);
        prop_assert_eq!(glob.matches(&account, claims(&map)), expected);
    }

    #[test]
    fn parsing_never_panics(pattern in "\\PC{0,40}|[a*{}]{0,20}") {
        let _ = Glob::parse("accounts", &pattern);
    }
}

#[test]
fn what_a_pattern_could_match_for_somebody() {
    let could = |pattern: &str, name: &str| {
        let account = AccountName::parse(name).unwrap();
        Glob::parse("accounts", pattern).unwrap().could_match(&account)
    };
    for (pattern, name, expected) in [
        ("*", "a/b", true),
        ("okta/*", "okta/a/b", true),
        ("okta/*", "okt", false),
        ("okta/{{email}}", "okta/jane@example.com", true),
        ("okta/{{email}}", "okta/a/b", false),
        ("{{team}}/*/{{sub}}", "sre/x/y/jane", true),
        ("{{team}}/*/{{sub}}", "sre/jane", false),
        ("a{{x}}b", "acb", true),
        ("a{{x}}b", "ab", false),
        ("a*b*c", "axbybc", true),
        ("a*b*c", "axbycd", false),
        ("exact", "exact", true),
        ("exact", "exactly", false),
    ] {
        assert_eq!(could(pattern, name), expected, "{pattern} {name}");
    }
    // As many stars as fit cost no more than one pass each.
    assert!(!could(&"*a".repeat(250), &format!("{}b", "a".repeat(250))));
}
