//! The loop around every change of an account: read, decide on a copy, write if nothing moved meanwhile, else read again.

use std::collections::HashMap;
use std::time::Duration;

use crate::auth::{Act, Grant};
use crate::domain::name::AccountName;
use crate::domain::role::Capability;
use crate::engine::Engine;
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision, Ground, Stored, profile_of};
use crate::engine::cache::{Snapshot, storage_failed};
use crate::engine::claimant::Claimant;
use crate::engine::keys;
use crate::engine::learned::Learned;
use crate::engine::request::Request;
use crate::engine::restore;
use crate::error::{Error, Result};
use crate::storage::{Found, Get, PutError, Revision};

/// How long a request goes on trying when others write the same account.
const DEADLINE: Duration = Duration::from_secs(10);

/// What a change needs to know before it starts.
pub struct Plan<'a> {
    /// The account.
    pub account: &'a AccountName,
    /// Further records to read along.
    pub also: Vec<String>,
}

/// An act that an assertion must allow.
pub struct Judged<'a> {
    /// The request.
    pub request: &'a Request,
    /// Its shared fields.
    pub ask: &'a Ask,
    /// What it wants to do.
    pub capability: Capability,
}

impl Engine {
    /// Carries out an act on an account. `decide` consumes the grant that the role's rules minted for this try.
    pub async fn act<T>(
        &self,
        plan: Plan<'_>,
        judged: Judged<'_>,
        mut decide: impl FnMut(&mut Attempt<'_>, Grant) -> Result<Decision<T>> + Send,
    ) -> Result<T>
    where
        T: Send,
    {
        let mut claimant = Claimant::new(&judged)?;
        let mut also = claimant.guess(self);
        // Where each write is looked at by itself, that look is enough.
        let discloses = judged.capability == Capability::Retrieve && self.storage.commits_together();
        also.extend(claimant.claim().filter(|_| discloses));
        let plan = Plan { also: plan.also.into_iter().chain(also).collect(), ..plan };
        self.run(plan, Some((&mut claimant, &judged)), |attempt, grant| match grant {
            Some(grant) => decide(attempt, grant),
            None => Err(Error::internal("an act was tried without a grant")),
        })
        .await
    }

    /// Carries out a change that no assertion stands behind: an event whose signature was verified, an unwrap, the
    /// administration of accounts. The caller has checked who asks.
    pub async fn change<T: Send>(
        &self,
        plan: Plan<'_>,
        mut decide: impl FnMut(&mut Attempt<'_>) -> Result<Decision<T>> + Send,
    ) -> Result<T> {
        self.run(plan, None, |attempt, _| decide(attempt)).await
    }

    async fn run<T: Send>(
        &self,
        plan: Plan<'_>,
        mut judged: Option<(&mut Claimant, &Judged<'_>)>,
        mut decide: impl FnMut(&mut Attempt<'_>, Option<Grant>) -> Result<Decision<T>> + Send,
    ) -> Result<T> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let mut conflicts = HashMap::new();
        let mut unknown: Vec<([u8; 16], T)> = Vec::new();
        let mut learned = Learned::default();
        let fresh_id = crate::random::bytes(&*self.random);
        for tries in 0u32.. {
            // Before the read: what was seen later may not be in it yet.
            let seen = self.guard.seen();
            let reading = self.read_for(&plan, &learned.records);
            let (mut snapshot, stored) = match &mut judged {
                Some((claimant, _)) => tokio::join!(reading, claimant.look_ahead(self)).0?,
                None => reading.await?,
            };
            // What went down stands, though its caller might not do it any more.
            let holds = |operation| stored.as_ref().is_some_and(|stored| stored.record.ledger.holds(operation));
            if let Some(index) = unknown.iter().position(|(operation, _)| holds(operation)) {
                self.settled().await?;
                return Ok(unknown.swap_remove(index).1);
            }
            if let Some((claimant, _)) = &mut judged {
                claimant.prepare(self, &mut snapshot).await?;
            }
            let ground = Ground {
                name: plan.account,
                snapshot: &snapshot,
                conflicts: &conflicts,
                learned: &learned,
                fresh_id: &fresh_id,
                random: &*self.random,
                guard: (&self.guard, seen),
            };
            let mut attempt = Attempt::begin(&ground, stored, self.clock.now())?;
            attempt.marks_burns = !self.storage.commits_together();
            let grant = match &judged {
                Some((claimant, judged)) => Some(claimant.judge(&snapshot, &act_of(judged, &attempt))?),
                None => None,
            };
            if judged.as_ref().is_some_and(|(_, judged)| restore::waits(judged.capability)) {
                attempt.unbarred()?;
            }
            let decided = decide(&mut attempt, grant);
            let lacks = std::mem::take(&mut attempt.lacks);
            if !lacks.is_empty() {
                drop(attempt);
                // Nothing stays open while something is looked for.
                drop(snapshot);
                self.learn(lacks, &mut learned).await?;
                continue;
            }
            let answer = match decided? {
                Decision::Keep(answer) => {
                    drop(snapshot);
                    self.settled().await?;
                    return Ok(answer);
                }
                Decision::Write(answer) => answer,
            };
            attempt.settle();
            let operation = *attempt.operation();
            let wrapped = (attempt.keyring.active_kek().map_err(Error::internal)?, attempt.wrapped);
            let writes = attempt.writes()?;
            let names: Vec<String> = writes.iter().map(|write| write.key.clone()).collect();
            match snapshot.put_all(writes, &*self.storage).await {
                Ok(()) => {
                    self.tally.add(wrapped.0, wrapped.1);
                    return Ok(answer);
                }
                Err(PutError::Conflict { index }) => {
                    if let Some(key) = names.get(index) {
                        self.look_at(key, &mut conflicts).await?;
                    }
                }
                Err(PutError::Unknown(source)) => {
                    tracing::warn!(%source, "outcome of a write unknown; reading again");
                    unknown.push((operation, answer));
                }
                Err(PutError::Failed(error)) => return Err(storage_failed(error)),
            }
            if tokio::time::Instant::now() >= deadline {
                break;
            }
            self.pause(tries).await;
        }
        Err(Error::unavailable("too many writes to this account at once; try again")
            .with_retry_after(Duration::from_secs(1)))
    }

    /// Waits until what was read is as durable as a write: it is about to be acknowledged.
    ///
    /// # Errors
    /// A store that cannot tell.
    pub async fn settled(&self) -> Result<()> {
        self.storage.settled().await.map_err(storage_failed)
    }

    /// Reads account, settings, key hierarchy and the profile; in one call where the profile is one of those last seen.
    async fn read_for(&self, plan: &Plan<'_>, more: &[String]) -> Result<(Snapshot, Option<Stored>)> {
        let mut wanted = vec![keys::KEYRING.to_owned(), keys::CONFIG.to_owned(), keys::account(plan.account)];
        wanted.extend(plan.also.iter().chain(more).cloned());
        wanted.push(keys::RESTORE.to_owned());
        wanted.extend((self.guard.seen() > 0).then(|| keys::EPOCH.to_owned()));
        wanted.extend(self.recent_profiles());
        let mut snapshot = Snapshot::within(self.storage.clone().step());
        self.load(&mut snapshot, wanted).await?;
        let mut stored = Stored::read(&snapshot, plan.account)?;
        if stored.is_none() {
            self.load(&mut snapshot, [keys::tombstone(plan.account)]).await?;
            stored = Stored::read(&snapshot, plan.account)?;
        }
        let settings = snapshot.settings();
        let mut profiles = vec![settings.default_profile.clone()];
        profiles.extend(stored.as_ref().map(|stored| profile_of(&stored.record.account, &settings).to_owned()));
        let profiles: Vec<String> = profiles.into_iter().map(|name| format!("{}{name}", keys::PROFILES)).collect();
        self.note_profiles(&profiles);
        self.load(&mut snapshot, profiles).await?;
        Ok((snapshot, stored))
    }

    /// Reads what stood in the way of a write to `key`, unless the next try reads it anyway.
    async fn look_at(&self, key: &str, conflicts: &mut HashMap<String, (Vec<u8>, Revision)>) -> Result<()> {
        if key == keys::KEYRING || key.starts_with(keys::ACCOUNTS) || key.starts_with(keys::LIMITS) {
            return Ok(());
        }
        let found = self.storage.get_many(vec![Get::new(key)]).await.map_err(storage_failed)?;
        match found.into_iter().next() {
            Some(Found::Value(bytes, revision)) => conflicts.insert(key.to_owned(), (bytes, revision)),
            _ => conflicts.remove(key),
        };
        Ok(())
    }

    /// Waits a little longer with each try, by chance, so that rivals for one account part.
    async fn pause(&self, tries: u32) {
        if tries > 0 {
            let [chance] = crate::random::bytes(&*self.random);
            let span = u64::from(chance) * u64::from(tries.min(16)) / 16;
            tokio::time::sleep(Duration::from_millis(span / 4)).await;
        }
    }
}

/// The act as the role's rules see it.
fn act_of<'a>(judged: &Judged<'a>, attempt: &Attempt<'a>) -> Act<'a> {
    Act {
        capability: judged.capability,
        account: attempt.name,
        now: attempt.now,
        remote: judged.request.remote,
        reason: judged.ask.reason.as_deref(),
        ticket: judged.ask.ticket.as_deref(),
        wrapped: judged.request.wrap_ttl().is_some(),
    }
}
