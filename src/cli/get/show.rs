//! A code as it is shown: large, in groups, with where it is typed, what is left, what is owed, and what to do next.

use std::time::Duration;

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::cli::client::printable;
use crate::cli::lines::hanging;
use crate::cli::paint::Paint;
use crate::domain::time::Timestamp;

/// Most columns that the code in its frame takes.
const WIDTH: usize = 70;

/// What is shown around a code.
pub struct Around<'a> {
    /// The answer's data, without the code.
    pub data: &'a Map<String, Value>,
    /// The account.
    pub account: &'a str,
    /// What to add to commands so that they reach the same engine.
    pub flags: &'a str,
    /// Vault's warnings.
    pub warnings: Vec<&'a str>,
    /// The present time.
    pub now: Timestamp,
}

/// The whole page, at most so many columns wide. It holds the code.
pub fn page(code: &str, around: &Around<'_>, paint: Paint, columns: usize) -> Zeroizing<String> {
    // Room from the start, so that no copy of the code stays behind.
    let mut out = Zeroizing::new(String::with_capacity(16 * 1024));
    let text =
        |name: &str| around.data.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(printable);
    let number = |name: &str| around.data.get(name).and_then(Value::as_u64);
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    let fact = |name: &str, text: &str| format!("  {name:<13}{}", hanging(text, columns.saturating_sub(15), 15));
    line("");
    line(&format!("  {}", paint.bold(around.account)));
    if around.data.get("repeat").and_then(Value::as_bool) == Some(true) {
        line("  the same code as before; asking again costs nothing");
    }
    line("");
    for row in &*large(code, paint, columns.min(WIDTH)) {
        line(row);
    }
    line("");
    line(&format!("  Type it as   {}", paint.bold(code)));
    if let Some(hint) = look_alikes(code) {
        line(&fact("", &hint));
    }
    if let Some(url) = text("login_url") {
        line(&fact("Log in at", &url));
    }
    if let Some(name) = text("login_name") {
        line(&fact("As", &name));
    }
    line("");
    if let (Some(slot), Some(generation)) = (number("slot"), number("generation")) {
        line(&fact(
            "This is",
            &format!("code {slot} of set {generation}; it is used up now, whether you use it or not"),
        ));
    }
    let left = number("remaining");
    // The server warns of the same two things that stand here anyway.
    let low = |warning: &&str| left.is_some_and(|left| warning.starts_with(&format!("{left} codes remain:")));
    let running_low = around.warnings.iter().any(low);
    match left {
        Some(0) => line(&format!("  Remaining    {}", paint.alarm("none: this was the last one"))),
        Some(1) => line(&format!("  Remaining    {}", paint.warn("1 code"))),
        Some(left) if running_low => line(&format!("  Remaining    {}", paint.warn(format!("{left} codes")))),
        Some(left) => line(&format!("  Remaining    {left} codes")),
        None => {}
    }
    if let Some(by) = text("regenerate_by") {
        line(&fact("Owed", &format!("new codes, stored {}", due(&by, around.now))));
    }
    for warning in around.warnings.iter().filter(|warning| !low(warning)) {
        line(&fact("Note", &printable(warning)));
    }
    line("");
    line(&format!("  {}", paint.bold("When you have tried it, say what came of it:")));
    let outcomes = [("worked", "it worked"), ("refused", "it was refused"), ("unused", "not tried")];
    let command = |what: &str| format!("sparekey outcome {} {what}{}", around.account, around.flags);
    // A command that is broken cannot be copied.
    let beside = outcomes.iter().all(|(what, _)| 21 + command(what).chars().count() <= columns);
    for (what, said) in outcomes {
        match beside {
            true => line(&format!("    {said:<17}{}", command(what))),
            false => line(&format!("    {said}:\n      {}", command(what))),
        }
    }
    out
}

/// `by 2026-07-02 03:12 UTC (in 23 h 59 min)`.
pub fn due(by: &str, now: Timestamp) -> String {
    let Some(at) = Timestamp::parse(by) else { return format!("by {by}") };
    let when = clock(at);
    if at <= now {
        return format!("by {when}: OVERDUE since {}", span(now.since(at)));
    }
    format!("by {when} (in {})", span(at.since(now)))
}

/// `2026-07-02 03:12 UTC`.
pub fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// `23 h 59 min`.
pub fn span(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The code in a frame, its characters apart, in groups: rows of text.
fn large(code: &str, paint: Paint, columns: usize) -> Zeroizing<Vec<String>> {
    let groups = groups(code);
    let mut rows: Vec<(usize, String)> = Vec::new();
    for group in groups.iter() {
        let count = group.chars().count();
        let width = 2 * count - 1;
        let spaced: Vec<String> =
            group.chars().map(|c| if c.is_ascii_digit() { paint.digit(c) } else { paint.bold(c) }).collect();
        let spaced = spaced.join(" ");
        match rows.last_mut() {
            Some((used, row)) if *used + 4 + width + 12 <= columns => {
                *used += 4 + width;
                row.push_str("    ");
                row.push_str(&spaced);
            }
            _ => rows.push((width, spaced)),
        }
    }
    let widest = rows.iter().map(|(width, _)| *width).max().unwrap_or(0);
    let bar = "─".repeat(widest + 8);
    let blank = format!("  │{}│", " ".repeat(widest + 8));
    let mut framed = vec![format!("  ┌{bar}┐"), blank.clone()];
    for (width, row) in &rows {
        framed.push(format!("  │    {row}{}    │", " ".repeat(widest - width)));
    }
    framed.extend([blank, format!("  └{bar}┘")]);
    Zeroizing::new(framed)
}

/// The code's own groups, or groups of four where it is one long piece.
fn groups(code: &str) -> Zeroizing<Vec<String>> {
    let own: Vec<String> = code
        .split(|c: char| c == '-' || c.is_whitespace())
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let mut groups = Vec::new();
    for part in own {
        let letters: Vec<char> = part.chars().collect();
        let size = match letters.len() {
            count if count < 8 => count,
            count if count % 4 == 0 || count % 3 != 0 => 4,
            _ => 3,
        };
        groups.extend(letters.chunks(size.max(1)).map(|chunk| chunk.iter().collect::<String>()));
    }
    Zeroizing::new(groups)
}

/// What in the code is easily taken for something else.
fn look_alikes(code: &str) -> Option<String> {
    let told = [
        ('0', "0 is a zero"),
        ('O', "O is a letter"),
        ('o', "o is a letter"),
        ('1', "1 is a one"),
        ('l', "l is a small L"),
        ('I', "I is a capital i"),
    ];
    // Among digits alone nothing is taken for a letter.
    if code.chars().all(|c| c.is_ascii_digit() || c == '-' || c.is_whitespace()) {
        return None;
    }
    let found: Vec<&str> = told.iter().filter(|(c, _)| code.contains(*c)).map(|(_, told)| *told).collect();
    (!found.is_empty()).then(|| found.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_in_groups() {
        for (code, shown) in [
            ("abcde-12345", vec!["abcde", "12345"]),
            ("12345678", vec!["1234", "5678"]),
            ("1234 5678", vec!["1234", "5678"]),
            ("123456789", vec!["123", "456", "789"]),
            ("7kq29m2pxw4tb8hd", vec!["7kq2", "9m2p", "xw4t", "b8hd"]),
            ("abcdefghij", vec!["abcd", "efgh", "ij"]),
        ] {
            assert_eq!(*groups(code), shown, "{code}");
        }
    }

    #[test]
    fn the_frame_is_straight_with_and_without_colours() {
        let long = "x".repeat(64);
        for code in ["abcde-12345", "7KQ2-9M2P-XW4T-B8HD", "ü-ß", &long] {
            let rows = large(code, Paint::new(false), WIDTH);
            let width = rows[0].chars().count();
            assert!(rows.iter().all(|row| row.chars().count() == width), "{rows:?}");
            assert!(width <= WIDTH, "{width}");
            let painted = large(code, Paint::new(true), WIDTH);
            let plain = |row: &String| {
                let mut plain = String::new();
                let mut rest = row.as_str();
                while let Some((before, after)) = rest.split_once('\u{1b}') {
                    plain.push_str(before);
                    rest = after.split_once('m').unwrap().1;
                }
                plain + rest
            };
            assert_eq!(painted.iter().map(plain).collect::<Vec<_>>(), *rows);
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = Timestamp::parse("2026-07-01T03:12:00Z").unwrap();
        let due = |by: &str| due(by, now);
        assert_eq!(due("2026-07-02T03:12:00.000Z"), "by 2026-07-02 03:12 UTC (in 1 d 0 h)");
        assert_eq!(due("2026-07-01T05:02:00.000Z"), "by 2026-07-01 05:02 UTC (in 1 h 50 min)");
        assert_eq!(due("2026-07-01T03:00:00.000Z"), "by 2026-07-01 03:00 UTC: OVERDUE since 12 min");
    }
}
