//! Once means once while the plugin process is killed again and again under many clients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::scene::{Scene, codes};
use crate::support::signer::Signer;
use crate::support::vault::Vault;

const CLIENTS: usize = 8;
const KILLS: usize = 12;

#[test]
fn no_code_twice_and_none_unrecorded_while_the_plugin_is_killed_under_many_clients() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let mine = codes(3, 500);
    scene.store("github/acme", &mine, 0).expect(200);

    let (over, broken) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen: Mutex<Vec<(String, u64)>> = Mutex::default();
    scope(|threads| {
        for client in 0..CLIENTS {
            let (scene, over, broken, seen) = (&scene, &over, &broken, &seen);
            threads.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let mut ask = scene.request(&format!("client-{client}"));
                    ask["idempotency_key"] = json!(format!("{client}-{number}"));
                    let deadline = Instant::now() + Duration::from_secs(30);
                    // The same request, until it is answered: it must cost one code and no more.
                    let answer = loop {
                        let answer = scene.act("retrieve", "github/acme", ask.clone());
                        if answer.status == 200 {
                            break answer;
                        }
                        assert!(matches!(answer.status, 500 | 503), "{}: {}", answer.status, answer.text());
                        assert!(Instant::now() < deadline, "{}", answer.text());
                        broken.fetch_add(1, Ordering::Relaxed);
                        sleep(Duration::from_millis(20));
                    };
                    let data = answer.data();
                    let code = data["code"].as_str().expect("a code").to_owned();
                    seen.lock().unwrap().push((code, data["slot"].as_u64().unwrap()));
                }
            });
        }
        for _ in 0..KILLS {
            sleep(Duration::from_millis(400));
            if let [pid] = vault.plugin_pids()[..] {
                let _ = rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    rustix::process::Signal::KILL,
                );
            }
        }
        over.store(true, Ordering::Relaxed);
    });

    let seen = seen.into_inner().unwrap();
    let distinct: BTreeSet<&String> = seen.iter().map(|(code, _)| code).collect();
    assert!(seen.len() > CLIENTS && broken.load(Ordering::Relaxed) > 0, "{} codes, {broken:?} failures", seen.len());
    assert_eq!(distinct.len(), seen.len(), "a code left twice");

    // Every code that was seen stands in the ledger, once but for repeats of the same request.
    let mut recorded: BTreeMap<u64, usize> = BTreeMap::new();
    let mut after = 0;
    loop {
        let page =
            scene.read("history", &format!("github/acme?limit=1000&verify=true&after={after}")).expect(200).data();
        assert_eq!(page["verified"], true);
        let entries = page["entries"].as_array().unwrap();
        for entry in entries.iter().filter(|entry| entry["act"] == "retrieve" && entry["repeat"] == false) {
            *recorded.entry(entry["slot"].as_u64().unwrap()).or_default() += 1;
        }
        match entries.last() {
            Some(last) => after = last["seq"].as_u64().unwrap(),
            None => break,
        }
    }
    for (_, slot) in &seen {
        assert_eq!(recorded.get(slot), Some(&1), "slot {slot}");
    }
    let remaining = scene.read("accounts", "github/acme").data()["remaining"].as_u64().unwrap() as usize;
    assert_eq!(remaining + recorded.len(), mine.len(), "a repeat cost another code");
    println!("{} codes, {} answers lost to {KILLS} kills", seen.len(), broken.load(Ordering::Relaxed));
}
