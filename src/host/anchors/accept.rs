//! Accepting a restore: every account that went back is held, what was opened or revoked since is ended, and the store goes on with
//! a fresh epoch.

use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::Anchors;
use super::anchor::{Anchor, Flaw};
use crate::engine::config_ledger::By;
use crate::engine::restore::AHEAD;
use crate::engine::restore::compare::{Sighting, Verdict};
use crate::error::{Error, Result};

/// How often it is tried again when other nodes write.
const TRIES: usize = 8;

/// An act that the store lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its account, or `None` for the configuration.
    pub account: Option<String>,
    /// The last entry of its ledger that the store still has.
    pub seq: u64,
    /// The last entry that was acknowledged.
    pub known_seq: u64,
    /// The generation that is held since.
    pub held: Option<u32>,
    /// Whether the store does not know the account at all.
    pub missing: bool,
}

/// What was accepted.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// The fresh epoch; before that, the highest one that was seen.
    pub epoch: u64,
    /// Ledgers that went back or are missing.
    pub lost: Vec<Lost>,
    /// How many ledgers were compared.
    pub compared: u64,
    /// How many accounts are held though nothing says that they went back.
    pub unknown: u64,
    /// What audit says of it.
    pub note: Map<String, Value>,
}

impl Anchors {
    /// Holds what the store lost of `sightings`, which other nodes' files name. May be said again.
    pub async fn hold(&self, sightings: &[Sighting], by: &By, reason: &str) -> Result<Vec<Lost>> {
        let verdicts = self.engine.compare(sightings).await?;
        let mut lost = Vec::new();
        for (sighting, verdict) in sightings.iter().zip(verdicts) {
            lost.extend(self.hold_one(sighting, verdict, by, reason).await?);
        }
        Ok(lost)
    }

    /// The acts that an anchor of another node names.
    ///
    /// # Errors
    /// 400 if it does not hold.
    pub fn acts_of(&self, text: &[u8]) -> Result<Vec<Sighting>> {
        match Anchor::read(text, &self.mount_id, &self.signing.public()) {
            Ok(anchor) => Ok(anchor.heads()),
            Err(Flaw::Foreign) => Err(Error::field("anchor", "this is an anchor of another store")),
            Err(Flaw::Broken(what)) => Err(Error::field("anchor", what)),
        }
    }

    /// Compares all that this node and its places know, and holds every account that went back. May be done again.
    ///
    /// # Errors
    /// 400 if no restore waits to be accepted.
    pub async fn hold_lost(&self, by: &By, reason: &str) -> Result<Accepted> {
        if self.engine.restore_state().await?.restore.quarantine.is_none() {
            return Err(Error::invalid("restore: no restore waits to be accepted; nothing was changed"));
        }
        let anchors = self.known().await;
        let mut losses = self.lost(&self.engine, &anchors, true).await?;
        // Of each ledger the latest act first, with the highest generation that any of them named.
        losses.found.sort_by(|(a, _), (b, _)| a.account.cmp(&b.account).then(b.seq.cmp(&a.seq)));
        let mut lost: Vec<Lost> = Vec::new();
        for group in losses.found.chunk_by(|(a, _), (b, _)| a.account == b.account) {
            let Some((latest, verdict)) = group.first() else { continue };
            let generation = group.iter().filter_map(|(sighting, _)| sighting.generation).max();
            let latest = Sighting { generation, ..latest.clone() };
            lost.extend(self.hold_one(&latest, *verdict, by, reason).await?);
        }
        let epoch = anchors.iter().map(Anchor::epoch).max().unwrap_or(0);
        Ok(Accepted { epoch, lost, compared: losses.compared, ..Accepted::default() })
    }

    /// Ends the quarantine after `accepted` was held: the store goes on as it is, with an epoch above all that was seen.
    pub async fn go_on(&self, accepted: Accepted, by: &By, reason: &str) -> Result<Accepted> {
        let _turn = self.turnstile.acquire().await.map_err(Error::internal)?;
        let missing = accepted.lost.iter().filter(|lost| lost.missing).count();
        let found = json!({
            "compared": accepted.compared, "went_back": accepted.lost.len() - missing, "missing": missing,
            "unknown": accepted.unknown,
        });
        for _ in 0..TRIES {
            let audit = self.audit_marks().await;
            let state = self.engine.restore_state().await?;
            if state.restore.quarantine.is_none() {
                return Err(Error::invalid("restore: somebody else accepted it meanwhile"));
            }
            let seen = accepted.epoch.max(state.number()) + AHEAD;
            let epoch = self.engine.epoch_after_restore(&state, seen, &self.config.node, &self.signing).await?;
            // The anchor goes first: if we die in between, the quarantine stands and this is done again.
            let taken = std::mem::take(&mut *self.pending());
            let anchor = self.make(&epoch, audit, taken);
            self.put(&anchor).await;
            if let Some(note) = self.engine.accept_restore(&state, &epoch, by, reason, &found).await? {
                *self.last() = Some(anchor);
                self.engine.guard().begin_anew(epoch.number);
                self.quarantined.store(false, Ordering::Relaxed);
                return Ok(Accepted { epoch: epoch.number, note, ..accepted });
            }
        }
        Err(Error::unavailable("the store's restore record keeps changing; try again"))
    }

    /// Every anchor that this node knows.
    async fn known(&self) -> Vec<Anchor> {
        let mut anchors = self.gather().await.anchors;
        anchors.extend(self.last().clone());
        anchors
    }

    async fn hold_one(&self, sighting: &Sighting, verdict: Verdict, by: &By, reason: &str) -> Result<Option<Lost>> {
        let lost = |seq, held, missing| Lost {
            account: sighting.account.clone(),
            seq,
            known_seq: sighting.seq,
            held,
            missing,
        };
        Ok(match (verdict, &sighting.account) {
            (Verdict::Holds | Verdict::Explained | Verdict::Past, _) => None,
            (Verdict::Missing, _) => Some(lost(0, None, true)),
            (Verdict::Back(seq), None) => Some(lost(seq, None, false)),
            (Verdict::Back(_), Some(_)) => {
                let held = self.engine.hold(sighting, verdict, by, reason).await?;
                held.map(|held| lost(held.seq, held.generation, false))
            }
        })
    }
}
