//! `events/:source`: an identity provider tells of an enrollment (RFC 8935). Unauthenticated: the signature in the event is
//! the proof. Answered only after what it says is durable, and answered the same when it comes again.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::crypto::keyring::HashPurpose;
use crate::domain::enrollment::Weight;
use crate::domain::fields::{Fields, Given};
use crate::domain::name::{AccountName, record_name};
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::cache::storage_failed;
use crate::engine::enroll::{Fact, Seen, apply};
use crate::engine::request::{Body, Request, Response};
use crate::engine::source_state::Tally;
use crate::engine::transact::Plan;
use crate::engine::{Call, Engine, bearer, keys, record, remote};
use crate::error::{Error, Kind, Result};
use crate::ledger::entry::Actor;
use crate::sources::{Effect, Event, EventRefusal, Received};
use crate::storage::{Expect, PutError, Write};

mod verdict;

use verdict::{Grounds, Judged, Verdict};

/// Carries out `events/:source`. What the transmitter did wrong is said in its protocol's own words.
pub async fn events(engine: &Engine, call: Call) -> Result<Response> {
    let Call { mut request, name } = call;
    let Ok(name) = record_name("source", &name) else {
        return Ok(refused(EventRefusal::access_denied("no such receiver")));
    };
    let mut fields = Fields::new(std::mem::take(&mut request.data));
    let set = match fields.exact_string("set").map(Given::value) {
        Ok(Some(set)) => set,
        Ok(None) => {
            return Ok(refused(EventRefusal::invalid_request("the body carries no Security Event Token")));
        }
        Err(error) => return Ok(refused(EventRefusal::invalid_request(error.public()))),
    };
    let mut judged = verdict::by_memory(engine, &name, &set).await;
    // Most events are about one account, which is read along with the records that the event was believed by.
    if let Some(Judged { verdict: Ok(Verdict::Received(grounds, Received::Enrollment(event))), .. }) = &judged
        && grounds.source.accounts(&event.subjects).len() == 1
    {
        let taken = Taken { grounds, name: &name, event, request: &request };
        if let Some(response) = enrolled(engine, taken).await? {
            return Ok(response);
        }
        judged = None;
    }
    let (grounds, received) = match verdict::by_reading(engine, &name, &set, judged).await? {
        Verdict::Received(grounds, received) => (grounds, received),
        Verdict::Refused(refusal) => return Ok(refused(refusal)),
        Verdict::Unfit(refusal) => {
            engine.states.count_soon(&name, Tally::Refused);
            return Ok(refused(refusal));
        }
    };
    let now = engine.clock.now();
    match received {
        Received::Enrollment(event) => {
            let taken = Taken { grounds: &grounds, name: &name, event: &event, request: &request };
            let changed = || Error::unavailable("the receiver was changed meanwhile; send the event again");
            return enrolled(engine, taken).await?.ok_or_else(changed);
        }
        Received::Verification { .. } => engine.states.count(&name, Tally::Verified(now)).await,
        Received::StreamUpdated { status, .. } => {
            tracing::warn!(
                source = name,
                status,
                "the transmitter changed the state of its stream: silence is not safety"
            );
            engine.states.count(&name, Tally::Stream(status)).await;
        }
        Received::Ignored { .. } => engine.states.count_soon(&name, Tally::Ignored),
    }
    Ok(Response { body: Body::Accepted, ..Response::empty() })
}

fn refused(refusal: EventRefusal) -> Response {
    Response { body: Body::EventError { err: refusal.err, description: refusal.description }, ..Response::empty() }
}

/// An event on its way into the accounts it names.
struct Taken<'a> {
    grounds: &'a Grounds,
    name: &'a str,
    event: &'a Event,
    request: &'a Request,
}

impl Taken<'_> {
    /// What a change for this event reads: the event's own record and those that it is believed by.
    fn also(&self, key: &str) -> Vec<String> {
        self.grounds.records.iter().map(|(_, key)| key.clone()).chain([key.to_owned()]).collect()
    }
    /// Whether it is believed by what there is now.
    fn still_stands(&self, attempt: &Attempt<'_>) -> bool {
        verdict::is_same(&self.grounds.records, |key| attempt.revision(key))
    }
}

/// What became of an event at one account.
enum Reached {
    /// It was written down, and audit says this of it.
    Now(Map<String, Value>),
    /// It had been there before.
    Before,
    /// What it was believed by is something else now; nothing was done.
    Unfounded,
}

/// Takes an enrollment in. `None` if it was believed by what is something else now: then nothing was done that a repetition does not
/// go on with.
async fn enrolled(engine: &Engine, taken: Taken<'_>) -> Result<Option<Response>> {
    // The event was right. A 400 would make the sender drop it, and with it the end of the old set.
    let note = take_in(engine, taken).await.map_err(|error| match error.kind() {
        Kind::Invalid => Error::internal(error),
        _ => error,
    })?;
    Ok(note.map(|note| Response { body: Body::Accepted, note, ..Response::empty() }))
}

/// Brings the event to the accounts it names; answers what audit says of them.
async fn take_in(engine: &Engine, taken: Taken<'_>) -> Result<Option<Map<String, Value>>> {
    let accounts = taken.grounds.source.accounts(&taken.event.subjects);
    let parts = [&b"event"[..], taken.event.id.as_bytes()];
    let key = keys::event(taken.name, &taken.grounds.keyring.keyed_hash(HashPurpose::RequestContent, &parts));
    match accounts.as_slice() {
        [] => {
            let subjects = taken.event.subjects.iter().map(ToString::to_string).collect();
            engine.states.note_unmapped(taken.name, &key, subjects).await?;
        }
        // One account: the event and the account's record go down together.
        [account] => match finish(engine, &key, account, &taken, true).await? {
            Reached::Now(note) => {
                engine.states.count_soon(taken.name, Tally::Applied(engine.clock.now()));
                return Ok(Some(note));
            }
            Reached::Before => {}
            Reached::Unfounded => return Ok(None),
        },
        // Several: the event goes down first with all of them to do; a redelivery goes on where this stopped.
        many => {
            remember(engine, &key, many).await?;
            let mut reached = Vec::new();
            for account in many {
                match finish(engine, &key, account, &taken, false).await? {
                    Reached::Now(note) => {
                        let said = |field: &str| note.get(field).map(plain).unwrap_or_default();
                        reached.push(format!("{} {} {}", said("account"), said("seq"), said("head")));
                    }
                    Reached::Before => {}
                    Reached::Unfounded => return Ok(None),
                }
            }
            engine.states.count_soon(taken.name, Tally::Applied(engine.clock.now()));
            return Ok(Some(Map::from_iter([("reached".to_owned(), json!(reached))])));
        }
    }
    Ok(Some(Map::new()))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Writes the event down with the accounts to do, unless it is there already.
async fn remember(engine: &Engine, key: &str, accounts: &[AccountName]) -> Result<()> {
    let todo = accounts.iter().map(|account| account.as_str().to_owned()).collect();
    let seen = Seen { at: engine.clock.now(), todo };
    match engine.storage.put_all(vec![Write::create(key, record::encode(&seen), &*engine.random)]).await {
        Ok(()) | Err(PutError::Conflict { .. }) => Ok(()),
        Err(PutError::Unknown(source)) => Err(Error::internal(source)),
        Err(PutError::Failed(error)) => Err(storage_failed(error)),
    }
}

/// Reaches one account of the event and takes it off the list in the same commit; if it is the only one, the event need not be written
/// down before. It may be even so: it named more accounts when it came first.
async fn finish(engine: &Engine, key: &str, account: &AccountName, taken: &Taken<'_>, only: bool) -> Result<Reached> {
    let plan = Plan { account, also: taken.also(key) };
    engine
        .change(plan, |attempt| {
            if !taken.still_stands(attempt) {
                return Ok(Decision::Keep(Reached::Unfounded));
            }
            let stored = match attempt.in_the_way(key) {
                Some((bytes, revision)) => Some((*revision, Arc::from(bytes.as_slice()))),
                None => attempt.raw(key),
            };
            let Some((revision, bytes)) = stored else {
                if !only {
                    return Err(Error::internal("an event disappeared while it was carried out"));
                }
                let seen = Seen { at: attempt.now, todo: Vec::new() };
                attempt.after.push(Write::create(key, record::encode(&seen), attempt.random));
                return Ok(Decision::Write(Reached::Now(reach(attempt, taken)?)));
            };
            let mut seen: Seen = record::decode(key, &bytes)?;
            if !seen.todo.iter().any(|name| name == account.as_str()) {
                return Ok(Decision::Keep(Reached::Before));
            }
            seen.todo.retain(|name| name != account.as_str());
            attempt.after.push(Write::put(key, Expect::At(revision), record::encode(&seen), attempt.random));
            Ok(Decision::Write(Reached::Now(reach(attempt, taken)?)))
        })
        .await
}

/// Applies the event to the account of this try; answers what audit says of it.
fn reach(attempt: &mut Attempt<'_>, taken: &Taken<'_>) -> Result<Map<String, Value>> {
    let event = taken.event;
    let actor = Actor {
        subject: taken.name.to_owned(),
        issuer: event.issuer.clone(),
        role: String::new(),
        ..bearer(taken.request)
    };
    let mut entry = attempt.entry("event", actor, &taken.request.id, remote(taken.request));
    let detail = json!({
        "credential_type": event.credential_type, "change_type": event.change_type, "effect": event.effect.word(),
        "initiating_entity": event.initiating_entity, "time_inferred": event.time_inferred.then_some(true),
    });
    let weight = match event.effect {
        Effect::End => Weight::Ends,
        Effect::Quarantine => Weight::Doubts,
        Effect::Notify => {
            entry.detail = Some(detail.to_string());
            return Ok(attempt.log(entry));
        }
    };
    let fact = Fact { at: event.at, weight, source: taken.name, skew: taken.grounds.source.skew() };
    Ok(apply(attempt, entry, fact, detail)?.1)
}
