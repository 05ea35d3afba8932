//! From bytes to lines: encodings, and files that are no text at all.

use zeroize::Zeroizing;

use super::{MAX_FILE, Refusal, lines_named};

/// A line with its number, from 1.
pub(super) type Numbered<'a> = (usize, &'a str);

/// The text of `bytes`: UTF-8, or UTF-16 if a byte order mark says so. A mark in front is dropped.
pub(super) fn decode(bytes: &[u8]) -> Result<Zeroizing<String>, Refusal> {
    if bytes.len() > MAX_FILE {
        return Err(Refusal::new(format!("the file is larger than {} KiB: no list of codes is", MAX_FILE / 1024)));
    }
    if let Some(kind) = foreign(bytes) {
        return Err(Refusal::new(format!(
            "the file is {kind}, not text. Open it, copy the codes into a plain text file, one a line, and import that"
        )));
    }
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest),
        _ => utf8(bytes),
    }
}

/// The lines of `text`, ended by LF, CRLF or CR.
pub(super) fn lines(text: &str) -> Result<Vec<Numbered<'_>>, Refusal> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        lines.push((lines.len() + 1, &rest[..end]));
        let after = &rest[end..];
        rest = after.strip_prefix("\r\n").or_else(|| after.strip_prefix(['\n', '\r'])).unwrap_or("");
    }
    let odd = |wrong: fn(char) -> bool| -> Vec<usize> {
        lines.iter().filter(|(_, line)| line.contains(wrong)).map(|(number, _)| *number).collect()
    };
    let control = odd(|c| c.is_control() && !matches!(c, '\t' | '\u{c}'));
    if !control.is_empty() {
        return Err(Refusal::new(format!("control characters in {}: is this a text file?", lines_named(&control))));
    }
    let invisible = odd(is_invisible);
    if !invisible.is_empty() {
        return Err(Refusal::new(format!(
            "invisible characters in {}: type the codes of these lines anew, or download the file again",
            lines_named(&invisible)
        )));
    }
    Ok(lines)
}

/// Characters that show nothing and would make a code look right and be wrong.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{336}')
}

fn utf8(bytes: &[u8]) -> Result<Zeroizing<String>, Refusal> {
    let wide = bytes.iter().filter(|byte| **byte == 0).count() * 4 > bytes.len();
    match std::str::from_utf8(bytes) {
        Ok(_) if wide => Err(Refusal::new("the file looks like UTF-16 without a byte order mark. Save it as UTF-8")),
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(Refusal::new(format!("line {line} is not UTF-8. Save the file as UTF-8 text")))
        }
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Zeroizing<String>, Refusal> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for decoded in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match decoded {
            Ok(c) => text.push(c),
            Err(_) => return Err(Refusal::new("the file is damaged UTF-16. Save it as UTF-8 text")),
        }
    }
    if rest.is_empty() { Ok(text) } else { Err(Refusal::new("the file is damaged UTF-16. Save it as UTF-8 text")) }
}

/// What the file is if it is one of the kinds that people keep codes in and that are no text.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 12] = [
        (b"%PDF", "a PDF"),
        (b"{\\rtf", "an RTF document"),
        (b"\x89PNG", "an image"),
        (b"\xff\xd8\xff", "an image"),
        (b"GIF8", "an image"),
        (b"RIFF", "an image"),
        (b"BM", "an image"),
        (b"PK\x03\x04", "a document or archive"),
        (b"\xd0\xcf\x11\xe0", "a document"),
        (b"\x1f\x8b", "compressed"),
        (b"SQLite format 3", "a database"),
        (b"-----BEGIN", "a key or certificate"),
    ];
    let found = MAGIC
        .iter()
        .find(|(magic, kind)| bytes.starts_with(magic) && (*magic != b"BM" || bytes.contains(&0)) && !kind.is_empty());
    if let Some((_, kind)) = found {
        return Some(kind);
    }
    if bytes.get(4..12).is_some_and(|brand| brand.starts_with(b"ftyp")) {
        return Some("an image");
    }
    let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let begins = |tag: &[u8]| start.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag));
    if begins(b"<!doctype") || begins(b"<html") || begins(b"<?xml") || begins(b"<svg") || begins(b"<table") {
        return Some("a web page");
    }
    (begins(b"{\"") || begins(b"{\n") || begins(b"{ ") || begins(b"[\"") || begins(b"[{") || begins(b"[\n"))
        .then_some("JSON")
}
