//! Percent-encoding (RFC 3986), query strings and `application/x-www-form-urlencoded` bodies.

use serde_json::{Map, Value};

/// Most pairs that a query or form may have.
pub const MAX_PAIRS: usize = 256;

/// Decodes `%XX`. `None` if an escape is broken or the result is not UTF-8.
pub fn decode(text: &str) -> Option<String> {
    decode_as(text, false)
}

/// Reads `name=value` pairs. A name that stands more than once becomes a list, as Vault has it. `None` if an escape is
/// broken, the result is not UTF-8, or there are more than [`MAX_PAIRS`].
pub fn pairs(text: &str) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    for (index, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if index >= MAX_PAIRS {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode_as(name, true)?;
        let value = Value::String(decode_as(value, true)?);
        match map.get_mut(&name) {
            None => {
                map.insert(name, value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(one) => {
                let first = one.take();
                *one = Value::Array(vec![first, value]);
            }
        }
    }
    Some(map)
}

fn decode_as(text: &str, plus_is_space: bool) -> Option<String> {
    let special = |b: u8| b == b'%' || (plus_is_space && b == b'+');
    if !text.bytes().any(special) {
        return Some(text.to_owned());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(out).ok()
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode_or_are_refused() {
        assert_eq!(decode("a%2Fb%20c+d").as_deref(), Some("a/b c+d"));
        for broken in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }

    #[test]
    fn pairs_read_as_a_form_has_them() {
        let map = pairs("a=1&b=x+y%21&b=z&c&=e&&").unwrap();
        assert_eq!(map["a"], "1");
        assert_eq!(map["b"], serde_json::json!(["x y!", "z"]));
        assert_eq!(map["c"], "");
        assert_eq!(map[""], "e");
        assert_eq!(map.len(), 4);
    }

    #[test]
    fn pairs_are_bounded() {
        let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join("&");
        assert_eq!(pairs(&many(MAX_PAIRS)).unwrap().len(), MAX_PAIRS);
        assert!(pairs(&many(MAX_PAIRS + 1)).is_none());
    }
}
