//! Colours, where they help: on a terminal that shows them, unless somebody said `NO_COLOR`.

use std::fmt::Display;
use std::io::{self, IsTerminal};

/// Paints, or leaves everything as it is.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// Paints if `on`.
    pub const fn new(on: bool) -> Self {
        Paint(on)
    }
    /// For standard output, as the environment has it: a terminal, no `NO_COLOR` (no-color.org), and not a dumb one.
    pub fn of_output(environment: &dyn Fn(&str) -> Option<String>) -> Self {
        let unwanted = environment("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = environment("TERM").is_none_or(|value| value == "dumb" || value.is_empty());
        Paint(io::stdout().is_terminal() && !unwanted && !dumb)
    }
    /// Stands out.
    pub fn bold(self, text: impl Display) -> String {
        self.wrap("1", text)
    }
    /// A digit of a code, told from a letter. Magenta reads on dark and on light.
    pub fn digit(self, text: impl Display) -> String {
        self.wrap("1;35", text)
    }
    /// Steps back.
    pub fn dim(self, text: impl Display) -> String {
        self.wrap("2", text)
    }
    /// All is well.
    pub fn good(self, text: impl Display) -> String {
        self.wrap("1;32", text)
    }
    /// Wants attention: black on yellow, because yellow alone cannot be read on white.
    pub fn warn(self, text: impl Display) -> String {
        self.wrap("30;43", text)
    }
    /// An alarm: white on red.
    pub fn alarm(self, text: impl Display) -> String {
        self.wrap("1;37;41", text)
    }
    fn wrap(self, style: &str, text: impl Display) -> String {
        if self.0 { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}
