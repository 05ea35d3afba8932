//! The mark in a store that was restored: it is older than what was acknowledged, whoever starts it and wherever.

use std::sync::Arc;

use crate::cli::client::Failure;
use crate::clock::{Clock as _, SystemClock};
use crate::crypto::barrier::seal_value;
use crate::crypto::keyring::Keyring;
use crate::domain::time::Timestamp;
use crate::engine::restore::Restore;
use crate::engine::{keys, record};
use crate::random::OsRandom;
use crate::storage::barrier::Barrier;
use crate::storage::{Change, Expect, Found, Get, Revision, Storage, Write};

/// The write, sealed, that marks `store` as restored from a backup of `made_at`.
pub(super) async fn of(store: &Arc<dyn Storage>, keyring: &Keyring, made_at: Timestamp) -> Result<Write, Failure> {
    let local = |error: &dyn std::fmt::Display| Failure::local(format!("the record {}: {error}", keys::RESTORE));
    let mount_id = keyring.mount_id();
    let barrier = Barrier::new(Arc::clone(store));
    barrier.unseal(*mount_id, keyring.barrier_keys());
    let found = barrier.get_many(vec![Get::new(keys::RESTORE)]).await.map_err(|error| local(&error))?;
    let (before, expect) = match found.into_iter().next() {
        Some(Found::Value(bytes, revision)) => {
            (record::decode(keys::RESTORE, &bytes).map_err(|error| local(&error))?, Expect::At(revision))
        }
        _ => (Restore::default(), Expect::Absent),
    };
    let marked = record::encode(&before.from_backup(made_at, SystemClock.now()));
    let mut barrier_keys = keyring.barrier_keys();
    barrier_keys.sort_by_key(|key| key.generation);
    let active = barrier_keys.last().ok_or_else(|| local(&"the keyring has no key for it"))?;
    let revision = Revision::new(&OsRandom);
    let value =
        seal_value(active, mount_id, keys::RESTORE, &revision, &marked, &OsRandom).map_err(|error| local(&error))?;
    Ok(Write { key: keys::RESTORE.to_owned(), expect, change: Change::Put { value, revision } })
}
