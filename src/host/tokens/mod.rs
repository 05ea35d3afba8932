//! Service tokens: made at initialisation and by logins, kept as a keyed hash, looked up on every request that carries one.
//!
//! | key | value |
//! |---|---|
//! | `tokens/<hex of the token's keyed hash>` | [`TokenRecord`] |
//! | `tokens/accessor/<hex of the accessor's keyed hash>` | the 32 bytes of the token's keyed hash |
//!
//! A lookup asks the store each time, so a revocation counts from the next request on, on every node; what it saves is only
//! the decoding of a record that has not changed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::call::Token;
use super::failure;
use super::ident;
use crate::clock::Clock;
use crate::crypto::keyring::{HashPurpose, Keyring};
use crate::domain::time::Timestamp;
use crate::error::{Error, Result};
use crate::random::Random;
use crate::storage::{Expect, Found, Get, PutError, Revision, Storage, StorageError, Write};

pub mod paths;
pub mod record;

use record::{Holder, TokenRecord};

/// Folder of the tokens.
pub const TOKENS: &str = "tokens/";
/// Folder of the accessors.
pub const ACCESSORS: &str = "tokens/accessor/";
/// How long a token lives at most where nothing else says so.
pub const SYSTEM_MAX_TTL: Duration = Duration::from_secs(768 * 3600);

/// How long a token is, in characters.
pub const TOKEN_LEN: usize = 26;

/// Most records the cache of decoded ones holds.
const CACHED: usize = 4096;
/// Tokens that are listed at once.
const BATCH: usize = 256;
/// How often a write goes back to its read.
const TRIES: usize = 5;

/// The tokens of one unsealed store.
pub struct Tokens {
    storage: Arc<dyn Storage>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    decoded: RwLock<Decoded>,
}

/// Records by the token's keyed hash, as of a revision.
type Decoded = HashMap<[u8; 32], (Revision, Arc<TokenRecord>)>;

/// A token that was found alive.
#[derive(Clone)]
pub struct Held {
    /// Its keyed hash.
    pub hash: [u8; 32],
    /// What is kept of it.
    pub record: Arc<TokenRecord>,
    revision: Revision,
}

/// A lookup under way: what is asked of the store, and what is held already.
pub struct Lookup {
    hash: [u8; 32],
    known: Option<(Revision, Arc<TokenRecord>)>,
}

impl Lookup {
    /// What is asked of the store.
    pub fn get(&self) -> Get {
        Get { key: token_key(&self.hash), known: self.known.as_ref().map(|(revision, _)| *revision) }
    }
}

/// What came of a renewal.
pub struct Renewed {
    /// The record as it is now.
    pub record: TokenRecord,
    /// The time that was asked for, where it was more than the token may have.
    pub capped: Option<Duration>,
}

impl Tokens {
    /// The tokens in `storage`, which is the barrier.
    pub fn new(
        storage: Arc<dyn Storage>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Tokens {
        Tokens { storage, keyring, clock, random, decoded: RwLock::default() }
    }

    /// Issues a token for `holder` that lives `ttl` (zero: for ever), by renewals at most `max_ttl`. The token is drawn, unless
    /// one is `given`.
    pub async fn issue(
        &self,
        holder: Holder,
        ttl: Duration,
        max_ttl: Duration,
        given: Option<Token>,
    ) -> Result<(Token, TokenRecord)> {
        let token = given.unwrap_or_else(|| draw(&*self.random));
        let record = new_record(holder, ttl, max_ttl, self.clock.now(), &*self.random);
        let writes = first_values(&self.keyring, &token, &record)?
            .map(|(key, value)| Write::create(key, value, &*self.random))
            .to_vec();
        match self.storage.put_all(writes).await {
            Ok(()) => Ok((token, record)),
            Err(PutError::Conflict { .. }) => Err(Error::invalid("cannot create a token with a duplicate ID")),
            Err(error) => Err(failure::write(error)),
        }
    }

    /// The keyed hash of `token`.
    pub fn hash(&self, token: &Token) -> [u8; 32] {
        self.keyring.keyed_hash(HashPurpose::Token, &[token.expose().as_bytes()])
    }

    /// Looks `token` up. `None` if there is no such token or its time is over.
    pub async fn find(&self, token: &Token) -> Result<Option<Held>> {
        if !token.may_exist() {
            return Ok(None);
        }
        self.find_hash(self.hash(token)).await
    }

    /// Looks up the token that `accessor` names. `None` if there is none, or its time is over.
    pub async fn find_accessor(&self, accessor: &str) -> Result<Option<Held>> {
        let key = accessor_key(&self.keyring, accessor);
        let found = self.storage.get_many(vec![Get::new(key.clone())]).await.map_err(failure::read)?;
        let Some(Found::Value(bytes, _)) = found.into_iter().next() else { return Ok(None) };
        let hash = bytes.try_into().map_err(|_| corrupt(key, "not a token's hash"))?;
        self.find_hash(hash).await
    }

    /// The accessors of all tokens that live, sorted.
    pub async fn accessors(&self) -> Result<Vec<String>> {
        const BATCH: usize = 256;
        let now = self.clock.now();
        let mut accessors = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let names = self.storage.list(TOKENS, after.as_deref(), BATCH).await.map_err(failure::read)?;
            let tokens = names.iter().filter(|name| !name.ends_with('/'));
            let gets = tokens.map(|name| Get::new(format!("{TOKENS}{name}"))).collect();
            for found in self.storage.get_many(gets).await.map_err(failure::read)? {
                let Found::Value(bytes, _) = found else { continue };
                let record = TokenRecord::decode(&bytes).map_err(|what| corrupt(TOKENS.to_owned(), what))?;
                if record.lives(now) {
                    accessors.push(record.accessor);
                }
            }
            if names.len() < BATCH {
                break;
            }
            after = names.into_iter().last();
        }
        accessors.sort_unstable();
        Ok(accessors)
    }

    /// Begins to look `token` up, for who reads something else along.
    pub fn lookup(&self, token: &Token) -> Lookup {
        self.lookup_hash(self.hash(token))
    }

    fn lookup_hash(&self, hash: [u8; 32]) -> Lookup {
        let known = self.decoded.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        Lookup { hash, known }
    }

    async fn find_hash(&self, hash: [u8; 32]) -> Result<Option<Held>> {
        let lookup = self.lookup_hash(hash);
        let found = self.storage.get_many(vec![lookup.get()]).await.map_err(failure::read)?.into_iter().next();
        self.found(lookup, found)
    }

    /// What a lookup comes to, by what the store answered. `None` if there is no such token or its time is over.
    pub fn found(&self, lookup: Lookup, found: Option<Found>) -> Result<Option<Held>> {
        let Lookup { hash, known } = lookup;
        let held = match (found, known) {
            (Some(Found::Unchanged), Some((revision, record))) => Held { hash, record, revision },
            (Some(Found::Value(bytes, revision)), _) => {
                let record = TokenRecord::decode(&bytes).map_err(|what| corrupt(token_key(&hash), what))?;
                let record = Arc::new(record);
                self.remember(hash, revision, &record);
                Held { hash, record, revision }
            }
            (Some(Found::Absent), known) => {
                if known.is_some() {
                    self.forget(&hash);
                }
                return Ok(None);
            }
            (Some(Found::Unchanged), None) | (None, _) => {
                return Err(Error::internal("the store did not answer the read"));
            }
        };
        Ok(held.record.lives(self.clock.now()).then_some(held))
    }

    /// Lets a token live for `increment` from now (zero: its own ttl), as far as its `max_ttl` allows. `None` if it is gone.
    pub async fn renew(&self, held: &Held, increment: Duration) -> Result<Option<Renewed>> {
        let mut held = held.clone();
        for _ in 0..TRIES {
            let now = self.clock.now();
            let wanted = if increment.is_zero() { held.record.ttl } else { increment };
            let left = held.record.issued_at.plus(held.record.max_ttl).since(now);
            let granted = wanted.min(left);
            let record = TokenRecord {
                expires_at: Some(now.plus(granted)),
                renewed_at: Some(now),
                ..TokenRecord::clone(&held.record)
            };
            let write = Write::put(token_key(&held.hash), Expect::At(held.revision), record.encode()?, &*self.random);
            match self.storage.put_all(vec![write]).await {
                Ok(()) => return Ok(Some(Renewed { record, capped: (granted < wanted).then_some(wanted) })),
                Err(PutError::Conflict { .. }) => match self.find_hash(held.hash).await? {
                    Some(now_held) => held = now_held,
                    None => return Ok(None),
                },
                Err(error) => return Err(failure::write(error)),
            }
        }
        Err(Error::unavailable("storage conflict: the token keeps changing; try again"))
    }

    /// Ends the token of this hash. One that is gone already is no error.
    pub async fn revoke(&self, hash: [u8; 32]) -> Result<()> {
        for _ in 0..TRIES {
            let key = token_key(&hash);
            let found = self.storage.get_many(vec![Get::new(key.clone())]).await.map_err(failure::read)?;
            let Some(Found::Value(bytes, revision)) = found.into_iter().next() else { return Ok(()) };
            let record = TokenRecord::decode(&bytes).map_err(|what| corrupt(key.clone(), what))?;
            let mut writes = vec![Write::delete(key, revision)];
            writes.extend(self.accessor_delete(&record).await?);
            match self.storage.put_all(writes).await {
                Ok(()) => {
                    self.forget(&hash);
                    return Ok(());
                }
                Err(PutError::Conflict { .. }) => {}
                Err(error) => return Err(failure::write(error)),
            }
        }
        Err(Error::unavailable("storage conflict: the token keeps changing; try again"))
    }

    /// Ends every token but the one of this hash. Returns how many.
    pub async fn end_others(&self, kept: &[u8; 32]) -> Result<u64> {
        let (mut after, mut ended): (Option<String>, u64) = (None, 0);
        loop {
            let names = self.storage.list(TOKENS, after.as_deref(), BATCH).await.map_err(failure::read)?;
            let Some(last) = names.last().cloned() else { return Ok(ended) };
            for name in names.iter().filter(|name| !name.ends_with('/')) {
                let Some(hash) = hex::decode(name).ok().and_then(|bytes| bytes.try_into().ok()) else { continue };
                if hash != *kept {
                    self.revoke(hash).await?;
                    ended += 1;
                }
            }
            after = Some(last);
        }
    }

    /// Removes up to `limit` tokens, of those after `after`, whose time was over at `before`. Returns how many went and the
    /// last name looked at, if there are more. A token that is over is refused without this; it only makes room.
    pub async fn tidy(&self, before: Timestamp, after: Option<&str>, limit: usize) -> Result<(usize, Option<String>)> {
        let names = self.storage.list(TOKENS, after, limit).await.map_err(failure::read)?;
        let more = (names.len() == limit).then(|| names.last().cloned()).flatten();
        let mut gone = 0;
        for name in names.iter().filter(|name| !name.ends_with('/')) {
            let Some(hash) = hex::decode(name).ok().and_then(|bytes| bytes.try_into().ok()) else { continue };
            let found =
                self.storage.get_many(vec![Get::new(format!("{TOKENS}{name}"))]).await.map_err(failure::read)?;
            let Some(Found::Value(bytes, _)) = found.into_iter().next() else { continue };
            if TokenRecord::decode(&bytes).is_ok_and(|record| !record.lives(before)) {
                self.revoke(hash).await?;
                gone += 1;
            }
        }
        Ok((gone, more))
    }

    async fn accessor_delete(&self, record: &TokenRecord) -> Result<Option<Write>> {
        let key = accessor_key(&self.keyring, &record.accessor);
        let found = self.storage.get_many(vec![Get::new(key.clone())]).await.map_err(failure::read)?;
        Ok(match found.into_iter().next() {
            Some(Found::Value(_, revision)) => Some(Write::delete(key, revision)),
            _ => None,
        })
    }

    fn remember(&self, hash: [u8; 32], revision: Revision, record: &Arc<TokenRecord>) {
        let mut decoded = self.decoded.write().unwrap_or_else(PoisonError::into_inner);
        if decoded.len() >= CACHED {
            decoded.clear();
        }
        decoded.insert(hash, (revision, Arc::clone(record)));
    }

    fn forget(&self, hash: &[u8; 32]) {
        self.decoded.write().unwrap_or_else(PoisonError::into_inner).remove(hash);
    }
}

/// A fresh token: `s.` and 24 characters, 142 bits.
pub fn draw(random: &dyn Random) -> Token {
    let mut text = String::with_capacity(TOKEN_LEN);
    text.push_str("s.");
    text.push_str(&ident::base62(random, TOKEN_LEN - 2));
    Token::new(text)
}

/// The record of a token that is issued at `now`.
pub fn new_record(
    holder: Holder,
    ttl: Duration,
    max_ttl: Duration,
    now: Timestamp,
    random: &dyn Random,
) -> TokenRecord {
    let max_ttl = match (ttl.is_zero(), max_ttl.is_zero()) {
        (true, _) => Duration::ZERO,
        (false, true) => SYSTEM_MAX_TTL,
        (false, false) => max_ttl.min(SYSTEM_MAX_TTL),
    };
    let ttl = ttl.min(max_ttl);
    TokenRecord {
        accessor: ident::base62(random, 24).to_string(),
        holder,
        issued_at: now,
        ttl,
        max_ttl,
        expires_at: (!ttl.is_zero()).then(|| now.plus(ttl)),
        renewed_at: None,
    }
}

/// The two values that make a token exist, with their keys.
pub fn first_values(keyring: &Keyring, token: &Token, record: &TokenRecord) -> Result<[(String, Vec<u8>); 2]> {
    let hash = keyring.keyed_hash(HashPurpose::Token, &[token.expose().as_bytes()]);
    Ok([(token_key(&hash), record.encode()?), (accessor_key(keyring, &record.accessor), hash.to_vec())])
}

fn token_key(hash: &[u8; 32]) -> String {
    format!("{TOKENS}{}", hex::encode(hash))
}

fn accessor_key(keyring: &Keyring, accessor: &str) -> String {
    let hash = keyring.keyed_hash(HashPurpose::Accessor, &[accessor.as_bytes()]);
    format!("{ACCESSORS}{}", hex::encode(hash))
}

fn corrupt(key: String, what: &'static str) -> Error {
    Error::internal(StorageError::Corrupt { key, source: what.into() })
}
