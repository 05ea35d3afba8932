//! Accounts and their sets: every wrapped key and every code is opened at its place, and every verifier found among the
//! fingerprints.

use super::report::next;
use super::{Examination, named};
use crate::crypto::envelope::{self, Place};
use crate::domain::code::canonical;
use crate::domain::fingerprints::Fingerprints;
use crate::domain::name::AccountName;
use crate::domain::set::{Set, Slot};
use crate::engine::keys;
use crate::engine::record::{self, Record};
use crate::storage::StorageError;

impl Examination {
    /// Examines the record of an account, or what stays of a deleted one.
    pub(super) async fn account(&mut self, key: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let Some(record) = self.decoded::<Record>(key, bytes) else { return Ok(()) };
        let (name, tombstone) = match key.strip_prefix(keys::TOMBSTONES) {
            Some(name) => (name, true),
            None => (key.strip_prefix(keys::ACCOUNTS).unwrap_or(key), false),
        };
        match tombstone {
            true => self.report.counts.tombstones += 1,
            false => self.report.counts.accounts += 1,
        }
        if AccountName::parse(name).is_err() {
            self.report.broken(key, "its name is none that an account can have", next::DEFECT);
        }
        if tombstone && self.is_there(&format!("{}{name}", keys::ACCOUNTS)).await? {
            let what = "the account is there, too: a crash came between two writes of a deletion; the account counts";
            self.report.notice(key, what, next::NONE);
            return Ok(());
        }
        if tombstone != record.account.deleted_at.is_some() {
            let what = if tombstone {
                "stands among deleted accounts and is not deleted"
            } else {
                "is deleted and stands among accounts"
            };
            self.report.broken(key, what, next::DEFECT);
        }
        self.sets(key, &record);
        self.ledger(key, &record.account.id, &hex::encode(*record.account.id), &record.ledger).await
    }

    fn sets(&mut self, key: &str, record: &Record) {
        let account = &record.account;
        if account.sets.iter().filter(|set| set.is_live()).count() > 1 {
            self.report.broken(key, "more than one set is live", next::DEFECT);
        }
        let mut last = 0;
        for set in &account.sets {
            if set.generation <= last || set.generation > account.generation {
                let what = format!(
                    "set {} is out of order: its account counts {} generations",
                    set.generation, account.generation
                );
                self.report.broken(key, what, next::DEFECT);
            }
            last = set.generation;
            self.set(key, &account.id, set, Some(&account.fingerprints));
        }
        for inherited in account.moving.iter().flat_map(|moving| &moving.inherited) {
            if let Err(error) = self.keyring.inherited(&account.id, &inherited.origin, &inherited.key) {
                let what = format!("the key of fingerprints that came from another mount: {error}");
                self.report.broken(key, what, next::SET);
            }
        }
    }

    /// Examines a set that left its account's record.
    pub(super) fn archived_set(&mut self, key: &str, bytes: &[u8]) {
        let Some(set) = self.decoded::<Set>(key, bytes) else { return };
        let place = key.strip_prefix(keys::ARCHIVED_SETS).and_then(|rest| rest.split_once('/'));
        let id = place.and_then(|(id, _)| <[u8; 16]>::try_from(hex::decode(id).ok()?).ok());
        let Some((id, generation)) = id.zip(place.map(|(_, generation)| generation)) else {
            return self.report.broken(key, "its key names no account", next::DEFECT);
        };
        if generation.parse() != Ok(set.generation) {
            self.report.broken(
                key,
                format!("it holds set {}, and lies where another belongs", set.generation),
                next::DEFECT,
            );
        }
        if set.is_live() {
            self.report.broken(key, "a live set lies in the archive", next::DEFECT);
        }
        self.set(key, &id, &set, None);
    }

    fn set(&mut self, key: &str, account_id: &[u8; 16], set: &Set, prints: Option<&Fingerprints>) {
        self.report.counts.sets += 1;
        let generation = set.generation;
        let place = Place { account_id, set_id: &set.id, generation };
        if let Some(dek) = &set.dek {
            if let Err(error) = envelope::check(&self.keyring, &place, dek) {
                return self.report.broken(key, format!("the key of set {generation}: {error}"), next::SET);
            }
            self.report.counts.keys += 1;
        }
        let printer = self.keyring.fingerprinter(account_id);
        for (number, slot) in (1u32..).zip(&set.slots) {
            let remembered = prints.and_then(|prints| prints.print_of(generation, number));
            let (code, held) = match slot {
                Slot::Held(code) => (code, true),
                Slot::Dispensed(_, Some(code)) | Slot::Wrapped(_, code, _) => (code, false),
                Slot::Issued(verifier) => {
                    self.report.counts.verifiers += 1;
                    if remembered.is_some_and(|print| print != &verifier[..]) {
                        let what =
                            format!("the verifier of slot {number} in set {generation} is none of its fingerprints");
                        self.report.broken(key, what, next::SET);
                    }
                    continue;
                }
                Slot::Dispensed(_, None) | Slot::Used | Slot::Consumed(_) | Slot::Void(..) => continue,
            };
            let Some(dek) = &set.dek else {
                let what = format!("slot {number} in set {generation} has a code, and the set has no key");
                self.report.broken(key, what, next::SET);
                continue;
            };
            match envelope::open_code(&self.keyring, &place, number, dek, code) {
                Ok(text) => {
                    self.report.counts.codes += 1;
                    let print = printer.print(canonical(text.expose()).as_bytes());
                    if held && remembered.is_some_and(|remembered| remembered != &print[..]) {
                        let what = format!("the code of slot {number} in set {generation} is none of its fingerprints");
                        self.report.broken(key, what, next::SET);
                    }
                }
                Err(error) => {
                    let what = format!("the code of slot {number} in set {generation}: {error}");
                    self.report.broken(key, what, next::SET);
                }
            }
        }
    }

    /// The record in `bytes`; one that does not decode is a finding.
    pub(super) fn decoded<T: for<'b> minicbor::Decode<'b, ()>>(&mut self, key: &str, bytes: &[u8]) -> Option<T> {
        record::decode(key, bytes).map_err(|error| self.report.broken(key, named(&error), next::RECORD)).ok()
    }
}
