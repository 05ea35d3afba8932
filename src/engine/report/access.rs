//! `report/access`: for each account who could retrieve a code, through which role; who did; and when that was last reviewed.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::domain::profile::Profile;
use crate::domain::time::Timestamp;
use crate::engine::circle::ways;
use crate::engine::history::read_segments;
use crate::engine::report::csv::{Columns, texts};
use crate::engine::report::query::Query;
use crate::engine::report::scan::{Scan, Seen};
use crate::engine::report::{Rows, answer, review};
use crate::engine::request::Response;
use crate::engine::{Call, Engine};
use crate::error::{Error, Result};
use crate::ledger::archive;
use crate::ledger::chain::{Link, RECENT};

/// Most archived pieces of histories that a page reads, beyond those of its first account.
const MOST_SEGMENTS: usize = 64;
/// Most archived pieces that are read of one account, the latest.
const MOST_OF_ONE: usize = 32;
/// Most people told of one account, those who came last.
const MOST_PEOPLE: usize = 50;

/// The columns of its CSV.
pub const COLUMNS: Columns = &[
    ("account", |row| texts(&row["account"])),
    ("owner", |row| texts(&row["owner"])),
    ("profile", |row| texts(&row["profile"])),
    ("retrieval", |row| texts(&row["retrieval"])),
    ("could", |row| texts(&row["could"])),
    ("did", |row| {
        let one = |did: &Value| format!("{} ({}) x{}", texts(&did["subject"]), texts(&did["role"]), did["count"]);
        row["did"].as_array().into_iter().flatten().map(one).collect::<Vec<_>>().join("; ")
    }),
    ("last_retrieved", |row| texts(&row["did"][0]["last"])),
    ("complete", |row| texts(&row["complete"])),
    ("review_by", |row| texts(&row["review"]["by"])),
    ("review_lapsed", |row| texts(&row["review"]["lapsed"])),
    ("reviewed_at", |row| texts(&row["review"]["at"])),
    ("reviewed_by", |row| texts(&row["review"]["who"])),
];

/// Reads a page.
pub async fn read(engine: &Engine, call: Call) -> Result<Response> {
    let query = Query::read(call.request.data)?.window()?;
    query.fields.refuse_unknown()?;
    let mut said = Vec::new();
    let now = engine.clock.now();
    let roles = engine.every_role().await?.unwrap_or_else(|| {
        said.push("there are more roles than are looked at: who could retrieve is not told".to_owned());
        Vec::new()
    });
    let reviews = review::latest(engine).await?;
    let mut scan = Scan::new(engine, &call.request.caller, &query, query.limit, false).await?;
    let (mut rows, mut named, mut segments) = (Vec::new(), BTreeMap::new(), MOST_SEGMENTS);
    while let Some(seen) = scan.next().await? {
        let profile = scan.profile(&seen.record).await?;
        let rules = profile.as_deref();
        let retrieval = rules.map_or("allowed", |rules| match (rules.issues(), rules.retrieval) {
            (true, _) => "issued",
            (false, false) => "forbidden",
            (false, true) => "allowed",
        });
        let could: Vec<_> = match rules.is_some_and(Profile::issues) {
            true => Vec::new(),
            false => ways(&roles, &seen.name).collect(),
        };
        for (name, role) in &could {
            named.entry(name.clone()).or_insert_with(|| {
                let role = role.role.wire();
                let shown = ["issuers", "bound_subject", "bound_claims", "accounts"];
                shown.into_iter().filter_map(|name| Some((name, role.get(name)?.clone()))).collect::<BTreeMap<_, _>>()
            });
        }
        let (did, complete) = did(engine, &seen, &query, &mut segments).await?;
        let about = &seen.record.account;
        let profile = scan.profile_name(&seen.record);
        rows.push(json!({
            "account": seen.name.as_str(), "owner": about.about.owner, "profile": profile, "retrieval": retrieval,
            "could": could.iter().map(|(name, _)| name).collect::<Vec<_>>(), "did": did, "complete": complete,
            "review": rules.map(|rules| review::show(&profile, rules, &reviews, now)),
        }));
        if segments == 0 {
            break;
        }
    }
    let next = scan.place().map(|place| place.to_string());
    let mut more = Map::new();
    more.insert("roles".to_owned(), json!(named));
    let rows = Rows { name: "accounts", rows, columns: COLUMNS };
    Ok(Response { warnings: said, ..answer(&query, rows, next, now, more) })
}

/// How often one subject retrieved, and the last time.
struct Visits {
    count: u64,
    last: Timestamp,
    request_id: String,
}

/// Who retrieved codes within the window, latest first, and whether that is everybody.
async fn did(engine: &Engine, seen: &Seen, query: &Query, segments: &mut usize) -> Result<(Vec<Value>, bool)> {
    let ledger = &seen.record.ledger;
    let owner = hex::encode(*seen.record.account.id);
    let mut visits = BTreeMap::new();
    count(&ledger.recent, query, &mut visits)?;
    let starts: Vec<u64> = (1..ledger.first()).step_by(RECENT).collect();
    let looked_at = &starts[starts.len().saturating_sub(MOST_OF_ONE)..];
    let mut complete = looked_at.len() == starts.len();
    *segments = segments.saturating_sub(looked_at.len());
    for batch in looked_at.rchunks(8) {
        for (first, links) in batch.iter().zip(read_segments(engine, &owner, batch).await?) {
            let missing = || Error::internal(format!("ledger segment {} is missing", archive::key(&owner, *first)));
            count(&links.ok_or_else(missing)?, query, &mut visits)?;
        }
    }
    let mut people: Vec<_> = visits.into_iter().collect();
    people.sort_by_key(|(_, visits)| std::cmp::Reverse(visits.last));
    complete &= people.len() <= MOST_PEOPLE;
    people.truncate(MOST_PEOPLE);
    let shown = |([subject, issuer, role], visits): ([String; 3], Visits)| {
        json!({
            "subject": subject, "issuer": issuer, "role": role, "count": visits.count,
            "last": visits.last.to_string(), "request_id": visits.request_id,
        })
    };
    Ok((people.into_iter().map(shown).collect(), complete))
}

fn count(links: &[Link], query: &Query, visits: &mut BTreeMap<[String; 3], Visits>) -> Result<()> {
    for link in links {
        let entry = link.entry().map_err(Error::internal)?;
        if entry.act != "retrieve" || !query.covers(entry.at) {
            continue;
        }
        let who = [entry.actor.subject, entry.actor.issuer, entry.actor.role];
        let one = visits.entry(who).or_insert(Visits { count: 0, last: entry.at, request_id: String::new() });
        one.count += 1;
        if entry.at >= one.last {
            (one.last, one.request_id) = (entry.at, entry.request_id);
        }
    }
    Ok(())
}
