//! `revoke/:account` and `release/:account`: an operator ends a set, or lets a quarantined one live again. Both need a reason.

use serde_json::{Map, json};

use crate::auth::Grant;
use crate::domain::role::Capability;
use crate::domain::set::Cause;
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::request::{Request, Response};
use crate::engine::transact::{Judged, Plan};
use crate::engine::{Call, Engine, actor, ignored, remote};
use crate::error::{Error, Result};

/// What shall happen to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Revoke(Cause),
    Release,
}

/// Carries out `revoke/:account`.
pub async fn revoke(engine: &Engine, call: Call) -> Result<Response> {
    turn(engine, call, Capability::Revoke).await
}

/// Carries out `release/:account`.
pub async fn release(engine: &Engine, call: Call) -> Result<Response> {
    turn(engine, call, Capability::Release).await
}

async fn turn(engine: &Engine, call: Call, capability: Capability) -> Result<Response> {
    let Call { mut request, name } = call;
    let account = Engine::account_name(&name)?;
    let (ask, mut fields) = Ask::read(std::mem::take(&mut request.data))?;
    let generation = fields.integer("generation", 1, u32::MAX.into())?.value();
    let turn = match capability {
        Capability::Release => Turn::Release,
        _ => Turn::Revoke(match fields.string("cause")?.value().as_deref() {
            None | Some("operator") => Cause::Operator,
            Some("compromise") => Cause::Compromise,
            Some(_) => return Err(Error::field("cause", "operator or compromise")),
        }),
    };
    if ask.reason.is_none() {
        return Err(Error::field("reason", "say why; it stays in the account's history"));
    }
    let mut warnings = Vec::new();
    ignored(&fields, &mut warnings);
    let plan = Plan { account: &account, also: Vec::new() };
    let judged = Judged { request: &request, ask: &ask, capability };
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, &grant, &request, &ask, turn, generation);
    let mut response = engine.act(plan, judged, decide).await?;
    response.warnings.append(&mut warnings);
    Ok(response)
}

fn decide(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    request: &Request,
    ask: &Ask,
    turn: Turn,
    generation: Option<u64>,
) -> Result<Decision<Response>> {
    attempt.refuse_codes_in(ask.texts())?;
    let profile = match turn {
        Turn::Revoke(_) => attempt.ending_profile(),
        Turn::Release => attempt.profile()?,
    };
    let account = &mut attempt.record.account;
    let (act, field, number) = match turn {
        Turn::Revoke(cause) => ("revoke", "revoked", account.revoke(generation, cause, &profile, attempt.now)?),
        Turn::Release => ("release", "released", account.release(generation, &profile, attempt.now)?),
    };
    let mut entry = attempt.entry(act, actor(grant, request), &request.id, remote(request));
    entry.generation = Some(number);
    entry.reason = ask.reason.clone();
    entry.ticket = ask.ticket.clone();
    if let Turn::Revoke(cause) = turn {
        entry.detail = Some(json!({"cause": cause.word()}).to_string());
    }
    let note = attempt.log(entry);
    let mut data = Map::new();
    data.insert(field.to_owned(), json!(number));
    let mut response = Response::data(data);
    response.note = note;
    if let Turn::Revoke(_) = turn {
        response.warnings.push(
            "the codes are dead here; the provider still accepts them until they are invalidated there".to_owned(),
        );
    }
    Ok(Decision::Write(response))
}
