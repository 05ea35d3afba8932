//! A walk over all keys below a folder, in one fixed order, that goes on after any key.

use std::collections::VecDeque;

use crate::storage::{Storage, StorageError};

/// One level of the tree: names that were listed and not yet walked over.
struct Level {
    prefix: String,
    names: VecDeque<String>,
    after: Option<String>,
    /// Whether the level may hold names after these.
    more: bool,
}

impl Level {
    fn new(prefix: String, after: Option<String>) -> Self {
        Level { prefix, names: VecDeque::new(), after, more: true }
    }
}

/// The keys below `root` (which ends in `/`) that come after `after`, without `root`, at most `limit`. Fewer than `limit` are all
/// there are. Empty `after`: from the beginning.
pub async fn next(storage: &dyn Storage, root: &str, after: &str, limit: usize) -> Result<Vec<String>, StorageError> {
    let mut levels = levels(after);
    let mut found = Vec::new();
    while let Some(mut level) = levels.pop() {
        if level.names.is_empty() && level.more {
            let prefix = format!("{root}{}", level.prefix);
            let names = storage.list(&prefix, level.after.as_deref(), limit).await?;
            level.more = names.len() >= limit;
            level.names = names.into();
        }
        let Some(name) = level.names.pop_front() else { continue };
        let key = format!("{}{name}", level.prefix);
        level.after = Some(name);
        levels.push(level);
        if key.ends_with('/') {
            levels.push(Level::new(key, None));
            continue;
        }
        found.push(key);
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// Where a walk stands after the key `after`: in each of its folders, behind the part that leads on.
fn levels(after: &str) -> Vec<Level> {
    if after.is_empty() {
        return vec![Level::new(String::new(), None)];
    }
    let mut prefix = String::new();
    let mut levels = Vec::new();
    for part in after.split_inclusive('/') {
        levels.push(Level::new(prefix.clone(), Some(part.to_owned())));
        prefix.push_str(part);
    }
    levels
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::OsRandom;
    use crate::storage::Write;
    use crate::storage::memory::Memory;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_key_is_met_once_whatever_the_steps(
            names in proptest::collection::btree_set("[a-c]{1,2}(-[a-c])?(/[a-c]{1,2}){0,3}", 0..40),
            limit in 1usize..7,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let met = runtime.block_on(async {
                let store = Memory::new();
                for name in &names {
                    store.put_all(vec![Write::create(format!("accounts/{name}"), vec![1], &OsRandom)]).await.unwrap();
                }
                let mut met: Vec<String> = Vec::new();
                loop {
                    let after = met.last().cloned().unwrap_or_default();
                    let some = next(&store, "accounts/", &after, limit).await.unwrap();
                    let last = some.len() < limit;
                    met.extend(some);
                    if last {
                        break met;
                    }
                }
            });
            let mut sorted = met.clone();
            sorted.sort();
            prop_assert_eq!(sorted, names.into_iter().collect::<Vec<_>>());
        }
    }
}
