//! `sparekey backup`, `restore` and `storage migrate` on real servers: while they run, after they were killed, with the wrong keys,
//! into the wrong places.

mod migrate;
mod reading;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sparekey::random::SeededRandom;
use sparekey::storage::redb::Redb;
use sparekey::storage::{Storage, Write};
use support::canary::Search;
use support::postgres;
use support::run::Run;
use support::scene::{Scene, codes};
use support::server::{BINARY, MOUNT, Server, Setup};

/// Runs the command line, with a token for `server` if it runs, and this on standard input.
fn run(server: &Server, token: &str, line: &[&str], input: &str) -> Run {
    let mut command = Command::new(BINARY);
    command.args(line).env_clear().env("HOME", server.dir()).env("BAO_ADDR", server.url()).env("BAO_TOKEN", token);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn keys(server: &Server, count: usize) -> String {
    server.unseal_keys()[..count].join("\n")
}

/// A configuration beside the server's whose store lies elsewhere.
fn elsewhere(server: &Server, name: &str) -> (PathBuf, PathBuf) {
    let store = server.dir().join(format!("{name}.redb"));
    let config = fs::read_to_string(server.configure()).unwrap();
    let path = server.dir().join(format!("{name}.hcl"));
    fs::write(&path, config.replace(text(&server.store()), text(&store))).unwrap();
    (path, store)
}

const ACCOUNT: &str = "okta/wren.kestrel@example.com";

/// A server under three shares with a few accounts, and all their codes.
fn furnished(setup: Setup) -> (Server, Scene, Vec<String>) {
    let server = setup.start();
    let scene = Scene::new(&server);
    let mut all = codes(1, 5);
    scene.store(ACCOUNT, &all, 0).expect(200);
    for number in 0..20 {
        let some = codes(100 + number, 3);
        scene.store(&format!("github/team-{number}"), &some, 0).expect(200);
        all.extend(some);
    }
    (server, scene, all)
}

/// The whole way: saved while it runs, checked, restored elsewhere with the shares alone, and there the codes come out.
#[test]
fn a_running_server_is_saved_and_comes_back_elsewhere() {
    let (mut server, scene, all) = furnished(Setup::default().shares(3, 2));
    scene.retrieve(ACCOUNT, "alice").expect(200);
    let file = server.dir().join("a.backup");
    run(&server, server.root_token(), &["backup", text(&file)], "").exits(0).says("saved: ");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    let secrets: Vec<String> = all.iter().cloned().chain(["wren.kestrel".to_owned(), "team-1".to_owned()]).collect();
    assert_eq!(Search::codes(&secrets).found("the backup", &bytes), Vec::<String>::new());
    // It is on the record, with its number.
    let audit = fs::read_to_string(server.audit()).unwrap();
    assert!(audit.lines().any(|line| line.contains("sys/storage/snapshot") && line.contains("\"backup\"")), "{audit}");

    // What is written later is not in it.
    scene.retrieve(ACCOUNT, "bob").expect(200);
    let shown = run(&server, "", &["restore", text(&file), "--show"], "").exits(0);
    let shown = shown.says("shamir, 2 of 3 unseal keys").says("Its end is there");
    assert!(!shown.out.contains("okta"));
    let (config, store) = elsewhere(&server, "elsewhere");
    let line = ["restore", text(&file), "--config", text(&config)];
    run(&server, "", &[&line[..], &["--check"]].concat(), &keys(&server, 2)).exits(0).says("sound: ");
    assert!(!store.exists());
    run(&server, "", &line, &keys(&server, 1)).exits(2).says("1 of 2 unseal keys were given");
    run(&server, "", &line, &format!("{}\n{}", "ab".repeat(33), keys(&server, 1))).exits(2).says("do not open");
    assert!(!store.exists());
    run(&server, "", &line, &keys(&server, 2)).exits(0).says("restored: ").says("sparekey restore status");
    assert_eq!(fs::metadata(&store).unwrap().permissions().mode() & 0o777, 0o600);

    server.terminate();
    fs::rename(&store, server.store()).unwrap();
    server.restart();
    let meta = scene.read("accounts", ACCOUNT).expect(200).data();
    assert_eq!(meta["remaining"], 4, "as it was then: the second retrieval is unknown to it");
    let history = server.root().read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
    assert_eq!(history["verified"], true);
    // It was restored: it waits for somebody to say what is held. This server's own audit file says what was lost.
    let refused = scene.retrieve("github/team-7", "carol").expect(503);
    assert!(refused.error().starts_with("restore-quarantine: "), "{}", refused.error());
    server.root().write("sys/restore/accept", &json!({"reason": "the disk was lost"})).expect(400);
    let accepted = server.root().write("sys/restore/accept", &json!({"reason": "the disk was lost", "hold": "known"}));
    assert_eq!(accepted.expect(200).data()["accounts"][0]["account"], ACCOUNT);
    scene.retrieve(ACCOUNT, "carol").expect(400);
    assert_eq!(scene.retrieve("github/team-7", "carol").expect(200).data()["code"], json!(codes(107, 3)[0]));
}

#[test]
fn a_stopped_server_is_saved_by_its_configuration() {
    let (mut server, _, _) = furnished(Setup::default().static_seal());
    let file = server.dir().join("a.backup");
    let config = server.configure();
    let line = ["backup", text(&file), "--config", text(&config)];
    run(&server, "", &line, "").exits(1).says("open in another process");
    assert!(!file.exists() && !server.dir().join("a.backup.partial").exists());
    server.terminate();
    run(&server, "", &line, "").exits(0).says(" records, ");
    run(&server, "", &line, "").exits(1).says("is there already");
    run(&server, "", &[&line[..], &["--force", "--quiet"]].concat(), "").exits(0);
    // Under a static seal nobody is asked for anything.
    let (config, _) = elsewhere(&server, "elsewhere");
    run(&server, "", &["restore", text(&file), "--config", text(&config)], "").exits(0).says("restored: ");
}

#[test]
fn only_who_may_administer_gets_a_backup_and_nobody_gets_one_off_the_record() {
    let (server, _, _) = furnished(Setup::default());
    let file = server.dir().join("a.backup");
    run(&server, "", &["backup", text(&file)], "").exits(2).says("permission denied");
    run(&server, "s.000000000000000000000000", &["backup", text(&file)], "").exits(2).says("permission denied");
    assert!(!file.exists());
    server.client().read("sys/storage/snapshot").expect(403);
    server.root().write("sys/storage/snapshot", &json!({})).expect(405);
    // With its only audit device broken the server gives no backup.
    fs::remove_file(server.audit()).unwrap();
    fs::create_dir(server.audit()).unwrap();
    run(&server, server.root_token(), &["backup", text(&file)], "").exits(2);
    assert!(!file.exists());
    server.root().read("sys/storage/snapshot").expect(500);
}

/// A store with something in it is left alone, or set aside where that is asked for; what was cut off is gone on with.
#[test]
fn a_restore_takes_an_empty_place_only() {
    let (mut server, scene, _) = furnished(Setup::default().static_seal());
    let file = server.dir().join("a.backup");
    run(&server, server.root_token(), &["backup", text(&file)], "").exits(0);
    let config = server.configure();
    let line = ["restore", text(&file), "--config", text(&config)];
    run(&server, "", &line, "").exits(1).says("open in another process");
    scene.store("later/one", &codes(50, 2), 0).expect(200);
    server.terminate();
    run(&server, "", &line, "").exits(1).says("is not empty").says("--force");
    server.restart();
    scene.read("accounts", "later/one").expect(200);
    server.terminate();
    // What an earlier run left half done is no obstacle.
    let half = server.dir().join("store.redb.restoring");
    fs::write(&half, "").unwrap();
    run(&server, "", &[&line[..], &["--force"]].concat(), "").exits(1).says("is an empty file");
    fs::remove_file(&half).unwrap();
    run(&server, "", &[&line[..], &["--force"]].concat(), "").exits(0).says("what was there is now");
    let aside = server.dir().join("store.redb.before-restore");
    assert!(aside.exists() && !half.exists());
    run(&server, "", &[&line[..], &["--force"]].concat(), "").exits(1).says("from an earlier restore");
    server.restart();
    scene.read("accounts", "later/one").expect(404);
    scene.read("accounts", ACCOUNT).expect(200);
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_nothing_in_the_place() {
    let (server, _, _) = furnished(Setup::default().static_seal());
    let file = server.dir().join("a.backup");
    run(&server, server.root_token(), &["backup", text(&file)], "").exits(0);
    let good = fs::read(&file).unwrap();
    let (config, store) = elsewhere(&server, "elsewhere");
    let mut flipped = good.clone();
    let middle = good.len() / 2;
    flipped[middle] ^= 4;
    for (what, bytes, words) in [
        ("flipped", flipped, "does not open"),
        ("cut", good[..good.len() - 10].to_vec(), "cut short"),
        ("foreign", b"SQLite format 3\0 and so on".to_vec(), "no backup of Sparekey"),
        ("empty", Vec::new(), "no backup of Sparekey"),
    ] {
        fs::write(&file, bytes).unwrap();
        for more in [&["--check"][..], &[]] {
            let line = [&["restore", text(&file), "--config", text(&config)], more].concat();
            run(&server, "", &line, "").exits(2).says(words);
            assert!(!store.exists(), "{what}");
        }
    }
    // The good one, over what the damaged ones left.
    fs::write(&file, good).unwrap();
    run(&server, "", &["restore", text(&file), "--config", text(&config)], "").exits(0);
}

#[test]
fn retrievals_go_on_while_a_backup_is_made_and_it_is_of_one_moment() {
    let (server, scene, _) = furnished(Setup::default().static_seal());
    let file = server.dir().join("a.backup");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            let mut taken = 0;
            for number in 0..20 {
                for _ in 0..3 {
                    scene.retrieve(&format!("github/team-{number}"), "alice").expect(200);
                    taken += 1;
                    if stop.load(Ordering::SeqCst) {
                        return taken;
                    }
                }
            }
            taken
        });
        for _ in 0..3 {
            run(&server, server.root_token(), &["backup", text(&file), "--force"], "").exits(0);
            let (config, _) = elsewhere(&server, "elsewhere");
            let line = ["restore", text(&file), "--config", text(&config), "--check"];
            run(&server, "", &line, "").exits(0).says("sound: ");
        }
        stop.store(true, Ordering::SeqCst);
        assert!(busy.join().unwrap() > 0);
    });
}
