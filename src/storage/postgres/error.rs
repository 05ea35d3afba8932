//! What can go wrong with the database, each with what to do about it. Never a value, never a password.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tokio_postgres::error::{Severity, SqlState};

use crate::error::chain;
use crate::storage::{PutError, StorageError};

#[derive(Debug)]
pub(super) enum PostgresError {
    /// What `connection_url` or a file that it names says cannot be used.
    Address(String),
    /// No server of the list could be reached.
    Unreachable(String),
    /// All connections are in use.
    Busy { most: usize, waited: Duration },
    /// The server gave no answer in time.
    Silent(Duration),
    /// A write waited for its turn until its time was up; it was not sent.
    Late(Duration),
    /// The server refused a statement.
    Refused(Refusal),
    /// The connection broke.
    Broken(String),
    /// The server said that it did not wait for its standby.
    Unreplicated(String),
    /// The tables are not ours, or of a format that this version does not know.
    Schema(String),
    /// The server is set so that acknowledged writes may be lost.
    Durability(String),
    /// A row that no version of ours has written.
    Row(&'static str),
    /// Too many writes wait already.
    Waiting(usize),
    /// A list of writes larger than is taken at once.
    TooLarge { bytes: usize, most: usize },
    /// The store is being closed.
    Closed,
}

/// What the server answered.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: String,
    message: String,
    /// Whether the statement, and nothing else, ended with it.
    ended: bool,
}

/// What follows from a failed write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consequence {
    /// Nothing was written, and the same statement may succeed now.
    Again,
    /// Nothing was written.
    Failed,
    /// It is not known.
    Unknown,
}

impl PostgresError {
    /// What is true after a write that ended with this error once it had been sent.
    pub(super) fn consequence(&self) -> Consequence {
        let PostgresError::Refused(refusal) = self else { return Consequence::Unknown };
        if !refusal.ended || refusal.code.starts_with("08") || refusal.code == "40003" {
            return Consequence::Unknown;
        }
        match refusal.code.as_str() {
            // Serialization failure, deadlock; our own guard against a row that appeared after the statement's snapshot.
            "40001" | "40P01" | GUARD => Consequence::Again,
            _ => Consequence::Failed,
        }
    }
    /// Whether a read that ended with this error may succeed on another connection, or simply now.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            PostgresError::Broken(_) => true,
            PostgresError::Refused(refusal) => {
                !refusal.ended || matches!(refusal.code.as_str(), "40001" | "40P01" | "25006")
            }
            _ => false,
        }
    }
    /// Whether the connection is of no further use: it broke, or it leads to a server that takes no writes.
    pub(super) fn connection_is_useless(&self) -> bool {
        match self {
            PostgresError::Refused(refusal) => !refusal.ended || refusal.code == "25006",
            PostgresError::Broken(_) | PostgresError::Silent(_) => true,
            _ => false,
        }
    }
}

/// Division by zero: what the write statement does where it must not be committed.
const GUARD: &str = "22012";

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PostgresError::Address(what) => f.write_str(what),
            PostgresError::Unreachable(what) => write!(f, "no PostgreSQL server that takes writes was reached: {what}"),
            PostgresError::Busy { most, waited } => write!(
                f,
                "all {most} connections were in use for {} ms: raise max_parallel, or find out why the database is slow",
                waited.as_millis()
            ),
            PostgresError::Silent(waited) => {
                write!(f, "the database did not answer within {} ms (statement_timeout)", waited.as_millis())
            }
            PostgresError::Late(waited) => write!(
                f,
                "a write waited {} ms for its turn and was not sent (statement_timeout): the database is slow, or rows are held",
                waited.as_millis()
            ),
            PostgresError::Refused(Refusal { code, message, .. }) => {
                write!(f, "the database refused: {message} (SQLSTATE {code})")
            }
            PostgresError::Broken(what) => write!(f, "the connection to the database broke: {what}"),
            PostgresError::Unreplicated(what) => write!(f, "the database did not wait for its standby: {what}"),
            PostgresError::Schema(what) | PostgresError::Durability(what) => f.write_str(what),
            PostgresError::Row(what) => write!(f, "the row {what}"),
            PostgresError::Waiting(waiting) => {
                write!(f, "{waiting} writes wait for the database already: try again later")
            }
            PostgresError::TooLarge { bytes, most } => {
                write!(f, "the writes have {bytes} bytes together and the store takes at most {most} at once")
            }
            PostgresError::Closed => f.write_str("the store is being closed"),
        }
    }
}

impl StdError for PostgresError {}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refused) => PostgresError::Refused(Refusal {
                code: refused.code().code().to_owned(),
                message: refused.message().to_owned(),
                ended: refused.parsed_severity() == Some(Severity::Error)
                    // Some engines and poolers close the connection with these and call it an error.
                    && *refused.code() != SqlState::ADMIN_SHUTDOWN
                    && *refused.code() != SqlState::CRASH_SHUTDOWN,
            }),
            None => PostgresError::Broken(chain(&error)),
        }
    }
}

impl From<PostgresError> for StorageError {
    fn from(error: PostgresError) -> Self {
        StorageError::Failed(error.into())
    }
}

impl From<PostgresError> for PutError {
    fn from(error: PostgresError) -> Self {
        PutError::Failed(error.into())
    }
}
