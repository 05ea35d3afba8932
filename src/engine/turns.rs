//! Work that one node does for all of them, in turns. Who is at it stands in a record with a term, and so does the place where it
//! goes on. Nothing is safe because of that: whatever such work writes is conditional, so two nodes at it at once (clocks may
//! differ) do no harm; a turn only saves them the trouble.

use std::time::Duration;

use minicbor::bytes::{ByteArray, ByteVec};
use sha2::{Digest, Sha256};

use crate::domain::time::Timestamp;
use crate::engine::cache::storage_failed;
use crate::engine::{Engine, keys, record};
use crate::error::{Error, Result};
use crate::storage::{Expect, Found, Get, PutError, Revision, Write};

/// How long a node that has the turn may be silent before another one takes it.
pub const LEASE: Duration = Duration::from_secs(60);

/// Names a node among those that take turns; all zero where there is only one. It survives a restart, so that a node that comes
/// back goes on at once.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Me([u8; 16]);

impl Me {
    /// The node of this name.
    pub fn named(node: &str) -> Self {
        let mut me = [0; 16];
        for (byte, hashed) in me.iter_mut().zip(Sha256::digest(node.as_bytes())) {
            *byte = hashed;
        }
        Me(me)
    }
}

/// The record of a chore.
#[derive(Clone, minicbor::Encode, minicbor::Decode)]
struct Stored {
    /// Who had the turn last.
    #[n(0)]
    holder: ByteArray<16>,
    /// Raised with every holder.
    #[n(1)]
    term: u64,
    /// When it is over by itself, in milliseconds since 1970; 0 once the holder has ended it.
    #[n(2)]
    until: i64,
    /// Where the work goes on, in a form of its own; empty at its beginning.
    #[n(3)]
    place: ByteVec,
}

/// The turn at a chore: this node's, until it is ended or another one took over.
pub struct Turn {
    key: String,
    stored: Stored,
    revision: Revision,
}

impl Turn {
    /// Where the work goes on.
    pub fn place(&self) -> &[u8] {
        &self.stored.place
    }
    /// How many turns at this chore other nodes and this one have taken over from each other.
    pub fn term(&self) -> u64 {
        self.stored.term
    }
}

impl Engine {
    /// Takes the turn at `chore`; `None` while another node has it.
    ///
    /// # Errors
    /// A store that fails, a record that does not decode.
    pub async fn take_turn(&self, chore: &str) -> Result<Option<Turn>> {
        let key = keys::turn(chore);
        let me = self.me.0;
        let now = self.clock.now();
        let found = self.storage.get_many(vec![Get::new(key.clone())]).await.map_err(storage_failed)?.pop();
        let (stored, expect) = match found {
            Some(Found::Value(bytes, revision)) => {
                let stored: Stored = record::decode(&key, &bytes)?;
                if *stored.holder != me && is_held(stored.until, now) {
                    return Ok(None);
                }
                let term = stored.term + u64::from(*stored.holder != me);
                (Stored { holder: me.into(), term, ..stored }, Expect::At(revision))
            }
            _ => (Stored { holder: me.into(), term: 1, until: 0, place: Vec::new().into() }, Expect::Absent),
        };
        self.write_turn(Turn { key, stored, revision: Revision([0; 16]) }, expect, now.plus(LEASE).millis()).await
    }

    /// Notes how far the work has come and goes on having the turn; `None` if another node has taken it meanwhile.
    ///
    /// # Errors
    /// A store that fails.
    pub async fn keep_turn(&self, mut turn: Turn, place: Vec<u8>) -> Result<Option<Turn>> {
        let expect = Expect::At(turn.revision);
        turn.stored.place = place.into();
        self.write_turn(turn, expect, self.clock.now().plus(LEASE).millis()).await
    }

    /// Ends the turn and notes where the next one goes on.
    ///
    /// # Errors
    /// A store that fails.
    pub async fn end_turn(&self, mut turn: Turn, place: Vec<u8>) -> Result<()> {
        let expect = Expect::At(turn.revision);
        turn.stored.place = place.into();
        self.write_turn(turn, expect, 0).await.map(drop)
    }

    async fn write_turn(&self, mut turn: Turn, expect: Expect, until: i64) -> Result<Option<Turn>> {
        turn.stored.until = until;
        let value = record::encode(&turn.stored);
        let write = Write::put(turn.key.clone(), expect, value, &*self.random);
        if let crate::storage::Change::Put { revision, .. } = &write.change {
            turn.revision = *revision;
        }
        match self.storage.put_all(vec![write]).await {
            Ok(()) => Ok(Some(turn)),
            Err(PutError::Conflict { .. }) => Ok(None),
            Err(PutError::Unknown(source)) => Err(Error::internal(source)),
            Err(PutError::Failed(error)) => Err(storage_failed(error)),
        }
    }
}

/// Whether a turn that is over at `until` is still somebody's. One that a clock far ahead of ours has taken does not count: its
/// holder may be long gone.
fn is_held(until: i64, now: Timestamp) -> bool {
    let until = Timestamp::from_millis(until);
    until > now && until.since(now) <= LEASE
}
