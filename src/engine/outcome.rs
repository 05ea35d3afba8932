//! `outcome/:account`: what became of a dispensed code, and what to do now. A code that was refused may have been used by
//! somebody else: that is an alarm.

use serde_json::{Map, Value, json};

use crate::auth::Grant;
use crate::domain::refusal::Refusal;
use crate::domain::role::Capability;
use crate::domain::set::{Outcome, What};
use crate::engine::ask::{Ask, MAX_TEXT, text};
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::request::{Request, Response};
use crate::engine::{Call, Engine, actor, record, remote};
use crate::error::{Error, Result};

/// What is reported.
struct Report {
    generation: Option<u64>,
    slot: u32,
    what: What,
    note: Option<String>,
}

/// Carries out `outcome/:account`.
pub async fn outcome(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let slot = fields.integer("slot", 1, u32::MAX.into())?.value().and_then(|slot| u32::try_from(slot).ok());
    let word = fields.string("outcome")?.value();
    let what = word.and_then(|word| What::ALL.into_iter().find(|what| what.word() == word));
    let report = Report {
        generation: fields.integer("generation", 1, u32::MAX.into())?.value(),
        slot: slot.ok_or_else(|| Error::field("slot", "the slot that retrieve named"))?,
        what: what.ok_or_else(|| Error::field("outcome", "worked, refused or unused"))?,
        note: text(&mut fields, "note", MAX_TEXT)?,
    };
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, &grant, &begun.request, &begun.ask, &report);
    begun.act(engine, Capability::Outcome, &fields, Vec::new(), decide).await
}

fn decide(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    request: &Request,
    ask: &Ask,
    report: &Report,
) -> Result<Decision<Response>> {
    attempt.cap = Some(record::NOTES_CAP);
    attempt.refuse_codes_in(ask.texts().chain(report.note.as_deref().map(|text| ("note", text))))?;
    let account = &attempt.record.account;
    let latest = account.live().or(account.sets.last()).map(|set| set.generation);
    let generation = match report.generation {
        Some(generation) => u32::try_from(generation).map_err(|_| Refusal::NoGeneration(generation))?,
        None => latest.ok_or(Refusal::NoSet)?,
    };
    let outcome = Outcome { what: report.what, at: attempt.now, by: grant.subject().to_owned() };
    let (slot, mut unchanged) = (report.slot, false);
    attempt.change_set(generation, |mut set| {
        let count = set.slots.len();
        let place = (slot as usize).checked_sub(1).and_then(|index| set.slots.get_mut(index));
        let place = place.ok_or(Refusal::NoSlot { slot: slot.into(), count })?;
        let before = place.handout().and_then(|handout| handout.outcome.as_ref()).map(|outcome| outcome.what);
        unchanged = before == Some(outcome.what);
        *place = place.clone().report(slot, outcome)?;
        Ok(set)
    })?;
    let mut response = Response::data(answer(attempt, generation, report));
    if unchanged {
        return Ok(Decision::Keep(response));
    }
    let mut entry = attempt.entry("outcome", actor(grant, request), &request.id, remote(request));
    entry.generation = Some(generation);
    entry.slot = Some(slot);
    entry.reason = report.note.clone().or_else(|| ask.reason.clone());
    entry.ticket = ask.ticket.clone();
    entry.detail = Some(json!({"outcome": report.what.word()}).to_string());
    response.note = attempt.log(entry);
    if report.what == What::Refused {
        tracing::warn!(
            account = attempt.name.as_str(),
            generation,
            slot,
            "ALARM: the provider refused a dispensed code; somebody else may have used it"
        );
    }
    Ok(Decision::Write(response))
}

fn answer(attempt: &Attempt<'_>, generation: u32, report: &Report) -> Map<String, Value> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("account", json!(attempt.name.as_str()));
    put("generation", json!(generation));
    put("slot", json!(report.slot));
    put("outcome", json!(report.what.word()));
    put("next", json!(next(attempt, generation, report.what)));
    data
}

/// What to do now.
fn next(attempt: &Attempt<'_>, generation: u32, what: What) -> String {
    let (account, name) = (&attempt.record.account, attempt.name);
    let live = account.live().filter(|set| set.generation == generation);
    let by = account.obligation.map_or_else(String::new, |owed| format!(" by {}", owed.by));
    let store = match live {
        Some(_) => {
            format!("generate new codes at the provider and store them ({}){by}", attempt.link(&format!("sets/{name}")))
        }
        None => "its set is over already: a newer one is in use, or is to be stored".to_owned(),
    };
    match what {
        What::Worked => format!("the code is used up; {store}"),
        What::Unused => {
            format!("the code is not given out again, and may still work: destroy every copy of it; {store}")
        }
        What::Refused => {
            let revoke = match live {
                Some(_) => {
                    let revoke = attempt.link(&format!("revoke/{name}"));
                    format!("revoke this set ({revoke} with cause=compromise), ")
                }
                None => String::new(),
            };
            format!(
                "somebody else may have used this code: look at the account's sign-ins at the provider and end its sessions, \
                 {revoke}enroll MFA anew, then {store}"
            )
        }
    }
}
