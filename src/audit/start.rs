//! Start lines. Every file, connection and run of the server begins its part of the chain with one. It names the end of the
//! part before, and why a new part begins; where the two do not fit, it is the testimony of a break.

use serde::{Deserialize, Serialize};

use super::chain::Head;
use crate::domain::time::Timestamp;

/// Why a new part of the chain begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The server opened the device and found it as it had left it.
    Opened,
    /// After a crash, on a device that cannot be read back: goes on from the last checkpoint that was kept.
    Resumed,
    /// The operator asked for a new file (SIGHUP).
    Rotated,
    /// The file was moved away; it still exists somewhere.
    Moved,
    /// A new connection took the place of a broken one.
    Reconnected,
    /// The device could not be written to for a while.
    Recovered,
    /// The store knew no line of this device, but the file had some.
    Adopted,
    /// Lines were acknowledged, but the file was empty or not there when the server opened it.
    Missing,
    /// The file was deleted under the running server.
    Deleted,
    /// Another file with other lines took its place.
    Replaced,
    /// The file was made shorter under the running server.
    Truncated,
    /// The file ended before the last line that the store knows.
    Shorter,
    /// Lines were altered, or somebody else wrote into the file.
    Altered,
    /// The last line that the store knows is in an earlier file, and the lines between were not compared.
    Unanchored,
}

impl Cause {
    /// The word that stands in the line.
    pub const fn word(self) -> &'static str {
        match self {
            Cause::Opened => "opened",
            Cause::Resumed => "resumed",
            Cause::Rotated => "rotated",
            Cause::Moved => "moved",
            Cause::Reconnected => "reconnected",
            Cause::Recovered => "recovered",
            Cause::Adopted => "adopted",
            Cause::Missing => "missing",
            Cause::Deleted => "deleted",
            Cause::Replaced => "replaced",
            Cause::Truncated => "truncated",
            Cause::Shorter => "shorter",
            Cause::Altered => "altered",
            Cause::Unanchored => "unanchored",
        }
    }

    /// Whether acknowledged lines may have been lost or altered, unless the part before can be shown.
    pub const fn alarming(self) -> bool {
        matches!(
            self,
            Cause::Missing
                | Cause::Deleted
                | Cause::Replaced
                | Cause::Truncated
                | Cause::Shorter
                | Cause::Altered
                | Cause::Unanchored
        )
    }

    /// Whether the chain may go on from a line before the last one: what followed it was not acknowledged.
    pub const fn may_go_back(self) -> bool {
        matches!(self, Cause::Resumed | Cause::Rotated | Cause::Moved | Cause::Reconnected | Cause::Recovered)
    }
}

/// How a device was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// Why a new part begins.
    pub cause: Cause,
    /// The last line in the device, where it can be read and is not the one that was expected.
    pub found: Option<Head>,
    /// An unfinished line that was cut off.
    pub cut: Option<Cut>,
}

/// An unfinished last line (never acknowledged) that was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub hash: [u8; 32],
}

impl Opening {
    /// An opening without anything to tell.
    pub const fn plain(cause: Cause) -> Self {
        Opening { cause, found: None, cut: None }
    }

    /// Where the start line goes on: after the line that stands before it in the device, under a number that was never used.
    pub fn base(&self, previous: Head) -> Head {
        match self.found {
            None => previous,
            Some(found) => Head { seq: found.seq.max(previous.seq), hash: found.hash },
        }
    }

    /// The body of the start line; `previous` is the chain's end as the server knows it.
    pub fn body(&self, device: &str, kind: &str, previous: &Head, public: &[u8; 32], now: Timestamp) -> Vec<u8> {
        super::shape::body_of(&Shape {
            time: now.to_string(),
            kind: "start".into(),
            start: Start {
                device: device.to_owned(),
                kind: kind.to_owned(),
                cause: self.cause,
                previous: Point::of(previous),
                found: self.found.as_ref().map(Point::of),
                cut: self.cut.map(|cut| CutPoint { bytes: cut.bytes, sha256: hex::encode(cut.hash) }),
                version: env!("CARGO_PKG_VERSION").into(),
                key: hex::encode(public),
            },
        })
    }
}

/// A start line as it is read back.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// `file`, `stdout` or `socket`.
    pub kind: String,
    /// Why the part begins.
    pub cause: Cause,
    /// The end of the part before.
    pub previous: Head,
    /// How many bytes of an unfinished line were cut off.
    pub cut: Option<u64>,
}

/// Reads the body of a start line.
pub fn read(body: &[u8]) -> Option<Read> {
    let mut json = vec![b'{'];
    json.extend_from_slice(body);
    let shape: Shape = serde_json::from_slice(&json).ok()?;
    Some(Read {
        kind: shape.start.kind,
        cause: shape.start.cause,
        previous: shape.start.previous.head()?,
        cut: shape.start.cut.map(|cut| cut.bytes),
    })
}

#[derive(Serialize, Deserialize)]
struct Shape {
    time: String,
    #[serde(rename = "type")]
    kind: String,
    start: Start,
}

#[derive(Serialize, Deserialize)]
struct Start {
    device: String,
    kind: String,
    cause: Cause,
    previous: Point,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Point>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<CutPoint>,
    version: String,
    key: String,
}

#[derive(Serialize, Deserialize)]
struct Point {
    seq: u64,
    head: String,
}

#[derive(Serialize, Deserialize)]
struct CutPoint {
    bytes: u64,
    sha256: String,
}

impl Point {
    fn of(head: &Head) -> Self {
        Point { seq: head.seq, head: hex::encode(head.hash) }
    }
    fn head(&self) -> Option<Head> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.head, &mut hash).ok()?;
        Some(Head { seq: self.seq, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_line_reads_back() {
        let previous = Head { seq: 9, hash: [1; 32] };
        let found = Head { seq: 7, hash: [2; 32] };
        let opening = Opening { cause: Cause::Shorter, found: Some(found), cut: Some(Cut { bytes: 3, hash: [0; 32] }) };
        assert_eq!(
            opening.base(previous),
            Head { seq: 9, hash: [2; 32] },
            "no number twice, after the line that is there"
        );
        let body = opening.body("main", "file", &previous, &[5; 32], Timestamp::from_secs(0));
        assert_eq!(read(&body), Some(Read { kind: "file".into(), cause: Cause::Shorter, previous, cut: Some(3) }));
        assert_eq!(serde_json::to_value(Cause::Unanchored).unwrap(), Cause::Unanchored.word());
    }
}
