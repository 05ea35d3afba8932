//! The store of several nodes: one table in a PostgreSQL database, or in one that speaks like it.
//!
//! An act costs two round trips: one statement reads all its keys and sends no value that is known already, one statement writes
//! all its rows or none. The revision stands in the WHERE clause, and nodes wait for nothing but each other's rows. Acts that
//! wait travel together, each with a verdict of its own. A write whose answer is lost is [`PutError::Unknown`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use self::act::Act;
use self::address::Address;
use self::connection::Connections;
use self::error::PostgresError;
use self::queue::{Job, Pushed, Queue};
use self::settling::Settling;
use self::snapshot::PostgresSnapshot;
use self::statements::Statements;
use super::line::Lines;
use super::snapshot::Snapshot;
use super::{Apart, BoxFuture, Found, Get, PutError, Step, Storage, StorageError, Write};

mod act;
mod address;
mod connection;
mod durability;
mod error;
mod options;
mod queue;
mod reader;
mod schema;
mod settling;
mod snapshot;
mod statements;
mod tls;
mod writer;

pub use options::{ConnectionUrl, Options, Table};

/// A store in a PostgreSQL table.
pub struct Postgres {
    shared: Arc<Shared>,
    /// Whether it answers whatever the server's line is.
    unchecked: bool,
}

/// What callers and groups on their way have in common.
struct Shared {
    connections: Connections,
    statements: Statements,
    queue: Queue,
    lines: Arc<Lines>,
    settling: Settling,
    patience: Duration,
}

impl Shared {
    /// How much longer than the server's patience ours is, so that the server's word is heard first.
    fn grace(&self) -> Duration {
        Duration::from_millis(500)
    }
}

impl Postgres {
    /// Connects, makes the tables unless they are there, and looks whether the server keeps what it acknowledges. Several nodes
    /// may do so at once.
    ///
    /// # Errors
    /// [`StorageError::Failed`] with a sentence that says what to do: the URL or a file it names cannot be used, no server that
    /// takes writes is reached, the tables are not ours or of a newer format, the server would lose acknowledged writes.
    pub async fn open(options: &Options) -> Result<Self, StorageError> {
        let address = Address::parse(options.url.expose())?;
        for warning in &address.warnings {
            tracing::warn!("{warning}");
        }
        let tls = tls::connector(&address)?;
        let lines = Arc::new(Lines::new());
        let several = address.several();
        let connections = Connections::new(address, tls, options, Arc::clone(&lines))?;
        {
            let lent = connections.get().await?;
            for warning in durability::check(lent.client(), several).await? {
                tracing::warn!("storage \"postgres\": {warning}");
            }
            schema::prepare(lent.client(), &options.table).await?;
        }
        let shared = Shared {
            connections,
            statements: Statements::new(&options.table),
            // Half of the connections, so that writes never keep all reads waiting.
            queue: Queue::new(options.max_parallel.div_ceil(2)),
            lines,
            settling: Settling::new(),
            patience: options.statement_timeout,
        };
        Ok(Postgres { shared: Arc::new(shared), unchecked: false })
    }
    fn check(&self) -> Result<(), StorageError> {
        match self.unchecked {
            true => Ok(()),
            false => self.shared.lines.check().map_err(|changed| StorageError::Failed(changed.into())),
        }
    }
}

impl Storage for Postgres {
    fn get_many(&self, gets: Vec<Get>) -> BoxFuture<'_, Result<Vec<Found>, StorageError>> {
        Box::pin(async move {
            self.check()?;
            if gets.is_empty() {
                return Ok(Vec::new());
            }
            let found = reader::get_many(&self.shared, &gets).await?;
            // The connection it came on may have been opened to another line.
            self.check().map(|()| found)
        })
    }
    fn put_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), PutError>> {
        Box::pin(async move {
            self.check().map_err(PutError::Failed)?;
            if writes.is_empty() {
                return Ok(());
            }
            let (answer, answered) = oneshot::channel();
            let until = Instant::now() + self.shared.patience;
            let job = Job { act: Act::new(writes), answer, until, unchecked: self.unchecked };
            if self.shared.queue.push(job)? == Pushed::Go {
                // Not this caller's own task: it may go away, and others' acts travel along.
                tokio::spawn(writer::run(Arc::clone(&self.shared)));
            }
            answered.await.unwrap_or_else(|_| Err(PutError::Unknown(PostgresError::Closed.into())))
        })
    }
    fn step(self: Arc<Self>) -> Box<dyn Step> {
        Box::new(Apart(self))
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, StorageError>> {
        Box::pin(async move {
            self.check()?;
            let entries = reader::list(&self.shared, prefix, after, limit).await?;
            self.check().map(|()| entries)
        })
    }
    fn snapshot(self: Arc<Self>) -> BoxFuture<'static, Result<Box<dyn Snapshot>, StorageError>> {
        Box::pin(async move {
            self.check()?;
            let snapshot = PostgresSnapshot::begin(Arc::clone(&self.shared)).await?;
            self.check().map(|()| Box::new(snapshot) as Box<dyn Snapshot>)
        })
    }
    fn settled(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            let before = self.shared.lines.approved();
            self.check()?;
            self.shared.settling.settle(&self.shared).await?;
            self.check()?;
            // What was read was another server's.
            match self.unchecked || self.shared.lines.approved() == before {
                true => Ok(()),
                false => Err(StorageError::Failed("the database server was replaced meanwhile".into())),
            }
        })
    }
    fn lines(&self) -> Option<&Lines> {
        Some(&self.shared.lines)
    }
    fn unchecked(self: Arc<Self>) -> Option<Arc<dyn Storage>> {
        Some(Arc::new(Postgres { shared: Arc::clone(&self.shared), unchecked: true }))
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").field("unchecked", &self.unchecked).finish_non_exhaustive()
    }
}
