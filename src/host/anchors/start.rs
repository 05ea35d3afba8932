//! The comparison at start: every anchor that can be read, and the tail of the audit files, against the store.

use super::Anchors;
use super::anchor::{Anchor, Flaw};
use super::evidence;
use super::place::Place;
use crate::engine::restore::State;
use crate::engine::restore::epoch::Relation;
use crate::error::Result;

/// What the places had to say.
#[derive(Default)]
pub(super) struct Gathered {
    /// Anchors of this mount, the local one first.
    pub anchors: Vec<Anchor>,
    /// Whether the first of them is the local one.
    pub local: bool,
    /// What is wrong with the others.
    pub broken: Vec<String>,
}

impl Anchors {
    /// Compares, then begins a new epoch and anchors it; or quarantines the store.
    pub async fn begin(&self) -> Result<()> {
        let state = self.engine.restore_state().await?;
        let gathered = self.gather().await;
        self.engine.guard().saw(state.number());
        if self.is_on() {
            self.engine.guard().watch(gathered.anchors.iter().map(Anchor::epoch).max().unwrap_or(0));
        }
        if let Some(quarantine) = &state.restore.quarantine {
            tracing::error!(since = %quarantine.since, node = quarantine.node, why = quarantine.why, "still in restore quarantine");
            self.quarantined.store(true, std::sync::atomic::Ordering::Relaxed);
            *self.last() = gathered.anchors.first().filter(|_| gathered.local).cloned();
            return Ok(());
        }
        let mut why = self.contradictions(&state, &gathered);
        let own = gathered.anchors.first().filter(|_| gathered.local);
        // Once a restore was accepted without this node, all that it knows is compared.
        let whole = own.is_some_and(|own| own.epoch() < state.restore.floor);
        let lost = self.lost(&self.engine, own.map_or(&[], std::slice::from_ref), whole).await?;
        if whole {
            evidence::tell_past(&lost);
        }
        why.extend(evidence::sentence(&lost));
        *self.last() = own.cloned();
        if !why.is_empty() {
            return self.stop(&why.join("; ")).await;
        }
        // What it knew of an epoch before the acceptance has been compared.
        if whole {
            *self.last() = None;
        }
        self.turn(true).await
    }

    /// Every sentence by which an anchor says that the store is older, or is not to be trusted itself.
    fn contradictions(&self, state: &State, gathered: &Gathered) -> Vec<String> {
        let mut why = gathered.broken.clone();
        for (index, anchor) in gathered.anchors.iter().enumerate() {
            if anchor.epoch() < state.restore.floor {
                continue;
            }
            let which = match (index, gathered.local) {
                (0, true) => "this node's own anchor".to_owned(),
                _ => format!("an anchor of node {}", anchor.node()),
            };
            let relation = match &state.epoch {
                Some((epoch, _)) => epoch.relation(anchor.trail()),
                None => Relation::Older,
            };
            why.extend(evidence::disagreement(relation, state.number(), anchor, &which));
        }
        why
    }

    /// Reads every place.
    pub(super) async fn gather(&self) -> Gathered {
        let mut gathered = Gathered::default();
        for (index, place) in self.places().into_iter().enumerate() {
            let local = index == 0 && self.config.local.is_some();
            let bytes = match place.read().await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    if place != Place::Stdout {
                        tracing::warn!(
                            %place,
                            "no anchor here: a new machine, or somebody removed it. Only the audit files can tell whether the store was put back"
                        );
                    }
                    continue;
                }
                Err(error) => {
                    tracing::error!(%place, %error, "an anchor cannot be read; the others and the audit files are compared");
                    continue;
                }
            };
            match Anchor::read(&bytes, &self.mount_id, &self.signing.public()) {
                Ok(anchor) => {
                    gathered.local |= local;
                    gathered.anchors.push(anchor);
                }
                Err(Flaw::Foreign) => {
                    tracing::warn!(%place, "the anchor here is of another store; it is replaced");
                }
                Err(Flaw::Broken(what)) => gathered.broken.push(format!("the anchor at {place} does not hold: {what}")),
            }
        }
        gathered
    }
}
