//! Lines on a terminal: how many columns there are, and text that is broken between words to fit them.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

/// Narrower than this nothing is laid out for.
const NARROWEST: usize = 40;

/// The columns of the terminal that standard output is; nothing where it is none.
pub fn of_output() -> Option<usize> {
    of(io::stdout())
}

/// The columns of the terminal that standard error is; nothing where it is none.
pub fn of_errors() -> Option<usize> {
    of(io::stderr())
}

fn of(stream: impl AsFd) -> Option<usize> {
    let columns = usize::from(tcgetwinsize(stream).ok()?.ws_col);
    // Some terminals break a line that fills them.
    (columns > 0).then(|| columns.max(NARROWEST) - 1)
}

/// `text` in lines of at most `columns`, broken between words. A word that is longer is broken behind a `/`, `@`, `-`, `.` or `_`
/// of its own, or else where the line ends.
pub fn folded(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + rest.len() <= columns {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
            used += 1;
        } else if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        while used + rest.len() > columns {
            let seam = rest[..columns].iter().rposition(|c| matches!(c, '/' | '@' | '-' | '.' | '_'));
            let tail = rest.split_off(seam.filter(|at| *at >= columns / 2).map_or(columns, |at| at + 1));
            lines.last_mut().into_iter().for_each(|line| line.extend(rest.iter()));
            lines.push(String::new());
            rest = tail;
        }
        used += rest.len();
        lines.last_mut().into_iter().for_each(|line| line.extend(rest.iter()));
    }
    lines
}

/// `text` in lines of at most `columns`, the second and later ones set in by `indent`.
pub fn hanging(text: &str, columns: usize, indent: usize) -> String {
    folded(text, columns).join(&format!("\n{}", " ".repeat(indent)))
}

/// A message of one or several lines for a terminal of so many columns. Lines with a command stay whole: they are there to be copied.
pub fn fitted(text: &str, columns: usize) -> String {
    let line = |line: &str| {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let said = &line[indent..];
        if said.starts_with("sparekey ") && indent > 0 || said.starts_with("bao ") || indent + 20 > columns {
            return line.to_owned();
        }
        format!("{}{}", &line[..indent], hanging(said, columns - indent, indent))
    };
    // What is to be found elsewhere stands on one line with its name.
    let tied = text.replace("(request ", "(request\u{a0}");
    tied.split('\n').map(line).collect::<Vec<_>>().join("\n").replace("(request\u{a0}", "(request ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_no_letter_is_lost() {
        assert_eq!(folded("one two three", 7), ["one two", "three"]);
        assert_eq!(folded("one two three", 40), ["one two three"]);
        assert_eq!(folded("aws/root-of-the-production", 20), ["aws/root-of-the-", "production"]);
        assert_eq!(folded("to aaaaaaaaaaaa", 8), ["to", "aaaaaaaa", "aaaa"]);
        assert_eq!(folded("", 8), [""]);
        assert_eq!(hanging("one two three", 7, 2), "one two\n  three");
        for columns in 1..30 {
            let text = "a new set is owed by okta/somebody-with-a-long-name@example.com";
            let lines = folded(text, columns);
            assert!(lines.iter().all(|line| line.chars().count() <= columns), "{columns}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""), "{columns}");
        }
    }

    #[test]
    fn commands_stay_whole_and_the_rest_keeps_its_indent() {
        let text = "there is no such account at all\n  sparekey get github/acme-owner-of-everything\n  said with some indent of its own";
        assert_eq!(
            fitted(text, 24),
            "there is no such account\nat all\n  sparekey get github/acme-owner-of-everything\n  said with some indent\n  of its own"
        );
    }
}
