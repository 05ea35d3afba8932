//! `sys/key-status` and `sys/rotate`: the key of the barrier. What is sealed under an older one still opens; each value comes
//! under the newest one when it is written again.

use std::time::Duration;

use serde_json::{Map, json};

use super::super::Host;
use super::super::answer::Refusal;
use super::super::visit::{Acted, Visit};
use crate::domain::fields::Fields;
use crate::engine::config_ledger::Said;
use crate::error::{Error, Result};

impl Host {
    /// Goes on with a re-wrapping that somebody began, for a while. Without it each call to `config/keys/rewrap` goes on.
    pub async fn rewrap(&self, patience: Duration) -> Result<()> {
        let Some(open) = self.unsealed() else { return Ok(()) };
        let work = || open.engine.look_after(patience, || !self.is_sealed());
        if self.info.node.is_none() || !open.engine.rewrap_is_due().await? {
            return work().await;
        }
        // One node for all of them; how far it has come stands in a record of its own.
        let Some(turn) = open.engine.take_turn("rewrap").await? else { return Ok(()) };
        let done = work().await;
        open.engine.end_turn(turn, Vec::new()).await?;
        done
    }
}

/// `sys/key-status`: the barrier's key and how often it was used since it was put to use.
pub(in super::super) async fn status(visit: &Visit<'_>, fields: &Fields) -> Result<Acted, Refusal> {
    let keyring = visit.open.engine.keyring().await?;
    let key = keyring.barrier_key();
    let mut data = Map::new();
    data.insert("encryptions".to_owned(), json!(visit.host.barrier.uses()));
    data.insert("install_time".to_owned(), json!(key.map(|key| key.created_at.to_string())));
    data.insert("term".to_owned(), json!(key.map(|key| key.generation)));
    Ok(Acted::data(data, fields))
}

/// `sys/rotate`, `sys/rotate/keyring`: a new key seals from here on.
pub(in super::super) async fn rotate(visit: &Visit<'_>) -> Result<Acted, Refusal> {
    let now = visit.host.clock.now();
    let by = visit.by();
    let changed = visit.open.engine.change_keyring(&by, |keyring| {
        let before = keyring.barrier_key().map(|key| key.generation);
        let after = keyring.add_barrier_key(now, &*visit.host.random).map_err(Error::internal)?;
        let detail = json!({"path": "sys/rotate", "before": {"term": before}, "after": {"term": after}});
        Ok(Some((Said { act: "rotate", detail }, ())))
    });
    let Some(changed) = changed.await? else { return Err(Error::internal("a rotation that changes nothing").into()) };
    visit.host.barrier.rotate(changed.keyring.barrier_keys());
    Ok(Acted { note: changed.note, ..Acted::nothing() })
}
