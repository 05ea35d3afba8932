//! Sets that nobody touches any more: keys and ciphertexts whose time has come are destroyed, in accounts, in what stays of
//! deleted ones, and in the archive. What is over by the clock alone ends here, a day after it was noticed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Swept, What};
use crate::domain::account::Account;
use crate::domain::expiry::Due;
use crate::domain::name::AccountName;
use crate::domain::profile::Profile;
use crate::domain::set::{Cause, Set};
use crate::domain::time::Timestamp;
use crate::engine::attempt::{Attempt, Decision, profile_of};
use crate::engine::cache::{Snapshot, storage_failed};
use crate::engine::record::{self, Record};
use crate::engine::rewrap::walk;
use crate::engine::transact::Plan;
use crate::engine::{Engine, keys};
use crate::error::Result;
use crate::ledger::entry::Actor;
use crate::storage::{Expect, Found, Get, PutError, Revision, Write};

/// Folders that are walked.
const FOLDERS: [&str; 3] = [keys::ACCOUNTS, keys::TOMBSTONES, keys::ARCHIVED_SETS];
/// Records that are read together.
const CHUNK: usize = 32;
/// How long after the beginning of a round the next one begins: nothing here is due by the minute.
const EVERY: Duration = Duration::from_secs(6 * 3600);

/// Where the next turn goes on.
#[derive(Default, minicbor::Encode, minicbor::Decode)]
pub struct Progress {
    #[n(0)]
    began: Option<Timestamp>,
    #[n(1)]
    folder: usize,
    #[n(2)]
    after: String,
}

impl Progress {
    /// Whether the round is over and the next one waits.
    fn rests(&self, now: Timestamp) -> bool {
        let waits = self.began.is_some_and(|began| began <= now && now.since(began) < EVERY);
        self.folder >= FOLDERS.len() && waits
    }
}

/// How a record stands that was looked at.
struct Looked {
    key: String,
    revision: Revision,
    kind: Kind,
}

enum Kind {
    Account(AccountName, Box<Account>),
    Archived(Box<Set>),
}

impl Engine {
    /// Looks at up to `limit` records with sets in them, from where the turn before stopped, and destroys what is due. Stops
    /// between two records once `go_on` says so. One that cannot be changed hinders no other. Does nothing while another turn is
    /// under way, nor for some hours after the beginning of a round that is over.
    pub async fn sweep_sets(&self, limit: usize, go_on: impl Fn() -> bool) -> Result<Swept> {
        let mut swept = Swept::default();
        let Ok(mut progress) = self.destroying.try_lock() else { return Ok(swept) };
        let now = self.clock.now();
        if progress.rests(now) {
            swept.whole = true;
            return Ok(swept);
        }
        if progress.began.is_none() || progress.folder >= FOLDERS.len() {
            *progress = Progress { began: Some(now), ..Progress::default() };
        }
        let mut left = limit;
        while left > 0 && go_on() {
            let Some(folder) = FOLDERS.get(progress.folder) else {
                swept.whole = true;
                break;
            };
            let wanted = left.min(CHUNK);
            let names = walk::next(&*self.storage, folder, &progress.after, wanted).await.map_err(storage_failed)?;
            let mut failed = None;
            for looked in self.look(folder, &names).await? {
                if !go_on() {
                    return Ok(swept);
                }
                match self.settle(looked).await {
                    Ok(true) => swept.count(What::Set),
                    Ok(false) => {}
                    Err(error) => failed = Some(error),
                }
            }
            left = left.saturating_sub(names.len().max(1));
            match names.last().filter(|_| names.len() >= wanted) {
                Some(last) => progress.after = last.clone(),
                None => {
                    *progress = Progress { began: progress.began, folder: progress.folder + 1, after: String::new() }
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(swept)
    }

    /// Those of the records in which something is due. One that does not decode stays, and is told of: whoever needs it will be
    /// told, too.
    async fn look(&self, folder: &str, names: &[String]) -> Result<Vec<Looked>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let gets = names.iter().map(|name| Get::new(format!("{folder}{name}"))).collect();
        let found = self.storage.get_many(gets).await.map_err(storage_failed)?;
        let mut looked = Vec::new();
        for (name, found) in names.iter().zip(found) {
            let Found::Value(bytes, revision) = found else { continue };
            let key = format!("{folder}{name}");
            let kind = match folder == keys::ARCHIVED_SETS {
                true => record::decode(&key, &bytes).map(|set| Kind::Archived(Box::new(set))),
                false => AccountName::parse(name).and_then(|name| {
                    let record: Record = record::decode(&key, &bytes)?;
                    Ok(Kind::Account(name, Box::new(record.account)))
                }),
            };
            match kind {
                Ok(kind) => looked.push(Looked { key, revision, kind }),
                Err(error) => tracing::warn!(?error, "a record could not be swept"),
            }
        }
        let profiles = self.profiles_of(&looked).await?;
        let now = self.clock.now();
        looked.retain(|one| match &one.kind {
            Kind::Archived(set) => set.is_due(now),
            Kind::Account(_, account) => account.due(profiles.of(account).as_deref(), now) != Due::Nothing,
        });
        Ok(looked)
    }

    async fn profiles_of(&self, looked: &[Looked]) -> Result<Profiles> {
        let mut snapshot = Snapshot::default();
        self.load(&mut snapshot, [keys::CONFIG.to_owned()]).await?;
        let settings = snapshot.settings();
        let accounts = looked.iter().filter_map(|one| match &one.kind {
            Kind::Account(_, account) if account.live().is_some() => Some(&**account),
            _ => None,
        });
        let mut wanted: Vec<String> =
            accounts.map(|account| format!("{}{}", keys::PROFILES, profile_of(account, &settings))).collect();
        wanted.sort();
        wanted.dedup();
        self.load(&mut snapshot, wanted).await?;
        Ok(Profiles(snapshot))
    }

    /// Whether the record was changed.
    async fn settle(&self, looked: Looked) -> Result<bool> {
        match looked.kind {
            Kind::Account(name, _) => {
                let deleted = looked.key.starts_with(keys::TOMBSTONES);
                self.change(Plan { account: &name, also: Vec::new() }, |attempt| decide(attempt, deleted)).await
            }
            Kind::Archived(set) => {
                let bytes = record::encode(&set.settle(self.clock.now()));
                let write = Write::put(looked.key, Expect::At(looked.revision), bytes, &*self.random);
                match self.storage.put_all(vec![write]).await {
                    Ok(()) => Ok(true),
                    // Somebody is at work on it. The next round comes by again.
                    Err(PutError::Conflict { .. } | PutError::Unknown(_)) => Ok(false),
                    Err(PutError::Failed(error)) => Err(storage_failed(error)),
                }
            }
        }
    }
}

/// Profiles by the accounts that they apply to.
struct Profiles(Snapshot);

impl Profiles {
    fn of(&self, account: &Account) -> Option<Arc<Profile>> {
        self.0.profile(profile_of(account, &self.0.settings()))
    }
}

/// Decided on the record as it is now: it may have changed since it was looked at. What is due for destruction is gone from it
/// already; writing it makes that true.
fn decide(attempt: &mut Attempt<'_>, deleted: bool) -> Result<Decision<bool>> {
    if !attempt.is_known() || attempt.exists() == deleted {
        return Ok(Decision::Keep(false));
    }
    let (now, profile) = (attempt.now, attempt.profile().ok());
    let due = attempt.record.account.due(profile.as_deref(), now);
    match (due, profile) {
        (Due::End(generation, cause), Some(profile)) => {
            let over = attempt.record.account.live().and_then(|set| attempt.record.account.over_at(set, &profile));
            attempt.record.account.end_by_clock(cause, &profile, now);
            log(attempt, generation, cause, over);
        }
        (Due::Notice(noticed), _) => attempt.record.account.noticed = noticed,
        (Due::Nothing | Due::Settle | Due::End(..), _) => {}
    }
    Ok(Decision::Write(true))
}

fn log(attempt: &mut Attempt<'_>, generation: u32, cause: Cause, over: Option<Timestamp>) {
    let mut entry = attempt.entry("lapse", Actor::default(), "", None);
    entry.generation = Some(generation);
    let over = over.map(|at| at.to_string());
    entry.detail = Some(json!({"cause": cause.word(), "over_at": over}).to_string());
    attempt.log(entry);
    tracing::warn!(
        account = attempt.name.as_str(),
        generation,
        cause = cause.word(),
        "a set has been over by the clock for a day and was ended; the account has no codes now"
    );
}
