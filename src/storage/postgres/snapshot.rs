//! A snapshot of the table: one read-only transaction at REPEATABLE READ, read page by page along the key.
//!
//! It holds a connection of the pool as long as it lives, and the database keeps what was overwritten since.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::Shared;
use super::connection::{Lent, discard};
use super::error::PostgresError;
use super::reader::{key, revision};
use crate::storage::snapshot::{BATCH, Batch, Entry, Snapshot};
use crate::storage::{BoxFuture, StorageError};

/// Never a moment behind the server's own clock of commits. The transaction may rest between two batches for as long as
/// whoever reads takes to write them elsewhere.
const BEGIN: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0";

pub(super) struct PostgresSnapshot {
    shared: Arc<Shared>,
    /// `None` once it ended or failed.
    lent: Option<Lent>,
    last: Vec<u8>,
    /// A record that does not decode, found behind the last batch.
    corrupt: Option<StorageError>,
}

impl PostgresSnapshot {
    pub(super) async fn begin(shared: Arc<Shared>) -> Result<Self, StorageError> {
        let lent = shared.connections.get().await?;
        let mut snapshot = PostgresSnapshot { shared, lent: Some(lent), last: Vec::new(), corrupt: None };
        let begun = match &snapshot.lent {
            Some(lent) => lent.client().batch_execute(BEGIN).await.map_err(PostgresError::from),
            None => Ok(()),
        };
        // The first statement fixes the moment.
        match begun {
            Ok(()) => snapshot.page(1).await.map(|_| ())?,
            Err(error) => return Err(error.into()),
        }
        Ok(snapshot)
    }
    /// The next rows behind the last one. Any failure ends the transaction with its connection.
    async fn page(&mut self, limit: usize) -> Result<Vec<Row>, PostgresError> {
        let Some(lent) = &self.lent else {
            return Err(PostgresError::Broken("the snapshot has ended".to_owned()));
        };
        let until = Instant::now() + self.shared.patience + self.shared.grace();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&self.last, Type::BYTEA), (&limit, Type::INT8), (&(BATCH as i64), Type::INT8)];
        let asked = timeout_at(until, lent.query(&self.shared.statements.page, &parameters)).await;
        let error = match asked {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => error.into(),
            Err(_) => PostgresError::Silent(self.shared.patience),
        };
        self.lent.take().into_iter().for_each(discard);
        Err(error)
    }
    async fn read(&mut self, limit: usize) -> Result<Vec<Entry>, StorageError> {
        if let Some(error) = self.corrupt.take() {
            return Err(error);
        }
        let rows = self.page(limit.max(1)).await?;
        let mut batch = Batch::new(limit);
        for row in &rows {
            self.last = row.try_get(0).map_err(PostgresError::from)?;
            match entry(row) {
                Ok(entry) => batch.push(entry),
                Err(error) if batch.is_empty() => return Err(error),
                Err(error) => {
                    self.corrupt = Some(error);
                    break;
                }
            }
        }
        Ok(batch.end())
    }
}

fn entry(row: &Row) -> Result<Entry, StorageError> {
    let bytes: Vec<u8> = row.try_get(0).map_err(PostgresError::from)?;
    let corrupt = |key: &str, error: PostgresError| StorageError::Corrupt { key: key.to_owned(), source: error.into() };
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    let key = key(bytes).map_err(|error| corrupt(&shown, error))?;
    let revision = revision(row.try_get(2).map_err(PostgresError::from)?).map_err(|error| corrupt(&shown, error))?;
    Ok(Entry { value: row.try_get(1).map_err(PostgresError::from)?, revision, key })
}

impl Snapshot for PostgresSnapshot {
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Entry>, StorageError>> {
        Box::pin(self.read(limit))
    }
}

impl Drop for PostgresSnapshot {
    /// The transaction is open, and nobody else may find it so: the connection goes with it.
    fn drop(&mut self) {
        self.lent.take().into_iter().for_each(discard);
    }
}
