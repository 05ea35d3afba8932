//! Reads the recovery codes out of a file as a provider writes it. Pure: bytes and answers in, codes or questions out.
//!
//! What it reads: one code a line, or several in columns; numbered (`1.`, `1)`, `01:`), bulleted or with boxes to tick; lines
//! of text before, between and after. A code has 6 letters and digits or more, in groups joined by dashes or by single
//! spaces. It never guesses: whatever can be read in two ways becomes a [`Question`], and whatever cannot be read is refused by
//! its line. Neither questions nor refusals contain any part of a line, only numbers and shapes such as `xxxxx-xxxxx`.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::secret::CodeText;

mod assemble;
mod entry;
mod hidden;
mod judge;
mod layout;
mod shape;
mod text;

/// The largest file that is read, in bytes.
pub const MAX_FILE: usize = 256 * 1024;

/// The codes of a file, understood.
pub struct CodeFile {
    /// The codes in the order of their slots, byte for byte, at most 512, no two alike.
    pub codes: Vec<CodeText>,
    /// The shapes of the codes with how many there are of each, most frequent first. `9` is a digit, `x` a letter or digit.
    pub shapes: Vec<(String, usize)>,
    /// Numbers of the lines that were taken as text, from 1, without blank ones.
    pub text_lines: Vec<usize>,
    /// Slots whose codes the file says are used, from 1, ascending.
    pub used: Vec<usize>,
    /// The most codes that stand beside each other on a line.
    pub columns: usize,
    /// The file numbers its codes, and the slots follow these numbers.
    pub numbered: bool,
    /// Numbers of the file without a code any more, ascending; the codes behind them moved up.
    pub gone: Vec<usize>,
}

/// What came of reading a file.
pub enum Outcome {
    /// Everything in it has one meaning.
    Understood(CodeFile),
    /// These must be answered first; more may follow.
    Unclear(Vec<Question>),
}

/// Something that can be read in more than one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What it is about: the key of its answer.
    pub about: About,
    /// The lines it is about, from 1.
    pub lines: Vec<usize>,
    /// The question, without the lines.
    pub sentence: String,
    /// What may be answered; not to answer is to stop.
    pub choices: Vec<Choice>,
}

/// The subject of a question.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Whether this line is a code or text.
    Line(usize),
    /// Whether things of this shape are codes, too.
    Shape(String),
    /// Whether a line with spaces is one code or several.
    Grouping,
    /// Whether the numbers before the codes belong to them.
    Numbers,
    /// Whether a ticked box means that the code is used.
    Ticked,
    /// Whether to go on without codes that the file no longer has.
    Gone,
    /// Whether a list whose lines hold different counts of codes is complete.
    Columns,
}

/// An answer to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// It is a code.
    Code,
    /// It is text: leave it out.
    Text,
    /// So many groups make a code.
    Groups(usize),
    /// The number only counts the codes.
    Counts,
    /// The number is part of the code.
    Belongs,
    /// These codes are used.
    Used,
    /// These codes are not used.
    Unused,
    /// It is right as it is: go on.
    GoOn,
}

/// Answers by subject.
pub type Answers = BTreeMap<About, Choice>;

/// Why a file cannot be read, and what to do. Names lines, never what stands in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    fn new(sentence: impl Into<String>) -> Self {
        Refusal(sentence.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// Reads `bytes`, given the answers so far.
pub fn parse(bytes: &[u8], answers: &Answers) -> Result<Outcome, Refusal> {
    let text: Zeroizing<String> = text::decode(bytes)?;
    let lines = text::lines(&text)?;
    judge::judge(&lines, answers)
}

/// Writes line numbers as a person would: `line 3`, `lines 1, 2 and 9`, `lines 4 to 16`.
pub fn lines_named(lines: &[usize]) -> String {
    format!("{} {}", if lines.len() == 1 { "line" } else { "lines" }, numbers_named(lines))
}

/// Writes ascending numbers as a person would: `3`, `1, 2 and 9`, `4 to 16`.
pub fn numbers_named(numbers: &[usize]) -> String {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let mut parts: Vec<String> = Vec::new();
    for (first, last) in runs {
        match last - first {
            0 => parts.push(first.to_string()),
            1 => parts.extend([first.to_string(), last.to_string()]),
            _ => parts.push(format!("{first} to {last}")),
        }
    }
    match parts.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => parts.concat(),
    }
}
