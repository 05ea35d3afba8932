//! Looks for secrets in whatever was written or said, in every encoding in which they might hide.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Every way in which `code` might stand in bytes.
pub fn disguises(code: &str) -> Vec<(String, Vec<u8>)> {
    let bare: String = code.chars().filter(|c| c.is_alphanumeric()).collect();
    let swapped = |text: &str| -> String {
        text.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
    };
    let mut all = Vec::new();
    for (what, text) in [("as imported", code), ("bare", &bare)] {
        all.extend(encodings(what, text));
        all.extend(encodings(&format!("{what}, lower case"), &text.to_lowercase()));
        all.extend(encodings(&format!("{what}, upper case"), &text.to_uppercase()));
        all.extend(encodings(&format!("{what}, case swapped"), &swapped(text)));
        all.extend(encodings(&format!("{what}, backwards"), &text.chars().rev().collect::<String>()));
    }
    all
}

/// `text` in every encoding.
pub fn encodings(what: &str, text: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    all.push((format!("{what}, hex"), hex::encode(text).into_bytes()));
    all.push((format!("{what}, hex upper case"), hex::encode_upper(text).into_bytes()));
    all.push((format!("{what}, percent"), text.bytes().flat_map(|b| format!("%{b:02X}").into_bytes()).collect()));
    all.push((format!("{what}, UTF-16"), text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
    // As JSON, and as JSON within JSON: here with the fewest escapes, and as Go writes it.
    let escaped = |text: &str| {
        let quoted = serde_json::to_string(text).expect("a text is JSON");
        quoted[1..quoted.len() - 1].to_owned()
    };
    let go = |text: &str| escaped(text).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    for (name, form) in [
        ("JSON", escaped(text)),
        ("JSON twice", escaped(&escaped(text))),
        ("JSON of Go", go(text)),
        ("JSON of Go twice", go(&go(text))),
    ] {
        all.push((format!("{what}, {name}"), form.into_bytes()));
    }
    // Base64 looks different at each of three offsets; only the characters that no neighbour touches count.
    for offset in 0..3 {
        let padded = [vec![0; offset], text.to_owned().into_bytes()].concat();
        for (name, engine) in [("base64", &STANDARD_NO_PAD), ("base64url", &URL_SAFE_NO_PAD)] {
            let encoded = engine.encode(&padded);
            let end = padded.len() * 8 / 6;
            let start = (offset * 8).div_ceil(6);
            all.push((format!("{what}, {name} at {offset}"), encoded.as_bytes()[start..end].to_vec()));
        }
    }
    all.push((what.to_owned(), text.to_owned().into_bytes()));
    all
}

/// A search for many secrets at once: one pass over the bytes finds them all.
pub struct Search {
    needles: HashMap<[u8; 4], Vec<(String, Vec<u8>)>>,
    /// Whether a needle begins with these two bytes.
    heads: Vec<bool>,
}

impl Search {
    /// For these codes, however they are written.
    pub fn codes(codes: &[impl AsRef<str>]) -> Self {
        let mut search = Search { needles: HashMap::new(), heads: vec![false; 1 << 16] };
        for code in codes.iter().map(AsRef::as_ref) {
            search.add(code, disguises(code));
        }
        search
    }
    /// And for these JWTs: whole, and each one's payload and signature.
    pub fn and_jwts(mut self, jwts: &[String]) -> Self {
        for (index, jwt) in jwts.iter().enumerate() {
            let parts = jwt.split('.').enumerate().skip(1).filter(|(_, part)| part.len() > 8);
            for (part, text) in parts {
                self.add(&format!("JWT {index}"), encodings(&format!("part {part}"), text));
            }
            self.add(&format!("JWT {index}"), encodings("whole", jwt));
        }
        self
    }
    fn add(&mut self, name: &str, needles: Vec<(String, Vec<u8>)>) {
        for (what, needle) in needles {
            let head: [u8; 4] = *needle.first_chunk().expect("a needle is longer than four bytes");
            self.heads[usize::from(u16::from_le_bytes([head[0], head[1]]))] = true;
            self.needles.entry(head).or_default().push((format!("{name} {what}"), needle));
        }
    }
    /// Where in `bytes` a secret stands, in words.
    pub fn found(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut finds = BTreeSet::new();
        for (at, window) in bytes.windows(4).enumerate() {
            if !self.heads[usize::from(u16::from_le_bytes([window[0], window[1]]))] {
                continue;
            }
            for (what, needle) in window.first_chunk().and_then(|head| self.needles.get(head)).into_iter().flatten() {
                if bytes[at..].starts_with(needle) {
                    finds.insert(format!("{what} in {place}"));
                }
            }
        }
        finds.into_iter().collect()
    }
}
