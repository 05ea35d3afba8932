//! Bodies that are no JSON, too deep, too wide, too long, of the wrong kind or cut short, to every path that takes a write.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};
use sparekey::host::call::Verb;
use sparekey::host::routes;

use crate::fields::{CAREFUL, Write, set_up, writes};
use crate::stage::{ACCOUNT, MOUNT, Stage, codes};
use crate::support::http::{Answer, Client};

/// No answer may take longer than this, whatever was sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every path that takes a write, with a client that may use it. Tokens are tried on one of their own.
fn targets(stage: &Stage) -> Vec<(String, Client)> {
    let login = stage.login("admin");
    let mut all: Vec<(String, Client)> =
        writes(stage).iter().map(|write| (format!("{MOUNT}/{}", write.path), stage.root.clone())).collect();
    all.push((format!("{MOUNT}/events/idp"), stage.nobody.clone()));
    for entry in routes::TABLE.iter().filter(|entry| entry.verbs.contains(&Verb::Update)) {
        if entry.pattern != "auth/token/revoke-self" {
            all.push((entry.pattern.replace('*', "file"), login.clone()));
        }
    }
    all.extend(["sys/init", "sys/unseal"].map(|path| (path.to_owned(), stage.nobody.clone())));
    assert!(all.len() >= 24, "{}", all.len());
    all
}

fn answered(client: &Client, path: &str, body: &[u8], what: &str) -> Answer {
    let begun = Instant::now();
    let answer = client.send("POST", path, Some(body));
    assert!(begun.elapsed() < PATIENCE, "{what} to {path} took {:?}", begun.elapsed());
    assert!(answer.status < 500, "{what} to {path}: {} {}", answer.status, answer.text());
    answer
}

/// An error of one of the two shapes, short, and without anything of the body in it.
fn well_said(answer: &Answer, what: &str) {
    let said = answer.json();
    let object = said.as_object().unwrap();
    match object.len() {
        1 => assert!(said["errors"].as_array().is_some_and(|list| list.iter().all(Value::is_string)), "{what}: {said}"),
        _ => assert!(said["err"].is_string() && said["description"].is_string(), "{what}: {said}"),
    }
    assert!(answer.error().len() < 4200, "{what}: {} bytes", answer.error().len());
}

#[test]
fn what_is_no_object_in_json_is_refused_everywhere() {
    let stage = set_up();
    let targets = targets(&stage);
    let before = stage.world();
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(20_000), close.repeat(20_000)).into_bytes();
    let wide: String = (0..5000).map(|n| format!("\"k{n}\":{n},")).collect();
    let strings = format!("{{\"reason\":[{}]}}", vec!["\"x\""; 5000].join(","));
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("a list", b"[1]".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("a number", b"7".to_vec()),
        ("true", b"true".to_vec()),
        ("a word", b"jwt".to_vec()),
        ("a form", b"role=admin&jwt=x".to_vec()),
        ("XML", b"<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><x>&a;</x>".to_vec()),
        ("YAML", b"role: admin\n".to_vec()),
        ("cut short", b"{\"role\":\"adm".to_vec()),
        ("cut short after the colon", b"{\"role\":".to_vec()),
        ("one brace", b"{".to_vec()),
        ("two objects", b"{}{}".to_vec()),
        ("something behind", b"{} x".to_vec()),
        ("a comma too many", b"{\"a\":1,}".to_vec()),
        ("single quotes", b"{'a':1}".to_vec()),
        ("a comment", b"{/* a */\"a\":1}".to_vec()),
        ("NaN", b"{\"slot\":NaN}".to_vec()),
        ("a number beyond all numbers", b"{\"slot\":1e999}".to_vec()),
        ("a number with a zero before it", b"{\"slot\":01}".to_vec()),
        ("a lone surrogate", b"{\"reason\":\"\\ud800\"}".to_vec()),
        ("a control character in a text", b"{\"reason\":\"a\nb\"}".to_vec()),
        ("a NUL", b"{\"a\":1}\0".to_vec()),
        ("only NULs", vec![0; 1000]),
        ("a byte order mark", b"\xef\xbb\xbf{}".to_vec()),
        ("UTF-16", "{}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("bytes at random", (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0".to_vec()),
        ("deep lists", [b"{\"a\":", &deep("[", "]")[..], b"}"].concat()),
        ("deep objects", deep("{\"a\":", "}")),
        ("deep and cut short", deep("{\"a\":[", "")),
        ("too many fields", format!("{{{}\"k\":1}}", wide).into_bytes()),
        ("too many texts", strings.into_bytes()),
    ];
    for (path, client) in &targets {
        for (what, body) in &bad {
            // What the token paths take in a form is a form to them; here none says so.
            let client = client.header("Content-Type", "application/json");
            let mark = stage.audit_len();
            let answer = answered(&client, path, body, what);
            assert_eq!(answer.status, 400, "{what} to {path}: {}", answer.text());
            well_said(&answer, what);
            let sentence = answer.error();
            assert!(
                sentence.starts_with("failed to decode JSON input: ")
                    || sentence.starts_with("refused JSON input due to high complexity: "),
                "{what} to {path}: {sentence}"
            );
            if !path.starts_with("sys/init") && !path.starts_with("sys/unseal") {
                let lines = stage.answered_since(mark);
                assert_eq!(lines.len(), 1, "{what} to {path} is not on the record");
                assert_eq!(lines[0]["error"], json!(sentence), "{what} to {path}");
                assert_eq!(lines[0]["request"]["path"], json!(path), "{what}");
            }
        }
    }
    assert_eq!(stage.world(), before, "nothing changed");
    stage.retrieves();
}

#[test]
fn a_media_type_that_is_a_lie_changes_nothing_about_what_is_read() {
    let stage = Stage::empty();
    stage.store(ACCOUNT, &codes("a", 12));
    let path = format!("{MOUNT}/retrieve/{ACCOUNT}");
    let mut remaining = stage.remaining();
    for media in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/octet-stream",
        ";;;",
        "",
        "*/*",
    ] {
        let client = stage.nobody.header("Content-Type", media);
        client.write(&path, &stage.asserted(json!({}))).expect(200);
        remaining -= 1;
        assert_eq!(stage.remaining(), remaining, "{media}");
    }
    // What is announced as an event is one, wherever it is sent, and so it is no act.
    let event = stage.nobody.header("Content-Type", "application/secevent+jwt");
    let body = stage.asserted(json!({})).to_string();
    let answer = event.send("POST", &path, Some(body.as_bytes()));
    assert_eq!(answer.status, 403, "{}", answer.text());
    for media in ["application/x-www-form-urlencoded", "APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8"] {
        let form = stage.nobody.header("Content-Type", media);
        for body in ["%", "a=%zz", "a=%ff"] {
            let answer = form.send("POST", &path, Some(body.as_bytes())).expect(400);
            assert!(answer.error().starts_with("failed to parse form: "), "{}", answer.text());
        }
        let good = format!("role=admin&jwt={}", stage.jwt(&json!({})));
        form.send("POST", &path, Some(good.as_bytes())).expect(200);
        remaining -= 1;
        assert_eq!(stage.remaining(), remaining, "{media}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_and_never_believed() {
    let stage = set_up();
    let before = stage.world();
    for write in writes(&stage) {
        let mut body = write.body.clone();
        body["reason"] = json!("REPLACE");
        body["owner"] = json!("REPLACE");
        let body = if write.act { stage.asserted(body) } else { body };
        for bytes in [&b"\xff"[..], b"\xc3\x28", b"\xe2\x82", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xed\xa0\x80"] {
            let text = body.to_string();
            let (start, end) = text.split_once("REPLACE").unwrap();
            let sent = [start.as_bytes(), bytes, end.as_bytes(), b"x"].concat();
            // The byte behind it makes every one of them no JSON, so that nothing comes in.
            let client = if write.act { &stage.nobody } else { &stage.root };
            let answer = answered(client, &format!("{MOUNT}/{}", write.path), &sent, "not UTF-8");
            assert_eq!(answer.status, 400, "{}", answer.text());
            well_said(&answer, "not UTF-8");
        }
    }
    assert_eq!(stage.world(), before);
    let sent = [b"{\"owner\":\"jane \xff\"}".to_vec()].concat();
    stage.root.send("POST", &format!("{MOUNT}/accounts/github/utf"), Some(&sent)).expect(204);
    assert_eq!(stage.account("github/utf")["owner"], "jane \u{fffd}");
}

/// Any JSON: the kinds of value that parsers and arithmetic trip over among them.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![0_i64, 1, -1, i64::MAX, i64::MIN, 253_402_300_799, 253_402_300_800])
            .prop_map(Value::from),
        prop::sample::select(vec![
            "",
            " ",
            "0",
            "-0",
            "1e9",
            "9999999999999999999999",
            "9223372036854775807s",
            "106751d",
            "1h1h1h",
            "5 m",
            "9999-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2016-12-31T23:59:60Z",
            "+10000-01-01T00:00:00Z",
            "../..",
            "*",
            "{{sub}}",
            "{{",
            "a,b,,c",
            ",",
            "\u{0}",
            "\u{202e}",
            "%00",
            "null",
            "true",
            "[]",
            "{}",
            "https://",
            "http://localhost:1",
            "(a*)*b",
            "[[:alpha:]]",
            "$(id)",
            "' OR 1=1 --",
        ])
        .prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        "[a-z0-9/_.@-]{1,20}".prop_map(Value::from),
        (1..3000usize).prop_map(|length| Value::from("a".repeat(length))),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map("[a-z_:{}@.*]{0,12}", inner, 0..8)
                .prop_map(|map| Value::Object(Map::from_iter(map))),
        ]
    })
}

#[test]
fn no_field_whatever_makes_a_path_fail_or_half_succeed() {
    let stage = set_up();
    for (turn, write) in writes(&stage).iter().enumerate() {
        let mut names: Vec<&'static str> = write.fields.iter().map(|field| field.name).collect();
        names.push("no_such_field");
        let changes = prop::collection::btree_map(prop::sample::select(names), anything(), 1..4);
        let config = Config { cases: 48, failure_persistence: None, ..Config::default() };
        let seed = [u8::try_from(turn).unwrap() + 1; 32];
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let outcome = runner.run(&changes, |changes| {
            one(&stage, write, &changes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        });
        outcome.unwrap_or_else(|error| panic!("{}: {error}", write.path));
        stage.fine("config", json!({"default_role": "admin", "default_profile": null, "clock_skew": null}));
    }
    // Whatever came in of it, the server is well and its records hold together.
    for account in [ACCOUNT, CAREFUL] {
        let history = stage.root.read(&format!("{MOUNT}/history/{account}?verify=true&limit=1000")).expect(200);
        assert_eq!(history.data()["verified"], true, "{account}");
    }
    let history = stage.root.read(&format!("{MOUNT}/config/history?verify=true&limit=1000")).expect(200);
    assert_eq!(history.data()["verified"], true);
    stage.store("github/afterwards", &codes("z", 2));
    stage.act("retrieve", "github/afterwards", json!({})).expect(200);
}

/// What a write to this path may change, as root sees it.
fn seen(stage: &Stage, write: &Write) -> (Value, Value) {
    let shown = match write.act {
        true => write.path.replacen(write.prefix, "accounts", 1),
        false if write.prefix.starts_with("config/keys/") => "config/keys".to_owned(),
        false => write.path.clone(),
    };
    let (record, ledger) = match write.act || write.prefix == "accounts" {
        true => (format!("{MOUNT}/{shown}"), format!("{MOUNT}/{}", shown.replacen("accounts", "history", 1))),
        false => (format!("{MOUNT}/{shown}"), format!("{MOUNT}/config/history")),
    };
    let read = |path: &str| {
        let answer = stage.root.read(path);
        assert!(matches!(answer.status, 200 | 404), "{path}: {} {}", answer.status, answer.text());
        answer.json()["data"].clone()
    };
    (read(&record), read(&ledger)["head"].clone())
}

fn one(stage: &Stage, write: &Write, changes: &Map<String, Value>) -> Result<(), TestCaseError> {
    let mut body = write.body.clone();
    if write.prefix == "sets" {
        // Good but for the changes, whatever came in before.
        body = json!({"codes": codes(&format!("{}x", stage.fresh()), 6), "bound_at": stage.now()});
    }
    body.as_object_mut().unwrap().extend(changes.clone());
    let before = seen(stage, write);
    let mark = stage.audit_len();
    let begun = Instant::now();
    let answer = write.send(stage, &body);
    prop_assert!(begun.elapsed() < PATIENCE);
    prop_assert!(answer.status < 500, "{} {}", answer.status, answer.text());
    let lines = stage.answered_since(mark);
    prop_assert_eq!(lines.len(), 1, "not on the record");
    prop_assert_eq!(&lines[0]["response"]["status"], &json!(answer.status));
    if answer.status >= 400 {
        prop_assert!(matches!(answer.status, 400 | 403 | 404 | 429), "{} {}", answer.status, answer.text());
        well_said(&answer, &write.path);
        let recorded: String = lines[0]["error"].as_str().unwrap_or_default().chars().take(400).collect();
        prop_assert!(!recorded.is_empty() && answer.error().starts_with(&recorded), "recorded: {recorded}");
        prop_assert_eq!(seen(stage, write), before, "a refusal changed something");
    }
    Ok(())
}
