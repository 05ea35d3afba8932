//! What a line may carry of the values that came or leave. Every string is replaced by its HMAC under the device's salt
//! (`hmac-sha256:<hex>`, RFC 2104), as Vault does; codes are left out altogether, since eight digits are found from an HMAC in
//! minutes by anybody who gets hold of the salt.

use std::borrow::{Borrow, Cow};
use std::cell::Cell;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use super::salt::Salt;
use super::words;
use crate::engine::listed::List;

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
    pub fn request<'c>(&'c self, data: &'c Map<String, Value>) -> Fields<'c> {
        Fields { concealer: self, data, list: None, answer: false, free_keys: false, depth: 0 }
    }

    /// The fields of an answer and the list among them: of those that are null nothing is said.
    pub fn response<'c>(&'c self, data: &'c Map<String, Value>, list: Option<&'c List>) -> Fields<'c> {
        Fields { answer: true, list, ..self.request(data) }
    }

    fn spend(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0
    }
}

/// Fields, concealed while they are written. Written once: what a line may carry is counted down by it.
#[derive(Clone, Copy)]
pub struct Fields<'c> {
    concealer: &'c Concealer<'c>,
    data: &'c Map<String, Value>,
    list: Option<&'c List>,
    answer: bool,
    free_keys: bool,
    depth: usize,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Fields { concealer, data, mut list, answer, free_keys, depth } = *self;
        let mut out = serializer.serialize_map(None)?;
        if let (Some(Value::Array(keys)), true, 0) = (data.get("keys"), answer && data.len() == 1, depth)
            && concealer.salt.elides_lists()
        {
            out.serialize_entry("keys", &keys.len())?;
            return out.end();
        }
        let mut withheld = 0_usize;
        for (name, value) in data {
            if let Some(list) = list.take_if(|list| list.name() < name.as_str()) {
                withheld += self.listed(list, &mut out)?;
            }
            if answer && value.is_null() {
                continue;
            }
            if words::holds_codes(name) {
                match name.as_str() {
                    "code" | "codes" | "key" => out.serialize_entry(name, &count(value))?,
                    _ => withheld += 1,
                }
            } else if depth >= DEPTH || !concealer.spend() || !(free_keys || words::known(name)) {
                withheld += 1;
            } else {
                let known = words::known(name);
                let free_keys = free_keys || (known && words::has_free_keys(name));
                let shown = Shown { fields: Fields { list: None, free_keys, depth: depth + 1, ..*self }, name, value };
                match known {
                    true => out.serialize_entry(name, &shown)?,
                    false => out.serialize_entry(&concealer.salt.text(name), &shown)?,
                }
            }
        }
        if let Some(list) = list {
            withheld += self.listed(list, &mut out)?;
        }
        if withheld > 0 {
            out.serialize_entry("withheld_fields", &withheld)?;
        }
        out.end()
    }
}

impl<'c> Fields<'c> {
    /// Writes the list; answers how many fields were left out by that.
    fn listed<M: SerializeMap>(&self, list: &List, out: &mut M) -> Result<usize, M::Error> {
        if words::holds_codes(list.name()) || !self.concealer.spend() || !words::known(list.name()) {
            return Ok(1);
        }
        let fields = Fields { list: None, depth: self.depth + 1, ..*self };
        out.serialize_entry(list.name(), &Listed { fields, list })?;
        Ok(0)
    }

    /// Writes as many of `length` values of the field `name` as a line may carry.
    fn elements<S: Serializer, V: Borrow<Value>>(
        self,
        name: &str,
        length: usize,
        values: impl Iterator<Item = V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(None)?;
        let mut shown = 0;
        for value in values.take(if self.depth < DEPTH { ELEMENTS } else { 0 }) {
            if !self.concealer.spend() {
                break;
            }
            let fields = Fields { depth: self.depth + 1, ..self };
            out.serialize_element(&Shown { fields, name, value: value.borrow() })?;
            shown += 1;
        }
        if shown < length {
            out.serialize_element(&format_args!("{} more withheld", length - shown))?;
        }
        out.end()
    }
}

/// A list that is written already: as much of it is read as is shown.
struct Listed<'c> {
    fields: Fields<'c>,
    list: &'c List,
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Listed { fields, list } = self;
        fields.elements(list.name(), list.len(), list.values(), serializer)
    }
}

/// One value of a field, or one of its list.
struct Shown<'c> {
    /// What the field's own fields would be shown as.
    fields: Fields<'c>,
    name: &'c str,
    value: &'c Value,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Shown { fields, name, value } = *self;
        let salt = fields.concealer.salt;
        match value {
            Value::Null | Value::Bool(_) => value.serialize(serializer),
            Value::Number(number) if number.as_u64().is_some_and(|number| number <= SMALL) => {
                number.serialize(serializer)
            }
            Value::Number(number) => salt.text(&number.to_string()).serialize(serializer),
            Value::String(text) if !fields.free_keys && words::ours(name, text) => text.serialize(serializer),
            Value::String(text) => salt.text(text).serialize(serializer),
            Value::Object(data) => Fields { data, ..fields }.serialize(serializer),
            Value::Array(list) => fields.elements(name, list.len(), list.iter(), serializer),
        }
    }
}

/// A text that may stand in clear: bounded, control characters replaced.
pub fn clear(text: &str) -> Cow<'_, str> {
    bounded(text, CLEAR)
}

fn bounded(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit && !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().min(limit));
    for character in text.chars() {
        if out.len() >= limit {
            out.push('…');
            break;
        }
        out.push(if character.is_control() { char::REPLACEMENT_CHARACTER } else { character });
    }
    Cow::Owned(out)
}

/// The engine's note, in clear: what a disclosure must name, then up to 16 more members of plain values, none that is named
/// for codes. `reached` names ledger entries, one text each.
#[derive(Clone, Copy)]
pub struct Note<'c>(pub &'c Map<String, Value>);

impl Serialize for Note<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let must = |name: &str| super::entry::DISCLOSURE.contains(&name);
        let named = || self.0.iter().filter(|(name, _)| !words::holds_codes(name) && name.len() <= 64);
        let first = named().filter(|(name, _)| must(name));
        let mut out = serializer.serialize_map(None)?;
        for (name, value) in first.chain(named().filter(|(name, _)| !must(name)).take(16)) {
            let name = clear(name);
            match value {
                Value::String(text) => out.serialize_entry(&name, &bounded(text, NOTED))?,
                // Names are bounded where they are parsed.
                Value::Array(list) if name == "reached" => {
                    let entries = list.iter().filter_map(Value::as_str).take(ELEMENTS);
                    out.serialize_entry(&name, &Each(entries.map(|text| bounded(text, NOTED + 128))))?;
                }
                Value::Array(list) => {
                    let numbers = list.iter().filter(|element| element.is_number()).take(ELEMENTS);
                    out.serialize_entry(&name, &Each(numbers))?;
                }
                Value::Object(_) => {}
                other => out.serialize_entry(&name, other)?,
            }
        }
        out.end()
    }
}

/// What an iterator yields, as a list.
struct Each<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// How many codes were left out here.
struct Count(usize);

fn count(value: &Value) -> Count {
    Count(match value {
        Value::Null => 0,
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 1,
    })
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{} withheld", self.0))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn concealed(data: Value) -> Value {
        let salt = Salt::new(&[7; 32], true, false);
        let Value::Object(data) = data else { panic!("an object") };
        serde_json::to_value(Concealer::new(&salt).request(&data)).unwrap()
    }

    #[test]
    fn strings_are_hmacs_and_small_numbers_stay() {
        let salt = Salt::new(&[7; 32], true, false);
        let seen = concealed(json!({"reason": "lost phone", "slot": 3, "single_use": true, "used": [1, 2]}));
        let wanted = json!({"reason": salt.text("lost phone").as_str(), "slot": 3, "single_use": true, "used": [1, 2]});
        assert_eq!(seen, wanted);
        assert_ne!(
            salt.text("x").as_str(),
            Salt::new(&[8; 32], true, false).text("x").as_str(),
            "another device, another hash"
        );
        assert_eq!(concealed(json!({"reason": 12_345_678})), json!({"reason": salt.text("12345678").as_str()}));
    }

    #[test]
    fn words_of_ours_stand_in_clear_and_empty_answers_are_left_out() {
        let salt = Salt::new(&[7; 32], true, false);
        let answer = json!({
            "sets": [{"slots": [{"slot": 1, "state": "held", "at": null}, {"slot": 2, "state": "other", "by": "jane"}]}],
            "labels": {"state": "held"}, "owner": "operator", "warnings": ["low"], "owes": null,
        });
        let Value::Object(answer) = answer else { panic!("an object") };
        let slots = json!([{"slot": 1, "state": "held"}, {"slot": 2, "state": salt.text("other").as_str(), "by": salt.text("jane").as_str()}]);
        let wanted = json!({
            "sets": [{"slots": slots}], "labels": {"state": salt.text("held").as_str()},
            "owner": salt.text("operator").as_str(), "warnings": ["low"],
        });
        assert_eq!(serde_json::to_value(Concealer::new(&salt).response(&answer, None)).unwrap(), wanted);
        assert_eq!(concealed(json!({"owner": null})), json!({"owner": null}), "in a request null means something");
    }

    #[test]
    fn a_list_is_concealed_as_if_its_values_stood_among_the_fields() {
        let salt = Salt::new(&[7; 32], true, false);
        let object =
            |number: usize| json!({"act": "retrieve", "actor": {"role": "desk"}, "detail": null, "slot": number});
        for length in [0, 1, 30, 70, 200] {
            for (name, about) in
                [("entries", json!({"head": {"seq": 1}, "act": "x"})), ("backup_codes", json!({"verified": true}))]
            {
                let Value::Object(fields) = about else { panic!("an object") };
                let mut list = List::new(name, 0);
                (0..length).for_each(|number| list.push(|out| out.extend(object(number).to_string().bytes())));
                let tree = list.among(fields.clone());
                let written = |data: &Map<String, Value>, list| {
                    serde_json::to_string(&Concealer::new(&salt).response(data, list)).unwrap()
                };
                assert_eq!(written(&fields, Some(&list)), written(&tree, None), "{length} {name}");
            }
        }
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
        assert_eq!(serde_json::to_value(Note(&map)).unwrap(), json!({"account": "a", "slot": 1, "superseded": [1]}));
    }
}
