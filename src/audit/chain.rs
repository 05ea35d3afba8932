//! How lines hang together. A line is one JSON object that begins with its place in the device's chain:
//!
//! ```text
//! {"chain":{"seq":42,"prev":"<SHA-256 of line 41>"},"time":"…","type":"request",…}
//! ```
//!
//! `prev` is the SHA-256 (FIPS 180-4) of the bytes of the line before, without its line feed, in lower-case hex. It is a plain
//! hash and no MAC, so that anybody can check a file; signed checkpoints ([`super::checkpoint`]) keep a forger from computing it
//! anew.

use aws_lc_rs::digest::{SHA256, digest};

/// Longest line that is written or read, in bytes, line feed excluded.
pub const MAX_LINE: usize = 64 * 1024;

const OPEN: &[u8] = br#"{"chain":{"seq":"#;
const PREV: &[u8] = br#","prev":""#;
const CLOSE: &[u8] = br#""},"#;

/// The end of a chain: number and hash of its last line. Lines are counted from 1 over the whole life of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of the last line, 0 if there is none yet.
    pub seq: u64,
    /// Its hash, zeros if there is none yet.
    pub hash: [u8; 32],
}

impl Head {
    /// The chain before its first line.
    pub const GENESIS: Head = Head { seq: 0, hash: [0; 32] };

    /// Appends the next line to `out`, line feed included. `body` is the rest of the line after the chain member: it begins
    /// with a member and ends with the closing brace.
    pub fn link(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        self.seq += 1;
        out.extend_from_slice(OPEN);
        out.extend_from_slice(self.seq.to_string().as_bytes());
        out.extend_from_slice(PREV);
        out.extend_from_slice(hex::encode(self.hash).as_bytes());
        out.extend_from_slice(CLOSE);
        out.extend_from_slice(body);
        self.hash = hash(&out[start..]);
        out.push(b'\n');
    }
}

/// The hash of a line's bytes, line feed excluded.
pub fn hash(line: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, line).as_ref());
    out
}

/// A line taken apart as far as the chain needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number.
    pub seq: u64,
    /// The hash it gives for the line before.
    pub prev: [u8; 32],
    /// What follows the chain member.
    pub body: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads the beginning of a line; `None` if it is not one of this format.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(OPEN)?;
        let digits = rest.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(digits);
        if number.first() == Some(&b'0') {
            return None;
        }
        let seq = std::str::from_utf8(number).ok()?.parse().ok()?;
        let (hex, rest) = rest.strip_prefix(PREV)?.split_at_checked(64)?;
        let mut prev = [0; 32];
        hex::decode_to_slice(hex, &mut prev).ok()?;
        if hex.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let body = rest.strip_prefix(CLOSE)?;
        body.ends_with(b"}").then_some(Line { seq, prev, body })
    }

    /// The text of `type`, which follows `time` in every line.
    pub fn kind(&self) -> Option<&'a str> {
        let (kind, _) = self.after_time()?;
        Some(kind)
    }

    /// Whether the line is the intent of a disclosure.
    pub fn discloses(&self) -> bool {
        self.after_time().is_some_and(|(_, rest)| rest.starts_with(br#""disclosed":true,"#))
    }

    /// The request's id, which stands first in `request` where a line has one.
    pub fn request_id(&self) -> Option<&'a [u8]> {
        let (_, rest) = self.after_time()?;
        let rest = rest.strip_prefix(br#""disclosed":true,"#).unwrap_or(rest);
        let rest = rest.strip_prefix(br#""request":{"id":""#)?;
        let end = rest.iter().take(129).position(|byte| *byte == b'"')?;
        Some(&rest[..end])
    }

    fn after_time(&self) -> Option<(&'a str, &'a [u8])> {
        let rest = self.body.strip_prefix(br#""time":""#)?;
        let end = rest.iter().take(40).position(|byte| *byte == b'"')?;
        let rest = rest[end..].strip_prefix(br#"","type":""#)?;
        let end = rest.iter().take(40).position(|byte| *byte == b'"')?;
        let kind = std::str::from_utf8(&rest[..end]).ok()?;
        Some((kind, rest[end..].strip_prefix(br#"","#)?))
    }
}

/// Whether `bytes`, the rest of a file after its last line feed, are the beginning of a line of ours.
pub fn begins_a_line(bytes: &[u8]) -> bool {
    let shared = bytes.len().min(OPEN.len());
    bytes[..shared] == OPEN[..shared]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] =
        br#""time":"2026-07-01T12:00:00.000Z","type":"response","disclosed":true,"request":{"id":"a-b"}}"#;

    #[test]
    fn a_line_reads_back_as_it_was_linked() {
        let mut head = Head::GENESIS;
        let mut out = Vec::new();
        head.link(BODY, &mut out);
        let first = head;
        head.link(BODY, &mut out);
        let lines: Vec<&[u8]> = out.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3, "two lines, each closed by a line feed");
        assert_eq!(first, Head { seq: 1, hash: hash(lines[0]) });
        let line = Line::parse(lines[1]).unwrap();
        assert_eq!((line.seq, line.prev, line.body), (2, first.hash, BODY));
        assert_eq!(line.kind(), Some("response"));
        assert_eq!(line.request_id(), Some(&b"a-b"[..]));
        assert!(line.discloses());
        assert!(serde_json::from_slice::<serde_json::Value>(lines[1]).is_ok(), "a line is JSON");
    }

    #[test]
    fn what_is_no_line_of_ours_is_told() {
        let mut out = Vec::new();
        let mut head = Head::GENESIS;
        head.link(BODY, &mut out);
        let line = &out[..out.len() - 1];
        assert!(Line::parse(line).is_some());
        for cut in 0..line.len() {
            assert!(cut >= 91 || Line::parse(&line[..cut]).is_none(), "cut at {cut}");
            assert!(begins_a_line(&line[..cut]), "cut at {cut}");
        }
        assert!(!begins_a_line(b"Jul  1 12:00:00 syslog"));
        for bad in [&br#"{"chain":{"seq":01,"prev":""#[..], br#"{"chain":{"seq":,"prev":""#, b"{}", b""] {
            assert!(Line::parse(bad).is_none());
        }
    }
}
