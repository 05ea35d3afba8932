//! A store that is put back to an earlier state: noticed, quarantined, accepted by an operator, and nothing given twice.

#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../support/mod.rs"]
mod support;

mod backup;
mod cluster;
mod crashes;
mod database;
mod line;
mod matching;
mod tampering;
mod yesterday;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::scene::{Scene, codes};
use support::server::{BINARY, Server, Setup};

/// A server that unseals itself, with its cast and an account with ten codes.
fn server() -> (Server, Scene) {
    let server = Setup::default().static_seal().extra("anchor_interval = \"1s\"").start();
    let scene = std::panic::catch_unwind(|| Scene::new(&server)).unwrap_or_else(|_| panic!("{}", server.log()));
    scene.store("github/acme-owner", &codes(1, 10), 0).expect(200);
    (server, scene)
}

/// The file of the server's anchor.
fn anchor(server: &Server) -> PathBuf {
    server.dir().join("audit.log.anchor")
}

/// Stops the server in order and copies its store.
fn keep_yesterday(server: &mut Server) -> Vec<u8> {
    server.terminate();
    let kept = fs::read(server.store()).expect("the store");
    server.boot();
    kept
}

/// Kills the server and puts `store` back.
fn put_back(server: &mut Server, store: &[u8]) {
    server.kill();
    fs::write(server.store(), store).expect("the store is put back");
    server.boot();
}

/// Runs `sparekey restore …` against the server; its exit code, and what it says.
fn command(server: &Server, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.arg("restore").args(args).args(["--address", &server.url()]).env("BAO_TOKEN", server.root_token());
    let done = command.output().expect("it runs");
    (done.status.code(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

/// What the server says of restores.
fn told(server: &Server) -> Value {
    server.root().read("sys/restore").expect(200).data()
}

/// Waits until what the server says of restores is what `wanted` wants.
fn until(server: &Server, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let told = told(server);
        if wanted(&told) {
            return told;
        }
        assert!(Instant::now() < deadline, "not {what}: {told}");
        sleep(Duration::from_millis(20));
    }
}

/// Accepts the restore; what it says.
fn accept(server: &Server) -> Value {
    server.root().write("sys/restore/accept", &json!({"reason": "disk lost, backup of last night"})).expect(200).data()
}

/// A release by the automation.
fn release(scene: &Scene, account: &str) -> support::http::Answer {
    let body =
        json!({"role": "automation", "jwt": scene.automation(), "reason": "asked the provider: these still work"});
    scene.act("release", account, body)
}
