//! `LIST accounts/…`: one level of the names, those only that the caller's role covers.
//!
//! The store is asked only for names that begin as the role's patterns do, so that a role that covers one account in a folder of a million
//! costs a list of some names, and the role is read once. A pattern that begins with `*`, such as `*@emea.example.com`, says nothing
//! about how a name begins: there every name of the folder is passed until the page is full.

use crate::auth::Caller;
use crate::domain::fields::Fields;
use crate::domain::name::AccountName;
use crate::engine::cache::storage_failed;
use crate::engine::configuration::{Page, keys_or_nothing};
use crate::engine::request::Response;
use crate::engine::{Call, keys};
use crate::engine::{Engine, cache::CompiledRole};
use crate::error::Result;
use crate::storage::Storage;

/// Names that the store is asked for where a pattern begins, and twice as many each further time, up to a page.
const FIRST: usize = 16;

/// Lists one level of the accounts' names, those only that the caller's role covers.
pub async fn list(engine: &Engine, call: Call) -> Result<Response> {
    let folder = match call.name.as_str() {
        "" => String::new(),
        folder => format!("{}/", AccountName::parse(folder)?),
    };
    let page = Page::read(&mut Fields::new(call.request.data))?;
    let Caller::Login { role, assertion, .. } = &call.request.caller else {
        return keys_or_nothing(names(&*engine.storage, &folder, &page, &[String::new()], |_| true).await?);
    };
    let Some(role) = engine.role(role).await? else { return keys_or_nothing(Vec::new()) };
    let CompiledRole { rule, .. } = &*role;
    let claims = assertion.view();
    let shows = |name: &str| match name.ends_with('/') {
        true => rule.reaches(name, claims),
        false => AccountName::parse(name).is_ok_and(|name| rule.covers(&name, claims)),
    };
    keys_or_nothing(names(&*engine.storage, &folder, &page, &rule.begins(&folder, claims), shows).await?)
}

/// The names of a page: in `folder`, each beginning with one of `begins` (in the order of their bytes, none beginning with another), which
/// `shows`, given the whole name, lets through.
async fn names(
    storage: &dyn Storage,
    folder: &str,
    page: &Page,
    begins: &[String],
    shows: impl Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let prefix = format!("{}{folder}", keys::ACCOUNTS);
    let mut shown = Vec::new();
    for begin in begins {
        let mut after = page.after.clone().max(before(begin));
        let mut wanted = if begin.is_empty() { page.limit } else { FIRST.min(page.limit) };
        while shown.len() < page.limit {
            let names = storage.list(&prefix, after.as_deref(), wanted).await.map_err(storage_failed)?;
            let more = names.len() >= wanted && names.last().is_some_and(|last| last.starts_with(begin.as_str()));
            let here = |name: &String| name.starts_with(begin.as_str()) && shows(&format!("{folder}{name}"));
            after = names.last().cloned();
            shown.extend(names.into_iter().filter(here));
            if !more {
                break;
            }
            wanted = (wanted * 2).min(page.limit);
            // However many there are, others get their turn.
            tokio::task::yield_now().await;
        }
    }
    shown.truncate(page.limit);
    Ok(shown)
}

/// A text that sorts before all that begin with `begin`, and after everything else before them that a name may be; nothing where all
/// begin so.
fn before(begin: &str) -> Option<String> {
    let mut text = begin.to_owned();
    let last = text.pop()?;
    // No name holds a tilde, and all that names hold sort before it.
    text.push(char::from_u32(u32::from(last).saturating_sub(1)).unwrap_or(last));
    text.push('~');
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Map;

    use super::*;
    use crate::domain::glob::{Claims, Glob};
    use crate::random::OsRandom;
    use crate::storage::Write;
    use crate::storage::memory::Memory;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// What is shown is what going through all names would show, whatever the patterns and the page.
        #[test]
        fn patterns_spare_reading_and_change_nothing(
            all in proptest::collection::btree_set("[ab0z](-|[.]b|[a1z])?(/[ab]{1,2}){0,2}", 1..40),
            patterns in proptest::collection::vec("([*]|[ab0z](-|[a1z])?)(/([ab]{1,2}|[*]))?[*]?", 1..4),
            folder in prop_oneof![Just(""), Just("a/"), Just("b/"), Just("0/")],
            limit in 1usize..6,
        ) {
            let globs: Vec<Glob> = patterns.iter().map(|text| Glob::parse("accounts", text).unwrap()).collect();
            let map = Map::new();
            let claims = Claims { map: &map, trust_email: false };
            let shows = |name: &str| globs.iter().any(|glob| match name.ends_with('/') {
                true => glob.reaches(name, claims),
                false => AccountName::parse(name).is_ok_and(|name| glob.matches(&name, claims)),
            });
            let mut begins: Vec<String> = globs.iter().filter_map(|glob| glob.begins(folder, claims)).collect();
            begins.sort_unstable();
            begins.dedup_by(|text, before| text.starts_with(before.as_str()));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (wanted, found) = runtime.block_on(async {
                let store = Memory::new();
                for name in &all {
                    store.put_all(vec![Write::create(format!("accounts/{name}"), vec![1], &OsRandom)]).await.unwrap();
                }
                let level = store.list(&format!("accounts/{folder}"), None, 1000).await.unwrap();
                let wanted: Vec<String> = level.into_iter().filter(|name| shows(&format!("{folder}{name}"))).collect();
                let mut found: Vec<String> = Vec::new();
                loop {
                    let page = Page { after: found.last().cloned(), limit };
                    let some = names(&store, folder, &page, &begins, shows).await.unwrap();
                    let last = some.len() < limit;
                    found.extend(some);
                    if last {
                        break (wanted, found);
                    }
                }
            });
            prop_assert_eq!(wanted, found);
        }
    }
}
