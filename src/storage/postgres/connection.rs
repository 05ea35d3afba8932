//! Connections: how one comes about, when it is given up, and how many there are.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, Timeouts};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::tls::NoTls;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Server};
use super::error::PostgresError;
// tokio-postgres puts neither values nor passwords into its errors.
use super::options::Options;
use crate::error::chain;
use crate::storage::line::{Line, Lines};

/// The connections of a store.
pub(super) struct Connections {
    pool: Pool<Opener>,
    most: usize,
    patience: Duration,
}

/// One connection; closed at once when it is dropped, whatever is under way on it.
pub(super) struct Connection {
    client: Client,
    /// Statements that were prepared on it, by their text; `None` where none may be.
    prepared: Option<Mutex<HashMap<String, Statement>>>,
    driver: JoinHandle<()>,
    warning: Arc<Warning>,
}

/// A warning that the server sent since it was last asked for.
#[derive(Default)]
struct Warning {
    sent: AtomicBool,
    text: Mutex<String>,
}

/// A connection that is in use and goes back when it is dropped.
pub(super) type Lent = Object<Opener>;

impl Connections {
    /// Nothing is connected yet.
    pub(super) fn new(
        address: Address,
        tls: Option<MakeRustlsConnect>,
        options: &Options,
        lines: Arc<Lines>,
    ) -> Result<Self, PostgresError> {
        let servers = address.servers.len();
        let opener = Opener {
            servers: address.servers,
            tls,
            latest: AtomicUsize::new(0),
            each: options.connect_timeout,
            idle: options.idle_timeout,
            lifetime: options.max_lifetime,
            session: session(options),
            prepares: options.prepared_statements,
            line: AtomicBool::new(true),
            lines,
        };
        let every = options.connect_timeout.saturating_mul(u32::try_from(servers).unwrap_or(u32::MAX));
        let pool = Pool::builder(opener)
            .max_size(options.max_parallel)
            .timeouts(Timeouts { wait: Some(options.statement_timeout), create: Some(every), recycle: None })
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|error| PostgresError::Unreachable(error.to_string()))?;
        Ok(Connections { pool, most: options.max_parallel, patience: options.statement_timeout })
    }
    /// A connection that was open a moment ago.
    pub(super) async fn get(&self) -> Result<Lent, PostgresError> {
        match self.pool.get().await {
            Ok(connection) => Ok(connection),
            Err(PoolError::Backend(error)) => Err(error),
            Err(PoolError::Timeout(deadpool::managed::TimeoutType::Wait)) => {
                Err(PostgresError::Busy { most: self.most, waited: self.patience })
            }
            Err(PoolError::Closed) => Err(PostgresError::Closed),
            Err(error) => Err(PostgresError::Unreachable(error.to_string())),
        }
    }
    /// Whether the server tells its line.
    pub(super) fn line(&self) -> bool {
        self.pool.manager().line.load(Ordering::Relaxed)
    }
}

impl Connection {
    pub(super) fn client(&self) -> &Client {
        &self.client
    }
    /// Runs a statement in one round trip (two when it is prepared for the first time).
    pub(super) async fn query(
        &self,
        text: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let Some(prepared) = &self.prepared else { return self.client.query_typed(text, parameters).await };
        let known = prepared.lock().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        let statement = match known {
            Some(statement) => statement,
            None => {
                let types: Vec<Type> = parameters.iter().map(|(_, kind)| kind.clone()).collect();
                let statement = self.client.prepare_typed(text, &types).await?;
                prepared.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned(), statement.clone());
                statement
            }
        };
        let values: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|(value, _)| *value).collect();
        self.client.query(&statement, &values).await
    }
    /// Forgets what the server warned of so far.
    pub(super) fn hush(&self) {
        self.warning.sent.store(false, Ordering::Release);
    }
    /// What the server warned of since [`Connection::hush`]. Our statements give no cause for warnings: there is one when the
    /// server acknowledges a commit that its standby has not.
    pub(super) fn warning(&self) -> Option<String> {
        self.warning
            .sent
            .load(Ordering::Acquire)
            .then(|| self.warning.text.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Ends a connection that is lent instead of giving it back.
pub(super) fn discard(lent: Lent) {
    drop(Object::take(lent));
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Opens connections: to the server that took the last one, else to the next of the list.
pub(super) struct Opener {
    servers: Vec<Server>,
    tls: Option<MakeRustlsConnect>,
    latest: AtomicUsize,
    each: Duration,
    idle: Duration,
    lifetime: Duration,
    session: String,
    prepares: bool,
    /// Whether the server has the functions that tell its line.
    line: AtomicBool,
    lines: Arc<Lines>,
}

/// What every session is told. Behind a pooler it may reach another session than ours, one of the same user: no harm.
fn session(options: &Options) -> String {
    format!(
        "SET statement_timeout = {statement}; SET lock_timeout = {lock}; \
         SET idle_in_transaction_session_timeout = {statement}",
        statement = options.statement_timeout.as_millis(),
        lock = options.lock_timeout.as_millis(),
    )
}

/// Tells the line as one text column `line`. Anybody may call these functions.
pub(super) const LINE: &str = "(SELECT system_identifier FROM pg_control_system())::text || '/' || \
                               substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";

impl Opener {
    async fn open(&self, server: &Server) -> Result<Connection, PostgresError> {
        let warning = Arc::new(Warning::default());
        let (client, driver) = match &self.tls {
            None => {
                let (client, connection) = server.config.connect(NoTls).await?;
                (client, tokio::spawn(drive(connection, Arc::clone(&warning))))
            }
            Some(tls) => {
                let (client, connection) = server.config.connect(tls.clone()).await?;
                (client, tokio::spawn(drive(connection, Arc::clone(&warning))))
            }
        };
        let prepared = self.prepares.then(Mutex::default);
        let connection = Connection { client, prepared, driver, warning };
        connection.client.batch_execute(&self.session).await?;
        if self.line.load(Ordering::Relaxed) {
            match connection.client.simple_query(&format!("SELECT {LINE} AS line")).await {
                Ok(answer) => self.see(&answer),
                Err(error) if error.as_db_error().is_some() => {
                    tracing::warn!(
                        reason = %chain(&error),
                        "the database server does not tell its line: a promoted standby or a restored database is not noticed here"
                    );
                    self.line.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(connection)
    }
    fn see(&self, answer: &[SimpleQueryMessage]) {
        let line = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        if let Some(line) = line
            && let Err(changed) = self.lines.observe(Line::new(line))
        {
            tracing::error!("{changed}");
        }
    }
}

/// Moves a connection's bytes until it ends.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, warning: Arc<Warning>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|cx| connection.poll_message(cx)).await {
            Some(Ok(AsyncMessage::Notice(notice))) => {
                if notice.parsed_severity() == Some(Severity::Warning) {
                    tracing::warn!(code = notice.code().code(), "the database warns: {}", notice.message());
                    *warning.text.lock().unwrap_or_else(PoisonError::into_inner) = notice.message().to_owned();
                    warning.sent.store(true, Ordering::Release);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return tracing::debug!(reason = %chain(&error), "a connection to the database ended"),
            None => return,
        }
    }
}

impl Manager for Opener {
    type Type = Connection;
    type Error = PostgresError;

    async fn create(&self) -> Result<Connection, PostgresError> {
        let first = self.latest.load(Ordering::Relaxed);
        let mut reasons = Vec::new();
        for place in 0..self.servers.len() {
            let index = (first + place) % self.servers.len();
            let Some(server) = self.servers.get(index) else { continue };
            let reason = match tokio::time::timeout(self.each, self.open(server)).await {
                Ok(Ok(connection)) => {
                    self.latest.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no connection within {} ms", self.each.as_millis()),
            };
            reasons.push(format!("{}: {reason}", server.name));
        }
        Err(PostgresError::Unreachable(reasons.join("; ")))
    }
    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> RecycleResult<PostgresError> {
        match connection.client.is_closed() || metrics.age() > self.lifetime || metrics.last_used() > self.idle {
            true => Err(RecycleError::message("closed, or rested or lived long enough")),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("servers", &self.servers.len()).finish_non_exhaustive()
    }
}
