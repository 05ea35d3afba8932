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
    seat: Arc<Seat>,
    _permit: OwnedSemaphorePermit,
}

/// What a place and the work of its connection have in common.
struct Seat {
    places: Arc<Places>,
    number: u64,
    leave: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    /// It owes us a request.
    Waiting { since: Instant, answered: bool },
    /// A request of it is at work: it is not sent away.
    AtWork,
    /// The connection is gone.
    Left,
}

/// While it lives, the connection's request is at work.
pub struct AtWork(Arc<Seat>);

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
        let seat = Arc::new(Seat { places: Arc::clone(self), number, leave, state });
        Some(Place { seat, _permit: permit })
    }

    fn send_one_away(&self) {
        if let Some((_, leave)) = lock(&self.waiting).since.pop_first() {
            leave.notify_one();
        }
    }
}

impl Place {
    /// The whole request is here. Until what this returns is dropped, the connection is not sent away.
    pub fn at_work(&self) -> AtWork {
        self.seat.becomes(State::AtWork);
        AtWork(Arc::clone(&self.seat))
    }

    /// Waits until the connection must go: at once where it owes us a request, in a moment where an answer may be on its way.
    pub async fn sent_away(&self) {
        self.seat.leave.notified().await;
        loop {
            let state = *lock(&self.seat.state);
            match state {
                State::Left => return,
                State::Waiting { answered: false, .. } => return,
                State::Waiting { since, answered: true } if since.elapsed() >= LEAVING => return,
                State::Waiting { since, .. } => tokio::time::sleep_until(since + LEAVING).await,
                State::AtWork => tokio::time::sleep(LEAVING).await,
            }
        }
    }
}

impl Seat {
    /// What the connection does from here on, unless it has left.
    fn becomes(&self, next: State) {
        let mut state = lock(&self.state);
        let mut waiting = lock(&self.places.waiting);
        match *state {
            State::Left => return,
            State::Waiting { since, .. } => drop(waiting.since.remove(&(since, self.number))),
            State::AtWork => {}
        }
        if let State::Waiting { since, .. } = next {
            waiting.since.insert((since, self.number), Arc::clone(&self.leave));
        }
        *state = next;
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.becomes(State::Waiting { since: Instant::now(), answered: true });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seat.becomes(State::Left);
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
