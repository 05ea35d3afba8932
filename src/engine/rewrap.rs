//! `config/keys/rewrap`: the keys of all sets are wrapped anew under the active KEK, and older KEKs are retired. No code is
//! touched. Each call, and each [`turn`] of whoever calls it now and then, does a bounded piece of work and leaves a record of
//! how far it has come: it goes on after a crash, on another node, and after it was stopped.
//!
//! A KEK is retired once two full scans in a row found nothing that it wraps, the second of them begun when no request from
//! before the rotation can still be writing. What acts write meanwhile is under the active KEK (`wraps`), so nothing slips
//! past a scan by moving.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::crypto::keyring::{KeyState, RECOVERABLE};
use crate::domain::fields::Fields;
use crate::domain::time::Timestamp;
use crate::engine::cache::storage_failed;
use crate::engine::config_ledger::{self, By, Outcome, Said};
use crate::engine::request::Response;
use crate::engine::{Call, Engine, keys, record};
use crate::error::{Error, Result};
use crate::storage::{Expect, Found, Get, PutError, Revision, Write};
pub use progress::Progress;
use progress::{Cursor, FOLDERS, Next, Scan, Stage};

mod progress;
mod scan;
pub(in crate::engine) mod walk;

pub use progress::LONGEST_REQUEST;

/// Records looked at in one go, unless the caller says otherwise.
const BATCH: u64 = 256;
const TURN: usize = 256;
const MOST: u64 = 10_000;
/// Counting a name costs this much less than looking at a record.
const NAMES_FOR_ONE: usize = 16;
/// How often a beginning or a stop is tried again when others change the configuration at the same time.
const TRIES: usize = 64;

/// How far a re-wrapping has come.
pub async fn read(engine: &Engine, _call: Call) -> Result<Response> {
    let progress = load(engine).await?.map(|(progress, _)| progress);
    Ok(Response::data(wire(progress.as_ref(), engine.clock.now())))
}

/// Begins a re-wrapping or goes on with it, or stops it.
pub async fn update(engine: &Engine, call: Call) -> Result<Response> {
    let mut fields = Fields::new(call.request.data.clone());
    let batch = fields.integer("batch", 1, MOST)?.value().unwrap_or(BATCH);
    let stop = fields.boolean("stop")?.value().unwrap_or(false);
    fields.refuse_unknown()?;
    let by = By::request(&call.request);
    let note = if stop { halt(engine, &by).await? } else { begin(engine, &by).await? };
    if !stop {
        turn(engine, usize::try_from(batch).unwrap_or(usize::MAX)).await?;
    }
    let now = load(engine).await?.map(|(progress, _)| progress);
    let mut response = Response { note, ..Response::data(wire(now.as_ref(), engine.clock.now())) };
    if let Some(Progress { stage: Stage::Blocked(_), .. }) = now {
        response.warnings.push(
            "some keys do not unwrap; the log names their records. No generation was retired. Mend or revoke these sets and call again"
                .to_owned(),
        );
    }
    Ok(response)
}

/// Does a piece of work on a re-wrapping that somebody began: looks at up to `limit` records. Whether there is more to do at
/// once; not where nobody began one, where it waits, or where another call is at work. To be called now and then where this node
/// may write.
///
/// # Errors
/// A store that fails; a record that does not decode. What was done until then stays done.
pub async fn turn(engine: &Engine, limit: usize) -> Result<bool> {
    let Some(_guard) = Guard::take(&engine.rewrapping) else { return Ok(false) };
    engine.tally_wraps().await;
    erase(engine).await?;
    let Some((mut progress, revision)) = load(engine).await? else { return Ok(false) };
    let now = engine.clock.now();
    if progress.is_over() || progress.stopped {
        return Ok(false);
    }
    let active = engine.keyring().await?.active_kek().map_err(Error::internal)?;
    if active != progress.target {
        // Rotated since: what was wrapped under the former target is old now, too, and there is nothing to wait for.
        progress.retarget(active, now);
    }
    if !progress.is_due(now) {
        return Ok(false);
    }
    let mut budget = limit.max(1);
    let mut retire = false;
    while budget > 0 && !retire {
        match std::mem::replace(&mut progress.stage, Stage::Blocked(0)) {
            Stage::Counting(at) => count(engine, &mut progress, at, &mut budget).await?,
            Stage::Scanning(scan) => retire = scan_on(engine, &mut progress, scan, &mut budget).await?,
            Stage::Waiting(until) if engine.clock.now() >= until => {
                progress.stage = scan_from_the_start(true, engine.clock.now());
            }
            over => {
                progress.stage = over;
                break;
            }
        }
    }
    if retire {
        retire_older(engine, progress.target).await?;
        progress.stage = Stage::Done(engine.clock.now());
        let detail = json!({
            "path": "config/keys/rewrap", "before": {"state": "running"},
            "after": {"state": "done", "target": progress.target, "rewrapped": progress.rewrapped, "total": progress.total},
        });
        let write = put(engine, &progress, Some(revision));
        let said = Said { act: "rewrap", detail };
        return match config_ledger::write(engine, &By::engine(), &said, vec![write]).await? {
            Outcome::Done(_) => Ok(false),
            // The next turn finds it where it stood; the older generations are retired already.
            Outcome::Conflict => Ok(true),
        };
    }
    match engine.storage.put_all(vec![put(engine, &progress, Some(revision))]).await {
        Ok(()) => Ok(progress.is_due(engine.clock.now())),
        // Stopped or moved on by somebody else; what was wrapped stays wrapped.
        Err(PutError::Conflict { .. }) => Ok(true),
        Err(PutError::Unknown(source)) => Err(Error::internal(source)),
        Err(PutError::Failed(error)) => Err(storage_failed(error)),
    }
}

impl Engine {
    /// Whether a re-wrapping that somebody began has something to do now.
    pub async fn rewrap_is_due(&self) -> Result<bool> {
        Ok(load(self).await?.is_some_and(|(progress, _)| progress.is_due(self.clock.now())))
    }

    /// Goes on with what takes long, a re-wrapping of keys, until there is nothing more to do at once, `patience` is over or `go_on`
    /// says no. For whoever comes by now and then.
    pub async fn look_after(&self, patience: Duration, go_on: impl Fn() -> bool) -> Result<()> {
        let end = tokio::time::Instant::now() + patience;
        while go_on() && turn(self, TURN).await? && tokio::time::Instant::now() < end {}
        Ok(())
    }
}

/// One at a time: a second caller would only do the same work again.
struct Guard<'e>(&'e AtomicBool);

impl<'e> Guard<'e> {
    fn take(flag: &'e AtomicBool) -> Option<Self> {
        flag.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok().then_some(Guard(flag))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

fn scan_from_the_start(second: bool, now: Timestamp) -> Stage {
    Stage::Scanning(Scan { second, began: Some(now), ..Scan::default() })
}

async fn count(engine: &Engine, progress: &mut Progress, mut at: Cursor, budget: &mut usize) -> Result<()> {
    let limit = budget.saturating_mul(NAMES_FOR_ONE);
    let Some(folder) = folder(&at) else {
        progress.stage = scan_from_the_start(false, engine.clock.now());
        return Ok(());
    };
    let names = walk::next(&*engine.storage, folder, &at.after, limit).await.map_err(storage_failed)?;
    *budget = budget.saturating_sub(names.len().div_ceil(NAMES_FOR_ONE));
    progress.total += names.len() as u64;
    step(&mut at, &names, limit);
    progress.stage = Stage::Counting(at);
    Ok(())
}

/// Goes on with a scan; whether older generations can be retired.
async fn scan_on(engine: &Engine, progress: &mut Progress, mut scan: Scan, budget: &mut usize) -> Result<bool> {
    let Some(folder) = folder(&scan.at) else {
        let keyring = engine.keyring().await?;
        let target = keyring.keks().find(|kek| kek.generation == progress.target);
        let rotated = target.map_or(engine.clock.now(), |kek| kek.created_at);
        return Ok(progress.after(&scan, rotated, engine.clock.now()) == Next::Retire);
    };
    let names = walk::next(&*engine.storage, folder, &scan.at.after, *budget).await.map_err(storage_failed)?;
    let full: Vec<String> = names.iter().map(|name| format!("{folder}{name}")).collect();
    let mut found = scan::rewrap(engine, &full).await?;
    if !found.retired.is_empty() {
        recover(engine, &found.retired.iter().copied().collect::<Vec<_>>()).await?;
        let before = found.rewrapped;
        found = scan::rewrap(engine, &full).await?;
        found.rewrapped += before;
    }
    scan.done += names.len() as u64;
    scan.rewrapped += found.rewrapped;
    scan.failed += found.failed;
    step(&mut scan.at, &names, *budget);
    *budget = budget.saturating_sub(names.len());
    progress.total = progress.total.max(scan.done);
    progress.stage = Stage::Scanning(scan);
    Ok(false)
}

fn folder(at: &Cursor) -> Option<&'static str> {
    FOLDERS.get(at.folder as usize).copied()
}

/// Moves a cursor behind `names`; into the next folder if these were all.
fn step(at: &mut Cursor, names: &[String], limit: usize) {
    match names.last() {
        Some(last) if names.len() >= limit => at.after.clone_from(last),
        _ => *at = Cursor { folder: at.folder + 1, after: String::new() },
    }
}

async fn begin(engine: &Engine, by: &By) -> Result<Map<String, Value>> {
    for _ in 0..TRIES {
        let stored = load(engine).await?;
        let target = engine.keyring().await?.active_kek().map_err(Error::internal)?;
        let (progress, before) = match &stored {
            Some((progress, _)) if !progress.is_over() && !progress.stopped => return Ok(Map::new()),
            Some((progress, _)) if !progress.is_over() => {
                (Progress { stopped: false, ..progress.clone() }, json!({"state": "stopped"}))
            }
            _ => (Progress::new(target, engine.clock.now()), Value::Null),
        };
        let after = json!({"state": "running", "target": progress.target});
        let detail = json!({"path": "config/keys/rewrap", "before": before, "after": after});
        let write = put(engine, &progress, stored.map(|(_, revision)| revision));
        let said = Said { act: "rewrap", detail };
        if let Outcome::Done(note) = config_ledger::write(engine, by, &said, vec![write]).await? {
            return Ok(note);
        }
    }
    Err(Error::unavailable("too many changes of keys and configuration at once; try again"))
}

async fn halt(engine: &Engine, by: &By) -> Result<Map<String, Value>> {
    for _ in 0..TRIES {
        let Some((mut progress, revision)) = load(engine).await? else { return Ok(Map::new()) };
        if progress.is_over() || progress.stopped {
            return Ok(Map::new());
        }
        let before = json!({"state": progress.word()});
        progress.stopped = true;
        let detail = json!({"path": "config/keys/rewrap", "before": before, "after": {"state": "stopped"}});
        let write = put(engine, &progress, Some(revision));
        let said = Said { act: "rewrap", detail };
        if let Outcome::Done(note) = config_ledger::write(engine, by, &said, vec![write]).await? {
            return Ok(note);
        }
    }
    Err(Error::unavailable("too many changes of keys and configuration at once; try again"))
}

/// Retires what only unwraps, unless there is a newer generation by now.
async fn retire_older(engine: &Engine, target: u32) -> Result<()> {
    let now = engine.clock.now();
    let by = By::engine();
    let retired = engine.change_keyring(&by, |keyring| {
        if keyring.active_kek().map_err(Error::internal)? != target {
            return Err(Error::unavailable("the key was rotated just now; re-wrapping begins anew"));
        }
        let old = |state| state == KeyState::DecryptOnly;
        let older: Vec<u32> = keyring.keks().filter(|kek| old(kek.state)).map(|kek| kek.generation).collect();
        for generation in &older {
            keyring.retire_kek(*generation, now).map_err(Error::internal)?;
        }
        Ok((!older.is_empty()).then(|| (said("retire", &older, "decrypt-only", "retired"), ())))
    });
    retired.await.map(|_| ())
}

/// Lets retired generations unwrap again that something still needs: a record that was put back, for one.
async fn recover(engine: &Engine, generations: &[u32]) -> Result<()> {
    let by = By::engine();
    let recovered = engine.change_keyring(&by, |keyring| {
        for generation in generations {
            keyring.recover_kek(*generation).map_err(Error::internal)?;
        }
        Ok(Some((said("recover", generations, "retired", "decrypt-only"), ())))
    });
    recovered.await.map(|_| ())
}

/// Erases what was retired a day ago.
async fn erase(engine: &Engine) -> Result<()> {
    let now = engine.clock.now();
    let due = |state| matches!(state, KeyState::Retired { at } if now >= at.plus(RECOVERABLE));
    if !engine.keyring().await?.keks().any(|kek| due(kek.state)) {
        return Ok(());
    }
    let by = By::engine();
    let erased = engine.change_keyring(&by, |keyring| {
        let erased = keyring.erase_retired(now);
        Ok((!erased.is_empty()).then(|| (said("erase", &erased, "retired", "erased"), ())))
    });
    erased.await.map(|_| ())
}

fn said(act: &'static str, generations: &[u32], before: &str, after: &str) -> Said {
    let of = |state: &str| json!({"generations": generations, "state": state});
    Said { act, detail: json!({"path": "config/keys", "before": of(before), "after": of(after)}) }
}

async fn load(engine: &Engine) -> Result<Option<(Progress, Revision)>> {
    let found = engine.storage.get_many(vec![Get::new(keys::REWRAP)]).await.map_err(storage_failed)?;
    match found.into_iter().next() {
        Some(Found::Value(bytes, revision)) => Ok(Some((record::decode(keys::REWRAP, &bytes)?, revision))),
        _ => Ok(None),
    }
}

fn put(engine: &Engine, progress: &Progress, revision: Option<Revision>) -> Write {
    let expect = revision.map_or(Expect::Absent, Expect::At);
    Write::put(keys::REWRAP, expect, record::encode(progress), &*engine.random)
}

fn wire(progress: Option<&Progress>, now: Timestamp) -> Map<String, Value> {
    match progress {
        Some(progress) => progress.wire(now),
        None => Map::from_iter(
            [("state", json!("idle")), ("done", json!(0)), ("total", json!(0)), ("eta", Value::Null)]
                .map(|(name, value)| (name.to_owned(), value)),
        ),
    }
}
