//! A backup is restored where nothing else is left: neither anchor nor audit file tells that the store is older than it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::support::scene::{Scene, codes};
use super::support::server::{BINARY, Server, Setup};
use super::{command, release, told};

const ACCOUNTS: [&str; 3] = ["github/acme-owner", "okta/jane@example.com", "team/quiet"];

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs the command line; what it says.
fn run(server: &Server, line: &[&str]) -> String {
    let mut command = Command::new(BINARY);
    command.args(line).env("BAO_ADDR", server.url()).env("BAO_TOKEN", server.root_token());
    let done = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert_eq!(done.status.code(), Some(0), "{line:?}: {said}");
    said
}

/// A server with three accounts, of which a backup was made; then a code left, a set was ended, an account was made. The audit file of
/// all that lies in the folder of the backup.
fn lost(extra: &str) -> (Server, Scene, tempfile::TempDir) {
    let mut server = Setup::default().static_seal().extra(extra).start();
    let scene = Scene::new(&server);
    for (number, account) in ACCOUNTS.into_iter().enumerate() {
        scene.store(account, &codes(number as u64 + 1, 4), 0).expect(200);
    }
    let kept = tempfile::tempdir().expect("a folder");
    run(&server, &["backup", text(&kept.path().join("backup"))]);
    scene.retrieve(ACCOUNTS[0], "jane").expect(200);
    scene.enrolled_again("jane@example.com").expect(202);
    scene.store("team/new", &codes(9, 4), 0).expect(200);
    server.terminate();
    fs::copy(server.audit(), kept.path().join("audit.log")).expect("the audit file is kept");
    // The machine is gone: all that there is of it is its configuration and the key of its seal.
    for entry in fs::read_dir(server.dir()).expect("the folder") {
        let path = entry.expect("a file").path();
        if path.file_name().is_some_and(|name| name != "seal.key") {
            fs::remove_file(path).expect("it is removed");
        }
    }
    (server, scene, kept)
}

fn backup(kept: &tempfile::TempDir) -> PathBuf {
    kept.path().join("backup")
}

/// Restores the backup and starts the server on it.
fn restore(server: &mut Server, kept: &tempfile::TempDir) {
    let config = server.configure();
    let said = run(server, &["restore", text(&backup(kept)), "--config", text(&config)]);
    assert!(said.contains("gives no code until"), "{said}");
    server.boot();
    server.until("unsealed", |health| health == 200);
}

/// No code leaves or comes in, whatever is asked.
fn gives_nothing(server: &Server, scene: &Scene) {
    let found = told(server);
    assert_eq!(found["quarantine"], true, "a restored backup was not noticed: {found}");
    assert!(found["backup_of"].is_string(), "{found}");
    for account in ACCOUNTS {
        let answer = scene.retrieve(account, "jane").expect(503);
        assert!(answer.error().starts_with("restore-quarantine: "), "{}", answer.text());
        assert!(answer.error().contains("restored from a backup of"), "{}", answer.text());
    }
    let body = json!({"role": "automation", "jwt": scene.automation(), "codes": codes(30, 4)});
    scene.act("sets", "team/fresh", body).expect(503);
    assert_eq!(server.client().read("sys/health").expect(200).json()["restore_quarantine"], true);
}

/// Where nobody can say what was acknowledged since, every account with a live set is held.
fn with_nothing_left(extra: &str) {
    let (mut server, scene, kept) = lost(extra);
    restore(&mut server, &kept);
    gives_nothing(&server, &scene);
    // Nothing follows from silence: it must be said which.
    let (code, said) = command(&server, &["status"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--hold known") && said.contains("--hold all"), "{said}");
    let (code, said) = command(&server, &["accept", "--reason", "the machine burnt down"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("known or all"), "{said}");
    gives_nothing(&server, &scene);

    let (code, said) = command(&server, &["accept", "--reason", "the machine burnt down", "--hold", "all"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("3 accounts more are held"), "{said}");
    for account in ACCOUNTS {
        let answer = scene.retrieve(account, "jane");
        assert_eq!(answer.status, 400, "{account} gave a code that may have left already: {}", answer.text());
        assert!(answer.error().starts_with("quarantined: "), "{}", answer.text());
        assert!(answer.error().contains("the machine burnt down"), "{}", answer.text());
    }
    let history = scene.read("history", &format!("{}?verify=true", ACCOUNTS[2])).expect(200).data();
    assert_eq!((&history["verified"], &history["entries"][1]["act"]), (&json!(true), &json!("restore")));
    // A fresh set lives, and so does one that somebody has looked into.
    scene.store(ACCOUNTS[0], &codes(40, 4), 1).expect(200);
    scene.retrieve(ACCOUNTS[0], "jane").expect(200);
    release(&scene, ACCOUNTS[2]).expect(200);
    scene.retrieve(ACCOUNTS[2], "jane").expect(200);
    server.restart();
    assert_eq!(told(&server)["quarantine"], false, "{}", told(&server));
    scene.retrieve(ACCOUNTS[2], "jane").expect(200);
    scene.retrieve(ACCOUNTS[1], "jane").expect(400);
}

#[test]
fn a_backup_on_a_machine_that_knows_nothing_gives_no_code_until_it_is_said_what_is_held() {
    with_nothing_left("anchor_interval = \"1s\"");
}

#[test]
fn a_server_that_keeps_no_anchors_notices_a_restored_backup_too() {
    with_nothing_left("anchor \"none\" {}");
}

#[test]
fn where_the_audit_files_survived_only_what_they_name_is_held() {
    let (mut server, scene, kept) = lost("");
    restore(&mut server, &kept);
    gives_nothing(&server, &scene);
    let audit = kept.path().join("audit.log");
    let (code, said) =
        command(&server, &["accept", "--reason", "the disk", "--hold", "known", "--audit", text(&audit)]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 accounts went back") && said.contains("  team/new"), "{said}");
    for account in [ACCOUNTS[0], ACCOUNTS[1]] {
        assert!(scene.retrieve(account, "jane").expect(400).error().starts_with("quarantined: "));
    }
    scene.retrieve(ACCOUNTS[2], "jane").expect(200);
}

/// A backup that was made while a restored one waited is of the time of that one.
#[test]
fn a_backup_of_a_store_that_waits_waits_too() {
    let (mut server, scene, kept) = lost("");
    restore(&mut server, &kept);
    let of = told(&server)["backup_of"].clone();
    fs::remove_file(backup(&kept)).expect("the first one is removed");
    run(&server, &["backup", text(&backup(&kept))]);
    server.terminate();
    fs::remove_file(server.store()).expect("the store is lost again");
    restore(&mut server, &kept);
    gives_nothing(&server, &scene);
    assert_eq!(told(&server)["backup_of"], of);
}
