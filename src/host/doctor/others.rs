//! Records of every other kind: each must decode as what its key says that it is.

use super::report::next;
use super::{Examination, named};
use crate::audit;
use crate::crypto::keyring::CONFIG_CHAIN;
use crate::domain::share::Shares;
use crate::engine::burn::Marker;
use crate::engine::cache::{self, Parsed};
use crate::engine::enroll::Seen;
use crate::engine::retrieve::Claim;
use crate::engine::source_state::SourceState;
use crate::engine::{keys, record, rewrap, wraps};
use crate::host::tokens::record::TokenRecord;
use crate::host::wrapping::record::WrappingRecord;
use crate::host::{seal, sys};
use crate::ledger::archive::Segment;
use crate::ledger::chain::Chain;
use crate::storage::snapshot::Entry;
use crate::storage::{StorageError, copy};

/// An event that has not reached all its accounts after so long was given up.
const UNFINISHED: std::time::Duration = std::time::Duration::from_secs(3600);

impl Examination {
    /// Examines an entry that has been opened.
    pub(super) async fn record(&mut self, entry: &Entry) -> Result<(), StorageError> {
        let Entry { key, value, .. } = entry;
        let folder = key.split_inclusive('/').next().unwrap_or(key);
        match folder {
            keys::ACCOUNTS | keys::TOMBSTONES => return self.account(key, value).await,
            keys::ARCHIVED_SETS => self.archived_set(key, value),
            "ledger/" => {
                self.segments_found += 1;
                drop(self.decoded::<Segment>(key, value));
            }
            keys::CONFIG_LEDGER => {
                if let Some(ledger) = self.decoded::<Chain>(key, value) {
                    return self.ledger(key, &CONFIG_CHAIN, "config", &ledger).await;
                }
            }
            keys::EVENTS => self.event(key, value),
            keys::CLAIMS => drop(self.decoded::<Claim>(key, value)),
            keys::LIMITS => drop(self.decoded::<Shares>(key, value)),
            keys::BURNS => drop(self.decoded::<Marker>(key, value)),
            "source-state/" => drop(self.decoded::<SourceState>(key, value)),
            keys::WRAPS => drop(self.decoded::<wraps::Wraps>(key, value)),
            keys::REWRAP => drop(self.decoded::<rewrap::Progress>(key, value)),
            keys::CONFIG | keys::ISSUERS | keys::PROFILES | keys::ROLES | keys::SOURCES | keys::KEYRING => {
                let parsed = Parsed::parse(key, value.clone(), &entry.revision, &self.root);
                self.outcome(key, parsed.map(drop).map_err(|error| named(&error)));
            }
            seal::KEY => self.outcome(key, seal::describe(value).map(drop).map_err(str::to_owned)),
            "tokens/" if key.starts_with("tokens/accessor/") => {
                self.outcome(key, if value.len() == 32 { Ok(()) } else { Err("is no hash of a token".to_owned()) });
            }
            "tokens/" => self.outcome(key, TokenRecord::decode(value).map(drop).map_err(str::to_owned)),
            "wrapping/" => self.outcome(key, WrappingRecord::decode(value).map(drop).map_err(str::to_owned)),
            "audit/" => self.audit_state(key, value),
            sys::nodes::NODES if key.contains("/audit/") => self.audit_state(key, value),
            sys::nodes::NODES => {
                let read = cache::from_json::<serde_json::Value>(key, value);
                self.outcome(key, read.map(drop).map_err(|error| named(&error)));
            }
            "turns/" | "epoch" | "restore" => self.outcome(key, well_formed(value)),
            copy::MARKER => {
                self.report.broken(key, "the store is an unfinished copy", "run the copy again: it goes on")
            }
            _ => self.report.notice(key, "this version knows no record of this name", next::NEWER),
        }
        Ok(())
    }

    fn audit_state(&mut self, key: &str, value: &[u8]) {
        let known = audit::is_state(value);
        self.outcome(key, if known { Ok(()) } else { Err("is no state of an audit device".to_owned()) });
    }

    fn event(&mut self, key: &str, value: &[u8]) {
        let Some(seen) = self.decoded::<Seen>(key, value) else { return };
        if !seen.todo.is_empty() && seen.at.plus(UNFINISHED) < self.now {
            let what = format!("an event of {} has not reached {} of its accounts", seen.at, seen.todo.len());
            self.report.broken(key, what, next::AGAIN);
        }
    }

    fn outcome(&mut self, key: &str, read: Result<(), String>) {
        if let Err(what) = read {
            self.report.broken(key, what, next::RECORD);
        }
    }
}

/// Of records that only their own part of the engine reads: that they are one item of CBOR (RFC 8949) behind the format byte.
fn well_formed(value: &[u8]) -> Result<(), String> {
    let Some((&record::FORMAT, body)) = value.split_first() else { return Err("has an unknown format".to_owned()) };
    let mut decoder = minicbor::Decoder::new(body);
    match decoder.skip() {
        Ok(()) if decoder.position() == body.len() => Ok(()),
        _ => Err("does not decode".to_owned()),
    }
}
