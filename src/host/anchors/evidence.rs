//! What a node knows of acts that were acknowledged, compared with the store.

use tokio::sync::mpsc;

use super::Anchors;
use super::anchor::Anchor;
use super::tail::{self, Part, TakenBack};
use crate::engine::Engine;
use crate::engine::restore::compare::{Sighting, Verdict};
use crate::engine::restore::epoch::Relation;
use crate::error::{Error, Result};

/// Lost acts that are remembered one by one; more are counted.
const MOST: usize = 100_000;

/// Acts that were acknowledged and that the store does not have.
#[derive(Debug, Default)]
pub struct Losses {
    /// The latest of each ledger, and what the store says of it.
    pub found: Vec<(Sighting, Verdict)>,
    /// How many more there were.
    pub more: u64,
    /// How many ledgers were compared.
    pub compared: u64,
    /// What an operator has accepted since, and of which nothing could be held: accounts that are missing, entries of the
    /// configuration. The first of them, and how many.
    pub past: (Option<Sighting>, u64),
}

impl Losses {
    pub(super) async fn add(&mut self, engine: &Engine, sightings: Vec<Sighting>) -> Result<()> {
        let verdicts = engine.compare(&sightings).await?;
        self.compared += sightings.len() as u64;
        let lost = |verdict: &Verdict| matches!(verdict, Verdict::Back(_) | Verdict::Missing);
        for (sighting, _) in sightings.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == Verdict::Past) {
            self.past.0.get_or_insert_with(|| sighting.clone());
            self.past.1 += 1;
        }
        for found in sightings.into_iter().zip(verdicts).filter(|(_, verdict)| lost(verdict)) {
            if self.found.len() < MOST {
                self.found.push(found);
            } else {
                self.more += 1;
            }
        }
        Ok(())
    }
}

impl Anchors {
    /// Compares what `anchors` name, and what came after the first of them in this node's audit files, or all that is in the files
    /// if `whole`.
    pub(super) async fn lost(&self, engine: &Engine, anchors: &[Anchor], whole: bool) -> Result<Losses> {
        let mut losses = Losses::default();
        for anchor in anchors {
            losses.add(engine, anchor.heads()).await?;
        }
        let parts = self.files.iter().flat_map(|(device, path)| match (whole, anchors.first()) {
            (true, _) => tail::whole(path),
            (false, None) => tail::latest(path),
            (false, Some(anchor)) => match anchor.audit(device) {
                Some(mark) => tail::since(path, mark),
                None => tail::latest(path),
            },
        });
        let taken_back = self.read(engine, parts.collect(), &mut losses).await?;
        losses.found.retain(|(sighting, _)| {
            sighting.account.as_ref().is_none_or(|account| !taken_back.contains(&(account.clone(), sighting.seq)))
        });
        Ok(losses)
    }

    /// Reads files on a thread of their own, and compares meanwhile.
    async fn read(&self, engine: &Engine, parts: Vec<Part>, losses: &mut Losses) -> Result<TakenBack> {
        let (send, mut receive) = mpsc::channel(1);
        let reading =
            tokio::task::spawn_blocking(move || tail::read(&parts, |sightings| send.blocking_send(sightings).is_ok()));
        while let Some(sightings) = receive.recv().await {
            losses.add(engine, sightings).await?;
        }
        drop(receive);
        let read = reading.await.map_err(Error::internal)?;
        read.map_err(|error| Error::unavailable("an audit file cannot be read").with_source(error))
    }
}

/// Tells of what is gone by an acceptance, which other nodes could not know.
pub fn tell_past(losses: &Losses) {
    if let (Some(first), ledgers) = &losses.past {
        tracing::warn!(
            ledgers,
            first = first.account.as_deref().unwrap_or("the configuration"),
            "a restore was accepted, and the store lacks accounts or configuration that this node acknowledged before"
        );
    }
}

/// The sentence that says so, if the store lost something.
pub fn sentence(losses: &Losses) -> Option<String> {
    let (first, _) = losses.found.first()?;
    let ledgers = losses.found.len() as u64 + losses.more;
    let name = first.account.as_deref().unwrap_or("the configuration");
    Some(format!(
        "acknowledged acts on {ledgers} ledgers are not in the store, such as entry {} of {name} at {}",
        first.seq, first.at
    ))
}

/// The sentence that says how the store's epoch contradicts an anchor, if it does.
pub fn disagreement(relation: Relation, number: u64, anchor: &Anchor, which: &str) -> Option<String> {
    let seen = anchor.epoch();
    let at = anchor.at();
    match relation {
        Relation::Follows => None,
        Relation::Older => Some(format!("its epoch is {number}, and {which} of {at} knows epoch {seen}")),
        Relation::Forked => {
            Some(format!("it went on another way than {which} of {at} knows, before epoch {seen} (now {number})"))
        }
    }
}
