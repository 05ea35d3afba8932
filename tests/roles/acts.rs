//! What may be done and what the request must bring; the order in which it is judged.

use super::*;

#[test]
fn operations() {
    for capability in ACTS {
        let only = rule(json!({"operations": [capability.name()]}));
        for other in ACTS {
            let result = Try { capability: other, ..Try::default() }.by(&only, &assertion(json!({}))).map(drop);
            assert_eq!(result, if other == capability { Ok(()) } else { Err(Refusal::Operation(other)) });
        }
    }
    let now = Timestamp::from_secs(NOW);
    for capability in [Capability::Read, Capability::List, Capability::History, Capability::Administer] {
        let only = rule(json!({"operations": [capability.name()]}));
        assert_eq!(judge_metadata(&only, capability, None, &assertion(json!({})), now, None), Ok(()));
        let none = rule(json!({"operations": ["store"]}));
        let refused = judge_metadata(&none, capability, None, &assertion(json!({})), now, None);
        assert_eq!(refused, Err(Refusal::Operation(capability)));
    }
}

#[test]
fn assertion_mode() {
    let login = Assertion { presented: Presented::Login, ..assertion(json!({})) };
    for (mode, by_login) in
        [(json!(null), [true, false, true, true, true]), (json!("request"), [false; 5]), (json!("login"), [true; 5])]
    {
        let rule = rule(json!({"assertion": mode}));
        for (capability, fine) in ACTS.into_iter().zip(by_login) {
            let act = Try { capability, ..Try::default() };
            assert!(act.by(&rule, &assertion(json!({}))).is_ok(), "{mode} {capability} in the request");
            let result = act.by(&rule, &login).map(drop);
            assert_eq!(result, if fine { Ok(()) } else { Err(Refusal::NotInRequest) }, "{mode} {capability} by login");
        }
    }
}

#[test]
fn single_use_counts_disclosures_only() {
    let hash = |rule: &Rule, capability| {
        Try { capability, ..Try::default() }.by(rule, &assertion(json!({}))).ok().unwrap().single_use().copied()
    };
    let once = rule(json!({}));
    assert_eq!(hash(&once, Capability::Retrieve), Some([7; 32]), "it is the default");
    for capability in [Capability::Store, Capability::Enroll, Capability::Revoke, Capability::Release] {
        assert_eq!(hash(&once, capability), None);
    }
    assert_eq!(hash(&rule(json!({"single_use": false})), Capability::Retrieve), None);
}

#[test]
fn max_retrievals_and_per_are_told_to_the_record() {
    let span = std::time::Duration::from_secs;
    let limit = |fields| rule(fields).limit();
    assert_eq!(limit(json!({"scope": "role"})), None);
    let day = Limit { max: 2, per: span(86_400), scope: Scope::Account };
    assert_eq!(limit(json!({"max_retrievals": 2})), Some(day));
    let hour = Limit { max: 3, per: span(3600), scope: Scope::Role };
    assert_eq!(limit(json!({"max_retrievals": "3", "per": "1h", "scope": "role"})), Some(hour));
}

#[test]
fn require_reason() {
    let wanted = rule(json!({"require_reason": true}));
    for capability in ACTS {
        for (reason, fine) in [(None, false), (Some(""), false), (Some(" \t"), false), (Some("locked out"), true)] {
            let result = Try { capability, reason, ..Try::default() }.by(&wanted, &assertion(json!({}))).map(drop);
            let takes = matches!(capability, Capability::Retrieve | Capability::Revoke | Capability::Release);
            assert_eq!(result, if fine || !takes { Ok(()) } else { Err(Refusal::Reason) }, "{capability} {reason:?}");
        }
    }
    assert!(role(json!({"require_reason": null})).compile().unwrap().require_reason(), "it is the default");
}

#[test]
fn ticket_pattern() {
    let wanted = rule(json!({"ticket_pattern": "(INC|CHG)[0-9]{4,8}"}));
    for (ticket, fine) in [
        (Some("INC0042"), true),
        (Some("CHG12345678"), true),
        (Some("INC004"), false),
        (Some("xINC0042"), false),
        (Some("INC0042x"), false),
        (Some("INC0042\n"), false),
        (Some(""), false),
        (None, false),
    ] {
        let result = Try { ticket, ..Try::default() }.by(&wanted, &assertion(json!({}))).map(drop);
        assert_eq!(result, if fine { Ok(()) } else { Err(Refusal::Ticket) }, "{ticket:?}");
    }
    let store = Try { capability: Capability::Store, ..Try::default() };
    assert!(store.by(&wanted, &assertion(json!({}))).is_ok(), "only a retrieval has a ticket");
    assert!(granted(&rule(json!({})), &assertion(json!({}))).is_ok(), "no pattern, no ticket");
}

#[test]
fn bound_cidrs() {
    let rule = rule(json!({"bound_cidrs": ["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]}));
    for (remote, fine) in [
        (Some("10.1.2.3"), true),
        (Some("192.0.2.7"), true),
        (Some("2001:db8::1"), true),
        (Some("::ffff:10.1.2.3"), true),
        (Some("10.2.0.1"), false),
        (Some("192.0.2.8"), false),
        (Some("2001:db9::1"), false),
        (None, false),
    ] {
        let expected = if fine { Ok(()) } else { Err(Refusal::Network) };
        assert_eq!(Try { remote, ..Try::default() }.by(&rule, &assertion(json!({}))).map(drop), expected, "{remote:?}");
        let address = remote.map(|text| text.parse().unwrap());
        let now = Timestamp::from_secs(NOW);
        assert_eq!(judge_metadata(&rule, Capability::Read, None, &assertion(json!({})), now, address), expected);
        let login = judge_login(&rule, "r", &assertion(json!({})), now, address).map(drop);
        assert_eq!(login, expected);
        if let Err(refusal) = login {
            let said = refusal.for_login();
            assert_eq!((said.kind(), said.public()), (Kind::Denied, "permission denied"));
        }
    }
}

#[test]
fn wrap() {
    let required = rule(json!({"wrap": "required"}));
    let wrapped = |wrapped, capability| {
        Try { wrapped, capability, ..Try::default() }.by(&required, &assertion(json!({}))).map(drop)
    };
    assert_eq!(wrapped(true, Capability::Retrieve), Ok(()));
    assert_eq!(wrapped(false, Capability::Retrieve), Err(Refusal::Unwrapped));
    assert_eq!(wrapped(false, Capability::Store), Ok(()), "nothing leaves that could be wrapped");
    let optional = Try { wrapped: true, ..Try::default() }.by(&rule(json!({})), &assertion(json!({})));
    assert!(optional.is_ok() && granted(&rule(json!({})), &assertion(json!({}))).is_ok());
}

#[test]
fn the_order_of_refusals_is_fixed() {
    // Everything is wrong; each step mends what was refused and meets the next.
    let rule = rule(json!({
        "bound_claims": {"team": "a"}, "user_claim": "login", "accounts": ["github/*"], "operations": ["retrieve"],
        "max_auth_age": 60, "refused_amr": ["recovery"], "bound_cidrs": ["10.0.0.0/8"], "wrap": "required",
        "require_reason": true, "ticket_pattern": "T[0-9]",
    }));
    let mut jane = assertion(json!({"sub": "joe"}));
    jane.issuer = "stranger".into();
    jane.audiences.clear();
    jane.presented = Presented::Request;
    jane.issued_at = Timestamp::from_secs(0);
    let mut act = Try { capability: Capability::Store, ..Try::default() };
    let mut met = Vec::new();
    for _ in 0..20 {
        let Err(refusal) = act.by(&rule, &jane) else { break };
        match &refusal {
            Refusal::Issuer => jane.issuer = "idp".into(),
            Refusal::Subject => jane.subject = "jane".into(),
            Refusal::Audience => jane.audiences = vec!["sparekey".into()],
            Refusal::UserClaimMissing(_) => drop(jane.claims.insert("login".into(), "jane".into())),
            Refusal::BoundClaimMissing(_) => drop(jane.claims.insert("team".into(), "a".into())),
            Refusal::Operation(_) => act.capability = Capability::Retrieve,
            Refusal::Account => act.account = "github/a",
            Refusal::TooOld(_) => jane.presented = Presented::Login,
            Refusal::RefusedMethod => drop(jane.claims.insert("amr".into(), json!(["pwd"]))),
            Refusal::StepUp { .. } => drop(jane.claims.insert("auth_time".into(), NOW.into())),
            Refusal::Network => act.remote = Some("10.0.0.1"),
            Refusal::NotInRequest => {
                jane.presented = Presented::Request;
                jane.issued_at = Timestamp::from_secs(NOW);
            }
            Refusal::Unwrapped => act.wrapped = true,
            Refusal::Reason => act.reason = Some("why"),
            Refusal::Ticket => act.ticket = Some("T1"),
            other => panic!("{other:?}"),
        }
        met.push(format!("{refusal:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned());
    }
    let order = [
        "Issuer",
        "Subject",
        "Audience",
        "UserClaimMissing",
        "BoundClaimMissing",
        "Operation",
        "Account",
        "TooOld",
        "RefusedMethod",
        "StepUp",
        "Network",
        "NotInRequest",
        "Unwrapped",
        "Reason",
        "Ticket",
    ];
    assert_eq!(met, order);
    assert!(act.by(&rule, &jane).is_ok());
}

#[test]
fn a_pattern_costs_time_in_proportion_to_the_ticket() {
    let rule = rule(json!({"ticket_pattern": "(a+)+(b|a+)*c"}));
    let long = "a".repeat(100_000);
    assert!(!rule.accepts_ticket(Some(&long)));
}
