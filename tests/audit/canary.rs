//! Codes never reach a line, in whatever field, nesting or spelling they come.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{Act, Rig};

const CODE: &str = "k7gq-canary-90x1";

fn spellings() -> Vec<String> {
    let bare = CODE.replace('-', "");
    let mut all = vec![];
    for text in [CODE.to_owned(), bare, CODE.to_uppercase()] {
        all.extend([STANDARD.encode(&text), STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text)]);
        all.extend([hex::encode(&text), hex::encode_upper(&text), text]);
    }
    all
}

fn bodies() -> Vec<Value> {
    vec![
        json!({"codes": [CODE, CODE]}),
        json!({"codes": CODE}),
        json!({"codes": {CODE: true}}),
        json!({"code": CODE, "role": "oncall"}),
        json!({"Code": CODE, "backup_codes": [CODE], "recovery-code": CODE}),
        json!({"sets": [{"slots": [{"slot": 1, "code": CODE}]}]}),
        json!({"data": {"anything": {"codes": [[CODE]]}}}),
        json!({"labels": {"code": CODE, CODE: "x", "x": CODE}}),
        json!({CODE: 1, "unknown": CODE, "reason": CODE, "note": [CODE, {"x": CODE}]}),
        json!({"bound_claims": {"codes": [CODE]}, "jwt": CODE, "token": CODE, "set": CODE}),
    ]
}

#[tokio::test]
async fn no_spelling_of_a_code_is_in_any_line() {
    let rig = Rig::new();
    let broker = rig.main().await;
    for (number, body) in bodies().into_iter().enumerate() {
        let mut act = Act::new(format!("id-{number}")).with(body);
        act.note.insert("code".into(), json!(CODE));
        act.note.insert("codes".into(), json!([CODE]));
        act.note.insert("superseded".into(), json!([1, CODE]));
        broker.request(act.request()).await.unwrap();
        let mut response = act.response();
        response.data = Some(&act.data);
        broker.response(response).await.unwrap();
        broker.disclosure(response).await.unwrap();
        broker.void(act.void()).await.unwrap();
    }
    broker.close().await;
    let text = std::fs::read_to_string(rig.main_path()).unwrap();
    assert!(text.contains("\"codes\":\"2 withheld\""));
    for spelling in spellings() {
        assert!(!text.contains(&spelling), "{spelling}");
    }
}

#[tokio::test]
async fn the_hash_of_a_code_field_is_not_in_a_line_either() {
    let rig = Rig::new();
    let broker = rig.main().await;
    // `reason` shows what the device's hash of this text looks like; it must not stand where a code field was.
    broker.request(Act::new("id-1").with(json!({"reason": CODE})).request()).await.unwrap();
    let hash = rig.lines().pop().unwrap()["request"]["data"]["reason"].as_str().unwrap().to_owned();
    for body in [
        json!({"code": CODE}),
        json!({"codes": [CODE]}),
        json!({"sets": {"codes": {CODE: CODE}}}),
        json!({"kode": CODE}),
    ] {
        broker.request(Act::new("id-2").with(body.clone()).request()).await.unwrap();
        let line = rig.lines().pop().unwrap().to_string();
        assert!(!line.contains(&hash), "the hash of a code is in the line of {body}");
    }
}

/// Any JSON with canaries under code fields somewhere in it.
fn nested() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("codes".to_owned()),
        Just("code".to_owned()),
        Just("sets".to_owned()),
        Just("labels".to_owned()),
        Just("role".to_owned()),
        "[a-z_]{1,8}",
    ];
    let leaf = prop_oneof![
        Just(json!(CODE)),
        Just(json!(null)),
        any::<u32>().prop_map(|n| json!(n)),
        "[ -~]{0,9}".prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

#[test]
fn no_nesting_lets_a_code_through_or_makes_a_line_too_long() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rig = Rig::new();
    let broker = runtime.block_on(rig.main());
    proptest!(ProptestConfig::with_cases(200), |(value in nested())| {
        let act = Act::new("id").with(json!({"sets": value.clone(), "codes": value}));
        runtime.block_on(broker.request(act.request())).unwrap();
    });
    let text = std::fs::read_to_string(rig.main_path()).unwrap();
    assert!(spellings().iter().all(|spelling| !text.contains(spelling)));
    assert!(text.lines().all(|line| line.len() <= sparekey::audit::MAX_LINE));
}

#[tokio::test]
async fn a_body_of_a_mebibyte_makes_a_bounded_line() {
    let rig = Rig::new();
    let broker = rig.main().await;
    let wide: Map<String, Value> = (0..40_000).map(|n| (format!("claim-{n}"), json!("x\u{1}\"\\"))).collect();
    // Every character takes two bytes in JSON.
    let hard = "\"\\".repeat(300_000);
    for body in [
        json!({"labels": wide, "accounts": vec!["x"; 200_000]}),
        json!({"reason": hard}),
        json!({"labels": {"a": vec![json!({"b": vec!["c"; 64]}); 64], "d": vec![vec!["e"; 64]; 64]}}),
    ] {
        let mut act = Act::new(hard.clone()).with(body);
        act.path = hard.clone();
        for number in 0..40 {
            act.note.insert(format!("note-{number}"), json!(hard));
        }
        let mut response = act.response();
        response.data = Some(&act.data);
        response.error = Some(&hard);
        broker.response(response).await.unwrap();
    }
    broker.close().await;
    let text = std::fs::read_to_string(rig.main_path()).unwrap();
    let longest = text.lines().map(str::len).max().unwrap();
    assert!(longest <= sparekey::audit::MAX_LINE, "{longest}");
}
