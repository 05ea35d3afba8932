//! `sys/wrapping/…`.

use serde_json::{Map, Value, json};

use super::Waiting;
use super::record::Content;
use crate::domain::fields::Fields;
use crate::engine::unwrap::Unwrap;
use crate::error::{Error, Kind};
use crate::host::answer::{Data, Envelope, Refusal};
use crate::host::call::Token;
use crate::host::dispatch;
use crate::host::visit::{Acted, Bearer, Visit};

/// `wrap`: the fields are the answer; the pipeline wraps it like any other.
pub(in crate::host) fn wrap(visit: &Visit<'_>, fields: Map<String, Value>) -> Result<Acted, Refusal> {
    if visit.wrap_ttl.is_none() {
        return Err(Refusal::new(400, "endpoint requires response wrapping to be used"));
    }
    Ok(Envelope::data(fields).into())
}

/// `unwrap`: with the wrapping token in the body and a token of one's own, or with the wrapping token alone.
pub(in crate::host) async fn unwrap(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let named = named(&mut fields)?;
    let same = |sent: &Token| named.as_ref().is_none_or(|named| named.expose() == sent.expose());
    match (visit.bearer, visit.token, &named) {
        (Bearer::Wrapping(waiting), Some(sent), _) if same(sent) => take(visit, sent, waiting).await,
        (Bearer::Wrapping(waiting), ..) => {
            visit.open.wrappings.burn(waiting).await?;
            Err(Refusal::no_token())
        }
        (Bearer::Held(_), _, Some(named)) => match visit.open.wrappings.find(named).await? {
            Some(waiting) => take(visit, named, &waiting).await,
            None => Err(invalid()),
        },
        (Bearer::Unknown, Some(sent), _) if same(sent) => Err(invalid()),
        (Bearer::Held(_), _, None) => Err(invalid()),
        (_, None, None) => Err(Refusal::new(403, "error validating wrapping token: token is empty")),
        _ => Err(Refusal::no_token()),
    }
}

/// `lookup`: needs no token but the wrapping one, in the body or as the header.
pub(in crate::host) async fn lookup(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let told = match (named(&mut fields)?, visit.bearer) {
        (Some(named), _) => visit.open.wrappings.find(&named).await?.map(|waiting| describe(&waiting)),
        (None, Bearer::Wrapping(waiting)) => Some(describe(waiting)),
        (None, _) => None,
    };
    told.map(|data| Acted::data(data, &fields)).ok_or_else(invalid)
}

/// `rewrap`: a new token for the same answer, of the same path and time; the old one is used up. The token comes as it does to
/// `unwrap`.
pub(in crate::host) async fn rewrap(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let named = named(&mut fields)?;
    let found;
    let (token, waiting) = match (visit.bearer, visit.token, &named) {
        (Bearer::Wrapping(waiting), Some(sent), named)
            if named.as_ref().is_none_or(|named| named.expose() == sent.expose()) =>
        {
            (sent, waiting)
        }
        (Bearer::Wrapping(waiting), ..) => {
            visit.open.wrappings.burn(waiting).await?;
            return Err(Refusal::no_token());
        }
        (Bearer::Held(_), _, Some(named)) => {
            found = visit.open.wrappings.find(named).await?.ok_or_else(invalid)?;
            (named, &found)
        }
        (Bearer::Held(_), _, None) => return Err(invalid()),
        _ => return Err(Refusal::no_token()),
    };
    let Content::Answer(sealed) = &waiting.record.content else {
        let what = "a wrapped code waits in its slot and cannot be wrapped again; unwrap it";
        return Err(Refusal::new(400, what));
    };
    let draft = visit.open.wrappings.rewrap(token, waiting, sealed).await?.ok_or_else(invalid)?;
    Ok(Envelope::wrapped(draft.into_info(None)).into())
}

async fn take(visit: &Visit<'_>, token: &Token, waiting: &Waiting) -> Result<Acted, Refusal> {
    match &waiting.record.content {
        Content::Answer(sealed) => {
            // It may have been opened after the state that came back.
            visit.open.engine.unbarred().await?;
            if !visit.open.wrappings.burn(waiting).await? {
                return Err(invalid());
            }
            let tail = visit.open.wrappings.open(token, waiting, sealed)?;
            Ok(Envelope::around(Data::Unwrapped(tail)).into())
        }
        Content::Slot { .. } if visit.wrap_ttl.is_some() => {
            Err(Refusal::new(400, "a wrapped code cannot be wrapped again; unwrap it without X-Vault-Wrap-TTL"))
        }
        Content::Slot { account } => {
            if !visit.open.audit.is_durable() {
                return Err(Error::unavailable(
                    "no durable audit device works, so nothing is unwrapped and the wrapping token stays good",
                )
                .into());
            }
            let unwrap = Unwrap {
                account: account.clone(),
                token_hash: waiting.hash,
                record: Some(waiting.deletion()),
                request_id: visit.id.to_owned(),
                remote: visit.remote.map(|address| address.to_string()),
            };
            let response = visit.open.engine.unwrap(unwrap).await;
            // The slot has forgotten the token: the record is only in the way from here on. An unwrap that came about took it away.
            if let Err(error) = &response
                && matches!(error.kind(), Kind::Invalid | Kind::NotFound)
                && let Err(error) = visit.open.wrappings.burn(waiting).await
            {
                tracing::warn!(request_id = visit.id, ?error, "a used wrapping stays until it is tidied away");
            }
            dispatch::acted(response.map_err(|error: Error| Refusal::of(error, visit.caller))?, None)
        }
    }
}

fn named(fields: &mut Fields) -> Result<Option<Token>, Refusal> {
    Ok(fields.exact_string("token")?.value().filter(|token| !token.is_empty()).map(Token::new))
}

fn invalid() -> Refusal {
    Refusal::new(400, "wrapping token is not valid or does not exist")
}

fn describe(waiting: &Waiting) -> Map<String, Value> {
    Map::from_iter([
        ("creation_path".to_owned(), json!(waiting.record.creation_path)),
        ("creation_time".to_owned(), json!(waiting.record.created_at.to_string())),
        ("creation_ttl".to_owned(), json!(waiting.record.ttl.as_secs())),
    ])
}
