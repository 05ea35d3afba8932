//! Reads: one statement for all keys, one for a level of the tree.

use std::ops::Bound;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Shared;
use super::error::PostgresError;
use super::writer::give_back;
use crate::storage::{Found, Get, Revision, StorageError, level};

/// How often a read is sent again after its connection broke.
const TRIES: usize = 3;

/// Reads every key, in order.
pub(super) async fn get_many(shared: &Shared, gets: &[Get]) -> Result<Vec<Found>, StorageError> {
    let keys: Vec<&[u8]> = gets.iter().map(|get| get.key.as_bytes()).collect();
    let known: Vec<Option<&[u8]>> =
        gets.iter().map(|get| get.known.as_ref().map(|revision| revision.0.as_slice())).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&keys, Type::BYTEA_ARRAY), (&known, Type::BYTEA_ARRAY)];
    let rows = ask(shared, &shared.statements.get, &parameters).await?;
    let mut found = vec![Found::Absent; gets.len()];
    for row in &rows {
        let place: i64 = row.try_get(0).map_err(PostgresError::from)?;
        let place = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
        let Some((slot, get)) = place.and_then(|place| Some((found.get_mut(place)?, gets.get(place)?))) else {
            return Err(PostgresError::Row("answers a key that was not asked for").into());
        };
        let revision = revision(row.try_get(1).map_err(PostgresError::from)?)
            .map_err(|error| StorageError::Corrupt { key: get.key.clone(), source: error.into() })?;
        *slot = match row.try_get::<_, Option<Vec<u8>>>(2).map_err(PostgresError::from)? {
            None => Found::Unchanged,
            Some(value) => Found::Value(value, revision),
        };
    }
    Ok(found)
}

/// Names up to `limit` entries of the level below `prefix` that sort after `after`.
pub(super) async fn list(
    shared: &Shared,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, StorageError> {
    let (from, inclusive) = match level::start(prefix, after)? {
        Bound::Included(from) => (from, true),
        Bound::Excluded(from) => (from, false),
        Bound::Unbounded => (String::new(), true),
    };
    if limit == 0 {
        return Ok(Vec::new());
    }
    let most = i32::try_from(limit).unwrap_or(i32::MAX);
    let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
        (&prefix.as_bytes(), Type::BYTEA),
        (&from.as_bytes(), Type::BYTEA),
        (&inclusive, Type::BOOL),
        (&most, Type::INT4),
    ];
    let rows = ask(shared, &shared.statements.list, &parameters).await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = key(row.try_get(0).map_err(PostgresError::from)?)?;
        let Some(rest) = key.strip_prefix(prefix) else { break };
        entries.push(level::entry(rest).to_owned());
    }
    Ok(entries)
}

/// Sends a statement that only reads, again where the connection broke under it.
pub(super) async fn ask(
    shared: &Shared,
    statement: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, PostgresError> {
    let until = Instant::now() + shared.patience + shared.grace();
    let mut tries = 0;
    loop {
        let lent = shared.connections.get().await?;
        let error = match timeout_at(until, lent.query(statement, parameters)).await {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => PostgresError::from(error),
            Err(_) => PostgresError::Silent(shared.patience),
        };
        give_back(lent, &error);
        tries += 1;
        if tries >= TRIES || matches!(error, PostgresError::Silent(_)) || !error.may_pass() {
            return Err(error);
        }
    }
}

/// A stored revision.
pub(super) fn revision(bytes: &[u8]) -> Result<Revision, PostgresError> {
    bytes.try_into().map(Revision).map_err(|_| PostgresError::Row("has a revision that is not 16 bytes long"))
}

/// A stored key.
pub(super) fn key(bytes: Vec<u8>) -> Result<String, PostgresError> {
    String::from_utf8(bytes).map_err(|_| PostgresError::Row("has a key that is not UTF-8"))
}
