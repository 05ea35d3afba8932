//! Places for connections. When all are taken, a new connection gets the place of the one that has kept us waiting for a whole
//! request for longest: who only holds connections open, or drips, keeps nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// An answer may still be on its way for so long after it was given: its connection is not cut off meanwhile.
const LEAVING: Duration = Duration::from_secs(1);

/// A bounded number of places.
pub struct Places {
    free: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
}

/// Connections that owe us a request, by when they began to.
#[derive(Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<(Instant, u64), Arc<Notify>>,
}

/// One connection's place; given back when dropped.
pub struct Place {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
    state: Mutex<State>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Clone, Copy)]
enum State {
    /// It owes us a request.
    Waiting { since: Instant, answered: bool },
    /// A request of it is at work: it is not sent away.
    AtWork,
}

/// While it lives, the connection's request is at work.
pub struct AtWork<'a>(&'a Place);

impl Places {
    /// So many places.
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Places { free: Arc::new(Semaphore::new(count)), waiting: Mutex::default() })
    }

    /// The next place; if none is free, somebody who keeps us waiting is sent away. `None` when there are none any more.
    pub async fn take(self: &Arc<Self>) -> Option<Place> {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => loop {
                self.send_one_away();
                // Who was told to go may have begun to work meanwhile: then it is the next one's turn.
                match tokio::time::timeout(LEAVING, Arc::clone(&self.free).acquire_owned()).await {
                    Ok(permit) => break permit.ok()?,
                    Err(_) => continue,
                }
            },
        };
        let leave = Arc::new(Notify::new());
        let now = Instant::now();
        let mut waiting = lock(&self.waiting);
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert((now, number), Arc::clone(&leave));
        drop(waiting);
        let state = Mutex::new(State::Waiting { since: now, answered: false });
        Some(Place { places: Arc::clone(self), number, leave, state, _permit: permit })
    }

    fn send_one_away(&self) {
        if let Some((_, leave)) = lock(&self.waiting).since.pop_first() {
            leave.notify_one();
        }
    }
}

impl Place {
    /// The whole request is here. Until what this returns is dropped, the connection is not sent away.
    pub fn at_work(&self) -> AtWork<'_> {
        let mut state = lock(&self.state);
        if let State::Waiting { since, .. } = *state {
            lock(&self.places.waiting).since.remove(&(since, self.number));
        }
        *state = State::AtWork;
        AtWork(self)
    }

    /// Waits until the connection must go: at once where it owes us a request, in a moment where an answer may be on its way.
    pub async fn sent_away(&self) {
        self.leave.notified().await;
        loop {
            let state = *lock(&self.state);
            match state {
                State::Waiting { answered: false, .. } => return,
                State::Waiting { since, answered: true } if since.elapsed() >= LEAVING => return,
                State::Waiting { since, .. } => tokio::time::sleep_until(since + LEAVING).await,
                State::AtWork => tokio::time::sleep(LEAVING).await,
            }
        }
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let place = self.0;
        let now = Instant::now();
        *lock(&place.state) = State::Waiting { since: now, answered: true };
        lock(&place.places.waiting).since.insert((now, place.number), Arc::clone(&place.leave));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let State::Waiting { since, .. } = *lock(&self.state) {
            lock(&self.places.waiting).since.remove(&(since, self.number));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a place comes free without anybody going of his own accord.
    async fn comes<T>(future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(Duration::from_secs(60), future).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_waited_longest_goes_first_and_who_is_at_work_stays() {
        let places = Places::new(3);
        let oldest = places.take().await.unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        let working = places.take().await.unwrap();
        let at_work = working.at_work();
        tokio::time::advance(Duration::from_millis(1)).await;
        let youngest = places.take().await.unwrap();

        let mut next = Box::pin(places.take());
        tokio::select! {
            biased;
            _ = &mut next => panic!("no place is free"),
            () = oldest.sent_away() => {}
        }
        drop(oldest);
        let newcomer = comes(next).await.flatten().expect("the place of the oldest");
        let mut next = Box::pin(places.take());
        tokio::select! {
            biased;
            _ = &mut next => panic!("no place is free"),
            () = newcomer.sent_away() => panic!("an older one waits"),
            () = youngest.sent_away() => {}
        }
        drop(youngest);
        let another = comes(next).await.flatten().expect("the place of the next one");
        let mut next = Box::pin(places.take());
        tokio::select! {
            biased;
            _ = &mut next => panic!("no place is free"),
            () = newcomer.sent_away() => {}
        }
        assert!(comes(working.sent_away()).await.is_none(), "it works");
        drop((at_work, another));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_time_to_leave() {
        let places = Places::new(1);
        let only = places.take().await.unwrap();
        drop(only.at_work());
        let begun = Instant::now();
        let mut next = Box::pin(places.take());
        tokio::select! {
            biased;
            _ = &mut next => panic!("no place is free"),
            () = only.sent_away() => {}
        }
        assert!(begun.elapsed() >= LEAVING, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_left_in_the_list() {
        let places = Places::new(4);
        for _ in 0..10 {
            let place = places.take().await.unwrap();
            drop(place.at_work());
            let at_work = place.at_work();
            assert!(lock(&places.waiting).since.is_empty());
            drop(at_work);
        }
        assert!(lock(&places.waiting).since.is_empty());
    }
}
