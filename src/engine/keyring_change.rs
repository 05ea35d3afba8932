//! Changes of the key hierarchy: read, changed, sealed anew under the root key, and written together with their entry in the
//! configuration's ledger.

use serde_json::{Map, Value};

use crate::crypto::keyring::Keyring;
use crate::engine::cache::storage_failed;
use crate::engine::config_ledger::{self, By, Outcome, Said};
use crate::engine::{Engine, keys};
use crate::error::{Error, Result};
use crate::storage::{Change, Expect, Found, Get, Revision, Write};

/// How often a change is tried again when others change the keyring or the configuration at the same time.
const TRIES: usize = 64;

/// A change that was made.
pub struct Changed<T> {
    /// What `change` told.
    pub told: T,
    /// The keyring as it is now.
    pub keyring: Keyring,
    /// What audit says of it.
    pub note: Map<String, Value>,
}

impl Engine {
    /// Changes the keyring. `change` is decided anew on each reading; `None` leaves everything as it is.
    ///
    /// # Errors
    /// What `change` refuses; a store that fails; 503 where others keep changing the same.
    pub async fn change_keyring<T: Send>(
        &self,
        by: &By,
        mut change: impl FnMut(&mut Keyring) -> Result<Option<(Said, T)>> + Send,
    ) -> Result<Option<Changed<T>>> {
        for _ in 0..TRIES {
            // Opened anew: the one that is held in memory belongs to everybody.
            let found = self.storage.get_many(vec![Get::new(keys::KEYRING)]).await.map_err(storage_failed)?;
            let Some(Found::Value(bytes, revision)) = found.into_iter().next() else {
                return Err(Error::internal("the keyring record is missing"));
            };
            let mut keyring = Keyring::open(&self.root, &revision, &bytes).map_err(Error::internal)?;
            let Some((said, told)) = change(&mut keyring)? else { return Ok(None) };
            let fresh = Revision::new(&*self.random);
            let value = keyring.seal(&self.root, &fresh, &*self.random).map_err(Error::internal)?;
            let write = Write {
                key: keys::KEYRING.to_owned(),
                expect: Expect::At(revision),
                change: Change::Put { value, revision: fresh },
            };
            if let Outcome::Done(note) = config_ledger::write(self, by, &said, vec![write]).await? {
                return Ok(Some(Changed { told, keyring, note }));
            }
        }
        Err(Error::unavailable("too many changes of keys and configuration at once; try again"))
    }
}
