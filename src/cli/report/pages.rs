//! The pages of a report, one request each; and rows that go out as they come in.

use serde_json::{Map, Value};

use crate::cli::client::{Client, Failure, path, printable};
use crate::cli::console::Console;
use crate::cli::report::question::Query;
use crate::engine::report::csv::{self, Columns};

/// Rows asked for at once: an answer stays well below what the client reads.
const LIMIT: usize = 250;
/// After so many accounts or acts a word of how far it is.
const WORD: u64 = 5000;

/// A page.
pub struct Page {
    /// Its members, the rows apart.
    pub data: Map<String, Value>,
    /// Its rows.
    pub rows: Vec<Value>,
}

/// Fetches page after page.
pub struct Pages<'c> {
    client: &'c Client,
    base: String,
    list: &'static str,
    next: Option<String>,
    first: bool,
    seen: u64,
}

impl<'c> Pages<'c> {
    /// Pages of the report `which`; fetches nothing yet.
    pub fn new(
        client: &'c Client,
        mount: &str,
        which: &str,
        prefix: Option<&str>,
        query: Query,
    ) -> Result<Self, Failure> {
        let mut base = format!("{}?limit={LIMIT}", path(&[mount, "report", which])?);
        for (name, value) in
            query.iter().map(|(name, value)| (*name, value.as_str())).chain(prefix.map(|p| ("prefix", p)))
        {
            base = format!("{base}&{name}={}", encoded(value));
        }
        let list = if which == "usage" { "acts" } else { "accounts" };
        Ok(Pages { client, base, list, next: None, first: true, seen: 0 })
    }

    /// The next page, unless there is none.
    pub fn next(&mut self, console: &mut Console) -> Result<Option<Page>, Failure> {
        let target = match (self.first, &self.next) {
            (true, _) => self.base.clone(),
            (false, Some(place)) => format!("{}&after={}", self.base, encoded(place)),
            (false, None) => return Ok(None),
        };
        let reply = self.client.get(&target)?.success(self.client.settings())?;
        if self.first {
            reply.warnings().iter().for_each(|warning| console.complain(&format!("Warning: {}", printable(warning))));
        }
        let mut data = reply.data();
        let Some(Value::Array(rows)) = data.remove(self.list) else {
            return Err(Failure::local("the server's answer is no report: is it an older version?"));
        };
        let next = data.get("next").and_then(Value::as_str).map(str::to_owned);
        if next.is_some() && next == self.next {
            return Err(Failure::local("the server answers the same page again and again"));
        }
        let before = self.seen / WORD;
        self.seen += rows.len() as u64;
        if self.seen / WORD > before {
            console.complain(&format!("{} {} so far …", self.seen, self.list));
        }
        (self.next, self.first) = (next, false);
        Ok(Some(Page { data, rows }))
    }
}

/// A value of a query, percent-encoded (RFC 3986 section 2.3).
fn encoded(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'@' | b',');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Rows that go out as JSON or CSV while later pages are still to come.
pub struct Stream {
    json: bool,
    csv: bool,
    columns: Columns,
    begun: bool,
    rows: u64,
}

impl Stream {
    /// A stream of one form, or of none.
    pub fn new(json: bool, csv: bool, columns: Columns) -> Self {
        Stream { json, csv, columns, begun: false, rows: 0 }
    }
    /// Whether rows go out at all.
    pub fn is_on(&self) -> bool {
        self.json || self.csv
    }
    /// Sends the rows of a page.
    pub fn page(&mut self, rows: &[Value], console: &mut Console) {
        let mut text = String::new();
        if self.csv {
            if !self.begun {
                text = csv::head(self.columns);
            }
            rows.iter().for_each(|row| csv::line(self.columns, row, &mut text));
        } else if self.json {
            if !self.begun {
                text.push_str("[\n");
            }
            for row in rows {
                text.push_str(if self.rows == 0 { "" } else { ",\n" });
                text.push_str(&row.to_string());
                self.rows += 1;
            }
        }
        self.begun = true;
        console.write(&text);
    }
    /// Ends what was begun: without it the JSON is not whole, so that a run that broke off is not taken for a short one.
    pub fn end(&self, console: &mut Console) {
        if self.json {
            console.write(if self.rows == 0 { "]\n" } else { "\n]\n" });
        }
    }
}
