//! The pool in which codes are stretched: so many at a time, so many waiting, and no more, whatever strangers send.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::crypto::CryptoError;
use crate::crypto::verifier::{Stretched, Stretcher, Workspace};
use crate::error::{Error, Kind, Result};

/// Most computations at a time: 19 MiB and one core each.
const MOST_AT_WORK: usize = 4;
/// Most requests that wait for their turn.
const MOST_WAITING: usize = 60;

/// The pool.
pub struct Pool {
    /// Places for those at work and those who wait.
    places: Semaphore,
    /// Turns at the work; on its way to the worker while it is used.
    turns: Arc<Semaphore>,
    /// Memory that nobody computes in at the moment: never more than there were turns at a time.
    spare: Arc<Mutex<Vec<Workspace>>>,
    /// Computations so far.
    done: AtomicU64,
}

impl Default for Pool {
    /// A pool as wide as the machine, up to `MOST_AT_WORK`.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Pool::new(cores.min(MOST_AT_WORK), MOST_WAITING)
    }
}

impl Pool {
    /// A pool of `at_work` computations at a time; `waiting` more requests may wait.
    pub fn new(at_work: usize, waiting: usize) -> Self {
        let turns = Arc::new(Semaphore::new(at_work));
        Pool { places: Semaphore::new(at_work + waiting), turns, spare: Arc::default(), done: AtomicU64::new(0) }
    }

    /// Stretches `codes`, one after the other, on a thread that serves no requests.
    ///
    /// # Errors
    /// 429 at once, with a time to wait, if too many requests wait already.
    pub async fn stretch(&self, stretcher: Stretcher, codes: Vec<Zeroizing<String>>) -> Result<Vec<Stretched>> {
        let full = || {
            Error::new(Kind::TooMany, "too many codes are being verified at once; nothing was counted, try again")
                .with_retry_after(Duration::from_secs(1))
        };
        let _place = self.places.try_acquire().map_err(|_| full())?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(Error::internal)?;
        self.done.fetch_add(codes.len() as u64, Ordering::Relaxed);
        let spare = Arc::clone(&self.spare);
        let work = move || -> std::result::Result<Vec<_>, CryptoError> {
            let free = spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut workspace = free.map_or_else(Workspace::new, Ok)?;
            let stretched = codes.iter().map(|code| stretcher.stretch(code, &mut workspace)).collect();
            spare.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
            // Held by the work itself: a client that goes away does not make room for a second computation in its place.
            drop(turn);
            stretched
        };
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)?.map_err(Error::internal)
    }

    /// How many computations were begun.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::keyring::Keyring;
    use crate::domain::time::Timestamp;
    use crate::random::SeededRandom;

    #[tokio::test]
    async fn a_full_pool_refuses_at_once_and_says_when_to_come_again() {
        let ring = Keyring::generate(Timestamp::from_secs(1), &SeededRandom::new(1));
        let pool = Arc::new(Pool::new(1, 2));
        let code = || vec![Zeroizing::new("7kq29m2pxw4tb8hd".to_owned())];
        let asked: Vec<_> = (0..3)
            .map(|_| {
                let (pool, stretcher) = (pool.clone(), ring.stretcher(&[1; 16]));
                tokio::spawn(async move { pool.stretch(stretcher, code()).await.map(|done| done.len()) })
            })
            .collect();
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = pool.stretch(ring.stretcher(&[1; 16]), code()).await.err().expect("a full pool");
        assert_eq!((refused.kind(), refused.retry_after()), (Kind::TooMany, Some(Duration::from_secs(1))));
        for one in asked {
            assert_eq!(one.await.unwrap().unwrap(), 1, "who waited comes to their turn");
        }
        assert_eq!(pool.done(), 3, "what was refused cost nothing");
        assert_eq!(pool.spare.lock().unwrap().len(), 1, "all three worked in the same memory");
    }
}
