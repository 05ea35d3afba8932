//! The fields that acts share, read once into bounded values.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::crypto::keyring::{HashPurpose, Keyring};
use crate::domain::fields::Fields;
use crate::domain::name::{AccountName, record_name};
use crate::domain::set::Repeat;
use crate::error::{Error, Result};

/// Longest free text in bytes.
pub const MAX_TEXT: usize = 512;

/// What every act may say about itself.
pub struct Ask {
    /// The role it wants to act under.
    pub role: Option<String>,
    /// The assertion, as long as it came: judging it bounds it.
    pub jwt: Option<Zeroizing<String>>,
    /// Why.
    pub reason: Option<String>,
    /// On which ticket.
    pub ticket: Option<String>,
    /// Recognises a repeat.
    pub idempotency_key: Option<String>,
    /// The whole request but its assertion, as text: what a key is bound to. It may hold codes.
    content: Zeroizing<Vec<u8>>,
}

impl Ask {
    /// Reads the shared fields of an act; the rest stays in the answered fields.
    pub fn read(data: Map<String, Value>) -> Result<(Ask, Fields)> {
        let mut content = Zeroizing::new(Vec::with_capacity(256));
        if data.contains_key("idempotency_key") {
            let mut first = true;
            for (name, value) in data.iter().filter(|(name, _)| *name != "jwt") {
                content.push(if first { b'{' } else { b',' });
                first = false;
                serde_json::to_writer(&mut *content, name).map_err(Error::internal)?;
                content.push(b':');
                serde_json::to_writer(&mut *content, value).map_err(Error::internal)?;
            }
        }
        let mut fields = Fields::new(data);
        let role = fields.string("role")?.value().filter(|role| !role.is_empty());
        if let Some(role) = &role {
            record_name("role", role)?;
        }
        let jwt = fields.exact_string("jwt")?.value().filter(|jwt| !jwt.is_empty()).map(Zeroizing::new);
        let ask = Ask {
            role,
            jwt,
            reason: text(&mut fields, "reason", MAX_TEXT)?,
            ticket: text(&mut fields, "ticket", 128)?,
            idempotency_key: text(&mut fields, "idempotency_key", 128)?,
            content,
        };
        Ok((ask, fields))
    }

    /// Keyed hashes of this request's idempotency key and content, if it has a key.
    pub fn repeat(&self, keyring: &Keyring, act: &str, account: &AccountName, who: &[&str; 3]) -> Option<Repeat> {
        let key = self.idempotency_key.as_deref()?;
        let parts = [act, account.as_str(), who[0], who[1], who[2], key].map(str::as_bytes);
        Some(Repeat {
            key: keyring.keyed_hash(HashPurpose::IdempotencyKey, &parts).into(),
            content: keyring.keyed_hash(HashPurpose::RequestContent, &[&self.content]).into(),
        })
    }
    /// The free texts of this request by field.
    pub fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("reason", &self.reason), ("ticket", &self.ticket), ("idempotency_key", &self.idempotency_key)]
            .into_iter()
            .filter_map(|(field, text)| text.as_deref().map(|text| (field, text)))
    }
}

/// A free text of at most `max` bytes without control characters; empty counts as absent.
pub fn text(fields: &mut Fields, name: &'static str, max: usize) -> Result<Option<String>> {
    let Some(text) = fields.string(name)?.value().filter(|text| !text.is_empty()) else { return Ok(None) };
    checked_text(name, text, max).map(Some)
}

/// Checks a free text.
pub fn checked_text(name: &str, text: String, max: usize) -> Result<String> {
    if text.len() > max {
        return Err(Error::field(name, format_args!("at most {max} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::field(name, "no control characters or line breaks"));
    }
    Ok(text)
}
