//! Which store the file names. The database's URL may hold a password: it is named by where it comes from and read when the
//! server starts.

use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use super::ConfigError;
use super::seal::{KeySource, Place, error_at, key_source};
use super::section::Section;
use crate::storage::postgres::{ConnectionUrl, Options, Table};

/// Where everything is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageChoice {
    /// One file.
    Redb {
        /// The file, or the folder that holds it.
        path: PathBuf,
    },
    /// A PostgreSQL database, which several nodes share.
    Postgres(Box<PostgresChoice>),
    /// Memory: gone when the process ends.
    Memory,
}

/// A PostgreSQL database as the file names it.
#[derive(Debug, Clone)]
pub struct PostgresChoice {
    /// Where its URL comes from.
    pub url: UrlSource,
    /// The table.
    pub table: Table,
    /// Most connections.
    pub max_parallel: usize,
    /// Whether statements are prepared.
    pub prepared_statements: bool,
    /// Times, in the order of [`TIMES`].
    times: [Option<Duration>; 5],
    place: Place,
}

/// Where the database's URL comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UrlSource {
    /// The file itself; it holds no password.
    Given(String),
    /// An environment variable or another file.
    Elsewhere(KeySource),
    /// Nothing was said: the environment has it.
    Unsaid,
}

impl PartialEq for PostgresChoice {
    /// Where it was written does not count.
    fn eq(&self, other: &Self) -> bool {
        let parts = |choice: &Self| {
            let PostgresChoice { url, table, max_parallel, prepared_statements, times, place: _ } = choice.clone();
            (url, table, max_parallel, prepared_statements, times)
        };
        parts(self) == parts(other)
    }
}

impl Eq for PostgresChoice {}

/// The environment variable that goes before the file.
pub(super) const URL_VARIABLE: &str = "SPAREKEY_PG_CONNECTION_URL";
/// A URL with several hosts and paths is far shorter.
const MAX_URL: u64 = 8192;

const TIMES: [(&str, u64, u64); 5] = [
    ("connect_timeout", 1, 300),
    ("statement_timeout", 1, 300),
    ("lock_timeout", 1, 300),
    ("idle_timeout", 1, 86_400),
    ("max_lifetime", 60, 604_800),
];

impl PostgresChoice {
    /// Reads the URL. Connects to nothing yet, and looks at the files that the URL names.
    ///
    /// # Errors
    /// File, line and field, and what would be right; never a part of a URL that may hold a password.
    pub fn load(&self) -> Result<Options, ConfigError> {
        let text = match (std::env::var_os(URL_VARIABLE), &self.url) {
            (Some(value), _) => as_text(value.into_encoded_bytes()),
            (None, UrlSource::Given(url)) => Some(Zeroizing::new(url.clone())),
            (None, UrlSource::Elsewhere(source)) => {
                let mut bytes = source.read(&self.place, MAX_URL)?;
                as_text(std::mem::take(&mut *bytes))
            }
            (None, UrlSource::Unsaid) => {
                return Err(error_at(
                    &self.place,
                    format_args!(
                        "required: a URL without a password, \"env://NAME\" or \"file://PATH\"; or set {URL_VARIABLE}"
                    ),
                ));
            }
        };
        let Some(text) = text else {
            return Err(error_at(
                &self.place,
                format_args!("not UTF-8, or longer than {MAX_URL} bytes: this is no URL"),
            ));
        };
        let mut options = Options::new(ConnectionUrl::new(text));
        options.table = self.table.clone();
        options.max_parallel = self.max_parallel;
        options.prepared_statements = self.prepared_statements;
        let [connect, statement, lock, idle, lifetime] = self.times;
        options.connect_timeout = connect.unwrap_or(options.connect_timeout);
        options.statement_timeout = statement.unwrap_or(options.statement_timeout);
        options.lock_timeout = lock.unwrap_or(options.lock_timeout);
        options.idle_timeout = idle.unwrap_or(options.idle_timeout);
        options.max_lifetime = lifetime.unwrap_or(options.max_lifetime);
        options.check().map_err(|what| error_at(&self.place, format_args!("{what}")))?;
        Ok(options)
    }
}

/// A line of text, without the line's end that files have.
fn as_text(mut bytes: Vec<u8>) -> Option<Zeroizing<String>> {
    bytes.truncate(bytes.trim_ascii_end().len());
    if u64::try_from(bytes.len()).is_ok_and(|bytes| bytes > MAX_URL) {
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            None
        }
    }
}

/// Reads the one `storage` block.
pub(super) fn read(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<StorageChoice, ConfigError> {
    let mut blocks = top.blocks("storage", &["redb"])?.into_iter();
    let Some((labels, section)) = blocks.next() else {
        return Err(top.error("storage", "required: write storage \"redb\" { path = \"/var/lib/sparekey\" }"));
    };
    if let Some((_, second)) = blocks.next() {
        return Err(second.error("", "a second storage: there is one store"));
    }
    match labels.as_slice() {
        ["redb"] => {
            section.only(&["path"], &[])?;
            match section.text("path")? {
                Some((path, _)) if !path.is_empty() => Ok(StorageChoice::Redb { path: PathBuf::from(path) }),
                Some((_, given)) => Err(given.error("must not be empty")),
                None => Err(section.error("path", "required: where the store's file lies")),
            }
        }
        ["postgres" | "postgresql"] => Ok(StorageChoice::Postgres(Box::new(postgres(&section)?))),
        ["inmem"] => {
            section.only(&[], &[])?;
            warnings.push("storage \"inmem\": everything is lost when the server stops".to_owned());
            Ok(StorageChoice::Memory)
        }
        other => {
            let name = other.first().copied().unwrap_or_default();
            Err(section.error("", format_args!("the storage is \"redb\", \"postgres\" or \"inmem\", not {name:?}")))
        }
    }
}

const POSTGRES_WORDS: &[&str] = &[
    "connection_url",
    "table",
    "max_parallel",
    "connect_timeout",
    "statement_timeout",
    "lock_timeout",
    "idle_timeout",
    "max_lifetime",
    "prepared_statements",
];

/// Words of Vault's that have no meaning here.
const POSTGRES_ELSEWHERE: &[(&str, &str)] = &[
    ("ha_enabled", "not supported: every node serves every request, and the rows decide"),
    ("ha_table", "not supported: every node serves every request, and the rows decide"),
    ("max_idle_connections", "not supported: connections that rest are closed after idle_timeout"),
    ("max_connect_retries", "not supported: a server that is not reached is tried again with the next request"),
    ("skip_create_table", "not needed: a table that is there is not made"),
];

fn postgres(section: &Section<'_>) -> Result<PostgresChoice, ConfigError> {
    section.only(POSTGRES_WORDS, POSTGRES_ELSEWHERE)?;
    let (url, place) = match section.text("connection_url")? {
        None => (UrlSource::Unsaid, section.place("connection_url")),
        Some((text, given)) => {
            let text = Zeroizing::new(text);
            let elsewhere = text.starts_with("env://") || text.starts_with("file://");
            if !elsewhere && has_password(&text) {
                return Err(given.error(
                    "a password is not written into this file, where backups and version control would carry it along: write \
                     \"env://NAME\" or \"file://PATH\", and the whole URL there",
                ));
            }
            let url = match key_source(section, "connection_url") {
                Ok(Some((source, _))) => UrlSource::Elsewhere(source),
                Err(error) if elsewhere => return Err(error),
                _ => UrlSource::Given(text.to_string()),
            };
            (url, given.place())
        }
    };
    let table = match section.text("table")? {
        None => Table::default(),
        Some((text, given)) => Table::parse(&text).ok_or_else(|| {
            given.error("lower-case letters, digits and \"_\", at most 48, such as \"sparekey\" or \"vault.sparekey\"")
        })?,
    };
    let max_parallel = section.integer("max_parallel", 2, 1000)?.and_then(|most| usize::try_from(most).ok());
    let mut times = [None; 5];
    for (slot, (word, least, most)) in times.iter_mut().zip(TIMES) {
        *slot = section.duration(word, least, most)?;
    }
    let prepared_statements = section.boolean("prepared_statements")?.unwrap_or(false);
    Ok(PostgresChoice { url, table, max_parallel: max_parallel.unwrap_or(16), prepared_statements, times, place })
}

/// Whether a URL that was written into the file holds a password, wherever it may hide one.
fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let user = rest.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || rest.to_ascii_lowercase().contains("password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        for with in [
            "postgres://a:b@c/d",
            "postgres://a:@c/d",
            "postgres://a:b@c@d/e",
            "postgres://a@c/d?password=b",
            "user=a password=b",
            "postgres://c/d?user=a&PassWord=b",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in
            ["postgres://a@c:5432/d", "postgres://a@[::1]:5432,c/d?sslmode=verify-full", "postgres://c/d?user=a"]
        {
            assert!(!has_password(without), "{without}");
        }
    }
}
