//! Waiting until what can be read is as durable as what was written.
//!
//! A commit that waits for its standby is invisible until the standby has it, but not for ever: where the server stops meanwhile, or
//! somebody ends the wait, the commit stays and everybody sees it. A standby that is promoted then lacks what was read. Commits reach
//! a standby in their order, so that one which it has acknowledged vouches for all before it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::error::PostgresError;
use super::writer::give_back;

/// How often it is asked again after a connection broke.
const TRIES: usize = 3;

/// One commit at a time, for all who wait for one.
pub(super) struct Settling {
    asked: AtomicU64,
    done: AtomicU64,
    turnstile: Semaphore,
}

impl Settling {
    pub(super) fn new() -> Self {
        Settling { asked: AtomicU64::new(0), done: AtomicU64::new(0), turnstile: Semaphore::new(1) }
    }
    /// Returns once a commit that began after this call was acknowledged.
    ///
    /// # Errors
    /// No server, or its standby has not acknowledged it in time.
    pub(super) async fn settle(&self, shared: &Shared) -> Result<(), PostgresError> {
        // Engines without lines show nothing that they could lose.
        if !shared.connections.line() {
            return Ok(());
        }
        let until = Instant::now() + shared.patience + shared.grace();
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let Ok(Ok(_turn)) = timeout_at(until, self.turnstile.acquire()).await else {
            return Err(PostgresError::Silent(shared.patience));
        };
        if self.done.load(Ordering::SeqCst) >= mine {
            return Ok(());
        }
        let all = self.asked.load(Ordering::SeqCst);
        commit(shared, until).await?;
        self.done.store(all, Ordering::SeqCst);
        Ok(())
    }
}

async fn commit(shared: &Shared, until: Instant) -> Result<(), PostgresError> {
    let mut tries = 0;
    loop {
        let lent = shared.connections.get().await?;
        lent.hush();
        let error = match timeout_at(until, lent.client().batch_execute(&shared.statements.settle)).await {
            Ok(Ok(())) => return lent.warning().map_or(Ok(()), |warned| Err(PostgresError::Unreplicated(warned))),
            Ok(Err(error)) => PostgresError::from(error),
            Err(_) => {
                super::connection::discard(lent);
                return Err(PostgresError::Silent(shared.patience));
            }
        };
        give_back(lent, &error);
        tries += 1;
        if tries >= TRIES || !error.may_pass() {
            return Err(error);
        }
    }
}
