//! Ledgers: every chain is computed anew, from its first segment in the archive to its head in the record.

use super::Examination;
use super::report::next;
use crate::engine::record;
use crate::ledger::archive::{self, Segment};
use crate::ledger::chain::{self, Broken, Chain, GENESIS, RECENT};
use crate::storage::{Found, Get, StorageError};

/// Segments that are read together.
const BATCH: usize = 16;

/// What is in the place of a segment.
enum Read {
    Segment(Segment),
    Missing,
    /// It is there, and the walk over the store tells what is wrong with it.
    Unreadable,
}

impl Examination {
    /// Verifies the ledger of `owner` (hex of an account id, or `config`), whose recent end lies in the record under `key`.
    pub(super) async fn ledger(
        &mut self,
        key: &str,
        chain_id: &[u8; 16],
        owner: &str,
        ledger: &Chain,
    ) -> Result<(), StorageError> {
        let keyring = self.keyring.clone();
        let mac = |previous: &[u8; 32], bytes: &[u8]| keyring.ledger_mac(chain_id, previous, bytes);
        let recent = ledger.recent.len() as u64;
        let Some(archived) = ledger.seq.checked_sub(recent).filter(|archived| archived.is_multiple_of(RECENT as u64))
        else {
            let what = format!("its ledger counts {} entries and holds {recent} of them", ledger.seq);
            self.report.broken(key, what, next::LEDGER);
            return Ok(());
        };
        self.segments_wanted += archived / RECENT as u64;
        let mut previous = GENESIS;
        let starts: Vec<u64> = (1..=archived).step_by(RECENT).collect();
        for batch in starts.chunks(BATCH) {
            for (first, read) in batch.iter().zip(self.segments(owner, batch).await?) {
                let broken = match read {
                    Read::Missing => {
                        self.segments_wanted -= 1;
                        Some(Broken { seq: *first, what: "is missing with its whole segment" })
                    }
                    Read::Unreadable => Some(Broken { seq: *first, what: "lies in a segment that cannot be read" }),
                    Read::Segment(segment) if segment.links.len() != RECENT => {
                        Some(Broken { seq: *first, what: "lies in a segment of the wrong length" })
                    }
                    Read::Segment(segment) => match chain::verify(&previous, *first, &segment.links, &mac) {
                        Ok(head) => {
                            previous = head;
                            self.report.counts.ledger_entries += segment.links.len() as u64;
                            None
                        }
                        Err(broken) => Some(broken),
                    },
                };
                if let Some(broken) = broken {
                    self.report.broken(&archive::key(owner, *first), broken.to_string(), next::LEDGER);
                    return Ok(());
                }
            }
        }
        let rest = match previous == *ledger.base {
            true => ledger.verify_recent(&mac),
            false => Err(Broken { seq: archived + 1, what: "does not follow from the archive" }),
        };
        match rest {
            Ok(()) => self.report.counts.ledger_entries += recent,
            Err(broken) => self.report.broken(key, broken.to_string(), next::LEDGER),
        }
        Ok(())
    }

    async fn segments(&mut self, owner: &str, starts: &[u64]) -> Result<Vec<Read>, StorageError> {
        let mut segments = Vec::with_capacity(starts.len());
        for first in starts {
            let key = archive::key(owner, *first);
            segments.push(match self.get(&key).await {
                Ok(Found::Value(bytes, _)) => record::decode(&key, &bytes).map_or(Read::Unreadable, Read::Segment),
                Ok(Found::Absent | Found::Unchanged) => Read::Missing,
                Err(StorageError::Corrupt { .. }) => Read::Unreadable,
                Err(error) => return Err(error),
            });
        }
        Ok(segments)
    }

    async fn get(&mut self, key: &str) -> Result<Found, StorageError> {
        use crate::storage::Storage as _;
        let found = self.barrier.get_many(vec![Get::new(key)]).await?;
        Ok(found.into_iter().next().unwrap_or(Found::Absent))
    }
    /// Whether there is a record under `key`, sound or not.
    pub(super) async fn is_there(&mut self, key: &str) -> Result<bool, StorageError> {
        match self.get(key).await {
            Ok(found) => Ok(found != Found::Absent),
            Err(StorageError::Corrupt { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }
}
