//! `sparekey audit verify --ledger`: files of several nodes against the ledgers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::cluster::pair;
use super::server;
use super::support::scene::codes;
use super::support::server::BINARY;

/// What it says, and its exit code.
fn verify(files: &[&Path], url: &str, token: &str) -> (Option<i32>, Value) {
    let mut line = vec![files[0].to_owned()];
    for file in &files[1..] {
        line.extend(["--also".into(), (*file).to_owned()]);
    }
    verify_with(&line, url, token)
}

/// The same with these arguments.
fn verify_with(line: &[PathBuf], url: &str, token: &str) -> (Option<i32>, Value) {
    let mut command = Command::new(BINARY);
    command.args(["audit", "verify", "--ledger", "--json", "--address", url]).args(line);
    let done = command.env("BAO_TOKEN", token).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    let read = serde_json::from_str::<Value>(&said).unwrap_or_else(|_| panic!("{:?} {said}", done.status));
    let mut ledger = read["ledger"].clone();
    ledger["findings"] = read["devices"].as_array().unwrap().iter().map(|device| device["findings"].clone()).collect();
    (done.status.code(), ledger)
}

#[test]
fn the_files_of_all_nodes_hold_every_act_and_one_alone_does_not() {
    let pair = pair();
    let [one, two] = &pair.scenes;
    for number in 0..6 {
        one.store(&format!("okta/{number}@example.com"), &codes(number, 4), 0).expect(200);
        two.retrieve(&format!("okta/{number}@example.com"), "jane").expect(200);
    }
    two.enrolled_again("1@example.com").expect(202);
    // The clocks of both stand still: the first file reaches from before the other's acts to after them.
    pair.one.wait(Duration::from_secs(5));
    one.store("okta/last@example.com", &codes(90, 4), 0).expect(200);
    let (first, second) = (pair.one.audit(), pair.two.audit());
    let address = format!("http://{}", pair.one.address);
    let (code, found) = verify(&[&first, &second], &address, &pair.token);
    assert_eq!(code, Some(0), "{found}");
    assert_eq!((&found["silent_total"], &found["lost_total"]), (&Value::from(0), &Value::from(0)), "{found}");
    assert!(found["recorded"].as_u64() >= Some(13), "{found}");
    // The lines of the other node are missing.
    let (code, found) = verify(&[&first], &address, &pair.token);
    assert_eq!(code, Some(2), "acts of the other node were not missed: {found}");
    assert!(found["silent"].to_string().contains("okta/3@example.com"), "{found}");
}

#[test]
fn acts_that_the_store_lost_are_named_and_crashes_are_told_apart() {
    let (mut server, scene) = server();
    let store = super::keep_yesterday(&mut server);
    scene.retrieve("github/acme-owner", "jane").expect(200);
    super::put_back(&mut server, &store);
    let (code, found) = verify(&[&server.audit()], &server.url(), server.root_token());
    assert_eq!(code, Some(2), "a lost act was not found: {found}");
    assert_eq!(found["lost"][0]["account"], "github/acme-owner", "{found}");
    assert_eq!(found["lost"][0]["seq"], 2, "{found}");
    // The same of the store alone, whose server is stopped.
    server.kill();
    let config = server.configure();
    let line = [server.audit(), "--config".into(), config];
    let (code, offline) = verify_with(&line, "http://127.0.0.1:9", "");
    assert_eq!(code, Some(2), "{offline}");
    for field in ["lost", "lost_total", "silent_total", "ledgers", "taken_back"] {
        assert_eq!(offline[field], found[field], "{field}: {offline}");
    }
    server.boot();
    server.until("unsealed", |health| health == 200);

    // An answer's line that was never written, as after a kill between commit and audit: the request is there.
    super::accept(&server);
    let all = fs::read_to_string(server.audit()).unwrap();
    let answer = |line: &&str| {
        !(line.contains("\"type\":\"response\"") && line.contains("\"path\":\"backup-codes/sets/github/acme-owner\""))
    };
    let copy = server.dir().join("copy.log");
    fs::write(&copy, all.lines().filter(answer).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let (_, found) = verify(&[&copy], &server.url(), server.root_token());
    assert_eq!(found["unanswered"][0]["act"], "store", "{found}");
    assert_eq!(found["silent_total"], 0, "{found}");
}
