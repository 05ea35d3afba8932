//! Initialisation: the root key is made, wrapped, and the shares are given out, once.

use super::record::{self, Holder, KEY, Quorum, Record, Recovery};
use super::{Seal, SealConfig, Share, StaticKeys, shamir};
use crate::crypto::secret::Key;
use crate::error::{Error, Result};
use crate::random;
use crate::storage::{PutError, Write};

/// How many shares an initialisation asks for; all zero where a client says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct InitShares {
    /// Unseal shares (`secret_shares`), Shamir only.
    pub shares: u64,
    /// Unseal shares needed (`secret_threshold`), Shamir only.
    pub threshold: u64,
    /// Recovery shares (`recovery_shares`), static only.
    pub recovery_shares: u64,
    /// Recovery shares needed (`recovery_threshold`), static only.
    pub recovery_threshold: u64,
}

/// What an initialisation gives, once.
pub struct Initialised {
    /// The root key.
    pub root: Key,
    /// Unseal shares under Shamir, recovery shares (possibly none) under a static seal.
    pub keys: Vec<Share>,
}

impl Seal {
    /// Makes a root key and writes the seal record. Errors carry Vault's texts.
    pub async fn init(&self, shares: InitShares) -> Result<Initialised> {
        self.init_with(shares, |_| Ok(Vec::new())).await
    }

    /// As [`Seal::init`], with further writes that belong to the root key (its keyring) in the same commit, after the record.
    pub async fn init_with(
        &self,
        shares: InitShares,
        also: impl FnOnce(&Key) -> Result<Vec<Write>> + Send,
    ) -> Result<Initialised> {
        let quorum = self.quorum_for(shares)?;
        if self.initialized().await? {
            return Err(already());
        }
        let random = &*self.random;
        let id = random::bytes(random);
        let root = Key::generate(random);
        let (record, keys) = match &self.config {
            SealConfig::Shamir => {
                let quorum = quorum.ok_or_else(|| Error::internal("a Shamir seal without shares"))?;
                let unseal_key = Key::generate(random);
                let keys = shamir::split(&unseal_key, quorum, random)?;
                (Record::wrap(id, Holder::Shamir(quorum), &root, &unseal_key, random).map_err(Error::internal)?, keys)
            }
            SealConfig::Static(StaticKeys { current, .. }) => {
                let (recovery, keys) = match quorum {
                    None => (None, Vec::new()),
                    Some(quorum) => {
                        let recovery_key = Key::generate(random);
                        let check = record::recovery_check(&id, &root, &recovery_key)
                            .ok_or_else(|| Error::internal("the recovery check could not be derived"))?;
                        let keys = shamir::split(&recovery_key, quorum, random)?;
                        (Some(Recovery { quorum, check: check.into() }), keys)
                    }
                };
                let holder = Holder::Static { key_id: current.id.clone(), recovery };
                (Record::wrap(id, holder, &root, &current.key, random).map_err(Error::internal)?, keys)
            }
        };
        let mut writes = vec![Write::create(KEY, record.encode().map_err(Error::internal)?, random)];
        writes.extend(also(&root)?);
        match self.storage.put_all(writes).await {
            Ok(()) => {}
            Err(PutError::Conflict { index: 0 }) => return Err(already()),
            Err(error) => return Err(Error::internal(error)),
        }
        self.state().quorum = record.quorum();
        Ok(Initialised { root, keys })
    }

    fn quorum_for(&self, given: InitShares) -> Result<Option<Quorum>> {
        let unseal = [("secret_shares", given.shares), ("secret_threshold", given.threshold)];
        let recovery = [("recovery_shares", given.recovery_shares), ("recovery_threshold", given.recovery_threshold)];
        let (foreign, kind) = match self.config {
            SealConfig::Shamir => (recovery, "shamir"),
            SealConfig::Static(_) => (unseal, "static"),
        };
        let foreign: Vec<&str> = foreign.iter().filter(|(_, number)| *number != 0).map(|(name, _)| *name).collect();
        if !foreign.is_empty() {
            return Err(Error::invalid(format!("parameters {} not applicable to seal type {kind}", foreign.join(","))));
        }
        match (&self.config, given.recovery_shares, given.recovery_threshold) {
            (SealConfig::Shamir, ..) => Quorum::parse(given.shares, given.threshold)
                .map(Some)
                .map_err(|what| Error::invalid(format!("invalid seal configuration: {what}"))),
            (SealConfig::Static(_), 0, 0) => Ok(None),
            (SealConfig::Static(_), shares, threshold) => Quorum::parse(shares, threshold)
                .map(Some)
                .map_err(|what| Error::invalid(format!("invalid recovery configuration: {what}"))),
        }
    }
}

fn already() -> Error {
    Error::invalid("Vault is already initialized")
}
