//! A node beside one of a newer version: a record in a format that this one does not know is refused by name, stays as it is, and hinders
//! nothing that does not need it.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::engine::request::{Face, Operation, Request};
use sparekey::error::Error;
use sparekey::random::OsRandom;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Expect, Found, Get, Revision, Storage, Write};

use crate::harness::{Bench, CODES};

/// Records of the host lie beside the engine's; the keyring is a layout of the crypto part, and has vectors of its own.
const OTHERS: [&str; 2] = ["wrapping", "keyring"];

/// Each kind of record, and what cannot be answered without it, of what [`refusals`] asks for.
const NEEDED: [(&str, &[&str]); 18] = [
    ("accounts", &["report/posture"]),
    ("burns", &[]),
    ("claims", &[]),
    ("config", &["config"]),
    ("config-ledger", &["config", "config/history"]),
    ("events", &[]),
    ("issuers", &["issuers/idp"]),
    ("ledger", &["history/github/acme"]),
    ("limits", &[]),
    ("profiles", &["profiles/kept"]),
    ("rewrap", &["config/keys/rewrap"]),
    ("roles", &["roles/admin"]),
    ("sets", &["config/keys/rewrap"]),
    ("source-state", &["sources/idp"]),
    ("sources", &["events/idp", "sources/idp"]),
    ("tombstones", &["config/keys/rewrap", "sets/closed"]),
    ("turns", &[]),
    ("wraps", &["config/keys"]),
];

/// What every act of the role needs.
const ALL_ACTS: [&str; 5] = ["config", "issuers", "limits", "profiles", "roles"];

fn kind(key: &str) -> &str {
    key.split('/').next().unwrap_or_default()
}

fn set(seed: usize, count: usize) -> Vec<String> {
    (0..count).map(|index| format!("{seed:03}{index:03}-{:05x}", (seed * 7919 + index * 104_729) % 0xf_ffff)).collect()
}

/// One record of each kind, and two accounts that go on.
async fn story(bench: &Bench) {
    bench.fine("profiles/kept", json!({"kind": "escrowed", "regenerate_within": "1000h"})).await;
    bench.fine("config", json!({"default_profile": "kept"})).await;
    bench.fine("roles/admin", json!({"max_retrievals": 1000, "per": "24h", "scope": "role"})).await;
    for (account, generations) in [("github/acme", 7), ("github/other", 1), ("okta/jane@example.com", 1), ("closed", 1)]
    {
        for generation in 1..=generations {
            let codes = set(generation + account.len() * 10, 120);
            let stored = bench.act(&format!("sets/{account}"), json!({"codes": codes})).await;
            assert_eq!(stored.status, 200, "{account}: {stored:?}");
        }
        assert_eq!(bench.act(&format!("retrieve/{account}"), json!({})).await.status, 200);
    }
    for _ in 0..70 {
        assert_eq!(bench.act("retrieve/github/acme", json!({})).await.status, 200);
    }
    assert_eq!(bench.act("revoke/closed", json!({"reason": "closed"})).await.status, 200);
    assert_eq!(bench.root(Operation::Delete, "accounts/closed", json!({})).await.status, 204);
    bench.fine("config/keys/rotate", json!({})).await;
    bench.fine("config/keys/rewrap", json!({"batch": 1})).await;
    let turn = bench.engine.take_turn("sweep").await.unwrap().expect("nobody else has it");
    bench.engine.end_turn(turn, bench.engine.sweep_place().await).await.unwrap();
    events(bench).await;
}

async fn events(bench: &Bench) {
    let event = bench.event("joe@example.com", bench.now() - 7200, json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    bench.engine.settle_counts().await;
}

async fn keys(store: &dyn Storage, prefix: String) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![prefix];
    while let Some(folder) = folders.pop() {
        for name in store.list(&folder, None, 1000).await.unwrap() {
            let key = format!("{folder}{name}");
            if key.ends_with('/') { folders.push(key) } else { found.push(key) }
        }
    }
    found.sort();
    found
}

async fn value(bench: &Bench, key: &str) -> (Vec<u8>, Revision) {
    match bench.store.get_many(vec![Get::new(key)]).await.unwrap().remove(0) {
        Found::Value(bytes, revision) => (bytes, revision),
        other => panic!("{key}: {other:?}"),
    }
}

async fn replace(bench: &Bench, key: &str, bytes: Vec<u8>) -> Revision {
    let (_, revision) = value(bench, key).await;
    bench.store.put_all(vec![Write::put(key, Expect::At(revision), bytes, &OsRandom)]).await.unwrap();
    value(bench, key).await.1
}

fn by_name(key: &str, error: Option<Error>) {
    let Some(error) = error else { return };
    let cause = error.source().map_or_else(String::new, ToString::to_string);
    assert!(cause.contains(key) && cause.contains("format 2"), "{key}: {error:?}");
}

/// Asks for everything: what was refused, and the cause that the operator's log has.
async fn refusals(bench: &Bench, round: usize, key: &str) -> BTreeMap<String, String> {
    use Operation::{List, Read, Update};
    let jwt = || json!(bench.jwt(json!({})));
    let event = bench.event("joe@example.com", bench.now() - 7200, json!({}));
    let read = |path: &str| (Read, path.to_owned(), json!({}));
    let act = |path: &str, mut body: Value| {
        body["jwt"] = jwt();
        (Update, path.to_owned(), body)
    };
    let mut asked = vec![
        act("retrieve/github/other", json!({})),
        act("retrieve/github/acme", json!({})),
        act("retrieve/okta/jane@example.com", json!({})),
        act("outcome/github/acme", json!({"generation": 7, "slot": 1, "outcome": "worked"})),
        act("check/github/acme", json!({"code": "no-such-code"})),
        act("sets/fresh/one", json!({"codes": set(500 + round, 3)})),
        act("confirm/github/acme", json!({"generation": 1})),
        act(
            "enroll/okta/jane@example.com",
            json!({"enrollment_id": format!("e{round}"), "occurred_at": 1_700_000_000}),
        ),
        (Update, "events/idp".to_owned(), json!({"set": event})),
        (Update, "config/keys/rewrap".to_owned(), json!({"batch": 500})),
        (Update, "config".to_owned(), json!({"clock_skew": format!("{}s", 60 + round)})),
        (Update, "accounts/github/other".to_owned(), json!({"owner": format!("team-{round}")})),
        (List, "accounts/".to_owned(), json!({})),
        (Read, "history/github/acme".to_owned(), json!({"verify": true, "limit": 1000})),
    ];
    asked.extend(
        [
            "config",
            "config/keys",
            "issuers/idp",
            "profiles/kept",
            "roles/admin",
            "sources/idp",
            "accounts/github/acme",
            "accounts/github/other",
            "history/github/other",
            "report/posture",
            "report/usage",
            "report/access",
        ]
        .map(read),
    );
    // Only where it must be refused: it would be no deleted account any more.
    if key == "tombstones/closed" {
        asked.push(act("sets/closed", json!({"codes": set(700, 3)})));
    }
    asked.push((Read, "config/history".to_owned(), json!({"verify": true, "limit": 1000})));
    let mut refused = BTreeMap::new();
    for (number, (operation, path, body)) in asked.into_iter().enumerate() {
        let Value::Object(data) = body else { panic!("an object") };
        let caller = match data.contains_key("jwt") || path.starts_with("events/") {
            true => Caller::Anonymous,
            false => Caller::Root { accessor: "root".into() },
        };
        let id = format!("v{round}-{number}");
        let request =
            Request { id, operation, path: path.clone(), data, caller, remote: None, face: Face::Http, wrap: None };
        let Err(error) = bench.engine.handle(request).await else { continue };
        let cause = error.source().map_or_else(|| error.public().to_owned(), ToString::to_string);
        refused.insert(path, format!("{} {cause}", error.kind().status()));
    }
    refused
}

#[tokio::test]
async fn a_record_of_a_newer_format_is_refused_by_name_and_stays_as_it_is() {
    let mut bench = Bench::over(Arc::new(Memory::sequential())).await;
    story(&bench).await;
    let all = keys(&*bench.store, String::new()).await;
    let kinds: BTreeSet<&str> = all.iter().map(|key| kind(key)).filter(|kind| !OTHERS.contains(kind)).collect();
    assert_eq!(kinds, NEEDED.iter().map(|(kind, _)| *kind).collect(), "every kind of record, and what needs it");
    assert_eq!(refusals(&bench, 0, "").await, BTreeMap::new(), "nothing is refused before");
    let mut seen = Vec::new();
    for (round, key) in all.iter().enumerate() {
        let kind = kind(key);
        let Some((_, needed)) = NEEDED.iter().find(|(known, _)| *known == kind) else { continue };
        // Claims are many, and all alike.
        if seen.iter().filter(|known| **known == kind).count() >= 3 {
            continue;
        }
        seen.push(kind);
        // As the newer version may have laid it out: another number, and after it whatever it likes.
        let (before, _) = value(&bench, key).await;
        let newer = [&[2], &before[1..]].concat();
        let revision = replace(&bench, key, newer.clone()).await;
        bench.restart();
        // So that there is something to re-wrap.
        bench.root(Operation::Update, "config/keys/rotate", json!({})).await;
        let refused = refusals(&bench, round + 1, key).await;
        for _ in 0..3 {
            by_name(key, bench.engine.sweep(1000, || true).await.err());
            by_name(key, bench.engine.sweep_sets(1000, || true).await.err());
        }
        for (path, cause) in &refused {
            assert!(cause.contains(key.as_str()) && cause.contains("format 2"), "{key}: {path}: {cause}");
        }
        assert_eq!(value(&bench, key).await, (newer, revision), "{key} was written");
        let own = key.replacen("accounts/", "retrieve/", 1);
        for path in needed.iter().copied().chain((kind == "accounts").then_some(own.as_str())) {
            assert!(refused.contains_key(path), "{key}: {path} went through: {refused:?}");
        }
        if !ALL_ACTS.contains(&kind) && own != "retrieve/github/other" {
            assert!(!refused.contains_key("retrieve/github/other"), "{key}: {refused:?}");
        }
        replace(&bench, key, before).await;
    }
}

#[tokio::test]
async fn what_a_newer_version_noted_of_an_assertion_or_an_event_is_not_passed_over() {
    let mut bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.store("github/other", &["eeeee-55555"]).await;
    let jwt = bench.jwt(json!({}));
    assert_eq!(bench.act("retrieve/github/acme", json!({"jwt": jwt})).await.status, 200);
    let event = bench.event("joe@example.com", bench.now() - 7200, json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    let claims = keys(&*bench.store, "claims/".to_owned()).await;
    let events = keys(&*bench.store, "events/".to_owned()).await;
    for key in claims.iter().chain(&events) {
        let (before, _) = value(&bench, key).await;
        replace(&bench, key, [&[2], &before[1..]].concat()).await;
    }
    bench.restart();
    for account in ["github/acme", "github/other"] {
        let again = bench.act(&format!("retrieve/{account}"), json!({"jwt": jwt, "idempotency_key": "other"})).await;
        assert!(again.status >= 403 && again.code.is_none(), "{account}: {again:?}");
    }
    assert_eq!(bench.send_event(&event).await.status, 500);
    assert_eq!(bench.read("accounts/github/acme").await["remaining"], 3, "no code was burned for it");
    assert_eq!(bench.read("accounts/github/other").await["remaining"], 1);
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.status, 200, "another assertion is served");
}
