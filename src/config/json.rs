//! JSON into the tree. serde_json says whether it is JSON; after that a walk over the same text finds out on which line each
//! value stands, which serde_json does not tell.

use super::ConfigError;
use super::hcl::join;
use super::tree::{Map, NO_TEMPLATES, Node, Value, line_at};

/// Reads a whole file, whose top is an object.
pub(super) fn parse(file: &str, text: &str) -> Result<Map, ConfigError> {
    // Into a value, not ignored: only so does serde_json bound the depth, which the walk below relies on.
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        let line = error.line();
        let what = error.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        return Err(ConfigError::new(file, line, "", format_args!("JSON: {what}")));
    }
    let mut walk = Walk { file, text, at: 0 };
    match walk.value("")? {
        Node { value: Value::Map(map), .. } => Ok(map),
        Node { line, .. } => Err(ConfigError::new(file, line, "", "the configuration must be one JSON object")),
    }
}

/// A walk over text that is known to be valid JSON.
struct Walk<'a> {
    file: &'a str,
    text: &'a str,
    at: usize,
}

impl Walk<'_> {
    fn value(&mut self, path: &str) -> Result<Node, ConfigError> {
        let first = self.peek();
        let line = line_at(self.text, self.at);
        let value = match first {
            b'{' => {
                let mut map = Map::default();
                self.items(b'}', |walk| {
                    let key = walk.text(path)?;
                    walk.step(b':');
                    let value = walk.value(&join(path, &key))?;
                    map.entries.push((key, value));
                    Ok(())
                })?;
                Value::Map(map)
            }
            b'[' => {
                let mut list = Vec::new();
                self.items(b']', |walk| {
                    list.push(walk.value(path)?);
                    Ok(())
                })?;
                Value::List(list)
            }
            b'"' => Value::Text(self.text(path)?),
            _ => match self.token(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                number => Value::Number(number.to_owned()),
            },
        };
        Ok(Node { line, value })
    }

    fn items(
        &mut self,
        end: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), ConfigError>,
    ) -> Result<(), ConfigError> {
        self.at += 1;
        while self.peek() != end && self.at < self.text.len() {
            item(self)?;
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(())
    }

    fn text(&mut self, path: &str) -> Result<String, ConfigError> {
        self.peek();
        let (start, line) = (self.at, line_at(self.text, self.at));
        self.at += 1;
        let mut escaped = false;
        self.token(|byte| {
            let inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            inside
        });
        self.at += 1;
        let quoted = self.text.get(start..self.at).unwrap_or_default();
        let text: String =
            serde_json::from_str(quoted).map_err(|error| ConfigError::new(self.file, line, path, error))?;
        // The same escape as in HCL, so that a file means the same in both.
        let plain = text.replace("$${", "").replace("%%{", "");
        if plain.contains("${") || plain.contains("%{") {
            return Err(ConfigError::new(self.file, line, path, NO_TEMPLATES));
        }
        Ok(text.replace("$${", "${").replace("%%{", "%{"))
    }

    fn step(&mut self, over: u8) {
        if self.peek() == over {
            self.at += 1;
        }
    }

    /// The next byte that is no white space, which is stepped over; 0 at the end.
    fn peek(&mut self) -> u8 {
        self.token(|byte| byte.is_ascii_whitespace());
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn token(&mut self, mut belongs: impl FnMut(u8) -> bool) -> &str {
        let start = self.at;
        while self.text.as_bytes().get(self.at).is_some_and(|byte| belongs(*byte)) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }
}
