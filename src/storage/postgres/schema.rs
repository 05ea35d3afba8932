//! The tables: made by whoever comes first, and refused where they are not ours.
//!
//! Every statement stands alone and may be run again, so that nodes that start together only find what another has done.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::PostgresError;
use super::options::Table;

/// The format that this version writes.
const FORMAT: i64 = 1;
/// How often a step is tried while others do the same.
const TRIES: u32 = 20;

/// Makes the tables unless they are there, and looks at their format.
pub(super) async fn prepare(client: &Client, table: &Table) -> Result<(), PostgresError> {
    let mut tries = 0;
    loop {
        match step(client, table).await {
            Err(PostgresError::Refused(refusal)) if met_another(&refusal.code) && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(5 * u64::from(tries))).await;
            }
            other => return other,
        }
    }
}

/// Whether a statement failed because another node was about the same: `IF NOT EXISTS` looks before it makes.
fn met_another(code: &str) -> bool {
    // unique_violation (of the catalogue), duplicate_table, duplicate_object, internal ("tuple concurrently updated"),
    // serialization_failure, deadlock_detected.
    ["23505", "42P07", "42710", "XX000", "40001", "40P01"].contains(&code)
}

async fn step(client: &Client, table: &Table) -> Result<(), PostgresError> {
    let (records, format) = (table.records(), table.format());
    let found = match client.query_typed(&format!("SELECT format FROM {format}"), &[]).await {
        Ok(rows) => rows.first().map(|row| row.try_get::<_, i64>(0)).transpose()?,
        Err(error) if error.code().is_some_and(|code| code.code() == "42P01") => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(FORMAT) => return look(client, records).await,
        Some(found) if found > FORMAT => {
            return Err(PostgresError::Schema(format!(
                "table {records} has format {found} and this version reads up to {FORMAT}: run the newer version that wrote it, \
                 or restore a backup made before the upgrade"
            )));
        }
        Some(found) => {
            return Err(PostgresError::Schema(format!(
                "table {records} has the unknown format {found}: restore it from a backup, or name another table"
            )));
        }
        None => {}
    }
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {records} (key bytea PRIMARY KEY, value bytea NOT NULL, revision bytea NOT NULL)"
    );
    client.batch_execute(&create).await?;
    look(client, records).await?;
    client.batch_execute(&format!("CREATE TABLE IF NOT EXISTS {format} (format bigint PRIMARY KEY)")).await?;
    let insert = format!("INSERT INTO {format} (format) VALUES ($1) ON CONFLICT (format) DO NOTHING");
    client.execute_typed(&insert, &[(&FORMAT, Type::INT8)]).await?;
    Ok(())
}

/// A table of this name may have been there for another purpose.
async fn look(client: &Client, records: &str) -> Result<(), PostgresError> {
    match client.query_typed(&format!("SELECT key, value, revision FROM {records} LIMIT 0"), &[]).await {
        Ok(_) => Ok(()),
        Err(error) if error.code().is_some_and(|code| code.code() == "42703") => Err(PostgresError::Schema(format!(
            "table {records} is there and is no Sparekey store: name another one (storage.postgres.table)"
        ))),
        Err(error) => Err(error.into()),
    }
}
