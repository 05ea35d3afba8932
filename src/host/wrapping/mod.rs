//! Response wrapping: an answer that waits for the holder of a token that is good for one use.
//!
//! `wrapping/<hex of the token's keyed hash>` holds a [`WrappingRecord`]: the answer, sealed under a key that only the token
//! yields, or, for a code, no more than the name of the account whose slot knows the token's hash. Taking an answer out is a
//! conditional delete, so it happens once; a code is taken out by the engine's own write.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::answer::WrapInfo;
use super::call::Token;
use super::{failure, ident, tokens};
use crate::clock::Clock;
use crate::crypto::keyring::{HashPurpose, Keyring};
use crate::crypto::wrapped;
use crate::domain::time::Timestamp;
use crate::engine::request::Wrap;
use crate::error::{Error, Result};
use crate::random::Random;
use crate::storage::{Found, Get, PutError, Revision, Storage, StorageError, Write};

pub mod paths;
pub mod record;

use record::{Content, WrappingRecord};

/// Folder of the wrappings.
pub const WRAPPINGS: &str = "wrapping/";

/// The wrappings of one unsealed store.
pub struct Wrappings {
    storage: Arc<dyn Storage>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A wrapping token that has been drawn but stands for nothing yet.
pub struct Draft {
    token: Token,
    hash: [u8; 32],
    accessor: String,
    creation_path: String,
    created_at: Timestamp,
    ttl: Duration,
}

/// A wrapping that was found alive.
pub struct Waiting {
    /// The keyed hash of its token.
    pub hash: [u8; 32],
    /// What is kept of it.
    pub record: WrappingRecord,
    revision: Revision,
}

impl Wrappings {
    /// The wrappings in `storage`, which is the barrier.
    pub fn new(
        storage: Arc<dyn Storage>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Wrappings {
        Wrappings { storage, keyring, clock, random }
    }

    /// Draws a token for the answer of `creation_path`.
    pub fn draft(&self, creation_path: &str, ttl: Duration) -> Draft {
        let token = tokens::draw(&*self.random);
        Draft {
            hash: self.hash(&token),
            token,
            accessor: ident::base62(&*self.random, 24).to_string(),
            creation_path: creation_path.to_owned(),
            created_at: self.clock.now(),
            ttl,
        }
    }

    /// What the engine needs to let a slot of `account` wait for the token of `draft`.
    pub fn for_slot(&self, draft: &Draft, account: &str) -> Result<Wrap> {
        let record = draft.record(Content::Slot { account: account.to_owned() }).encode()?;
        let record = Write::create(key(&draft.hash), record, &*self.random);
        Ok(Wrap { token_hash: draft.hash, ttl: draft.ttl, record })
    }

    /// Keeps `answer` for the token of `draft`.
    pub async fn keep(&self, draft: &Draft, answer: &[u8]) -> Result<()> {
        let write = self.write(draft, answer)?;
        self.storage.put_all(vec![write]).await.map_err(failure::write)
    }

    fn write(&self, draft: &Draft, answer: &[u8]) -> Result<Write> {
        let token = draft.token.expose().as_bytes();
        let sealed = wrapped::seal(token, self.keyring.mount_id(), &draft.hash, answer, &*self.random)
            .map_err(Error::internal)?;
        let record = draft.record(Content::Answer(sealed)).encode()?;
        Ok(Write::create(key(&draft.hash), record, &*self.random))
    }

    /// Moves the answer in `waiting`, whose token is `token`, to the token of a new wrapping of the same path and time. `None` if
    /// somebody else was first.
    pub async fn rewrap(&self, token: &Token, waiting: &Waiting, sealed: &[u8]) -> Result<Option<Draft>> {
        let answer = self.open(token, waiting, sealed)?;
        let draft = self.draft(&waiting.record.creation_path, waiting.record.ttl);
        let write = self.write(&draft, &answer)?;
        match self.storage.put_all(vec![waiting.deletion(), write]).await {
            Ok(()) => Ok(Some(draft)),
            Err(PutError::Conflict { .. }) => Ok(None),
            Err(error) => Err(failure::write(error)),
        }
    }

    /// Looks a wrapping token up without using it. `None` if there is no such wrapping or its time is over.
    pub async fn find(&self, token: &Token) -> Result<Option<Waiting>> {
        if !token.may_exist() {
            return Ok(None);
        }
        let hash = self.hash(token);
        let found = self.storage.get_many(vec![Get::new(key(&hash))]).await.map_err(failure::read)?;
        self.waiting(hash, found.into_iter().next())
    }

    /// The same, with `other` read along; its answer stands first.
    pub async fn find_beside(&self, token: &Token, other: Get) -> Result<(Option<Found>, Option<Waiting>)> {
        let hash = self.hash(token);
        let gets = vec![other, Get::new(key(&hash))];
        let mut found = self.storage.get_many(gets).await.map_err(failure::read)?.into_iter();
        Ok((found.next(), self.waiting(hash, found.next())?))
    }

    fn waiting(&self, hash: [u8; 32], found: Option<Found>) -> Result<Option<Waiting>> {
        let Some(Found::Value(bytes, revision)) = found else { return Ok(None) };
        let record = WrappingRecord::decode(&bytes).map_err(|what| corrupt(key(&hash), what))?;
        Ok(record.lives(self.clock.now()).then_some(Waiting { hash, record, revision }))
    }

    /// Uses a wrapping up. `false` if somebody else was first.
    pub async fn burn(&self, waiting: &Waiting) -> Result<bool> {
        match self.storage.put_all(vec![waiting.deletion()]).await {
            Ok(()) => Ok(true),
            Err(PutError::Conflict { .. }) => Ok(false),
            Err(error) => Err(failure::write(error)),
        }
    }

    /// Opens the answer in a wrapping of this kind that has been burned.
    pub fn open(&self, token: &Token, waiting: &Waiting, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        wrapped::open(token.expose().as_bytes(), self.keyring.mount_id(), &waiting.hash, sealed)
            .map_err(|error| corrupt(key(&waiting.hash), error))
    }

    /// Removes up to `limit` wrappings, of those after `after`, whose time was over at `before`. Returns how many went and the
    /// last name looked at, if there are more.
    pub async fn tidy(&self, before: Timestamp, after: Option<&str>, limit: usize) -> Result<(usize, Option<String>)> {
        let names = self.storage.list(WRAPPINGS, after, limit).await.map_err(failure::read)?;
        let more = (names.len() == limit).then(|| names.last().cloned()).flatten();
        let mut gone = 0;
        for name in names {
            let key = format!("{WRAPPINGS}{name}");
            let found = self.storage.get_many(vec![Get::new(key.clone())]).await.map_err(failure::read)?;
            let Some(Found::Value(bytes, revision)) = found.into_iter().next() else { continue };
            if WrappingRecord::decode(&bytes).is_ok_and(|record| !record.lives(before)) {
                match self.storage.put_all(vec![Write::delete(key, revision)]).await {
                    Ok(()) => gone += 1,
                    Err(PutError::Conflict { .. }) => {}
                    Err(error) => return Err(failure::write(error)),
                }
            }
        }
        Ok((gone, more))
    }

    /// Ends every wrapping, unopened. Returns how many.
    pub async fn end_all(&self) -> Result<u64> {
        const BATCH: usize = 256;
        let (mut after, mut ended): (Option<String>, u64) = (None, 0);
        loop {
            let names = self.storage.list(WRAPPINGS, after.as_deref(), BATCH).await.map_err(failure::read)?;
            let Some(last) = names.last().cloned() else { return Ok(ended) };
            for name in names {
                let key = format!("{WRAPPINGS}{name}");
                let found = self.storage.get_many(vec![Get::new(key.clone())]).await.map_err(failure::read)?;
                let Some(Found::Value(_, revision)) = found.into_iter().next() else { continue };
                match self.storage.put_all(vec![Write::delete(key, revision)]).await {
                    Ok(()) => ended += 1,
                    // Opened or rewrapped at this moment, which a quarantine does not let happen with a code.
                    Err(PutError::Conflict { .. }) => {}
                    Err(error) => return Err(failure::write(error)),
                }
            }
            after = Some(last);
        }
    }

    fn hash(&self, token: &Token) -> [u8; 32] {
        self.keyring.keyed_hash(HashPurpose::WrappingToken, &[token.expose().as_bytes()])
    }
}

impl Waiting {
    /// Whether taking it out gives out a code.
    pub fn holds_code(&self) -> bool {
        matches!(self.record.content, Content::Slot { .. })
    }
    /// The write that uses it up.
    pub fn deletion(&self) -> Write {
        Write::delete(key(&self.hash), self.revision)
    }
}

impl Draft {
    fn record(&self, content: Content) -> WrappingRecord {
        WrappingRecord {
            content,
            accessor: self.accessor.clone(),
            creation_path: self.creation_path.clone(),
            created_at: self.created_at,
            ttl: self.ttl,
        }
    }
    /// What audit says of the wrapping before the answer is kept.
    pub fn announced(&self) -> crate::audit::WrapInfo<'_> {
        crate::audit::WrapInfo {
            token: self.token.expose(),
            accessor: &self.accessor,
            ttl: self.ttl,
            creation_path: &self.creation_path,
        }
    }
    /// What the caller gets in place of the answer, once it is kept.
    pub fn into_info(self, wrapped_accessor: Option<String>) -> WrapInfo {
        WrapInfo {
            token: self.token,
            accessor: self.accessor,
            ttl: self.ttl.as_secs(),
            creation_time: self.created_at.to_string(),
            creation_path: self.creation_path,
            wrapped_accessor,
        }
    }
}

fn key(hash: &[u8; 32]) -> String {
    format!("{WRAPPINGS}{}", hex::encode(hash))
}

fn corrupt(key: String, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::internal(StorageError::Corrupt { key, source: source.into() })
}
