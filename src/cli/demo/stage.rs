//! Where the demo speaks: clear on a terminal, and in a log.

use std::io::{self, IsTerminal, Write};

use serde_json::{Value, json};

/// The writer of the demo.
pub struct Stage {
    out: Box<dyn Write>,
    colours: bool,
    step: usize,
}

impl Stage {
    /// Standard output; colours only on a terminal that wants them (NO_COLOR is heeded).
    pub fn standard() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Stage { out: Box::new(io::stdout()), colours, step: 0 }
    }
    fn write(&mut self, style: &str, text: &str) {
        // A reader that has gone away does not stop the story.
        let _ = match self.colours && !style.is_empty() {
            true => writeln!(self.out, "\x1b[{style}m{text}\x1b[0m"),
            false => writeln!(self.out, "{text}"),
        };
        let _ = self.out.flush();
    }
    /// The first line.
    pub fn title(&mut self, text: &str) {
        self.write("1", text);
        self.write("", "");
    }
    /// A numbered step of the story.
    pub fn step(&mut self, text: &str) {
        self.step += 1;
        self.heading(&format!("{}. {text}", self.step));
    }
    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.write("", "");
        self.write("1;36", text);
    }
    /// A word of explanation.
    pub fn remark(&mut self, text: &str) {
        self.write("2", &format!("   {text}"));
    }
    /// A command as a person would type it.
    pub fn command(&mut self, text: &str) {
        self.write("33", &format!("   $ {text}"));
    }
    /// A line to copy.
    pub fn line(&mut self, text: &str) {
        self.write("33", &format!("   {text}"));
    }
    /// An answer of the server: its status and what it says.
    pub fn answer(&mut self, status: u16, body: &Value) {
        let fine = status < 300;
        self.write(if fine { "32" } else { "31" }, &format!("   {status}"));
        for line in said(body) {
            self.write("", &format!("   {line}"));
        }
    }
    /// The output of a command.
    pub fn output(&mut self, text: &str) {
        for line in text.lines() {
            self.write("", &format!("   {line}"));
        }
    }
    /// The end of a story that went wrong.
    pub fn fail(&mut self, sentence: &str) {
        self.write("", "");
        self.write("1;31", &format!("The demo went wrong: {sentence}"));
    }
}

/// An answer as lines: its `data` field by field, its errors and warnings; long lists are shortened.
fn said(body: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, value) in body["data"].as_object().into_iter().flatten() {
        if !value.is_null() && *value != json!("") {
            lines.push(format!("{name:<15} {}", short(value)));
        }
    }
    for (list, word) in [("warnings", "warning"), ("errors", "error")] {
        for text in body[list].as_array().into_iter().flatten().filter_map(Value::as_str) {
            lines.push(format!("{word:<15} {text}"));
        }
    }
    lines
}

fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.len() > 4 => format!("{} entries", items.len()),
        other => other.to_string(),
    }
}
