//! A store that was put back to an earlier state: how it is noticed, what is refused until an operator accepts it, and what is
//! done then. The store keeps a signed epoch that only grows (`epoch`), and whether a restore waits to be accepted (`restore`), which
//! is read with every act.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minicbor::{Decode, Encode};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::crypto::signing::SigningKey;
use crate::domain::role::Capability;
use crate::domain::time::Timestamp;
use crate::engine::cache::{Snapshot, storage_failed};
use crate::engine::config_ledger::{self, By, Outcome, Said};
use crate::engine::{Engine, EngineParts, keys, record};
use crate::error::{Error, Result};
use crate::storage::line::Lines;
use crate::storage::{Expect, Found, Get, PutError, Revision, Write};

pub mod compare;
pub mod epoch;
mod hold;
pub mod path;

use epoch::Epoch;
pub use hold::{Held, Piece};

/// How far the epoch after an acceptance is ahead: above all that other nodes can have seen meanwhile.
pub const AHEAD: u64 = 1000;
/// How often a record is tried again when others write it.
const TRIES: usize = 16;

/// What the store says of restores.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Restore {
    /// Set while one waits to be accepted.
    #[n(0)]
    pub quarantine: Option<Quarantine>,
    /// The epoch that began with the last acceptance: what was seen before it says nothing of the store's age any more.
    #[n(1)]
    pub floor: u64,
    /// When that was.
    #[n(2)]
    pub accepted_at: Option<Timestamp>,
    /// What the operator said then.
    #[n(3)]
    pub reason: Option<String>,
}

/// A restore that waits to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Quarantine {
    /// When it was noticed.
    #[n(0)]
    pub since: Timestamp,
    /// The node that noticed it.
    #[n(1)]
    pub node: String,
    /// By what.
    #[n(2)]
    pub why: String,
    /// When the backup was made that the store was restored from, if it was: of what was acknowledged later it knows nothing, and
    /// neither may this machine.
    #[n(3)]
    pub backup_of: Option<Timestamp>,
}

impl Restore {
    /// The same store, put into place from a backup of `made_at`: nothing leaves it until an operator has said what is held. A
    /// backup that was made while another one waited is of that one's time.
    pub fn from_backup(self, made_at: Timestamp, now: Timestamp) -> Restore {
        let before = self.quarantine.as_ref().and_then(|quarantine| quarantine.backup_of);
        let backup_of = before.map_or(made_at, |before| before.min(made_at));
        let quarantine = Quarantine {
            since: now,
            node: "sparekey restore".to_owned(),
            why: format!("it was restored from a backup of {backup_of}; what was acknowledged after that is not in it"),
            backup_of: Some(backup_of),
        };
        Restore { quarantine: Some(quarantine), ..self }
    }
}

/// The restore records as they were read.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The epoch, if one ever began, and the revision of its record.
    pub epoch: Option<(Epoch, Revision)>,
    /// What the store says of restores.
    pub restore: Restore,
    revision: Option<Revision>,
}

impl State {
    /// The epoch's number, 0 before the first one.
    pub fn number(&self) -> u64 {
        self.epoch.as_ref().map_or(0, |(epoch, _)| epoch.number)
    }
}

/// The highest epoch that this process has seen: a store that answers with a lower one was put back under it. And whether other
/// nodes are still given time to object to a store that changed its server.
#[derive(Debug, Default)]
pub struct Guard {
    epoch: AtomicU64,
    /// The highest that something outside the store named.
    named: AtomicU64,
    watched: AtomicBool,
    settling: AtomicBool,
    settles: Mutex<Option<Instant>>,
}

impl Guard {
    /// This epoch was seen.
    pub fn saw(&self, number: u64) {
        self.epoch.fetch_max(number, Ordering::Relaxed);
    }
    /// The store is compared with what is kept outside it, which names epochs up to this one.
    pub fn watch(&self, named: u64) {
        self.named.fetch_max(named, Ordering::Relaxed);
        self.watched.store(true, Ordering::Relaxed);
    }
    /// Whether anything outside the store is compared with it.
    pub fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }
    /// The highest epoch that was seen in the store, or named by what is kept outside it.
    pub fn known(&self) -> u64 {
        self.seen().max(self.named.load(Ordering::Relaxed))
    }
    /// A restore was accepted: what was seen before counts no longer.
    pub fn begin_anew(&self, number: u64) {
        self.epoch.store(number, Ordering::Relaxed);
    }
    /// The highest epoch seen so far; 0 where epochs are not looked at.
    pub fn seen(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Refuses to let a code leave or come in on what `snapshot` holds while a restore waits, or if the store is at an earlier epoch
    /// than `seen`, which was the highest one before `snapshot` was read.
    pub(super) fn bars(&self, snapshot: &Snapshot, seen: u64) -> Result<()> {
        if let Some(quarantine) = &snapshot.restore().quarantine {
            return Err(Error::unavailable(format!(
                "restore-quarantine: the store is older than acts that were acknowledged (noticed {} by {}: {}); no code \
                 leaves or comes in until an operator compares and runs `sparekey restore accept --reason …`",
                quarantine.since, quarantine.node, quarantine.why
            )));
        }
        let number = snapshot.epoch().map_or(0, |epoch| epoch.number);
        if number < seen {
            return Err(Error::unavailable(format!(
                "restore-quarantine: the store was put back under the running server (it is at epoch {number}, this node has \
                 seen {seen}); no code leaves or comes in until an operator runs `sparekey restore accept --reason …`"
            )));
        }
        if seen > 0 {
            self.saw(number);
        }
        match self.left() {
            None => Ok(()),
            Some(left) => Err(Error::unavailable(
                "line-changed: the store is served by another database server since a moment ago, and every node compares what \
                 it acknowledged with it; try again soon",
            )
            .with_retry_after(left.max(Duration::from_secs(1)))),
        }
    }

    /// For so long no code leaves: the store changed its server, and other nodes are comparing.
    pub fn settle(&self, span: Duration) {
        *self.settles.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + span);
        self.settling.store(true, Ordering::Release);
    }
    fn left(&self) -> Option<Duration> {
        if !self.settling.load(Ordering::Acquire) {
            return None;
        }
        let until = *self.settles.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        if left.is_none() {
            self.settling.store(false, Ordering::Release);
        }
        left
    }
}

/// Whether an act waits while a restore is not accepted: it lets a code out, takes one in, or lifts what holds one. Ends
/// (enrollments, events, revocations) and what only reads go on.
pub const fn waits(capability: Capability) -> bool {
    matches!(
        capability,
        Capability::Retrieve | Capability::Verify | Capability::Store | Capability::Release | Capability::Transfer
    )
}

impl Engine {
    /// The highest epoch that this process has seen.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The lines of the server beneath the store, where it has one that can be replaced.
    pub fn lines(&self) -> Option<&Lines> {
        self.storage.lines()
    }
    /// An engine over the same store that also works while the line of its server is not approved: for the comparison that decides
    /// about that.
    pub fn unchecked(&self) -> Option<Engine> {
        Some(Engine::new(EngineParts {
            storage: Arc::clone(&self.storage).unchecked()?,
            root: Arc::clone(&self.root),
            verifier: Arc::clone(&self.verifier),
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        }))
    }

    /// What the store says now.
    pub async fn restore_state(&self) -> Result<State> {
        let gets = vec![Get::new(keys::EPOCH), Get::new(keys::RESTORE)];
        let mut found = self.storage.get_many(gets).await.map_err(storage_failed)?.into_iter();
        let mut state = State::default();
        if let Some(Found::Value(bytes, revision)) = found.next() {
            state.epoch = Some((record::decode(keys::EPOCH, &bytes)?, revision));
        }
        if let Some(Found::Value(bytes, revision)) = found.next() {
            (state.restore, state.revision) = (record::decode(keys::RESTORE, &bytes)?, Some(revision));
        }
        Ok(state)
    }

    /// Refuses while a restore waits to be accepted.
    pub async fn unbarred(&self) -> Result<()> {
        let mut snapshot = Snapshot::default();
        let seen = self.guard.seen();
        let wanted = [Some(keys::RESTORE), Some(keys::EPOCH).filter(|_| seen > 0)];
        self.load(&mut snapshot, wanted.into_iter().flatten().map(str::to_owned)).await?;
        self.guard.bars(&snapshot, seen)
    }

    /// Begins the epoch after that of `state`; `None` if somebody else did.
    pub async fn move_epoch(&self, state: &State, node: &str, signing: &SigningKey) -> Result<Option<Epoch>> {
        let mount_id = *self.keyring().await?.mount_id();
        let before = state.epoch.as_ref();
        let epoch = Epoch::after(before.map(|(epoch, _)| epoch), 0, node, self.clock.now(), &mount_id, signing);
        match self.storage.put_all(vec![self.epoch_write(state, &epoch)]).await {
            Ok(()) => Ok(Some(epoch)),
            Err(PutError::Conflict { .. } | PutError::Unknown(_)) => Ok(None),
            Err(PutError::Failed(error)) => Err(storage_failed(error)),
        }
    }

    /// Stops disclosures on every node: `why` the store is older than it was. One that stands already stays as it is.
    pub async fn quarantine(&self, node: &str, why: &str) -> Result<()> {
        for _ in 0..TRIES {
            let state = self.restore_state().await?;
            if state.restore.quarantine.is_some() {
                return Ok(());
            }
            let quarantine =
                Quarantine { since: self.clock.now(), node: node.to_owned(), why: why.to_owned(), backup_of: None };
            let restore = Restore { quarantine: Some(quarantine), ..state.restore.clone() };
            let detail = json!({"path": "sys/restore", "node": node, "why": why});
            let said = Said { act: "quarantine", detail };
            let writes = vec![self.restore_write(&state, &restore)];
            if let Outcome::Done(_) = config_ledger::write(self, &By::engine(), &said, writes).await? {
                return Ok(());
            }
        }
        Err(Error::unavailable("the store's restore record keeps changing; tried again"))
    }

    /// The epoch with which a restore that is accepted now would go on: above every one of `seen`.
    pub async fn epoch_after_restore(
        &self,
        state: &State,
        seen: u64,
        node: &str,
        signing: &SigningKey,
    ) -> Result<Epoch> {
        let mount_id = *self.keyring().await?.mount_id();
        let before = state.epoch.as_ref().map(|(epoch, _)| epoch);
        Ok(Epoch::after(before, seen + 1, node, self.clock.now(), &mount_id, signing))
    }

    /// Ends the quarantine: the store as it is counts, from `epoch` on. `None` if something changed meanwhile.
    pub async fn accept_restore(
        &self,
        state: &State,
        epoch: &Epoch,
        by: &By,
        reason: &str,
        told: &Value,
    ) -> Result<Option<Map<String, Value>>> {
        let restore = Restore {
            quarantine: None,
            floor: epoch.number,
            accepted_at: Some(epoch.at),
            reason: Some(reason.to_owned()),
        };
        let detail = json!({
            "path": "sys/restore/accept", "reason": reason, "before": state.number(), "after": epoch.number, "found": told,
        });
        let said = Said { act: "restore", detail };
        let writes = vec![self.epoch_write(state, epoch), self.restore_write(state, &restore)];
        match config_ledger::write(self, by, &said, writes).await? {
            Outcome::Done(note) => Ok(Some(note)),
            Outcome::Conflict => Ok(None),
        }
    }

    fn epoch_write(&self, state: &State, epoch: &Epoch) -> Write {
        let expect = state.epoch.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::At(*revision));
        Write::put(keys::EPOCH, expect, record::encode(epoch), &*self.random)
    }
    fn restore_write(&self, state: &State, restore: &Restore) -> Write {
        let expect = state.revision.map_or(Expect::Absent, Expect::At);
        Write::put(keys::RESTORE, expect, record::encode(restore), &*self.random)
    }
}
