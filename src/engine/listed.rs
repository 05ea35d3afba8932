//! A long list in an answer, written as JSON while it is made. No tree of values is built for it: audit reads back as much of it as
//! a line holds.

use serde_json::{Deserializer, Map, Value};

/// A list of objects among the fields of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    name: &'static str,
    length: usize,
    /// The objects with commas between them.
    json: Vec<u8>,
}

impl List {
    /// An empty list that will stand in the answer as `name`, with room for so many bytes.
    pub fn new(name: &'static str, room: usize) -> List {
        List { name, length: 0, json: Vec::with_capacity(room) }
    }
    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }
    /// How many objects are in it.
    pub fn len(&self) -> usize {
        self.length
    }
    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
    /// How many bytes they are.
    pub fn size(&self) -> usize {
        self.json.len()
    }
    /// Adds the one JSON object that `write` puts at the end of the bytes.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.length > 0 {
            self.json.push(b',');
        }
        write(&mut self.json);
        self.length += 1;
    }
    /// The objects as values, one after the other, each read when it is asked for.
    pub fn values(&self) -> impl Iterator<Item = Value> + '_ {
        let mut rest = self.json.as_slice();
        std::iter::from_fn(move || {
            let mut values = Deserializer::from_slice(rest).into_iter::<Value>();
            let value = values.next()?.ok()?;
            rest = rest.get(values.byte_offset() + 1..).unwrap_or_default();
            Some(value)
        })
    }
    /// Writes `fields` as a JSON object with this list in its place among them.
    pub fn write_among(&self, fields: &Map<String, Value>, out: &mut Vec<u8>) {
        out.reserve(self.json.len() + 256);
        let before = fields.iter().take_while(|(name, _)| name.as_str() < self.name).count();
        out.push(b'{');
        for (name, value) in fields.iter().take(before) {
            member(name, value, out);
            out.push(b',');
        }
        name_of(self.name, out);
        out.push(b'[');
        out.extend_from_slice(&self.json);
        out.push(b']');
        for (name, value) in fields.iter().skip(before) {
            out.push(b',');
            member(name, value, out);
        }
        out.push(b'}');
    }
    /// `fields` with this list among them, as values.
    pub fn among(&self, mut fields: Map<String, Value>) -> Map<String, Value> {
        fields.insert(self.name.to_owned(), self.values().collect());
        fields
    }
}

fn member(name: &str, value: &Value, out: &mut Vec<u8>) {
    name_of(name, out);
    // Writing JSON values into memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn name_of(name: &str, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_written_as_a_tree_of_values_would_be() {
        for name in ["a", "entries", "zz"] {
            for objects in
                [vec![], vec![json!({})], vec![json!({"x": "],{\"", "y": [1, {"z": null}]}), json!({"x": 2})]]
            {
                let mut list = List::new(name, 0);
                for object in &objects {
                    list.push(|out| out.extend_from_slice(object.to_string().as_bytes()));
                }
                assert_eq!((list.len(), list.is_empty()), (objects.len(), objects.is_empty()));
                assert_eq!(list.values().collect::<Vec<_>>(), objects);
                for fields in [json!({}), json!({"head": {"seq": 1}, "b": "x"})] {
                    let Value::Object(fields) = fields else { panic!("an object") };
                    let (mut text, tree) = (Vec::new(), Value::Object(list.among(fields.clone())));
                    list.write_among(&fields, &mut text);
                    assert_eq!(String::from_utf8(text).unwrap(), tree.to_string());
                    assert_eq!(tree[name], json!(objects));
                }
            }
        }
    }
}
