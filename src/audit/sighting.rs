//! Which acts a line acknowledges: the ledger entries that it names. Only response lines do, and void lines take back.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::chain::Line;
use crate::domain::time::Timestamp;
use crate::engine::restore::compare::Sighting;

/// What a line says of ledgers.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// These entries were acknowledged.
    Acknowledged(Vec<Sighting>),
    /// This entry of an account, announced before, did not come about.
    TakenBack {
        /// The account.
        account: String,
        /// The entry.
        seq: u64,
    },
}

/// Reads a whole line, without its line feed; `None` if it says nothing of a ledger.
pub fn read(bytes: &[u8]) -> Option<Said> {
    let line = Line::parse(bytes)?;
    let acknowledges = match line.kind()? {
        "response" => true,
        "void" => false,
        _ => return None,
    };
    // Most lines name no entry, and are not taken apart.
    memchr::memmem::find(line.body, br#""seq":"#).or_else(|| memchr::memmem::find(line.body, br#""reached":"#))?;
    let mut json = Vec::with_capacity(line.body.len() + 1);
    json.push(b'{');
    json.extend_from_slice(line.body);
    let shape: Shape = serde_json::from_slice(&json).ok()?;
    let at = Timestamp::parse(&shape.time)?;
    if !acknowledges {
        let note = shape.void?.disclosure;
        let account = note.get("account")?.as_str()?.to_owned();
        return Some(Said::TakenBack { account, seq: note.get("seq")?.as_u64()? });
    }
    let response = shape.response?;
    let note = response.disclosure.or(response.note)?;
    let said = entries(&note, at);
    (!said.is_empty()).then_some(Said::Acknowledged(said))
}

/// When a line was written.
pub fn time(bytes: &[u8]) -> Option<Timestamp> {
    let text = Line::parse(bytes)?.body.strip_prefix(br#""time":""#)?;
    let end = memchr::memchr(b'"', text)?;
    Timestamp::parse(std::str::from_utf8(&text[..end]).ok()?)
}

/// The id of the request that a line is about, and whether the line is its answer.
pub fn request(bytes: &[u8]) -> Option<(&str, bool)> {
    let line = Line::parse(bytes)?;
    let answer = match line.kind()? {
        "request" => false,
        "response" => true,
        _ => return None,
    };
    Some((std::str::from_utf8(line.request_id()?).ok()?, answer))
}

/// The ledger entries that the note of an act names.
pub fn entries(note: &Map<String, Value>, at: Timestamp) -> Vec<Sighting> {
    if let Some(Value::Array(reached)) = note.get("reached") {
        return reached.iter().filter_map(Value::as_str).filter_map(|text| reached_entry(text, at)).collect();
    }
    let one = || {
        let account = match (note.get("account"), note.get("path")) {
            (Some(account), _) => Some(account.as_str()?.to_owned()),
            (None, Some(_)) => None,
            (None, None) => return None,
        };
        let generation = note.get("generation").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
        Some(Sighting {
            account,
            seq: note.get("seq")?.as_u64()?,
            head: hash(note.get("head")?.as_str()?)?,
            generation,
            at,
        })
    };
    one().into_iter().collect()
}

fn reached_entry(text: &str, at: Timestamp) -> Option<Sighting> {
    let mut parts = text.split(' ');
    let account = Some(parts.next()?.to_owned());
    let (seq, head) = (parts.next()?.parse().ok()?, hash(parts.next()?)?);
    Some(Sighting { account, seq, head, generation: None, at })
}

fn hash(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).ok()?;
    Some(out)
}

#[derive(Deserialize)]
struct Shape {
    time: String,
    response: Option<Response>,
    void: Option<Void>,
}

#[derive(Deserialize)]
struct Response {
    disclosure: Option<Map<String, Value>>,
    note: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Void {
    disclosure: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Head;

    fn line(body: &str) -> Vec<u8> {
        let mut out = Vec::new();
        { Head::GENESIS }.link(body.as_bytes(), &mut out);
        out.pop();
        out
    }

    #[test]
    fn acknowledged_entries_are_read_and_others_are_not() {
        let head = "11".repeat(32);
        let time = r#""time":"2026-07-01T12:00:00.000Z""#;
        let request = r#""request":{"id":"a"}"#;
        let at = Timestamp::parse("2026-07-01T12:00:00.000Z").unwrap();
        let one = |account: Option<&str>, seq, generation| Sighting {
            account: account.map(str::to_owned),
            seq,
            head: [0x11; 32],
            generation,
            at,
        };
        let disclosed = format!(
            r#"{time},"type":"response","disclosed":true,{request},"response":{{"status":200,"disclosure":{{"account":"a/b","generation":2,"slot":1,"seq":7,"head":"{head}"}}}}}}"#
        );
        assert_eq!(read(&line(&disclosed)), Some(Said::Acknowledged(vec![one(Some("a/b"), 7, Some(2))])));
        let configured = format!(
            r#"{time},"type":"response",{request},"response":{{"status":204,"note":{{"path":"roles/x","seq":3,"head":"{head}"}}}}}}"#
        );
        assert_eq!(read(&line(&configured)), Some(Said::Acknowledged(vec![one(None, 3, None)])));
        let reached = format!(
            r#"{time},"type":"response",{request},"response":{{"status":202,"note":{{"reached":["a 4 {head}","b 5 {head}"]}}}}}}"#
        );
        assert_eq!(
            read(&line(&reached)),
            Some(Said::Acknowledged(vec![one(Some("a"), 4, None), one(Some("b"), 5, None)]))
        );
        let void = format!(
            r#"{time},"type":"void",{request},"void":{{"reason":"x","disclosure":{{"account":"a/b","seq":7,"head":"{head}"}}}}}}"#
        );
        assert_eq!(read(&line(&void)), Some(Said::TakenBack { account: "a/b".into(), seq: 7 }));
        let asked = format!(r#"{time},"type":"request",{request},"seq":7}}"#);
        assert_eq!(read(&line(&asked)), None);
        assert_eq!(read(&line(&format!(r#"{time},"type":"response",{request},"response":{{"status":200}}}}"#))), None);
    }
}
