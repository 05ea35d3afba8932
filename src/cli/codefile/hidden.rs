//! Lines that do not read as codes: plain text, or is a code hidden in them?

use super::judge::Usual;
use super::shape::{Class, is_group, is_header_word, pattern};

/// Why `line`, which does not read as codes, may not be passed over as text; nothing if it may.
pub(super) fn hidden(line: &str, usual: &Usual) -> Option<&'static str> {
    if has_typographic_dash(line) {
        return Some(
            "a printed dash between letters or digits. If it is a code, write it with a plain \"-\". Is it only text?",
        );
    }
    let parts = parts(line);
    let groups = usual.pattern.split(' ').count();
    if parts.windows(groups).any(|run| is_like(run, usual)) || parts.iter().any(|part| is_squeezed(part, usual)) {
        return Some(
            "something shaped like the codes, and other things beside it. If it is a code, put it on a line of its own. Is it only text?",
        );
    }
    if has_words(line) || !line.contains(char::is_alphanumeric) {
        return None;
    }
    Some("neither a code nor words. If it is a code, write it like the others. Is it only text?")
}

/// The pieces of a line that could be codes or groups of one. Addresses of mail and web are none.
fn parts(line: &str) -> Vec<&str> {
    let addresses = |word: &&str| !word.contains('@') && !word.contains("://");
    let cut = |word| str::split(word, |c: char| !c.is_ascii_alphanumeric() && c != '-');
    line.split_whitespace()
        .filter(addresses)
        .flat_map(cut)
        .map(|part| part.trim_matches('-'))
        .filter(|part| is_group(part))
        .collect()
}

/// The same pattern as the codes. A word of letters only counts where the codes are such words, too.
fn is_like(run: &[&str], usual: &Usual) -> bool {
    let class = Class::of(run);
    pattern(run) == usual.pattern
        && !class.beyond(usual.class)
        && (class.digits
            || run[0].contains('-')
            || (usual.class.letters_only() && !run.iter().any(|word| is_header_word(word))))
}

/// As many letters and digits as the codes, written together or divided otherwise.
fn is_squeezed(part: &str, usual: &Usual) -> bool {
    let length = |text: &str| text.bytes().filter(u8::is_ascii_alphanumeric).count();
    let class = Class::of(&[part]);
    class.digits && !class.beyond(usual.class) && length(part) == length(&usual.pattern)
}

fn has_typographic_dash(line: &str) -> bool {
    let chars: Vec<char> = line.chars().collect();
    let dash = |c: char| matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}');
    let near = |c: &char| c.is_ascii_alphanumeric();
    let between = chars.windows(3).any(|three| near(&three[0]) && dash(three[1]) && near(&three[2]));
    between && line.contains(|c: char| c.is_ascii_digit())
}

/// Has a word: two letters or more that are not part of a mixture with digits, or an address.
fn has_words(line: &str) -> bool {
    let word = |word: &str| {
        let core = word.trim_matches(|c: char| !c.is_alphanumeric());
        core.chars().count() > 1 && core.chars().all(|c| c.is_alphabetic() || matches!(c, '\'' | '’' | '-' | '/'))
    };
    line.split_whitespace().any(|part| part.contains('@') || part.contains("://") || word(part))
}
