//! An entry as `history/` answers it, written as JSON at once: a history is a thousand of them, for which no tree of values is built.

use serde::de::IgnoredAny;
use serde::{Serialize, Serializer};

use crate::domain::time::Timestamp;
use crate::ledger::entry::Entry;

impl<T: AsRef<str>> Entry<T> {
    /// Writes the entry with its hash to the end of `out`: a JSON object, its names sorted.
    pub fn write(&self, hash: &[u8; 32], out: &mut Vec<u8>) {
        let mut object = Object::begin(out);
        object.put("act", &self.act.as_ref());
        object.name("actor");
        self.write_actor(object.out);
        object.put("at", &Time(self.at));
        object.name("detail");
        object.out.extend_from_slice(self.detail.as_ref().map_or("null", |detail| sound(detail.as_ref())).as_bytes());
        object.put("generation", &self.generation);
        object.put("hash", &Hex(hash));
        object.put("reason", &shown(&self.reason));
        object.put("remote", &shown(&self.remote));
        object.put("repeat", &self.repeat);
        object.put("request_id", &self.request_id.as_ref());
        object.put("seq", &self.seq);
        object.put("slot", &self.slot);
        object.put("ticket", &shown(&self.ticket));
        object.end();
    }

    fn write_actor(&self, out: &mut Vec<u8>) {
        let actor = &self.actor;
        let mut object = Object::begin(out);
        if let Some(accessor) = &actor.accessor {
            object.put("accessor", &accessor.as_ref());
        }
        if let Some(entity) = &actor.entity {
            object.put("entity", &entity.as_ref());
        }
        object.put("face", &actor.face.as_ref());
        object.put("issuer", &actor.issuer.as_ref());
        object.put("role", &actor.role.as_ref());
        object.put("subject", &actor.subject.as_ref());
        object.end();
    }
}

fn shown<T: AsRef<str>>(text: &Option<T>) -> Option<&str> {
    text.as_ref().map(AsRef::as_ref)
}

/// A detail is JSON text already, which stands in the answer as it was hashed.
fn sound(detail: &str) -> &str {
    if serde_json::from_str::<IgnoredAny>(detail).is_ok() { detail } else { "null" }
}

/// A JSON object while it is written. The names are ours: nothing in them wants escaping.
struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, first: true }
    }
    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(if std::mem::take(&mut self.first) { b"\"" } else { b",\"" });
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
    fn put(&mut self, name: &str, value: &impl Serialize) {
        self.name(name);
        // Writing texts and numbers into memory cannot fail.
        let _ = serde_json::to_writer(&mut *self.out, value);
    }
    fn end(self) {
        self.out.push(b'}');
    }
}

struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Hex<'h>(&'h [u8; 32]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        // The lengths fit: each byte is two digits.
        let _ = hex::encode_to_slice(self.0, &mut text);
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ledger::entry::Actor;

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
