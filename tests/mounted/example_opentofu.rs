//! `examples/opentofu/`: what is written reads back the same, so that a second plan is empty. The provider's rules, as its
//! documentation has them, are played by hand: write `data_json`, read the path, and compare all fields, or those that were written where
//! `ignore_absent_fields` is set.

use std::fs;

use hcl::eval::{Context, Evaluate, FuncArgs, FuncDef, ParamType};
use hcl::{Block, Body, Expression, Value};
use serde_json::Value as Json;

use crate::support::http::Client;
use crate::support::vault::{PLUGIN, Vault};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/opentofu");

fn body() -> Body {
    let text = ["variables.tf", "main.tf"].map(|name| fs::read_to_string(format!("{FOLDER}/{name}")).unwrap());
    hcl::parse(&text.concat()).unwrap()
}

/// One instance of a `vault_generic_endpoint`.
struct Endpoint {
    address: String,
    path: String,
    data: Json,
    ignores_absent: bool,
    reads: bool,
    deletes: bool,
    after: Vec<String>,
}

fn jsonencode(args: FuncArgs) -> Result<Value, String> {
    serde_json::to_string(&args[0]).map(Value::from).map_err(|error| error.to_string())
}
fn file(args: FuncArgs) -> Result<Value, String> {
    let path = args[0].as_str().ok_or("a path")?;
    fs::read_to_string(path).map(Value::from).map_err(|error| format!("{path}: {error}"))
}
fn toset(args: FuncArgs) -> Result<Value, String> {
    Ok(args[0].clone())
}

fn context(body: &Body) -> Context<'static> {
    let mut context = Context::new();
    let variables: Vec<(String, Value)> = body
        .blocks()
        .filter(|block| block.identifier() == "variable")
        .map(|block| (label(block, 0), value(block, "default", &Context::new()).expect("a default")))
        .collect();
    let mount = variables.iter().find(|(name, _)| name == "mount").expect("var.mount").1.clone();
    context.declare_var("var", variables.into_iter().collect::<hcl::Map<String, Value>>());
    context.declare_var("path", hcl::value!({ module = FOLDER }));
    context.declare_var("vault_mount", hcl::value!({ backup_codes = { path = (mount) } }));
    for (name, func) in [("jsonencode", jsonencode as hcl::eval::Func), ("file", file), ("toset", toset)] {
        context.declare_func(name, FuncDef::builder().param(ParamType::Any).build(func));
    }
    context
}

fn label(block: &Block, index: usize) -> String {
    block.labels()[index].as_str().to_owned()
}

fn expression<'a>(block: &'a Block, name: &str) -> Option<&'a Expression> {
    block.body().attributes().find(|attribute| attribute.key() == name).map(hcl::Attribute::expr)
}

fn value(block: &Block, name: &str, context: &Context<'_>) -> Option<Value> {
    expression(block, name).map(|expr| expr.evaluate(context).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// The instances of a resource: the value of `each` for each of them.
fn instances(block: &Block, context: &Context<'_>) -> Vec<(String, Option<Value>)> {
    let each = |key: &str, value: &Value| Some(hcl::value!({ key = (key), value = (value.clone()) }));
    match value(block, "for_each", context) {
        None => vec![(label(block, 1), None)],
        Some(Value::Object(map)) => map.iter().map(|(key, value)| (key.clone(), each(key, value))).collect(),
        Some(Value::Array(set)) => {
            set.iter().map(|one| (one.as_str().unwrap().to_owned(), each(one.as_str().unwrap(), one))).collect()
        }
        Some(other) => panic!("for_each over {other}"),
    }
}

fn resources<'a>(body: &'a Body, kind: &str) -> Vec<&'a Block> {
    body.blocks().filter(|block| block.identifier() == "resource" && label(block, 0) == kind).collect()
}

fn endpoints(body: &Body) -> Vec<Endpoint> {
    let mut all = Vec::new();
    for block in resources(body, "vault_generic_endpoint") {
        let outer = context(body);
        for (_, each) in instances(block, &outer) {
            let mut context = context(body);
            if let Some(each) = each {
                context.declare_var("each", each);
            }
            let flag = |name: &str| value(block, name, &context).is_some_and(|value| value.as_bool().unwrap());
            let text = |name: &str| value(block, name, &context).unwrap().as_str().unwrap().to_owned();
            let path = expression(block, "path").unwrap().to_string();
            assert!(
                path.contains("vault_mount.backup_codes.path"),
                "{path}: it would be written before the mount is there"
            );
            let after = match expression(block, "depends_on") {
                Some(Expression::Array(list)) => list.iter().map(ToString::to_string).collect(),
                _ => Vec::new(),
            };
            all.push(Endpoint {
                address: format!("vault_generic_endpoint.{}", label(block, 1)),
                path: text("path"),
                data: serde_json::from_str(&text("data_json")).unwrap(),
                ignores_absent: flag("ignore_absent_fields"),
                reads: !flag("disable_read"),
                deletes: !flag("disable_delete"),
                after,
            });
        }
    }
    all
}

/// The least friendly order that the dependencies allow: the last one in the file that may go first does.
fn unfriendly(mut all: Vec<Endpoint>) -> Vec<Endpoint> {
    let mut ordered: Vec<Endpoint> = Vec::new();
    while !all.is_empty() {
        let waits = |one: &Endpoint| all.iter().any(|other| one.after.contains(&other.address));
        let next = all.iter().rposition(|one| !waits(one)).expect("no circle");
        ordered.push(all.remove(next));
    }
    ordered
}

/// What would stand in the state after a refresh.
fn refreshed(client: &Client, endpoint: &Endpoint) -> Json {
    let answer = client.read(&endpoint.path).expect(200).data();
    if !endpoint.ignores_absent {
        return answer;
    }
    let mut kept = endpoint.data.clone();
    let fields = answer.as_object().unwrap();
    let more = fields.keys().any(|key| kept.get(key).is_none());
    assert!(more, "{}: every field is written; ignore_absent_fields hides nothing and goes", endpoint.path);
    for (key, value) in kept.as_object_mut().unwrap() {
        *value = fields.get(key).cloned().unwrap_or(Json::Null);
    }
    kept
}

#[test]
fn what_is_written_reads_back_the_same_and_goes_again() {
    let body = body();
    let vault = Vault::registered();
    let root = vault.root();
    let mount = &resources(&body, "vault_mount")[0];
    let of = |name: &str| value(mount, name, &context(&body)).unwrap().as_str().unwrap().to_owned();
    assert_eq!(of("type"), PLUGIN);
    vault.enable(&of("path"));
    for block in resources(&body, "vault_policy") {
        for (name, each) in instances(block, &context(&body)) {
            let mut context = context(&body);
            context.declare_var("each", each.expect("each"));
            let text = |name: &str| value(block, name, &context).unwrap().as_str().unwrap().to_owned();
            vault.token(&text("name"), &text("policy"));
            assert!(text("name").ends_with(&name));
        }
    }

    let endpoints = unfriendly(endpoints(&body));
    assert!(endpoints.len() >= 8, "{}", endpoints.len());
    for endpoint in &endpoints {
        let answer = root.write(&endpoint.path, &endpoint.data);
        assert!(matches!(answer.status, 200 | 204), "{}: {}", endpoint.path, answer.text());
        assert!(!answer.text().contains("warnings\":["), "{}: {}", endpoint.path, answer.text());
    }
    for _ in 0..2 {
        for endpoint in &endpoints {
            assert!(endpoint.reads, "{}: every path of the configuration can be read", endpoint.path);
            assert_eq!(
                refreshed(&root, endpoint),
                endpoint.data,
                "{}: the next plan would not be empty",
                endpoint.path
            );
        }
        // Applied once more, as after somebody's `-replace`.
        for endpoint in &endpoints {
            root.write(&endpoint.path, &endpoint.data);
        }
    }
    for endpoint in endpoints.iter().rev() {
        let answer = root.delete(&endpoint.path);
        let status = if endpoint.deletes { 204 } else { 405 };
        assert_eq!(answer.status, status, "{}: {}", endpoint.path, answer.text());
    }
}

#[test]
fn a_difference_would_be_seen() {
    let body = body();
    let vault = Vault::mounted();
    let mut endpoint = endpoints(&body).into_iter().find(|one| one.path.ends_with("profiles/critical")).unwrap();
    vault.root().write(&endpoint.path, &endpoint.data).expect(204);
    vault.root().write(&endpoint.path, &serde_json::json!({"reveal_window": "4m"})).expect(204);
    assert_ne!(refreshed(&vault.root(), &endpoint), endpoint.data);
    endpoint.data["reveal_window"] = "4m".into();
    assert_ne!(refreshed(&vault.root(), &endpoint), endpoint.data, "another spelling is a difference for the provider");
}
