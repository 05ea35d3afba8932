//! The accounts of a page: those that the caller's role covers, with their records, a few at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::auth::{Assertion, Caller};
use crate::domain::name::AccountName;
use crate::domain::profile::Profile;
use crate::engine::attempt::profile_of;
use crate::engine::cache::{CompiledRole, Snapshot, storage_failed};
use crate::engine::record::{self, Record};
use crate::engine::report::query::{Place, Query};
use crate::engine::report::walk::Walk;
use crate::engine::{Engine, keys};
use crate::error::Result;
use crate::storage::{Found, Get};

/// Records read at once: what a page holds of them in memory.
const BATCH: usize = 32;
/// Most names that a page passes, those included that the caller may not see.
const MOST_NAMES: usize = 5000;

const LIVING: &[&str] = &[keys::ACCOUNTS];
const ALL: &[&str] = &[keys::ACCOUNTS, keys::TOMBSTONES];

/// What the caller may see.
enum Sight<'e> {
    Everything,
    Nothing,
    Role(Arc<CompiledRole>, &'e Assertion),
}

/// An account of the page.
pub struct Seen {
    /// Its name.
    pub name: AccountName,
    /// Its record; of a deleted account what is left of it.
    pub record: Record,
}

/// A scan over the accounts of a page.
pub struct Scan<'e> {
    engine: &'e Engine,
    walk: Walk<'e>,
    sight: Sight<'e>,
    deleted: bool,
    names: usize,
    records: usize,
    ready: VecDeque<Seen>,
    /// What has been passed: the next page begins after it.
    passed: Option<String>,
    ended: bool,
    snapshot: Snapshot,
}

impl<'e> Scan<'e> {
    /// Begins where `query` says. Reads at most `records` accounts; `deleted` ones too if wanted.
    pub async fn new(
        engine: &'e Engine,
        caller: &'e Caller,
        query: &Query,
        records: usize,
        deleted: bool,
    ) -> Result<Scan<'e>> {
        let sight = match caller {
            Caller::Login { role, assertion, .. } => match engine.role(role).await? {
                Some(role) => Sight::Role(role, assertion),
                None => Sight::Nothing,
            },
            Caller::Root { .. } | Caller::Host { .. } => Sight::Everything,
            Caller::Anonymous => Sight::Nothing,
        };
        let first = match &query.after {
            // It was left in the middle of its acts.
            Some(Place { name, seq: Some(_) }) => Some(name.clone()),
            Some(_) => None,
            None => query.itself.then(|| query.folder.trim_end_matches('/').to_owned()),
        };
        let after = query.after.as_ref().map(|place| place.name.as_str());
        let roots = if deleted { ALL } else { LIVING };
        let mut snapshot = Snapshot::default();
        engine.load(&mut snapshot, [keys::CONFIG.to_owned()]).await?;
        Ok(Scan {
            engine,
            walk: Walk::new(&*engine.storage, roots, &query.folder, after, first),
            deleted,
            names: MOST_NAMES,
            records,
            ready: VecDeque::new(),
            passed: after.map(str::to_owned),
            ended: matches!(sight, Sight::Nothing),
            sight,
            snapshot,
        })
    }

    /// The next account, unless the page is full or all are seen.
    pub async fn next(&mut self) -> Result<Option<Seen>> {
        while self.ready.is_empty() && !self.ended && self.records > 0 && self.names > 0 {
            self.read().await?;
        }
        let seen = self.ready.pop_front();
        if let Some(seen) = &seen {
            self.passed = Some(seen.name.to_string());
        }
        Ok(seen)
    }

    /// Where the next page begins, once no more is taken from this one; nothing if all are seen.
    pub fn place(&self) -> Option<Place> {
        let all = self.ended && self.ready.is_empty();
        self.passed.clone().filter(|_| !all).map(|name| Place { name, seq: None })
    }

    /// The rules of an account; `None` if its profile is gone.
    pub async fn profile(&mut self, record: &Record) -> Result<Option<Arc<Profile>>> {
        let settings = self.snapshot.settings();
        let name = profile_of(&record.account, &settings);
        self.engine.load(&mut self.snapshot, [format!("{}{name}", keys::PROFILES)]).await?;
        Ok(self.snapshot.profile(name))
    }

    /// The name of an account's profile; the mount's default one while nobody has said.
    pub fn profile_name(&self, record: &Record) -> String {
        profile_of(&record.account, &self.snapshot.settings()).to_owned()
    }

    /// Reads some more records, or finds that there are none.
    async fn read(&mut self) -> Result<()> {
        let mut wanted = Vec::new();
        let mut last = None;
        while wanted.len() < BATCH.min(self.records) && self.names > 0 {
            let Some(name) = self.walk.next().await? else {
                self.ended = true;
                break;
            };
            self.names -= 1;
            match (name.ends_with('/'), self.shows(&name)) {
                (true, true) => continue,
                (true, false) => self.walk.skip(),
                (false, true) => wanted.extend(AccountName::parse(&name)),
                (false, false) => {}
            }
            last = Some(name);
        }
        self.records -= wanted.len();
        let gets = wanted.iter().flat_map(|name| self.keys_of(name)).map(Get::new).collect::<Vec<_>>();
        let keys: Vec<String> = gets.iter().map(|get| get.key.clone()).collect();
        let found = match gets.is_empty() {
            true => Vec::new(),
            false => self.engine.storage.get_many(gets).await.map_err(storage_failed)?,
        };
        let each = if self.deleted { 2 } else { 1 };
        let mut found = keys.into_iter().zip(found);
        for name in wanted {
            // The account's own record counts before what was left of an earlier one.
            let places: Vec<_> = found.by_ref().take(each).collect();
            for (key, found) in places {
                if let Found::Value(bytes, _) = found {
                    self.ready.push_back(Seen { name, record: record::decode(&key, &bytes)? });
                    break;
                }
            }
        }
        // Where nothing is shown the place moves on all the same.
        if self.ready.is_empty() && last.is_some() {
            self.passed = last;
        }
        Ok(())
    }

    fn keys_of(&self, name: &AccountName) -> Vec<String> {
        match self.deleted {
            true => vec![keys::account(name), keys::tombstone(name)],
            false => vec![keys::account(name)],
        }
    }

    /// Whether the caller may see the account, or something in the folder.
    fn shows(&self, name: &str) -> bool {
        match &self.sight {
            Sight::Everything => true,
            Sight::Nothing => false,
            Sight::Role(role, assertion) => match name.ends_with('/') {
                true => role.rule.reaches(name, assertion.view()),
                false => AccountName::parse(name).is_ok_and(|name| role.rule.covers(&name, assertion.view())),
            },
        }
    }
}
