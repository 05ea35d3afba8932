//! Subjects of events (RFC 9493, and the complex subjects of SSF 1.0), with the deviations seen in the field.

use std::fmt;

use serde_json::{Map, Value};

use super::EventRefusal;
use super::set::bounded_text;
use crate::error::{Error, Result};

/// Somebody or something an event is about. Two subjects are the same if they are equal byte for byte, e-mail addresses
/// after their ASCII capitals were lowered (other letters are left alone: a look-alike must not become somebody else).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An e-mail address, ASCII letters in lower case.
    Email(String),
    /// A subject of an issuer.
    IssSub {
        /// The issuer.
        iss: String,
        /// Its name for the subject.
        sub: String,
    },
    /// An identifier without inner meaning.
    Opaque(String),
    /// An account URI (RFC 7565).
    Account(String),
    /// A form that maps to no account: its name, such as `phone_number` or `tenant`.
    Other(String),
}

/// The members of a complex subject that narrow a user down or stand for many. An event about one of them without a `user`
/// meets no account; with a `user` it counts for the whole user.
const NARROWING: [&str; 6] = ["device", "session", "application", "tenant", "org_unit", "group"];
/// Identifiers that one `aliases` subject may list.
const MAX_ALIASES: usize = 16;

impl Subject {
    /// Longest part of a subject in bytes.
    pub const MAX: usize = 1024;

    /// Reads the text form that `sources/:name` uses in `subjects`: `email:jane@example.com`, `iss_sub:ISS|SUB` (split at
    /// the first bar), `opaque:ID` or `account:URI`.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Err(Error::field("subjects", what));
        let Some((format, rest)) = text.split_once(':') else {
            return wrong("a key is email:ADDRESS, iss_sub:ISS|SUB, opaque:ID or account:URI");
        };
        let fits = |part: &str| !part.is_empty() && part.len() <= Self::MAX && !part.chars().any(char::is_control);
        if !fits(rest) {
            return wrong("a key has 1 to 1024 bytes after its format and no control characters");
        }
        match format {
            "email" if rest.contains('@') => Ok(Self::email(rest)),
            "email" => wrong("email: is followed by an address such as jane@example.com"),
            "iss_sub" => match rest.split_once('|') {
                Some((iss, sub)) if fits(iss) && fits(sub) => {
                    Ok(Subject::IssSub { iss: iss.to_owned(), sub: sub.to_owned() })
                }
                _ => wrong(
                    "iss_sub: is followed by the issuer, a bar and the subject: iss_sub:https://idp.example.com|00u1",
                ),
            },
            "opaque" => Ok(Subject::Opaque(rest.to_owned())),
            "account" => Ok(Subject::Account(rest.to_owned())),
            _ => wrong("a key begins with email:, iss_sub:, opaque: or account:"),
        }
    }
    fn email(address: &str) -> Self {
        Subject::Email(address.to_ascii_lowercase())
    }
}

impl fmt::Display for Subject {
    /// The text form of [`Subject::parse`]; `unmapped:FORM` for a form that maps to nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Email(address) => write!(f, "email:{address}"),
            Subject::IssSub { iss, sub } => write!(f, "iss_sub:{iss}|{sub}"),
            Subject::Opaque(id) => write!(f, "opaque:{id}"),
            Subject::Account(uri) => write!(f, "account:{uri}"),
            Subject::Other(form) => write!(f, "unmapped:{form}"),
        }
    }
}

/// Reads the subject object `value`, found at `place`, into every identifier it gives, sorted. `critical` are the member
/// names that the transmitter declares critical: one that is unknown here refuses the event (SSF 1.0).
pub(super) fn read(place: &str, value: &Value, critical: &[String]) -> Result<Vec<Subject>, EventRefusal> {
    let Some(members) = value.as_object() else {
        return Err(EventRefusal::invalid_request(format!("{place} must be an object (RFC 9493)")));
    };
    let mut subjects = match format_of(place, members)? {
        Some("complex") => complex(place, members, critical)?,
        Some("aliases") => aliases(place, members)?,
        Some(format) => vec![simple(place, format, members)?],
        None if members.values().any(Value::is_object) => complex(place, members, critical)?,
        None => return Err(EventRefusal::invalid_request(format!("{place} has no format (RFC 9493 section 3)"))),
    };
    subjects.sort();
    subjects.dedup();
    Ok(subjects)
}

/// The `format`, or `subject_type` as older transmitters call it.
fn format_of<'a>(place: &str, members: &'a Map<String, Value>) -> Result<Option<&'a str>, EventRefusal> {
    match members.get("format").or_else(|| members.get("subject_type")) {
        None => Ok(None),
        Some(Value::String(format)) => Ok(Some(format)),
        Some(_) => Err(EventRefusal::invalid_request(format!("{place}.format must be a string"))),
    }
}

fn simple(place: &str, format: &str, members: &Map<String, Value>) -> Result<Subject, EventRefusal> {
    let member = |name: &str| bounded_text(&format!("{place}.{name}"), members.get(name), Subject::MAX);
    match format {
        "email" => Ok(Subject::email(&member("email")?)),
        "iss_sub" | "iss-sub" => Ok(Subject::IssSub { iss: member("iss")?, sub: member("sub")? }),
        "opaque" => Ok(Subject::Opaque(member("id")?)),
        "account" => Ok(Subject::Account(member("uri")?)),
        other => bounded_text(&format!("{place}.format"), Some(&Value::from(other)), 128).map(Subject::Other),
    }
}

fn aliases(place: &str, members: &Map<String, Value>) -> Result<Vec<Subject>, EventRefusal> {
    let identifiers = members.get("identifiers").and_then(Value::as_array).filter(|list| !list.is_empty());
    let Some(identifiers) = identifiers.filter(|list| list.len() <= MAX_ALIASES) else {
        return Err(EventRefusal::invalid_request(format!(
            "{place}.identifiers must be a list of 1 to {MAX_ALIASES} subjects (RFC 9493 section 3.2.8)"
        )));
    };
    let place = format!("{place}.identifiers");
    let one = |identifier: &Value| match identifier.as_object() {
        None => Err(EventRefusal::invalid_request(format!("{place} must be objects"))),
        Some(members) => match format_of(&place, members)? {
            None => Err(EventRefusal::invalid_request(format!("{place} has one without a format"))),
            Some("aliases" | "complex") => {
                Err(EventRefusal::invalid_request(format!("{place} must be simple subjects (RFC 9493 section 3.2.8)")))
            }
            Some(format) => simple(&place, format, members),
        },
    };
    identifiers.iter().map(one).collect()
}

fn complex(place: &str, members: &Map<String, Value>, critical: &[String]) -> Result<Vec<Subject>, EventRefusal> {
    let known = |name: &str| name == "user" || NARROWING.contains(&name);
    if let Some(name) = members.keys().find(|name| !known(name) && critical.contains(name)) {
        return Err(EventRefusal::invalid_request(format!(
            "{place}.{name} is a critical subject member that this receiver does not understand"
        )));
    }
    let Some(user) = members.get("user") else {
        return Ok(NARROWING.iter().filter(|name| members.contains_key(**name)).map(|n| other(n)).collect());
    };
    let place = format!("{place}.user");
    let Some(user) = user.as_object() else {
        return Err(EventRefusal::invalid_request(format!("{place} must be an object (RFC 9493)")));
    };
    match format_of(&place, user)? {
        None => Err(EventRefusal::invalid_request(format!("{place} has no format (RFC 9493 section 3)"))),
        Some("complex") => Err(EventRefusal::invalid_request(format!("{place} must be a simple subject"))),
        Some("aliases") => aliases(&place, user),
        Some(format) => simple(&place, format, user).map(|subject| vec![subject]),
    }
}

fn other(name: &str) -> Subject {
    Subject::Other(name.to_owned())
}
