//! What there is: help on a path, and the OpenAPI description of all of them.

use serde_json::{Map, Value, json};

use super::super::answer::{Answer, Refusal};
use super::super::call::Verb;
use super::super::routes::{self, Entry, Need};
use super::super::visit::{Acted, Bearer, Visit};
use crate::engine::{answers, help};

/// `?help=1` on any path.
pub(in super::super) fn on_path(visit: &Visit<'_>, engine_path: Option<&str>) -> Result<Acted, Refusal> {
    let text = match engine_path {
        Some(path) => help::text(path),
        None => match routes::find(visit.path.trim_end_matches('/')) {
            Some((entry, _)) => Some(text(entry, visit.path)),
            None => overview(visit.path.trim_end_matches('/')),
        },
    };
    let text = text.ok_or_else(Refusal::unsupported_path)?;
    let document = json!({ "help": text, "openapi": document(visit, Map::new()), "see_also": null });
    Ok(Answer::bare(200, &document, 4096).into())
}

/// `sys/internal/specs/openapi`: without a token a description of nothing.
pub(in super::super) fn openapi(visit: &Visit<'_>) -> Acted {
    let mut all = Map::new();
    if matches!(visit.bearer, Bearer::Held(_)) {
        for entry in routes::TABLE {
            all.insert(format!("/{}", entry.pattern.replace('*', "{path}")), operations(entry));
        }
        all.extend(help::openapi_paths(visit.host.info.mount_path.trim_end_matches('/')));
    }
    Answer::bare(200, &document(visit, all), 64 * 1024).into()
}

fn document(visit: &Visit<'_>, paths: Map<String, Value>) -> Value {
    json!({
        "openapi": "3.0.2",
        "info": {
            "title": "Sparekey API",
            "description": "HTTP API of Sparekey. All paths are prefixed with `/v1/`.",
            "version": visit.host.info.version,
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "paths": paths,
        "components": { "schemas": {} },
    })
}

fn operations(entry: &Entry) -> Value {
    let mut item = Map::new();
    item.insert("description".to_owned(), json!(entry.summary));
    if matches!(entry.need, Need::Nothing | Need::Optional | Need::Wrapping) {
        item.insert("x-vault-unauthenticated".to_owned(), json!(true));
    }
    if entry.pattern.ends_with('*') {
        let parameter = json!({ "name": "path", "in": "path", "required": true, "schema": { "type": "string" } });
        item.insert("parameters".to_owned(), json!([parameter]));
    }
    for verb in entry.verbs {
        let (method, word) = match verb {
            Verb::Read => ("get", "read"),
            Verb::Update => ("post", "write"),
            Verb::Delete => ("delete", "delete"),
            Verb::List | Verb::Head | Verb::Patch | Verb::Scan | Verb::Help => continue,
        };
        let id = format!("{}-{word}", entry.pattern.replace('*', "path").replace('/', "-"));
        let operation = json!({
            "operationId": id, "summary": entry.summary, "tags": [if entry.pattern.starts_with("sys/") { "system" } else { "auth" }],
            "responses": answers::responses(successes()),
        });
        item.insert(method.to_owned(), operation);
    }
    Value::Object(item)
}

fn successes() -> Map<String, Value> {
    let ok = json!({ "description": "OK" });
    let done = json!({ "description": "Done, nothing to say" });
    Map::from_iter([("200".to_owned(), ok), ("204".to_owned(), done)])
}

fn methods(entry: &Entry) -> String {
    let words: Vec<&str> = entry
        .verbs
        .iter()
        .map(|verb| match verb {
            Verb::Read => "GET",
            Verb::Update => "PUT, POST",
            Verb::Delete => "DELETE",
            Verb::List => "LIST",
            Verb::Head | Verb::Patch | Verb::Scan | Verb::Help => "",
        })
        .collect();
    words.join(", ")
}

/// The paths of a mount of the host; `None` if it has no such mount.
fn overview(mount: &str) -> Option<String> {
    let start = format!("{mount}/");
    let entries: Vec<&Entry> = routes::TABLE.iter().filter(|entry| entry.pattern.starts_with(&start)).collect();
    if entries.is_empty() {
        return None;
    }
    let mut out = String::from("## PATHS\n");
    for entry in entries {
        out.push_str(&format!("\n    {}  ({})\n        {}\n", entry.pattern, methods(entry), entry.summary));
    }
    Some(out)
}

fn text(entry: &Entry, path: &str) -> String {
    let mount = routes::mount_of(path).map_or("", |(mount, _)| mount);
    let request = path.strip_prefix(mount).unwrap_or(path);
    let route = entry.pattern.strip_prefix(mount).unwrap_or(entry.pattern);
    format!(
        "Request:        {request}\nMatching Route: ^{}$\n\n{}\n\n\n## DESCRIPTION\n\nThis path responds to {}.\n",
        route.replace('*', "(?P<path>.+)"),
        entry.summary,
        methods(entry),
    )
}
