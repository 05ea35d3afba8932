//! From rows of codes to the set: the order of its slots, what is used, and the last doubts.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::layout::{Item, Row};
use super::shape::{Class, pattern};
use super::{About, Answers, Choice, CodeFile, Outcome, Question, Refusal, lines_named, numbers_named};
use crate::crypto::secret::CodeText;
use crate::domain::code::{MAX_CODES, canonical};

/// An item with its line.
struct Placed<'a> {
    line: usize,
    item: &'a Item<'a>,
}

/// Makes the set of `rows`, all of which are codes; `text_lines` are the lines that are not.
pub(super) fn assemble(rows: &[&Row<'_>], text_lines: Vec<usize>, answers: &Answers) -> Result<Outcome, Refusal> {
    let mut placed: Vec<Placed<'_>> = rows
        .iter()
        .flat_map(|row| row.items.iter().map(|item| (row.number, item)))
        .map(|(line, item)| Placed { line, item })
        .collect();
    let mut questions: Vec<Question> = Vec::new();
    let mut ask = |about: About, lines: Vec<usize>, sentence: String, choices: &[Choice]| {
        if !answers.get(&about).is_some_and(|choice| choices.contains(choice)) {
            questions.push(Question { about, lines, sentence, choices: choices.to_vec() });
        }
    };
    let numbered = placed.iter().any(|placed| placed.item.index.is_some());
    if numbered {
        let without = lines_of(&placed, |placed| placed.item.index.is_none());
        if !without.is_empty() {
            return unnumbered(without, answers);
        }
        check_numbers(&placed)?;
        placed.sort_by_key(|placed| placed.item.index);
    } else if let Some(line) = odd_row(rows) {
        let sentence = "another count of codes than on the first such line. Is the list complete?".to_owned();
        ask(About::Columns, vec![line], sentence, &[Choice::GoOn]);
    }
    let gone: Vec<usize> =
        placed.iter().filter(|placed| placed.item.tokens.is_empty()).filter_map(|placed| placed.item.index).collect();
    if !gone.is_empty() {
        let numbers = numbers_named(&gone);
        let sentence = format!(
            "\"used\", and no code any more (number {numbers} of the list). Go on without, so that the codes behind it move up?"
        );
        ask(About::Gone, lines_of(&placed, |placed| placed.item.tokens.is_empty()), sentence, &[Choice::GoOn]);
        placed.retain(|placed| !placed.item.tokens.is_empty());
    }
    let ticked = lines_of(&placed, |placed| placed.item.ticked && !placed.item.used);
    if !ticked.is_empty() {
        let sentence = "a ticked box. Does it mean that the code is used?".to_owned();
        ask(About::Ticked, ticked, sentence, &[Choice::Used, Choice::Unused]);
    }
    if !questions.is_empty() {
        return Ok(Outcome::Unclear(questions));
    }
    check_codes(&placed)?;
    let ticks_count = answers.get(&About::Ticked) == Some(&Choice::Used);
    let is_used = |placed: &Placed<'_>| placed.item.used || (placed.item.ticked && ticks_count);
    Ok(Outcome::Understood(CodeFile {
        shapes: shapes(&placed),
        used: placed.iter().enumerate().filter(|(_, placed)| is_used(placed)).map(|(place, _)| place + 1).collect(),
        codes: placed.iter().map(|placed| join(&placed.item.tokens)).collect(),
        text_lines,
        columns: rows.iter().map(|row| row.items.len()).max().unwrap_or(0),
        numbered,
        gone,
    }))
}

fn lines_of(placed: &[Placed<'_>], which: impl Fn(&Placed<'_>) -> bool) -> Vec<usize> {
    let lines: BTreeSet<usize> = placed.iter().filter(|placed| which(placed)).map(|placed| placed.line).collect();
    lines.into_iter().collect()
}

/// Lines without a number in a numbered list: their slot is not known. They may be left out, not taken.
fn unnumbered(lines: Vec<usize>, answers: &Answers) -> Result<Outcome, Refusal> {
    if lines.iter().any(|line| answers.contains_key(&About::Line(*line))) {
        return Err(Refusal::new(format!(
            "{} read as codes but have no number, and the others have. Number them, or take them out",
            lines_named(&lines)
        )));
    }
    let question = |line| Question {
        about: About::Line(line),
        lines: vec![line],
        sentence:
            "reads as a code but has no number, and the others have. If it is a code, number it. Is it only text?"
                .to_owned(),
        choices: vec![Choice::Text],
    };
    Ok(Outcome::Unclear(lines.into_iter().map(question).collect()))
}

/// The numbers of a numbered list are the provider's, and become the slots: they must be whole.
fn check_numbers(placed: &[Placed<'_>]) -> Result<(), Refusal> {
    let mut lines: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for placed in placed {
        lines.entry(placed.item.index.unwrap_or(0)).or_default().push(placed.line);
    }
    if let Some((number, twice)) = lines.iter().find(|(_, lines)| lines.len() > 1) {
        return Err(Refusal::new(format!(
            "number {number} is there {} times ({}). Are there two lists in the file? Import one at a time",
            twice.len(),
            lines_named(&lines_once(twice))
        )));
    }
    let missing: Vec<usize> = (1..=lines.len()).filter(|number| !lines.contains_key(number)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "{} codes are numbered, but number {} is missing. Put the missing line back, or take all numbers away and import the rest as it is",
        lines.len(),
        numbers_named(&missing)
    )))
}

fn lines_once(lines: &[usize]) -> Vec<usize> {
    lines.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The first row that holds another count of codes than the first one.
fn odd_row(rows: &[&Row<'_>]) -> Option<usize> {
    let usual = rows.first()?.items.len();
    rows.iter().find(|row| row.items.len() != usual).map(|row| row.number)
}

/// At most as many as a set takes, no two the same in any spelling.
fn check_codes(placed: &[Placed<'_>]) -> Result<(), Refusal> {
    if placed.is_empty() {
        return Err(Refusal::new("every code in the file is used up. Generate a new set at the provider"));
    }
    if placed.len() > MAX_CODES {
        return Err(Refusal::new(format!("the file holds {} codes; a set takes at most {MAX_CODES}", placed.len())));
    }
    let mut seen: Vec<(Zeroizing<String>, usize)> = Vec::with_capacity(placed.len());
    for placed in placed {
        let plain = canonical(join(&placed.item.tokens).expose());
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == plain) {
            let lines = lines_named(&lines_once(&[*first, placed.line]));
            return Err(Refusal::new(format!("the same code is there twice ({lines}). Is the list pasted twice?")));
        }
        seen.push((plain, placed.line));
    }
    Ok(())
}

fn shapes(placed: &[Placed<'_>]) -> Vec<(String, usize)> {
    let mut found: BTreeMap<String, (usize, Class)> = BTreeMap::new();
    for placed in placed {
        let (count, class) = found.entry(pattern(&placed.item.tokens)).or_default();
        *count += 1;
        *class = class.or(Class::of(&placed.item.tokens));
    }
    let shown = |(shape, (count, class)): (String, (usize, Class))| {
        (if class.digits_only() { shape.replace('x', "9") } else { shape }, count)
    };
    let mut shapes: Vec<_> = found.into_iter().map(shown).collect();
    shapes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    shapes
}

fn join(tokens: &[&str]) -> CodeText {
    let mut text = Zeroizing::new(String::with_capacity(tokens.iter().map(|token| token.len() + 1).sum()));
    for (place, token) in tokens.iter().enumerate() {
        if place > 0 {
            text.push(' ');
        }
        text.push_str(token);
    }
    CodeText::new(text)
}
