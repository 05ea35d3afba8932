//! `verify/:account`: a presented code of an issued set is consumed, once. Who presents a wrong one learns only that; how often
//! is counted in the account's record.

use minicbor::bytes::ByteArray;
use serde_json::{Map, Value, json};

use crate::auth::Grant;
use crate::crypto::keyring::HashPurpose;
use crate::domain::presented::Accepted;
use crate::domain::profile::{Keeping, Profile};
use crate::domain::refusal::Refusal;
use crate::domain::role::Capability;
use crate::domain::set::{Kind, Repeat, Set, Use};
use crate::domain::throttle::Lock;
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::burn::{self, Mark};
use crate::engine::presented::{Presented, tell_lock};
use crate::engine::request::{Request, Response};
use crate::engine::{Call, Engine, actor, remote};
use crate::error::Result;

/// Who presents which code.
struct Want<'a> {
    request: &'a Request,
    ask: &'a Ask,
    code: &'a Presented,
}

/// Carries out `verify/:account`.
pub async fn verify(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let code = Presented::read(&mut fields)?;
    code.refuse_in(begun.ask.texts())?;
    let want = Want { request: &begun.request, ask: &begun.ask, code: &code };
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, &grant, &want);
    begun.act(engine, Capability::Verify, &fields, Vec::new(), decide).await
}

fn decide(attempt: &mut Attempt<'_>, grant: &Grant, want: &Want<'_>) -> Result<Decision<Response>> {
    let who = [grant.iss(), grant.subject(), grant.role()];
    let key = want.ask.repeat(&attempt.keyring, "verify", attempt.name, &who);
    let profile = attempt.profile()?;
    if let Some(again) = repeated(attempt, grant, want, &profile, key.as_ref())? {
        return Ok(again);
    }
    let account = &attempt.record.account;
    if let Some(lock) = account.lock(attempt.now) {
        return Ok(Decision::Keep(not_valid(attempt, Some(lock))));
    }
    if account.live().is_some_and(|set| set.kind == Kind::Escrowed) {
        return Err(Refusal::OnlyRetrieved.into());
    }
    let (verifier, stretched) = match account.live().and_then(|set| set.keeping) {
        Some(Keeping::HmacSha256) => (want.code.prints(&attempt.keyring, &account.id, None).folded, None),
        // An account without a set, and none at all, cost the same as one with.
        Some(Keeping::Argon2id) | None => {
            let verifier = want.code.stretched(attempt)?;
            (verifier, Some(verifier))
        }
    };
    if !attempt.is_known() {
        return Ok(Decision::Keep(not_valid(attempt, None)));
    }
    match attempt.record.account.accept(&verifier, &profile, attempt.now) {
        Ok((generation, slot)) => {
            let act = act_of(attempt, grant, want);
            match burn::mark(attempt, generation, slot, &act)? {
                Mark::None => {}
                Mark::Ours(write) => attempt.before.push(write),
                Mark::Taken => {
                    let now = attempt.now;
                    attempt.record.account.change_slot(generation, slot, |held| Ok((held.void(now), ())))?;
                    return Ok(refuse(attempt, grant, want, &profile, "spent", Some((generation, slot))));
                }
            }
            consume(attempt, grant, want, &profile, key, (generation, slot))
        }
        Err(why) => {
            let account = &attempt.record.account;
            let prints = want.code.prints(&attempt.keyring, &account.id, stretched);
            let place = account.fingerprints.locate(&prints);
            // Worth knowing for who reads the history: somebody has a code that was good once.
            let live = account.live().map(|set| set.generation);
            let why = match place {
                Some((generation, _)) if why == "wrong" => {
                    if live == Some(generation) {
                        "spent"
                    } else {
                        "ended"
                    }
                }
                _ => why,
            };
            Ok(refuse(attempt, grant, want, &profile, why, place))
        }
    }
}

/// What tells this act from any other, and is the same when the same caller goes on with it after a crash.
fn act_of(attempt: &Attempt<'_>, grant: &Grant, want: &Want<'_>) -> ByteArray<32> {
    let mark = want.ask.idempotency_key.as_deref().unwrap_or(&want.request.id);
    let parts = ["verify", attempt.name.as_str(), grant.iss(), grant.subject(), grant.role(), mark];
    attempt.keyring.keyed_hash(HashPurpose::Claim, &parts.map(str::as_bytes)).into()
}

fn consume(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
    key: Option<Repeat>,
    (generation, slot): (u32, u32),
) -> Result<Decision<Response>> {
    let until = attempt.now.plus(profile.reveal_window);
    let used = Use { at: attempt.now, by: grant.subject().to_owned(), until, repeat: key };
    attempt.record.account.consume(generation, slot, used)?;
    attempt.record.account.owe(generation, profile, attempt.now);
    Ok(accepted(attempt, grant, want, profile, (generation, slot), false))
}

/// The same caller with the same key gets the same answer, if set and window still stand; later it learns only that it was
/// done.
fn repeated(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
    key: Option<&Repeat>,
) -> Result<Option<Decision<Response>>> {
    let Some(key) = key else { return Ok(None) };
    let mut earlier = Accepted::find(attempt.record.account.sets.iter().rev(), key)?;
    if earlier.is_none() {
        earlier = Accepted::find(attempt.lately_archived()?.iter(), key)?;
    }
    let Some(Accepted { generation, slot, until }) = earlier else { return Ok(None) };
    let account = &attempt.record.account;
    let usable = account.usable(profile, attempt.now).is_ok_and(|set| set.generation == generation);
    if usable && attempt.now < until && profile.refuses_use(attempt.now).is_none() {
        return Ok(Some(accepted(attempt, grant, want, profile, (generation, slot), true)));
    }
    let data = Map::from_iter([("valid".to_owned(), json!(false)), ("done".to_owned(), json!(true))]);
    let mut response = Response::data(data);
    response.warnings.push(
        "this code was accepted under this key before, and its window has closed: it does not count again".to_owned(),
    );
    Ok(Some(Decision::Keep(response)))
}

/// Notes the use and says what remains.
fn accepted(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
    (generation, slot): (u32, u32),
    again: bool,
) -> Decision<Response> {
    let mut entry = attempt.entry("verify", actor(grant, want.request), &want.request.id, remote(want.request));
    entry.generation = Some(generation);
    entry.slot = Some(slot);
    entry.repeat = again;
    entry.detail = Some(json!({"valid": true}).to_string());
    let note = attempt.log(entry);
    let account = &attempt.record.account;
    let remaining = account.set(generation).map_or(0, Set::remaining);
    let by = account.obligation.map(|owed| owed.by.to_string());
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("valid", json!(true));
    put("slot", json!(slot));
    put("generation", json!(generation));
    put("remaining", json!(remaining));
    put("regenerate_by", json!(by));
    put("repeat", json!(again));
    let mut response = Response::data(data);
    response.note = note;
    if remaining as u64 <= profile.low_watermark {
        let by = by.map_or_else(|| "soon".to_owned(), |by| format!("by {by}"));
        response.warnings.push(format!("{remaining} codes remain: let the person make a new set {by}"));
    }
    Decision::Write(response)
}

/// Counts a code that was not accepted, and notes it with its place if it was a good one once.
fn refuse(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
    why: &str,
    place: Option<(u32, u32)>,
) -> Decision<Response> {
    let lock = attempt.record.account.fail(profile, attempt.now);
    let in_a_row = attempt.record.account.failures.map_or(0, |failures| failures.in_a_row);
    let mut entry = attempt.entry("verify", actor(grant, want.request), &want.request.id, remote(want.request));
    entry.generation = place.map(|(generation, _)| generation);
    entry.slot = place.map(|(_, slot)| slot);
    entry.detail =
        Some(json!({"valid": false, "why": why, "in_a_row": in_a_row, "locked": lock.is_some()}).to_string());
    let note = attempt.log(entry);
    if lock.is_some() {
        tracing::warn!(account = attempt.name.as_str(), in_a_row, "locked after wrong codes in a row");
    }
    let mut response = not_valid(attempt, lock);
    response.note = note;
    Decision::Write(response)
}

fn not_valid(attempt: &Attempt<'_>, lock: Option<Lock>) -> Response {
    let mut data = Map::new();
    data.insert("valid".to_owned(), json!(false));
    let warning = lock.and_then(|lock| tell_lock(&mut data, lock, attempt.now, attempt.name.as_str()));
    Response { warnings: warning.into_iter().collect(), ..Response::data(data) }
}
