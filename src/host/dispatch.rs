//! The act itself: the host's handler of a path, or the engine.

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::answer::{Answer, Data, Envelope, Refusal};
use super::call::Verb;
use super::route::{Route, operation};
use super::routes::Place;
use super::sys::generate_root::Shape;
use super::visit::{Acted, Visit};
use super::wrapping::Draft;
use super::{login, sys, tokens, wrapping};
use crate::domain::fields::Fields;
use crate::engine::paths;
use crate::engine::request::{Body, Face, Request, Response};
use crate::error::Error;
use crate::sources::EventRefusal;

/// Carries out an admitted request.
pub(super) async fn act(visit: &Visit<'_>, route: &Route<'_>, data: Map<String, Value>) -> Result<Acted, Refusal> {
    if visit.verb == Verb::Help {
        return sys::describe::on_path(visit, route.engine_path());
    }
    match route {
        Route::Engine(path, _) => engine(visit, path, route, data).await,
        Route::Host(entry, _) if !entry.verbs.contains(&visit.verb) => Err(Refusal::unsupported_operation()),
        Route::Host(entry, rest) => {
            let mut acted = host(visit, entry.place, rest, data).await?;
            if let (true, Answer::Logical(envelope)) = (entry.flattened, &mut acted.answer) {
                envelope.flattened = true;
            }
            Ok(acted)
        }
        Route::Unknown { mounted: true } => Err(Refusal::unsupported_path()),
        Route::Unknown { mounted: false } => {
            Err(Refusal::new(404, format!("no handler for route \"{}\". route entry not found.", visit.path)))
        }
    }
}

/// The engine's answer in Vault's envelope. `draft` is the wrapping that was asked for.
pub(super) fn acted(response: Response, draft: Option<Draft>) -> Result<Acted, Refusal> {
    let Response { body, warnings, disclosure, note } = response;
    let silent = warnings.is_empty();
    let envelope = |data| Answer::Logical(Box::new(Envelope { warnings, ..Envelope::around(data) }));
    let answer = match body {
        Body::Data(data) => envelope(Data::Fields(data)),
        Body::Listed(data, list) => envelope(Data::Listed(data, list)),
        Body::Empty if silent => Answer::Empty { status: 204 },
        Body::Empty => envelope(Data::Null),
        Body::Accepted => Answer::Empty { status: 202 },
        Body::EventError { err, description } => Answer::EventRefused(EventRefusal { err, description }),
        Body::Wrapped => match draft {
            Some(draft) => Answer::Logical(Box::new(Envelope::wrapped(draft.into_info(None)))),
            None => return Err(Error::internal("a wrapped answer that nobody asked for").into()),
        },
    };
    Ok(Acted { answer, note, disclosure })
}

async fn engine(visit: &Visit<'_>, path: &str, route: &Route<'_>, data: Map<String, Value>) -> Result<Acted, Refusal> {
    if matches!(visit.verb, Verb::Patch | Verb::Scan) {
        let known = paths::TABLE.iter().copied().flatten().any(|entry| entry.matches(path).is_some());
        return Err(if known { Refusal::unsupported_operation() } else { Refusal::unsupported_path() });
    }
    let (draft, wrap) = match (visit.wrap_ttl, route.wraps()) {
        (Some(ttl), Some(account)) => {
            let draft = visit.open.wrappings.draft(visit.path, ttl);
            let wrap = visit.open.wrappings.for_slot(&draft, account)?;
            (Some(draft), Some(wrap))
        }
        _ => (None, None),
    };
    let request = Request {
        id: visit.id.to_owned(),
        operation: operation(visit.verb),
        path: path.to_owned(),
        data,
        caller: visit.caller.clone(),
        remote: visit.remote,
        face: Face::Http,
        wrap,
    };
    let (act, began) = (route.act(), Instant::now());
    let response = visit.open.engine.handle(request).await;
    if let Some(act) = act {
        visit.open.metrics.acted(act, began.elapsed());
    }
    acted(response.map_err(|error| Refusal::of(error, visit.caller))?, draft)
}

async fn host(visit: &Visit<'_>, place: Place, rest: &str, data: Map<String, Value>) -> Result<Acted, Refusal> {
    let fields = match place {
        Place::Wrap => return wrapping::paths::wrap(visit, data),
        Place::Metrics => return Ok(visit.host.metrics(&data, visit.text_metrics)?.into()),
        Place::Snapshot => return sys::snapshot::save(visit).await,
        Place::Doctor => return sys::doctor::examine(visit).await,
        _ => Fields::new(data),
    };
    match place {
        Place::Wrap | Place::Metrics | Place::Snapshot | Place::Doctor => Err(Refusal::unsupported_path()),
        Place::Mounts => Ok(sys::mounts::secrets(visit, &fields)),
        Place::Mount => sys::mounts::secret(visit, rest, &fields),
        Place::Auths => Ok(sys::mounts::auths(visit, &fields)),
        Place::AuthMount => sys::mounts::auth(visit, rest, &fields),
        Place::Audits => Ok(sys::mounts::audits(visit, &fields)),
        Place::AuditDevice => Err(sys::mounts::audit_device(visit)),
        Place::UiMounts => Ok(sys::mounts::ui(visit, &fields)),
        Place::UiMount => sys::mounts::ui_one(visit, rest, &fields),
        Place::CapabilitiesSelf => sys::capabilities::own(visit, fields).await,
        Place::OpenApi => Ok(sys::describe::openapi(visit)),
        Place::Unwrap => wrapping::paths::unwrap(visit, fields).await,
        Place::WrapLookup => wrapping::paths::lookup(visit, fields).await,
        Place::Login => login::login(visit, fields).await,
        Place::LookupSelf => tokens::paths::lookup_self(visit, &fields),
        Place::RenewSelf => tokens::paths::renew_self(visit, fields).await,
        Place::RevokeSelf => tokens::paths::revoke_self(visit).await,
        Place::Lookup => tokens::paths::lookup(visit, fields).await,
        Place::Renew => tokens::paths::renew(visit, fields).await,
        Place::Revoke => tokens::paths::revoke(visit, fields).await,
        Place::Accessors => tokens::paths::accessors(visit, &fields).await,
        Place::RenewAccessor => tokens::paths::renew_accessor(visit, fields).await,
        Place::Rewrap => wrapping::paths::rewrap(visit, fields).await,
        Place::KeyStatus => sys::keys::status(visit, &fields).await,
        Place::HaStatus => sys::nodes::status(visit, &fields).await,
        Place::Rotate | Place::RotateKeyring => sys::keys::rotate(visit).await,
        Place::RootAttempt => sys::generate_root::attempt(visit, Shape::Bare, fields).await,
        Place::RootUpdate => sys::generate_root::update(visit, Shape::Bare, fields).await,
        Place::RootTokenAttempt => sys::generate_root::attempt(visit, Shape::Enveloped, fields).await,
        Place::RootTokenUpdate => sys::generate_root::update(visit, Shape::Enveloped, fields).await,
        Place::Rekey => Err(Refusal::new(405, "unsupported operation")),
        Place::Restore => sys::restore::status(visit, &fields).await,
        Place::RestoreAccept => sys::restore::accept(visit, fields).await,
        Place::RestoreEvidence => sys::restore::evidence(visit, fields).await,
        Place::RestoreHold => sys::restore::hold(visit, fields).await,
        Place::LookupAccessor => tokens::paths::lookup_accessor(visit, fields).await,
        Place::RevokeAccessor => tokens::paths::revoke_accessor(visit, fields).await,
    }
}
