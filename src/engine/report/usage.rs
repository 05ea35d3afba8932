//! `report/usage`: the acts of a window, account by account as their histories tell them, and how often each subject did what
//! under which role.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::fields::Fields;
use crate::engine::history::read_segments;
use crate::engine::report::csv::{Columns, texts};
use crate::engine::report::query::{Place, Query};
use crate::engine::report::scan::{Scan, Seen};
use crate::engine::report::{Rows, answer};
use crate::engine::request::Response;
use crate::engine::{Call, Engine};
use crate::error::{Error, Result};
use crate::ledger::archive;
use crate::ledger::chain::{Broken, Link, RECENT};
use crate::ledger::entry::Entry;

/// Most accounts that a page looks at.
const MOST_ACCOUNTS: usize = 1000;
/// Most archived pieces of histories that a page reads.
const MOST_SEGMENTS: usize = 64;
/// Pieces read at once.
const BATCH: usize = 8;

/// The columns of its CSV.
pub const COLUMNS: Columns = &[
    ("at", |act| texts(&act["at"])),
    ("account", |act| texts(&act["account"])),
    ("act", |act| texts(&act["act"])),
    ("subject", |act| texts(&act["actor"]["subject"])),
    ("issuer", |act| texts(&act["actor"]["issuer"])),
    ("role", |act| texts(&act["actor"]["role"])),
    ("face", |act| texts(&act["actor"]["face"])),
    ("remote", |act| texts(&act["remote"])),
    ("request_id", |act| texts(&act["request_id"])),
    ("reason", |act| texts(&act["reason"])),
    ("ticket", |act| texts(&act["ticket"])),
    ("generation", |act| texts(&act["generation"])),
    ("slot", |act| texts(&act["slot"])),
    ("repeat", |act| texts(&act["repeat"])),
    ("detail", |act| texts(&act["detail"])),
    ("seq", |act| texts(&act["seq"])),
];

/// Which acts are told of, besides the window.
struct Wanted {
    acts: Vec<String>,
    role: Option<String>,
    subject: Option<String>,
}

impl Wanted {
    fn read(fields: &mut Fields) -> Result<Wanted> {
        Ok(Wanted {
            acts: fields.list("act")?.value().unwrap_or_default(),
            role: fields.string("role")?.value(),
            subject: fields.string("subject")?.value(),
        })
    }
    fn takes(&self, entry: &Entry) -> bool {
        (self.acts.is_empty() || self.acts.contains(&entry.act))
            && self.role.as_ref().is_none_or(|role| *role == entry.actor.role)
            && self.subject.as_ref().is_none_or(|subject| *subject == entry.actor.subject)
    }
}

/// Reads a page. Deleted accounts are looked at too: what was done stays done.
pub async fn read(engine: &Engine, call: Call) -> Result<Response> {
    let mut query = Query::read(call.request.data)?.window()?;
    let wanted = Wanted::read(&mut query.fields)?;
    // A filter that is not heard makes a longer answer, and nobody sees why.
    query.fields.refuse_unknown()?;
    let mut scan = Scan::new(engine, &call.request.caller, &query, MOST_ACCOUNTS, true).await?;
    let mut page = Page { query: &query, wanted, acts: Vec::new(), sums: BTreeMap::new(), segments: MOST_SEGMENTS };
    let mut left = None;
    let mut looked_at = 0u64;
    while let Some(seen) = scan.next().await? {
        let begun = query.after.as_ref().filter(|place| place.name == seen.name.as_str());
        let behind = begun.and_then(|place| place.seq).unwrap_or(0);
        if let Some(seq) = page.take(engine, &seen, behind).await? {
            left = Some(Place { name: seen.name.to_string(), seq: Some(seq) });
            break;
        }
        looked_at += 1;
    }
    let next = left.or_else(|| scan.place()).map(|place| place.to_string());
    let mut more = Map::new();
    more.insert("looked_at".to_owned(), json!(looked_at));
    more.insert("totals".to_owned(), page.totals());
    let rows = Rows { name: "acts", rows: page.acts, columns: COLUMNS };
    Ok(answer(&query, rows, next, engine.clock.now(), more))
}

struct Page<'q> {
    query: &'q Query,
    wanted: Wanted,
    acts: Vec<Value>,
    /// By role, issuer, subject and act.
    sums: BTreeMap<[String; 4], u64>,
    segments: usize,
}

impl Page<'_> {
    /// Takes in the acts of an account after number `behind`; answers where it stopped if the page is full before its end.
    async fn take(&mut self, engine: &Engine, seen: &Seen, behind: u64) -> Result<Option<u64>> {
        let ledger = &seen.record.ledger;
        let owner = hex::encode(*seen.record.account.id);
        let starts: Vec<u64> = (behind / RECENT as u64 * RECENT as u64 + 1..ledger.first()).step_by(RECENT).collect();
        for batch in starts.chunks(BATCH) {
            if self.segments == 0 {
                return Ok(Some(batch.first().map_or(behind, |first| first - 1).max(behind)));
            }
            self.segments = self.segments.saturating_sub(batch.len());
            for (first, links) in batch.iter().zip(read_segments(engine, &owner, batch).await?) {
                let missing = || Error::internal(format!("ledger segment {} is missing", archive::key(&owner, *first)));
                if let Some(stopped) = self.links(seen, &links.ok_or_else(missing)?, *first, behind)? {
                    return Ok(Some(stopped));
                }
            }
        }
        self.links(seen, &ledger.recent, ledger.first(), behind)
    }

    fn links(&mut self, seen: &Seen, links: &[Link], first: u64, behind: u64) -> Result<Option<u64>> {
        for (link, seq) in links.iter().zip(first..) {
            if seq <= behind {
                continue;
            }
            let entry = link.entry().map_err(|broken| Error::internal(Broken { seq, ..broken }))?;
            if !self.query.covers(entry.at) || !self.wanted.takes(&entry) {
                continue;
            }
            if self.acts.len() >= self.query.limit {
                return Ok(Some(seq - 1));
            }
            let mut text = Vec::with_capacity(512);
            entry.write(&link.hash, &mut text);
            let mut wire: Map<String, Value> = serde_json::from_slice(&text).map_err(Error::internal)?;
            wire.remove("hash");
            wire.insert("account".to_owned(), json!(seen.name.as_str()));
            self.acts.push(Value::Object(wire));
            *self.sums.entry([entry.actor.role, entry.actor.issuer, entry.actor.subject, entry.act]).or_default() += 1;
        }
        Ok(None)
    }

    fn totals(&self) -> Value {
        let total = |([role, issuer, subject, act], count): (&[String; 4], &u64)| json!({"role": role, "issuer": issuer, "subject": subject, "act": act, "count": count});
        self.sums.iter().map(total).collect()
    }
}
