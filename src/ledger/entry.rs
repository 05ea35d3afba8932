//! One line of history.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;

/// Who acted, as far as it was proven.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Actor {
    /// The role's user claim, `root`, or the name of a source.
    #[n(0)]
    pub subject: String,
    /// The assertion's `iss`; empty without one.
    #[n(1)]
    pub issuer: String,
    /// The role; empty without one.
    #[n(2)]
    pub role: String,
    /// `http` or `mounted`.
    #[n(3)]
    pub face: String,
    /// Mounted: the vault's entity behind the request, if it has one.
    #[n(4)]
    pub entity: Option<String>,
    /// Mounted: accessor of the vault's token behind the request.
    #[n(5)]
    pub accessor: Option<String>,
}

impl Actor {
    fn wire(&self) -> Value {
        let mut actor = json!({"subject": self.subject, "issuer": self.issuer, "role": self.role, "face": self.face});
        for (name, value) in [("entity", &self.entity), ("accessor", &self.accessor)] {
            if let Some(value) = value {
                actor[name] = json!(value);
            }
        }
        actor
    }
}

/// An act as it stands in the ledger. Nothing here is or contains a code.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// From 1, without gaps.
    #[n(0)]
    pub seq: u64,
    /// When.
    #[n(1)]
    pub at: Timestamp,
    /// `store`, `retrieve`, `enroll` …, else `unwrap`, `event`, `lapse`, `create`, `update`, `delete`.
    #[n(2)]
    pub act: String,
    /// Who.
    #[n(3)]
    pub actor: Actor,
    /// The host's request id.
    #[n(4)]
    pub request_id: String,
    /// Why.
    #[n(5)]
    pub reason: Option<String>,
    /// On which ticket.
    #[n(6)]
    pub ticket: Option<String>,
    /// Which set.
    #[n(7)]
    pub generation: Option<u32>,
    /// Which slot.
    #[n(8)]
    pub slot: Option<u32>,
    /// From which address.
    #[n(9)]
    pub remote: Option<String>,
    /// Whether a code was shown again.
    #[n(10)]
    pub repeat: bool,
    /// What else there is to say: counts, causes, before and after. JSON text of an object.
    #[n(11)]
    pub detail: Option<String>,
    /// The write that this entry went down with: recognises an outcome that was unknown.
    #[n(12)]
    pub operation: ByteArray<16>,
}

impl Entry {
    /// The entry as `history/` answers it, with its hash.
    pub fn wire(&self, hash: &[u8; 32]) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("seq", json!(self.seq));
        put("at", json!(self.at.to_string()));
        put("act", json!(self.act));
        put("actor", self.actor.wire());
        put("request_id", json!(self.request_id));
        put("reason", json!(self.reason));
        put("ticket", json!(self.ticket));
        put("generation", json!(self.generation));
        put("slot", json!(self.slot));
        put("remote", json!(self.remote));
        put("repeat", json!(self.repeat));
        put("detail", self.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null));
        put("hash", json!(hex::encode(hash)));
        map
    }
}
