//! Initialisation: the root key is made, wrapped, and the shares are given out, once.

use super::record::{self, Holder, KEY, Quorum, Record, Recovery};
use super::{Seal, SealConfig, Share, StaticKeys, shamir};
use crate::crypto::secret::Key;
use crate::error::{Error, Result};
use crate::random::{self, Random};
use crate::storage::{PutError, Write};

/// How many shares an initialisation asks for; all zero where a client says nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct InitShares {
    /// Unseal shares (`secret_shares`), Shamir only.
    pub shares: u64,
    /// Unseal shares needed (`secret_threshold`), Shamir only.
    pub threshold: u64,
    /// Recovery shares (`recovery_shares`), not under Shamir.
    pub recovery_shares: u64,
    /// Recovery shares needed (`recovery_threshold`), not under Shamir.
    pub recovery_threshold: u64,
}

/// What an initialisation gives, once.
pub struct Initialised {
    /// The root key.
    pub root: Key,
    /// Unseal shares under Shamir, else recovery shares (possibly none).
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
        let made;
        let (holder, unseal_key, keys) = match &self.config {
            SealConfig::Shamir => {
                let quorum = quorum.ok_or_else(|| Error::internal("a Shamir seal without shares"))?;
                made = Key::generate(random);
                let keys = shamir::split(&made, quorum, random)?;
                (Holder::Shamir(quorum), &made, keys)
            }
            SealConfig::Static(StaticKeys { current, .. }) => {
                let (recovery, keys) = recovery(quorum, &id, &root, random)?;
                (Holder::Static { key_id: current.id.clone(), recovery }, &current.key, keys)
            }
            SealConfig::Transit(transit) => {
                let (recovery, keys) = recovery(quorum, &id, &root, random)?;
                made = Key::generate(random);
                let ciphertext = transit.wrap(&made).await?;
                (Holder::Transit { key: transit.key().to_string(), ciphertext, recovery }, &made, keys)
            }
        };
        let record = Record::wrap(id, holder, &root, unseal_key, random).map_err(Error::internal)?;
        let mut writes = vec![Write::create(KEY, record.encode().map_err(Error::internal)?, random)];
        writes.extend(also(&root)?);
        match self.storage.put_all(writes).await {
            Ok(()) => {}
            Err(PutError::Conflict { index: 0 }) => return Err(already()),
            Err(error) => return Err(Error::internal(error)),
        }
        self.state().quorum = record.holder.quorum();
        Ok(Initialised { root, keys })
    }

    fn quorum_for(&self, given: InitShares) -> Result<Option<Quorum>> {
        let unseal = [("secret_shares", given.shares), ("secret_threshold", given.threshold)];
        let recovery = [("recovery_shares", given.recovery_shares), ("recovery_threshold", given.recovery_threshold)];
        let kind = self.config.kind();
        let foreign = if matches!(self.config, SealConfig::Shamir) { recovery } else { unseal };
        let foreign: Vec<&str> = foreign.iter().filter(|(_, number)| *number != 0).map(|(name, _)| *name).collect();
        if !foreign.is_empty() {
            return Err(Error::invalid(format!("parameters {} not applicable to seal type {kind}", foreign.join(","))));
        }
        match (&self.config, given.recovery_shares, given.recovery_threshold) {
            (SealConfig::Shamir, ..) => Quorum::parse(given.shares, given.threshold)
                .map(Some)
                .map_err(|what| Error::invalid(format!("invalid seal configuration: {what}"))),
            (_, 0, 0) => Ok(None),
            (_, shares, threshold) => Quorum::parse(shares, threshold)
                .map(Some)
                .map_err(|what| Error::invalid(format!("invalid recovery configuration: {what}"))),
        }
    }
}

/// Recovery shares where a quorum is asked for, and how they are recognised later.
fn recovery(
    quorum: Option<Quorum>,
    id: &[u8; 16],
    root: &Key,
    random: &dyn Random,
) -> Result<(Option<Recovery>, Vec<Share>)> {
    let Some(quorum) = quorum else { return Ok((None, Vec::new())) };
    let key = Key::generate(random);
    let check = record::recovery_check(id, root, &key)
        .ok_or_else(|| Error::internal("the recovery check could not be derived"))?;
    let shares = shamir::split(&key, quorum, random)?;
    Ok((Some(Recovery { quorum, check: check.into() }), shares))
}

fn already() -> Error {
    Error::invalid("Vault is already initialized")
}
