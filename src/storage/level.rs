//! One level of the tree of keys, found by seeking in any sorted store: a folder costs one step however much it holds.

use std::ops::Bound;

use super::StorageError;

/// The byte after `/`: every key inside `folder/` sorts before `folder0`.
const PAST_FOLDER: char = '0';

/// Names up to `limit` entries of the level below `prefix` that sort after `after`; `seek` finds the first key from a bound on.
///
/// # Errors
/// [`StorageError::Failed`] for a prefix that is neither empty nor ends in `/`, and what `seek` returns.
pub(super) fn entries(
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    mut seek: impl FnMut(Bound<&str>) -> Result<Option<String>, StorageError>,
) -> Result<Vec<String>, StorageError> {
    let mut from = start(prefix, after)?;
    let mut entries = Vec::new();
    while entries.len() < limit {
        let Some(key) = seek(from.as_ref().map(String::as_str))? else { break };
        let Some(rest) = key.strip_prefix(prefix) else { break };
        entries.push(entry(rest).to_owned());
        from = past(prefix, rest);
    }
    Ok(entries)
}

/// Where the entries of the level below `prefix` that sort after `after` begin.
///
/// # Errors
/// [`StorageError::Failed`] for a prefix that is neither empty nor ends in `/`.
pub(super) fn start(prefix: &str, after: Option<&str>) -> Result<Bound<String>, StorageError> {
    if !prefix.is_empty() && !prefix.ends_with('/') {
        return Err(StorageError::Failed(format!("list prefix {prefix:?} must be empty or end in /").into()));
    }
    Ok(match after {
        None => Bound::Excluded(prefix.to_owned()),
        Some(after) => past(prefix, after),
    })
}

/// The entry that a key whose prefix was taken off belongs to.
pub(super) fn entry(rest: &str) -> &str {
    match rest.find('/') {
        Some(slash) => &rest[..=slash],
        None => rest,
    }
}

/// Where the entries after `rest` begin: past the whole folder if `rest` lies in one.
fn past(prefix: &str, rest: &str) -> Bound<String> {
    match rest.find('/') {
        Some(slash) => Bound::Included(format!("{prefix}{}{PAST_FOLDER}", &rest[..slash])),
        None => Bound::Excluded(format!("{prefix}{rest}")),
    }
}
