//! Which seal the file names. Keys are named by where they come from; they are read when the server starts.

use std::io::Read;
use std::path::PathBuf;

use zeroize::Zeroizing;

mod transit;

pub use transit::TransitChoice;

use super::ConfigError;
use super::section::{Given, Section};
use crate::crypto::secret::Key;
use crate::host::seal::{NamedKey, SealConfig, StaticKeys, parse_key};

/// The seal as the file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealChoice {
    /// Shares (also where the file says nothing).
    Shamir,
    /// A key of the machine's.
    Static {
        /// The key in use.
        current: KeyName,
        /// The key before it, while a store is carried over.
        previous: Option<KeyName>,
    },
    /// Another vault.
    Transit(Box<TransitChoice>),
}

/// Where a value stands: file, line, field.
pub(super) type Place = (String, usize, String);

/// A key's name and where its bytes come from.
#[derive(Debug, Clone)]
pub struct KeyName {
    /// The name that the store remembers.
    pub id: String,
    /// Where it comes from.
    pub source: KeySource,
    place: Box<Place>,
}

impl PartialEq for KeyName {
    /// Where it was written does not count.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.source == other.source
    }
}

impl Eq for KeyName {}

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
}

impl SealChoice {
    /// Reads the keys. An error names file, line and field, never a byte of the key.
    pub fn load(&self) -> Result<SealConfig, ConfigError> {
        match self {
            SealChoice::Shamir => Ok(SealConfig::Shamir),
            SealChoice::Static { current, previous } => Ok(SealConfig::Static(StaticKeys {
                current: current.load()?,
                previous: previous.as_ref().map(KeyName::load).transpose()?,
            })),
            SealChoice::Transit(choice) => choice.load().map(|transit| SealConfig::Transit(Box::new(transit))),
        }
    }
}

/// A key file holds 32 bytes or their text.
const MAX_KEY_FILE: u64 = 256;

impl KeyName {
    fn load(&self) -> Result<NamedKey, ConfigError> {
        let mut bytes = self.source.read(&self.place, MAX_KEY_FILE)?;
        let key: Key = parse_key(std::mem::take(&mut *bytes)).ok_or_else(|| {
            error_at(&self.place, format_args!("{} is not 32 bytes, raw, in base64 or in hexadecimal", self.source))
        })?;
        Ok(NamedKey { id: self.id.clone(), key })
    }
}

pub(super) fn error_at((file, line, field): &Place, what: std::fmt::Arguments) -> ConfigError {
    ConfigError::new(file, *line, field, what)
}

impl KeySource {
    /// What is there, up to `max` bytes and one more. An error names the place, never a byte of the secret.
    pub(super) fn read(&self, place: &Place, max: u64) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        match self {
            KeySource::Env(name) => {
                let value = std::env::var_os(name)
                    .ok_or_else(|| error_at(place, format_args!("the environment variable {name} is not set")))?;
                Ok(Zeroizing::new(value.into_encoded_bytes()))
            }
            KeySource::File(path) => {
                // Grown once: a reallocation would leave a copy behind.
                let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(max).unwrap_or(0) + 1));
                std::fs::File::open(path)
                    .and_then(|file| file.take(max + 1).read_to_end(&mut bytes))
                    .map_err(|cause| error_at(place, format_args!("{}: {cause}", path.display())))?;
                Ok(bytes)
            }
        }
    }
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySource::Env(name) => write!(f, "what env://{name} holds"),
            KeySource::File(path) => write!(f, "what file://{} holds", path.display()),
        }
    }
}

/// Reads the one `seal` block.
pub(super) fn read(top: &Section<'_>) -> Result<SealChoice, ConfigError> {
    let mut blocks = top.blocks("seal", &["shamir"])?.into_iter();
    let Some((labels, section)) = blocks.next() else { return Ok(SealChoice::Shamir) };
    if let Some((_, second)) = blocks.next() {
        return Err(second.error("", "a second seal: a store has one"));
    }
    match labels.as_slice() {
        ["shamir"] => {
            section.only(&[], &[])?;
            Ok(SealChoice::Shamir)
        }
        ["static"] => {
            section.only(&["current_key_id", "current_key", "previous_key_id", "previous_key"], &[])?;
            let current_id = key_id(&section, "current_key_id")?;
            let current_source = key_source(&section, "current_key")?;
            let previous_id = key_id(&section, "previous_key_id")?;
            let previous_source = key_source(&section, "previous_key")?;
            let Some((id, _)) = current_id else {
                return Err(section.error("current_key_id", "required: a name for the key, such as \"2026-01\""));
            };
            let Some((source, given)) = current_source else {
                return Err(section.error("current_key", "required: \"env://NAME\" or \"file://PATH\""));
            };
            let current = KeyName { id, source, place: Box::new(given.place()) };
            let previous = match (previous_id, previous_source) {
                (None, None) => None,
                (Some((id, at)), Some(_)) if id == current.id => {
                    return Err(at.error(format_args!("{id:?} is current_key_id already: two keys need two names")));
                }
                (Some((id, _)), Some((source, given))) => Some(KeyName { id, source, place: Box::new(given.place()) }),
                (Some((_, at)), None) => return Err(at.error("needs previous_key beside it")),
                (None, Some((_, at))) => return Err(at.error("needs previous_key_id beside it")),
            };
            Ok(SealChoice::Static { current, previous })
        }
        ["transit"] => transit::read(&section).map(|choice| SealChoice::Transit(Box::new(choice))),
        other => {
            let name = other.first().copied().unwrap_or_default();
            Err(section.error("", format_args!("the seal is \"shamir\", \"static\" or \"transit\", not {name:?}")))
        }
    }
}

fn key_id<'a>(section: &Section<'a>, word: &'static str) -> Result<Option<(String, Given<'a>)>, ConfigError> {
    let Some((id, given)) = section.text(word)? else { return Ok(None) };
    if id.is_empty() || id.len() > 128 || id.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(given.error("1 to 128 characters without spaces"));
    }
    Ok(Some((id, given)))
}

pub(super) fn key_source<'a>(
    section: &Section<'a>,
    word: &'static str,
) -> Result<Option<(KeySource, Given<'a>)>, ConfigError> {
    let Some((text, given)) = section.text(word)? else { return Ok(None) };
    let text = Zeroizing::new(text);
    if let Some(name) = text.strip_prefix("env://") {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(given.error("env:// must be followed by the name of an environment variable"));
        }
        return Ok(Some((KeySource::Env(name.to_owned()), given)));
    }
    match text.strip_prefix("file://") {
        Some("") => Err(given.error("file:// must be followed by a path, such as file:///run/secrets/seal-key")),
        Some(path) => Ok(Some((KeySource::File(PathBuf::from(path)), given))),
        // The text itself is not repeated: it may be the secret.
        None => Err(given.error(
            "a secret is not written into this file, where backups and version control would carry it along: write \
             \"env://NAME\" or \"file://PATH\"",
        )),
    }
}
