//! Audit files of any number of nodes against the ledgers of the server: acts without a line, and lines without an act.
//!
//! Ledgers are taken in turn, as many at once as the files' size allows in bounded memory; the files are read once for each turn.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::source::{Ledgers, PAGE};
use crate::audit::sighting::{self, Said};
use crate::cli::client::Failure;
use crate::cli::progress::{Progress, rate};
use crate::domain::time::Timestamp;
use crate::host::anchors::tail;

/// Bytes of audit files whose acts are held in memory at once, at some 50 bytes for 500 of a line.
const TURN: u64 = 2 << 30;
/// Findings that are kept word for word; more are counted.
const KEPT: usize = 100;
/// Acts without an answer's line whose requests are looked for.
const SOUGHT: usize = 100_000;

/// What came of the comparison.
#[derive(Debug, Default, Serialize)]
pub struct Matched {
    /// Ledgers that were compared.
    pub ledgers: u64,
    /// Entries of theirs.
    pub entries: u64,
    /// Entries that have their line.
    pub recorded: u64,
    /// Entries that the engine made by itself, such as a lapse.
    pub own: u64,
    /// Entries from before the first line, or after the last one.
    pub outside: u64,
    /// Entries whose request is recorded and whose answer is not: the server was stopped in between, and nobody saw the answer.
    pub unanswered_total: u64,
    /// The first hundred of them.
    pub unanswered: Vec<Act>,
    /// Entries without any line.
    pub silent_total: u64,
    /// The first hundred of them.
    pub silent: Vec<Act>,
    /// Lines whose act the ledger does not have: it was lost, or the line is made up.
    pub lost_total: u64,
    /// The first hundred of them.
    pub lost: Vec<Act>,
    /// Lines that were announced and taken back.
    pub taken_back: u64,
}

/// An entry of a ledger, or what a line says is one.
#[derive(Debug, Clone, Serialize)]
pub struct Act {
    /// The account; absent for the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Its number.
    pub seq: u64,
    /// What was done, where the ledger has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Its request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Matched {
    /// Whether every act has its line and every line its act.
    pub fn agrees(&self) -> bool {
        self.silent_total == 0 && self.lost_total == 0
    }
}

/// Compares `files` with `ledgers`; tells how far it has come.
pub fn compare(files: &[PathBuf], ledgers: &dyn Ledgers) -> Result<Matched, Failure> {
    let mut progress = Progress::new(false);
    let size: u64 = files.iter().filter_map(|file| file.metadata().ok()).map(|found| found.len()).sum();
    let turns = 1 + size / TURN;
    let mut matched = Matched::default();
    let mut sought = HashMap::new();
    for turn in 0..turns {
        let lines = Lines::read(files, turn, turns)?;
        matched.taken_back += lines.taken_back.len() as u64;
        let mut names: BTreeSet<Option<String>> = lines.acts.keys().cloned().collect();
        names.extend(listed(ledgers)?.into_iter().map(Some).filter(|name| bucket(name, turns) == turn));
        if bucket(&None, turns) == turn {
            names.insert(None);
        }
        for name in names {
            ledger(ledgers, &name, &lines, &mut matched, &mut sought)?;
            let Matched { ledgers: done, entries, .. } = matched;
            progress.tell(|time| format!("{done} ledgers with {entries} acts compared, {} a second", rate(done, time)));
        }
    }
    progress.end();
    let known = requests(files, &sought)?;
    for (id, act) in sought {
        match known.get(&id) {
            // The answer's line names no entry, or not all of them: an event that reached many, an account that was held.
            Some(true) => matched.recorded += 1,
            Some(false) => note(&mut matched.unanswered_total, &mut matched.unanswered, act),
            None => note(&mut matched.silent_total, &mut matched.silent, act),
        }
    }
    Ok(matched)
}

/// What the files say of the ledgers of one turn.
#[derive(Default)]
struct Lines {
    /// Number and beginning of the hash, by ledger.
    acts: BTreeMap<Option<String>, Vec<(u64, [u8; 8])>>,
    taken_back: HashSet<(String, u64)>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Lines {
    fn read(files: &[PathBuf], turn: u64, turns: u64) -> Result<Lines, Failure> {
        let mut lines = Lines::default();
        each_line(files, |bytes| {
            if let Some(at) = sighting::time(bytes) {
                lines.first = Some(lines.first.map_or(at, |first| first.min(at)));
                lines.last = Some(lines.last.map_or(at, |last| last.max(at)));
            }
            match sighting::read(bytes) {
                Some(Said::Acknowledged(said)) => {
                    for act in said.into_iter().filter(|act| bucket(&act.account, turns) == turn) {
                        let mut head = [0; 8];
                        head.copy_from_slice(&act.head[..8]);
                        lines.acts.entry(act.account).or_default().push((act.seq, head));
                    }
                }
                Some(Said::TakenBack { account, seq }) if bucket(&Some(account.clone()), turns) == turn => {
                    lines.taken_back.insert((account, seq));
                }
                _ => {}
            }
        })?;
        Ok(lines)
    }
    fn covers(&self, at: &str) -> bool {
        let at = Timestamp::parse(at);
        at.is_some() && at >= self.first && at <= self.last
    }
}

/// Compares one ledger.
fn ledger(
    ledgers: &dyn Ledgers,
    name: &Option<String>,
    lines: &Lines,
    matched: &mut Matched,
    sought: &mut HashMap<String, Act>,
) -> Result<(), Failure> {
    matched.ledgers += 1;
    let mut said: HashSet<(u64, [u8; 8])> = lines.acts.get(name).into_iter().flatten().copied().collect();
    let mut after = 0;
    while let Some(entries) = ledgers.entries(name.as_deref(), after)? {
        for entry in &entries {
            matched.entries += 1;
            let seq = entry["seq"].as_u64().unwrap_or(0);
            let text = |field: &str| entry[field].as_str().map(str::to_owned);
            let mut head = [0; 8];
            let read =
                hex::decode_to_slice(entry["hash"].as_str().and_then(|hash| hash.get(..16)).unwrap_or(""), &mut head);
            if read.is_ok() && said.remove(&(seq, head)) {
                matched.recorded += 1;
                continue;
            }
            let id = text("request_id").unwrap_or_default();
            let at = text("at").unwrap_or_default();
            let act =
                Act { account: name.clone(), seq, act: text("act"), at: text("at"), request_id: text("request_id") };
            if id.is_empty() {
                matched.own += 1;
            } else if !lines.covers(&at) {
                matched.outside += 1;
            } else if sought.len() < SOUGHT {
                // One request may have reached several accounts: one stands for all.
                sought.entry(id).or_insert(act);
            } else {
                matched.silent_total += 1;
            }
            after = after.max(seq);
        }
        after = entries.iter().filter_map(|entry| entry["seq"].as_u64()).max().unwrap_or(after);
        if entries.len() < PAGE {
            break;
        }
    }
    let mut left: Vec<u64> = said.into_iter().map(|(seq, _)| seq).collect();
    left.sort_unstable();
    for seq in left {
        let back = name.as_ref().is_some_and(|name| lines.taken_back.contains(&(name.clone(), seq)));
        if !back {
            let act = Act { account: name.clone(), seq, act: None, at: None, request_id: None };
            note(&mut matched.lost_total, &mut matched.lost, act);
        }
    }
    Ok(())
}

/// Names of all accounts that are there.
fn listed(ledgers: &dyn Ledgers) -> Result<Vec<String>, Failure> {
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let (more, next) = ledgers.names(&after)?;
        names.extend(more);
        match next {
            Some(next) => after = next,
            None => return Ok(names),
        }
    }
}

/// Those of `sought` whose request is recorded, and whether its answer is.
fn requests(files: &[PathBuf], sought: &HashMap<String, Act>) -> Result<HashMap<String, bool>, Failure> {
    let mut known: HashMap<String, bool> = HashMap::new();
    if !sought.is_empty() {
        each_line(files, |bytes| {
            if let Some((id, answered)) = sighting::request(bytes).filter(|(id, _)| sought.contains_key(*id)) {
                *known.entry(id.to_owned()).or_default() |= answered;
            }
        })?;
    }
    Ok(known)
}

fn each_line(files: &[PathBuf], mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    for file in files {
        let failed = |error: io::Error| Failure::local(format!("{}: {error}", file.display()));
        tail::each_line(file, 0, &mut take).map_err(failed)?;
    }
    Ok(())
}

fn bucket(name: &Option<String>, turns: u64) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name) % turns
}

fn note(total: &mut u64, kept: &mut Vec<Act>, act: Act) {
    *total += 1;
    if kept.len() < KEPT {
        kept.push(act);
    }
}
