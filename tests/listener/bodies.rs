//! Bodies of every kind to every path that takes one.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use sparekey::engine::paths::TABLE;
use sparekey::engine::request::Operation;
use sparekey::host::call::Verb;
use sparekey::host::routes;

use super::inprocess::{MOUNT, Node, Setup};
use super::support::scene::{Scene, codes};
use super::support::signer::Signer;

/// One node for all cases: what a case leaves behind must not matter.
fn shared() -> &'static (Node, String) {
    static NODE: OnceLock<(Node, String)> = OnceLock::new();
    NODE.get_or_init(|| {
        let (node, root) = Setup::default().ready();
        let scene = Scene::with(node.client().token(&root), node.client(), Signer::es256("idp-1"));
        scene.store("a/b", &codes(1, 3), 0).expect(200);
        (node, root)
    })
}

/// Every path that takes a write, engine and host, but those that end the token or the server.
fn targets() -> Vec<String> {
    let mut all = Vec::new();
    for path in TABLE.iter().copied().flatten() {
        if path.operations.iter().any(|op| op.operation == Operation::Update) {
            let pattern = path.pattern();
            let shown = pattern.split("/:").next().unwrap();
            all.push(match pattern.contains(':') {
                true => format!("{MOUNT}{shown}/a/b").replace("events/a/b", "events/idp").replace("s/a/b", "s/x"),
                false => format!("{MOUNT}{shown}"),
            });
        }
    }
    for entry in routes::TABLE {
        if entry.verbs.contains(&Verb::Update) && !entry.pattern.contains("revoke") {
            all.push(entry.pattern.replace('*', "x"));
        }
    }
    all.extend(["sys/init", "sys/unseal"].map(str::to_owned));
    assert!(all.len() > 20, "{all:?}");
    all
}

/// JSON values small and large, with the field names that the paths know.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,24}".prop_map(Value::from),
        "[a-z0-9./*{}_-]{0,16}".prop_map(Value::from),
        Just(json!("9999999999999h")),
        Just(json!("2026-07-01T12:00:00Z")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let known: Vec<String> = TABLE
        .iter()
        .copied()
        .flatten()
        .flat_map(|path| path.operations)
        .flat_map(|op| op.fields)
        .map(|field| field.name.to_owned())
        .chain(
            ["token", "increment", "role", "jwt", "paths", "path", "key", "reset", "secret_shares"].map(str::to_owned),
        )
        .collect();
    prop_oneof![8 => prop::sample::select(known), 1 => ".{0,12}"]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::collection::btree_map(name(), value(), 0..8)
            .prop_map(|map| Value::Object(map.into_iter().collect()).to_string().into_bytes()),
        1 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => "[{}\\[\\]\":,a-z0-9\\\\ ]{0,60}".prop_map(String::into_bytes),
        1 => (1..3000_usize).prop_map(|depth| [vec![b'['; depth], vec![b']'; depth]].concat()),
    ]
}

fn media() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "application/json",
        "application/x-www-form-urlencoded",
        "application/secevent+jwt",
        "text/plain; charset=utf-8",
        ";;;",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_body_makes_the_server_fail(
        target in prop::sample::select(targets()),
        method in prop::sample::select(vec!["PUT", "POST", "PATCH", "DELETE", "GET", "LIST"]),
        body in body(),
        media in media(),
        with_token in any::<bool>(),
    ) {
        let (node, root) = shared();
        let client = node.client().header("Content-Type", media);
        let client = if with_token { client.token(root) } else { client };
        let answer = client.send(method, &target, Some(&body));
        prop_assert!(answer.status < 500, "{method} {target}: {} {}", answer.status, answer.text());
        prop_assert!(answer.status >= 200);
        if answer.status >= 400 && answer.header("content-type") == Some("application/json") {
            let told = answer.json();
            prop_assert!(told["errors"].is_array() || told["err"].is_string(), "{told}");
        }
    }

    #[test]
    fn no_path_makes_the_server_fail(
        method in prop::sample::select(vec!["GET", "LIST", "PUT", "DELETE", "HEAD", "PATCH", "SCAN", "HELP", "OPTIONS"]),
        path in "(sys/|auth/|backup-codes/|)([a-z]{0,6}|%[0-9a-fA-F]{2}|[/.~*+,;:@!$&'()=%-]|accounts|wrapping|mounts){0,8}",
        query in "([?](list|help|scan|limit|after|x)=[a-z0-9%]{0,6}(&[a-z]{0,3}=?)?)?",
        with_token in any::<bool>(),
    ) {
        let (node, root) = shared();
        let client = if with_token { node.client().token(root) } else { node.client() };
        let path = path.replace("revoke", "");
        let Ok(answer) = client.try_send(method, &format!("{path}{query}"), None) else {
            prop_assert_eq!(method, "HEAD", "no answer to {} {}", method, path);
            return Ok(());
        };
        prop_assert!(answer.status < 500, "{method} {path}{query}: {} {}", answer.status, answer.text());
    }
}
