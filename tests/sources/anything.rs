//! Whatever is sent, nothing panics, and the order of members means nothing.

use proptest::prelude::*;

use super::*;

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
