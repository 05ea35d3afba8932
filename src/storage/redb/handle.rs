//! The open database, which the writer thread closes and opens anew after a failure while readers come and go.

use std::mem;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use ::redb::Database;

use super::error::RedbError;
use super::file::{Missing, Place};

pub(super) struct Handle {
    place: Box<dyn Place>,
    state: RwLock<State>,
}

enum State {
    Open(Arc<Database>),
    /// Closed, and why.
    Closed(String),
}

impl Handle {
    pub(super) fn open(place: Box<dyn Place>) -> Result<Self, RedbError> {
        let database = place.open(Missing::Create)?;
        Ok(Handle { place, state: RwLock::new(State::Open(Arc::new(database))) })
    }
    /// The database; hold it for one synchronous step only, because a reopening waits for that.
    pub(super) fn get(&self) -> Result<Arc<Database>, RedbError> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(database) => Ok(Arc::clone(database)),
            State::Closed(reason) => Err(RedbError::Reopening(reason.clone())),
        }
    }
    /// How many bytes can still be written, if that is known.
    pub(super) fn free(&self) -> Option<u64> {
        self.place.free()
    }
    /// Closes the database, which failed for `reason`, and opens it again; reads fail until that has succeeded.
    pub(super) fn reopen(&self, reason: &str) -> Result<(), RedbError> {
        if let State::Open(database) = self.set(State::Closed(reason.to_owned())) {
            close(database);
        }
        self.set(State::Open(Arc::new(self.place.open(Missing::Refuse)?)));
        Ok(())
    }
    fn set(&self, state: State) -> State {
        mem::replace(&mut *self.state.write().unwrap_or_else(PoisonError::into_inner), state)
    }
}

/// Closes `database` once the last reader has let go of it, so that the file's lock is free afterwards.
fn close(mut database: Arc<Database>) {
    loop {
        match Arc::try_unwrap(database) {
            Ok(last) => return drop(last),
            Err(shared) => database = shared,
        }
        thread::sleep(Duration::from_millis(1));
    }
}
