//! `transfer/:account`: an account comes in from another mount, with everything that its promises hang on: counters, enrollment
//! marks, fingerprints, what was used, and the codes that are left. Once: an account that is here is never overwritten, unless it
//! is the same one, sent again.

use serde_json::{Map, Value, json};

use crate::auth::Grant;
use crate::crypto::inherited::Origin;
use crate::domain::account::Account;
use crate::domain::moving::{Arrival, Head};
use crate::domain::refusal::Refusal;
use crate::domain::role::Capability;
use crate::domain::set::{Kind, Set};
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::request::{Request, Response};
use crate::engine::{Call, Engine, actor, keys, record, remote};
use crate::error::{Error, Result};
use arrival::Arriving;

mod arrival;
mod departure;
mod parcel;
mod state;
mod wire;

pub use departure::Leave;
pub use parcel::{Cover, Parcel};

/// Carries out `transfer/:account`.
pub async fn transfer(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let arriving = Arriving::read(&mut fields)?;
    let profile = Some(&arriving.state.profile).filter(|name| !name.is_empty());
    let also = profile.map(|name| format!("{}{name}", keys::PROFILES)).into_iter().collect();
    let decide =
        |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, &grant, &begun.request, &begun.ask, &arriving);
    begun.act(engine, Capability::Transfer, &fields, also, decide).await
}

fn decide(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    request: &Request,
    ask: &Ask,
    arriving: &Arriving,
) -> Result<Decision<Response>> {
    let source = &arriving.source;
    let origin = Origin { mount_id: source.mount_id.0, account_id: source.account_id.0 };
    let head = Head { seq: source.seq, hash: source.head.0.into() };
    if origin.mount_id == *attempt.keyring.mount_id() {
        return Err(Error::field("source", "the account comes from this very mount; there is nothing to move"));
    }
    let was = &attempt.record.account;
    match was.arrival() {
        Some(arrival) if arrival.origin == origin && arrival.head == head => {
            return Ok(Decision::Keep(Response::data(told(attempt, true))));
        }
        // It went on there before it was ended, which gave out no code. It may come again while nothing was done here.
        Some(arrival)
            if arrival.origin == origin
                && (head.seq <= arrival.head.seq || arrival.seq != attempt.record.ledger.seq) =>
        {
            return Err(Refusal::GoneOn.into());
        }
        Some(arrival) if arrival.origin == origin => {}
        _ if attempt.is_known() && !is_only_heard_of(was) => return Err(Refusal::HereAlready.into()),
        _ => {}
    }
    if !arriving.state.profile.is_empty() {
        let profile = attempt.profile_named(&arriving.state.profile)?;
        if arriving.live().is_some() && profile.kind != Kind::Escrowed {
            return Err(Error::field(
                "profile",
                "makes its codes itself here; the codes that come were made elsewhere",
            ));
        }
    }
    let fresh = arriving.account(attempt, origin)?;
    attempt.record.account = fresh;
    attempt.refuse_codes_in(ask.texts())?;
    attempt.bind_keyring = true;
    attempt.cap = Some(record::SOFT_CAP);

    let mut entry = attempt.entry("transfer", actor(grant, request), &request.id, remote(request));
    entry.generation = attempt.record.account.live().map(|set| set.generation);
    entry.reason = ask.reason.clone();
    entry.ticket = ask.ticket.clone();
    let from = json!({
        "mount_id": hex::encode(origin.mount_id), "account_id": hex::encode(origin.account_id),
        "seq": head.seq, "head": hex::encode(*head.hash),
    });
    let remaining = attempt.record.account.live().map_or(0, Set::remaining);
    let generation = attempt.record.account.generation;
    entry.detail = Some(json!({"source": from, "generation": generation, "remaining": remaining}).to_string());
    let note = attempt.log(entry);
    let seq = attempt.record.ledger.seq;
    attempt.record.account.moving.get_or_insert_default().arrival = Some(Arrival { origin, head, seq });
    Ok(Decision::Write(Response { note, ..Response::data(told(attempt, false)) }))
}

/// Whether an event that came early is all that is known of the account.
fn is_only_heard_of(account: &Account) -> bool {
    account.profile.is_empty() && account.deleted_at.is_none() && account.generation == 0
}

fn told(attempt: &Attempt<'_>, unchanged: bool) -> Map<String, Value> {
    let live = attempt.record.account.live();
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("account", json!(attempt.name.as_str()));
    put("generation", json!(attempt.record.account.generation));
    put("count", json!(live.map_or(0, |set| set.slots.len())));
    put("remaining", json!(live.map_or(0, Set::remaining)));
    put("unchanged", json!(unchanged));
    put("seq", json!(attempt.record.ledger.seq));
    put("head", json!(hex::encode(*attempt.record.ledger.head)));
    data
}
