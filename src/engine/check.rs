//! `check/:account`: is this code in a set of ours, which, in what state? Burns nothing; a code that is not is counted like any
//! wrong one, and every question is in the history.

use serde_json::{Map, Value, json};

use crate::auth::Grant;
use crate::domain::account::Account;
use crate::domain::profile::Profile;
use crate::domain::role::Capability;
use crate::domain::set::{Set, Slot};
use crate::domain::throttle::Lock;
use crate::domain::time::Timestamp;
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::presented::{Presented, tell_lock};
use crate::engine::request::{Request, Response};
use crate::engine::{Call, Engine, actor, metadata, remote};
use crate::error::Result;

/// Carries out `check/:account`.
pub async fn check(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let code = Presented::read(&mut fields)?;
    code.refuse_in(begun.ask.texts())?;
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, &grant, &begun.request, &begun.ask, &code);
    begun.act(engine, Capability::Check, &fields, Vec::new(), decide).await
}

fn decide(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    request: &Request,
    ask: &Ask,
    code: &Presented,
) -> Result<Decision<Response>> {
    let profile = attempt.profile()?;
    if let Some(lock) = attempt.record.account.lock(attempt.now) {
        return Ok(Decision::Keep(no_answer(attempt, lock)));
    }
    // The same work whether the account exists and whatever its sets are, unless none of its codes was ever stretched.
    let stretched = match attempt.record.account.fingerprints.is_never_stretched() {
        true => None,
        false => Some(code.stretched(attempt)?),
    };
    if !attempt.is_known() {
        return Ok(Decision::Keep(Response::data(no_match())));
    }
    let prints = code.prints(&attempt.keyring, &attempt.record.account.id, stretched);
    let place = attempt.record.account.fingerprints.locate(&prints);
    let place = place.max(attempt.located_elsewhere(code)?);
    let mut entry = attempt.entry("check", actor(grant, request), &request.id, remote(request));
    // Other acts refuse a text that holds a code. Here that would be a guess which nobody counts, so it is left out.
    let holds_code = attempt.holds_code(ask.texts())?.is_some();
    if !holds_code {
        entry.reason = ask.reason.clone();
        entry.ticket = ask.ticket.clone();
    }
    let detail = |mut detail: Value| {
        if holds_code {
            detail["left_out"] = json!("reason and ticket, since a code is in them");
        }
        Some(detail.to_string())
    };
    let Some((generation, slot)) = place else {
        let lock = attempt.record.account.fail(&profile, attempt.now);
        let in_a_row = attempt.record.account.failures.map_or(0, |failures| failures.in_a_row);
        entry.detail = detail(json!({"match": false, "in_a_row": in_a_row, "locked": lock.is_some()}));
        let note = attempt.log(entry);
        let mut data = no_match();
        let warning = lock.and_then(|lock| tell_lock(&mut data, lock, attempt.now, attempt.name.as_str()));
        return Ok(Decision::Write(Response { note, warnings: warning.into_iter().collect(), ..Response::data(data) }));
    };
    let archived = match attempt.record.account.set(generation) {
        Some(_) => None,
        None => attempt.archived(generation)?.map(|(_, set)| set.settle(attempt.now)),
    };
    let account = &attempt.record.account;
    let data = found(account, account.set(generation).or(archived.as_ref()), &profile, (generation, slot), attempt.now);
    entry.generation = Some(generation);
    entry.slot = Some(slot);
    entry.detail = detail(json!({"match": true, "state": data["state"], "status": data["status"]}));
    let note = attempt.log(entry);
    Ok(Decision::Write(Response { note, ..Response::data(data) }))
}

/// Where the code is, the state of its slot, and how its set stands.
fn found(
    account: &Account,
    set: Option<&Set>,
    profile: &Profile,
    (generation, slot): (u32, u32),
    now: Timestamp,
) -> Map<String, Value> {
    let state = set.and_then(|set| set.slots.get(slot as usize - 1)).map(Slot::word);
    let status = set.map(|set| metadata::status(set, account, profile, now).0);
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("match", json!(true));
    put("generation", json!(generation));
    put("slot", json!(slot));
    put("state", json!(state));
    put("status", json!(status));
    data
}

fn no_match() -> Map<String, Value> {
    Map::from_iter([("match".to_owned(), json!(false))])
}

/// While it is locked nothing is said of any code, not even that it is not ours.
fn no_answer(attempt: &Attempt<'_>, lock: Lock) -> Response {
    let mut data = Map::from_iter([("match".to_owned(), Value::Null)]);
    let warning = tell_lock(&mut data, lock, attempt.now, attempt.name.as_str());
    Response { warnings: warning.into_iter().collect(), ..Response::data(data) }
}
