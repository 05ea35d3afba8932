//! The journal of an import of many accounts: what was sent and what is stored, so that the same command goes on where it stopped.
//!
//! JSON lines. The first says for which server and mount it is. Before an account is sent, its idempotency key is written down and
//! synced; when the server has answered, the generation. No code is in it, and nothing that is made of one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::task::Task;
use crate::cli::client::Failure;

/// The largest journal that is read, in bytes.
const MAX_JOURNAL: u64 = 32 << 20;

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Head {
    journal: String,
    version: u32,
    server: String,
    mount: String,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct Entry {
    account: String,
    source: String,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<u64>,
}

/// What an earlier run did for an account.
pub(super) enum Earlier {
    /// It is stored, as this generation.
    Stored(u64),
    /// It was sent under this key, and no success was written down.
    Sent(String),
    /// Nothing.
    Nothing,
}

/// An open journal; no other import uses it meanwhile.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    entries: BTreeMap<(String, String), Entry>,
}

impl Journal {
    /// Opens the journal at `path`, or begins it.
    pub fn open(path: &Path, server: &str, mount: &str) -> Result<Self, Failure> {
        let named = path.display();
        let unusable = |why: &dyn std::fmt::Display| {
            Failure::local(format!(
                "the journal {named} cannot be used: {why}. Name another with --journal. Nothing was sent"
            ))
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|error| unusable(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::local(format!(
                    "another import is at work with the journal {named}. Nothing was sent"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
        let mut text = String::new();
        (&file).take(MAX_JOURNAL).read_to_string(&mut text).map_err(|error| unusable(&error))?;
        // A line without its end was being written when the run was stopped: it was not acted upon.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let head = Head {
            journal: "sparekey import".to_owned(),
            version: 1,
            server: server.to_owned(),
            mount: mount.to_owned(),
        };
        let mut journal = Journal {
            path: path.to_owned(),
            file: file.try_clone().map_err(|error| unusable(&error))?,
            entries: BTreeMap::new(),
        };
        let size = u64::try_from(whole).unwrap_or(u64::MAX);
        file.set_len(size)
            .and_then(|()| file.seek(SeekFrom::Start(size)).map(drop))
            .map_err(|error| unusable(&error))?;
        let mut lines = text[..whole].lines().enumerate();
        let Some((_, first)) = lines.next() else {
            journal.append(&head)?;
            return Ok(journal);
        };
        match serde_json::from_str::<Head>(first) {
            Ok(found) if found == head => {}
            Ok(found) if found.journal == head.journal => {
                return Err(unusable(&format_args!(
                    "it is of an import to {} ({}), not to {server} ({mount})",
                    crate::cli::client::printable(&found.server),
                    crate::cli::client::printable(&found.mount)
                )));
            }
            _ => return Err(unusable(&"line 1: it is no journal of an import")),
        }
        for (place, line) in lines {
            let entry: Entry = serde_json::from_str(line)
                .map_err(|_| unusable(&format_args!("line {}: it is not what an import writes", place + 1)))?;
            journal.entries.insert((entry.account.clone(), entry.source.clone()), entry);
        }
        Ok(journal)
    }

    /// What an earlier run did for `task`.
    pub fn earlier(&self, task: &Task) -> Earlier {
        match self.entries.get(&(task.account.to_string(), source(task))) {
            Some(Entry { stored: Some(generation), .. }) => Earlier::Stored(*generation),
            Some(entry) => Earlier::Sent(entry.key.clone()),
            None => Earlier::Nothing,
        }
    }

    /// Writes down that `task` will be sent under `key`.
    pub fn sending(&mut self, task: &Task, key: &str) -> Result<(), Failure> {
        self.enter(task, key, None)
    }

    /// Writes down that the set of `task`, sent under `key`, is stored as `generation`.
    pub fn stored(&mut self, task: &Task, key: &str, generation: u64) -> Result<(), Failure> {
        self.enter(task, key, Some(generation))
    }

    fn enter(&mut self, task: &Task, key: &str, stored: Option<u64>) -> Result<(), Failure> {
        let entry = Entry { account: task.account.to_string(), source: source(task), key: key.to_owned(), stored };
        self.append(&entry)?;
        self.entries.insert((entry.account.clone(), entry.source.clone()), entry);
        Ok(())
    }

    fn append(&mut self, line: &impl Serialize) -> Result<(), Failure> {
        let cannot = |error: std::io::Error| {
            Failure::local(format!("the journal {} cannot be written: {error}. Stopped", self.path.display()))
        };
        let mut text = serde_json::to_vec(line).map_err(|error| cannot(error.into()))?;
        text.push(b'\n');
        self.file.write_all(&text).and_then(|()| self.file.sync_data()).map_err(cannot)
    }
}

/// The place of the codes: file, item, field.
fn source(task: &Task) -> String {
    let part = |part: &Option<String>| part.as_deref().map(|name| format!("#{name}")).unwrap_or_default();
    format!("{}{}{}", task.file.display(), part(&task.item), part(&task.field))
}
