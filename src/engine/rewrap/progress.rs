//! How far re-wrapping has come: a record of its own, so that it goes on after a crash and on another node.

use std::time::Duration;

use minicbor::{Decode, Encode};
use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;
use crate::engine::keys;

/// The folders that hold wrapped keys, in the order in which a scan goes through them.
pub const FOLDERS: [&str; 3] = [keys::ACCOUNTS, keys::TOMBSTONES, keys::ARCHIVED_SETS];
/// No request that began under an earlier generation writes later than this after a rotation.
pub const LONGEST_REQUEST: Duration = Duration::from_secs(5 * 60);

/// A re-wrapping.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Progress {
    /// When it began.
    #[n(0)]
    pub began: Timestamp,
    /// The generation that wraps everything in the end.
    #[n(1)]
    pub target: u32,
    /// Whether somebody stopped it.
    #[n(2)]
    pub stopped: bool,
    /// Records that there are, as of the last count or scan.
    #[n(3)]
    pub total: u64,
    /// Keys that were wrapped anew in the scans before this one.
    #[n(4)]
    pub rewrapped: u64,
    /// Where it stands.
    #[n(5)]
    pub stage: Stage,
}

/// Where a walk stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Cursor {
    /// Which of [`FOLDERS`].
    #[n(0)]
    pub folder: u32,
    /// The last key in it that was dealt with; empty before the first.
    #[n(1)]
    pub after: String,
}

/// Where a re-wrapping stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Stage {
    /// Counting what there is.
    #[n(0)]
    Counting(#[n(0)] Cursor),
    /// Looking at every record.
    #[n(1)]
    Scanning(#[n(0)] Scan),
    /// A scan found nothing; the second one must not begin before this time.
    #[n(2)]
    Waiting(#[n(0)] Timestamp),
    /// It is over, and the older generations are retired.
    #[n(3)]
    Done(#[n(0)] Timestamp),
    /// It is over: so many keys could not be unwrapped, and no generation is retired.
    #[n(4)]
    Blocked(#[n(0)] u64),
}

/// One scan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Scan {
    /// How far.
    #[n(0)]
    pub at: Cursor,
    /// Records looked at.
    #[n(1)]
    pub done: u64,
    /// Keys under an older generation that were wrapped anew.
    #[n(2)]
    pub rewrapped: u64,
    /// Keys that stayed under an older generation: they do not unwrap, or their record kept changing.
    #[n(3)]
    pub failed: u64,
    /// Whether it is the second one: the scan before it found nothing.
    #[n(4)]
    pub second: bool,
    /// When this scan began.
    #[n(5)]
    pub began: Option<Timestamp>,
}

impl Progress {
    /// A re-wrapping that begins.
    pub fn new(target: u32, now: Timestamp) -> Self {
        let stage = Stage::Counting(Cursor::default());
        Progress { began: now, target, stopped: false, total: 0, rewrapped: 0, stage }
    }
    /// Turns to a newer generation: the scans begin anew.
    pub fn retarget(&mut self, target: u32, now: Timestamp) {
        if let Stage::Scanning(scan) = &self.stage {
            self.rewrapped += scan.rewrapped;
        }
        self.target = target;
        self.stage = Stage::Scanning(Scan { began: Some(now), ..Scan::default() });
    }
    /// Whether there is nothing more to do in it.
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Done(_) | Stage::Blocked(_))
    }
    /// Whether there is something to do at `now`.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self.stage {
            _ if self.stopped || self.is_over() => false,
            Stage::Waiting(until) => now >= until,
            _ => true,
        }
    }
    /// `running`, `waiting`, `stopped`, `done` or `blocked`.
    pub const fn word(&self) -> &'static str {
        match self.stage {
            Stage::Done(_) => "done",
            Stage::Blocked(_) => "blocked",
            _ if self.stopped => "stopped",
            Stage::Waiting(_) => "waiting",
            Stage::Counting(_) | Stage::Scanning(_) => "running",
        }
    }
    /// What a read answers.
    pub fn wire(&self, now: Timestamp) -> Map<String, Value> {
        let (done, failed, rewrapped) = match &self.stage {
            Stage::Counting(_) => (0, 0, 0),
            Stage::Scanning(scan) => (scan.done, scan.failed, scan.rewrapped),
            Stage::Blocked(failed) => (self.total, *failed, 0),
            Stage::Waiting(_) | Stage::Done(_) => (self.total, 0, 0),
        };
        let Value::Object(map) = json!({
            "state": self.word(),
            "done": done,
            "total": self.total.max(done),
            "eta": self.eta(now),
            "target": self.target,
            "rewrapped": self.rewrapped + rewrapped,
            "failed": failed,
        }) else {
            return Map::new();
        };
        map
    }
    /// Seconds until this stage is over, if that can be told.
    fn eta(&self, now: Timestamp) -> Option<u64> {
        match &self.stage {
            _ if self.stopped => None,
            Stage::Waiting(until) => Some(until.since(now).as_secs()),
            Stage::Scanning(scan) if scan.done > 0 => {
                let spent = u128::from(now.since(scan.began?).as_secs());
                let left = u128::from(self.total.saturating_sub(scan.done));
                u64::try_from(spent * left / u128::from(scan.done)).ok()
            }
            Stage::Done(_) => Some(0),
            Stage::Counting(_) | Stage::Scanning(_) | Stage::Blocked(_) => None,
        }
    }
    /// The stage after a scan that went through everything. `rotated` is when the target generation was made.
    pub fn after(&mut self, scan: &Scan, rotated: Timestamp, now: Timestamp) -> Next {
        self.total = scan.done;
        self.rewrapped += scan.rewrapped;
        let again = |second| Stage::Scanning(Scan { second, began: Some(now), ..Scan::default() });
        let next = match (scan.rewrapped, scan.failed, scan.second) {
            (0, 0, true) => return Next::Retire,
            (0, 0, false) => {
                let due = rotated.plus(LONGEST_REQUEST);
                if now >= due { again(true) } else { Stage::Waiting(due) }
            }
            (0, failed, _) => Stage::Blocked(failed),
            _ => again(false),
        };
        self.stage = next;
        Next::GoOn
    }
}

/// What follows a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The stage says.
    GoOn,
    /// Two scans found nothing: older generations go.
    Retire,
}
