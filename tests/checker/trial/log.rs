//! What happened, as it is written down: one JSON object a line, so that a run can be judged again without running it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first one: under what terms everything else happened.
    Terms(Terms),
    /// One request and what came of it.
    Try(Try),
    /// Something was broken on purpose.
    Fault(Fault),
    /// What the engine itself says of an account at the end.
    Book(Book),
    /// What was found wrong beside the requests: a log that does not verify, an answer from a damaged store.
    Finding(Finding),
}

/// What the judge has to know of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Terms {
    /// What the workload and the faults were drawn from.
    pub seed: u64,
    /// Where it ran.
    pub form: String,
    /// Whether a vault mounts the engine: then wrapped answers are the vault's own.
    pub mounted: bool,
    /// Whether the engine's clock was moved by hours: then what is judged by times is judged by the ledger's times only.
    pub clock_steps: bool,
    /// Whether the store writes a list one by one: then a code whose burning stopped in the middle is void, and no entry says so.
    #[serde(default)]
    pub in_order: bool,
    /// By account, how its sets live.
    pub accounts: BTreeMap<String, Manner>,
}

/// How the sets of an account live; names the profile too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// Escrowed, codes in any order, ended by an enrollment.
    Plain,
    /// The same, codes in turn only.
    InTurn,
    /// Escrowed, blocked by an enrollment until released.
    Quarantining,
    /// Escrowed, and an enrollment is only noted.
    Noting,
    /// Issued here, presented to be verified.
    Issued,
}

impl Manner {
    /// All of them.
    pub const ALL: [Manner; 5] = [Manner::Plain, Manner::InTurn, Manner::Quarantining, Manner::Noting, Manner::Issued];

    /// The name of the profile.
    pub const fn profile(self) -> &'static str {
        match self {
            Manner::Plain => "plain",
            Manner::InTurn => "in-turn",
            Manner::Quarantining => "quarantining",
            Manner::Noting => "noting",
            Manner::Issued => "made-here",
        }
    }
}

/// Microseconds since the run began, by one monotonic clock.
pub type Micros = u64;

/// One request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Try {
    /// The act that it is about. Several tries of one act are the same request sent again.
    pub act: String,
    /// Through which node.
    #[serde(default)]
    pub node: usize,
    /// About which account; empty where about none.
    #[serde(default)]
    pub account: String,
    /// When its first byte went out.
    pub sent: Micros,
    /// When the answer was there, or the connection known to be broken.
    pub answered: Micros,
    /// What was asked.
    pub asked: Asked,
    /// The status; none if no answer came.
    pub status: Option<u16>,
    /// What was answered.
    #[serde(default)]
    pub said: Said,
}

/// What can be asked. Assertions are not written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Asked {
    /// A new set; without codes one that is made.
    Store { codes: Vec<String>, cas: Option<u64>, bound_at: Option<u64>, enrollment: Option<u64> },
    /// A code.
    Retrieve { slot: Option<u64>, wrapped: bool, role: String },
    /// The code that another act had wrapped.
    Unwrap { of: String },
    /// What became of a code.
    Outcome { generation: u64, slot: u64, what: String },
    /// To accept a code.
    Verify { code: String },
    /// Whether a code is ours.
    Check { code: String },
    /// To take in a signed event. `id` is the act that told it first.
    Event { id: String, source: String, at: u64 },
    /// To take in an enrollment.
    Enroll { id: String, at: u64 },
    /// To end a set.
    Revoke { generation: Option<u64> },
    /// To let a set live again.
    Release,
    /// To note that the provider ended a set too.
    Confirm { generation: u64 },
    /// The account's metadata, with this token if not with the operator's.
    Read { token: Option<String> },
    /// To make an account.
    Create,
    /// To delete an account.
    Delete,
    /// A token. `token` in later requests is the act that got it.
    Login,
    /// To end that token.
    End { token: String },
    /// To let a role act, or not.
    Role { name: String, may: bool },
    /// To trust an issuer's key, or another one instead; `name` is the role that takes its assertions.
    Issuer { name: String, may: bool },
    /// A new generation of keys.
    Rotate,
    /// To wrap under the newest generation.
    Rewrap,
}

/// What is said in an answer, as far as it is judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeat: bool,
    /// It was done before, and the code is not shown again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
    /// Nothing was changed, since it had been done before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unchanged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<bool>,
    /// Of a release: a lock was lifted, and no quarantine.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unlocked: bool,
    /// By generation the states of all slots, a letter each (see [`letter`]).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<u64, String>,
    /// The first word of a refusal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub refusal: String,
}

/// A slot's state in a letter: held, dispensed, wrapped, used, consumed, void.
pub fn letter(state: &str) -> char {
    state.chars().next().unwrap_or('?')
}

/// Something broken on purpose.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// When it began.
    pub at: Micros,
    /// When it was over.
    pub until: Micros,
    /// What it was.
    pub kind: String,
}

/// What the engine says of an account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Book {
    /// Its name.
    pub account: String,
    /// Whether the chain of its history holds.
    pub verified: bool,
    /// Its history, oldest first.
    pub entries: Vec<Entry>,
    /// When it was read, by the engine's clock: milliseconds since 1970.
    pub read_at: i64,
    /// Its metadata; none if there is no such account, or no more.
    pub state: Option<State>,
}

/// The metadata of an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The highest generation.
    pub generation: u64,
    /// The set that codes can be had from.
    pub active: Option<u64>,
    /// How many of it.
    pub remaining: u64,
    /// As in [`Said::slots`].
    pub slots: BTreeMap<u64, String>,
}

/// An entry of the history.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Entry {
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at: i64,
    pub act: String,
    pub subject: String,
    pub generation: Option<u64>,
    pub slot: Option<u64>,
    pub repeat: bool,
    #[serde(default)]
    pub detail: Value,
}

/// Something wrong that no request shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// Which promise it is about.
    pub kind: super::judge::Kind,
    /// What is wrong.
    pub words: String,
}

/// A whole log.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub terms: Terms,
    pub tries: Vec<Try>,
    pub faults: Vec<Fault>,
    pub books: Vec<Book>,
    pub findings: Vec<Finding>,
}

impl Log {
    /// Takes in a line.
    pub fn push(&mut self, line: Line) {
        match line {
            Line::Terms(terms) => self.terms = terms,
            Line::Try(one) => self.tries.push(one),
            Line::Fault(fault) => self.faults.push(fault),
            Line::Book(book) => self.books.push(book),
            Line::Finding(finding) => self.findings.push(finding),
        }
    }
    /// Reads a log that was written down.
    pub fn read(from: impl Read) -> std::io::Result<Log> {
        let mut log = Log::default();
        for line in BufReader::new(from).lines() {
            log.push(serde_json::from_str(&line?)?);
        }
        Ok(log)
    }
    /// The log as lines.
    pub fn write(&self, mut to: impl std::io::Write) -> std::io::Result<()> {
        let mut put = |line: &Line| {
            serde_json::to_writer(&mut to, line).map_err(std::io::Error::from).and_then(|()| to.write_all(b"\n"))
        };
        put(&Line::Terms(self.terms.clone()))?;
        self.tries.iter().try_for_each(|one| put(&Line::Try(one.clone())))?;
        self.faults.iter().try_for_each(|one| put(&Line::Fault(one.clone())))?;
        self.books.iter().try_for_each(|one| put(&Line::Book(one.clone())))?;
        self.findings.iter().try_for_each(|one| put(&Line::Finding(one.clone())))
    }
}
