//! Anchors of a mount: what this machine knows of the vault's storage, kept in a folder outside it, if the operator names one.
//!
//! The vault's audit lines name no ledger heads, so nothing but the anchor tells that a snapshot was put back. It says that, and not
//! which acts were lost: those of the last seconds before it stand in it, the others in the vault's audit log.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::task::AbortHandle;

use crate::clock::SystemClock;
use crate::engine::Engine;
use crate::error::Result;
use crate::host::anchors::{AnchorConfig, Anchors, INTERVAL};

/// The variable that names the folder: `bao plugin register -env=SPAREKEY_ANCHORS=/var/lib/sparekey …`.
const FOLDER: &str = "SPAREKEY_ANCHORS";

/// The folder that the operator named.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The anchor of a mount, kept until this is dropped.
pub struct Keeper {
    anchors: Arc<Anchors>,
    keeping: AbortHandle,
}

impl Keeper {
    /// Compares the storage beneath `engine` with the anchor in `folder`, and quarantines it if it is older; then keeps the anchor for as
    /// long as `may_write` says that this node writes.
    pub async fn begin(
        folder: PathBuf,
        engine: &Arc<Engine>,
        may_write: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Keeper> {
        let keyring = engine.keyring().await?;
        let config = AnchorConfig {
            node: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            local: Some(folder.join(format!("{}.anchor", hex::encode(keyring.mount_id())))),
            ..AnchorConfig::default()
        };
        let anchors = Arc::new(Anchors::new(config, &[], Arc::clone(engine), &keyring, Arc::new(SystemClock))?);
        anchors.begin().await?;
        let kept = Arc::clone(&anchors);
        let keeping = tokio::spawn(async move {
            loop {
                tokio::time::sleep(INTERVAL).await;
                if !may_write() {
                    continue;
                }
                if let Err(error) = kept.turn(false).await {
                    tracing::warn!(?error, "the storage's epoch could not be anchored; tried again");
                }
            }
        });
        Ok(Keeper { anchors, keeping: keeping.abort_handle() })
    }

    /// Takes in what an act says of ledgers: it came about, and is about to be acknowledged.
    pub fn note(&self, note: &Map<String, Value>) {
        self.anchors.note(note);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}
