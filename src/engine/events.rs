//! `events/:source`: an identity provider tells of an enrollment (RFC 8935). Unauthenticated: the signature in the event is
//! the proof. Answered only after what it says is durable, and answered the same when it comes again.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::auth::{Refusal, Token};
use crate::crypto::keyring::{HashPurpose, Keyring};
use crate::domain::enrollment::Weight;
use crate::domain::fields::{Fields, Given};
use crate::domain::name::{AccountName, record_name};
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::cache::{Parsed, Snapshot, storage_failed};
use crate::engine::enroll::{Fact, Seen, apply};
use crate::engine::request::{Body, Request, Response};
use crate::engine::source_state::Tally;
use crate::engine::transact::Plan;
use crate::engine::{Call, Engine, bearer, keys, record, remote};
use crate::error::{Error, Kind, Result};
use crate::ledger::entry::Actor;
use crate::sources::{self, Effect, Event, EventRefusal, Received, Source};
use crate::storage::{Expect, PutError, Revision, Write};

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
    let mut snapshot = Snapshot::default();
    let key = format!("{}{name}", keys::SOURCES);
    let mut wanted = vec![keys::KEYRING.to_owned(), key.clone()];
    // The issuer that it had when it was last seen: most events need no second read.
    if let Some(Parsed::Source(source)) = engine.cache.guess(&key) {
        wanted.push(format!("{}{}", keys::ISSUERS, source.issuer()));
    }
    engine.load(&mut snapshot, wanted).await?;
    let Some(source) = snapshot.source(&name) else {
        return Ok(refused(EventRefusal::access_denied("no such receiver")));
    };
    let token = match Token::parse(&set) {
        Ok(token) => token,
        Err(refusal) => return Ok(refused(for_transmitter(&refusal))),
    };
    let claims = match verify(engine, &mut snapshot, &source, &token).await? {
        Ok(claims) => claims,
        Err(refusal) => return Ok(refused(refusal)),
    };
    let received = match sources::interpret(claims, &source) {
        Ok(received) => received,
        Err(refusal) => {
            engine.states.count_soon(&name, Tally::Refused);
            return Ok(refused(refusal));
        }
    };
    let now = engine.clock.now();
    match received {
        Received::Enrollment(event) => {
            let trusted = [format!("{}{name}", keys::SOURCES), format!("{}{}", keys::ISSUERS, source.issuer())]
                .map(|key| (snapshot.revision(&key), key));
            let taken = Taken { source: &source, name: &name, event: &event, request: &request, trusted: &trusted };
            // The event was right. A 400 would make the sender drop it, and with it the end of the old set.
            let note = take_in(engine, &snapshot.keyring()?, taken).await.map_err(|error| match error.kind() {
                Kind::Invalid => Error::internal(error),
                _ => error,
            })?;
            return Ok(Response { body: Body::Accepted, note, ..Response::empty() });
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

async fn verify<'t>(
    engine: &Engine,
    snapshot: &mut Snapshot,
    source: &Source,
    token: &'t Token,
) -> Result<Result<&'t Map<String, Value>, EventRefusal>> {
    engine.load(snapshot, [format!("{}{}", keys::ISSUERS, source.issuer())]).await?;
    let Some(issuer) = snapshot.issuer(source.issuer()) else {
        return Err(Error::internal(format!("the source's issuer {} does not exist", source.issuer())));
    };
    match engine.verifier.verify_event(token, &issuer, engine.clock.now()).await {
        Ok(claims) => Ok(Ok(claims)),
        Err(Refusal::KeysUnavailable) => {
            Err(Error::unavailable("the issuer's keys cannot be fetched; send the event again"))
        }
        Err(refusal) => Ok(Err(for_transmitter(&refusal))),
    }
}

/// The protocol's error for a token that does not stand (RFC 8935 section 2.4).
fn for_transmitter(refusal: &Refusal) -> EventRefusal {
    let said = match refusal {
        Refusal::Issuer => "its issuer is not the one that this receiver listens to".to_owned(),
        other => other.for_act().public().trim_start_matches("assertion: ").to_owned(),
    };
    match refusal {
        Refusal::Signature { .. } => EventRefusal::authentication_failed(said),
        Refusal::NoKey { .. } | Refusal::Algorithm { .. } | Refusal::AlgorithmNotAllowed(_) => {
            EventRefusal::invalid_key(said)
        }
        Refusal::Issuer | Refusal::ClaimMissing("iss") => EventRefusal::invalid_issuer(said),
        _ => EventRefusal::invalid_request(said),
    }
}

fn refused(refusal: EventRefusal) -> Response {
    Response { body: Body::EventError { err: refusal.err, description: refusal.description }, ..Response::empty() }
}

/// An event on its way into the accounts it names.
struct Taken<'a> {
    source: &'a Source,
    name: &'a str,
    event: &'a Event,
    request: &'a Request,
    /// The records that the event was believed by, as they were then.
    trusted: &'a [(Option<Revision>, String)],
}

impl Taken<'_> {
    /// What a change for this event reads: the event's own record and those that it is believed by.
    fn also(&self, key: &str) -> Vec<String> {
        self.trusted.iter().map(|(_, key)| key.clone()).chain([key.to_owned()]).collect()
    }
    /// Refuses if source or issuer are others now: the sender tries again, and is judged by them.
    fn still_stands(&self, attempt: &Attempt<'_>) -> Result<()> {
        match self.trusted.iter().all(|(revision, key)| attempt.revision(key) == *revision) {
            true => Ok(()),
            false => Err(Error::unavailable("the receiver was changed meanwhile; send the event again")),
        }
    }
}

/// Brings the event to the accounts it names; answers what audit says of them.
async fn take_in(engine: &Engine, keyring: &Arc<Keyring>, taken: Taken<'_>) -> Result<Map<String, Value>> {
    let accounts = taken.source.accounts(&taken.event.subjects);
    let id = keyring.keyed_hash(HashPurpose::RequestContent, &[b"event", taken.event.id.as_bytes()]);
    let key = keys::event(taken.name, &id);
    match accounts.as_slice() {
        [] => {
            let subjects = taken.event.subjects.iter().map(ToString::to_string).collect();
            engine.states.note_unmapped(taken.name, &key, subjects).await?;
        }
        // One account: the event and the account's record go down together.
        [account] => {
            if let Some(note) = finish(engine, &key, account, &taken, true).await? {
                engine.states.count_soon(taken.name, Tally::Applied(engine.clock.now()));
                return Ok(note);
            }
        }
        // Several: the event goes down first with all of them to do; a redelivery goes on where this stopped.
        many => {
            remember(engine, &key, many).await?;
            let mut reached = Vec::new();
            for account in many {
                if let Some(note) = finish(engine, &key, account, &taken, false).await? {
                    let said = |field: &str| note.get(field).map(plain).unwrap_or_default();
                    reached.push(format!("{} {} {}", said("account"), said("seq"), said("head")));
                }
            }
            engine.states.count_soon(taken.name, Tally::Applied(engine.clock.now()));
            return Ok(Map::from_iter([("reached".to_owned(), json!(reached))]));
        }
    }
    Ok(Map::new())
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
async fn finish(
    engine: &Engine,
    key: &str,
    account: &AccountName,
    taken: &Taken<'_>,
    only: bool,
) -> Result<Option<Map<String, Value>>> {
    let plan = Plan { account, also: taken.also(key) };
    engine
        .change(plan, |attempt| {
            taken.still_stands(attempt)?;
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
                return Ok(Decision::Write(Some(reach(attempt, taken)?)));
            };
            let mut seen: Seen = record::decode(key, &bytes)?;
            if !seen.todo.iter().any(|name| name == account.as_str()) {
                return Ok(Decision::Keep(None));
            }
            seen.todo.retain(|name| name != account.as_str());
            attempt.after.push(Write::put(key, Expect::At(revision), record::encode(&seen), attempt.random));
            Ok(Decision::Write(Some(reach(attempt, taken)?)))
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
    let fact = Fact { at: event.at, weight, source: taken.name, skew: taken.source.skew() };
    Ok(apply(attempt, entry, fact, detail)?.1)
}
