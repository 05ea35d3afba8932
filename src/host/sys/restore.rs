//! `sys/restore…`: what is known of a store that was put back, and its acceptance by an operator.

use serde_json::{Map, Value, json};

use super::super::Unsealed;
use super::super::anchors::unknown::Wanted;
use super::super::anchors::{Accepted, Anchors, Lost};
use super::super::answer::Refusal;
use super::super::visit::{Acted, Visit};
use crate::domain::fields::Fields;
use crate::domain::name::AccountName;
use crate::domain::time::Timestamp;
use crate::engine::ask::text;
use crate::engine::restore::Quarantine;
use crate::engine::restore::compare::Sighting;
use crate::error::{Error, Result};

/// Names in an answer; of more only the number is told.
const SHOWN: usize = 1000;
/// Acts in one request.
const MOST: usize = 1000;
/// Longest reason, in bytes.
const REASON: usize = 1024;

/// `sys/restore`: whether a restore waits to be accepted, and how far the store is.
pub(in super::super) async fn status(visit: &Visit<'_>, fields: &Fields) -> Result<Acted, Refusal> {
    let state = visit.open.engine.restore_state().await?;
    let told = visit.open.anchors.as_ref().map(|anchors| anchors.told()).unwrap_or_default();
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("quarantine", json!(state.restore.quarantine.is_some()));
    if let Some(quarantine) = &state.restore.quarantine {
        put("since", json!(quarantine.since.to_string()));
        put("node", json!(quarantine.node));
        put("why", json!(quarantine.why));
        put("backup_of", json!(quarantine.backup_of.map(|at| at.to_string())));
    }
    put("epoch", json!(state.number()));
    put("epoch_at", json!(state.epoch.as_ref().map(|(epoch, _)| epoch.at.to_string())));
    put("accepted_at", json!(state.restore.accepted_at.map(|at| at.to_string())));
    put("accepted_reason", json!(state.restore.reason));
    put("anchors", json!(visit.open.anchors.as_ref().is_some_and(|anchors| anchors.is_on())));
    put("anchored_epoch", json!(told.epoch));
    put("anchored_at", json!(told.at));
    put("anchor_failures", json!(told.failures));
    Ok(Acted::data(data, fields))
}

/// `sys/restore/accept`: holds what went back, ends what was opened or revoked since, and lets codes leave again.
pub(in super::super) async fn accept(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let reason = reason(&mut fields)?;
    let wanted = wanted(&mut fields)?;
    let (anchors, by) = (anchors(visit.open)?, visit.by());
    let wanted = match (wanted, visit.open.engine.restore_state().await?.restore.quarantine) {
        (Some(wanted), _) => wanted,
        (None, Some(Quarantine { backup_of: Some(of), .. })) => return Err(undecided(of).into()),
        (None, _) => Wanted::Known,
    };
    let mut held = anchors.hold_lost(&by, &reason).await?;
    let mut first = Vec::new();
    if wanted == Wanted::All {
        (held.unknown, first) = anchors.hold_all(&by, &reason, SHOWN).await?;
    }
    // A wrapping may have been opened and a token revoked after the state that came back.
    let wrappings = visit.open.wrappings.end_all().await?;
    let tokens = visit.open.tokens.end_others(&visit.held()?.hash).await?;
    let Accepted { epoch, lost, compared, unknown, note } = anchors.go_on(held, &by, &reason).await?;
    let mut data = told(&lost);
    data.insert("hold".to_owned(), json!(wanted.word()));
    data.insert("unknown".to_owned(), json!(first.iter().map(shown).collect::<Vec<Value>>()));
    data.insert("unknown_total".to_owned(), json!(unknown));
    data.insert("epoch".to_owned(), json!(epoch));
    data.insert("compared".to_owned(), json!(compared));
    data.insert("tokens_ended".to_owned(), json!(tokens));
    data.insert("wrappings_ended".to_owned(), json!(wrappings));
    Ok(Acted { note, ..Acted::data(data, &fields) })
}

/// `sys/restore/hold`: holds every account with a live set among the next some hundred, so that who accepts need not wait in silence.
pub(in super::super) async fn hold(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let reason = reason(&mut fields)?;
    let after = text(&mut fields, "after", AccountName::MAX)?.unwrap_or_default();
    if visit.open.engine.restore_state().await?.restore.quarantine.is_none() {
        return Err(Error::invalid("restore: no restore waits to be accepted; nothing was changed").into());
    }
    let (held, next) = anchors(visit.open)?.hold_piece(&after, &visit.by(), &reason).await?;
    let mut data = Map::new();
    data.insert("unknown".to_owned(), json!(held.iter().map(shown).collect::<Vec<Value>>()));
    data.insert("next".to_owned(), json!(next));
    Ok(Acted::data(data, &fields))
}

/// `sys/restore/evidence`: holds what the store lost of the acts that are named, from the files of other nodes.
pub(in super::super) async fn evidence(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let reason = reason(&mut fields)?;
    if let Some(text) = fields.exact_string("anchor")?.value() {
        let heads = anchors(visit.open)?.acts_of(text.as_bytes())?;
        let lost = anchors(visit.open)?.hold(&heads, &visit.by(), &reason).await?;
        let mut data = told(&lost);
        data.insert("compared".to_owned(), json!(heads.len()));
        return Ok(Acted::data(data, &fields));
    }
    let named = match fields.take("heads").value() {
        Some(Value::Array(list)) if list.len() <= MOST => list,
        _ => return Err(Error::field("heads", format_args!("a list of at most {MOST} acts")).into()),
    };
    let sightings = named.iter().map(sighting).collect::<Option<Vec<Sighting>>>().ok_or_else(|| {
        Error::field("heads", "each an object of account (absent for the configuration), seq, head, at, and generation")
    })?;
    let lost = anchors(visit.open)?.hold(&sightings, &visit.by(), &reason).await?;
    let mut data = told(&lost);
    data.insert("compared".to_owned(), json!(sightings.len()));
    Ok(Acted::data(data, &fields))
}

fn anchors(open: &Unsealed) -> Result<&Anchors> {
    open.anchors.as_deref().ok_or_else(|| {
        Error::invalid(
            "restore: this server keeps no anchors, so it cannot tell; declare anchor \"file\" in its configuration",
        )
    })
}

fn wanted(fields: &mut Fields) -> Result<Option<Wanted>> {
    Ok(match text(fields, "hold", 8)?.as_deref() {
        None => None,
        Some("known") => Some(Wanted::Known),
        Some("all") => Some(Wanted::All),
        Some(_) => return Err(Error::field("hold", "known or all")),
    })
}

fn undecided(backup_of: Timestamp) -> Error {
    Error::field(
        "hold",
        format_args!(
            "known or all: this store was restored from a backup of {backup_of}. What was acknowledged after that is known only \
             where the audit files of every node are, from then to the end. If they are compared here (this node's are; send those \
             of others as evidence), known holds the accounts that they name; else all holds every account with a live set"
        ),
    )
}

fn reason(fields: &mut Fields) -> Result<String> {
    text(fields, "reason", REASON)?
        .ok_or_else(|| Error::field("reason", "say why; it stays in the histories of all accounts that are held"))
}

fn told(lost: &[Lost]) -> Map<String, Value> {
    let back = lost.iter().filter(|lost| !lost.missing);
    let (back, configuration): (Vec<&Lost>, Vec<&Lost>) = back.partition(|lost| lost.account.is_some());
    let missing: Vec<&Lost> = lost.iter().filter(|lost| lost.missing).collect();
    let shown: Vec<Value> = back.iter().take(SHOWN).map(|lost| shown(lost)).collect();
    let names: Vec<&Option<String>> = missing.iter().take(SHOWN).map(|lost| &lost.account).collect();
    let mut data = Map::new();
    data.insert("accounts".to_owned(), json!(shown));
    data.insert("accounts_total".to_owned(), json!(back.len()));
    data.insert("missing".to_owned(), json!(names));
    data.insert("missing_total".to_owned(), json!(missing.len()));
    let configuration = configuration.first().map(|lost| json!({"seq": lost.seq, "known_seq": lost.known_seq}));
    data.insert("configuration".to_owned(), json!(configuration));
    data
}

fn shown(lost: &Lost) -> Value {
    json!({"account": lost.account, "seq": lost.seq, "known_seq": lost.known_seq, "held": lost.held})
}

fn sighting(value: &Value) -> Option<Sighting> {
    let mut head = [0; 32];
    hex::decode_to_slice(value.get("head")?.as_str()?, &mut head).ok()?;
    let account = match value.get("account") {
        None | Some(Value::Null) => None,
        Some(name) => Some(AccountName::parse(name.as_str()?).ok()?.as_str().to_owned()),
    };
    let generation = match value.get("generation") {
        None | Some(Value::Null) => None,
        Some(number) => Some(u32::try_from(number.as_u64()?).ok()?),
    };
    let at = Timestamp::parse(value.get("at")?.as_str()?)?;
    Some(Sighting { account, seq: value.get("seq")?.as_u64()?, head, generation, at })
}
