//! Where the command line writes and whom it asks.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::lines;
use crate::cli::paint::Paint;

/// The longest hidden answer, in bytes.
const MAX_HIDDEN: usize = 64 * 1024;

/// One writer for what a command has to say, one for complaints and questions, and whoever answers, if anybody is there.
pub struct Console {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    input: Option<Box<dyn BufRead>>,
    /// Columns of the terminals that they are.
    columns: (Option<usize>, Option<usize>),
    paint: Paint,
}

impl Console {
    /// A console that writes to `out` and `err`, and reads answers from `input`.
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>, input: Option<Box<dyn BufRead>>) -> Self {
        Console { out, err, input, columns: (None, None), paint: Paint::new(false) }
    }
    /// Standard output and error; somebody answers if standard input and error are a terminal.
    pub fn standard() -> Self {
        let somebody = io::stdin().is_terminal() && io::stderr().is_terminal();
        let input: Option<Box<dyn BufRead>> = if somebody { Some(Box::new(io::stdin().lock())) } else { None };
        let columns = (lines::of_output(), lines::of_errors());
        Console {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input,
            columns,
            paint: Paint::of_output(&|name| std::env::var(name).ok()),
        }
    }
    /// Writes a line. A reader that has gone away does not stop the command.
    pub fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
    }
    /// Writes sentences: between words a terminal has its lines broken.
    pub fn tell(&mut self, text: &str) {
        match self.columns.0 {
            Some(columns) => self.say(&lines::fitted(text, columns)),
            None => self.say(text),
        }
    }
    /// Writes text as it is.
    pub fn write(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
    /// Writes sentences where complaints go: between words a terminal has its lines broken.
    pub fn complain(&mut self, text: &str) {
        let line = self.columns.1.map_or_else(|| text.to_owned(), |columns| lines::fitted(text, columns));
        let _ = writeln!(self.err, "{line}").and_then(|()| self.err.flush());
    }
    /// Colours of what it has to say.
    pub fn paint(&self) -> Paint {
        self.paint
    }
    /// Whether somebody can answer.
    pub fn can_ask(&self) -> bool {
        self.input.is_some()
    }
    /// Asks nobody from here on.
    pub fn stop_asking(&mut self) {
        self.input = None;
    }
    /// Asks for what must not be seen: what is typed is not shown, where that can be had of the terminal. Without white space
    /// around it; nothing if nobody answers.
    pub fn ask_hidden(&mut self, question: &str) -> Option<Zeroizing<String>> {
        let input = self.input.as_mut()?;
        let _ = write!(self.err, "{question}").and_then(|()| self.err.flush());
        let silence = Silence::begin();
        // Room enough from the start, so that no copy stays behind.
        let mut answer = Zeroizing::new(String::with_capacity(MAX_HIDDEN));
        let read = input.take(MAX_HIDDEN as u64).read_line(&mut answer);
        drop(silence);
        let _ = writeln!(self.err);
        match read {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(edited(&answer)),
        }
    }
    /// Asks, and gives the answer without white space around it; nothing if nobody answers.
    pub fn ask(&mut self, question: &str) -> Option<String> {
        let input = self.input.as_mut()?;
        let question = self.columns.1.map_or_else(|| question.to_owned(), |columns| lines::fitted(question, columns));
        let _ = write!(self.err, "{question}").and_then(|()| self.err.flush());
        let mut answer = String::new();
        match input.read_line(&mut answer) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(answer.trim().to_owned()),
        }
    }
}

/// What was typed, without what was rubbed out and without white space around it.
fn edited(typed: &str) -> Zeroizing<String> {
    let mut kept = Zeroizing::new(String::with_capacity(typed.len()));
    for c in typed.chars() {
        match c {
            '\u{8}' | '\u{7f}' => drop(kept.pop()),
            c => kept.push(c),
        }
    }
    Zeroizing::new(kept.trim().to_owned())
}

/// While this lives the terminal shows nothing of what is typed, and takes lines of any length: left to itself it cuts them at
/// 4 KiB, which a JWT may well have.
struct Silence(Termios);

impl Silence {
    /// Nothing where standard input is no terminal.
    fn begin() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent).ok()?;
        Some(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
