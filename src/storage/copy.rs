//! Making one store the copy of another, whatever backends they are: resumable wherever it stops, and verified at its end.
//!
//! Source and target are walked side by side in the order of the keys; what the target lacks is written, what it has beyond is removed.
//! So running it again goes on, and a source that changed meanwhile is followed. While the copy is unfinished a marker lies in
//! the target: no server starts on it, and nothing but a copy of the same mount goes on with it.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use super::digest::Digest;
use super::snapshot::{BATCH, Entry, Snapshot};
use super::{Change, Expect, Found, Get, PutError, Storage, StorageError, Write};
use crate::random::Random;

/// Key of the marker: its value is 0x01, then the id of the mount that is being copied.
pub const MARKER: &str = "unfinished-copy";

/// Most records of one write.
const MOST_WRITES: usize = 1000;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Records that both stores hold.
    pub records: u64,
    /// How many of them were not there yet.
    pub written: u64,
    /// [`Digest`] over them.
    pub digest: [u8; 32],
}

/// Why there is no copy.
#[derive(Debug)]
pub enum CopyError {
    /// The target holds something that no copy left there.
    NotEmpty(String),
    /// The target is the unfinished copy of another mount.
    OtherMount,
    /// The source is itself an unfinished copy.
    Unfinished,
    /// Something else writes to the target.
    Busy,
    /// A write failed, or its outcome is unknown.
    Write(PutError),
    /// The source failed.
    Source(StorageError),
    /// The target failed.
    Target(StorageError),
    /// Source and copy are not the same.
    Differs {
        /// Records in the source.
        source: u64,
        /// Records in the target.
        target: u64,
    },
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CopyError::NotEmpty(key) => {
                write!(f, "the target is not empty (it holds {key}): name an empty one")
            }
            CopyError::OtherMount => {
                f.write_str("the target is the unfinished copy of another mount: finish that, or name an empty one")
            }
            CopyError::Unfinished => f.write_str("the source is itself an unfinished copy: finish that first"),
            CopyError::Busy => f.write_str("something else writes to the target: stop it, then run this again"),
            CopyError::Write(error) => {
                write!(f, "the target did not take a write: {error}; run this again, it goes on")
            }
            CopyError::Source(error) => write!(f, "the source cannot be read: {error}"),
            CopyError::Target(error) => write!(f, "the target cannot be read: {error}; run this again, it goes on"),
            CopyError::Differs { source, target } => write!(
                f,
                "the source has {source} records and the target {target}, or they are not the same: run this again"
            ),
        }
    }
}

impl StdError for CopyError {}

/// Makes `target`, which must be empty or an unfinished copy of the mount `mount_id`, hold exactly what `source` does. `told`
/// hears how many records were dealt with.
///
/// # Errors
/// [`CopyError`]; the target stays marked, and running this again goes on.
pub async fn copy(
    source: Box<dyn Snapshot>,
    target: Arc<dyn Storage>,
    mount_id: &[u8; 16],
    random: &dyn Random,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<Copied, CopyError> {
    let copied = fill(source, Arc::clone(&target), mount_id, random, told).await?;
    finish(&target, Vec::new()).await?;
    Ok(copied)
}

/// The same up to the last step: the copy is whole and verified, and still marked. [`finish`] lets servers start on it.
///
/// # Errors
/// Those of [`copy`].
pub async fn fill(
    source: Box<dyn Snapshot>,
    target: Arc<dyn Storage>,
    mount_id: &[u8; 16],
    random: &dyn Random,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<Copied, CopyError> {
    claim(&target, mount_id, random).await?;
    let mut here = Walk::new(source);
    let mut there = Walk::new(Arc::clone(&target).snapshot().await.map_err(CopyError::Target)?);
    let mut digest = Digest::default();
    let mut batch = Writes::default();
    let mut written = 0;
    loop {
        let wanted = here.next().await.map_err(CopyError::Source)?;
        if wanted.as_ref().is_some_and(|entry| entry.key == MARKER) {
            return Err(CopyError::Unfinished);
        }
        // What lies in the target before it, and not in the source.
        let limit = wanted.as_ref().map(|entry| entry.key.as_bytes());
        let mut held = None;
        while let Some(entry) = there.next().await.map_err(CopyError::Target)? {
            match limit.map(|limit| entry.key.as_bytes().cmp(limit)) {
                None | Some(std::cmp::Ordering::Less) => {
                    let Entry { key, revision, .. } = entry;
                    if key != MARKER {
                        batch.push(Write::delete(key, revision));
                        batch.send_if_full(&*target).await?;
                    }
                }
                Some(std::cmp::Ordering::Equal) => {
                    held = Some(entry);
                    break;
                }
                Some(std::cmp::Ordering::Greater) => {
                    there.put_back(entry);
                    break;
                }
            }
        }
        let Some(entry) = wanted else { break };
        digest.add(&entry);
        if held.as_ref() != Some(&entry) {
            written += 1;
            let Entry { key, value, revision } = entry;
            let expect = held.map_or(Expect::Absent, |held| Expect::At(held.revision));
            batch.push(Write { key, expect, change: Change::Put { value, revision } });
        }
        batch.send_if_full(&*target).await?;
        if digest.count().is_multiple_of(1000) {
            told(digest.count());
        }
    }
    batch.send(&*target).await?;
    told(digest.count());
    let (records, digest) = (digest.count(), digest.finish());
    verify(&target, records, &digest).await?;
    Ok(Copied { records, written, digest })
}

/// Whether `storage` is the unfinished copy of another store.
///
/// # Errors
/// What the store returns.
pub async fn is_unfinished(storage: &dyn Storage) -> Result<bool, StorageError> {
    let found = storage.get_many(vec![Get::new(MARKER)]).await?;
    Ok(!matches!(found[..], [Found::Absent]))
}

/// Marks the target as this copy's.
async fn claim(target: &Arc<dyn Storage>, mount_id: &[u8; 16], random: &dyn Random) -> Result<(), CopyError> {
    let marker = [&[1], &mount_id[..]].concat();
    let found = target.get_many(vec![Get::new(MARKER)]).await.map_err(CopyError::Target)?;
    match found.into_iter().next() {
        Some(Found::Value(value, _)) if value == marker => return Ok(()),
        Some(Found::Value(..)) => return Err(CopyError::OtherMount),
        _ => {}
    }
    let mut snapshot = Arc::clone(target).snapshot().await.map_err(CopyError::Target)?;
    if let Some(entry) = snapshot.next(1).await.map_err(CopyError::Target)?.into_iter().next() {
        return Err(CopyError::NotEmpty(entry.key));
    }
    put(&**target, vec![Write::create(MARKER, marker, random)]).await
}

/// Reads the target through once more.
async fn verify(target: &Arc<dyn Storage>, records: u64, digest: &[u8; 32]) -> Result<(), CopyError> {
    let mut walk = Walk::new(Arc::clone(target).snapshot().await.map_err(CopyError::Target)?);
    let mut found = Digest::default();
    while let Some(entry) = walk.next().await.map_err(CopyError::Target)? {
        if entry.key != MARKER {
            found.add(&entry);
        }
    }
    let count = found.count();
    match count == records && found.finish() == *digest {
        true => Ok(()),
        false => Err(CopyError::Differs { source: records, target: count }),
    }
}

/// Takes the marker off a copy that [`fill`] made, in one commit with `also`: no server starts on it without those.
///
/// # Errors
/// [`CopyError::Busy`], [`CopyError::Write`], [`CopyError::Target`]; the marker is there still.
pub async fn finish(target: &Arc<dyn Storage>, also: Vec<Write>) -> Result<(), CopyError> {
    let found = target.get_many(vec![Get::new(MARKER)]).await.map_err(CopyError::Target)?;
    let Some(Found::Value(_, revision)) = found.into_iter().next() else { return Err(CopyError::Busy) };
    // Where a store writes one after the other, the marker goes last.
    put(&**target, also.into_iter().chain([Write::delete(MARKER, revision)]).collect()).await
}

async fn put(target: &dyn Storage, writes: Vec<Write>) -> Result<(), CopyError> {
    target.put_all(writes).await.map_err(|error| match error {
        PutError::Conflict { .. } => CopyError::Busy,
        other => CopyError::Write(other),
    })
}

/// Writes that wait to be sent together.
#[derive(Default)]
struct Writes {
    waiting: Vec<Write>,
    bytes: usize,
}

impl Writes {
    fn push(&mut self, write: Write) {
        if let Change::Put { value, .. } = &write.change {
            self.bytes += value.len();
        }
        self.waiting.push(write);
    }
    async fn send_if_full(&mut self, target: &dyn Storage) -> Result<(), CopyError> {
        match self.bytes >= BATCH || self.waiting.len() >= MOST_WRITES {
            true => self.send(target).await,
            false => Ok(()),
        }
    }
    async fn send(&mut self, target: &dyn Storage) -> Result<(), CopyError> {
        self.bytes = 0;
        put(target, std::mem::take(&mut self.waiting)).await
    }
}

/// A snapshot, entry by entry.
struct Walk {
    /// Let go of at its end, so that the store need not keep what it shows.
    snapshot: Option<Box<dyn Snapshot>>,
    read: VecDeque<Entry>,
}

impl Walk {
    fn new(snapshot: Box<dyn Snapshot>) -> Self {
        Walk { snapshot: Some(snapshot), read: VecDeque::new() }
    }
    async fn next(&mut self) -> Result<Option<Entry>, StorageError> {
        if self.read.is_empty() {
            let Some(snapshot) = &mut self.snapshot else { return Ok(None) };
            self.read = snapshot.next(MOST_WRITES).await?.into();
            if self.read.is_empty() {
                self.snapshot = None;
            }
        }
        Ok(self.read.pop_front())
    }
    fn put_back(&mut self, entry: Entry) {
        self.read.push_front(entry);
    }
}
