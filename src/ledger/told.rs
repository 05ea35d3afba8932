//! An entry as `history/` answers it, written as JSON at once: a history is a thousand of them, for which no tree of values is built.

use std::io::Write as _;

use serde::Serialize;
use serde::de::IgnoredAny;

use crate::ledger::entry::{Actor, Entry};

impl<T: AsRef<str>> Entry<T> {
    /// Writes the entry with its hash to the end of `out`: a JSON object, its names sorted.
    pub fn write(&self, hash: &[u8; 32], out: &mut Vec<u8>) {
        put(out, "{\"act\":", self.act.as_ref());
        out.extend_from_slice(b",\"actor\":");
        self.actor.write(out);
        // A time is digits and a few marks, which nothing escapes. Writing into memory cannot fail.
        let _ = write!(out, ",\"at\":\"{}\",\"detail\":", self.at);
        out.extend_from_slice(self.detail.as_ref().map_or("null", |detail| sound(detail.as_ref())).as_bytes());
        put(out, ",\"generation\":", &self.generation);
        out.extend_from_slice(b",\"hash\":\"");
        let mut digits = [0; 64];
        // The lengths fit: each byte is two digits.
        let _ = hex::encode_to_slice(hash, &mut digits);
        out.extend_from_slice(&digits);
        put(out, "\",\"reason\":", &self.reason.as_ref().map(AsRef::as_ref));
        put(out, ",\"remote\":", &self.remote.as_ref().map(AsRef::as_ref));
        put(out, ",\"repeat\":", &self.repeat);
        put(out, ",\"request_id\":", self.request_id.as_ref());
        put(out, ",\"seq\":", &self.seq);
        put(out, ",\"slot\":", &self.slot);
        put(out, ",\"ticket\":", &self.ticket.as_ref().map(AsRef::as_ref));
        out.push(b'}');
    }
}

impl<T: AsRef<str>> Actor<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (name, text) in [("\"accessor\":", &self.accessor), ("\"entity\":", &self.entity)] {
            if let Some(text) = text {
                put(out, name, text.as_ref());
                out.push(b',');
            }
        }
        put(out, "\"face\":", self.face.as_ref());
        put(out, ",\"issuer\":", self.issuer.as_ref());
        put(out, ",\"role\":", self.role.as_ref());
        put(out, ",\"subject\":", self.subject.as_ref());
        out.push(b'}');
    }
}

/// What stands before a value, then the value.
#[inline]
fn put<V: Serialize + ?Sized>(out: &mut Vec<u8>, before: &'static str, value: &V) {
    out.extend_from_slice(before.as_bytes());
    // Writing texts and numbers into memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// A detail is JSON text already, which stands in the answer as it was hashed.
fn sound(detail: &str) -> &str {
    if serde_json::from_str::<IgnoredAny>(detail).is_ok() { detail } else { "null" }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::time::Timestamp;

    fn told(entry: &Entry) -> Value {
        let mut text = Vec::new();
        entry.write(&[0xab; 32], &mut text);
        let value: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value.to_string().as_bytes(), text, "as a tree of values would be written");
        let stored = minicbor::to_vec(entry).unwrap();
        let mut again = Vec::new();
        minicbor::decode::<Entry<&str>>(&stored).unwrap().write(&[0xab; 32], &mut again);
        assert_eq!(again, text, "as it is stored");
        value
    }

    #[test]
    fn an_entry_is_told_whole() {
        let subject = "j\"\\\u{1}ä";
        let mut entry = Entry {
            seq: 3,
            at: Timestamp::from_millis(1_800_000_000_250),
            act: "retrieve".into(),
            actor: Actor {
                subject: subject.into(),
                issuer: "https://idp.example.com".into(),
                role: "oncall".into(),
                face: "mounted".into(),
                entity: Some("e".into()),
                accessor: Some("a".into()),
            },
            request_id: "r".into(),
            reason: Some("locked out".into()),
            ticket: None,
            generation: Some(2),
            slot: None,
            remote: Some("192.0.2.7".into()),
            repeat: true,
            detail: Some(json!({"b": 1, "a": ["x", null]}).to_string()),
            operation: [7; 16].into(),
        };
        let actor = json!({
            "subject": subject, "issuer": "https://idp.example.com", "role": "oncall", "face": "mounted", "entity": "e",
            "accessor": "a",
        });
        let wanted = json!({
            "seq": 3, "at": "2027-01-15T08:00:00.250Z", "act": "retrieve", "actor": actor, "request_id": "r",
            "reason": "locked out", "ticket": null, "generation": 2, "slot": null, "remote": "192.0.2.7", "repeat": true,
            "detail": {"a": ["x", null], "b": 1}, "hash": "ab".repeat(32),
        });
        assert_eq!(told(&entry), wanted);
        entry.actor.entity = None;
        assert_eq!(told(&entry)["actor"].get("entity"), None);
        for unsound in ["", "{", "{} {}", "\"},{"] {
            entry.detail = Some(unsound.to_owned());
            assert_eq!(told(&entry)["detail"], Value::Null, "{unsound}");
        }
    }
}
