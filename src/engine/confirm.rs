//! `confirm/:account`: the provider, too, has invalidated a set that ended here. Until somebody says so its codes may still be
//! good there: no provider kills old codes by itself.

use serde_json::{Map, json};

use crate::auth::Grant;
use crate::domain::refusal::Refusal;
use crate::domain::role::Capability;
use crate::domain::set::{Kind, Provider};
use crate::engine::ask::{Ask, MAX_TEXT, text};
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::request::{Request, Response};
use crate::engine::{Call, Engine, actor, remote};
use crate::error::Result;

/// Carries out `confirm/:account`.
pub async fn confirm(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let generation = fields.integer("generation", 1, u32::MAX.into())?.value();
    let note = text(&mut fields, "note", MAX_TEXT)?;
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| {
        decide(attempt, &grant, &begun.request, &begun.ask, generation, note.as_deref())
    };
    begun.act(engine, Capability::Confirm, &fields, Vec::new(), decide).await
}

fn decide(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    request: &Request,
    ask: &Ask,
    generation: Option<u64>,
    note: Option<&str>,
) -> Result<Decision<Response>> {
    attempt.refuse_codes_in(ask.texts().chain(note.map(|text| ("note", text))))?;
    let ended = attempt.record.account.sets.iter().rev().find(|set| !set.is_live()).map(|set| set.generation);
    let generation = match generation {
        Some(generation) => u32::try_from(generation).map_err(|_| Refusal::NoGeneration(generation))?,
        None => ended.ok_or(Refusal::NoSet)?,
    };
    let (now, mut unchanged) = (attempt.now, false);
    attempt.change_set(generation, |mut set| {
        if set.is_live() {
            return Err(Refusal::Alive(generation));
        }
        if set.kind == Kind::Issued {
            return Err(Refusal::NoProvider(generation));
        }
        unchanged = matches!(set.provider, Provider::Confirmed(_));
        set.provider = Provider::Confirmed(now);
        Ok(set)
    })?;
    let mut data = Map::new();
    data.insert("account".to_owned(), json!(attempt.name.as_str()));
    data.insert("generation".to_owned(), json!(generation));
    data.insert("provider".to_owned(), json!("confirmed"));
    let mut response = Response::data(data);
    if unchanged {
        return Ok(Decision::Keep(response));
    }
    let mut entry = attempt.entry("confirm", actor(grant, request), &request.id, remote(request));
    entry.generation = Some(generation);
    entry.reason = note.map(str::to_owned).or_else(|| ask.reason.clone());
    entry.ticket = ask.ticket.clone();
    response.note = attempt.log(entry);
    Ok(Decision::Write(response))
}
