//! The store that a configuration names, opened.

use std::sync::Arc;

use crate::config::StorageChoice;
use crate::storage::Storage;
use crate::storage::memory::Memory;
use crate::storage::postgres::Postgres;
use crate::storage::redb::Redb;

/// Opens it, and tells its kind as `sys/seal-status` has it.
///
/// # Errors
/// A sentence for the person who started this.
pub(super) async fn open(choice: &StorageChoice) -> Result<(Arc<dyn Storage>, &'static str), String> {
    Ok(match choice {
        StorageChoice::Memory => (Arc::new(Memory::new()), "inmem"),
        StorageChoice::Redb { path } => (Arc::new(Redb::open(path).map_err(|error| error.to_string())?), "redb"),
        StorageChoice::Postgres(choice) => {
            let options = choice.load().map_err(|error| error.to_string())?;
            (Arc::new(Postgres::open(&options).await.map_err(|error| error.to_string())?), "postgres")
        }
    })
}
