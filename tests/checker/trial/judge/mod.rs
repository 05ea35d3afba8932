//! The judge: from what clients saw and what the engine says of itself to what is wrong.
//!
//! The history of an account names an order of its acts. So nothing has to be searched for, as a judge of linearizability does
//! that knows only invocations and answers: it is enough that this one order is legal ([`replay`]), that it holds every act that
//! was acknowledged and none that was not asked for ([`record`]), and that no act stands before one that had been answered
//! when it was sent ([`record`] too). Beside that, what clients saw is judged without believing the engine at all ([`once`],
//! [`ends`], [`trust`]).

pub mod ends;
pub mod once;
pub mod record;
pub mod replay;
pub mod trust;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::log::{Asked, Log, Micros, Try};

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A code left or was accepted twice.
    Twice,
    /// A code left or was accepted after the end of its set had been acknowledged.
    AfterEnd,
    /// Something was acknowledged and is not there.
    Lost,
    /// A history or an audit file does not verify.
    Unverifiable,
    /// The history tells otherwise than what happened.
    Record,
    /// A token, role or issuer counted after its end had been acknowledged.
    Trust,
    /// An answer that cannot be right.
    Wrong,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::Twice, Kind::AfterEnd, Kind::Lost, Kind::Unverifiable, Kind::Record, Kind::Trust, Kind::Wrong];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Kind::Twice => "double disclosures",
            Kind::AfterEnd => "disclosures after an end",
            Kind::Lost => "lost acknowledgements",
            Kind::Unverifiable => "unverifiable chains",
            Kind::Record => "differences between history and what happened",
            Kind::Trust => "ended tokens, roles or issuers honoured",
            Kind::Wrong => "wrong answers",
        }
    }
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    pub kind: Kind,
    pub words: String,
}

impl Breach {
    /// A broken promise, in words.
    pub fn new(kind: Kind, words: impl Into<String>) -> Self {
        Breach { kind, words: words.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.words(), self.words)
    }
}

/// What the judge says.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub breaches: Vec<Breach>,
    /// Codes that were burnt and that nobody saw: the price of a broken connection, and no breach.
    pub unseen: usize,
    /// Codes that were wrapped and never opened.
    pub unopened: usize,
    /// Codes that clients saw or had accepted.
    pub seen: usize,
    /// Entries of histories that were compared.
    pub entries: usize,
}

impl Verdict {
    /// How many breaches there are of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.breaches.iter().filter(|breach| breach.kind == kind).count()
    }
}

/// Judges a log.
pub fn judge(log: &Log) -> Verdict {
    let softened = log.terms.mounted.then(|| softened(log));
    let log = softened.as_ref().unwrap_or(log);
    let acts = Acts::of(log);
    let mut verdict = Verdict::default();
    verdict.breaches.extend(log.findings.iter().map(|found| Breach::new(found.kind, &found.words)));
    once::judge(&acts, &mut verdict);
    ends::judge(log, &acts, &mut verdict);
    trust::judge(&acts, &mut verdict);
    for book in &log.books {
        record::judge(log, &acts, book, &mut verdict);
        replay::judge(log, &acts, book, &mut verdict);
    }
    verdict.breaches.sort();
    verdict.breaches.dedup();
    verdict
}

/// A vault sends a request a second time to a plugin that died under the first one. So what is refused while a plugin dies may
/// have been done before it did, and says no more than no answer at all.
fn softened(log: &Log) -> Log {
    let mut log = log.clone();
    let died: Vec<(Micros, Micros)> = log.faults.iter().map(|fault| (fault.at, fault.until)).collect();
    for one in &mut log.tries {
        if one.is_refused() && died.iter().any(|(at, until)| *at <= one.answered && *until >= one.sent) {
            one.status = None;
        }
    }
    log
}

/// All acts by their name, each with its tries in the order they were sent.
pub struct Acts<'a>(pub BTreeMap<&'a str, Act<'a>>);

/// An act.
pub struct Act<'a> {
    pub tries: Vec<&'a Try>,
}

impl<'a> Acts<'a> {
    fn of(log: &'a Log) -> Self {
        let mut acts: BTreeMap<&str, Act<'_>> = BTreeMap::new();
        for one in &log.tries {
            acts.entry(&one.act).or_insert(Act { tries: Vec::new() }).tries.push(one);
        }
        acts.values_mut().for_each(|act| act.tries.sort_by_key(|one| one.sent));
        Acts(acts)
    }
    /// Every try of every act.
    pub fn tries(&self) -> impl Iterator<Item = (&'a str, &'a Try)> {
        self.0.iter().flat_map(|(name, act)| act.tries.iter().map(|one| (*name, *one)))
    }
}

impl<'a> Act<'a> {
    /// What was asked.
    pub fn asked(&self) -> &'a Asked {
        &self.tries[0].asked
    }
    /// About which account.
    pub fn account(&self) -> &'a str {
        &self.tries[0].account
    }
    /// When it was asked first.
    pub fn sent(&self) -> Micros {
        self.tries[0].sent
    }
    /// The first try that was acknowledged.
    pub fn acknowledged(&self) -> Option<&'a Try> {
        self.tries.iter().copied().filter(|one| one.is_acknowledged()).min_by_key(|one| one.answered)
    }
    /// Whether it cannot have had an effect: each of its tries was refused.
    pub fn is_refused(&self) -> bool {
        self.tries.iter().all(|one| one.is_refused())
    }
}

impl Try {
    /// Whether it was answered with success.
    pub fn is_acknowledged(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
    /// Whether it was answered that nothing was done. A failure of the server's, as no answer at all, says neither.
    pub fn is_refused(&self) -> bool {
        self.status.is_some_and(|status| (400..500).contains(&status))
    }
    /// When it was over as far as its effect goes.
    pub fn over(&self) -> Micros {
        if self.is_acknowledged() || self.is_refused() { self.answered } else { Micros::MAX }
    }
    /// The code that it disclosed or had accepted: its generation and slot.
    pub fn let_out(&self) -> Option<(u64, u64)> {
        let out = self.is_acknowledged()
            && match &self.asked {
                Asked::Retrieve { .. } | Asked::Unwrap { .. } => self.said.code.is_some(),
                Asked::Verify { .. } => self.said.valid == Some(true),
                _ => false,
            };
        out.then_some(self.said.generation.zip(self.said.slot)).flatten()
    }
}

/// A code in the one spelling in which codes are compared.
pub fn canonical(code: &str) -> String {
    let plain = code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase());
    plain
        .map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}
