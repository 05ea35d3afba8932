//! From rows to codes: what has the shape of the others, what is text, and what must be asked.

use std::collections::BTreeMap;

use super::layout::{Item, Row, rows};
use super::shape::{Class, is_header_word, pattern};
use super::text::Numbered;
use super::{About, Answers, Choice, Outcome, Question, Refusal, assemble, hidden};

/// A file that raises more questions than this is not worth answering them.
const MAX_QUESTIONS: usize = 12;

/// Reads `lines` with the answers so far.
pub(super) fn judge(lines: &[Numbered<'_>], answers: &Answers) -> Result<Outcome, Refusal> {
    let mut questions = Vec::new();
    let rows = rows(lines, answers, &mut questions);
    if !questions.is_empty() {
        return Ok(Outcome::Unclear(questions));
    }
    let Some(usual) = Usual::of(&rows) else {
        return Err(Refusal::new(
            "no line reads as a code. A code has 6 letters and digits or more: put one on each line, with nothing beside it",
        ));
    };
    let mut asked = Asked { answers, questions: Vec::new() };
    let mut codes: Vec<&Row<'_>> = Vec::new();
    let mut text: Vec<usize> = Vec::new();
    for (place, row) in rows.iter().enumerate() {
        let beside = |place: Option<usize>| place.and_then(|place| rows.get(place)).is_some_and(|row| usual.has(row));
        let at_edge = row.after_blank || row.before_blank || !beside(place.checked_sub(1)) || !beside(Some(place + 1));
        match asked.verdict(row, at_edge, &usual) {
            Some(true) => codes.push(row),
            Some(false) => text.push(row.number),
            None => {}
        }
        if asked.questions.len() > MAX_QUESTIONS {
            return Err(Refusal::new(format!(
                "too much in the file can be read in more than one way (line {} on). Put the codes alone into a file, one a line",
                asked.questions[0].lines[0]
            )));
        }
    }
    if !asked.questions.is_empty() {
        return Ok(Outcome::Unclear(asked.questions));
    }
    assemble::assemble(&codes, text, answers)
}

/// The shape that most codes have, and what they are made of.
pub(super) struct Usual {
    /// Their pattern.
    pub pattern: String,
    /// All kinds of characters in them.
    pub class: Class,
    count: usize,
    digits: usize,
    lower: usize,
    upper: usize,
}

impl Usual {
    /// Words without digits, dash, number or bullet have no say unless there is nothing else.
    fn of(rows: &[Row<'_>]) -> Option<Self> {
        let all = || rows.iter().flat_map(|row| &row.items).filter(|item| !item.tokens.is_empty());
        let only_words = all().all(is_wordlike);
        let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        for (place, item) in all().enumerate().filter(|(_, item)| only_words || !is_wordlike(item)) {
            counts.entry(pattern(&item.tokens)).or_insert((0, usize::MAX - place)).0 += 1;
        }
        let (pattern_found, _) = counts.into_iter().max_by_key(|(_, rank)| *rank)?;
        let mut usual =
            Usual { pattern: pattern_found, class: Class::default(), count: 0, digits: 0, lower: 0, upper: 0 };
        for item in all().filter(|item| pattern(&item.tokens) == usual.pattern) {
            let class = Class::of(&item.tokens);
            usual.count += 1;
            usual.digits += usize::from(class.digits);
            usual.lower += usize::from(class.lower);
            usual.upper += usize::from(class.upper);
            usual.class = usual.class.or(class);
        }
        Some(usual)
    }
    fn has(&self, row: &Row<'_>) -> bool {
        row.items.iter().any(|item| item.tokens.is_empty() || pattern(&item.tokens) == self.pattern)
    }
    /// The only one with digits, with small letters or with capitals among four or more.
    fn stands_out(&self, class: Class) -> bool {
        self.count > 3
            && ((class.digits && self.digits == 1)
                || (class.lower && self.lower == 1)
                || (class.upper && self.upper == 1))
    }
}

/// Letters only, without a dash, and nothing in front that says it is an item.
fn is_wordlike(item: &Item<'_>) -> bool {
    !item.started && Class::of(&item.tokens).letters_only() && item.tokens.iter().all(|token| !token.contains('-'))
}

/// `2026-07-01`, `01-07-2026`.
fn is_date(item: &Item<'_>) -> bool {
    let shape = pattern(&item.tokens);
    !item.started && Class::of(&item.tokens).digits_only() && matches!(shape.as_str(), "xxxx-xx-xx" | "xx-xx-xxxx")
}

struct Asked<'a> {
    answers: &'a Answers,
    questions: Vec<Question>,
}

impl Asked<'_> {
    /// Whether the row is a row of codes; nothing if that must be asked.
    fn verdict(&mut self, row: &Row<'_>, at_edge: bool, usual: &Usual) -> Option<bool> {
        if row.items.is_empty() {
            return match hidden::hidden(row.text, usual) {
                None => Some(false),
                Some(sentence) => self.line(row.number, sentence, &[Choice::Text]),
            };
        }
        let kept: Vec<&Item<'_>> = row.items.iter().filter(|item| !item.tokens.is_empty()).collect();
        let usual_ones = kept.iter().filter(|item| pattern(&item.tokens) == usual.pattern).count();
        if usual_ones == kept.len() {
            let doubt = kept.iter().find_map(|item| Self::doubt(item, at_edge, usual));
            return match doubt {
                None => Some(true),
                Some(sentence) => self.line(row.number, sentence, &[Choice::Code, Choice::Text]),
            };
        }
        if usual_ones > 0 {
            let sentence = "something of another shape beside a code. If it is a code, put it on a line of its own. Is it only text?";
            return self.line(row.number, sentence, &[Choice::Text]);
        }
        if kept.iter().all(|item| is_wordlike(item) || is_date(item)) {
            return Some(false);
        }
        self.shape(row, pattern(&kept[0].tokens), usual)
    }
    fn doubt(item: &Item<'_>, at_edge: bool, usual: &Usual) -> Option<&'static str> {
        let header = item.tokens.iter().any(|token| is_header_word(token));
        let lonely = item.tokens.len() == 1 && usual.class.digits && at_edge;
        if usual.stands_out(Class::of(&item.tokens)) {
            return Some("the shape of the codes, but characters that no other one has. Is it a code or text?");
        }
        (is_wordlike(item) && (header || lonely))
            .then_some("the shape of the codes, but it could be a word. Is it a code or text?")
    }
    fn line(&mut self, number: usize, sentence: &str, choices: &[Choice]) -> Option<bool> {
        match self.answers.get(&About::Line(number)) {
            Some(Choice::Code) if choices.contains(&Choice::Code) => Some(true),
            Some(Choice::Text) => Some(false),
            _ => {
                self.questions.push(Question {
                    about: About::Line(number),
                    lines: vec![number],
                    sentence: sentence.to_owned(),
                    choices: choices.to_vec(),
                });
                None
            }
        }
    }
    fn shape(&mut self, row: &Row<'_>, shape: String, usual: &Usual) -> Option<bool> {
        let about = About::Shape(shape);
        match self.answers.get(&about) {
            Some(Choice::Code) => return Some(true),
            Some(Choice::Text) => return Some(false),
            _ => {}
        }
        match self.questions.iter_mut().find(|question| question.about == about) {
            Some(question) => question.lines.push(row.number),
            None => {
                let About::Shape(shape) = &about else { return None };
                self.questions.push(Question {
                    lines: vec![row.number],
                    sentence: format!(
                        "the shape {shape}, while the others have {}. Are these codes, too?",
                        usual.pattern
                    ),
                    choices: vec![Choice::Code, Choice::Text],
                    about,
                });
            }
        }
        None
    }
}
