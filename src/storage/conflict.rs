//! Which write of a list finds something else than it expects: the rule that backends with transactions share.

use std::collections::HashMap;

use super::{Change, Revision, Write};

/// The index of the first write whose expectation does not hold, where `current` tells a key's stored revision.
///
/// A write sees those before it in the list, as it would if they had been carried out one after the other.
pub(crate) fn first<E>(
    writes: &[Write],
    mut current: impl FnMut(&str) -> Result<Option<Revision>, E>,
) -> Result<Option<usize>, E> {
    let mut changed: HashMap<&str, Option<Revision>> = HashMap::new();
    for (index, write) in writes.iter().enumerate() {
        let key = write.key.as_str();
        let now = match changed.get(key) {
            Some(revision) => *revision,
            None => current(key)?,
        };
        if !write.expect.holds(now) {
            return Ok(Some(index));
        }
        match &write.change {
            Change::Put { revision, .. } => changed.insert(key, Some(*revision)),
            Change::Delete => changed.insert(key, None),
            Change::Check => None,
        };
    }
    Ok(None)
}
