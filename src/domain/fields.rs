//! The fields of a request, read one by one with Vault's coercions. A field is named in every error about it, and what was
//! never asked for is known at the end: config-class paths refuse it, act paths warn of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::time::{Timestamp, parse_duration};
use crate::error::{Error, Result};

/// A field as a partial update gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given<T> {
    /// Not in the request: keep what is there.
    Absent,
    /// `null`: back to the default.
    Reset,
    /// A value.
    Value(T),
}

impl<T> Given<T> {
    /// What the field is now, given what it was and what a reset means.
    pub fn over(self, old: T, default: T) -> T {
        match self {
            Given::Absent => old,
            Given::Reset => default,
            Given::Value(value) => value,
        }
    }
    /// The same, with the value mapped.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Given<U> {
        match self {
            Given::Absent => Given::Absent,
            Given::Reset => Given::Reset,
            Given::Value(value) => Given::Value(map(value)),
        }
    }
    /// The value, if one was given.
    pub fn value(self) -> Option<T> {
        match self {
            Given::Value(value) => Some(value),
            Given::Absent | Given::Reset => None,
        }
    }
}

/// The body (or query) of a request.
#[derive(Default)]
pub struct Fields {
    map: Map<String, Value>,
    asked: BTreeSet<&'static str>,
}

impl Fields {
    /// Fields that nobody has asked for yet.
    pub fn new(map: Map<String, Value>) -> Self {
        Fields { map, asked: BTreeSet::new() }
    }

    /// Takes the raw value of `name` out.
    pub fn take(&mut self, name: &'static str) -> Given<Value> {
        self.asked.insert(name);
        match self.map.remove(name) {
            None => Given::Absent,
            Some(Value::Null) => Given::Reset,
            Some(value) => Given::Value(value),
        }
    }
    fn with<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Given<T>> {
        match self.take(name) {
            Given::Absent => Ok(Given::Absent),
            Given::Reset => Ok(Given::Reset),
            Given::Value(value) => match read(&value) {
                Some(read) => Ok(Given::Value(read)),
                None => Err(Error::field(name, format_args!("{wanted}, not {}", kind_of(&value)))),
            },
        }
    }
    /// A string; numbers and booleans are taken as their text, as Vault does.
    pub fn string(&mut self, name: &'static str) -> Result<Given<String>> {
        self.with(name, "a string", text_of)
    }
    /// A string that must be a JSON string (codes, assertions: a number would have lost leading zeros).
    pub fn exact_string(&mut self, name: &'static str) -> Result<Given<String>> {
        self.with(name, "a JSON string", |value| value.as_str().map(str::to_owned))
    }
    /// A boolean, or its text.
    pub fn boolean(&mut self, name: &'static str) -> Result<Given<bool>> {
        self.with(name, "true or false", |value| match value {
            Value::Bool(value) => Some(*value),
            Value::String(text) => match text.as_str() {
                "true" | "True" | "TRUE" | "t" | "T" | "1" => Some(true),
                "false" | "False" | "FALSE" | "f" | "F" | "0" => Some(false),
                _ => None,
            },
            Value::Number(number) => match number.as_u64() {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            },
            _ => None,
        })
    }
    /// A whole number from `min` to `max`, or its text.
    pub fn integer(&mut self, name: &'static str, min: u64, max: u64) -> Result<Given<u64>> {
        let read = |value: &Value| match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        self.with(name, &format!("a whole number from {min} to {max}"), |value| {
            read(value).filter(|number| (min..=max).contains(number))
        })
    }
    /// A duration: seconds as a number, or Vault's text (`90s`, `1h30m`, `1d`).
    pub fn duration(&mut self, name: &'static str) -> Result<Given<Duration>> {
        self.with(name, "a duration such as 90, \"90s\" or \"1h30m\"", |value| match value {
            Value::Number(number) => number.as_u64().map(Duration::from_secs),
            Value::String(text) => parse_duration(text),
            _ => None,
        })
    }
    /// A time: RFC 3339 text or Unix seconds.
    pub fn time(&mut self, name: &'static str) -> Result<Given<Timestamp>> {
        self.with(name, "a time such as \"2026-07-01T12:00:00Z\" or Unix seconds", |value| match value {
            Value::Number(number) => number.as_i64().and_then(|secs| Timestamp::parse(&secs.to_string())),
            Value::String(text) => Timestamp::parse(text),
            _ => None,
        })
    }
    /// A list of strings: a JSON array, or a text with commas. Empty items are dropped from the text form only.
    pub fn list(&mut self, name: &'static str) -> Result<Given<Vec<String>>> {
        self.with(name, "a list of strings or a text with commas", |value| match value {
            Value::Array(items) => items.iter().map(text_of).collect(),
            Value::String(text) => {
                Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
            _ => None,
        })
    }
    /// An object.
    pub fn object(&mut self, name: &'static str) -> Result<Given<Map<String, Value>>> {
        self.with(name, "an object", |value| value.as_object().cloned())
    }
    /// Names in the request that nothing asked for, in order, cut short where they are long.
    pub fn unknown(&self) -> Vec<String> {
        self.map.keys().map(|name| shown(name)).collect()
    }
    /// Refuses the first name that nothing asked for; says what the path takes. For config-class paths.
    pub fn refuse_unknown(&self) -> Result<()> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => {
                let known: Vec<_> = self.asked.iter().copied().collect();
                Err(Error::field(&shown(name), format_args!("unknown field; this path takes {}", known.join(", "))))
            }
        }
    }
}

/// A stranger's word as it is repeated to him: an answer does not grow with it.
fn shown(name: &str) -> String {
    const LONGEST: usize = 64;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "this number",
        Value::String(_) => "this string",
        Value::Array(_) => "this array",
        Value::Object(_) => "an object",
    }
}
