//! What the engine itself says of its accounts, read when everything is quiet.

use serde_json::Value;

use super::cast::Door;
use super::client::slots;
use super::judge::replay::millis;
use super::log::{Book, Entry, State};
use crate::support::server::MOUNT;

/// Reads an account with its whole history; in words what is wrong if it cannot be read.
pub fn read(door: &Door, account: &str) -> Result<Book, String> {
    let get = |path: &str| {
        let answer = door.root.try_send("GET", &format!("{MOUNT}/{path}"), None).map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(Some(answer.data())),
            404 => Ok(None),
            status => Err(format!("{path}: {status} {}", answer.text())),
        }
    };
    let state = get(&format!("accounts/{account}"))?.map(|data| State {
        generation: data["generation"].as_u64().unwrap_or(0),
        active: data["active_generation"].as_u64(),
        remaining: data["remaining"].as_u64().unwrap_or(0),
        slots: slots(&data),
    });
    let read_at = i64::try_from((door.now)() * 1000).unwrap_or(0);
    let mut book = Book { account: account.to_owned(), verified: true, entries: Vec::new(), read_at, state };
    let mut after = 0;
    while let Some(page) = get(&format!("history/{account}?limit=1000&verify=true&after={after}"))? {
        book.verified &= page["verified"] == true;
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        let Some(last) = entries.last() else { break };
        after = last["seq"].as_u64().unwrap_or(u64::MAX);
        book.entries.extend(entries.iter().map(entry));
    }
    Ok(book)
}

fn entry(entry: &Value) -> Entry {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Entry {
        seq: entry["seq"].as_u64().unwrap_or(0),
        at: entry["at"].as_str().and_then(millis).unwrap_or(0),
        act: text(&entry["act"]),
        subject: text(&entry["actor"]["subject"]),
        generation: entry["generation"].as_u64(),
        slot: entry["slot"].as_u64(),
        repeat: entry["repeat"] == true,
        detail: entry["detail"].clone(),
    }
}
