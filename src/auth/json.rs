//! Strict JSON for what strangers send: objects without a repeated name, and no deeper than it needs to be (RFC 8725 section
//! 2.4 and RFC 7519 section 4: a repeated claim must not mean one thing here and another thing elsewhere).

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 16;

/// Why a text is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON, or not an object.
    Syntax,
    /// An object has this name twice.
    Repeated(String),
    /// Nested deeper than [`MAX_DEPTH`].
    Deep,
}

/// Reads one JSON object and nothing behind it.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, Fault> {
    let mut fault = None;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { depth: 0, fault: &mut fault }.deserialize(&mut reader).and_then(|value| {
        reader.end()?;
        Ok(value)
    });
    match (read, fault) {
        (_, Some(fault)) => Err(fault),
        (Ok(Value::Object(map)), None) => Ok(map),
        _ => Err(Fault::Syntax),
    }
}

struct Strict<'a> {
    depth: usize,
    fault: &'a mut Option<Fault>,
}

impl<'a> Strict<'a> {
    fn inner<E: de::Error>(&mut self) -> Result<Strict<'_>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(self.fail(Fault::Deep));
        }
        Ok(Strict { depth: self.depth + 1, fault: self.fault })
    }
    fn fail<E: de::Error>(&mut self, fault: Fault) -> E {
        *self.fault = Some(fault);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not finite"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = {
            let inner = self.inner()?;
            items.next_element_seed(inner)?
        } {
            all.push(item);
        }
        Ok(Value::Array(all))
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if all.contains_key(&name) {
                return Err(self.fail(Fault::Repeated(name)));
            }
            let inner = self.inner()?;
            let value = entries.next_value_seed(inner)?;
            all.insert(name, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_once_and_whole() {
        assert_eq!(object(br#"{"a":[1,-2,1.5,"x",null,true],"b":{}}"#).unwrap().len(), 2);
        for text in
            ["", "[]", "1", "null", "{", "{}{}", "{} x", r#"{"a":NaN}"#, r#"{"a":1e999}"#, r#"{a:1}"#, "\u{feff}{}"]
        {
            assert_eq!(object(text.as_bytes()), Err(Fault::Syntax), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Fault::Syntax));
    }

    #[test]
    fn a_name_stands_once_at_every_level() {
        assert_eq!(object(br#"{"a":1,"a":1}"#), Err(Fault::Repeated("a".into())));
        assert_eq!(object(br#"{"x":[{"a":1,"\u0061":2}]}"#), Err(Fault::Repeated("a".into())));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert_eq!(object(nested(MAX_DEPTH + 1).as_bytes()), Err(Fault::Deep));
        assert_eq!(object(nested(5000).as_bytes()), Err(Fault::Deep));
    }
}
