//! Replays a device's lines offline: every link, every signature, every start line. It reads a line's beginning only, except
//! for the rare lines (start, checkpoint, void) that say something of the chain itself.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::chain::{self, Head, Line, MAX_LINE};
use super::checkpoint::{self, Flaw};
use super::report::{Begin, Place, Report, Void};
use super::start::{self, Cause};

/// How far a chain may go back after a broken write.
const RECENT: usize = 2048;

/// A replay in progress.
pub struct Replay {
    public: Option<[u8; 32]>,
    anchor: Option<Head>,
    head: Option<Head>,
    recent: VecDeque<Head>,
    checkpoints: Vec<Head>,
    key: Option<[u8; 32]>,
    adopted: bool,
    suspect: Option<Suspect>,
    /// Unreadable lines since the last readable one.
    garbled: u64,
    place: Place,
    /// The last line of the chain.
    before: Place,
    open: HashMap<u64, Place>,
    ids: RandomState,
    report: Report,
}

/// A line that does not fit to the one before it: which of the two was altered, the next one tells.
struct Suspect {
    before: Place,
    this: Place,
    head: Head,
    /// What the second line would be if its link fitted.
    mended: [u8; 32],
}

impl Replay {
    /// A replay that takes checkpoints of `public` only, if given, and expects to find `anchor`, if given.
    pub fn new(public: Option<[u8; 32]>, anchor: Option<Head>) -> Self {
        Replay {
            public,
            anchor,
            head: None,
            recent: VecDeque::with_capacity(RECENT + 1),
            checkpoints: Vec::new(),
            key: None,
            adopted: false,
            suspect: None,
            garbled: 0,
            place: Place::default(),
            before: Place::default(),
            open: HashMap::new(),
            ids: RandomState::new(),
            report: Report { intact: true, ..Report::default() },
        }
    }

    /// The lines that follow are those of this file, which comes after the ones before.
    pub fn file(&mut self, name: &str) {
        self.place = Place { file: self.report.files.len(), line: 0 };
        self.report.files.push(name.to_owned());
    }

    /// Takes the next line, without its line feed; `finished` says whether it had one.
    pub fn line(&mut self, bytes: &[u8], finished: bool) {
        self.place.line += 1;
        self.report.lines += 1;
        self.report.unsealed_tail += 1;
        if !finished {
            self.report
                .find(self.place, "the last line is unfinished: it was never acknowledged, or the file was cut here");
            return;
        }
        let Some(line) = Line::parse(bytes).filter(|_| bytes.len() <= MAX_LINE) else {
            self.garbled += 1;
            self.report.find(self.place, "not a line of this format: altered, or written by somebody else");
            return;
        };
        let now = Head { seq: line.seq, hash: chain::hash(bytes) };
        let kind = line.kind().unwrap_or("");
        self.resolve(Some(&line));
        let moved = match kind {
            "start" => self.start(&line, now),
            _ => self.link(&line, now),
        };
        if moved {
            self.head = Some(now);
            self.before = self.place;
            self.garbled = 0;
            self.recent.push_back(now);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        if self.anchor.is_some_and(|anchor| anchor == now) {
            self.anchor = None;
        }
        self.count(kind, &line, now);
    }

    /// The whole result.
    pub fn finish(mut self) -> Report {
        self.resolve(None);
        let last = self.head.unwrap_or(Head::GENESIS);
        if let Some(anchor) = self.anchor {
            let what = if anchor.seq > last.seq {
                format!("cut short: the chain ends at number {}, the anchor is number {}", last.seq, anchor.seq)
            } else {
                format!("number {}, which the anchor names, is altered or not in these files", anchor.seq)
            };
            self.report.find(self.place, what);
        }
        self.report.last_seq = last.seq;
        self.report.head = hex::encode(last.hash);
        self.report.key = self.key.map(hex::encode);
        self.report.unanswered = self.open.len() as u64;
        self.report.findings.sort_by_key(|finding| finding.at);
        self.report.first_unanswered = self.open.values().min().map(|place| self.report.name(*place));
        self.report
    }

    /// Names the altered one of two lines that do not fit, now that the next is known.
    fn resolve(&mut self, next: Option<&Line<'_>>) {
        let Some(suspect) = self.suspect.take() else { return };
        match next {
            Some(line) if line.seq == suspect.head.seq + 1 && line.prev != suspect.head.hash => {
                if line.prev == suspect.mended {
                    self.report.find(suspect.this, "altered: its link to the line before");
                } else {
                    self.report.find(suspect.before, "altered, or the link to it in the next line");
                    self.report.find(suspect.this, "altered: the next line names another hash for it");
                }
                // The next line was linked to what stood here before.
                self.head = Some(Head { seq: suspect.head.seq, hash: line.prev });
            }
            Some(_) => self.report.find(suspect.before, "altered: the next line names another hash for it"),
            None => self.report.find(suspect.before, "altered, or the line after it: the two do not fit together"),
        }
    }

    /// Whether the chain goes on with this line.
    fn link(&mut self, line: &Line<'_>, now: Head) -> bool {
        let Some(head) = self.head else {
            self.report.first_seq = line.seq;
            self.report.find(self.place, "no start line before it: earlier lines were cut off");
            return true;
        };
        let expected = head.seq + 1 + self.garbled;
        if line.seq > expected {
            let what = format!("numbers {expected} to {} are missing before it", line.seq - 1);
            self.report.find(self.place, what);
        } else if line.seq <= head.seq {
            let what = match self.recent.iter().find(|seen| seen.seq == now.seq) {
                Some(seen) if seen.hash == now.hash => format!("repeats number {}", now.seq),
                _ => format!("number {} comes after number {}: out of order", now.seq, head.seq),
            };
            self.report.find(self.place, what);
            return false;
        } else if self.garbled == 0 && line.prev != head.hash {
            let mut mended = Vec::new();
            let mut before = Head { seq: line.seq - 1, hash: head.hash };
            before.link(line.body, &mut mended);
            self.suspect = Some(Suspect { before: self.before, this: self.place, head: now, mended: before.hash });
        }
        true
    }

    fn start(&mut self, line: &Line<'_>, now: Head) -> bool {
        let Some(start) = start::read(line.body) else {
            self.report.find(self.place, "a start line that does not read: altered");
            return true;
        };
        self.adopted |= start.cause == Cause::Adopted;
        let begin = |explained| Begin {
            place: String::new(),
            cause: start.cause.word(),
            after: start.previous.seq,
            head: hex::encode(start.previous.hash),
            cut_bytes: start.cut,
            explained,
        };
        let Some(head) = self.head else {
            self.report.first_seq = line.seq;
            // A file never begins so, unless it is the device's first one.
            let within = start.kind == "file" && line.seq > 1;
            let within = within && matches!(start.cause, Cause::Opened | Cause::Adopted | Cause::Recovered);
            if within {
                self.report.find(self.place, "a start line that only stands within a file: earlier lines were cut off");
            } else if start.cause.alarming() {
                self.report.find(self.place, testimony(&start));
            }
            self.report.begin(self.place, begin(!within && !start.cause.alarming()));
            return true;
        };
        let linked = line.seq == head.seq + 1 && line.prev == head.hash;
        let seen = |point: &Head| self.recent.contains(point) || self.checkpoints.contains(point);
        let explained = (linked && start.previous == head)
            || (start.cause.may_go_back()
                && (line.seq, line.prev) == (start.previous.seq + 1, start.previous.hash)
                && seen(&start.previous))
            || (start.cause == Cause::Unanchored && linked && seen(&start.previous));
        self.report.begin(self.place, begin(explained));
        if explained {
            return true;
        }
        if start.cause.alarming() {
            self.report.find(self.place, testimony(&start));
            return true;
        }
        self.link(line, now)
    }

    fn count(&mut self, kind: &str, line: &Line<'_>, now: Head) {
        match kind {
            "request" => {
                if let Some(id) = line.request_id() {
                    self.open.insert(self.ids.hash_one(id), self.place);
                }
            }
            "response" => {
                if let Some(id) = line.request_id() {
                    self.open.remove(&self.ids.hash_one(id));
                }
                self.report.disclosures += u64::from(line.discloses());
            }
            "void" => {
                let place = self.report.name(self.place);
                match Void::read(place, line.body) {
                    Some(void) => self.report.voids.push(void),
                    None => self.report.find(self.place, "a void line that does not read: altered"),
                }
            }
            "missed" => self.report.missed += missed(line.body).unwrap_or(0),
            "checkpoint" => self.checkpoint(line, now),
            "start" => {}
            _ => self.report.find(self.place, "of a type that this version does not write"),
        }
        match self.report.types.get_mut(kind) {
            Some(count) => *count += 1,
            None if kind.len() < 32 => drop(self.report.types.insert(kind.to_owned(), 1)),
            None => {}
        }
    }

    fn checkpoint(&mut self, line: &Line<'_>, now: Head) {
        let told = match checkpoint::check(line, self.public.as_ref()) {
            Ok(told) => told,
            Err(flaw) => {
                self.report.find(
                    self.place,
                    match flaw {
                        Flaw::Shape => "a checkpoint that was altered",
                        Flaw::Head => "a checkpoint for another line than the one before it",
                        Flaw::Key => "a checkpoint signed by another key than the given one",
                        Flaw::Signature => "a checkpoint whose signature is wrong",
                    },
                );
                return;
            }
        };
        if self.key.is_some_and(|key| key != told.key) && !self.adopted {
            self.report.find(
                self.place,
                "a checkpoint signed by another key than those before; name the right one with --public-key",
            );
        }
        (self.key, self.adopted) = (Some(told.key), false);
        self.checkpoints.push(now);
        self.report.unsealed_tail = 0;
    }
}

fn testimony(start: &start::Read) -> String {
    let what = match start.cause {
        Cause::Missing => "the file was empty or not there when the server opened it",
        Cause::Deleted => "the file was deleted under the running server",
        Cause::Replaced => "another file had taken this one's place",
        Cause::Truncated => "the file was cut short under the running server",
        Cause::Shorter => "the file ended before lines that were acknowledged",
        Cause::Unanchored => "the file before this one was not compared",
        _ => "the file was altered",
    };
    format!("the server's own testimony: {what}; acknowledged were lines up to number {}", start.previous.seq)
}

fn missed(body: &[u8]) -> Option<u64> {
    let mut json = vec![b'{'];
    json.extend_from_slice(body);
    let value: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&json).ok()?;
    value.get("missed")?.get("lines")?.as_u64()
}
