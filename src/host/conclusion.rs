//! The end of a request: its answer is wrapped where that was asked for, recorded, and only then complete.

use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::{Answer, Envelope, Refusal};
use super::call::Call;
use super::metrics::AuditStage;
use super::pipeline::{no_audit, unrecorded};
use super::route::Route;
use super::visit::Acted;
use super::wrapping::Draft;
use super::{Unsealed, envelope};
use crate::audit::{AuthInfo, RequestEntry, ResponseEntry, VoidEntry, WrapInfo};
use crate::error::{Error, Result};

/// Wraps, records and completes an answer. A code comes into it against the receipt of audit; without one it is lost.
pub(super) async fn conclude(
    open: &Unsealed,
    route: &Route<'_>,
    call: &Call,
    request: RequestEntry<'_>,
    acted: Acted,
) -> Answer {
    let Acted { mut answer, note, disclosure } = acted;
    // Before audit has the line: the anchor that does not have this act names a place in the file before it.
    if let Some(anchors) = &open.anchors {
        anchors.note(&note);
    }
    let mut original = None;
    // Codes come into an answer against the receipt only, so it is wrapped after that.
    let late = call.wrap_ttl.filter(|_| disclosure.is_some()).map(|ttl| open.wrappings.draft(&call.path, ttl));
    if let (Some(ttl), None) = (call.wrap_ttl, &late) {
        match put_away(open, call, ttl, answer).await {
            Ok((kept, before)) => (answer, original) = (kept, before),
            Err(error) => answer = Refusal::from(error).into(),
        }
    }
    log(&answer, request.id);
    let told = original.as_ref().or(match &answer {
        Answer::Logical(envelope) => Some(envelope),
        _ => None,
    });
    let entry = ResponseEntry {
        request,
        status: answer.status(),
        error: answer.refusal(),
        data: told.and_then(|envelope| envelope.fields()),
        list: told.and_then(|envelope| envelope.list()),
        warnings: told.map_or(0, |envelope| envelope.warnings.len()),
        auth: told.and_then(|envelope| envelope.auth.as_ref()).map(|auth| AuthInfo {
            client_token: auth.client_token.expose(),
            accessor: &auth.accessor,
            role: auth.told("role"),
            subject: auth.told("subject"),
            ttl: Duration::from_secs(auth.lease_duration),
        }),
        wrap_info: match (&answer, &late) {
            (_, Some(draft)) => Some(draft.announced()),
            (Answer::Logical(envelope), None) => envelope.wrap_info.as_ref().map(|info| WrapInfo {
                token: info.token.expose(),
                accessor: &info.accessor,
                ttl: Duration::from_secs(info.ttl),
                creation_path: &info.creation_path,
            }),
            _ => None,
        },
        note: &note,
    };
    match disclosure {
        Some(sealed) => match open.audit.disclosure(entry).await {
            Ok(receipt) => {
                open.metrics.disclosed();
                let (field, codes) = sealed.open(receipt);
                if let Answer::Logical(envelope) = &mut answer {
                    envelope.disclose(field, codes);
                }
                if let Some(draft) = late {
                    answer = match keep(open, draft, answer).await {
                        Ok(kept) => kept,
                        Err(error) => {
                            take_back(open, request, &note, "the answer could not be put away for its wrapping token")
                                .await;
                            Refusal::from(error).into()
                        }
                    };
                    log(&answer, request.id);
                }
            }
            Err(error) => {
                open.metrics.audit_failed(AuditStage::Disclosure);
                tracing::error!(request_id = request.id, ?error, "audit failed; a code was not given out");
                // Some device may have it all the same.
                take_back(open, request, &note, "no durable audit device acknowledged the disclosure").await;
                return no_audit(error).into();
            }
        },
        None => {
            let recorded = open.audit.response(entry).await;
            if recorded.is_err() {
                open.metrics.audit_failed(AuditStage::Response);
            }
            if let Err(error) = recorded
                && let Some(refusal) = unrecorded(route, call.verb, error, request.id)
            {
                return refusal.into();
            }
        }
    }
    if let Answer::Logical(envelope) = &mut answer
        && envelope.wrap_info.is_none()
    {
        envelope.request_id = request.id.to_owned();
    }
    answer
}

/// Puts an answer that carries something away for a wrapping token. Returns what is sent instead, and what was put away.
async fn put_away(
    open: &Unsealed,
    call: &Call,
    ttl: Duration,
    answer: Answer,
) -> Result<(Answer, Option<Box<Envelope>>)> {
    match answer {
        Answer::Logical(envelope) if envelope.carries_something() => {
            let draft = open.wrappings.draft(&call.path, ttl);
            open.wrappings.keep(&draft, &envelope::tail(&envelope)).await?;
            let accessor = envelope.auth.as_ref().map(|auth| auth.accessor.clone());
            let info = Envelope::wrapped(draft.into_info(accessor));
            Ok((Answer::Logical(Box::new(info)), Some(envelope)))
        }
        other => Ok((other, None)),
    }
}

/// Puts an answer with opened codes away for the token of `draft`. If that fails the codes are lost, never shown bare.
async fn keep(open: &Unsealed, draft: Draft, answer: Answer) -> Result<Answer> {
    let Answer::Logical(envelope) = answer else { return Err(Error::internal("codes without an envelope")) };
    open.wrappings.keep(&draft, &envelope::tail(&envelope)).await?;
    Ok(Answer::Logical(Box::new(Envelope::wrapped(draft.into_info(None)))))
}

/// Says to audit that a disclosure line announced what did not come about.
async fn take_back(open: &Unsealed, request: RequestEntry<'_>, note: &Map<String, Value>, reason: &str) {
    if let Err(error) = open.audit.void(VoidEntry { request, reason, note }).await {
        tracing::warn!(request_id = request.id, ?error, "a disclosure line that came to nothing was not taken back");
    }
}

/// Tells the operator of failures that the caller cannot mend.
fn log(answer: &Answer, id: &str) {
    if let Answer::Refused(Refusal { status: 500.., cause: Some(cause), .. }) = answer {
        tracing::error!(request_id = id, error = ?cause, "request failed");
    }
}
