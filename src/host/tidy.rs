//! What the host does now and then so that what is over makes room: tokens, wrappings, and what the engine sweeps. All that is
//! refused without this.

use std::time::Duration;

use super::{Host, Unsealed};
use crate::domain::time::Timestamp;
use crate::engine::sweep::{Swept, What};
use crate::engine::turns::LEASE;
use crate::error::Result;

/// Records that are looked at in one go.
const BATCH: usize = 256;
/// Turns of the engine's sweep at most: the next time goes on from there.
const TURNS: usize = 200;
/// The same of the sweep that looks at whole accounts.
const TURNS_OF_SETS: usize = 20;
/// How long tokens and wrappings stay beyond their time: a clock that is wrong must not remove anything at once.
const MARGIN: Duration = Duration::from_secs(86_400);

impl Host {
    /// Removes tokens and wrappings whose time was over a day ago, and what the engine needs no longer; destroys keys and
    /// ciphertexts that are due. Answers how many records went or were changed. Stops once `go_on` says so, or the host is
    /// sealed; what is left is there the next time.
    pub async fn tidy(&self, go_on: impl Fn() -> bool) -> Result<usize> {
        let Some(open) = self.unsealed() else { return Ok(0) };
        let before = self.clock.now().minus(MARGIN);
        let mut gone = 0;
        let go_on = || go_on() && !self.is_sealed();
        let tidied = match self.info.node {
            None => self.tidy_all(&open, before, &mut gone, &go_on).await,
            Some(_) => self.tidy_in_turn(&open, before, &mut gone, &go_on).await,
        };
        self.metrics.tidied(tidied.is_ok());
        tidied.map(|()| gone)
    }

    /// Where several nodes serve one store, one of them tidies for all, from where the one before it stopped.
    async fn tidy_in_turn(
        &self,
        open: &Unsealed,
        before: Timestamp,
        gone: &mut usize,
        go_on: &impl Fn() -> bool,
    ) -> Result<()> {
        let Some(turn) = open.engine.take_turn("sweep").await? else { return Ok(()) };
        open.engine.resume_sweeps(turn.place()).await;
        // No longer than the turn is ours: what is left is there the next time.
        let end = self.clock.now().plus(LEASE / 2);
        let tidied = self.tidy_all(open, before, gone, &|| go_on() && self.clock.now() < end).await;
        open.engine.end_turn(turn, open.engine.sweep_place().await).await?;
        tidied
    }

    async fn tidy_all(
        &self,
        open: &Unsealed,
        before: Timestamp,
        gone: &mut usize,
        go_on: &impl Fn() -> bool,
    ) -> Result<()> {
        for kind in ["token", "wrapping"] {
            let mut after = None;
            while go_on() {
                let (some, more) = match kind {
                    "token" => open.tokens.tidy(before, after.as_deref(), BATCH).await?,
                    _ => open.wrappings.tidy(before, after.as_deref(), BATCH).await?,
                };
                self.metrics.swept(kind, some);
                *gone += some;
                after = more;
                if after.is_none() {
                    break;
                }
            }
        }
        for _ in 0..TURNS {
            if !go_on() || self.count(open.engine.sweep(BATCH, go_on).await?, gone) {
                break;
            }
        }
        for _ in 0..TURNS_OF_SETS {
            if !go_on() || self.count(open.engine.sweep_sets(BATCH, go_on).await?, gone) {
                break;
            }
        }
        Ok(())
    }

    /// Whether that was all.
    fn count(&self, swept: Swept, gone: &mut usize) -> bool {
        for what in What::ALL {
            self.metrics.swept(what.word(), swept.of(what));
        }
        *gone += swept.gone();
        swept.whole
    }
}
