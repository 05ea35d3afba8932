//! What a line may carry of the values that came or leave. Every string is replaced by its HMAC under the device's salt
//! (`hmac-sha256:<hex>`, RFC 2104), as Vault does; codes are left out altogether, since eight digits are found from an HMAC in
//! minutes by anybody who gets hold of the salt.

use std::cell::Cell;

use aws_lc_rs::hmac;
use serde_json::{Map, Value, json};

use super::words;

/// How many values one line carries at most; the rest is counted. Keeps a line under [`super::chain::MAX_LINE`].
const VALUES: usize = 192;
/// How many elements of one list.
const ELEMENTS: usize = 64;
/// How deep values may nest.
const DEPTH: usize = 6;
/// Longest text in clear, in bytes …
const CLEAR: usize = 1024;
/// … and in a note.
const NOTED: usize = 512;
/// Larger integers may be a code that lost its quotes: HMAC'd.
const SMALL: u64 = 99_999;

/// A device's salt, ready for use.
pub struct Salt {
    key: hmac::Key,
    hmac_accessor: bool,
    elide_lists: bool,
}

impl Salt {
    /// Takes over 32 random bytes and the device's options.
    pub fn new(salt: &[u8; 32], hmac_accessor: bool, elide_lists: bool) -> Self {
        Salt { key: hmac::Key::new(hmac::HMAC_SHA256, salt), hmac_accessor, elide_lists }
    }
    /// `hmac-sha256:<hex>` of `text`.
    pub fn text(&self, text: &str) -> String {
        format!("hmac-sha256:{}", hex::encode(hmac::sign(&self.key, text.as_bytes())))
    }
    /// An accessor, HMAC'd unless the device says otherwise.
    pub fn accessor(&self, accessor: &str) -> String {
        if self.hmac_accessor { self.text(accessor) } else { clear(accessor) }
    }
}

/// One line's worth of concealed values.
pub struct Concealer<'a> {
    salt: &'a Salt,
    left: Cell<usize>,
}

impl<'a> Concealer<'a> {
    /// A concealer with a line's whole allowance.
    pub fn new(salt: &'a Salt) -> Self {
        Concealer { salt, left: Cell::new(VALUES) }
    }

    /// The fields of a request.
    pub fn request(&self, data: &Map<String, Value>) -> Map<String, Value> {
        self.map(data, false, 0)
    }

    /// The fields of an answer.
    pub fn response(&self, data: &Map<String, Value>) -> Map<String, Value> {
        match data.get("keys") {
            Some(Value::Array(keys)) if self.salt.elide_lists && data.len() == 1 => {
                Map::from_iter([("keys".to_owned(), json!(keys.len()))])
            }
            _ => self.map(data, false, 0),
        }
    }

    fn map(&self, data: &Map<String, Value>, free_keys: bool, depth: usize) -> Map<String, Value> {
        let mut out = Map::new();
        let mut withheld = 0_usize;
        for (name, value) in data {
            if words::holds_codes(name) {
                match name.as_str() {
                    "code" | "codes" | "key" => drop(out.insert(name.clone(), Value::String(count(value)))),
                    _ => withheld += 1,
                }
            } else if depth >= DEPTH || !self.spend() || !(free_keys || words::known(name)) {
                withheld += 1;
            } else {
                let name = if words::known(name) { name.clone() } else { self.salt.text(name) };
                let free_keys = free_keys || words::has_free_keys(&name);
                out.insert(name, self.value(value, free_keys, depth + 1));
            }
        }
        if withheld > 0 {
            out.insert("withheld_fields".into(), json!(withheld));
        }
        out
    }

    fn value(&self, value: &Value, free_keys: bool, depth: usize) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value.clone(),
            Value::Number(number) if number.as_u64().is_some_and(|number| number <= SMALL) => value.clone(),
            Value::Number(number) => Value::String(self.salt.text(&number.to_string())),
            Value::String(text) => Value::String(self.salt.text(text)),
            Value::Object(map) => Value::Object(self.map(map, free_keys, depth)),
            Value::Array(list) => self.list(list, free_keys, depth),
        }
    }

    fn list(&self, list: &[Value], free_keys: bool, depth: usize) -> Value {
        let mut out = Vec::new();
        if depth < DEPTH {
            for element in list.iter().take(ELEMENTS) {
                if !self.spend() {
                    break;
                }
                out.push(self.value(element, free_keys, depth + 1));
            }
        }
        let rest = list.len() - out.len();
        if rest > 0 {
            out.push(Value::String(format!("{rest} more withheld")));
        }
        Value::Array(out)
    }

    fn spend(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

/// A text that may stand in clear: bounded, control characters replaced.
pub fn clear(text: &str) -> String {
    bounded(text, CLEAR)
}

fn bounded(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        if out.len() >= limit {
            out.push('…');
            break;
        }
        out.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
    }
    out
}

/// The engine's note, in clear: what a disclosure must name, then up to 16 more members of plain values, none that is named
/// for codes. `reached` names ledger entries, one text each.
pub fn note(note: &Map<String, Value>) -> Map<String, Value> {
    let plain = |name: &str, value: &Value| match value {
        Value::String(text) => Some(Value::String(bounded(text, NOTED))),
        Value::Array(list) if name == "reached" => {
            Some(list.iter().filter_map(Value::as_str).take(ELEMENTS).map(clear_entry).collect())
        }
        Value::Array(list) => {
            Some(Value::Array(list.iter().filter(|element| element.is_number()).take(ELEMENTS).cloned().collect()))
        }
        Value::Object(_) => None,
        other => Some(other.clone()),
    };
    let must = |name: &str| super::entry::DISCLOSURE.contains(&name);
    let named = note.iter().filter(|(name, _)| !words::holds_codes(name) && name.len() <= 64);
    let (first, more): (Vec<_>, Vec<_>) = named.partition(|(name, _)| must(name));
    let all = first.into_iter().chain(more.into_iter().take(16));
    all.filter_map(|(name, value)| Some((clear(name), plain(name, value)?))).collect()
}

/// `account seq head`: names are bounded where they are parsed.
fn clear_entry(text: &str) -> Value {
    Value::String(bounded(text, NOTED + 128))
}

/// How many codes were left out here.
fn count(value: &Value) -> String {
    let number = match value {
        Value::Null => 0,
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 1,
    };
    format!("{number} withheld")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concealed(data: Value) -> Value {
        let salt = Salt::new(&[7; 32], true, false);
        let Value::Object(data) = data else { panic!("an object") };
        Value::Object(Concealer::new(&salt).request(&data))
    }

    #[test]
    fn strings_are_hmacs_and_small_numbers_stay() {
        let salt = Salt::new(&[7; 32], true, false);
        let seen = concealed(json!({"reason": "lost phone", "slot": 3, "single_use": true, "used": [1, 2]}));
        let wanted = json!({"reason": salt.text("lost phone"), "slot": 3, "single_use": true, "used": [1, 2]});
        assert_eq!(seen, wanted);
        assert_ne!(salt.text("x"), Salt::new(&[8; 32], true, false).text("x"), "another device, another hash");
        assert_eq!(concealed(json!({"reason": 12_345_678})), json!({"reason": salt.text("12345678")}));
    }

    #[test]
    fn hmacs_are_those_of_rfc_4231() {
        // RFC 4231 test case 2, its key padded with zeros to the length of a salt (which HMAC does anyway).
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let wanted = "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(Salt::new(&key, true, false).text("what do ya want for nothing?"), wanted);
    }

    #[test]
    fn codes_are_counted_and_never_hashed() {
        assert_eq!(
            concealed(json!({"codes": ["a", "b"], "code": "c"})),
            json!({"codes": "2 withheld", "code": "1 withheld"})
        );
        assert_eq!(
            concealed(json!({"sets": [{"codes": ["a"], "slots": {"code": "x"}}]})),
            json!({"sets": [{"codes": "1 withheld", "slots": {"code": "1 withheld"}}]})
        );
        assert_eq!(concealed(json!({"labels": {"backup_code": "a"}})), json!({"labels": {"withheld_fields": 1}}));
        assert_eq!(concealed(json!({"kode": "a", "12345678": true})), json!({"withheld_fields": 2}));
    }

    #[test]
    fn a_huge_body_makes_a_small_line() {
        let many: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let seen = concealed(json!({"accounts": many}));
        let list = seen["accounts"].as_array().unwrap();
        assert_eq!((list.len(), &list[64]), (65, &json!("9936 more withheld")));
        let wide: Map<String, Value> = (0..10_000).map(|n| (format!("claim{n}"), json!("x"))).collect();
        let seen = concealed(json!({"bound_claims": wide}));
        assert_eq!(seen["bound_claims"]["withheld_fields"], json!(10_000 - 191));
        let deep = (0..100).fold(json!("x"), |inner, _| json!({"sets": inner}));
        assert!(concealed(deep).to_string().len() < 200);
    }

    #[test]
    fn what_is_clear_is_bounded() {
        assert_eq!(clear("a\nb"), "a\u{fffd}b");
        assert!(clear(&"ä".repeat(5000)).len() <= CLEAR + 5);
        let Value::Object(map) = json!({"account": "a", "slot": 1, "code": "x", "superseded": [1, "x"]}) else {
            panic!()
        };
        assert_eq!(Value::Object(note(&map)), json!({"account": "a", "slot": 1, "superseded": [1]}));
    }
}
