//! What the server says of itself is whole: help on every path names every field, OpenAPI has every path.

use std::collections::BTreeSet;

use serde_json::Value;
use sparekey::engine::paths::{TABLE, Variable};
use sparekey::engine::request::Operation;
use sparekey::host::call::Verb;
use sparekey::host::routes;

use crate::stage::{MOUNT, Stage};

#[test]
fn help_on_every_path_names_every_field() {
    let stage = Stage::new();
    for path in TABLE.iter().copied().flatten() {
        let shown = match path.variable {
            Variable::None => format!("{MOUNT}/{}", path.prefix),
            Variable::Name(_) => format!("{MOUNT}/{}/x", path.prefix),
            Variable::Rest(_) => format!("{MOUNT}/{}/x/y", path.prefix),
        };
        for spelling in [format!("{shown}?help=1"), format!("{shown}?help=true")] {
            let help = stage.root.read(&spelling).expect(200).json()["help"].as_str().unwrap().to_owned();
            for field in path.operations.iter().flat_map(|op| op.fields) {
                assert!(help.contains(&format!("{} (", field.name)), "{shown} does not name {}: {help}", field.name);
                assert!(help.contains(field.about), "{shown} does not explain {}", field.name);
            }
            for op in path.operations {
                assert!(help.contains(op.about), "{shown} does not say: {}", op.about);
            }
        }
        let help = stage.root.send("HELP", &shown, None).expect(200);
        assert!(help.json()["openapi"].is_object(), "{shown}");
        stage.nobody.read(&format!("{shown}?help=1")).expect(403);
    }
    for entry in routes::TABLE {
        let shown = entry.pattern.replace('*', "x");
        let help = stage.root.read(&format!("{shown}?help=1")).expect(200).json()["help"].as_str().unwrap().to_owned();
        assert!(help.contains(entry.summary), "{shown}: {help}");
    }
    for unknown in ["backup-codes/nothing", "backup-codes/nothing/x", "sys/nothing", "nothing"] {
        let answer = stage.root.read(&format!("{unknown}?help=1"));
        assert_eq!(answer.status, 404, "{unknown}: {}", answer.text());
    }
}

#[test]
fn openapi_has_every_path_with_every_field_and_no_other() {
    let stage = Stage::new();
    let document = stage.root.read("sys/internal/specs/openapi").expect(200).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let paths = document["paths"].as_object().unwrap();
    let mut wanted = BTreeSet::new();
    for path in TABLE.iter().copied().flatten() {
        let shown = match path.variable {
            Variable::None => format!("/{MOUNT}/{}", path.prefix),
            Variable::Name(name) | Variable::Rest(name) => format!("/{MOUNT}/{}/{{{name}}}", path.prefix),
        };
        for op in path.operations {
            let (place, method) = match op.operation {
                Operation::Read => (shown.clone(), "get"),
                Operation::Update => (shown.clone(), "post"),
                Operation::Delete => (shown.clone(), "delete"),
                // Folder and entry have one name here, so that the list stands under the folder's.
                Operation::List if path.variable == Variable::None => (shown.clone(), "get"),
                Operation::List => (format!("/{MOUNT}/{}/", path.prefix), "get"),
            };
            let found = &paths.get(&place).unwrap_or_else(|| panic!("no path {place}"))[method];
            assert!(found.is_object(), "{method} {place}");
            wanted.insert(place.clone());
            let named: BTreeSet<&str> = match op.operation {
                Operation::Update => found["requestBody"]["content"]["application/json"]["schema"]["properties"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .map(String::as_str)
                    .collect(),
                _ => found["parameters"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|parameter| parameter["name"].as_str().unwrap())
                    .collect(),
            };
            for field in op.fields {
                assert!(named.contains(field.name), "{method} {place} does not name {}", field.name);
            }
        }
    }
    for entry in routes::TABLE {
        let place = format!("/{}", entry.pattern.replace('*', "{path}"));
        let found = paths.get(&place).unwrap_or_else(|| panic!("no path {place}"));
        for (verb, method) in [(Verb::Read, "get"), (Verb::Update, "post"), (Verb::Delete, "delete")] {
            assert_eq!(found[method].is_object(), entry.verbs.contains(&verb), "{method} {place}");
        }
        wanted.insert(place);
    }
    let has: BTreeSet<String> = paths.keys().cloned().collect();
    assert_eq!(has, wanted);
}

/// What clients that are generated from it rest on: names of operations that are there once, and parameters for each `{name}`.
#[test]
fn openapi_is_consistent_in_itself() {
    let stage = Stage::new();
    let document = stage.root.read("sys/internal/specs/openapi").expect(200).json();
    let mut ids = BTreeSet::new();
    for (place, item) in document["paths"].as_object().unwrap() {
        let mut named: BTreeSet<String> = BTreeSet::new();
        for parameter in item["parameters"].as_array().into_iter().flatten() {
            assert_eq!(
                (&parameter["in"], &parameter["required"]),
                (&Value::from("path"), &Value::from(true)),
                "{place}"
            );
            named.insert(format!("{{{}}}", parameter["name"].as_str().unwrap()));
        }
        let shown: BTreeSet<String> =
            place.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(named, shown, "{place}");
        for method in ["get", "post", "delete"] {
            let Some(operation) = item.get(method) else { continue };
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {place} has no name"));
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(operation["responses"].as_object().is_some_and(|responses| !responses.is_empty()), "{place}");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{place}");
        }
    }
    let open = stage.nobody.read("sys/internal/specs/openapi").expect(200).json();
    assert_eq!(open["paths"], serde_json::json!({}), "without a token it tells of nothing");
}
