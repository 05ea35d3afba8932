//! Generations of the KEK: rotation, re-wrapping, and the end of old ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sparekey::engine::request::Operation;
use sparekey::engine::rewrap::{LONGEST_REQUEST, turn};
use sparekey::random::{OsRandom, Random};
use sparekey::storage::memory::Memory;
use sparekey::storage::{Expect, Found, Get, Revision, Storage, Write};

use crate::harness::{Answer, Bench, CODES};

mod load;

const REWRAP: &str = "config/keys/rewrap";

/// A set of two codes of its own for the account `name`, stored and, so that an ended one keeps its key, under `profile`.
async fn store(bench: &Bench, name: &str, mark: &str) {
    let codes = [format!("{mark}-aaaaa"), format!("{mark}-bbbbb")];
    let answer = bench.act(&format!("sets/{name}"), json!({"codes": codes})).await;
    assert_eq!(answer.status, 200, "{name}: {answer:?}");
}

/// Accounts at several depths, one with archived sets whose keys are still there, one deleted.
async fn populate(bench: &Bench) {
    bench.fine("profiles/escrowed", json!({"destroy_after": "720h"})).await;
    for name in ["a", "a/b", "github/acme-owner", "github/acme-second", "okta/jane@example.com", "z"] {
        store(bench, name, &format!("{}0", name.replace(['/', '@', '.', '-'], "x"))).await;
    }
    for number in 1..7 {
        bench.wait(1);
        store(bench, "archive", &format!("code{number}")).await;
    }
    store(bench, "gone", "gone1").await;
    assert_eq!(bench.act("revoke/gone", json!({"reason": "leaves"})).await.status, 200);
    assert_eq!(bench.root(Operation::Delete, "accounts/gone", json!({})).await.status, 204);
}

async fn rotate(bench: &Bench) -> Value {
    bench.fine("config/keys/rotate", json!({})).await.data["active"].clone()
}

async fn states(bench: &Bench) -> Vec<(u64, String)> {
    let keys = bench.read("config/keys").await;
    let generations = keys["generations"].as_array().unwrap().iter();
    generations.map(|one| (one["generation"].as_u64().unwrap(), one["state"].as_str().unwrap().to_owned())).collect()
}

fn states_are(found: &[(u64, String)], wanted: &[(u64, &str)]) -> bool {
    found.iter().map(|(generation, state)| (*generation, state.as_str())).eq(wanted.iter().copied())
}

/// Calls until it is over, waiting where it says so; the number of calls.
async fn finish(bench: &Bench, batch: u64) -> usize {
    for calls in 1.. {
        let answer = bench.fine(REWRAP, json!({"batch": batch})).await.data;
        match answer["state"].as_str().unwrap() {
            "running" => {}
            "waiting" => bench.wait(answer["eta"].as_i64().unwrap()),
            "done" => return calls,
            other => panic!("{other}: {answer}"),
        }
        assert!(calls < 10_000, "never over: {answer}");
    }
    unreachable!()
}

async fn raw(bench: &Bench, key: &str) -> (Vec<u8>, Revision) {
    match bench.store.get_many(vec![Get::new(key)]).await.unwrap().remove(0) {
        Found::Value(value, revision) => (value, revision),
        other => panic!("{other:?}"),
    }
}

/// Where the wrapped key of the last set stands in a record: the last byte string of 48 bytes, after those of sealed codes.
fn find_dek(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).rposition(|pair| pair == [0x58, 48]).map(|at| at + 10)
}

#[tokio::test]
async fn a_rotation_and_a_rewrapping_leave_every_code_and_retire_the_old_key() {
    let bench = Bench::new().await;
    populate(&bench).await;
    let keys = bench.read("config/keys").await;
    assert_eq!((&keys["active"], &keys["generations"][0]["wraps"]), (&json!(1), &json!(13)), "{keys}");
    assert_eq!(rotate(&bench).await, 2);
    assert!(states_are(&states(&bench).await, &[(1, "decrypt-only"), (2, "active")]));
    assert_eq!(bench.read(REWRAP).await["state"], "idle");

    let calls = finish(&bench, 3).await;
    assert!(calls > 5, "bounded work in each call: {calls}");
    let progress = bench.read(REWRAP).await;
    assert_eq!(
        (&progress["state"], &progress["done"], &progress["failed"]),
        (&json!("done"), &progress["total"], &json!(0))
    );
    assert!(states_are(&states(&bench).await, &[(1, "retired"), (2, "active")]));
    assert_eq!(bench.read("config/keys").await["generations"][1]["wraps"], 13);
    for name in ["a", "a/b", "github/acme-owner", "github/acme-second", "okta/jane@example.com", "z", "archive"] {
        let answer = bench.act(&format!("retrieve/{name}"), json!({})).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
    let history = bench.root(Operation::Read, "config/history", json!({"verify": true, "limit": 1000})).await.data;
    assert_eq!(history["verified"], true);
    let acts: Vec<&str> =
        history["entries"].as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(&acts[acts.len() - 4..], ["rotate", "rewrap", "retire", "rewrap"], "{acts:?}");

    // A day later it is erased, and a further turn says nothing of it.
    bench.wait(24 * 3600);
    turn(&bench.engine, 1).await.unwrap();
    assert!(states_are(&states(&bench).await, &[(2, "active")]));
}

#[tokio::test]
async fn a_key_that_something_needs_is_never_retired() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.store("b", &["eeeee-55555", "fffff-66666"]).await;
    let before = [raw(&bench, "accounts/a").await.0, raw(&bench, "accounts/b").await.0];
    rotate(&bench).await;
    let mut answer = bench.fine(REWRAP, json!({})).await.data;
    while answer["state"] == "running" {
        answer = bench.fine(REWRAP, json!({})).await.data;
    }
    // The first scan found nothing more. Now requests from before the rotation write late.
    for (key, value) in ["accounts/a", "accounts/b"].into_iter().zip(before) {
        let (_, now) = raw(&bench, key).await;
        bench.store.put_all(vec![Write::put(key, Expect::At(now), value, &OsRandom)]).await.unwrap();
    }
    let code =
        |answer: &Answer| answer.code.clone().ok_or(format!("a key was retired that a set still needs: {answer:?}"));
    assert_eq!(code(&bench.act("retrieve/a", json!({})).await).as_deref(), Ok(CODES[0]));
    assert_eq!((&answer["state"], &answer["eta"]), (&json!("waiting"), &json!(LONGEST_REQUEST.as_secs())));
    assert_eq!(bench.fine(REWRAP, json!({})).await.data["state"], "waiting", "not before its time");
    assert!(states_are(&states(&bench).await, &[(1, "decrypt-only"), (2, "active")]));
    bench.wait(LONGEST_REQUEST.as_secs() as i64);
    // The second scan finds it, so it takes two more.
    finish(&bench, 100).await;
    assert!(states_are(&states(&bench).await, &[(1, "retired"), (2, "active")]));
    assert_eq!(code(&bench.act("retrieve/b", json!({})).await).as_deref(), Ok("eeeee-55555"));
}

#[tokio::test]
async fn a_record_that_is_put_back_under_a_retired_key_is_found_by_the_next_rewrapping() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let (before, _) = raw(&bench, "accounts/a").await;
    rotate(&bench).await;
    bench.wait(600);
    finish(&bench, 100).await;
    let (_, now) = raw(&bench, "accounts/a").await;
    bench.store.put_all(vec![Write::put("accounts/a", Expect::At(now), before, &OsRandom)]).await.unwrap();
    assert_eq!(bench.act("retrieve/a", json!({})).await.status, 500);
    finish(&bench, 100).await;
    assert_eq!(bench.act("retrieve/a", json!({})).await.status, 200);
    assert!(states_are(&states(&bench).await, &[(1, "retired"), (2, "active")]));
}

#[tokio::test]
async fn a_key_that_does_not_unwrap_blocks_the_retirement_and_says_so() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.store("b", &["eeeee-55555", "fffff-66666"]).await;
    let (mut bytes, now) = raw(&bench, "accounts/b").await;
    let dek = find_dek(&bytes).expect("a wrapped key");
    bytes[dek] ^= 1;
    bench.store.put_all(vec![Write::put("accounts/b", Expect::At(now), bytes, &OsRandom)]).await.unwrap();
    rotate(&bench).await;
    bench.wait(600);
    let mut answer = bench.fine(REWRAP, json!({})).await;
    while answer.data["state"] == "running" {
        answer = bench.fine(REWRAP, json!({})).await;
    }
    assert_eq!((&answer.data["state"], &answer.data["failed"]), (&json!("blocked"), &json!(1)), "{answer:?}");
    assert!(answer.warnings[0].contains("do not unwrap"), "{answer:?}");
    assert!(states_are(&states(&bench).await, &[(1, "decrypt-only"), (2, "active")]));
    // The set is given up; the next one goes through.
    assert_eq!(bench.act("revoke/b", json!({"reason": "damaged"})).await.status, 200);
    finish(&bench, 100).await;
    assert!(states_are(&states(&bench).await, &[(1, "retired"), (2, "active")]));
}

#[tokio::test]
async fn it_stops_and_goes_on_and_survives_a_restart() {
    let mut bench = Bench::new().await;
    populate(&bench).await;
    rotate(&bench).await;
    bench.wait(600);
    bench.fine(REWRAP, json!({"batch": 2})).await;
    let stopped = bench.fine(REWRAP, json!({"stop": true})).await.data;
    assert_eq!((&stopped["state"], &stopped["eta"]), (&json!("stopped"), &Value::Null));
    assert!(!turn(&bench.engine, 100).await.unwrap(), "a turn does nothing while it is stopped");
    assert_eq!(bench.read(REWRAP).await, stopped);
    bench.restart();
    assert_eq!(bench.read(REWRAP).await, stopped);
    let mut seen = 0;
    while bench.fine(REWRAP, json!({"batch": 2})).await.data["state"] != "done" {
        let progress = bench.read(REWRAP).await;
        if progress["rewrapped"] == 0 && progress["state"] == "running" {
            assert!(progress["done"].as_u64().unwrap() >= seen, "progress goes back: {progress}");
            seen = progress["done"].as_u64().unwrap();
        }
        bench.restart();
    }
    assert!(states_are(&states(&bench).await, &[(1, "retired"), (2, "active")]));
}

#[tokio::test]
async fn a_rotation_in_the_middle_begins_the_scans_anew() {
    let bench = Bench::new().await;
    populate(&bench).await;
    rotate(&bench).await;
    bench.wait(600);
    for _ in 0..4 {
        bench.fine(REWRAP, json!({"batch": 3})).await;
    }
    assert_eq!(rotate(&bench).await, 3);
    bench.wait(600);
    finish(&bench, 5).await;
    assert!(states_are(&states(&bench).await, &[(1, "retired"), (2, "retired"), (3, "active")]));
    assert_eq!(bench.act("retrieve/a/b", json!({})).await.status, 200);
}

/// What acts write after a rotation is under the new key, archives included: nothing slips past a scan by moving.
#[tokio::test]
async fn every_write_wraps_anew_what_it_writes() {
    let bench = Bench::new().await;
    populate(&bench).await;
    rotate(&bench).await;
    store(&bench, "archive", "later").await;
    assert_eq!(bench.act("retrieve/z", json!({})).await.status, 200);
    let keys = bench.read("config/keys").await;
    // Five sets in the record, the one that left it now, the new one; z's.
    assert_eq!(keys["generations"][1]["wraps"], 7, "{keys}");
}

#[tokio::test]
async fn what_a_call_may_say_is_bounded() {
    let bench = Bench::new().await;
    for (path, body) in [
        (REWRAP, json!({"batch": 0})),
        (REWRAP, json!({"batch": 10_001})),
        (REWRAP, json!({"bach": 1})),
        (REWRAP, json!({"stop": "perhaps"})),
        ("config/keys/rotate", json!({"generation": 9})),
    ] {
        let answer = bench.root(Operation::Update, path, body.clone()).await;
        assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
    }
    for (operation, path) in [
        (Operation::Update, "config/keys"),
        (Operation::Read, "config/keys/rotate"),
        (Operation::Delete, REWRAP),
        (Operation::List, "config/keys"),
    ] {
        assert_eq!(bench.root(operation, path, json!({})).await.status, 405, "{path}");
    }
    let stranger = bench.act("config/keys/rotate", json!({})).await;
    assert_eq!(stranger.status, 403, "{stranger:?}");
    for number in 2..=64 {
        assert_eq!(rotate(&bench).await, number);
    }
    let answer = bench.root(Operation::Update, "config/keys/rotate", json!({})).await;
    assert_eq!((answer.status, answer.word()), (400, "too-many-generations"), "{answer:?}");
    bench.wait(600);
    finish(&bench, 10).await;
    bench.wait(24 * 3600);
    turn(&bench.engine, 1).await.unwrap();
    assert_eq!(rotate(&bench).await, 65);
}
