//! A block of the tree, read word by word with Vault's coercions. A word that the block does not have is refused first of all,
//! with the words that are near it: it may be why another one seems to be missing.

use std::fmt;
use std::time::Duration;

use super::ConfigError;
use super::hcl::join;
use super::tree::{Map, Node, Value};
use crate::domain::time::parse_duration;

/// A block that is being read.
pub(super) struct Section<'a> {
    file: &'a str,
    /// Dotted name of the block, empty at the top.
    path: String,
    line: usize,
    map: &'a Map,
}

/// A value as a word gave it, with where it stands.
pub(super) struct Given<'a> {
    pub node: &'a Node,
    path: String,
    file: &'a str,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub fn top(file: &'a str, map: &'a Map) -> Self {
        Section { file, path: String::new(), line: 1, map }
    }

    /// The value of `word`, which may be given once; `null` counts as absent.
    pub fn take(&self, word: &'static str) -> Result<Option<Given<'a>>, ConfigError> {
        let mut found = self.map.entries.iter().filter(|(key, _)| key == word).map(|(_, node)| node);
        let first = found.next();
        if let (Some(first), Some(second)) = (first, found.next()) {
            let what = format_args!("given before, on line {}: give it once", first.line);
            return Err(ConfigError::new(self.file, second.line, &join(&self.path, word), what));
        }
        Ok(first.filter(|node| !matches!(node.value, Value::Null)).map(|node| Given {
            node,
            path: join(&self.path, word),
            file: self.file,
        }))
    }
    /// Text; a number or boolean counts as its text.
    pub fn text(&self, word: &'static str) -> Result<Option<(String, Given<'a>)>, ConfigError> {
        let Some(given) = self.take(word)? else { return Ok(None) };
        match plain(&given.node.value) {
            Some(text) => Ok(Some((text, given))),
            None => Err(given.wants("text in quotes")),
        }
    }
    /// A boolean or its text.
    pub fn boolean(&self, word: &'static str) -> Result<Option<bool>, ConfigError> {
        let Some(given) = self.take(word)? else { return Ok(None) };
        match plain(&given.node.value).as_deref() {
            Some("true" | "True" | "TRUE" | "t" | "T" | "1") => Ok(Some(true)),
            Some("false" | "False" | "FALSE" | "f" | "F" | "0") => Ok(Some(false)),
            _ => Err(given.wants("true or false")),
        }
    }
    /// A whole number in a range, or its text.
    pub fn integer(&self, word: &'static str, min: u64, max: u64) -> Result<Option<u64>, ConfigError> {
        let Some(given) = self.take(word)? else { return Ok(None) };
        match plain(&given.node.value).and_then(|text| text.parse().ok()).filter(|number| (min..=max).contains(number))
        {
            Some(number) => Ok(Some(number)),
            None => Err(given.wants(format_args!("a whole number from {min} to {max}"))),
        }
    }
    /// A duration in seconds or as Vault writes it, in a range of seconds.
    pub fn duration(&self, word: &'static str, min: u64, max: u64) -> Result<Option<Duration>, ConfigError> {
        let Some(given) = self.take(word)? else { return Ok(None) };
        let range = Duration::from_secs(min)..=Duration::from_secs(max);
        match plain(&given.node.value).and_then(|text| parse_duration(&text)).filter(|span| range.contains(span)) {
            Some(span) => Ok(Some(span)),
            None => {
                let what = format_args!("a duration from {min}s to {max}s, such as \"90s\" or \"1h30m\"");
                Err(given.wants(what))
            }
        }
    }
    /// One of these words.
    pub fn choice<T: Copy>(&self, word: &'static str, choices: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
        let Some((text, given)) = self.text(word)? else { return Ok(None) };
        match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
                Err(given.error(format_args!("one of {}, not {text:?}", names.join(", "))))
            }
        }
    }
    /// Every block `word` with its labels, in order, however it was written: as blocks, an object or a list of objects.
    pub fn blocks(&self, word: &'static str, labels: &[&str]) -> Result<Vec<(Vec<&'a str>, Section<'a>)>, ConfigError> {
        let mut out = Vec::new();
        for (_, node) in self.map.entries.iter().filter(|(key, _)| key == word) {
            let mut labelled = Vec::new();
            self.unfold(word, node, labels, &mut labelled, &mut out)?;
        }
        Ok(out)
    }
    fn unfold(
        &self,
        word: &str,
        node: &'a Node,
        labels: &[&str],
        labelled: &mut Vec<&'a str>,
        out: &mut Vec<(Vec<&'a str>, Section<'a>)>,
    ) -> Result<(), ConfigError> {
        let path = labelled.iter().fold(join(&self.path, word), |path, label| join(&path, label));
        let error = |what: fmt::Arguments| Err(ConfigError::new(self.file, node.line, &path, what));
        let map = match &node.value {
            Value::List(items) => {
                return items.iter().try_for_each(|item| self.unfold(word, item, labels, labelled, out));
            }
            Value::Map(map) => map,
            Value::Null => return Ok(()),
            other => return error(format_args!("a block or an object, not {}", other.kind())),
        };
        if let (true, Some(count)) = (labelled.is_empty(), map.labels) {
            let wanted = labels.len();
            if count != wanted {
                let example = labels.iter().fold(word.to_owned(), |example, label| format!("{example} \"{label}\""));
                return error(format_args!("takes {wanted} label(s), not {count}: write {example} {{ … }}"));
            }
        }
        if labelled.len() == labels.len() {
            let section = Section { file: self.file, path, line: node.line, map };
            out.push((labelled.clone(), section));
            return Ok(());
        }
        for (label, inner) in &map.entries {
            labelled.push(label);
            self.unfold(word, inner, labels, labelled, out)?;
            labelled.pop();
        }
        Ok(())
    }

    /// Whether `word` does not stand in the block.
    pub fn lacks(&self, word: &str) -> bool {
        self.map.entries.iter().all(|(key, _)| key != word)
    }
    /// Where `word` would stand: what was not given is missing at its block.
    pub fn place(&self, word: &str) -> (String, usize, String) {
        (self.file.to_owned(), self.line, join(&self.path, word))
    }
    /// An error at the block itself, about `word` in it (or the block, if empty).
    pub fn error(&self, word: &str, what: impl fmt::Display) -> ConfigError {
        let path = if word.is_empty() { self.path.clone() } else { join(&self.path, word) };
        ConfigError::new(self.file, self.line, &path, what)
    }
    /// An error about `word`, on the line where it was given, else at the block.
    pub fn error_at(&self, word: &str, what: impl fmt::Display) -> ConfigError {
        let line = self.map.entries.iter().find(|(key, _)| key == word).map_or(self.line, |(_, node)| node.line);
        ConfigError::new(self.file, line, &join(&self.path, word), what)
    }
    /// Every word but `known` with its value as text: for a block whose words somebody else knows.
    pub fn rest(&self, known: &str) -> Result<Vec<(&'a str, String)>, ConfigError> {
        let mut out: Vec<(&'a str, String)> = Vec::new();
        for (key, node) in &self.map.entries {
            if key == known || matches!(node.value, Value::Null) {
                continue;
            }
            let given = Given { node, path: join(&self.path, key), file: self.file };
            if out.iter().any(|(name, _)| name == key) {
                return Err(given.error("given before: give it once"));
            }
            out.push((key, plain(&node.value).ok_or_else(|| given.wants("text in quotes"))?));
        }
        Ok(out)
    }
    /// Refuses the first word that is none of `words`. `elsewhere` says of some what to do instead.
    pub fn only(&self, words: &[&str], elsewhere: &[(&str, &str)]) -> Result<(), ConfigError> {
        let Some((word, node)) = self.map.entries.iter().find(|(key, _)| !words.contains(&key.as_str())) else {
            return Ok(());
        };
        let path = join(&self.path, word);
        if let Some((_, what)) = elsewhere.iter().find(|(name, _)| name == word) {
            return Err(ConfigError::new(self.file, node.line, &path, what));
        }
        let near: Vec<_> = words.iter().copied().filter(|known| is_near(word, known)).collect();
        let what = if words.is_empty() {
            "unknown: nothing is set in this block".to_owned()
        } else if near.is_empty() {
            format!("unknown; known here: {}", words.join(", "))
        } else {
            format!("unknown; did you mean {}?", near.join(" or "))
        };
        Err(ConfigError::new(self.file, node.line, &path, what))
    }
}

impl<'a> Given<'a> {
    /// An error about this value.
    pub fn error(&self, what: impl fmt::Display) -> ConfigError {
        ConfigError::new(self.file, self.node.line, &self.path, what)
    }
    /// "WANTED, not KIND".
    pub fn wants(&self, wanted: impl fmt::Display) -> ConfigError {
        self.error(format_args!("{wanted}, not {}", self.node.value.kind()))
    }
    /// The block that this value is.
    pub fn section(self) -> Result<Section<'a>, ConfigError> {
        match &self.node.value {
            Value::Map(map) => Ok(Section { file: self.file, path: self.path, line: self.node.line, map }),
            _ => Err(self.wants("an object")),
        }
    }
    /// File, line and field, for errors that come later.
    pub fn place(&self) -> (String, usize, String) {
        (self.file.to_owned(), self.node.line, self.path.clone())
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Number(number) => Some(number.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

/// Whether somebody who wrote `word` may have meant `known`: two slips at most, or one is within the other.
fn is_near(word: &str, known: &str) -> bool {
    let (word, known) = (word.to_ascii_lowercase(), known.to_ascii_lowercase());
    let within = word.len() >= 4 && known.len() >= 4 && (known.contains(&word) || word.contains(&known));
    within || slips(word.as_bytes(), known.as_bytes()) <= if known.len() > 4 { 2 } else { 1 }
}

/// Levenshtein distance.
fn slips(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate().take(64) {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()].max(a.len().saturating_sub(64))
}
