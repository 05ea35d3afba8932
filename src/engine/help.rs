//! Help and OpenAPI, made from the table.

use serde_json::{Map, Value, json};

use crate::engine::answers;
use crate::engine::paths::{Need, Op, Path, TABLE, Variable};
use crate::engine::request::Operation;
use crate::engine::schema::{Field, Type};

/// Help on a path below the mount (no leading slash); `None` if there is no such path. The empty path lists them all.
pub fn text(path: &str) -> Option<String> {
    if path.trim_matches('/').is_empty() {
        return Some(overview());
    }
    let trimmed = path.trim_end_matches('/');
    let found: Vec<&Path> = TABLE.iter().copied().flatten().filter(|entry| entry.matches(trimmed).is_some()).collect();
    let first = found.first()?;
    let operations: Vec<&Op> = found.iter().flat_map(|path| path.operations).collect();
    let mut out = format!("Request:        {path}\nMatching Route: {}\n\n{}\n", first.pattern(), first.about);
    if operations.iter().any(|op| !op.fields.is_empty()) {
        out.push_str("\n## PARAMETERS\n");
    }
    let mut told: Vec<&str> = Vec::new();
    for field in operations.iter().flat_map(|op| op.fields) {
        if !told.contains(&field.name) {
            told.push(field.name);
            let required = if field.required { ", required" } else { "" };
            let kind = type_word(field.kind);
            out.push_str(&format!("\n    {} ({kind}{required})\n\n        {}\n", field.name, field.about));
        }
    }
    out.push_str("\n## DESCRIPTION\n");
    for op in operations {
        out.push_str(&format!("\n    {}: {}\n        Needs {}.\n", word(op.operation), op.about, need(op.need)));
    }
    Some(out)
}

fn overview() -> String {
    let mut out = String::from(
        "Sparekey keeps backup MFA codes: stored sealed, handed out once, on the record, ended by re-enrollment.\n\n## PATHS\n",
    );
    for path in TABLE.iter().copied().flatten() {
        let words: Vec<&str> = path.operations.iter().map(|op| word(op.operation)).collect();
        out.push_str(&format!("\n    {}  ({})\n        {}\n", path.pattern(), words.join(", "), path.about));
    }
    out
}

/// The OpenAPI 3.0 document of a mount, paths relative to it: a mounting vault puts the mount before them.
pub fn openapi() -> Value {
    let info = json!({
        "title": "Sparekey", "version": env!("CARGO_PKG_VERSION"),
        "description": "Backup MFA codes: stored sealed, handed out once, on the record, ended by re-enrollment.",
    });
    json!({"openapi": "3.0.2", "info": info, "paths": openapi_paths("")})
}

/// The `paths` of an OpenAPI 3.0 document for a mount at `mount` (no slashes around it; empty for paths relative to it).
pub fn openapi_paths(mount: &str) -> Map<String, Value> {
    let mut paths = Map::new();
    let base = if mount.is_empty() { String::new() } else { format!("/{mount}") };
    for path in TABLE.iter().copied().flatten() {
        let (shown, parameter) = match path.variable {
            Variable::None => (format!("{base}/{}", path.prefix), None),
            Variable::Name(name) | Variable::Rest(name) => (format!("{base}/{}/{{{name}}}", path.prefix), Some(name)),
        };
        let mut item = Map::new();
        item.insert("description".to_owned(), json!(path.about));
        if let Some(name) = parameter {
            let parameter = json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}});
            item.insert("parameters".to_owned(), json!([parameter]));
        }
        if path.operations.iter().any(|op| op.need == Need::Nothing) {
            item.insert("x-vault-unauthenticated".to_owned(), json!(true));
        }
        for op in path.operations.iter().filter(|op| op.operation != Operation::List) {
            item.insert(method(op.operation).to_owned(), operation(path, op));
        }
        if let Some(list) = path.operations.iter().find(|op| op.operation == Operation::List) {
            add_list(&mut paths, &mut item, path, list, &base);
        }
        if item.keys().any(|key| matches!(key.as_str(), "get" | "post" | "delete")) {
            paths.insert(shown, Value::Object(item));
        }
    }
    paths
}

/// A list is a `GET` with `list=true`. Where the path can be read too, the list stands under the folder's own path.
fn add_list(paths: &mut Map<String, Value>, item: &mut Map<String, Value>, path: &Path, op: &Op, base: &str) {
    let mut get = operation(path, op);
    if let Some(Value::Array(parameters)) = get.get_mut("parameters") {
        let list =
            json!({"name": "list", "in": "query", "required": true, "schema": {"type": "string", "enum": ["true"]}});
        parameters.push(list);
    }
    if path.variable == Variable::None {
        item.insert("get".to_owned(), get);
    } else {
        let folder = json!({"description": path.about, "get": get});
        paths.insert(format!("{base}/{}/", path.prefix), folder);
    }
}

fn operation(path: &Path, op: &Op) -> Value {
    let id = format!("sparekey-{}-{}", word(op.operation), path.prefix.replace('/', "-"));
    let mut value = json!({"summary": op.about, "operationId": id, "tags": ["secrets"]});
    value["responses"] = answers::responses(successes(op));
    if op.need == Need::Nothing {
        value["responses"]["400"] = answers::refused_event();
    }
    match op.operation {
        Operation::Update => {
            let properties: Map<String, Value> =
                op.fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
            let required: Vec<&str> = op.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
            let mut schema = json!({"type": "object", "properties": properties});
            // A partial update may leave out what is there already, so only acts list what they require.
            if !required.is_empty() && !matches!(op.need, Need::Configure) {
                schema["required"] = json!(required);
            }
            value["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        }
        Operation::Read | Operation::List => {
            let parameters: Vec<Value> = op
                .fields
                .iter()
                .map(|field| json!({"name": field.name, "in": "query", "description": field.about, "schema": schema_of(field.kind)}))
                .collect();
            value["parameters"] = Value::Array(parameters);
        }
        Operation::Delete => {}
    }
    value
}

/// How an operation answers where it succeeds.
fn successes(op: &Op) -> Map<String, Value> {
    let done = || json!({"description": "Done, nothing to say"});
    let mut found = Map::new();
    match op.operation {
        Operation::Update if op.need == Need::Nothing => drop(found.insert("202".to_owned(), done())),
        Operation::Update | Operation::Delete => {
            found.insert("200".to_owned(), answers::enveloped());
            found.insert("204".to_owned(), done());
        }
        Operation::Read | Operation::List => drop(found.insert("200".to_owned(), answers::enveloped())),
    }
    found
}

fn property(field: &Field) -> Value {
    let mut schema = schema_of(field.kind);
    schema["description"] = json!(field.about);
    schema
}

fn schema_of(kind: Type) -> Value {
    match kind {
        Type::Text => json!({"type": "string"}),
        Type::Integer => json!({"type": "integer"}),
        Type::Boolean => json!({"type": "boolean"}),
        Type::Duration => json!({"type": "string", "format": "seconds"}),
        Type::Time => json!({"type": "string", "format": "date-time"}),
        Type::List => json!({"type": "array", "items": {"type": "string"}}),
        Type::Object => json!({"type": "object"}),
    }
}

const fn type_word(kind: Type) -> &'static str {
    match kind {
        Type::Text => "string",
        Type::Integer => "integer",
        Type::Boolean => "boolean",
        Type::Duration => "duration",
        Type::Time => "time",
        Type::List => "list",
        Type::Object => "object",
    }
}

const fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "read",
        Operation::List => "list",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

const fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::Read | Operation::List => "get",
        Operation::Update => "post",
        Operation::Delete => "delete",
    }
}

fn need(need: Need) -> String {
    match need {
        Need::Configure => "root, or a role with administer".to_owned(),
        Need::Metadata(capability) => format!("root, or a role with {capability} that covers the account"),
        Need::Act(capability) => format!("a JWT that satisfies a role with {capability}"),
        Need::Nothing => "nothing; the signature in the event is the proof".to_owned(),
    }
}
