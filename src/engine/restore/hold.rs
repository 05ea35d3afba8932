//! Holding an account that went back: its live set gives no code until somebody releases it, and no generation that was
//! acknowledged is given to another set.

use serde_json::json;

use crate::domain::name::AccountName;
use crate::engine::Engine;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::config_ledger::By;
use crate::engine::restore::compare::{Sighting, Verdict};
use crate::engine::transact::Plan;
use crate::error::Result;

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
    let known_seq = sighting.seq;
    let generation = attempt.record.account.set_back((seq, known_seq), sighting.generation, reason, attempt.now);
    let (actor, request_id, remote) = by.parts();
    let mut entry = attempt.entry("restore", actor, &request_id, remote);
    entry.generation = generation;
    entry.reason = Some(reason.to_owned());
    entry.detail = Some(json!({"seq": seq, "known_seq": known_seq, "held": generation}).to_string());
    let note = attempt.log(entry);
    let account = attempt.name.as_str().to_owned();
    Ok(Decision::Write(Some(Held { account, seq, known_seq, generation, note })))
}
