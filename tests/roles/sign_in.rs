//! How old the assertion and the sign-in may be, and by which means.

use super::*;

#[test]
fn max_assertion_age() {
    let aged = |secs: i64| Assertion { issued_at: Timestamp::from_secs(NOW - secs), ..assertion(json!({})) };
    let ten_minutes = rule(json!({}));
    assert_eq!(granted(&ten_minutes, &aged(600)), Ok(()), "ten minutes is the default");
    assert!(matches!(granted(&ten_minutes, &aged(601)), Err(Refusal::TooOld(_))));
    let minute = rule(json!({"max_assertion_age": "1m"}));
    assert_eq!(granted(&minute, &aged(60)), Ok(()));
    assert!(matches!(granted(&minute, &aged(61)), Err(Refusal::TooOld(_))));
    // A login was judged by its age when it took place.
    let relaxed = rule(json!({"max_assertion_age": "1m", "assertion": "login"}));
    assert_eq!(granted(&relaxed, &Assertion { presented: Presented::Login, ..aged(3600) }), Ok(()));
    assert!(judge_login(&relaxed, "r", &aged(3600), Timestamp::from_secs(NOW), None).is_err());
}

#[test]
fn required_acr() {
    let rule = rule(json!({"required_acr": ["aal2", "aal3"]}));
    for fine in ["aal2", "aal3"] {
        assert_eq!(granted(&rule, &assertion(json!({"acr": fine}))), Ok(()));
    }
    for other in [json!("aal1"), json!(null), json!(["aal2"]), json!(2), json!("AAL2")] {
        let refusal = granted(&rule, &assertion(json!({"acr": other}))).unwrap_err();
        let said = refusal.for_act();
        assert_eq!(said.kind(), Kind::Denied);
        assert!(said.public().contains("insufficient_user_authentication"), "{said}");
        assert!(said.public().contains("acr_values=\"aal2 aal3\""), "{said}");
    }
}

#[test]
fn required_amr() {
    let both = rule(json!({"required_amr": ["hwk|fido", "pin"]}));
    for (amr, fine) in [
        (json!(["hwk", "pin"]), true),
        (json!(["pwd", "fido", "pin"]), true),
        (json!(["hwk"]), false),
        (json!(["pin"]), false),
        (json!(["pwd", "otp"]), false),
        (json!([]), false),
        (json!(null), false),
        (json!("hwk pin"), false),
        (json!(["hwk|fido", "pin"]), false),
    ] {
        assert_eq!(granted(&both, &assertion(json!({"amr": amr}))).is_ok(), fine, "{amr}");
    }
    let one = rule(json!({"required_amr": "hwk"}));
    assert_eq!(granted(&one, &assertion(json!({"amr": "hwk"}))), Ok(()));
    let said = granted(&one, &assertion(json!({"amr": ["pwd"]}))).unwrap_err().for_act();
    assert!(said.public().contains("hwk"), "{said}");
}

#[test]
fn refused_amr() {
    let rule = rule(json!({"refused_amr": ["kba", "recovery"]}));
    for (amr, fine) in [
        (json!(["pwd", "otp"]), true),
        (json!(["pwd", "recovery"]), false),
        (json!("recovery"), false),
        (json!([]), false),
        (json!(null), false),
        (json!([7]), false),
    ] {
        let result = granted(&rule, &assertion(json!({"amr": amr})));
        assert_eq!(result, if fine { Ok(()) } else { Err(Refusal::RefusedMethod) }, "{amr}");
    }
}

#[test]
fn max_auth_age() {
    let rule = rule(json!({"max_auth_age": "5m"}));
    for (at, fine) in [
        (json!(NOW), true),
        (json!(NOW - 300), true),
        (json!(NOW + 30), true),
        (json!(NOW - 301), false),
        (json!(NOW + 3600), false),
        (json!(null), false),
        (json!(NOW.to_string()), false),
        (json!(-1), false),
    ] {
        for presented in [Presented::Request, Presented::Login] {
            let jane = Assertion { presented, ..assertion(json!({"auth_time": at})) };
            let result = Try { capability: Capability::Store, ..Try::default() }.by(&rule, &jane).map(drop);
            assert_eq!(result.is_ok(), fine, "{at} {presented:?}");
            if let Err(refusal) = result {
                assert!(refusal.for_act().public().contains("max_age=300"));
            }
        }
    }
}
