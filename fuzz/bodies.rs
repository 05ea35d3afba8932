//! What is tried on every input, and what must hold whatever it is. Each answers whether the input was accepted, so that a
//! corpus can be shown to reach beyond the first check. Used by the fuzz targets and by `tests/fuzz_corpora.rs`.

use std::collections::{BTreeMap, BTreeSet};

use hyper::http::request::Parts;
use hyper::{Method, Request, Uri};
use serde_json::{Value, json};
use sparekey::auth::Token;
use sparekey::cli::codefile::{self, Answers, Outcome};
use sparekey::config::Config;
use sparekey::domain::fields::Fields;
use sparekey::domain::name::{AccountName, record_name};
use sparekey::engine::record::{self, Record};
use sparekey::http::wire;
use sparekey::sources::{self, Source};

/// Tries one input; answers whether it was accepted.
pub type Body = fn(&[u8]) -> bool;

/// Every target by name.
pub const ALL: [(&str, Body); 7] = [
    ("code_file", code_file),
    ("jwt", jwt),
    ("account_name", account_name),
    ("caep", caep),
    ("record", record),
    ("config", config),
    ("request", request),
];

/// A file of codes: what is understood stands in the file, no two alike; questions end; nothing of it is repeated in a refusal.
pub fn code_file(data: &[u8]) -> bool {
    let mut answers = Answers::new();
    // Each answer settles one subject; a file cannot ask for ever.
    for _ in 0..1_000 {
        match codefile::parse(data, &answers) {
            Ok(Outcome::Understood(file)) => {
                let texts: BTreeSet<&str> = file.codes.iter().map(|code| code.expose()).collect();
                assert_eq!(texts.len(), file.codes.len(), "two alike");
                assert!((1..=512).contains(&texts.len()));
                assert!(file.used.iter().all(|slot| (1..=texts.len()).contains(slot)));
                assert!(file.used.is_sorted_by(|a, b| a < b));
                return true;
            }
            Ok(Outcome::Unclear(questions)) => {
                assert!(!questions.is_empty());
                for question in questions {
                    let first = *question.choices.first().expect("something may be answered");
                    assert!(answers.insert(question.about, first).is_none(), "asked twice");
                }
            }
            Err(refusal) => {
                assert!(refusal.to_string().len() < 4_000);
                return false;
            }
        }
    }
    panic!("a thousand rounds of questions");
}

/// A JWT, parsed and nothing more: one spelling, one replay digest.
pub fn jwt(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(token) = Token::parse(text) else { return false };
    assert_eq!(text.split('.').count(), 3);
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "another spelling");
    let Ok(again) = Token::parse(text) else { panic!("it was parsed before") };
    assert_eq!(token.replay(), again.replay());
    assert!(token.unverified_iss().len() <= 1024);
    true
}

/// The name of an account: as it stands or not at all.
pub fn account_name(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    if let Ok(name) = record_name("name", text) {
        assert_eq!(name, text);
        assert!(!text.contains('/') && text.len() <= 128);
    }
    let Ok(name) = AccountName::parse(text) else { return false };
    assert_eq!(name.as_str(), text);
    assert!(text.len() <= AccountName::MAX && text.is_ascii() && text.to_ascii_lowercase() == text);
    assert!(text.split('/').all(|segment| !["", ".", ".."].contains(&segment)));
    true
}

/// The claims of a Security Event Token: understood, or refused in the words of RFC 8935.
pub fn caep(data: &[u8]) -> bool {
    let Ok(Value::Object(claims)) = serde_json::from_slice(data) else { return false };
    let source = json!({
        "type": "caep", "issuer": "idp", "bound_audiences": ["https://sparekey.example.com/"],
        "account_template": "okta/{{email}}", "critical_subject_members": ["robot"],
    });
    let Value::Object(source) = source else { return false };
    let source = Source::update(None, &mut Fields::new(source)).expect("a right source");
    match sources::interpret(&claims, &source) {
        Ok(sources::Received::Enrollment(event)) => {
            let names = source.accounts(&event.subjects);
            assert!(names.iter().all(|name| AccountName::parse(name.as_str()).is_ok()));
            true
        }
        Ok(_) => true,
        Err(refusal) => {
            let known =
                ["invalid_request", "invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed"];
            assert!(known.contains(&refusal.err), "{}", refusal.err);
            assert!(refusal.description.len() < 1_000);
            false
        }
    }
}

/// An account's record: what is read is written back to something that reads the same.
pub fn record(data: &[u8]) -> bool {
    let Ok(first) = record::decode::<Record>("accounts/x", data) else { return false };
    let written = record::encode(&first);
    let second = record::decode::<Record>("accounts/x", &written).expect("what was just written");
    assert!(first == second);
    assert_eq!(record::encode(&second), written);
    true
}

/// A configuration file, HCL or JSON: an error names the file.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    match Config::parse("server.hcl", text) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.to_string().starts_with("server.hcl:"), "{error}");
            false
        }
    }
}

/// A request: `METHOD TARGET` on the first line, headers, an empty line, a body.
pub fn request(data: &[u8]) -> bool {
    let (head, body) = match data.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&data[..at], &data[at + 2..]),
        None => (data, &b""[..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let Some(parts) = lines.next().and_then(|first| parts(first, lines)) else { return false };
    let read = wire::body(&parts.headers, body);
    let Ok(call) = wire::head(&parts, None) else { return false };
    if call.refused.is_none() {
        let segments: Vec<&str> = call.path.split('/').collect();
        assert!(!segments.contains(&"..") && !segments.contains(&"."), "{}", call.path);
        assert!(segments.len() < 2 || !segments[..segments.len() - 1].contains(&""), "{}", call.path);
    }
    call.refused.is_none() && read.is_ok()
}

fn parts<'a>(first: &[u8], headers: impl Iterator<Item = &'a [u8]>) -> Option<Parts> {
    let (method, target) = std::str::from_utf8(first).ok()?.split_once(' ')?;
    let mut request = Request::builder().method(method.parse::<Method>().ok()?).uri(target.parse::<Uri>().ok()?);
    for header in headers {
        let at = header.iter().position(|byte| *byte == b':')?;
        request = request.header(&header[..at], header[at + 1..].trim_ascii());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// Small changes of `input`, the same ones for the same `seed`: bytes turned, cut out, doubled, joined with `other`.
pub fn changed(input: &[u8], other: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // xorshift64: spread is all that is asked of it.
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or(0) % below.max(1)
    };
    let mut bytes = input.to_vec();
    for _ in 0..=next(4) {
        let at = next(bytes.len());
        match next(5) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << next(8),
            1 => drop(bytes.drain(at..(at + next(8)).min(bytes.len()))),
            2 => bytes.insert(at.min(bytes.len()), u8::try_from(next(256)).unwrap_or(0)),
            3 => {
                let piece = bytes[at.min(bytes.len())..(at + next(32)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                bytes.truncate(at);
                bytes.extend_from_slice(&other[next(other.len())..]);
            }
        }
    }
    bytes
}

/// Inputs by name, as they lie in a folder of the corpus.
pub type Corpus = BTreeMap<String, Vec<u8>>;
