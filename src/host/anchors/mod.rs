//! What a node keeps outside the store to notice a store that was put back: anchors, and the tail of its own audit files. Written
//! beside the acts, in groups; no act waits for them.
//!
//! The order is what makes an anchor mean something. How far each audit file has come is noted first, then the acts that were
//! acknowledged are taken, then the store's epoch moves on, then the anchor is written. So a store that has the anchor's epoch
//! has every act before it, and every later act has its line after the place that the anchor names.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};

use crate::audit::{DeviceConfig, sighting};
use crate::clock::Clock;
use crate::crypto::keyring::Keyring;
use crate::crypto::signing::SigningKey;
use crate::engine::Engine;
use crate::engine::restore::State;
use crate::engine::restore::compare::{Sighting, Sightings};
use crate::engine::restore::epoch::{Epoch, Relation};
use crate::error::{Error, Result};

mod accept;
pub mod anchor;
mod evidence;
mod line;
pub mod place;
mod remote;
mod start;
pub mod tail;
pub mod unknown;

pub use accept::{Accepted, Lost};
use anchor::{Anchor, AuditMark, Parts};
use evidence::Losses;
use place::Place;

/// Ledgers whose latest act is remembered between two anchors; of more only the number is told.
const PENDING: usize = 65_536;
/// Acts that are looked for in the store before each anchor.
const LATEST: usize = 4;
/// How often acts are anchored unless somebody says otherwise.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// How often an epoch is tried again when other nodes begin one.
const TRIES: usize = 16;

/// Which anchors a node keeps. By default none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnchorConfig {
    /// The node's name, for people.
    pub node: String,
    /// How often acts are anchored; zero for [`INTERVAL`].
    pub interval: Duration,
    /// The place on this machine that is compared first.
    pub local: Option<PathBuf>,
    /// Further places.
    pub places: Vec<Place>,
}

impl AnchorConfig {
    /// Whether there is any place at all.
    pub fn is_on(&self) -> bool {
        self.local.is_some() || !self.places.is_empty()
    }
}

/// The anchors of one unsealed node.
pub struct Anchors {
    config: AnchorConfig,
    files: Vec<(String, PathBuf)>,
    engine: Arc<Engine>,
    signing: SigningKey,
    mount_id: [u8; 16],
    clock: Arc<dyn Clock>,
    pending: Mutex<Pending>,
    last: Mutex<Option<Anchor>>,
    quarantined: AtomicBool,
    failures: AtomicU64,
    /// One anchor, or acceptance, at a time.
    turnstile: Semaphore,
}

#[derive(Default)]
struct Pending {
    acts: Sightings,
    omitted: u64,
    /// The last few, as they came. A store that has these has those before them.
    latest: VecDeque<Sighting>,
}

/// What is told of the anchors.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Whether a restore waits to be accepted.
    pub quarantined: bool,
    /// The epoch of the last anchor.
    pub epoch: u64,
    /// When it was written.
    pub at: Option<String>,
    /// Anchors that a place did not take.
    pub failures: u64,
}

impl Anchors {
    /// Keeps no anchor yet; see [`Anchors::begin`].
    pub fn new(
        config: AnchorConfig,
        devices: &[DeviceConfig],
        engine: Arc<Engine>,
        keyring: &Keyring,
        clock: Arc<dyn Clock>,
    ) -> Result<Anchors> {
        let interval = if config.interval.is_zero() { INTERVAL } else { config.interval };
        let config = AnchorConfig { interval, ..config };
        let files =
            devices.iter().filter_map(|device| Some((device.name().to_owned(), device.file_path()?.to_owned())));
        Ok(Anchors {
            files: files.collect(),
            config,
            engine,
            signing: keyring.signing().map_err(Error::internal)?,
            mount_id: *keyring.mount_id(),
            clock,
            pending: Mutex::default(),
            last: Mutex::default(),
            quarantined: AtomicBool::new(false),
            failures: AtomicU64::new(0),
            turnstile: Semaphore::new(1),
        })
    }

    /// Takes in what an act says of ledgers: it came about, and is about to be acknowledged.
    pub fn note(&self, note: &Map<String, Value>) {
        if note.is_empty() {
            return;
        }
        let entries = sighting::entries(note, self.clock.now());
        if !entries.is_empty() {
            let mut pending = self.pending();
            for entry in entries {
                pending.take(entry);
            }
        }
    }

    /// Keeps anchors until told to stop, then a last one.
    pub async fn keep(&self, mut stop: watch::Receiver<bool>) {
        let every = self.config.interval.max(Duration::from_millis(10));
        loop {
            let stopped = tokio::select! {
                () = tokio::time::sleep(every) => false,
                changed = stop.changed() => changed.is_err() || *stop.borrow(),
            };
            let mut turned = self.turn(false).await;
            // It found another server beneath the store: that is compared at once.
            if turned.is_err() && self.engine.lines().is_some_and(|lines| lines.check().is_err()) {
                turned = self.turn(false).await;
            }
            if let Err(error) = turned {
                tracing::warn!(?error, "the store's epoch could not be anchored; tried again");
            }
            if stopped {
                return;
            }
        }
    }

    /// Whether there is a place for them: without one they only serve who accepts a restore.
    pub fn is_on(&self) -> bool {
        self.config.is_on()
    }

    /// What is told of them.
    pub fn told(&self) -> Told {
        let last = self.last();
        Told {
            quarantined: self.quarantined.load(Ordering::Relaxed),
            epoch: last.as_ref().map_or(0, Anchor::epoch),
            at: last.as_ref().map(|last| last.at().to_owned()),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Anchors what was acknowledged since the last time, if anything was or `always`; notices a store that was put back.
    pub async fn turn(&self, always: bool) -> Result<()> {
        let _turn = self.turnstile.acquire().await.map_err(Error::internal)?;
        self.follow_line().await?;
        // Before the acts are taken: whatever comes after these places is in the next anchor, or in the files behind them.
        let audit = self.audit_marks().await;
        let state = self.engine.restore_state().await?;
        self.quarantined.store(state.restore.quarantine.is_some(), Ordering::Relaxed);
        if state.restore.quarantine.is_some() {
            return Ok(());
        }
        if let Some(why) = self.judge(&self.engine, &state).await? {
            return self.stop(&why).await;
        }
        let taken = std::mem::take(&mut *self.pending());
        // A store that was put back within the interval has the epoch of before, and not the latest acts.
        let latest: Vec<Sighting> = taken.latest.iter().cloned().collect();
        if let Some(why) = self.lacks(&latest).await {
            self.give_back(taken);
            return self.stop(&why?).await;
        }
        let moves = always || !taken.acts.is_empty();
        match self.epoch(state, moves).await {
            Ok(Some(epoch)) => {
                let had = self.last().as_ref().map(Anchor::epoch);
                if moves || had != Some(epoch.number) {
                    self.write(&epoch, audit, taken).await;
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.give_back(taken);
                Err(error)
            }
        }
    }

    /// The next epoch, or the one that stands if nothing is to be said.
    async fn epoch(&self, mut state: State, moves: bool) -> Result<Option<Epoch>> {
        if !moves {
            return Ok(state.epoch.map(|(epoch, _)| epoch));
        }
        for _ in 0..TRIES {
            if let Some(epoch) = self.engine.move_epoch(&state, &self.config.node, &self.signing).await? {
                return Ok(Some(epoch));
            }
            let before = state.number();
            state = self.engine.restore_state().await?;
            if state.number() < before {
                self.stop("its epoch went back while it was moved on").await?;
                return Ok(None);
            }
        }
        Err(Error::unavailable("the store's epoch keeps changing"))
    }

    /// Why the store is older than this node knows it, if it is.
    async fn judge(&self, engine: &Engine, state: &State) -> Result<Option<String>> {
        let Some(last) = self.last().clone() else { return Ok(None) };
        if state.restore.floor > last.epoch() {
            // Accepted on another node, which did not know what this one knows.
            let lost = self.lost(engine, &[last], true).await?;
            evidence::tell_past(&lost);
            return Ok(evidence::sentence(&lost));
        }
        let relation = match &state.epoch {
            Some((epoch, _)) => epoch.relation(last.trail()),
            None => Relation::Older,
        };
        Ok(evidence::disagreement(relation, state.number(), &last, "this node's own anchor"))
    }

    /// Why the store is older than these acts, if it is.
    async fn lacks(&self, latest: &[Sighting]) -> Option<Result<String>> {
        let mut losses = Losses::default();
        match losses.add(&self.engine, latest.to_vec()).await {
            Ok(()) => evidence::sentence(&losses).map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    async fn stop(&self, why: &str) -> Result<()> {
        self.stop_on(&self.engine, why).await
    }

    async fn stop_on(&self, engine: &Engine, why: &str) -> Result<()> {
        tracing::error!(
            why,
            "RESTORE QUARANTINE: the store is older than acts that were acknowledged; no code leaves until an operator runs \
             `sparekey restore accept`"
        );
        engine.quarantine(&self.config.node, why).await?;
        self.quarantined.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn write(&self, epoch: &Epoch, audit: Vec<AuditMark>, taken: Pending) {
        let anchor = self.make(epoch, audit, taken);
        self.engine.guard().saw(epoch.number);
        self.put(&anchor).await;
        *self.last() = Some(anchor);
    }

    fn make(&self, epoch: &Epoch, audit: Vec<AuditMark>, taken: Pending) -> Anchor {
        let parts = Parts {
            mount_id: &self.mount_id,
            node: &self.config.node,
            epoch,
            now: self.clock.now(),
            audit,
            heads: taken.acts.into_vec(),
            omitted: taken.omitted,
        };
        Anchor::new(parts, &self.signing)
    }

    /// Brings the anchor to every place. One that fails is counted and logged, and is no reason to stop.
    async fn put(&self, anchor: &Anchor) {
        let text = Arc::new(anchor.text());
        for place in self.places() {
            if let Err(error) = place.write(Arc::clone(&text)).await {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%place, %error, "an anchor could not be kept: a store put back now may go unnoticed here");
            }
        }
    }

    fn places(&self) -> Vec<Place> {
        self.config.local.clone().map(Place::File).into_iter().chain(self.config.places.iter().cloned()).collect()
    }

    async fn audit_marks(&self) -> Vec<AuditMark> {
        let files = self.files.clone();
        let marks = move || files.iter().filter_map(|(device, path)| tail::mark(device, path)).collect();
        tokio::task::spawn_blocking(marks).await.unwrap_or_default()
    }

    fn give_back(&self, taken: Pending) {
        let mut pending = self.pending();
        pending.omitted += taken.omitted;
        for sighting in taken.acts.into_vec() {
            pending.take(sighting);
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn last(&self) -> MutexGuard<'_, Option<Anchor>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn take(&mut self, sighting: Sighting) {
        if self.latest.len() == LATEST {
            self.latest.pop_front();
        }
        self.latest.push_back(sighting.clone());
        if self.acts.len() < PENDING {
            self.acts.take(sighting);
        } else {
            self.omitted += 1;
        }
    }
}
