//! Exports of password managers and identity providers: finds the text that holds an account's codes. Pure: bytes in, text out.
//!
//! Known are Bitwarden's and 1Password's exports as JSON and as CSV, the CSV of passwords that Microsoft Edge (and browsers of its
//! kind) write, a Temporary Access Pass as Microsoft Graph answers it, and realms and users of Keycloak, which hold no codes
//! any more: that is said. What an item's text means is for [`super::codefile`] to read. Refusals name items and fields by
//! what the caller typed, or by their number; they never show what stands in them.

use std::fmt;

use zeroize::Zeroizing;

mod bitwarden;
mod entra;
mod json;
mod keycloak;
mod onepassword;
mod passwords;
mod pick;
pub(crate) mod table;

/// The largest export that is read, in bytes.
pub const MAX_EXPORT: usize = 8 << 20;

/// What an export holds.
pub struct Export {
    /// What kind of export it is, in words.
    pub format: &'static str,
    /// Its items, in its order.
    pub items: Vec<Item>,
}

/// One entry of an export.
pub struct Item {
    /// Its id, where the export has one.
    pub id: String,
    /// Its folder, vault or collection; empty if it is in none.
    pub folder: String,
    /// Its name.
    pub name: String,
    /// The texts in it that may hold codes.
    pub texts: Vec<Text>,
}

/// A text of an item.
pub struct Text {
    /// What the field is called; `notes` and `password` for the built-in ones.
    pub label: String,
    /// What stands in it.
    pub value: Zeroizing<String>,
    /// How its value is to be read.
    pub form: Form,
}

/// How a text holds codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines, as in a file.
    Lines,
    /// A field of one line: commas and semicolons divide codes.
    Field,
    /// One code, whatever characters it has.
    Whole,
}

/// What was picked out of an export.
pub struct Picked {
    /// The text that holds the codes.
    pub text: Zeroizing<String>,
    /// The text is one code, whatever characters it has.
    pub whole: bool,
    /// Where it stood, for what is said: `item 3 of a Bitwarden export (JSON), field "recovery codes"`.
    pub place: String,
}

/// Why nothing can be taken from an export, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    fn new(sentence: impl Into<String>) -> Self {
        Refusal(sentence.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Reads `bytes` if they are an export; nothing if they look like something else, such as a plain list of codes.
pub fn read(bytes: &[u8]) -> Result<Option<Export>, Refusal> {
    if bytes.starts_with(b"PK\x03\x04") && memchr::memmem::find(bytes, b"export.data").is_some() {
        return Err(Refusal::new(
            "a 1Password archive (.1pux). Take the file export.data out of it (unzip FILE export.data) and import that",
        ));
    }
    let Ok(text) = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)) else { return Ok(None) };
    let start = text.trim_start();
    let found = match start.as_bytes().first() {
        Some(b'{' | b'[') if json::looks_like(start) => Some(json::read(start)?),
        _ => passwords::read(text)?,
    };
    if found.is_some() && bytes.len() > MAX_EXPORT {
        return Err(Refusal::new(format!("an export of more than {} MiB: export fewer items", MAX_EXPORT >> 20)));
    }
    Ok(found)
}

/// `label` names codes: recovery codes, backup codes, emergency codes and the like.
fn names_codes(label: &str) -> bool {
    let label = label.to_lowercase();
    let which = ["recovery", "backup", "back-up", "emergency", "one-time", "single-use", "scratch", "spare"];
    let what = ["code", "key", "pass"];
    which.iter().any(|word| label.contains(word)) && what.iter().any(|word| label.contains(word))
}
