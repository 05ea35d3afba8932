//! `revoke/:account` and `release/:account`: an operator ends a set, lets a quarantined one live again, or unlocks an account after
//! wrong codes. All need a reason.

use serde_json::{Map, json};

use crate::auth::Grant;
use crate::domain::account::{Account, Standing};
use crate::domain::profile::Profile;
use crate::domain::role::Capability;
use crate::domain::set::Cause;
use crate::domain::time::Timestamp;
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::request::{Request, Response};
use crate::engine::{Call, Engine, actor, remote};
use crate::error::{Error, Result};

/// What shall happen to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Revoke(Cause),
    /// What the caller says of the lock after wrong codes: lift it, leave it, or nothing.
    Release(Option<bool>),
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
    let (begun, mut fields) = Begun::read(call)?;
    let generation = fields.integer("generation", 1, u32::MAX.into())?.value();
    let turn = match capability {
        Capability::Release => Turn::Release(fields.boolean("unlock")?.value()),
        _ => Turn::Revoke(match fields.string("cause")?.value().as_deref() {
            None | Some("operator") => Cause::Operator,
            Some("compromise") => Cause::Compromise,
            Some(_) => return Err(Error::field("cause", "operator or compromise")),
        }),
    };
    if begun.ask.reason.is_none() {
        return Err(Error::field("reason", "say why; it stays in the account's history"));
    }
    let decide =
        |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, &grant, &begun.request, &begun.ask, turn, generation);
    begun.act(engine, capability, &fields, Vec::new(), decide).await
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
        Turn::Release(_) => attempt.profile()?,
    };
    let now = attempt.now;
    let lifts = match turn {
        Turn::Revoke(_) => false,
        Turn::Release(unlock) => lifts(&attempt.record.account, generation, unlock, &profile, now)?,
    };
    let account = &mut attempt.record.account;
    let (act, field, number, detail) = match turn {
        Turn::Revoke(cause) => {
            let number = account.revoke(generation, cause, &profile, now)?;
            ("revoke", "revoked", Some(number), Some(json!({"cause": cause.word()})))
        }
        Turn::Release(_) if lifts => {
            let in_a_row = account.unlock(now)?;
            ("release", "unlocked", None, Some(json!({"unlocked": true, "in_a_row": in_a_row})))
        }
        Turn::Release(_) => ("release", "released", Some(account.release(generation, &profile, now)?), None),
    };
    let mut entry = attempt.entry(act, actor(grant, request), &request.id, remote(request));
    entry.generation = number;
    entry.reason = ask.reason.clone();
    entry.ticket = ask.ticket.clone();
    entry.detail = detail.map(|detail| detail.to_string());
    let note = attempt.log(entry);
    let mut data = Map::new();
    data.insert(field.to_owned(), number.map_or(json!(true), |number| json!(number)));
    let mut response = Response::data(data);
    response.note = note;
    if let Turn::Revoke(_) = turn {
        response.warnings.push(
            "the codes are dead here; the provider still accepts them until they are invalidated there".to_owned(),
        );
    }
    Ok(Decision::Write(response))
}

/// Whether a release lifts the lock after wrong codes, rather than a quarantine. Where both stand the caller must say which:
/// lifting the one must not lift the other unseen.
fn lifts(
    account: &Account,
    generation: Option<u64>,
    unlock: Option<bool>,
    profile: &Profile,
    now: Timestamp,
) -> Result<bool> {
    if let Some(unlock) = unlock {
        return Ok(unlock);
    }
    let locked = generation.is_none() && account.lock(now).is_some();
    let quarantined = account.live().is_some_and(|set| account.standing(set, profile, now) == Standing::Quarantined);
    if locked && quarantined {
        let what = "the account is locked and its set is quarantined: true lifts the lock, false releases the set";
        return Err(Error::field("unlock", what));
    }
    Ok(locked)
}
