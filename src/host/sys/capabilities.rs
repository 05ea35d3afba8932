//! `sys/capabilities-self`: what a token may do on given paths.

use serde_json::{Map, json};

use super::super::answer::Refusal;
use super::super::call::Verb;
use super::super::routes::{self, Need};
use super::super::visit::{Acted, Visit};
use crate::auth::Caller;
use crate::domain::fields::Fields;

/// Most paths that are answered at once.
const MAX_PATHS: usize = 256;

/// Answers for the token that was sent.
pub(in super::super) async fn own(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let mut paths = fields.list("paths")?.value().unwrap_or_default();
    paths.extend(fields.list("path")?.value().unwrap_or_default());
    // Clients send the token that they mean beside the path; it is the one they hold.
    fields.take("token");
    if paths.is_empty() {
        return Err(Refusal::new(400, "paths must be supplied"));
    }
    if paths.len() > MAX_PATHS {
        return Err(Refusal::new(400, format!("paths: at most {MAX_PATHS} at once")));
    }
    let mut data = Map::new();
    for path in &paths {
        let capabilities = on(visit, path).await?;
        data.insert(path.clone(), json!(capabilities));
    }
    if let ([_], Some(only)) = (&*paths, data.values().next().cloned()) {
        data.insert("capabilities".to_owned(), only);
    }
    Ok(Acted::data(data, &fields))
}

async fn on(visit: &Visit<'_>, path: &str) -> Result<Vec<&'static str>, Refusal> {
    if matches!(visit.caller, Caller::Root { .. }) {
        return Ok(vec!["root"]);
    }
    let path = path.trim_start_matches('/');
    if let Some(below) = path.strip_prefix(visit.host.info.mount_path.as_str()) {
        let mut capabilities = visit.open.engine.capabilities(visit.caller, below).await?;
        capabilities.sort_unstable();
        return Ok(capabilities);
    }
    let Some((entry, _)) = routes::find(path) else { return Ok(vec!["deny"]) };
    let allowed = match entry.need {
        Need::Administer => visit.administers().await.is_ok(),
        Need::Nothing | Need::Optional | Need::Token | Need::Wrapping => true,
    };
    if !allowed {
        return Ok(vec!["deny"]);
    }
    let mut capabilities: Vec<_> = entry
        .verbs
        .iter()
        .filter_map(|verb| match verb {
            Verb::Read => Some("read"),
            Verb::List => Some("list"),
            Verb::Update => Some("update"),
            Verb::Delete => Some("delete"),
            Verb::Head | Verb::Patch | Verb::Scan | Verb::Help => None,
        })
        .collect();
    capabilities.sort_unstable();
    Ok(capabilities)
}
