//! The place of an embedded store: what is restored is built beside it, and takes it once it is verified.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside;
use crate::cli::client::Failure;
use crate::cli::offline;
use crate::cli::whole_file::sync_folder;
use crate::config::StorageChoice;
use crate::storage::{Storage, copy, redb};

/// A place that was found free, or will be made so.
pub(super) struct Place {
    /// The store that is being built.
    pub store: Arc<dyn Storage>,
    path: PathBuf,
    building: PathBuf,
    aside: Option<PathBuf>,
}

impl Place {
    /// Looks at what is at `path`, and begins a store beside it or goes on with the one that an earlier run has left.
    ///
    /// # Errors
    /// A sentence, if a store with something in it is there and is not to be set aside, or a server has it open.
    pub async fn take(path: &Path, force: bool) -> Result<Self, Failure> {
        let aside = match holds_something(path).await? {
            false => None,
            true if force => {
                let aside = beside(path, ".before-restore");
                if aside.exists() {
                    return Err(Failure::local(format!(
                        "{} is there from an earlier restore: move it away first",
                        aside.display()
                    )));
                }
                Some(aside)
            }
            true => {
                return Err(Failure::local(format!(
                    "the store {} is not empty: name another in the configuration, or say --force to set it aside",
                    path.display()
                )));
            }
        };
        let building = beside(path, ".restoring");
        let choice = StorageChoice::Redb { path: building.clone() };
        let mut store = offline::storage(&choice, true).await?;
        let unfinished = copy::is_unfinished(&*store).await.map_err(|error| Failure::local(error.to_string()))?;
        if !unfinished {
            // Nothing yet, or all of it and not yet in its place: begun anew.
            drop(store);
            fs::remove_file(&building).map_err(|error| failed(&building, &error))?;
            store = offline::storage(&choice, true).await?;
        }
        Ok(Place { store, path: path.to_owned(), building, aside })
    }
    /// Puts the store in its place; answers where that is.
    pub fn finish(self) -> Result<String, Failure> {
        // Closes the file.
        drop(self.store);
        if let Some(aside) = &self.aside {
            redb::rename(&self.path, aside).map_err(|error| failed(aside, &error))?;
        }
        redb::rename(&self.building, &self.path).map_err(|error| failed(&self.path, &error))?;
        sync_folder(&self.path).map_err(|error| failed(&self.path, &error))?;
        Ok(match self.aside {
            Some(aside) => format!("{} (what was there is now {})", self.path.display(), aside.display()),
            None => self.path.display().to_string(),
        })
    }
}

/// Whether there is a store with records at `path`. Opening it takes its lock: no server has it.
async fn holds_something(path: &Path) -> Result<bool, Failure> {
    if !path.exists() {
        return Ok(false);
    }
    let store = offline::storage(&StorageChoice::Redb { path: path.to_owned() }, false).await?;
    let told = |error: crate::storage::StorageError| Failure::local(error.to_string());
    let mut snapshot = store.snapshot().await.map_err(told)?;
    Ok(!snapshot.next(1).await.map_err(told)?.is_empty())
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("{}: {error}", path.display()))
}
