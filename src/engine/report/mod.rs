//! `report/…`: what reviewers and security teams ask of all accounts, page by page. Nothing here changes anything.
//!
//! A page reads a bounded number of records and says where the next one begins (`next`; null after the last page). The place is
//! a name, not a count: accounts that come and go between two pages neither hide nor repeat another.

use serde_json::{Map, Value, json};

use crate::domain::time::Timestamp;
use crate::engine::request::Response;

pub mod access;
pub mod csv;
pub mod posture;
mod query;
mod review;
mod scan;
pub mod usage;
mod walk;

/// The list of a report's answer: its name and its rows.
struct Rows {
    name: &'static str,
    rows: Vec<Value>,
    columns: csv::Columns,
}

/// Makes the answer: the rows as they are, or as lines of CSV with the head on the first page only, so that the pages one after
/// the other are one file.
fn answer(
    query: &query::Query,
    rows: Rows,
    next: Option<String>,
    now: Timestamp,
    more: Map<String, Value>,
) -> Response {
    let mut data = more;
    data.insert("at".to_owned(), json!(now.to_string()));
    data.insert("next".to_owned(), json!(next));
    if query.csv {
        let mut text = if query.after.is_none() { csv::head(rows.columns) } else { String::new() };
        rows.rows.iter().for_each(|row| csv::line(rows.columns, row, &mut text));
        data.insert("csv".to_owned(), json!(text));
    } else {
        data.insert(rows.name.to_owned(), Value::Array(rows.rows));
    }
    Response::data(data)
}
