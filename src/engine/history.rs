//! `history/:account` and `config/history`: the ledger, page by page, and whether its chain holds.

use serde_json::{Map, Value, json};

use crate::crypto::keyring::{CONFIG_CHAIN, Keyring};
use crate::domain::fields::Fields;
use crate::engine::attempt::Stored;
use crate::engine::cache::{Snapshot, storage_failed};
use crate::engine::config_ledger;
use crate::engine::listed::List;
use crate::engine::request::Response;
use crate::engine::{Call, Engine, keys, record};
use crate::error::{Error, Result};
use crate::ledger::archive::{self, Segment};
use crate::ledger::chain::{Broken, Chain, GENESIS, Link, RECENT};
use crate::storage::{Found, Get};

/// Most segments read at once.
const BATCH: usize = 32;
/// About as many bytes as an entry is as JSON.
const ENTRY: usize = 512;

struct Query {
    after: u64,
    limit: usize,
    verify: bool,
}

impl Query {
    fn read(data: Map<String, Value>) -> Result<Query> {
        let mut fields = Fields::new(data);
        let query = Query {
            after: fields.integer("after", 0, u64::MAX)?.value().unwrap_or(0),
            limit: usize::try_from(fields.integer("limit", 1, 1000)?.value().unwrap_or(100)).unwrap_or(100),
            verify: fields.boolean("verify")?.value().unwrap_or(false),
        };
        // A misspelt `verify` would look as if the chain had been checked.
        fields.refuse_unknown()?;
        Ok(query)
    }
}

/// Reads an account's ledger; a deleted account's too.
pub async fn account(engine: &Engine, call: Call) -> Result<Response> {
    let name = Engine::account_name(&call.name)?;
    let query = Query::read(call.request.data)?;
    let mut snapshot = Snapshot::default();
    let wanted = [keys::KEYRING.to_owned(), keys::account(&name), keys::tombstone(&name)];
    engine.load(&mut snapshot, wanted).await?;
    let stored = Stored::read(&snapshot, &name)?.ok_or_else(Error::not_found)?;
    let id = *stored.record.account.id;
    let keyring = snapshot.keyring()?;
    page(engine, &keyring, &id, &hex::encode(id), &stored.record.ledger, &query).await
}

/// Reads the configuration's ledger.
pub async fn configuration(engine: &Engine, call: Call) -> Result<Response> {
    let query = Query::read(call.request.data)?;
    let found = engine.storage.get_many(vec![Get::new(keys::CONFIG_LEDGER)]).await.map_err(storage_failed)?;
    let (ledger, _) = config_ledger::read(found.into_iter().next())?;
    page(engine, &*engine.keyring().await?, &CONFIG_CHAIN, "config", &ledger, &query).await
}

async fn page(
    engine: &Engine,
    keyring: &Keyring,
    chain_id: &[u8; 16],
    owner: &str,
    ledger: &Chain,
    query: &Query,
) -> Result<Response> {
    let told =
        usize::try_from(ledger.seq.saturating_sub(query.after)).map_or(query.limit, |left| left.min(query.limit));
    let entries = List::new("entries", told * ENTRY);
    let mut walk = Walk { query, keyring, chain_id, previous: GENESIS, broken: None, entries };
    // A page needs only its segments; verifying needs all of them.
    let first = if query.verify { 1 } else { query.after / RECENT as u64 * RECENT as u64 + 1 };
    let starts: Vec<u64> = (first..ledger.first()).step_by(RECENT).collect();
    for batch in starts.chunks(BATCH) {
        if !query.verify && walk.entries.len() >= query.limit {
            break;
        }
        for (seq, links) in batch.iter().zip(read_segments(engine, owner, batch).await?) {
            match links {
                Some(links) => walk.links(&links, *seq)?,
                None if query.verify => walk.breaks(*seq, "is missing with its whole segment"),
                None => {
                    return Err(Error::internal(format!("ledger segment {} is missing", archive::key(owner, *seq))));
                }
            }
        }
    }
    if walk.previous != *ledger.base {
        walk.breaks(ledger.first(), "does not follow from the archive");
    }
    walk.links(&ledger.recent, ledger.first())?;
    if walk.previous != *ledger.head {
        walk.breaks(ledger.seq, "is not the head of the ledger");
    }
    let broken = walk.broken;
    let mut data = Map::new();
    data.insert("head".to_owned(), json!({"seq": ledger.seq, "hash": hex::encode(*ledger.head)}));
    data.insert("verified".to_owned(), if query.verify { json!(broken.is_none()) } else { Value::Null });
    let mut response = Response::listed(data, walk.entries);
    if let Some(broken) = broken {
        tracing::error!(ledger = owner, %broken, "a ledger does not verify");
        response
            .warnings
            .push(format!("{broken}; nothing after it can be trusted: compare with the audit log and a backup"));
    }
    Ok(response)
}

/// A walk along a ledger, oldest entry first.
struct Walk<'w> {
    query: &'w Query,
    keyring: &'w Keyring,
    chain_id: &'w [u8; 16],
    /// Hash of the entry before, as long as the chain holds.
    previous: [u8; 32],
    /// Where it stopped to hold.
    broken: Option<Broken>,
    entries: List,
}

impl Walk<'_> {
    /// Goes on over links that begin with number `first`: checks that they follow if that is asked, tells those of the page.
    fn links(&mut self, links: &[Link], first: u64) -> Result<()> {
        let mac = |previous: &[u8; 32], bytes: &[u8]| self.keyring.ledger_mac(self.chain_id, previous, bytes);
        for (link, seq) in links.iter().zip(first..) {
            let mut entry = None;
            if self.query.verify && self.broken.is_none() {
                match link.follow(&self.previous, seq, &mac) {
                    Ok(followed) => (entry, self.previous) = (Some(followed), *link.hash),
                    Err(broken) => self.broken = Some(broken),
                }
            }
            if seq > self.query.after && self.entries.len() < self.query.limit {
                let unreadable = |broken| Error::internal(Broken { seq, ..broken });
                let entry = entry.map_or_else(|| link.read(), Ok).map_err(unreadable)?;
                self.entries.push(|out| entry.write(&link.hash, out));
            }
        }
        Ok(())
    }
    /// Notes what is wrong at number `seq`, if that was asked; the first of these counts.
    fn breaks(&mut self, seq: u64, what: &'static str) {
        if self.query.verify {
            self.broken.get_or_insert(Broken { seq, what });
        }
    }
}

/// Reads the segments of `owner`'s ledger that begin with these numbers; `None` for one that is missing.
pub(super) async fn read_segments(engine: &Engine, owner: &str, starts: &[u64]) -> Result<Vec<Option<Vec<Link>>>> {
    let gets = starts.iter().map(|first| Get::new(archive::key(owner, *first))).collect();
    let found = engine.storage.get_many(gets).await.map_err(storage_failed)?;
    let parse = |(first, found): (&u64, Found)| match found {
        Found::Value(bytes, _) => {
            let segment: Segment = record::decode(&archive::key(owner, *first), &bytes)?;
            Ok(Some(segment.links))
        }
        Found::Absent | Found::Unchanged => Ok(None),
    };
    starts.iter().zip(found).map(parse).collect()
}
