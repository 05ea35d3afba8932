//! The built server on a disk without room: a limit on how long its files may become, set from outside while it runs.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};

use crate::support::http::Answer;
use crate::support::scene::{Scene, codes};
use crate::support::server::{MOUNT, Server};

const ACCOUNT: &str = "github/owner";

/// No file of the server may grow beyond `bytes` (`None`: as long as it likes).
fn room(server: &Server, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(server.pid().unwrap()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

fn set_up(held: &[String]) -> (Server, Scene) {
    let server = Server::start();
    let scene = Scene::new(&server);
    scene.store(ACCOUNT, held, 0).expect(200);
    (server, scene)
}

fn account(server: &Server) -> Value {
    server.root().read(&format!("{MOUNT}/accounts/{ACCOUNT}")).expect(200).data()
}

/// Asks until a code comes; fails for any other reason than a failure of the server's own.
fn patiently(scene: &Scene) -> String {
    let begun = Instant::now();
    for turn in 0.. {
        let answer = scene.retrieve(ACCOUNT, &format!("patient-{turn}"));
        match answer.status {
            200 => return answer.data()["code"].as_str().unwrap().to_owned(),
            500 | 503 => sleep(Duration::from_millis(20)),
            other => panic!("{other}: {}", answer.text()),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not recover");
    }
    unreachable!()
}

fn ours(answer: &Answer, what: &str, held: &[String]) {
    assert!(matches!(answer.status, 500 | 503), "{what}: {} {}", answer.status, answer.text());
    assert!(held.iter().all(|code| !answer.text().contains(code)), "{what}: {}", answer.text());
}

#[test]
fn a_full_disk_stops_writes_and_nothing_else_until_there_is_room_again() {
    let held = codes(1, 6);
    let (server, scene) = set_up(&held);
    assert_eq!(patiently(&scene), held[0]);
    room(&server, Some(server.audit().metadata().unwrap().len()));
    for turn in 0..3 {
        ours(&scene.retrieve(ACCOUNT, &format!("bob-{turn}")), "retrieve", &held);
        let write = |path: &str, body: Value| server.root().write(&format!("{MOUNT}/{path}"), &body);
        ours(&write(&format!("accounts/{ACCOUNT}"), json!({"owner": "x"})), "account", &held);
        ours(&write("config", json!({"clock_skew": "1m"})), "config", &held);
        server.client().read("sys/health").expect(200);
        server.root().read("auth/token/lookup-self").expect(200);
        assert_eq!(account(&server)["remaining"], 5, "nothing was burnt");
    }
    room(&server, None);
    assert_eq!(patiently(&scene), held[1], "no code was lost");
}

/// The audit has room and the store has none where it must write: what is not written is not given, what is given is written.
#[test]
fn a_store_without_room_gives_no_code_twice_and_comes_back() {
    let held = codes(2, 12);
    let (mut server, scene) = set_up(&held);
    let (audit, store) = (server.audit().metadata().unwrap().len(), server.store().metadata().unwrap().len());
    let limit = audit + 40 * 1024;
    assert!(limit < store, "the store is the longer file: {store}, {audit}");
    room(&server, Some(limit));
    let mut seen = Vec::new();
    let mut failures = 0;
    for turn in 0..8 {
        let answer = scene.retrieve(ACCOUNT, &format!("bob-{turn}"));
        match answer.status {
            200 => seen.push(answer.data()["code"].as_str().unwrap().to_owned()),
            _ => {
                ours(&answer, "retrieve", &held);
                failures += 1;
            }
        }
        server.client().read("sys/health").expect(200);
    }
    assert!(failures > 0, "the limit was felt");
    room(&server, None);
    seen.push(patiently(&scene));
    server.restart();
    seen.push(patiently(&scene));
    let spent = held.len() - usize::try_from(account(&server)["remaining"].as_u64().unwrap()).unwrap();
    let places: Vec<usize> = seen.iter().map(|code| held.iter().position(|it| it == code).unwrap()).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "each another code, in their order: {places:?}");
    // A write whose outcome nobody could know may have cost a code that nobody saw; never more than one for each failure.
    assert!((seen.len()..=seen.len() + failures).contains(&spent), "{} seen, {spent} spent", seen.len());
    let history = server.root().read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
    assert_eq!(history["verified"], true);
}
