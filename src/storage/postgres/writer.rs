//! Groups of acts on their way to the database and back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::{ToSql, Type};

use super::Shared;
use super::act::{Act, Fate};
use super::connection::{Connection, Lent, discard};
use super::error::{Consequence, PostgresError};
use super::queue::Job;
use crate::storage::line::Line;
use crate::storage::{PutError, Revision};

/// What every placeholder of an absent row is written with; it is gone when its transaction ends.
const PLACEHOLDER: [u8; 16] = [0; 16];

/// What became of each act of a group: the place of its first conflict, if it has one.
type Verdicts = Vec<Option<usize>>;

/// A write that did not go through.
struct Failure {
    error: PostgresError,
    consequence: Consequence,
}

/// Sends groups until nothing waits that could go.
pub(super) async fn run(shared: Arc<Shared>) {
    while let Some(group) = shared.queue.next() {
        let (jobs, held) = group.into_parts();
        let now = Instant::now();
        let (late, jobs): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.until <= now);
        for job in late {
            job.answer(Err(PostgresError::Late(shared.patience).into()));
        }
        if !jobs.is_empty() {
            send(&shared, jobs).await;
        }
        shared.queue.release(&held);
    }
}

/// Sends `jobs` together; if the database refuses them together, each by itself.
async fn send(shared: &Shared, jobs: Vec<Job>) {
    match attempt(shared, &jobs).await {
        Ok((verdicts, line)) => {
            let trusted = line.map_or(Ok(()), |line| shared.lines.observe(line));
            for (job, verdict) in jobs.into_iter().zip(verdicts) {
                let result = match (verdict, &trusted) {
                    (Some(index), _) => Err(PutError::Conflict { index }),
                    (None, Err(changed)) if !job.unchecked => Err(PutError::Unknown(changed.clone().into())),
                    (None, _) => Ok(()),
                };
                job.answer(result);
            }
        }
        Err(Failure { consequence: Consequence::Failed, .. }) if jobs.len() > 1 => {
            for job in jobs {
                Box::pin(send(shared, vec![job])).await;
            }
        }
        Err(Failure { error, consequence }) => {
            let text = error.to_string();
            tracing::warn!(acts = jobs.len(), "the database did not take writes: {text}");
            for job in jobs {
                job.answer(Err(match consequence {
                    Consequence::Unknown => PutError::Unknown(text.clone().into()),
                    _ => PutError::Failed(crate::storage::StorageError::Failed(text.clone().into())),
                }));
            }
        }
    }
}

/// Sends until there is an answer that repeating would not change, or the time of all of them is up.
async fn attempt(shared: &Shared, jobs: &[Job]) -> Result<(Verdicts, Option<Line>), Failure> {
    let until = jobs.iter().map(|job| job.until).max().unwrap_or_else(Instant::now);
    let unsent = |error| Failure { error, consequence: Consequence::Failed };
    let mut pause = Duration::from_millis(1);
    loop {
        if Instant::now() >= until {
            return Err(unsent(PostgresError::Late(shared.patience)));
        }
        let lent = match timeout_at(until, shared.connections.get()).await {
            Ok(lent) => lent.map_err(unsent)?,
            Err(_) => return Err(unsent(PostgresError::Late(shared.patience))),
        };
        lent.hush();
        // A little longer than the server has: then its word is heard, by which nothing was written.
        let answer = timeout_at(until + shared.grace(), once(shared, &lent, jobs)).await;
        let error = match answer {
            Ok(Ok(done)) => {
                if let Some(warned) = lent.warning() {
                    let error = PostgresError::Unreplicated(warned);
                    return Err(Failure { error, consequence: Consequence::Unknown });
                }
                return Ok(done);
            }
            Ok(Err(error)) => error,
            Err(_) => PostgresError::Silent(shared.patience),
        };
        let consequence = error.consequence();
        give_back(lent, &error);
        if consequence != Consequence::Again || Instant::now() + pause >= until {
            let consequence = if consequence == Consequence::Unknown { consequence } else { Consequence::Failed };
            return Err(Failure { error, consequence });
        }
        tracing::debug!("a write is repeated: {error}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Gives `lent` back, unless nobody can use it any more.
pub(super) fn give_back(lent: Lent, error: &PostgresError) {
    if error.connection_is_useless() {
        discard(lent);
    }
}

async fn once(
    shared: &Shared,
    connection: &Connection,
    jobs: &[Job],
) -> Result<(Verdicts, Option<Line>), PostgresError> {
    match jobs {
        [job] if job.act.only_asks() => Ok((vec![Some(first_conflict(shared, connection, &job.act).await?)], None)),
        [job] if job.act.stands_alone() => alone(shared, connection, &job.act).await,
        _ => put(shared, connection, jobs).await,
    }
}

/// The statement's parameters.
#[derive(Default)]
struct Rows<'a> {
    acts: Vec<i32>,
    places: Vec<i32>,
    keys: Vec<&'a [u8]>,
    expects: Vec<Option<&'a [u8]>>,
    values: Vec<Option<&'a [u8]>>,
    revisions: Vec<Option<&'a [u8]>>,
    firm: Vec<&'a [u8]>,
    held: Vec<&'a [u8]>,
}

impl<'a> Rows<'a> {
    fn of(acts: impl Iterator<Item = &'a Act>) -> Self {
        let mut rows = Rows::default();
        for (number, act) in acts.enumerate() {
            for row in &act.rows {
                let (value, revision): (Option<&[u8]>, Option<&[u8]>) = match &row.fate {
                    Fate::Put(value, revision) => (Some(value), Some(&revision.0)),
                    Fate::Vacant => (Some(&[]), Some(&PLACEHOLDER)),
                    Fate::Stay | Fate::Delete => (None, None),
                };
                rows.acts.push(small(number));
                rows.places.push(small(row.place));
                rows.keys.push(row.key.as_bytes());
                rows.expects.push(row.expect.as_ref().map(|revision| revision.0.as_slice()));
                rows.values.push(value);
                rows.revisions.push(revision);
                if row.changes() { &mut rows.held } else { &mut rows.firm }.push(row.key.as_bytes());
            }
        }
        for keys in [&mut rows.firm, &mut rows.held] {
            keys.sort_unstable();
            keys.dedup();
        }
        rows
    }
    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 8] {
        [
            (&self.acts, Type::INT4_ARRAY),
            (&self.places, Type::INT4_ARRAY),
            (&self.keys, Type::BYTEA_ARRAY),
            (&self.expects, Type::BYTEA_ARRAY),
            (&self.values, Type::BYTEA_ARRAY),
            (&self.revisions, Type::BYTEA_ARRAY),
            (&self.firm, Type::BYTEA_ARRAY),
            (&self.held, Type::BYTEA_ARRAY),
        ]
    }
}

/// A number of acts or writes: queue and requests are bounded far below.
fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The one statement for all of `jobs`.
async fn put(
    shared: &Shared,
    connection: &Connection,
    jobs: &[Job],
) -> Result<(Verdicts, Option<Line>), PostgresError> {
    ask(shared, connection, jobs.iter().map(|job| &job.act), jobs.len()).await
}

async fn ask<'a>(
    shared: &Shared,
    connection: &Connection,
    acts: impl Iterator<Item = &'a Act>,
    count: usize,
) -> Result<(Verdicts, Option<Line>), PostgresError> {
    let rows = Rows::of(acts);
    let statement = match shared.connections.line() {
        true => &shared.statements.put,
        false => &shared.statements.put_without_line,
    };
    let answer = connection.query(statement, &rows.parameters()).await?;
    let [row] = answer.as_slice() else { return Err(PostgresError::Row("of a write's answer is missing")) };
    let (acts, places): (Vec<i32>, Vec<i32>) = (row.try_get(0)?, row.try_get(1)?);
    let line: Option<String> = row.try_get(2)?;
    let mut verdicts = vec![None; count];
    for (act, place) in acts.into_iter().zip(places) {
        let verdict = usize::try_from(act).ok().and_then(|act| verdicts.get_mut(act));
        match (verdict, usize::try_from(place)) {
            (Some(verdict), Ok(place)) => *verdict = Some(place),
            _ => return Err(PostgresError::Row("of a write's answer names an act that was not sent")),
        }
    }
    Ok((verdicts, line.map(Line::new)))
}

/// An act that removes rows, or holds absent ones: a transaction of two statements. An absent row is held by a placeholder,
/// which the second statement takes away with the rest.
async fn alone(shared: &Shared, connection: &Connection, act: &Act) -> Result<(Verdicts, Option<Line>), PostgresError> {
    let client = connection.client();
    let (began, judged) =
        tokio::join!(biased; client.batch_execute("BEGIN"), ask(shared, connection, std::iter::once(act), 1));
    began?;
    let judged = match judged {
        Ok(judged) => judged,
        Err(error) => {
            // Until this has arrived the transaction is open; if it does not, the connection goes and the transaction with it.
            client.batch_execute("ROLLBACK").await?;
            return Err(error);
        }
    };
    let mut keys: Vec<&[u8]> = Vec::new();
    let mut revisions: Vec<&[u8]> = Vec::new();
    for row in &act.rows {
        let revision: &[u8] = match (&row.fate, &row.expect) {
            (Fate::Delete, Some(revision)) => &revision.0,
            (Fate::Vacant, _) => &PLACEHOLDER,
            _ => continue,
        };
        keys.push(row.key.as_bytes());
        revisions.push(revision);
    }
    if judged.0.iter().any(Option::is_some) {
        client.batch_execute("ROLLBACK").await?;
        return Ok(judged);
    }
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&keys, Type::BYTEA_ARRAY), (&revisions, Type::BYTEA_ARRAY)];
    let gone = connection.query(&shared.statements.delete, &parameters).await;
    match gone {
        Ok(gone) if gone.len() == keys.len() => {
            client.batch_execute("COMMIT").await?;
            Ok(judged)
        }
        Ok(_) => {
            client.batch_execute("ROLLBACK").await?;
            Err(PostgresError::Row("that was locked is not there"))
        }
        Err(error) => {
            client.batch_execute("ROLLBACK").await?;
            Err(error.into())
        }
    }
}

/// The first conflict of an act that cannot succeed: what the table says comes first if it stands before.
async fn first_conflict(shared: &Shared, connection: &Connection, act: &Act) -> Result<usize, PostgresError> {
    let keys: Vec<&[u8]> = act.rows.iter().map(|row| row.key.as_bytes()).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&keys, Type::BYTEA_ARRAY)];
    let rows = connection.query(&shared.statements.revisions, &parameters).await?;
    let mut stored = std::collections::HashMap::new();
    for row in &rows {
        stored.insert(row.try_get::<_, Vec<u8>>(0)?, super::reader::revision(row.try_get(1)?)?);
    }
    let holds = |key: &str, expect: Option<Revision>| stored.get(key.as_bytes()).copied() == expect;
    let first = act.rows.iter().filter(|row| !holds(&row.key, row.expect)).map(|row| row.place).min();
    Ok(first.into_iter().chain(act.doomed).min().unwrap_or_default())
}
