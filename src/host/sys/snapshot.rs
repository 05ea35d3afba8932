//! `sys/storage/snapshot`: a backup of the store while everything goes on, as a stream.

use std::sync::Arc;

use serde_json::{Map, json};
use tokio::sync::OwnedSemaphorePermit;

use super::super::Host;
use super::super::answer::{Answer, Refusal};
use super::super::stream::{self, Sink};
use super::super::visit::{Acted, Visit};
use crate::backup::{BackupError, Writer};
use crate::error::{Error, Kind};
use crate::storage::barrier::Barrier;

/// The turn of whoever reads the whole store. One at a time: each makes the store keep what is overwritten meanwhile.
pub(super) fn turn(host: &Host) -> Result<OwnedSemaphorePermit, Refusal> {
    Arc::clone(&host.reading).try_acquire_owned().map_err(|_| {
        let busy = "the whole store is being read already (a backup, an examination): try again when that has ended";
        Error::new(Kind::TooMany, busy).into()
    })
}

/// The backup, as it is now.
pub(in super::super) async fn save(visit: &Visit<'_>) -> Result<Acted, Refusal> {
    let host = visit.host;
    let turn = turn(host)?;
    let keyring = visit.open.engine.keyring().await?;
    let keys = keyring.barrier_keys();
    let (now, random) = (host.clock.now(), Arc::clone(&host.random));
    let begun = Writer::begin(Arc::clone(&host.raw), *keyring.mount_id(), &keys, now, random).await;
    let writer = begun.map_err(|error| match error {
        BackupError::Storage(error) => Error::unavailable("the store gives no snapshot").with_source(error),
        other => Error::internal(other),
    })?;
    let header = writer.header();
    let id = hex::encode(*header.id);
    let note = Map::from_iter([
        ("backup".to_owned(), json!(id)),
        ("mount_id".to_owned(), json!(hex::encode(*header.mount_id))),
    ]);
    let (sink, stream) = stream::stream();
    let barrier = Arc::clone(&host.barrier);
    tokio::spawn(async move {
        match pump(writer, sink, &barrier).await {
            Ok(records) => tracing::info!(backup = id, records, "a backup was sent"),
            Err(why) => tracing::warn!(backup = id, why, "a backup was not finished"),
        }
        drop(turn);
    });
    Ok(Acted { note, ..Answer::Stream { media: "application/octet-stream", stream }.into() })
}

/// Sends the whole backup; how many records are in it, or why it is of no use.
async fn pump(mut writer: Writer, sink: Sink, barrier: &Barrier) -> Result<u64, String> {
    while let Some(bytes) = writer.next().await.map_err(|error| error.to_string())? {
        if barrier.is_sealed() {
            return Err("the server was sealed".to_owned());
        }
        if !sink.send(bytes).await {
            return Err("its reader went away".to_owned());
        }
    }
    sink.end().await;
    Ok(writer.records())
}
