//! Holding an account that went back: its live set gives no code until somebody releases it, and no generation that was
//! acknowledged is given to another set.

use serde_json::json;

use crate::domain::name::AccountName;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::cache::storage_failed;
use crate::engine::config_ledger::By;
use crate::engine::restore::compare::{Sighting, Verdict};
use crate::engine::rewrap::walk;
use crate::engine::transact::Plan;
use crate::engine::{Engine, keys};
use crate::error::Result;
use crate::storage::{Found, Get};

/// An account that went back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The account.
    pub account: String,
    /// The last ledger entry that the store still has of what was acknowledged.
    pub seq: u64,
    /// The last one that was acknowledged.
    pub known_seq: u64,
    /// The generation whose set is held, if one was live.
    pub generation: Option<u32>,
    /// What audit says of it.
    pub note: serde_json::Map<String, serde_json::Value>,
}

impl Engine {
    /// Holds the account of `sighting`, of which the store says `verdict`. `None` if the store has it all, or has nothing of it.
    pub async fn hold(&self, sighting: &Sighting, verdict: Verdict, by: &By, reason: &str) -> Result<Option<Held>> {
        let (Verdict::Back(seq), Some(name)) = (verdict, &sighting.account) else { return Ok(None) };
        let account = AccountName::parse(name)?;
        let plan = Plan { account: &account, also: Vec::new() };
        self.change(plan, |attempt| decide(attempt, sighting, seq, by, reason)).await
    }

    /// Holds `account`, of which nobody knows what was acknowledged, if a set of it is live and not held already.
    pub async fn hold_unknown(&self, account: &AccountName, by: &By, reason: &str) -> Result<Option<Held>> {
        let plan = Plan { account, also: Vec::new() };
        self.change(plan, |attempt| decide_unknown(attempt, by, reason)).await
    }

    /// Whether there is such an account, or was one that is deleted.
    pub async fn knows(&self, account: &AccountName) -> Result<bool> {
        let gets = vec![Get::new(keys::account(account)), Get::new(keys::tombstone(account))];
        let found = self.storage.get_many(gets).await.map_err(storage_failed)?;
        Ok(found.iter().any(|found| *found != Found::Absent))
    }

    /// The next `limit` accounts whose names come after `after`, in one fixed order; empty: from the beginning.
    pub async fn accounts_after(&self, after: &str, limit: usize) -> Result<Piece> {
        let names = walk::next(&*self.storage, keys::ACCOUNTS, after, limit).await.map_err(storage_failed)?;
        let next = names.last().filter(|_| names.len() >= limit).cloned();
        Ok(Piece { names: names.iter().map(|name| AccountName::parse(name)).collect::<Result<_, _>>()?, next })
    }
}

/// Some accounts, and after which one it goes on, if it does.
#[derive(Debug)]
pub struct Piece {
    /// Their names.
    pub names: Vec<AccountName>,
    /// The last of them, if there may be more.
    pub next: Option<String>,
}

fn decide(
    attempt: &mut Attempt<'_>,
    sighting: &Sighting,
    seq: u64,
    by: &By,
    reason: &str,
) -> Result<Decision<Option<Held>>> {
    let known = attempt.record.account.setback.as_ref();
    if !attempt.is_known() || known.is_some_and(|setback| setback.explains(sighting.seq, sighting.at)) {
        return Ok(Decision::Keep(None));
    }
    let known = Known { seq, known_seq: sighting.seq, generation: sighting.generation };
    Ok(Decision::Write(Some(held(attempt, known, by, reason))))
}

/// Of an account nobody knows what was acknowledged: held if a set of it is live, unless it is held already.
fn decide_unknown(attempt: &mut Attempt<'_>, by: &By, reason: &str) -> Result<Decision<Option<Held>>> {
    let account = &attempt.record.account;
    let free = account.live().is_some_and(|set| account.holds(set).is_none());
    if !attempt.exists() || !free {
        return Ok(Decision::Keep(None));
    }
    let seq = attempt.record.ledger.seq;
    Ok(Decision::Write(Some(held(attempt, Known { seq, known_seq: seq, generation: None }, by, reason))))
}

/// How far the ledger goes, how far it is known to have gone, and the highest generation that was acknowledged.
struct Known {
    seq: u64,
    known_seq: u64,
    generation: Option<u32>,
}

fn held(attempt: &mut Attempt<'_>, known: Known, by: &By, reason: &str) -> Held {
    let Known { seq, known_seq, generation } = known;
    let generation = attempt.record.account.set_back((seq, known_seq), generation, reason, attempt.now);
    let (actor, request_id, remote) = by.parts();
    let mut entry = attempt.entry("restore", actor, &request_id, remote);
    entry.generation = generation;
    entry.reason = Some(reason.to_owned());
    entry.detail = Some(json!({"seq": seq, "known_seq": known_seq, "held": generation}).to_string());
    let note = attempt.log(entry);
    let account = attempt.name.as_str().to_owned();
    Held { account, seq, known_seq, generation, note }
}
