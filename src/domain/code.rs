//! One look-up secret as text: what may come in, and the one canonical form in which codes are compared.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::crypto::secret::CodeText;

/// Longest code in bytes.
pub const MAX_BYTES: usize = 256;
/// Most codes of one set.
pub const MAX_CODES: usize = 512;
/// Fewest characters of a code's canonical form: anything shorter is no recovery code, and would be found in any sentence.
pub const MIN_CANONICAL: usize = 4;
/// NIST SP 800-63B-4 section 4.2.1.1: a saved recovery code has at least this many bits.
const STRONG_BITS: f64 = 64.0;

/// The form in which codes are compared: lower case, without white space and dashes of any kind. Computed once per code, before
/// any look-up, hash or comparison, so that no spelling of a used code is a new code.
pub fn canonical(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 2));
    for c in text.chars().filter(|c| !is_separator(*c)) {
        out.extend(c.to_lowercase());
    }
    out
}

/// White space, and what is printed as a dash.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{00ad}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}' | '\u{200b}'..='\u{200d}' | '\u{feff}')
}

/// What import found in a list of codes. Nothing here contains a code.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Reasons to refuse the set, each naming the position of the code.
    pub errors: Vec<String>,
    /// Things worth knowing.
    pub warnings: Vec<String>,
}

/// Looks over the codes of a new set, in slot order.
pub fn lint(codes: &[CodeText]) -> Findings {
    let mut found = Findings::default();
    if codes.is_empty() {
        found.errors.push("the list is empty".to_owned());
    }
    if codes.len() > MAX_CODES {
        found.errors.push(format!("at most {MAX_CODES} codes, not {}", codes.len()));
        return found;
    }
    let mut seen: Vec<(Zeroizing<String>, usize)> = Vec::with_capacity(codes.len());
    let mut shapes = BTreeMap::<String, usize>::new();
    let mut weak = 0;
    for (index, code) in codes.iter().enumerate() {
        let slot = index + 1;
        let text = code.expose();
        let plain = canonical(text);
        if plain.is_empty() {
            found.errors.push(format!("code {slot} is empty"));
            continue;
        }
        if text.len() > MAX_BYTES {
            found.errors.push(format!("code {slot} is longer than {MAX_BYTES} bytes"));
            continue;
        }
        if text.chars().any(char::is_control) {
            found.errors.push(format!("code {slot} contains a control character"));
            continue;
        }
        if text.contains(char::REPLACEMENT_CHARACTER) {
            found.errors.push(format!("code {slot} was not valid UTF-8 and lost characters on its way"));
            continue;
        }
        if plain.chars().count() < MIN_CANONICAL {
            found.errors.push(format!("code {slot} has fewer than {MIN_CANONICAL} characters"));
            continue;
        }
        *shapes.entry(shape(text)).or_default() += 1;
        if bits(&plain) < STRONG_BITS {
            weak += 1;
        }
        match seen.iter().find(|(other, _)| *other == plain) {
            Some((_, first)) => found.errors.push(format!("code {slot} is the same as code {first}")),
            None => seen.push((plain, slot)),
        }
    }
    if !found.errors.is_empty() {
        return found;
    }
    if weak > 0 {
        found.warnings.push(format!(
            "{weak} of {} codes have under 64 bits: guessing must be throttled where they are accepted",
            codes.len()
        ));
    }
    if shapes.len() > 1 {
        found
            .warnings
            .push(format!("the codes have {} different shapes: is the list complete and of one origin?", shapes.len()));
    }
    if codes.len() % 2 == 1 {
        found.warnings.push(format!("{} codes is an odd count: is the list complete?", codes.len()));
    }
    found
}

/// `abcde-12345` has the shape `xxxxx-xxxxx`: letters and digits mix by chance, so both count the same.
fn shape(text: &str) -> String {
    text.chars().map(|c| if c.is_alphanumeric() { 'x' } else { c }).collect()
}

/// Upper bound of a code's entropy in bits, from its length and the smallest usual alphabet that holds it.
fn bits(canonical: &str) -> f64 {
    let alphabet: f64 = if canonical.bytes().all(|b| b.is_ascii_digit()) {
        10.0
    } else if canonical.bytes().all(|b| b.is_ascii_hexdigit()) {
        16.0
    } else {
        36.0
    };
    canonical.chars().count() as f64 * alphabet.log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(texts: &[&str]) -> Vec<CodeText> {
        texts.iter().map(|text| CodeText::new(Zeroizing::new((*text).to_owned()))).collect()
    }

    #[test]
    fn every_spelling_has_one_canonical_form() {
        for spelling in
            ["ABCDE-12345", "abcde12345", " ab cd\te-123 45 ", "abcde\u{2013}12345", "AbCdE\u{2011}12345\u{feff}"]
        {
            assert_eq!(canonical(spelling).as_str(), "abcde12345", "{spelling:?}");
        }
        assert_eq!(canonical(&canonical("ÄÖ-1")).as_str(), canonical("ÄÖ-1").as_str());
    }

    #[test]
    fn lists_that_cannot_be_a_set_are_refused_by_position() {
        let long = "x".repeat(257);
        for (list, expected) in [
            (vec![], "the list is empty"),
            (vec!["abcde-12345", " - "], "code 2 is empty"),
            (vec!["abcde-12345", "ABCDE 12345"], "code 2 is the same as code 1"),
            (vec![long.as_str()], "code 1 is longer than 256 bytes"),
            (vec!["abc"], "code 1 has fewer than 4 characters"),
            (vec!["abcde\u{7}12345"], "code 1 contains a control character"),
            (vec!["abcde\u{fffd}12345"], "code 1 was not valid UTF-8 and lost characters on its way"),
        ] {
            let found = lint(&codes(&list));
            assert_eq!(found.errors, [expected]);
        }
        assert!(lint(&codes(&vec!["abcd-1234"; 513])).errors[0].contains("at most 512"));
    }

    #[test]
    fn weak_mixed_and_odd_lists_come_in_with_a_warning() {
        let github = lint(&codes(&["01abc-23def", "45abc-67def"]));
        assert!(github.errors.is_empty());
        assert!(github.warnings[0].contains("2 of 2 codes have under 64 bits"), "{github:?}");
        let mixed = lint(&codes(&["0123456789abcdef0123456789abcdef", "12345678", "0123456789abcdef0123456789abcde0"]));
        assert!(mixed.errors.is_empty());
        assert_eq!(mixed.warnings.len(), 3, "{mixed:?}");
        assert!(lint(&codes(&["0123456789abcdef0123", "0123456789abcdef0124"])).warnings.is_empty());
    }
}
