//! Where the command line writes and whom it asks.

use std::io::{self, BufRead, IsTerminal, Write};

/// One writer for what a command has to say, one for complaints and questions, and whoever answers, if anybody is there.
pub struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    input: Option<Box<dyn BufRead>>,
}

impl Console {
    /// A console that writes to `out` and `err`, and reads answers from `input`.
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>, input: Option<Box<dyn BufRead>>) -> Self {
        Console { out, err, input }
    }
    /// Standard output and error; somebody answers if standard input and error are a terminal.
    pub fn standard() -> Self {
        let somebody = io::stdin().is_terminal() && io::stderr().is_terminal();
        let input: Option<Box<dyn BufRead>> = if somebody { Some(Box::new(io::stdin().lock())) } else { None };
        Console { out: Box::new(io::stdout()), err: Box::new(io::stderr()), input }
    }
    /// Writes a line. A reader that has gone away does not stop the command.
    pub fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
    /// Writes text as it is.
    pub fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
    /// Writes a line where complaints go.
    pub fn complain(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}").and_then(|()| self.err.flush());
    }
    /// Whether somebody can answer.
    pub fn can_ask(&self) -> bool {
        self.input.is_some()
    }
    /// Asks nobody from here on.
    pub fn stop_asking(&mut self) {
        self.input = None;
    }
    /// Asks, and gives the answer without white space around it; nothing if nobody answers.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        let input = self.input.as_mut()?;
        let _ = write!(self.err, "{question}").and_then(|()| self.err.flush());
        let mut answer = String::new();
        match input.read_line(&mut answer) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(answer.trim().to_owned()),
        }
    }
}
