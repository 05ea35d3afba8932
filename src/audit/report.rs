//! What a replay found.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// Findings that are kept word for word; more are counted.
const KEPT: usize = 100;

/// The result of a replay. Serializes as `--json` prints it.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Nothing is wrong.
    pub intact: bool,
    /// The files, in the order they were given.
    pub files: Vec<String>,
    /// Lines read.
    pub lines: u64,
    /// Number of the first line in the device's chain.
    pub first_seq: u64,
    /// Number of the last line.
    pub last_seq: u64,
    /// Hash of the last line.
    pub head: String,
    /// The public key that signed the checkpoints, hex.
    pub key: Option<String>,
    /// Lines by type.
    pub types: BTreeMap<String, u64>,
    /// Lines after the last good checkpoint: they hang together, but no signature covers them yet.
    pub unsealed_tail: u64,
    /// Disclosure lines: what was about to be given out.
    pub disclosures: u64,
    /// Disclosure lines that were taken back.
    pub voids: Vec<Void>,
    /// Requests without a response line.
    pub unanswered: u64,
    /// The first of them.
    pub first_unanswered: Option<String>,
    /// Lines that this device could not take; another device has them.
    pub missed: u64,
    /// Where parts of the chain begin: openings, rotations, reconnections.
    pub starts: Vec<Begin>,
    /// How many things are wrong.
    pub findings_total: u64,
    /// The first hundred of them.
    pub findings: Vec<Finding>,
}

/// A line of a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Index into [`Report::files`].
    pub file: usize,
    /// The line.
    pub line: u64,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Where, for the order of findings.
    #[serde(skip)]
    pub(super) at: Place,
    /// The file.
    pub file: String,
    /// The line in it, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// The beginning of a part of the chain.
#[derive(Debug, Serialize)]
pub struct Begin {
    /// `file:line`.
    pub place: String,
    /// Why.
    pub cause: &'static str,
    /// The number of the line it goes on from.
    pub after: u64,
    /// The hash of that line.
    pub head: String,
    /// Bytes of an unfinished line that were cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_bytes: Option<u64>,
    /// Whether the part before is in these files and fits, or need not be.
    pub explained: bool,
}

/// A disclosure that was taken back.
#[derive(Debug, Serialize)]
pub struct Void {
    /// `file:line`.
    pub place: String,
    /// The request.
    pub request: String,
    /// Why.
    pub reason: String,
    /// What the disclosure line had named.
    pub disclosure: Value,
}

impl Report {
    /// Notes that something is wrong.
    pub(super) fn find(&mut self, place: Place, what: impl Into<String>) {
        self.intact = false;
        self.findings_total += 1;
        if self.findings.len() < KEPT {
            let file = self.files.get(place.file).cloned().unwrap_or_default();
            self.findings.push(Finding { at: place, file, line: place.line, what: what.into() });
        }
    }

    /// Notes the beginning of a part.
    pub(super) fn begin(&mut self, place: Place, begin: Begin) {
        if self.starts.len() < KEPT || !begin.explained {
            let place = self.name(place);
            self.starts.push(Begin { place, ..begin });
        }
    }

    /// `file:line`.
    pub(super) fn name(&self, place: Place) -> String {
        format!("{}:{}", self.files.get(place.file).map_or("", String::as_str), place.line)
    }
}

impl Void {
    /// Reads the body of a void line.
    pub(super) fn read(place: String, body: &[u8]) -> Option<Self> {
        let mut json = vec![b'{'];
        json.extend_from_slice(body);
        let mut value: Value = serde_json::from_slice(&json).ok()?;
        let request = value["request"]["id"].as_str()?.to_owned();
        let reason = value["void"]["reason"].as_str()?.to_owned();
        Some(Void { place, request, reason, disclosure: value["void"]["disclosure"].take() })
    }
}
