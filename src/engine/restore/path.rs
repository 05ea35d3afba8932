//! `config/restore`: what the store says of itself, and its acceptance where the engine has no host of its own that accepts it: in a
//! vault that mounts it.

use serde_json::{Map, Value, json};

use super::{AHEAD, TRIES};
use crate::domain::fields::Fields;
use crate::domain::name::AccountName;
use crate::engine::ask::text;
use crate::engine::config_ledger::By;
use crate::engine::request::{Face, Response};
use crate::engine::{Call, Engine};
use crate::error::{Error, Result};

/// Longest reason, in bytes.
const REASON: usize = 1024;
/// Names in one request, and in an answer; of more only the number is told.
const MOST: usize = 1000;
/// Accounts that are listed at once.
const PIECE: usize = 256;

/// Reads it.
pub async fn read(engine: &Engine, _call: Call) -> Result<Response> {
    let state = engine.restore_state().await?;
    let watched = engine.guard().is_watched();
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    let quarantine = state.restore.quarantine.as_ref();
    put("quarantine", json!(quarantine.is_some()));
    put("since", json!(quarantine.map(|quarantine| quarantine.since.to_string())));
    put("node", json!(quarantine.map(|quarantine| quarantine.node.clone())));
    put("why", json!(quarantine.map(|quarantine| quarantine.why.clone())));
    put("epoch", json!(state.number()));
    put("accepted_at", json!(state.restore.accepted_at.map(|at| at.to_string())));
    put("accepted_reason", json!(state.restore.reason));
    put("anchors", json!(watched));
    let mut response = Response::data(data);
    if !watched {
        response.warnings.push(
            "no anchor is kept outside this storage: one that is put back to an earlier state goes unnoticed"
                .to_owned(),
        );
    }
    Ok(response)
}

/// Accepts it: holds the accounts that are named, or every one with a live set, and lets codes leave again.
pub async fn accept(engine: &Engine, call: Call) -> Result<Response> {
    let mut fields = Fields::new(call.request.data.clone());
    let reason = text(&mut fields, "reason", REASON)?
        .ok_or_else(|| Error::field("reason", "say why; it stays in the histories of all accounts that are held"))?;
    let all = match text(&mut fields, "hold", 8)?.as_deref() {
        Some("all") => true,
        Some("known") => false,
        _ => {
            return Err(Error::field(
                "hold",
                "known: the accounts in `accounts`, all that were acted on since the state that came back, as the vault's audit \
                 log has them; all: every account with a live set, if nobody can say",
            ));
        }
    };
    let names = fields.list("accounts")?.value().unwrap_or_default();
    if names.len() > MOST {
        return Err(Error::field(
            "accounts",
            format_args!("at most {MOST} at once: send the others before with hold=known"),
        ));
    }
    let names = names.iter().map(|name| AccountName::parse(name)).collect::<Result<Vec<_>, _>>()?;
    fields.refuse_unknown()?;
    if engine.restore_state().await?.restore.quarantine.is_none() {
        let data = Map::from_iter([("quarantine".to_owned(), json!(false)), ("accepted".to_owned(), json!(false))]);
        let mut response = Response::data(data);
        response.warnings.push("no restore waits to be accepted: nothing was changed".to_owned());
        return Ok(response);
    }
    if call.request.face == Face::Http {
        return Err(Error::invalid(
            "restore: a server accepts it by `sparekey restore accept`, which also compares its audit files and ends tokens",
        ));
    }
    let by = By::request(&call.request);
    let (mut held, mut missing) = (Held::default(), Vec::new());
    for name in &names {
        match engine.hold_unknown(name, &by, &reason).await? {
            Some(one) => held.take(one.account),
            None if !engine.knows(name).await? => missing.push(name.as_str().to_owned()),
            None => {}
        }
    }
    let mut after = all.then(String::new);
    while let Some(name) = after {
        let piece = engine.accounts_after(&name, PIECE).await?;
        for name in &piece.names {
            if let Some(one) = engine.hold_unknown(name, &by, &reason).await? {
                held.take(one.account);
            }
        }
        after = piece.next;
    }
    go_on(engine, &by, &reason, Accepted { all, held, missing }).await
}

/// What was held.
struct Accepted {
    all: bool,
    held: Held,
    missing: Vec<String>,
}

#[derive(Default)]
struct Held {
    total: u64,
    first: Vec<String>,
}

impl Held {
    fn take(&mut self, name: String) {
        self.total += 1;
        if self.first.len() < MOST {
            self.first.push(name);
        }
    }
}

async fn go_on(engine: &Engine, by: &By, reason: &str, accepted: Accepted) -> Result<Response> {
    let Accepted { all, held, missing } = accepted;
    let signing = engine.keyring().await?.signing().map_err(Error::internal)?;
    let hold = if all { "all" } else { "known" };
    let found = json!({"hold": hold, "held": held.total, "missing": missing.len()});
    for _ in 0..TRIES {
        let state = engine.restore_state().await?;
        if state.restore.quarantine.is_none() {
            return Err(Error::invalid("restore: somebody else accepted it meanwhile"));
        }
        let seen = engine.guard().known().max(state.number()) + AHEAD;
        let epoch = engine.epoch_after_restore(&state, seen, "the vault's", &signing).await?;
        if let Some(note) = engine.accept_restore(&state, &epoch, by, reason, &found).await? {
            engine.guard().begin_anew(epoch.number);
            let data = json!({
                "quarantine": false, "accepted": true, "hold": hold, "held": held.first, "held_total": held.total,
                "missing": missing, "epoch": epoch.number,
            });
            let data = data.as_object().cloned().unwrap_or_default();
            return Ok(Response { note, ..Response::data(data) });
        }
    }
    Err(Error::unavailable("the store's restore record keeps changing; try again"))
}
