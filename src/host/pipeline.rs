//! The way of every request that is not about the seal. The order is fixed:
//!
//! 1. the wire has parsed it, or says why it cannot; the path is routed (a host path, an engine path, an unknown one);
//! 2. a foreign namespace is refused, then a sealed host;
//! 3. the token is looked up, unless the path looks at none, and what the path needs is demanded;
//! 4. audit records the request, refused or not: one that may disclose, on a durable device. If it cannot, a write goes no
//!    further (500; one that would disclose, 503), while reads of metadata go on. A read's line is handed over now and waited for
//!    before its answer;
//! 5. the act: the host's handler, or the engine;
//! 6. an answer that shall be wrapped is put away for its token;
//! 7. audit records the answer. Only its receipt opens a disclosure: without one the code is lost, never leaked;
//! 8. the face renders.
//!
//! A write runs as a task of its own, so it comes to its end though the client hangs up. So do initialisation, unsealing and
//! sealing, which take none of these steps.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::answer::{Answer, Refusal, canonical};
use super::call::{Call, Token, Verb};
use super::metrics::AuditStage;
use super::route::{Route, operation};
use super::routes::Need;
use super::sys::status::Status;
use super::visit::{Bearer, Visit, administers};
use super::{Host, Unsealed, conclusion, dispatch, ident, sys};
use crate::audit::RequestEntry;
use crate::auth::Caller;
use crate::engine::request::Operation;
use crate::error::{Error, Kind, Result};

impl Host {
    /// Answers one call.
    pub async fn handle(self: &Arc<Self>, call: Call) -> Answer {
        let (asked, began) = (self.asked(&call), Instant::now());
        let answer = self.answer(call).await;
        self.metrics.answered(asked, answer.status(), began.elapsed());
        answer
    }

    async fn answer(self: &Arc<Self>, mut call: Call) -> Answer {
        let status = Status::of(&call.path);
        let open = self.unsealed();
        let unrecorded = status.is_some() || open.is_none();
        if let Some(refusal) = call.refused.take_if(|_| unrecorded) {
            return refusal.into();
        }
        if let Some(status) = status {
            return match call.verb {
                Verb::Update => {
                    let host = Arc::clone(self);
                    finished(tokio::spawn(async move { host.status(status, call).await })).await
                }
                _ => self.status(status, call).await,
            };
        }
        // A listener that tells metrics to everybody does so while sealed, too.
        if call.open_metrics && call.path == sys::metrics::PATH && call.verb == Verb::Read && call.refused.is_none() {
            return self.metrics(&call.query, call.text_metrics).unwrap_or_else(Answer::Refused);
        }
        if call.foreign_namespace {
            return Refusal::new(404, "namespace not found").into();
        }
        let Some(open) = open else { return Refusal::sealed().into() };
        match call.verb {
            Verb::Head => Refusal::silent(405).into(),
            Verb::Update | Verb::Delete => self.run(open, call).await,
            Verb::Read | Verb::List | Verb::Patch | Verb::Scan | Verb::Help => serve(self, &open, call).await,
        }
    }

    async fn run(self: &Arc<Self>, open: Arc<Unsealed>, call: Call) -> Answer {
        let Ok(permit) = Arc::clone(&self.acts).try_acquire_owned() else {
            let busy = Error::new(Kind::TooMany, "too many writes at work; nothing was done, try again");
            return Refusal::from(busy).into();
        };
        let host = Arc::clone(self);
        let task = tokio::spawn(async move {
            let answer = serve(&host, &open, call).await;
            drop(permit);
            answer
        });
        finished(task).await
    }
}

/// The answer of a task that goes on though nobody waits for it any more.
async fn finished(task: JoinHandle<Answer>) -> Answer {
    task.await.unwrap_or_else(|error| Refusal::from(Error::internal(error)).into())
}

async fn serve(host: &Host, open: &Unsealed, mut call: Call) -> Answer {
    let id = ident::uuid(&*host.random);
    let remote = call.remote.map(|address| canonical(address.ip()));
    let data = call.fields();
    let early = call.refused.take();
    let call = call;
    let route = Route::of(&host.info.mount_path, &call);
    let (bearer, mut refused) = match (early, route.need(call.verb)) {
        (Some(refusal), _) => (Bearer::Ignored, Some(refusal)),
        (None, Need::Nothing) => (Bearer::Ignored, None),
        (None, need) => match open.bearer(call.token.as_ref(), need).await {
            Ok(bearer) => (bearer, None),
            Err(error) => (Bearer::None, Some(Refusal::from(error))),
        },
    };
    let caller = bearer.caller();
    if refused.is_none() {
        refused = admit(open, route.need(call.verb), &bearer, &caller, remote).await.err();
    }
    let sentence = refused.as_ref().map(|refusal| refusal.sentence().to_owned());
    let (mount_point, mount_type) = route.mount(&host.info.mount_path, &call.path);
    let request = RequestEntry {
        id: &id,
        operation: operation(call.verb),
        mount_point,
        mount_type,
        path: &call.path,
        data: &data,
        caller: &caller,
        token: call.token.as_ref().map(Token::expose),
        remote,
        wrap_ttl: call.wrap_ttl,
        error: sentence.as_deref(),
    };
    let mut announced = None;
    let recorded = match call.verb {
        // Nothing is burned while it is known that no durable device will acknowledge.
        Verb::Update if refused.is_none() && discloses(&route, &bearer) => open.audit.disclosing_request(request).await,
        // Nothing changes by it, and it would go on in any case: its answer waits.
        Verb::Read | Verb::List | Verb::Help if !route.reads_everything() => {
            announced = Some(open.audit.announce(request).await);
            Ok(())
        }
        _ => open.audit.request(request).await,
    };
    if let Some(refusal) = told(open, &route, call.verb, recorded, &id) {
        return refusal.into();
    }
    let acted = match refused {
        Some(refusal) => Err(refusal),
        None => {
            let visit = Visit {
                host,
                open,
                id: &id,
                verb: call.verb,
                path: &call.path,
                token: call.token.as_ref(),
                bearer: &bearer,
                caller: &caller,
                wrap_ttl: call.wrap_ttl,
                text_metrics: call.text_metrics,
                remote,
            };
            dispatch::act(&visit, &route, data.clone()).await
        }
    };
    let acted = acted.unwrap_or_else(|refusal| Answer::Refused(refusal).into());
    let answer = conclusion::conclude(open, &route, &call, request, acted).await;
    // Its line came before the answer's to every device: this waits no longer.
    if let Some(announced) = announced
        && let Some(refusal) = told(open, &route, call.verb, announced.recorded().await, &id)
    {
        return refusal.into();
    }
    answer
}

/// Seals, which is a request of its own kind: it has no answer that could be recorded.
pub(super) async fn seal(host: &Host, call: Call) -> Result<Answer, Refusal> {
    let Some(open) = host.unsealed() else { return Ok(Answer::Empty { status: 204 }) };
    let bearer = open.bearer(call.token.as_ref(), Need::Administer).await?;
    let caller = bearer.caller();
    let remote = call.remote.map(|address| canonical(address.ip()));
    let refused = admit(&open, Need::Administer, &bearer, &caller, remote).await.err();
    let request = RequestEntry {
        id: &ident::uuid(&*host.random),
        operation: Operation::Update,
        mount_point: "sys/",
        mount_type: "system",
        path: &call.path,
        data: &call.body,
        caller: &caller,
        token: call.token.as_ref().map(Token::expose),
        remote,
        wrap_ttl: None,
        error: refused.as_ref().map(Refusal::sentence),
    };
    if let Err(error) = open.audit.request(request).await {
        open.metrics.audit_failed(AuditStage::Request);
        tracing::error!(?error, "audit failed; not sealed");
        return Err(Refusal::new(500, "failed to audit request, cannot continue"));
    }
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    drop(open);
    host.close_seal().await?;
    Ok(Answer::Empty { status: 204 })
}

impl Unsealed {
    /// Looks the token of a request up, first among tokens, then among wrapping tokens; in one read where it is likely to be one of
    /// those.
    async fn bearer(&self, token: Option<&Token>, need: Need) -> Result<Bearer> {
        let Some(token) = token else { return Ok(Bearer::None) };
        if need == Need::Wrapping && token.may_exist() {
            let lookup = self.tokens.lookup(token);
            let (found, waiting) = self.wrappings.find_beside(token, lookup.get()).await?;
            return Ok(match self.tokens.found(lookup, found)? {
                Some(held) => Bearer::Held(held),
                None => waiting.map_or(Bearer::Unknown, Bearer::Wrapping),
            });
        }
        if let Some(held) = self.tokens.find(token).await? {
            return Ok(Bearer::Held(held));
        }
        Ok(self.wrappings.find(token).await?.map_or(Bearer::Unknown, Bearer::Wrapping))
    }
}

/// Demands what a path needs. A wrapping token that is sent to any path but its own is used up by that: a tamper evidence.
async fn admit(
    open: &Unsealed,
    need: Need,
    bearer: &Bearer,
    caller: &Caller,
    remote: Option<IpAddr>,
) -> Result<(), Refusal> {
    match (need, bearer) {
        (Need::Nothing | Need::Wrapping, _) | (Need::Optional, Bearer::None | Bearer::Ignored) => Ok(()),
        (_, Bearer::Wrapping(waiting)) => {
            open.wrappings.burn(waiting).await?;
            Err(Refusal::no_token())
        }
        (_, Bearer::None | Bearer::Ignored | Bearer::Unknown) => Err(Refusal::no_token()),
        (Need::Optional | Need::Token, Bearer::Held(_)) => Ok(()),
        (Need::Administer, Bearer::Held(_)) => administers(open, caller, remote).await,
    }
}

/// Whether carrying the request out gives out a code. Of a wrapping token in a body that is not known before it is used.
fn discloses(route: &Route<'_>, bearer: &Bearer) -> bool {
    let unwraps = matches!(bearer, Bearer::Wrapping(waiting) if waiting.holds_code());
    route.discloses().is_some() || (unwraps && route.may_disclose())
}

/// What becomes of a request, now that audit has recorded it or could not.
fn told(open: &Unsealed, route: &Route<'_>, verb: Verb, recorded: Result<()>, id: &str) -> Option<Refusal> {
    let error = recorded.err()?;
    open.metrics.audit_failed(AuditStage::Request);
    unrecorded(route, verb, error, id)
}

/// What becomes of a request that audit could not record: `None` lets it go on.
pub(super) fn unrecorded(route: &Route<'_>, verb: Verb, error: Error, id: &str) -> Option<Refusal> {
    tracing::error!(request_id = id, ?error, "audit failed");
    match verb {
        Verb::Update if route.may_disclose() => Some(no_audit(error)),
        Verb::Update | Verb::Delete => Some(Error::internal(error).into()),
        Verb::Read if route.reads_everything() => Some(Error::internal(error).into()),
        _ => None,
    }
}

/// 503: no code without a durable record of it.
pub(super) fn no_audit(error: Error) -> Refusal {
    match error.kind() {
        Kind::Unavailable => error.into(),
        _ => Error::unavailable("no audit device took the request, so no code is given out").with_source(error).into(),
    }
}
