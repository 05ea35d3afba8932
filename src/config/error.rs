//! What is wrong in a configuration file, and where.

use std::fmt;

/// An error in a configuration file: `file:line: field: what would be right`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    /// From 1; 0 where no line is to blame.
    line: usize,
    /// Dotted, blocks with their labels; empty where the text itself does not parse.
    field: String,
    what: String,
}

impl ConfigError {
    pub(super) fn new(file: &str, line: usize, field: &str, what: impl fmt::Display) -> Self {
        ConfigError { file: file.to_owned(), line, field: field.to_owned(), what: what.to_string() }
    }
    /// An error of the file as a whole.
    pub(super) fn whole(file: &str, what: impl fmt::Display) -> Self {
        Self::new(file, 0, "", what)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for ConfigError {}
