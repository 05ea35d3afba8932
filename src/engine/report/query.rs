//! What a report is asked for.

use serde_json::{Map, Value};

use crate::domain::fields::Fields;
use crate::domain::name::AccountName;
use crate::domain::time::Timestamp;
use crate::error::{Error, Result};

/// Most accounts or acts of one page.
const MOST: u64 = 1000;

/// Where in the names a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// An account, or a folder with its `/`: everything up to it, and a folder as a whole, is behind.
    pub name: String,
    /// Set within an account: its acts up to this number are behind, the others are not.
    pub seq: Option<u64>,
}

impl Place {
    fn parse(text: &str) -> Option<Place> {
        let (name, seq) = match text.split_once(':') {
            Some((name, seq)) => (name, Some(seq.parse().ok()?)),
            None => (text, None),
        };
        let account = if seq.is_some() { name } else { name.strip_suffix('/').unwrap_or(name) };
        AccountName::parse(account).ok()?;
        Some(Place { name: name.to_owned(), seq })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.seq {
            Some(seq) => write!(f, "{}:{seq}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What every report takes.
pub struct Query {
    /// Only this account and what lies in the folder of its name; empty for all.
    pub folder: String,
    /// Whether the folder's own name counts as an account too (it was given without a `/` at its end).
    pub itself: bool,
    /// Where the page begins.
    pub after: Option<Place>,
    /// Most accounts or acts of the page.
    pub limit: usize,
    /// Lines of CSV instead of rows.
    pub csv: bool,
    /// Acts from this time on.
    pub from: Option<Timestamp>,
    /// Acts before this time.
    pub to: Option<Timestamp>,
    /// Fields that one report has of its own.
    pub fields: Fields,
}

impl Query {
    /// Reads what every report takes.
    pub fn read(data: Map<String, Value>) -> Result<Query> {
        let mut fields = Fields::new(data);
        let prefix = fields.string("prefix")?.value().unwrap_or_default();
        let folder = prefix.strip_suffix('/').unwrap_or(&prefix);
        if !prefix.is_empty() {
            AccountName::parse(folder).map_err(|_| {
                Error::field("prefix", "an account or a folder of accounts, such as github/acme-owner or github/")
            })?;
        }
        let after = match fields.string("after")?.value().filter(|after| !after.is_empty()) {
            None => None,
            Some(text) => {
                let place = Place::parse(&text).filter(|place| within(&place.name, folder));
                Some(place.ok_or_else(|| {
                    Error::field("after", "the value of next in the page before, under the same prefix")
                })?)
            }
        };
        let csv = match fields.string("format")?.value().as_deref() {
            None | Some("" | "json") => false,
            Some("csv") => true,
            Some(_) => return Err(Error::field("format", "json or csv")),
        };
        let limit = fields.integer("limit", 1, MOST)?.value().unwrap_or(100);
        Ok(Query {
            itself: !prefix.is_empty() && !prefix.ends_with('/'),
            folder: if folder.is_empty() { String::new() } else { format!("{folder}/") },
            after,
            limit: usize::try_from(limit).unwrap_or(100),
            csv,
            from: None,
            to: None,
            fields,
        })
    }
    /// Reads the window of acts.
    pub fn window(mut self) -> Result<Query> {
        self.from = self.fields.time("from")?.value();
        self.to = self.fields.time("to")?.value();
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => Err(Error::field("from", "earlier than to")),
            _ => Ok(self),
        }
    }
    /// Whether an act of this time is asked for.
    pub fn covers(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.to.is_none_or(|to| at < to)
    }
}

fn within(name: &str, folder: &str) -> bool {
    folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(data: Value) -> Result<Query> {
        let Value::Object(map) = data else { panic!("an object") };
        Query::read(map).and_then(Query::window)
    }

    #[test]
    fn a_place_reads_back_what_it_wrote() {
        for text in ["github/acme", "github/", "a/b/c", "okta/jane@example.com:17"] {
            assert_eq!(Place::parse(text).unwrap().to_string(), text);
        }
        for text in ["/", "a//", "Acme", "a:", "a:x", "a/:3", "a:-1", "%", "a b"] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (data, field) in [
            (json!({"prefix": "GitHub"}), "prefix"),
            (json!({"prefix": "/"}), "prefix"),
            (json!({"prefix": "a//"}), "prefix"),
            (json!({"after": "a b"}), "after"),
            (json!({"after": "okta/a", "prefix": "github/"}), "after"),
            (json!({"after": "githubber", "prefix": "github"}), "after"),
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 1001}), "limit"),
            (json!({"format": "xml"}), "format"),
            (json!({"from": "yesterday"}), "from"),
            (json!({"from": 20, "to": 20}), "from"),
        ] {
            let error = read(data.clone()).err().unwrap_or_else(|| panic!("{data}"));
            assert!(error.public().starts_with(field), "{data}: {error}");
        }
        let query = read(json!({"prefix": "github", "after": "github/acme", "from": 10, "to": "20"})).unwrap();
        assert_eq!((query.folder.as_str(), query.itself, query.limit), ("github/", true, 100));
        let covered = [9, 10, 19, 20].map(|at| query.covers(Timestamp::from_secs(at)));
        assert_eq!(covered, [false, true, true, false]);
    }
}
