//! Callers without a token: they reach the events and nothing else, learn nothing there, and hold nothing up.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparekey::engine::paths::{TABLE, Variable};

use crate::support::http::Answer;
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, credential_change, now};
use crate::support::vault::Vault;

/// What a caller sees of an answer, but for what differs each time.
fn seen(answer: &Answer) -> (u16, String) {
    let mut text = answer.text();
    if let Ok(Value::Object(mut body)) = serde_json::from_slice(&answer.body) {
        body.remove("request_id");
        text = Value::Object(body).to_string();
    }
    (answer.status, text.split(" (request ").next().unwrap_or_default().to_owned())
}

#[test]
fn without_a_token_every_path_but_events_looks_the_same_whatever_is_there() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 2), 0).expect(200);
    let mut answers = BTreeSet::new();
    for path in TABLE.iter().copied().flatten().filter(|path| path.prefix != "events") {
        // One that is there, and one that is not.
        let names = match path.variable {
            Variable::None => vec![""],
            Variable::Name(_) => vec!["/idp", "/on-call", "/nobody"],
            Variable::Rest(_) => vec!["/github/acme", "/github/none"],
        };
        for name in names {
            for method in ["GET", "LIST", "POST", "PUT", "PATCH", "DELETE"] {
                let body = json!({"role": "on-call", "jwt": scene.admin("alice"), "reason": "x"}).to_string();
                let body = matches!(method, "POST" | "PUT" | "PATCH").then_some(body.as_bytes());
                let answer = vault.client().send(method, &format!("{MOUNT}/{}{name}", path.prefix), body);
                answers.insert((method, seen(&answer)));
            }
        }
    }
    // For each method one answer, and it is a refusal.
    let methods: BTreeSet<&str> = answers.iter().map(|(method, _)| *method).collect();
    assert_eq!(methods.len(), answers.len(), "{answers:#?}");
    assert!(answers.iter().all(|(_, (status, _))| matches!(status, 400 | 403 | 405 | 415)), "{answers:#?}");

    // Of events a stranger learns which names of sources there are, and nothing of accounts.
    let forger = Signer::es256("k");
    let forged = |email: &str| {
        let subject = json!({"format": "email", "email": email});
        json!({"set": forger.set(&credential_change(ISSUER, AUDIENCE, &subject, now()))})
    };
    let push = |source: &str, body: &Value| seen(&vault.client().write(&format!("{MOUNT}/events/{source}"), body));
    scene.store("okta/jane@example.com", &codes(2, 2), 0).expect(200);
    let there = push("idp", &forged("jane@example.com"));
    assert!(there.0 == 400 && there.1.contains("authentication_failed"), "{there:?}");
    assert_eq!(push("idp", &forged("nobody@example.com")), there);
    let nowhere = push("none", &forged("jane@example.com"));
    assert!(nowhere.0 == 400 && nowhere.1.contains("access_denied"), "{nowhere:?}");
    assert_eq!(push("nowhere", &forged("nobody@example.com")), nowhere);
    assert_eq!(scene.read("accounts", "okta/jane@example.com").expect(200).data()["remaining"], 2);
}

/// Memory of a process that is in use, in bytes.
fn memory(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

#[test]
fn a_flood_of_strangers_holds_nobody_up_and_fills_no_memory() {
    const STRANGERS: usize = 12;
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let mine = codes(1, 60);
    scene.store("github/acme", &mine, 0).expect(200);
    let [pid] = vault.plugin_pids()[..] else { panic!("one plugin") };
    let before = memory(pid);

    let forger = Signer::es256("k");
    let subject = json!({"format": "email", "email": "jane@example.com"});
    let set = |more: usize| {
        let mut claims = credential_change(ISSUER, AUDIENCE, &subject, now());
        claims["pad"] = json!("x".repeat(more));
        json!({"set": forger.set(&claims)})
    };
    let bodies =
        [set(0), set(8_000), set(700_000), json!({"set": "x".repeat(1_000_000)}), json!({"set": "y".repeat(4 << 20)})];
    let (over, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    scope(|threads| {
        for stranger in 0..STRANGERS {
            let (vault, bodies, over, sent) = (&vault, &bodies, &over, &sent);
            threads.spawn(move || {
                for number in stranger.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let path = format!("{MOUNT}/events/{}", ["idp", "none"][number % 2]);
                    let answer = vault.client().write(&path, &bodies[number % bodies.len()]);
                    assert!(matches!(answer.status, 400 | 413 | 429), "{} {}", answer.status, answer.text());
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        let mut given = 0;
        while began.elapsed() < Duration::from_secs(4) && given < mine.len() {
            let asked = Instant::now();
            let answer = scene.retrieve("github/acme", "alice").expect(200);
            slowest = slowest.max(asked.elapsed());
            assert_eq!(answer.data()["code"], json!(mine[given]));
            given += 1;
        }
        over.store(true, Ordering::Relaxed);
        println!("{given} codes beside the flood, the slowest after {slowest:?}");
        assert!(given >= 3 && slowest < Duration::from_secs(5), "{given} codes, the slowest after {slowest:?}");
    });
    let (sent, after) = (sent.into_inner(), memory(pid));
    println!("{sent} requests of strangers; the plugin held {} MiB, then {} MiB", before >> 20, after >> 20);
    assert!(sent > 20, "{sent} requests are no flood");
    assert!(after < before + (256 << 20), "{} MiB, before {} MiB", after >> 20, before >> 20);
    assert_eq!(vault.plugin_pids(), [pid]);
    assert_eq!(vault.root().list(&format!("{MOUNT}/accounts/okta")).status, 404, "a forged event made an account");
}
