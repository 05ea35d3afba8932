//! Every name below some folders of the store, in the order of its bytes, from a place on. Holds one piece of each level, not the
//! whole list.

use std::collections::VecDeque;

use crate::engine::cache::storage_failed;
use crate::error::Result;
use crate::storage::Storage;

/// Names read from a level at once.
const PIECE: usize = 256;

/// One level of the tree: what was read of it and where it goes on.
struct Level {
    folder: String,
    after: Option<String>,
    ready: VecDeque<String>,
    whole: bool,
}

impl Level {
    fn new(folder: String, after: Option<String>) -> Self {
        Level { folder, after, ready: VecDeque::new(), whole: false }
    }
}

/// A walk over the names below `roots`; a name that lies below several comes once.
pub struct Walk<'e> {
    storage: &'e dyn Storage,
    roots: &'static [&'static str],
    levels: Vec<Level>,
    first: Option<String>,
}

impl<'e> Walk<'e> {
    /// Begins in `folder` (empty or with `/` at its end), after `after` (a name in it, or a folder with its `/`). `first` comes
    /// before anything else.
    pub fn new(
        storage: &'e dyn Storage,
        roots: &'static [&'static str],
        folder: &str,
        after: Option<&str>,
        first: Option<String>,
    ) -> Self {
        let mut levels = Vec::new();
        let mut at = folder.to_owned();
        // One level for each folder on the way, each behind the folder that the next one is.
        let mut rest = after.and_then(|after| after.strip_prefix(folder)).unwrap_or_default();
        while let Some((step, deeper)) = rest.split_once('/') {
            levels.push(Level::new(at.clone(), Some(format!("{step}/"))));
            at = format!("{at}{step}/");
            rest = deeper;
            if rest.is_empty() {
                return Walk { storage, roots, levels, first };
            }
        }
        levels.push(Level::new(at, Some(rest.to_owned()).filter(|rest| !rest.is_empty())));
        Walk { storage, roots, levels, first }
    }

    /// The next name: an account's, or a folder's with `/` at its end, which [`Walk::skip`] leaves out.
    pub async fn next(&mut self) -> Result<Option<String>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            if let Some(entry) = level.ready.pop_front() {
                let name = format!("{}{entry}", level.folder);
                let is_folder = entry.ends_with('/');
                level.after = Some(entry);
                if is_folder {
                    self.levels.push(Level::new(name.clone(), None));
                }
                return Ok(Some(name));
            }
            if level.whole {
                self.levels.pop();
                continue;
            }
            let (ready, whole) = piece(self.storage, self.roots, level).await?;
            level.whole = whole;
            level.ready = ready;
        }
    }

    /// Leaves out the folder that [`Walk::next`] named last.
    pub fn skip(&mut self) {
        self.levels.pop();
    }
}

/// The next entries of a level over all roots, and whether it ends there.
async fn piece(storage: &dyn Storage, roots: &[&str], level: &Level) -> Result<(VecDeque<String>, bool)> {
    let mut all = Vec::new();
    // Beyond the end of a piece that is not whole its root may have more.
    let mut end: Option<String> = None;
    for root in roots {
        let prefix = format!("{root}{}", level.folder);
        let names = storage.list(&prefix, level.after.as_deref(), PIECE).await.map_err(storage_failed)?;
        if let Some(last) = names.last().filter(|_| names.len() >= PIECE) {
            end = Some(end.map_or_else(|| last.clone(), |end| end.min(last.clone())));
        }
        all.extend(names);
    }
    if let Some(end) = &end {
        all.retain(|name| name <= end);
    }
    all.sort_unstable();
    all.dedup();
    Ok((all.into(), end.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::OsRandom;
    use crate::storage::Write;
    use crate::storage::memory::Memory;

    const ROOTS: &[&str] = &["accounts/", "tombstones/"];

    async fn store(names: &[String]) -> Memory {
        let memory = Memory::new();
        for (index, name) in names.iter().enumerate() {
            let root = ROOTS[index % 2];
            memory.put_all(vec![Write::create(format!("{root}{name}"), vec![1], &OsRandom)]).await.unwrap();
        }
        memory
    }

    async fn names(mut walk: Walk<'_>) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(name) = walk.next().await.unwrap() {
            found.push(name);
        }
        found
    }

    fn some() -> Vec<String> {
        let mut names: Vec<String> = (0..700).map(|number| format!("okta/u{number}")).collect();
        names.extend((0..300).map(|number| format!("f{number}/deep/er/x")));
        for name in ["github", "github-x", "github/acme", "github/acme/own", "github/acme.b", "github0", "z"] {
            names.push(name.to_owned());
        }
        names
    }

    #[tokio::test]
    async fn every_name_comes_once_in_the_order_of_bytes() {
        let all = some();
        let store = store(&all).await;
        let found = names(Walk::new(&store, ROOTS, "", None, None)).await;
        let accounts: Vec<_> = found.iter().filter(|name| !name.ends_with('/')).cloned().collect();
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(accounts, sorted);
        assert!(found.is_sorted(), "folders stand before what is in them");
    }

    #[tokio::test]
    async fn a_walk_goes_on_from_any_place_of_another() {
        let store = store(&some()).await;
        let whole = names(Walk::new(&store, ROOTS, "", None, None)).await;
        for index in (0..whole.len()).step_by(7).chain(whole.len() - 40..whole.len()) {
            let place = &whole[index];
            let rest = names(Walk::new(&store, ROOTS, "", Some(place), None)).await;
            let behind = |name: &str| place.ends_with('/') && name.starts_with(place);
            let wanted: Vec<_> = whole[index + 1..].iter().filter(|name| !behind(name)).cloned().collect();
            // Folders that were entered already are not named again.
            assert_eq!(rest, wanted, "after {place}");
        }
    }

    #[tokio::test]
    async fn a_folder_holds_the_walk_and_can_be_left_out() {
        let store = store(&some()).await;
        let found = names(Walk::new(&store, ROOTS, "github/", None, Some("github".to_owned()))).await;
        assert_eq!(found, ["github", "github/acme", "github/acme.b", "github/acme/", "github/acme/own"]);
        let mut walk = Walk::new(&store, ROOTS, "github/", Some("github/acme.b"), None);
        assert_eq!(walk.next().await.unwrap().as_deref(), Some("github/acme/"));
        walk.skip();
        assert_eq!(walk.next().await.unwrap(), None);
    }
}
