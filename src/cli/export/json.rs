//! Exports in JSON: which of the known ones it is, and texts that are wiped.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{Export, Refusal, bitwarden, entra, keycloak, onepassword};

/// A text that is wiped; absent and `null` are empty.
#[derive(Default)]
pub(super) struct Hidden(pub Zeroizing<String>);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Hidden(Zeroizing::new(Option::<String>::deserialize(from)?.unwrap_or_default())))
    }
}

/// `null` is the same as absent.
pub(super) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Whether `start` begins as JSON does, and not as a line in brackets.
pub(super) fn looks_like(start: &str) -> bool {
    let next = start[1..].trim_start().bytes().next();
    matches!((start.as_bytes()[0], next), (b'{', Some(b'"' | b'}')) | (b'[', Some(b'{' | b'[' | b'"')))
}

/// Reads `text`, which looks like JSON.
pub(super) fn read(text: &str) -> Result<Export, Refusal> {
    if text.starts_with('[') {
        return onepassword::items(parse(text, onepassword::FORMAT)?);
    }
    let keys: BTreeMap<String, IgnoredAny> = parse(text, "JSON")?;
    let has = |key: &str| keys.contains_key(key);
    match () {
        () if has("encrypted") || has("passwordProtected") => bitwarden::read(text),
        () if has("items") && has("folders") || has("items") && has("collections") => bitwarden::read(text),
        () if has("accounts") => onepassword::read(text),
        () if has("fields") && has("category") => onepassword::items(vec![parse(text, onepassword::FORMAT)?]),
        () if has("users") || has("credentials") || has("secretData") => keycloak::read(text),
        () if has("temporaryAccessPass") || has("value") => entra::read(text),
        () => Err(Refusal::new(
            "JSON of a kind that is not known here (Bitwarden, 1Password, Microsoft Graph and Keycloak are). Copy the codes \
             into a plain text file, one a line, and import that",
        )),
    }
}

/// Parses `text` as `T`; a refusal says the line and never what stands there.
pub(super) fn parse<T: DeserializeOwned>(text: &str, format: &str) -> Result<T, Refusal> {
    serde_json::from_str(text).map_err(|error| {
        let why = match error.classify() {
            serde_json::error::Category::Eof => "it breaks off",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
            serde_json::error::Category::Data => "something is of another type than it should be",
        };
        Refusal::new(format!("line {}, column {}: {why} ({format}). Export it again", error.line(), error.column()))
    })
}
