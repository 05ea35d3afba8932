//! What the server is asked: the flags as a query.

use super::{Usage, Window};
use crate::cli::client::Failure;
use crate::domain::time::{Timestamp, parse_duration};

/// Names and values of a query.
pub type Query = Vec<(&'static str, String)>;

/// The query of a posture.
pub fn posture(only: &[String], soon: Option<&str>) -> Query {
    let mut query = Query::new();
    query.extend((!only.is_empty()).then(|| ("only", only.join(","))));
    query.extend(soon.map(|soon| ("soon", soon.to_owned())));
    query
}

/// The query of a usage.
pub fn usage(asked: &Usage, now: Timestamp) -> Result<Query, Failure> {
    let mut query = window(&asked.window, now)?;
    query.extend((!asked.act.is_empty()).then(|| ("act", asked.act.join(","))));
    query.extend(asked.role.iter().map(|role| ("role", role.clone())));
    query.extend(asked.subject.iter().map(|subject| ("subject", subject.clone())));
    Ok(query)
}

/// The query of a window.
pub fn window(window: &Window, now: Timestamp) -> Result<Query, Failure> {
    let mut query = Query::new();
    for (name, given) in [("from", &window.from), ("to", &window.to)] {
        let Some(text) = given else { continue };
        // Digits alone are a time; "7d" is how long ago.
        let ago = parse_duration(text).filter(|_| !text.bytes().all(|b| b.is_ascii_digit())).map(|ago| now.minus(ago));
        let at = ago.or_else(|| Timestamp::parse(text)).ok_or_else(|| {
            Failure::local(format!("--{name} must be a time such as 2026-07-01T12:00:00Z, or how long ago, such as 7d"))
        })?;
        query.push((name, at.to_string()));
    }
    Ok(query)
}
