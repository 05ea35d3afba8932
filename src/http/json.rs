//! Request bodies in JSON (RFC 8259): one object, bounded in depth and in number of strings and values, with Vault's error texts.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// Most strings, names of fields included, that one body may hold.
pub const MAX_STRINGS: usize = 1000;
/// Most elements of lists that one body may hold. Read, a list takes many times what it took in the body.
pub const MAX_ELEMENTS: usize = 10_000;

const TOO_MANY: &str = "exceeded maximum number of strings";
const TOO_LONG: &str = "exceeded maximum array element count";
const TOO_DEEP: &str = "exceeded maximum depth";

/// Reads `bytes` as an object. Nothing, white space and `null` are an empty one; of a name that stands twice the last
/// value counts; bytes that are not UTF-8 become U+FFFD.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => object_text(text),
        Err(_) => object_text(&zeroize::Zeroizing::new(String::from_utf8_lossy(bytes).into_owned())),
    }
}

/// Whether `bytes` would be read as JSON rather than as a form.
pub fn looks_like_json(bytes: &[u8]) -> bool {
    let trimmed = bytes.trim_ascii();
    trimmed.is_empty() || matches!(trimmed[0], b'{' | b'[' | b'"') || trimmed == b"null"
}

fn object_text(text: &str) -> Result<Map<String, Value>> {
    let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
    let wrong = |kind: &str| {
        Err(Error::invalid(format!(
            "failed to decode JSON input: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        )))
    };
    match trimmed.as_bytes().first() {
        None => return Ok(Map::new()),
        Some(b'[') => return wrong("array"),
        Some(b'"') => return wrong("string"),
        Some(b'-' | b'0'..=b'9') => return wrong("number"),
        Some(_) => match trimmed {
            "null" => return Ok(Map::new()),
            "true" | "false" => return wrong("bool"),
            _ => {}
        },
    }
    let left = Left { strings: Cell::new(MAX_STRINGS), elements: Cell::new(MAX_ELEMENTS) };
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Limited(&left).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match read {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => wrong("value"),
        Err(error) => Err(Error::invalid(sentence(&error, text))),
    }
}

/// What the body may still hold.
struct Left {
    strings: Cell<usize>,
    elements: Cell<usize>,
}

/// Builds a [`Value`] and counts on the way.
#[derive(Clone, Copy)]
struct Limited<'a>(&'a Left);

impl Limited<'_> {
    fn count<E: serde::de::Error>(self) -> Result<(), E> {
        spend(&self.0.strings, TOO_MANY)
    }
}

fn spend<E: serde::de::Error>(of: &Cell<usize>, otherwise: &'static str) -> Result<(), E> {
    match of.get().checked_sub(1) {
        Some(left) => {
            of.set(left);
            Ok(())
        }
        None => Err(E::custom(otherwise)),
    }
}

impl<'de> DeserializeSeed<'de> for Limited<'_> {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Limited<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.count()?;
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        self.count()?;
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            spend::<A::Error>(&self.0.elements, TOO_LONG)?;
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            self.count::<A::Error>()?;
            let value = entries.next_value_seed(self)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// The sentence that Vault's clients know. Of the body it quotes one character at most.
fn sentence(error: &serde_json::Error, text: &str) -> String {
    let told = error.to_string();
    if told.starts_with(TOO_MANY) {
        return format!("refused JSON input due to high complexity: {TOO_MANY}");
    }
    if told.starts_with(TOO_LONG) {
        return format!("refused JSON input due to high complexity: {TOO_LONG}");
    }
    if told.starts_with("recursion limit") {
        return format!("refused JSON input due to high complexity: {TOO_DEEP}");
    }
    if error.classify() == Category::Eof {
        return "failed to decode JSON input: unexpected EOF".to_owned();
    }
    if told.starts_with("number out of range") {
        return "failed to decode JSON input: number out of range".to_owned();
    }
    let place = [
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("trailing characters", "after top-level value"),
        ("control character", "in string literal"),
        ("invalid escape", "in string escape code"),
        ("lone leading surrogate", "in \\u hexadecimal character escape"),
    ]
    .iter()
    .find_map(|(start, place)| told.starts_with(start).then_some(*place))
    .unwrap_or("looking for beginning of value");
    match byte_at(text, error.line(), error.column()) {
        Some(byte) => format!("failed to decode JSON input: invalid character {} {place}", quoted(byte)),
        None => "failed to decode JSON input: unexpected EOF".to_owned(),
    }
}

fn byte_at(text: &str, line: usize, column: usize) -> Option<u8> {
    let line = text.split('\n').nth(line.checked_sub(1)?)?;
    line.as_bytes().get(column.saturating_sub(1)).copied()
}

fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0..=0x1f | 0x7f => format!("'\\x{byte:02x}'"),
        _ => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        object(bytes).unwrap_err().public().to_owned()
    }

    #[test]
    fn nothing_null_and_an_empty_object_are_the_same() {
        for body in ["", " \n", "null", " null ", "{}", "{ }"] {
            assert!(object(body.as_bytes()).unwrap().is_empty(), "{body:?}");
        }
    }

    #[test]
    fn the_last_of_two_equal_names_counts_and_integers_keep_their_digits() {
        let map = object(br#"{"a":1,"a":"two","n":18446744073709551615,"m":-9223372036854775808}"#).unwrap();
        assert_eq!(map["a"], "two");
        assert_eq!(map["n"].to_string(), "18446744073709551615");
        assert_eq!(map["m"].to_string(), "-9223372036854775808");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        assert_eq!(object(b"{\"a\":\"\xff\"}").unwrap()["a"], "\u{fffd}");
    }

    #[test]
    fn lists_are_bounded_together() {
        let body = |count: usize| format!("{{\"a\": [{}], \"b\": [[0]]}}", vec!["0"; count].join(","));
        assert!(object(body(MAX_ELEMENTS - 2).as_bytes()).is_ok());
        let said = "refused JSON input due to high complexity: exceeded maximum array element count";
        assert_eq!(refused(body(MAX_ELEMENTS - 1).as_bytes()), said);
    }

    #[test]
    fn other_values_are_named() {
        for (body, kind) in [("[1]", "array"), ("\"x\"", "string"), ("12", "number"), ("true", "bool")] {
            assert_eq!(
                refused(body.as_bytes()),
                format!(
                    "failed to decode JSON input: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
                )
            );
        }
    }

    #[test]
    fn broken_text_names_the_character_and_no_more() {
        let begins = "looking for beginning of value";
        for (body, text) in [
            ("{bad", format!("invalid character 'b' {begins}")),
            ("bad", format!("invalid character 'b' {begins}")),
            ("\u{feff}{}", format!("invalid character 'ï' {begins}")),
            ("{\"a\":1", "unexpected EOF".to_owned()),
            ("{\"a\" 1}", "invalid character '1' after object key".to_owned()),
            ("{\"a\":1 2}", "invalid character '2' after object key:value pair".to_owned()),
            ("{} x", "invalid character 'x' after top-level value".to_owned()),
        ] {
            assert_eq!(refused(body.as_bytes()), format!("failed to decode JSON input: {text}"), "{body:?}");
        }
    }

    #[test]
    fn strings_and_depth_are_bounded() {
        let fits = format!("{{\"a\":[{}]}}", vec!["\"x\""; MAX_STRINGS - 1].join(","));
        assert_eq!(object(fits.as_bytes()).unwrap()["a"].as_array().unwrap().len(), MAX_STRINGS - 1);
        let over = format!("{{\"a\":[{}]}}", vec!["\"x\""; MAX_STRINGS].join(","));
        assert_eq!(
            refused(over.as_bytes()),
            "refused JSON input due to high complexity: exceeded maximum number of strings"
        );
        let names: Vec<String> = (0..=MAX_STRINGS).map(|n| format!("\"k{n}\":1")).collect();
        assert!(refused(format!("{{{}}}", names.join(",")).as_bytes()).contains("maximum number of strings"));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(refused(deep.as_bytes()), "refused JSON input due to high complexity: exceeded maximum depth");
    }

    #[test]
    fn a_form_is_told_from_json() {
        for json in ["", "{}", " {\"a\":1}", "null", "[1]", "\"a\""] {
            assert!(looks_like_json(json.as_bytes()), "{json:?}");
        }
        for form in ["a=1", "a=1&b=2", "x"] {
            assert!(!looks_like_json(form.as_bytes()), "{form:?}");
        }
    }
}
