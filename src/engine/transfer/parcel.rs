//! An account on its way: its state, and apart from it what must not be read by others on the way.

use serde::Serialize;
use zeroize::Zeroizing;

use super::state::{SlotState, SourceState, State};
use crate::crypto::secret::{CodeText, Key};
use crate::error::{Error, Result};

/// An account as it leaves a mount.
pub struct Parcel {
    /// From where.
    pub(super) source: SourceState,
    /// Everything but the secrets.
    pub(super) state: State,
    /// Whether it was marked only now, so that it cannot be at the other end yet.
    pub(super) fresh: bool,
    /// What does not go along, in sentences.
    pub(super) notes: Vec<String>,
    /// The held codes of the live set, by slot.
    pub(super) codes: Vec<CodeText>,
    /// The keys of `state.fingerprints`, in their order.
    pub(super) keys: Vec<Key>,
}

/// What the request says beside the account.
#[derive(Default)]
pub struct Cover<'a> {
    /// The role to act under.
    pub role: Option<&'a str>,
    /// The assertion.
    pub jwt: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
    /// On which ticket.
    pub ticket: Option<&'a str>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    source: &'a SourceState,
    state: &'a State,
    codes: Vec<&'a str>,
    fingerprint_keys: Vec<&'a str>,
}

impl Parcel {
    /// The highest generation ever.
    pub fn generation(&self) -> u32 {
        self.state.generation
    }
    /// Whether it is what stays of a deleted account.
    pub fn is_deleted(&self) -> bool {
        self.state.deleted_at.is_some()
    }
    /// Whether it was marked only now, so that it cannot be at the other end yet.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }
    /// What does not go along, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
    /// How many codes go along.
    pub fn codes(&self) -> usize {
        self.codes.len()
    }
    /// How many slots of the live set have no code any more.
    pub fn used(&self) -> usize {
        let live = self.state.sets.iter().find(|set| set.ended.is_none());
        live.map_or(0, |set| set.slots.iter().filter(|slot| !matches!(slot, SlotState::Held)).count())
    }
    /// The JSON text of the request to `transfer/:account`, in memory that is wiped and large enough from the start, so that no
    /// copy stays behind.
    pub fn body(&self, cover: &Cover<'_>) -> Result<Zeroizing<Vec<u8>>> {
        let keys: Vec<Zeroizing<String>> = self.keys.iter().map(hexed).collect();
        let body = Body {
            role: cover.role,
            jwt: cover.jwt,
            reason: cover.reason,
            ticket: cover.ticket,
            source: &self.source,
            state: &self.state,
            codes: self.codes.iter().map(CodeText::expose).collect(),
            fingerprint_keys: keys.iter().map(|key| key.as_str()).collect(),
        };
        let plain = serde_json::to_vec(&self.state).map_err(Error::internal)?.len();
        let texts: usize =
            [cover.role, cover.jwt, cover.reason, cover.ticket].into_iter().flatten().map(str::len).sum();
        // A code has no control characters: an escape at most doubles it.
        let codes: usize = self.codes.iter().map(|code| 2 * code.expose().len() + 3).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(plain + codes + 6 * texts + 67 * keys.len() + 1024));
        serde_json::to_writer(&mut *text, &body).map_err(Error::internal)?;
        Ok(text)
    }
}

fn hexed(key: &Key) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in key.bytes() {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
        }
    }
    text
}
