//! What an examination has found: in words that name the record, what is wrong with it, and what to do.

use serde::Serialize;

/// Most findings that are kept; of further ones only the number.
const MOST: usize = 1000;

/// Something about one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its key in the store.
    pub key: String,
    /// Whether something is wrong; else it only deserves a word.
    pub broken: bool,
    /// What.
    pub what: String,
    /// What to do about it.
    pub next: &'static str,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records of every kind.
    pub records: u64,
    /// Their bytes, sealed.
    pub bytes: u64,
    /// Accounts.
    pub accounts: u64,
    /// What stays of deleted accounts.
    pub tombstones: u64,
    /// Sets, in accounts and in the archive.
    pub sets: u64,
    /// Wrapped keys of sets that were opened.
    pub keys: u64,
    /// Codes that were opened and not looked at.
    pub codes: u64,
    /// Verifiers of issued codes that were compared with the fingerprints.
    pub verifiers: u64,
    /// Ledger entries whose chain was computed anew.
    pub ledger_entries: u64,
}

/// How far an examination has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Records that were looked at.
    pub done: u64,
    /// About how many there are, if that is known.
    pub total: Option<u64>,
    /// Findings so far that say that something is wrong.
    pub broken: u64,
}

/// The result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub sound: bool,
    /// What was looked at.
    #[serde(flatten)]
    pub counts: Counts,
    /// What was found, in the order of the keys.
    pub findings: Vec<Finding>,
    /// How many findings say that something is wrong.
    pub broken: u64,
    /// How many only deserve a word.
    pub notices: u64,
}

impl Report {
    pub(super) fn broken(&mut self, key: &str, what: impl Into<String>, next: &'static str) {
        self.broken += 1;
        self.keep(Finding { key: key.to_owned(), broken: true, what: what.into(), next });
    }
    pub(super) fn notice(&mut self, key: &str, what: impl Into<String>, next: &'static str) {
        self.notices += 1;
        self.keep(Finding { key: key.to_owned(), broken: false, what: what.into(), next });
    }
    fn keep(&mut self, finding: Finding) {
        if self.findings.len() < MOST {
            self.findings.push(finding);
        }
    }
}

/// What to do, by what was found.
pub(super) mod next {
    pub const RECORD: &str = "every request for it fails; put the store back from a backup in which it is sound, or, for an account, \
                              have its codes regenerated at the provider and stored under another name";
    pub const SET: &str = "revoke the set and store a new one: have the provider regenerate the codes";
    pub const LEDGER: &str = "compare with the audit files from the entry before on, and with a backup: nothing after it can be \
                              trusted";
    pub const ROLLED_BACK: &str = "somebody put an older record back: codes that left since are held again; revoke its set, and \
                                   go through the audit files";
    pub const LOST: &str =
        "its account's record is gone: look for it in a backup, and ask the audit files who was there";
    pub const DEFECT: &str = "no act of this program writes this: keep a copy of the store, and report it";
    pub const NONE: &str = "nothing: it is told because it is unusual";
    pub const AGAIN: &str =
        "have its sender send it again; until then the accounts it names may hold sets that it ends";
    pub const NEWER: &str = "nothing, if a newer version wrote it: examine with that version";
}
