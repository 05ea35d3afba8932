//! What is remembered of a request for a code while nobody has said what became of it: the key that makes asking again show the same
//! code. A file of its owner's alone, written before anything is sent. Never a code, never an assertion.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cli::client::Failure;
use crate::domain::time::Timestamp;

/// Larger files are none of ours.
const MAX_BYTES: u64 = 16 * 1024;

/// A request for a code. All of it is sent again as it is: the key is bound to the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// Where the engine is: address and mount.
    pub at: String,
    /// Whose code.
    pub account: String,
    /// When it was asked for, in milliseconds since 1970.
    pub since: i64,
    /// The idempotency key.
    pub key: String,
    /// The role that was asked under.
    pub role: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// On which ticket.
    pub ticket: Option<String>,
    /// The slot that was asked for.
    pub slot: Option<u32>,
    /// How long the answer was to stay wrapped.
    pub wrap: Option<String>,
    /// The set and slot of the code, once it is known to have left.
    pub left: Option<(u64, u64)>,
}

/// Where requests of this user are remembered.
pub struct Memory {
    folder: PathBuf,
}

impl Memory {
    /// `sparekey/get` under the user's state folder (XDG base directories), if there is one.
    pub fn of(environment: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let state = environment("XDG_STATE_HOME").filter(|dir| Path::new(dir).is_absolute()).map(PathBuf::from);
        let home =
            || environment("HOME").filter(|home| !home.is_empty()).map(|home| Path::new(&home).join(".local/state"));
        Some(Memory { folder: state.or_else(home)?.join("sparekey").join("get") })
    }
    /// The request for a code of `account` at `at` that is not settled.
    pub fn find(&self, at: &str, account: &str) -> Result<Option<Pending>, Failure> {
        let file = self.file(at, account);
        let bytes = match fs::symlink_metadata(&file) {
            Ok(found) if found.is_file() && found.len() <= MAX_BYTES => fs::read(&file),
            Ok(_) => return Err(broken(&file)),
            Err(error) => Err(error),
        };
        match bytes {
            Ok(bytes) => match serde_json::from_slice::<Pending>(&bytes) {
                Ok(pending) if pending.at == at && pending.account == account => Ok(Some(pending)),
                _ => Err(broken(&file)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::local(format!("{} cannot be read: {error}", file.display()))),
        }
    }
    /// Remembers a request: on the disk when this returns.
    pub fn keep(&self, pending: &Pending) -> Result<(), Failure> {
        let file = self.file(&pending.at, &pending.account);
        self.write(&file, pending).map_err(|error| {
            Failure::local(format!(
                "{} cannot be written: {error}. Asking again after a lost answer needs it; without it, make up a key, write it \
                 down, and give --idempotency-key",
                file.display()
            ))
        })
    }
    /// Forgets the request.
    pub fn forget(&self, at: &str, account: &str) {
        let _ = fs::remove_file(self.file(at, account));
    }

    fn file(&self, at: &str, account: &str) -> PathBuf {
        let name = Sha256::new().chain_update(at).chain_update([0]).chain_update(account).finalize();
        self.folder.join(format!("{}.json", hex::encode(&name[..16])))
    }
    fn write(&self, file: &Path, pending: &Pending) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let beside = file.with_extension(format!("new-{}", std::process::id()));
        let written = (|| {
            let mut open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            serde_json::to_writer(&mut open, pending)?;
            open.flush()?;
            open.sync_all()?;
            fs::rename(&beside, file)?;
            fs::File::open(&self.folder)?.sync_all()
        })();
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

impl Pending {
    /// When it was asked for.
    pub const fn since(&self) -> Timestamp {
        Timestamp::from_millis(self.since)
    }
}

fn broken(file: &Path) -> Failure {
    Failure::local(format!(
        "{} is not what this command writes. If no request of yours is open, delete it and ask again",
        file.display()
    ))
}
