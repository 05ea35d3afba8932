//! `sys/storage/doctor`: an examination of the store while everything goes on, told in lines of JSON.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::super::answer::{Answer, Refusal};
use super::super::doctor::{CannotExamine, Examination};
use super::super::stream::{self, Sink};
use super::super::visit::{Acted, Visit};
use super::snapshot::turn;
use crate::error::Error;
use crate::storage::barrier::Barrier;

/// How often it is told how far the examination has come.
const EVERY: Duration = Duration::from_secs(1);

/// Lines `{"progress": …}`, and a last one `{"report": …}` or `{"error": …}`.
pub(in super::super) async fn examine(visit: &Visit<'_>) -> Result<Acted, Refusal> {
    let host = visit.host;
    let turn = turn(host)?;
    let begun = Examination::begin(Arc::clone(&host.raw), Arc::clone(&visit.open.root), host.clock.now()).await;
    let examination = begun.map_err(|error| match error {
        CannotExamine::Storage(error) => Error::unavailable("the store gives no snapshot").with_source(error),
        other => Error::internal(other),
    })?;
    let (sink, stream) = stream::stream();
    let barrier = Arc::clone(&host.barrier);
    tokio::spawn(async move {
        run(examination, sink, &barrier).await;
        drop(turn);
    });
    Ok(Answer::Stream { media: "application/x-ndjson", stream }.into())
}

async fn run(mut examination: Examination, sink: Sink, barrier: &Barrier) {
    let mut told = Instant::now();
    let last = loop {
        if barrier.is_sealed() {
            break json!({"error": "the server was sealed"});
        }
        match examination.step().await {
            Ok(Some(progress)) if told.elapsed() >= EVERY => {
                told = Instant::now();
                if !sink.send(line(&json!({"progress": progress}))).await {
                    return;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => break json!({"report": examination.report()}),
            Err(error) => {
                tracing::error!(%error, "an examination of the store was not finished");
                break json!({"error": "the store failed; the server's log says why"});
            }
        }
        // It computes much and waits for little: others come first.
        tokio::task::yield_now().await;
    };
    if sink.send(line(&last)).await {
        sink.end().await;
    }
}

fn line(value: &serde_json::Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}
