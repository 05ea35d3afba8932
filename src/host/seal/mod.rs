//! Seals: who holds the key that opens the root key. Under `shamir` people do, a share each; under `static` the machine does;
//! under `transit` another vault does.
//!
//! The root key never leaves this module except by [`Progress::Root`], [`Initialised`] and [`Seal::auto_unseal`]; the host
//! opens the keyring with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::crypto::secret::Key;
use crate::error::{Error, Kind, Result};
use crate::random::Random;
use crate::storage::{Found, Get, PutError, Revision, Storage, StorageError, Write};

mod fixed;
mod initialise;
mod record;
mod shamir;
#[cfg(test)]
mod tests;
mod transit;

pub use fixed::{NamedKey, StaticKeys, parse_key};
pub use initialise::{InitShares, Initialised};
pub use record::KEY;
pub use shamir::{Share, parse_share};
pub use transit::{Transit, TransitKey};

use record::{Broken, Holder, Quorum, Record};
use shamir::Attempt;

/// Which seal the configuration names.
pub enum SealConfig {
    /// Shares of the unseal key, given out at initialisation.
    Shamir,
    /// A key from the environment or a file; the store unseals by itself.
    Static(StaticKeys),
    /// Another vault's transit engine; the store unseals by itself while that vault answers.
    Transit(Box<Transit>),
}

impl SealConfig {
    /// `shamir`, `static` or `transit`.
    pub const fn kind(&self) -> &'static str {
        match self {
            SealConfig::Shamir => "shamir",
            SealConfig::Static(_) => "static",
            SealConfig::Transit(_) => "transit",
        }
    }
}

/// What `sys/seal-status` says of the seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealStatus {
    /// `shamir`, `static` or `transit`.
    pub kind: &'static str,
    /// Shares needed; recovery shares under a seal that opens by itself. Zero before initialisation.
    pub t: u8,
    /// Shares in all, likewise.
    pub n: u8,
    /// Shares given so far.
    pub progress: u8,
    /// A UUID while shares are being given, else empty.
    pub nonce: String,
    /// Whether `t` and `n` speak of recovery keys.
    pub recovery: bool,
}

/// What came of a share.
pub enum Progress {
    /// More shares are needed.
    More(SealStatus),
    /// The shares open the root key.
    Root(Key),
}

/// The seal of one store.
pub struct Seal {
    config: SealConfig,
    storage: Arc<dyn Storage>,
    random: Arc<dyn Random>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    attempt: Attempt,
    /// The quorum in the record when it was last read.
    quorum: Option<Quorum>,
}

impl Seal {
    /// A seal over the raw storage, below the barrier.
    pub fn new(config: SealConfig, storage: Arc<dyn Storage>, random: Arc<dyn Random>) -> Self {
        Seal { config, storage, random, state: Mutex::default() }
    }

    /// Whether the store has a seal record. A record of another kind of seal, or a corrupt one, is an error.
    pub async fn initialized(&self) -> Result<bool> {
        Ok(self.record().await?.is_some())
    }

    /// The seal as of the last time its record was read (by [`Seal::initialized`], for one).
    pub fn status(&self) -> SealStatus {
        let state = self.state();
        SealStatus {
            kind: self.config.kind(),
            t: state.quorum.map_or(0, |quorum| quorum.threshold),
            n: state.quorum.map_or(0, |quorum| quorum.shares),
            progress: state.attempt.progress(),
            nonce: state.attempt.nonce().to_owned(),
            recovery: !matches!(self.config, SealConfig::Shamir),
        }
    }

    /// Takes one share. Wrong shares are only noticed when the threshold is reached; then all of them are forgotten.
    pub async fn unseal(&self, share: &[u8]) -> Result<Progress> {
        let (record, _) = self.record().await?.ok_or_else(|| Error::invalid("Vault is not initialized"))?;
        let Holder::Shamir(quorum) = record.holder else {
            let kind = self.config.kind();
            return Err(Error::invalid(format!(
                "seal type {kind} unseals by itself and takes no shares; recovery keys do not unseal"
            )));
        };
        let given = self.state().attempt.add(share, quorum.threshold, &*self.random)?;
        match given {
            None => Ok(Progress::More(self.status())),
            Some(shares) => match shamir::combine(&shares).and_then(|key| record.unwrap(&key)) {
                Some(root) => Ok(Progress::Root(root)),
                None => Err(Error::invalid(WRONG_SHARES)),
            },
        }
    }

    /// Forgets the shares given so far.
    pub fn reset(&self) {
        self.state().attempt = Attempt::default();
    }

    /// Opens the root key without anybody's help: `None` under Shamir or before initialisation. A store that the previous key
    /// wrapped, or an older version of the other vault's key, is wrapped anew under the current one.
    pub async fn auto_unseal(&self) -> Result<Option<Key>> {
        if matches!(self.config, SealConfig::Shamir) {
            return Ok(None);
        }
        let Some((record, revision)) = self.record().await? else { return Ok(None) };
        let opened = match (&self.config, &record.holder) {
            (SealConfig::Static(keys), Holder::Static { key_id, .. }) => fixed::open(keys, key_id, &record),
            (SealConfig::Transit(transit), Holder::Transit { key, ciphertext, .. }) => {
                transit.open(key, ciphertext, &record).await
            }
            _ => return Ok(None),
        };
        let Opened { root, renewed } = opened?;
        let Some((holder, unseal_key)) = renewed else { return Ok(Some(root)) };
        let renewed = record.rewrap(holder, &root, &unseal_key, &*self.random).map_err(Error::internal)?;
        let value = renewed.encode().map_err(Error::internal)?;
        let write = Write::put(KEY, crate::storage::Expect::At(revision), value, &*self.random);
        match self.storage.put_all(vec![write]).await {
            // Another node was first: it holds the same keys, and the root key is the same.
            Ok(()) | Err(PutError::Conflict { .. }) => Ok(Some(root)),
            Err(error) => Err(Error::internal(error)),
        }
    }

    /// Whether another vault must answer before the store unseals.
    pub fn asks_elsewhere(&self) -> bool {
        matches!(self.config, SealConfig::Transit(_))
    }

    /// Whether the store unseals without people.
    pub fn opens_by_itself(&self) -> bool {
        !matches!(self.config, SealConfig::Shamir)
    }

    /// Keeps what the seal needs of another vault alive for as long as the future is polled: its token. At once over where
    /// there is nothing to keep.
    pub async fn keep(&self) {
        if let SealConfig::Transit(transit) = &self.config {
            transit.keep_token().await;
        }
    }

    /// Whether these recovery shares are a quorum of the ones given out at initialisation. Needs the root key, so the store
    /// must be unsealed.
    pub async fn is_recovery_quorum(&self, root: &Key, shares: &[Share]) -> Result<bool> {
        use subtle::ConstantTimeEq;
        let Some((record, _)) = self.record().await? else { return Ok(false) };
        let Some(recovery) = record.holder.recovery() else { return Ok(false) };
        let quorum = recovery.quorum;
        if shares.len() < usize::from(quorum.threshold) || shares.len() > usize::from(quorum.shares) {
            return Ok(false);
        }
        let found = shamir::combine(shares).and_then(|key| record::recovery_check(&record.id, root, &key));
        Ok(found.is_some_and(|found| bool::from(found.ct_eq(&*recovery.check))))
    }

    /// Whether `shares` are a quorum of those who may open the store: unseal shares under Shamir, else recovery shares.
    pub async fn proves_quorum(&self, root: &Key, shares: &[Share]) -> Result<bool> {
        use subtle::ConstantTimeEq;
        if !matches!(self.config, SealConfig::Shamir) {
            return self.is_recovery_quorum(root, shares).await;
        }
        let Some((record, _)) = self.record().await? else { return Ok(false) };
        let opened = shamir::combine(shares).and_then(|key| record.unwrap(&key));
        Ok(opened.is_some_and(|opened| bool::from(opened.bytes().ct_eq(root.bytes()))))
    }

    async fn record(&self) -> Result<Option<(Record, Revision)>> {
        let found = self.storage.get_many(vec![Get::new(KEY)]).await.map_err(Error::internal)?;
        let (bytes, revision) = match found.into_iter().next() {
            Some(Found::Value(bytes, revision)) => (bytes, revision),
            Some(Found::Absent) => {
                self.state().quorum = None;
                return Ok(None);
            }
            Some(Found::Unchanged) | None => return Err(Error::internal("the store did not answer the read")),
        };
        let record = Record::decode(&bytes).map_err(corrupt)?;
        let (stored, configured) = (record.holder.kind(), self.config.kind());
        if stored != configured {
            return Err(sealed(format!(
                "the store was initialised with seal \"{stored}\", the configuration says seal \"{configured}\": name the former one"
            )));
        }
        self.state().quorum = record.holder.quorum();
        Ok(Some((record, revision)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a seal record tells without a key: who can open it. `Err` completes the sentence "the record …".
pub fn describe(bytes: &[u8]) -> Result<String, &'static str> {
    let record = Record::decode(bytes).map_err(|Broken(what)| what)?;
    Ok(match &record.holder {
        Holder::Shamir(quorum) => format!("shamir, {} of {} unseal keys", quorum.threshold, quorum.shares),
        Holder::Static { key_id, .. } => format!("static, key id {key_id:?}"),
        Holder::Transit { key, .. } => format!("transit, key {key:?} of another vault"),
    })
}

/// The root key, and how its record is to be wrapped from now on if not as it was.
struct Opened {
    root: Key,
    renewed: Option<(Holder, Key)>,
}

const WRONG_SHARES: &str = "unable to retrieve stored keys: invalid key: failed to decrypt keys from storage: cipher: message authentication failed";

fn corrupt(broken: Broken) -> Error {
    Error::internal(StorageError::Corrupt { key: KEY.to_owned(), source: Box::new(broken) })
}

/// A reason to stay sealed that only the operator may read.
fn sealed(cause: String) -> Error {
    Error::new(Kind::Unavailable, "Vault is sealed").with_source(cause)
}
