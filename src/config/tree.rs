//! What both languages are read into: values with the line they stand on. A block `listener "tcp" { … }` is a map in a map
//! under `listener`, as JSON writes it; a key may occur more than once.

/// A value and its line.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1.
    pub line: usize,
    pub value: Value,
}

/// A plain value.
#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it was written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// Entries in their order.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub entries: Vec<(String, Node)>,
    /// How many labels the block had whose content this is; `None` for an object.
    pub labels: Option<usize>,
}

impl Value {
    /// Its kind, for "…, not KIND".
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "this number",
            Value::Text(_) => "this text",
            Value::List(_) => "a list",
            Value::Map(_) => "a block",
        }
    }
}

/// The line of the byte at `offset`, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

/// Why `${…}` is refused wherever it stands.
pub(super) const NO_TEMPLATES: &str = "\"${…}\" is not supported: write the value out (a seal key may be \"env://NAME\" or \"file://PATH\"), or \"$${\" for a literal \"${\"";
