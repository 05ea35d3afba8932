//! Whether an answer is the recorded one.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use super::stage::{Answer, Stage};

impl Stage {
    pub fn compare(&self, record: &Value, answer: &Answer) -> Result<(), String> {
        if Some(u64::from(answer.status)) != record["status"].as_u64() {
            return Err(format!("status {} instead of {}: {}", answer.status, record["status"], answer.body));
        }
        let expected = record["resp_headers"].as_object().unwrap();
        let standard = json!({
            "content-type": "application/json", "cache-control": "no-store",
            "strict-transport-security": "max-age=31536000; includeSubDomains",
        });
        let expected = if expected.contains_key("@std") { standard.as_object().unwrap() } else { expected };
        for name in ["content-type", "cache-control", "strict-transport-security", "location"] {
            let (want, have) = (expected.get(name).and_then(Value::as_str), answer.headers.get(name));
            if want != have.map(String::as_str) {
                return Err(format!("header {name}: {have:?} instead of {want:?}"));
            }
        }
        if record["method"] == "HEAD" {
            return if answer.body.is_empty() { Ok(()) } else { Err(format!("a body: {}", answer.body)) };
        }
        if let Some(text) = record["resp_text"].as_str() {
            let same = match text.strip_suffix("<any>") {
                Some(start) => answer.body.starts_with(start),
                None => text == answer.body,
            };
            return if same { Ok(()) } else { Err(format!("text {:?}", answer.body)) };
        }
        if record["resp_body"].is_null() {
            return if answer.body.is_empty() { Ok(()) } else { Err(format!("a body: {}", answer.body)) };
        }
        if !answer.body.ends_with('\n') {
            return Err("the body does not end in a newline".to_owned());
        }
        let have: Value = serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
        let want: Value = serde_json::from_str(&self.filled(&record["resp_body"].to_string())).unwrap();
        same(&want, &have).map_err(|at| format!("at {at}: {}", answer.body))
    }
}

/// Whether `have` is `want`, placeholders allowed for; else where not.
fn same(want: &Value, have: &Value) -> Result<(), String> {
    match (want, have) {
        (Value::String(want), have) if want.starts_with('<') && want.ends_with('>') => match fits(want, have) {
            true => Ok(()),
            false => Err(format!("{have} is not {want}")),
        },
        (Value::Object(want), Value::Object(have)) => {
            let names: BTreeSet<&String> = want.keys().chain(have.keys()).collect();
            names.into_iter().try_for_each(|name| match (want.get(name), have.get(name)) {
                (Some(want), Some(have)) => same(want, have).map_err(|at| format!("{name}/{at}")),
                (want, _) => Err(format!("{name} {}", if want.is_some() { "is missing" } else { "is new" })),
            })
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => want
            .iter()
            .zip(have)
            .enumerate()
            .try_for_each(|(at, (want, have))| same(want, have).map_err(|below| format!("{at}/{below}"))),
        (want, have) if want == have => Ok(()),
        (want, have) => Err(format!("{have} instead of {want}")),
    }
}

fn fits(placeholder: &str, have: &Value) -> bool {
    let text = have.as_str().unwrap_or_default();
    let base62 = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    match placeholder.trim_matches(['<', '>']) {
        "any" => true,
        "string" => have.is_string() && !text.is_empty(),
        "int" => have.is_u64(),
        "uuid" => text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && hex(&text.replace('-', "")),
        "rfc3339" => sparekey::domain::time::Timestamp::parse(text).is_some() && text.contains('T'),
        "token" => text.strip_prefix("s.").is_some_and(|rest| base62(rest, 24)),
        "accessor" => base62(text, 24),
        "base64-xor-token" => STANDARD_NO_PAD.decode(text).is_ok_and(|mixed| mixed.len() == 26),
        "otp:26 base62" => base62(text, 26),
        "version" => text.trim_start_matches('v').starts_with("0.1"),
        "cluster-name" => !text.is_empty(),
        "hex-key-share" => text.len() == 66 && hex(text),
        "base64-key-share" => text.len() == 44,
        other => match other.strip_prefix("mount-accessor:") {
            Some(kind) => text
                .strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|rest| rest.len() == 8 && hex(rest)),
            None => panic!("no such placeholder: {placeholder}"),
        },
    }
}
