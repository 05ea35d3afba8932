//! Sweeps: claims, limits, events and markers that nothing needs any more make room. Nothing is decided here: what is over is refused
//! without this, and what might still be needed stays.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::name::AccountName;
use crate::domain::share::Shares;
use crate::domain::time::Timestamp;
use crate::engine::burn::Marker;
use crate::engine::cache::{Snapshot, storage_failed};
use crate::engine::enroll::Seen;
use crate::engine::retrieve::Claim;
use crate::engine::{Engine, burn, keys, record};
use crate::error::Result;
use crate::storage::{Found, Get, PutError, Storage, Write};

pub mod sets;

/// Folders that are swept, and whether their records lie one folder deeper.
const FOLDERS: [(&str, bool); 4] =
    [(keys::CLAIMS, false), (keys::LIMITS, false), (keys::EVENTS, true), (keys::BURNS, true)];
/// Records that are read, and removed, together.
const CHUNK: usize = 32;
/// How long a marker or a share stays beyond its time: whoever could still bring an older record back is long gone by then, and
/// a clock that was wrong has been put right.
const MARGIN: Duration = Duration::from_secs(86_400);

/// Where the next turn goes on.
#[derive(Default, minicbor::Encode, minicbor::Decode)]
pub struct Progress {
    #[n(0)]
    folder: usize,
    /// The folder within, as it was listed.
    #[n(1)]
    inner: Option<String>,
    #[n(2)]
    after: Option<String>,
}

/// What sweeps take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Claims on assertions.
    Claim,
    /// Shares of a limit across accounts.
    Limit,
    /// Events.
    Event,
    /// Markers of burns.
    Marker,
    /// Records in which keys or ciphertexts of sets were destroyed, or the end of one was noticed.
    Set,
}

impl What {
    /// All of them.
    pub const ALL: [What; 5] = [What::Claim, What::Limit, What::Event, What::Marker, What::Set];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            What::Claim => "claim",
            What::Limit => "limit",
            What::Event => "event",
            What::Marker => "marker",
            What::Set => "set",
        }
    }
    fn of(key: &str) -> What {
        match key {
            key if key.starts_with(keys::CLAIMS) => What::Claim,
            key if key.starts_with(keys::LIMITS) => What::Limit,
            key if key.starts_with(keys::EVENTS) => What::Event,
            _ => What::Marker,
        }
    }
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Whether everything has been looked at since the turn that began at the front.
    pub whole: bool,
    by: [usize; What::ALL.len()],
}

impl Swept {
    /// Records that were removed, or changed.
    pub fn gone(&self) -> usize {
        self.by.iter().sum()
    }
    /// Those of one kind.
    pub fn of(&self, what: What) -> usize {
        self.by[what as usize]
    }
    fn count(&mut self, what: What) {
        self.by[what as usize] += 1;
    }
}

impl Engine {
    /// Looks at up to `limit` records, from where the turn before stopped, and removes those that are over: claims a day after
    /// their assertion has expired, shares of limits a day after the last of them ended, events that reached all their accounts longer than `event_retention` ago, and markers of
    /// burns that have stood in their account's record for a day. Stops between two reads once `go_on` says so. Does nothing
    /// while another turn is under way.
    pub async fn sweep(&self, limit: usize, go_on: impl Fn() -> bool) -> Result<Swept> {
        let mut swept = Swept::default();
        let Ok(mut progress) = self.sweeping.try_lock() else { return Ok(swept) };
        let mut settings = Snapshot::default();
        self.load(&mut settings, [keys::CONFIG.to_owned()]).await?;
        let now = self.clock.now();
        let over = Over { now, events_before: now.minus(settings.settings().event_retention) };
        let mut left = limit;
        while left > 0 && go_on() {
            let Some(keys) = progress.next(&*self.storage, left.min(CHUNK)).await? else {
                *progress = Progress::default();
                swept.whole = true;
                break;
            };
            // A list costs something, too, where there is nothing.
            left = left.saturating_sub(keys.len().max(1));
            for key in remove(self.storage.clone(), keys, &over).await? {
                swept.count(What::of(&key));
            }
        }
        Ok(swept)
    }
}

impl Engine {
    /// Where the sweeps go on, for whoever has the next turn.
    pub async fn sweep_place(&self) -> Vec<u8> {
        record::encode(&(&*self.sweeping.lock().await, &*self.destroying.lock().await))
    }

    /// Goes on where another node's sweeps stopped; from the front if `place` says nothing that this version understands.
    pub async fn resume_sweeps(&self, place: &[u8]) {
        if place.is_empty() {
            return;
        }
        match record::decode("turns/sweep", place) {
            Ok((sweeping, destroying)) => {
                *self.sweeping.lock().await = sweeping;
                *self.destroying.lock().await = destroying;
            }
            Err(error) => tracing::info!(?error, "sweeps begin at the front"),
        }
    }
}

impl Progress {
    /// The next few keys, maybe none of them in a folder that is at its end; `None` when all folders are.
    async fn next(&mut self, storage: &dyn Storage, limit: usize) -> Result<Option<Vec<String>>> {
        let Some((folder, deep)) = FOLDERS.get(self.folder) else { return Ok(None) };
        let mut prefix = (*folder).to_owned();
        if *deep {
            if self.inner.is_none() {
                let inner = storage.list(folder, self.after.as_deref(), 1).await.map_err(storage_failed)?;
                self.inner = inner.into_iter().next();
                self.after = None;
            }
            match &self.inner {
                Some(inner) => prefix.push_str(inner),
                None => {
                    self.folder += 1;
                    return Ok(Some(Vec::new()));
                }
            }
            if !prefix.ends_with('/') {
                self.after = self.inner.take();
                return Ok(Some(Vec::new()));
            }
        }
        let names = storage.list(&prefix, self.after.as_deref(), limit).await.map_err(storage_failed)?;
        if names.len() < limit {
            // On to the next: within this folder, if it has more in it.
            self.after = self.inner.take();
            self.folder += usize::from(!deep);
        } else {
            self.after = names.last().cloned();
        }
        Ok(Some(names.into_iter().filter(|name| !name.ends_with('/')).map(|name| prefix.clone() + &name).collect()))
    }
}

/// What is over.
struct Over {
    now: Timestamp,
    events_before: Timestamp,
}

/// What is to become of a record.
enum Fate {
    Stays,
    Goes,
    /// Goes if the burn stands in the account's record.
    Asks(Marker),
}

impl Over {
    /// A record that does not decode stays, and is told of: whoever needs it will be told, too.
    fn fate(&self, key: &str, bytes: &[u8]) -> Fate {
        let goes = |goes: bool| if goes { Fate::Goes } else { Fate::Stays };
        let judged = match key {
            key if key.starts_with(keys::CLAIMS) => {
                record::decode::<Claim>(key, bytes).map(|claim| goes(claim.is_over(self.now)))
            }
            key if key.starts_with(keys::LIMITS) => {
                record::decode::<Shares>(key, bytes).map(|shares| goes(shares.are_over(self.now.minus(MARGIN))))
            }
            key if key.starts_with(keys::EVENTS) => record::decode::<Seen>(key, bytes)
                .map(|seen| goes(seen.todo.is_empty() && seen.at < self.events_before)),
            key => record::decode::<Marker>(key, bytes).map(|marker| match marker.at.plus(MARGIN) < self.now {
                true => Fate::Asks(marker),
                false => Fate::Stays,
            }),
        };
        judged.unwrap_or_else(|error| {
            tracing::warn!(?error, "a record could not be swept");
            Fate::Stays
        })
    }
}

/// Removes those of `keys` that are over, if they are still as they were read. Answers which.
async fn remove(storage: Arc<dyn Storage>, keys: Vec<String>, over: &Over) -> Result<Vec<String>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut step = storage.step();
    let gets = keys.iter().map(Get::new).collect();
    let found = step.get_many(gets).await.map_err(storage_failed)?;
    let (mut writes, mut asking) = (Vec::new(), Vec::new());
    for (key, found) in keys.into_iter().zip(found) {
        let Found::Value(bytes, revision) = found else { continue };
        match over.fate(&key, &bytes) {
            Fate::Stays => {}
            Fate::Goes => writes.push(Write::delete(key, revision)),
            Fate::Asks(marker) => asking.push((key, revision, marker)),
        }
    }
    let mut gone: Vec<String> = writes.iter().map(|write| write.key.clone()).collect();
    let mut names: Vec<AccountName> =
        asking.iter().filter_map(|(_, _, marker)| AccountName::parse(&marker.account).ok()).collect();
    names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    names.dedup_by(|one, other| one.as_str() == other.as_str());
    let mut records = HashMap::new();
    if !names.is_empty() {
        let places: Vec<(&str, String)> = names
            .iter()
            .flat_map(|name| [(name.as_str(), keys::account(name)), (name.as_str(), keys::tombstone(name))])
            .collect();
        let gets = places.iter().map(|(_, key)| Get::new(key)).collect();
        let found = step.get_many(gets).await.map_err(storage_failed)?;
        for ((name, key), found) in places.into_iter().zip(found) {
            let Found::Value(bytes, revision) = found else { continue };
            // The account counts where a crash left its tombstone, too.
            if !records.contains_key(name) {
                let record: Option<record::Record> = match record::decode(&key, &bytes) {
                    Ok(record) => Some(record),
                    // Its markers stay: what they guard against cannot be seen.
                    Err(error) => {
                        tracing::warn!(?error, "markers of burns could not be swept");
                        None
                    }
                };
                writes.push(Write::check(key, revision));
                records.insert(name, record);
            }
        }
    }
    for (key, revision, marker) in &asking {
        let stands = match records.get(marker.account.as_str()) {
            None => true,
            Some(None) => false,
            Some(Some(record)) => burn::stands(&record.account, key),
        };
        if stands {
            writes.push(Write::delete(key, *revision));
            gone.push(key.clone());
        }
    }
    if gone.is_empty() {
        return Ok(gone);
    }
    match step.put_all(writes).await {
        Ok(()) => Ok(gone),
        // Somebody is at work on one of them. The next round comes by again.
        Err(PutError::Conflict { .. }) => Ok(Vec::new()),
        Err(PutError::Unknown(source)) => {
            tracing::warn!(%source, "whether records were swept is unknown; the next round looks again");
            Ok(Vec::new())
        }
        Err(PutError::Failed(error)) => Err(storage_failed(error)),
    }
}
