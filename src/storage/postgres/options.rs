//! What the store is told about its database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::address::Address;
use super::tls;

/// Everything the configuration says of the database.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it is and who we are there.
    pub url: ConnectionUrl,
    /// The table.
    pub table: Table,
    /// Most connections at a time.
    pub max_parallel: usize,
    /// How long one server may take until a connection to it stands.
    pub connect_timeout: Duration,
    /// How long a call may take, its repeats after serialization failures included.
    pub statement_timeout: Duration,
    /// How long a write waits for a row that somebody else is writing.
    pub lock_timeout: Duration,
    /// How long a connection may rest before it is replaced.
    pub idle_timeout: Duration,
    /// How long a connection lives.
    pub max_lifetime: Duration,
    /// Whether the server may keep our statements for the life of a connection.
    pub prepared_statements: bool,
}

impl Options {
    /// `url`, and everything else as it is by default.
    pub fn new(url: ConnectionUrl) -> Self {
        Options {
            url,
            table: Table::default(),
            max_parallel: 16,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(300),
            max_lifetime: Duration::from_secs(3600),
            prepared_statements: false,
        }
    }
    /// Looks at the URL and the files that it names, and connects to nothing.
    ///
    /// # Errors
    /// What is wrong with the URL and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let checked = Address::parse(self.url.expose()).and_then(|address| tls::connector(&address));
        checked.map(drop).map_err(|error| error.to_string())
    }
}

/// A connection URL. It may hold a password: it is wiped when dropped and cannot be printed.
#[derive(Clone)]
pub struct ConnectionUrl(Arc<Zeroizing<String>>);

impl ConnectionUrl {
    /// Takes over `text`, which is looked at when the store opens.
    pub fn new(text: Zeroizing<String>) -> Self {
        ConnectionUrl(Arc::new(text))
    }
    /// The text, for the one place that parses it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionUrl(_)")
    }
}

/// The name of the table, with its schema where one was given: nothing that SQL would have to quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(String);

/// Longest part of a table's name, so that the names made from it keep to PostgreSQL's 63 bytes.
const LONGEST_NAME: usize = 48;

impl Table {
    /// The table `name`: `sparekey` or `schema.sparekey`, each part of `[a-z_][a-z0-9_]*` and at most 48 characters.
    pub fn parse(name: &str) -> Option<Self> {
        let part = |part: &str| {
            part.len() <= LONGEST_NAME
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
                && part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        };
        let parts: Vec<&str> = name.split('.').collect();
        (parts.len() <= 2 && parts.iter().all(|name| part(name))).then(|| Table(name.to_owned()))
    }
    /// The table of the records.
    pub fn records(&self) -> &str {
        &self.0
    }
    /// The table that says the format.
    pub fn format(&self) -> String {
        format!("{}_format", self.0)
    }
}

impl Default for Table {
    fn default() -> Self {
        Table("sparekey".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_a_plain_name() {
        for good in ["sparekey", "vault.sparekey", "_a1", &"a".repeat(48)] {
            assert_eq!(Table::parse(good).unwrap().records(), good);
        }
        for bad in ["", ".", "a.", ".a", "a.b.c", "1a", "A", "a-b", "a b", "a\"b", "a;drop", &"a".repeat(49)] {
            assert!(Table::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_not_printed() {
        let url = ConnectionUrl::new(Zeroizing::new("postgres://a:hunter2@localhost/a".into()));
        assert!(!format!("{:?}", Options::new(url)).contains("hunter2"));
    }
}
