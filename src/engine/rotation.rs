//! `config/keys` and `config/keys/rotate`: the generations of the key that wraps the keys of sets, and a new one.

use serde_json::{Map, Value, json};

use crate::crypto::keyring::KeyState;
use crate::domain::fields::Fields;
use crate::engine::config_ledger::{By, Said};
use crate::engine::request::Response;
use crate::engine::{Call, Engine};
use crate::error::{Error, Result};

/// From so many wraps on a new generation is advised: NIST SP 800-38D section 8.3 allows 2^32 under one key with random nonces.
/// Each account has a key of its own below a generation, so this is far on the safe side.
const ADVISED: u64 = 1 << 31;
/// Most generations that are not erased yet.
const MOST: usize = 64;

/// `config/keys`.
pub async fn read(engine: &Engine, _call: Call) -> Result<Response> {
    let keyring = engine.keyring().await?;
    let wraps = engine.wraps().await?;
    let counted = |generation: u32| wraps.get(&generation).copied().unwrap_or(0);
    let generations: Vec<Value> = keyring
        .keks()
        .map(|kek| {
            let mut generation = json!({
                "generation": kek.generation,
                "created_at": kek.created_at.to_string(),
                "wraps": counted(kek.generation),
                "state": word(kek.state),
            });
            if let KeyState::Retired { at } = kek.state {
                generation["retired_at"] = json!(at.to_string());
            }
            generation
        })
        .collect();
    let active = keyring.active_kek().map_err(Error::internal)?;
    let mut data = Map::new();
    data.insert("generations".to_owned(), json!(generations));
    data.insert("active".to_owned(), json!(active));
    let mut response = Response::data(data);
    if counted(active) >= ADVISED {
        response.warnings.push("the active generation has wrapped very often: rotate it".to_owned());
    }
    Ok(response)
}

/// `config/keys/rotate`: what is stored from here on is wrapped by a new generation; the former one only unwraps.
pub async fn rotate(engine: &Engine, call: Call) -> Result<Response> {
    Fields::new(call.request.data.clone()).refuse_unknown()?;
    let now = engine.clock.now();
    let by = By::request(&call.request);
    let changed = engine.change_keyring(&by, |keyring| {
        if keyring.keks().count() >= MOST {
            return Err(Error::invalid(
                "too-many-generations: 64 are in use; run config/keys/rewrap to its end, which retires the older ones",
            ));
        }
        let before = keyring.active_kek().map_err(Error::internal)?;
        let after = keyring.add_kek(now, &*engine.random).map_err(Error::internal)?;
        let detail = json!({"path": "config/keys", "before": {"active": before}, "after": {"active": after}});
        Ok(Some((Said { act: "rotate", detail }, after)))
    });
    let Some(changed) = changed.await? else { return Err(Error::internal("a rotation that changes nothing")) };
    engine.tally_wraps().await;
    let data = Map::from_iter([("active".to_owned(), json!(changed.told))]);
    Ok(Response { note: changed.note, ..Response::data(data) })
}

const fn word(state: KeyState) -> &'static str {
    match state {
        KeyState::Active => "active",
        KeyState::DecryptOnly => "decrypt-only",
        KeyState::Retired { .. } => "retired",
    }
}
