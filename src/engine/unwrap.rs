//! Opening a wrapped retrieval: a conditional write on the account decides who is first.

use serde_json::json;

use crate::domain::name::AccountName;
use crate::domain::refusal::Refusal;
use crate::domain::set::Slot;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::request::{Disclosure, Face, Response};
use crate::engine::transact::Plan;
use crate::engine::{Engine, retrieve};
use crate::error::{Error, Result};
use crate::ledger::entry::Actor;
use crate::storage::Write;

/// A wrapping to open.
pub struct Unwrap {
    /// The account that the host's record of the wrapping names.
    pub account: String,
    /// Keyed hash of the wrapping token.
    pub token_hash: [u8; 32],
    /// The host's record of the wrapping, to be deleted in the same commit.
    pub record: Option<Write>,
    /// The host's request id.
    pub request_id: String,
    /// Where the request came from.
    pub remote: Option<String>,
}

impl Engine {
    /// Opens the slot that is wrapped under this token. Needs nothing but the token: its act was judged when it was wrapped.
    /// The set must still be usable; ending it killed the wrapping.
    pub async fn unwrap(&self, unwrap: Unwrap) -> Result<Response> {
        let account = AccountName::parse(&unwrap.account)?;
        let plan = Plan { account: &account, also: Vec::new() };
        self.change(plan, |attempt| decide(attempt, &unwrap)).await
    }
}

fn decide(attempt: &mut Attempt<'_>, unwrap: &Unwrap) -> Result<Decision<Response>> {
    attempt.unbarred()?;
    let profile = attempt.profile()?;
    let wrapped = |slot: &Slot| matches!(slot, Slot::Wrapped(_, _, token) if **token == unwrap.token_hash);
    let found = attempt.record.account.live().and_then(|set| {
        let (slot, number) = set.slots.iter().zip(1u32..).find(|(slot, _)| wrapped(slot))?;
        slot.handout().map(|handout| (set.generation, number, handout.clone()))
    });
    let Some((generation, slot, handout)) = found else {
        return Err(Error::invalid("wrapping token is not valid or does not exist"));
    };
    // Blocked is not dead: the wrapping stays good until its time is up, in case somebody releases the set. 403, which tells
    // the host that nothing is settled.
    let blocked = |refusal: Refusal| Error::denied(refusal.to_string());
    attempt.record.account.usable(&profile, attempt.now).map_err(blocked)?;
    if let Some(why) = profile.refuses_retrieval(attempt.now) {
        return Err(blocked(Refusal::Forbidden(why)));
    }
    let sealed = attempt
        .record
        .account
        .change_slot(generation, slot, |held| held.unwrap_code().ok_or(Refusal::SlotSpent(slot.into())))?;
    let code = retrieve::open(attempt, generation, slot, &sealed)?;
    attempt.after.extend(unwrap.record.clone());
    let face = Face::Http.word().to_owned();
    let actor = Actor { subject: handout.by, role: handout.role, face, ..Actor::default() };
    let mut entry = attempt.entry("unwrap", actor, &unwrap.request_id, unwrap.remote.clone());
    entry.generation = Some(generation);
    entry.slot = Some(slot);
    entry.detail = Some(json!({"wrapped_at": handout.at.to_string()}).to_string());
    let note = attempt.log(entry);
    let owed = attempt.record.account.obligation;
    let mut response = Response::data(retrieve::facts(attempt, generation, slot, owed, false));
    response.note = note;
    response.disclosure = Some(Disclosure::new("code", code));
    Ok(Decision::Write(response))
}
