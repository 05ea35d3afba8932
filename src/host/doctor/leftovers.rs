//! What belongs to no account: looked for only if there are more segments than the accounts' ledgers want.

use std::collections::HashMap;
use std::sync::Arc;

use super::Examination;
use super::report::next;
use crate::engine::keys;
use crate::engine::record::{self, Record};
use crate::ledger::archive::Segment;
use crate::ledger::chain::{Chain, RECENT};
use crate::storage::StorageError;
use crate::storage::snapshot::{Entry, Snapshot};

/// Entries that are read at once.
const BATCH: usize = 256;

/// The ledgers in the records, by the hex of their accounts' ids: about a hundred bytes each, held only while this is looked for.
type Owners = HashMap<String, Recent>;

/// The recent end of a ledger.
struct Recent {
    /// The number of its last entry.
    seq: u64,
    /// The number of the oldest entry in the record.
    first: u64,
    /// The hash that a segment would end in that holds the oldest entries of the record.
    segment: Option<[u8; 32]>,
}

impl Recent {
    fn of(ledger: &Chain) -> Self {
        let segment = ledger.recent.get(RECENT - 1).map(|link| *link.hash);
        Recent { seq: ledger.seq, first: (ledger.seq + 1).saturating_sub(ledger.recent.len() as u64), segment }
    }
}

impl Examination {
    /// Names segments and archived sets that no account's record leads to.
    pub(super) async fn leftovers(&mut self) -> Result<(), StorageError> {
        let mut owners = Owners::new();
        let mut snapshot = self.fresh().await?;
        while let Some(entries) = batch(&mut *snapshot).await? {
            for mut entry in entries {
                let config = entry.key == keys::CONFIG_LEDGER;
                if !config && ![keys::ACCOUNTS, keys::TOMBSTONES].iter().any(|folder| entry.key.starts_with(folder)) {
                    continue;
                }
                if self.barrier.open_entry(&mut entry).is_err() {
                    // Told of already; what it owns would look like left over.
                    return Ok(());
                }
                match config {
                    true => {
                        let Ok(ledger) = record::decode::<Chain>(&entry.key, &entry.value) else { return Ok(()) };
                        owners.insert("config".to_owned(), Recent::of(&ledger));
                    }
                    false => {
                        let Ok(record) = record::decode::<Record>(&entry.key, &entry.value) else { return Ok(()) };
                        owners.entry(hex::encode(*record.account.id)).or_insert(Recent::of(&record.ledger));
                    }
                }
            }
        }
        let mut snapshot = self.fresh().await?;
        while let Some(entries) = batch(&mut *snapshot).await? {
            for entry in &entries {
                self.leftover(entry, &owners);
            }
        }
        Ok(())
    }

    fn leftover(&mut self, entry: &Entry, owners: &Owners) {
        let key = entry.key.as_str();
        let place = ["ledger/", keys::ARCHIVED_SETS].iter().find_map(|folder| key.strip_prefix(folder));
        let Some((owner, number)) = place.and_then(|place| place.split_once('/')) else { return };
        let Some(ledger) = owners.get(owner) else {
            return self.report.broken(key, "belongs to an account that is not there", next::LOST);
        };
        let first = number.parse::<u64>().ok().filter(|_| key.starts_with("ledger/"));
        let Some(first) = first.filter(|first| *first >= ledger.first) else { return };
        let mut opened = entry.clone();
        let links = self
            .barrier
            .open_entry(&mut opened)
            .ok()
            .and_then(|()| record::decode::<Segment>(key, &opened.value).ok().map(|segment| segment.links));
        // On a store that takes writes one by one a crash may leave a segment before the record that leaves it out.
        let end = links.and_then(|links| links.get(RECENT - 1).map(|link| *link.hash));
        let repeats = first == ledger.first && end.is_some() && end == ledger.segment;
        match repeats {
            true => {
                self.report.notice(key, "repeats what its account's record still holds: a crash left it", next::NONE)
            }
            false => {
                let what = format!("goes on after entry {}, at which its account's record ends", ledger.seq);
                self.report.broken(key, what, next::ROLLED_BACK);
            }
        }
    }

    async fn fresh(&mut self) -> Result<Box<dyn Snapshot>, StorageError> {
        Arc::clone(&self.raw).snapshot().await
    }
}

/// The next entries; one that is no row at all was told of already.
async fn batch(snapshot: &mut dyn Snapshot) -> Result<Option<Vec<Entry>>, StorageError> {
    loop {
        match snapshot.next(BATCH).await {
            Ok(entries) if entries.is_empty() => return Ok(None),
            Ok(entries) => return Ok(Some(entries)),
            Err(StorageError::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}
