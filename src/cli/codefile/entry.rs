//! From a line to its entries: numbers, bullets and boxes in front, what may be a code, marks that say "used" behind.

/// What may be one code, or text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// The number in front, if its form says that it only counts.
    pub index: Option<usize>,
    /// A box in front or behind, and whether it is ticked.
    pub ticked: Option<bool>,
    /// A bullet, box or number stands in front.
    pub started: bool,
    /// The words of it.
    pub tokens: Vec<&'a str>,
    /// Words or a stroke say that the code is used.
    pub used: bool,
    /// A wide gap or two boxes: this is not one thing.
    pub broken: bool,
}

enum Piece<'a> {
    Bullet,
    Box(bool),
    Index(usize),
    Word(&'a str),
}

/// Takes a line apart. Wide gaps (a tab, two spaces) divide; in a line with numbers, bullets or boxes these divide instead.
pub(super) fn entries(line: &str) -> Vec<Entry<'_>> {
    let pieces = pieces(&words(line));
    let has_starters = pieces.iter().any(|(piece, _)| !matches!(piece, Piece::Word(_)));
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut current = Entry::default();
    let mut gaps: Vec<usize> = Vec::new();
    for (place, (piece, wide)) in pieces.iter().enumerate() {
        let begun = !current.tokens.is_empty();
        let last = pieces.get(place + 1).is_none_or(|(_, wide)| *wide);
        match piece {
            Piece::Box(ticked) if begun && last => {
                current.broken |= current.ticked.is_some();
                current.ticked = Some(*ticked);
            }
            Piece::Bullet | Piece::Box(_) | Piece::Index(_) => {
                if begun || (matches!(piece, Piece::Index(_)) && current.index.is_some()) {
                    entries.push(close(&mut current, &mut gaps));
                }
                current.started = true;
                match piece {
                    Piece::Box(ticked) => current.ticked = Some(*ticked),
                    Piece::Index(index) => current.index = Some(*index),
                    Piece::Bullet | Piece::Word(_) => {}
                }
            }
            Piece::Word(word) => {
                if *wide && begun && has_starters {
                    gaps.push(current.tokens.len());
                } else if *wide && begun {
                    entries.push(close(&mut current, &mut gaps));
                }
                current.tokens.push(word);
            }
        }
    }
    if current != Entry::default() {
        entries.push(close(&mut current, &mut gaps));
    }
    attach_used(entries)
}

/// Ends `current`; `gaps` are the places in it that had a wide gap before.
fn close<'a>(current: &mut Entry<'a>, gaps: &mut Vec<usize>) -> Entry<'a> {
    let mut entry = std::mem::take(current);
    strip_used(&mut entry);
    entry.broken |= gaps.iter().any(|gap| *gap < entry.tokens.len());
    gaps.clear();
    entry
}

/// The words of `line`, each with whether a wide gap is before it.
pub(super) fn words(line: &str) -> Vec<(&str, bool)> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let trimmed = rest.trim_start();
        let gap = &rest[..rest.len() - trimmed.len()];
        let Some(word) = trimmed.split(char::is_whitespace).next().filter(|word| !word.is_empty()) else {
            return words;
        };
        let wide = gap.chars().count() > 1 || gap.chars().any(|c| !matches!(c, ' ' | '\u{a0}'));
        words.push((word, wide && !words.is_empty()));
        rest = &trimmed[word.len()..];
    }
}

fn pieces<'a>(words: &[(&'a str, bool)]) -> Vec<(Piece<'a>, bool)> {
    const BULLETS: [&str; 10] = ["*", "-", "+", "•", "·", "–", "—", "◦", "▪", "‣"];
    let mut pieces: Vec<(Piece<'a>, bool)> = Vec::new();
    let mut words = words.iter().copied().peekable();
    while let Some((word, wide)) = words.next() {
        let start = wide || pieces.last().is_none_or(|(piece, _)| !matches!(piece, Piece::Word(_)));
        if word == "[" && words.next_if(|(next, wide)| *next == "]" && !wide).is_some() {
            pieces.push((Piece::Box(false), wide));
        } else if let Some(ticked) = boxed(word) {
            pieces.push((Piece::Box(ticked), wide));
        } else if start && BULLETS.contains(&word) {
            pieces.push((Piece::Bullet, wide));
        } else {
            let glued = word.strip_prefix(['*', '•', '·', '◦', '▪', '‣']).filter(|rest| start && !rest.contains('*'));
            if glued.is_some() {
                pieces.push((Piece::Bullet, wide));
            }
            let word = glued.unwrap_or(word);
            let wide = wide && glued.is_none();
            match indexed(word) {
                Some((index, "")) => pieces.push((Piece::Index(index), wide)),
                Some((index, rest)) => pieces.extend([(Piece::Index(index), wide), (Piece::Word(rest), false)]),
                None => pieces.push((Piece::Word(word), wide)),
            }
        }
    }
    pieces
}

fn boxed(word: &str) -> Option<bool> {
    match word.trim_end_matches('\u{fe0f}') {
        "[]" | "☐" => Some(false),
        "[x]" | "[X]" | "[✓]" | "[✔]" | "☑" | "☒" | "✓" | "✔" | "✅" | "✗" | "✘" => Some(true),
        _ => None,
    }
}

/// `1.`, `1)`, `1:`, `(1)`, `#1`, also with something right behind it.
fn indexed(word: &str) -> Option<(usize, &str)> {
    let bare = word.trim_start_matches(['#', '(']);
    let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
    let index = bare[..digits].parse().ok().filter(|_| (1..=3).contains(&digits) && word.len() - bare.len() <= 1)?;
    let rest = &bare[digits..];
    match rest.strip_prefix(['.', ')', ':']) {
        Some(after) if after.is_empty() || after.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            Some((index, after))
        }
        None if rest.is_empty() && word.starts_with('#') => Some((index, "")),
        _ => None,
    }
}

/// Takes `used`, `(already used)`, `- used` off the end, and strokes (`~~…~~`) off both.
fn strip_used(entry: &mut Entry<'_>) {
    let tokens = &mut entry.tokens;
    if tokens.last().is_some_and(|last| bare(last).eq_ignore_ascii_case("used")) {
        tokens.pop();
        tokens.pop_if(|last| bare(last).eq_ignore_ascii_case("already"));
        tokens.pop_if(|last| matches!(*last, "-" | "–" | "—" | "<-" | "←"));
        entry.used = true;
    }
    let first = tokens.first().and_then(|first| first.strip_prefix("~~"));
    let last = tokens.last().and_then(|last| last.strip_suffix("~~"));
    if let (Some(first), Some(last)) = (first, last) {
        match tokens.as_mut_slice() {
            [only] => *only = first.strip_suffix("~~").unwrap_or(first),
            [head, .., tail] => (*head, *tail) = (first, last),
            [] => {}
        }
        entry.used = true;
    }
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| c.is_ascii_punctuation())
}

/// An entry that is nothing but "used" says so of the one before it.
fn attach_used(entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    let mut out: Vec<Entry<'_>> = Vec::new();
    for entry in entries {
        let only_mark = entry.used && entry.tokens.is_empty() && entry.index.is_none() && entry.ticked.is_none();
        match out.last_mut() {
            Some(before) if only_mark && !before.tokens.is_empty() => before.used = true,
            _ => out.push(entry),
        }
    }
    out
}
