//! From lines to rows of items: which numbers only count, and where one code ends and the next begins.

use super::entry::{Entry, entries};
use super::shape::{Class, is_code, readings};
use super::text::Numbered;
use super::{About, Answers, Choice, Question};

/// What may be a code; without tokens: the number of a code that is gone.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// The number that counts it.
    pub index: Option<usize>,
    /// A ticked box is beside it.
    pub ticked: bool,
    /// It says that it is used.
    pub used: bool,
    /// A number, bullet or box is before it: whoever wrote it meant an item of a list.
    pub started: bool,
    /// Its groups.
    pub tokens: Vec<&'a str>,
}

/// A line that is not blank.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// All of it.
    pub text: &'a str,
    /// What may be codes, if the whole line reads so; else empty.
    pub items: Vec<Item<'a>>,
    /// A blank line, or none, is before it.
    pub after_blank: bool,
    /// A blank line, or none, is behind it.
    pub before_blank: bool,
}

/// The rows of `lines`; questions that must be answered first are added to `questions`.
pub(super) fn rows<'a>(lines: &[Numbered<'a>], answers: &Answers, questions: &mut Vec<Question>) -> Vec<Row<'a>> {
    let mut parsed: Vec<Vec<Entry<'a>>> = lines.iter().map(|(_, line)| entries(line)).collect();
    questions.extend(count_off(lines, &mut parsed, bare_number, 2, answers));
    questions.extend(count_off(lines, &mut parsed, dash_number, 3, answers));
    let size = group_size(lines, &parsed, answers, questions);
    let blank =
        |place: Option<usize>| place.and_then(|place| lines.get(place)).is_none_or(|(_, line)| line.trim().is_empty());
    let row = |(place, entries): (usize, Vec<Entry<'a>>)| {
        let (number, text) = lines[place];
        let items = items(entries, size).unwrap_or_default();
        Row { number, text, items, after_blank: blank(place.checked_sub(1)), before_blank: blank(Some(place + 1)) }
    };
    parsed.into_iter().enumerate().map(row).filter(|row| !row.text.trim().is_empty()).collect()
}

/// A number that may only count, and the groups behind it.
type Split<'a> = Option<(usize, Vec<&'a str>)>;

/// `1 …`: a number at the head of an entry, where a code follows it without dot or bracket between.
fn bare_number<'a>(entry: &Entry<'a>) -> Split<'a> {
    let (head, rest) = entry.tokens.split_first()?;
    Some((short_number(head)?, rest.to_vec())).filter(|_| is_code(rest))
}

/// `1-…`: the same, divided by a dash.
fn dash_number<'a>(entry: &Entry<'a>) -> Split<'a> {
    let [token] = entry.tokens.as_slice() else { return None };
    let (head, rest) = token.split_once('-')?;
    Some((short_number(head)?, vec![rest])).filter(|_| is_code(&[rest]))
}

fn short_number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|_| text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Takes the numbers that `split` finds as counting if there are `least` and they run from 1 without a gap; asks if they could
/// as well belong to the codes.
fn count_off<'a>(
    lines: &[Numbered<'a>],
    parsed: &mut [Vec<Entry<'a>>],
    split: fn(&Entry<'a>) -> Split<'a>,
    least: usize,
    answers: &Answers,
) -> Option<Question> {
    let split = |entry: &Entry<'a>| split(entry).filter(|_| entry.index.is_none() && !entry.broken);
    let all = || parsed.iter().flatten();
    let mut numbers: Vec<usize> = all().filter_map(split).map(|(number, _)| number).collect();
    numbers.sort_unstable();
    let few = numbers.len() < least && all().any(|entry| is_code(&entry.tokens));
    if numbers.is_empty() || few || !numbers.iter().copied().eq(1..=numbers.len()) {
        return None;
    }
    if all().filter(|entry| split(entry).is_some()).all(|entry| !readings(&entry.tokens).is_empty()) {
        match answers.get(&About::Numbers) {
            Some(Choice::Counts) => {}
            Some(_) => return None,
            None => {
                let with = lines.iter().zip(&*parsed).filter(|(_, entries)| entries.iter().any(|e| split(e).is_some()));
                return Some(numbers_question(with.map(|((number, _), _)| *number).collect()));
            }
        }
    }
    for entry in parsed.iter_mut().flatten() {
        if let Some((number, rest)) = split(entry) {
            entry.index = Some(number);
            entry.started = true;
            entry.tokens = rest;
        }
    }
    None
}

fn numbers_question(lines: Vec<usize>) -> Question {
    Question {
        about: About::Numbers,
        lines,
        sentence: "the numbers 1, 2, 3 … in front. Do they only count the codes, or are they part of them?".to_owned(),
        choices: vec![Choice::Counts, Choice::Belongs],
    }
}

/// A line of several words without anything that says where a code begins.
fn is_loose(entries: &[Entry<'_>]) -> bool {
    matches!(entries, [entry] if !entry.started && !entry.broken && entry.tokens.len() > 1)
}

/// How many groups make a code on loose lines. Lines of letters only have no say if others read as codes.
fn group_size(
    lines: &[Numbered<'_>],
    parsed: &[Vec<Entry<'_>>],
    answers: &Answers,
    questions: &mut Vec<Question>,
) -> Option<usize> {
    let strong = |entry: &Entry<'_>| entry.started || Class::of(&entry.tokens).digits;
    let others = parsed.iter().filter(|entries| !is_loose(entries)).flatten();
    let codes_elsewhere = others.filter(|entry| strong(entry) && !entry.broken && is_code(&entry.tokens)).count() > 0;
    let mut loose: Vec<(usize, Vec<usize>, bool)> = Vec::new();
    for ((number, _), entries) in lines.iter().zip(parsed).filter(|(_, entries)| is_loose(entries)) {
        let found = readings(&entries[0].tokens);
        if !found.is_empty() {
            loose.push((*number, found, strong(&entries[0])));
        }
    }
    if codes_elsewhere || loose.iter().any(|(_, _, strong)| *strong) {
        loose.retain(|(_, _, strong)| *strong);
    }
    let (_, first, _) = loose.first()?;
    let shared: Vec<usize> =
        first.iter().copied().filter(|size| loose.iter().all(|(_, found, _)| found.contains(size))).collect();
    match shared.as_slice() {
        [] => None,
        [size] => Some(*size),
        sizes => match answers.get(&About::Grouping) {
            Some(Choice::Groups(size)) if sizes.contains(size) => Some(*size),
            _ => {
                questions.push(Question {
                    about: About::Grouping,
                    lines: loose.iter().map(|(number, _, _)| *number).collect(),
                    sentence: "groups with spaces between. How many groups make one code?".to_owned(),
                    choices: sizes.iter().map(|size| Choice::Groups(*size)).collect(),
                });
                None
            }
        },
    }
}

/// The items of a line, or nothing if not all of it reads as codes.
fn items<'a>(entries: Vec<Entry<'a>>, size: Option<usize>) -> Option<Vec<Item<'a>>> {
    if is_loose(&entries) {
        let entry = entries.into_iter().next()?;
        let found = readings(&entry.tokens);
        let size = match (size.filter(|size| found.contains(size)), found.as_slice()) {
            (Some(size), _) => size,
            (None, [size]) => *size,
            _ => return None,
        };
        let codes = entry.tokens.len() / size;
        if codes > 1 && (entry.used || entry.ticked.is_some()) {
            return None;
        }
        let item = |tokens: &[&'a str]| Item {
            index: None,
            ticked: entry.ticked == Some(true),
            used: entry.used,
            started: false,
            tokens: tokens.to_vec(),
        };
        return Some(entry.tokens.chunks(size).map(item).collect());
    }
    let item = |entry: Entry<'a>| {
        let gone = entry.tokens.is_empty() && entry.used && entry.index.is_some();
        (!entry.broken && (gone || is_code(&entry.tokens))).then(|| Item {
            index: entry.index,
            ticked: entry.ticked == Some(true),
            used: entry.used,
            started: entry.started,
            tokens: entry.tokens,
        })
    };
    entries.into_iter().map(item).collect()
}
