//! When somebody last decided that a profile's accounts may have their fallback: a review moves the profile's `review_by`, and the
//! configuration's own history tells when that was and who did it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::profile::Profile;
use crate::domain::time::Timestamp;
use crate::engine::cache::storage_failed;
use crate::engine::history::read_segments;
use crate::engine::{Engine, config_ledger, keys};
use crate::error::{Error, Result};
use crate::ledger::chain::{Link, RECENT};
use crate::storage::Get;

/// How far back the configuration's history is read, in archived pieces.
const MOST_SEGMENTS: usize = 32;
/// Pieces read at once.
const BATCH: usize = 8;

/// The latest review of each profile: when and by whom.
pub type Reviews = BTreeMap<String, (Timestamp, String)>;

/// Finds the latest review of every profile, as far back as is looked.
pub async fn latest(engine: &Engine) -> Result<Reviews> {
    let found = engine.storage.get_many(vec![Get::new(keys::CONFIG_LEDGER)]).await.map_err(storage_failed)?;
    let (ledger, _) = config_ledger::read(found.into_iter().next())?;
    let mut reviews = Reviews::new();
    note(&ledger.recent, &mut reviews)?;
    let starts: Vec<u64> = (1..ledger.first()).step_by(RECENT).collect();
    let looked_at = &starts[starts.len().saturating_sub(MOST_SEGMENTS)..];
    for batch in looked_at.rchunks(BATCH) {
        for links in read_segments(engine, "config", batch).await?.into_iter().rev().flatten() {
            note(&links, &mut reviews)?;
        }
    }
    Ok(reviews)
}

/// What is told of a profile's review.
pub fn show(name: &str, profile: &Profile, reviews: &Reviews, now: Timestamp) -> Value {
    let by = profile.review_by.map(Timestamp::from_millis);
    let latest = reviews.get(name);
    json!({
        "by": by.map(|by| by.to_string()), "lapsed": by.is_some_and(|by| by < now),
        "at": latest.map(|(at, _)| at.to_string()), "who": latest.map(|(_, who)| who),
    })
}

/// Takes in links that are older than those before, unless a later one of the same profile is known.
fn note(links: &[Link], reviews: &mut Reviews) -> Result<()> {
    for link in links.iter().rev() {
        let entry = link.entry().map_err(Error::internal)?;
        let detail: Value =
            entry.detail.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let Some(name) = detail["path"].as_str().and_then(|path| path.strip_prefix(keys::PROFILES)) else { continue };
        let moved = detail["after"]["review_by"] != detail["before"]["review_by"];
        if moved && !detail["after"]["review_by"].is_null() {
            reviews.entry(name.to_owned()).or_insert((entry.at, entry.actor.subject));
        }
    }
    Ok(())
}
