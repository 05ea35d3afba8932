//! `sparekey backup`, `restore` and `storage migrate` on real servers: while they run, after they were killed, with the wrong keys,
//! into the wrong places.

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

#[test]
fn a_server_that_is_killed_meanwhile_leaves_no_backup() {
    let (mut server, scene, _) = furnished(Setup::default());
    // Enough that the answer does not fit into the buffers on its way: long texts in the records of many accounts.
    let labels: serde_json::Map<_, _> = (0..32).map(|n| (format!("label-{n}"), json!("x".repeat(200)))).collect();
    for number in 0..20 {
        let path = format!("{MOUNT}/accounts/github/team-{number}");
        server.root().write(&path, &json!({"labels": labels})).expect(204);
    }
    drop(scene);
    let mut slow = std::net::TcpStream::connect(server.address()).unwrap();
    let request =
        format!("GET /v1/sys/storage/snapshot HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {}\r\n\r\n", server.root_token());
    slow.write_all(request.as_bytes()).unwrap();
    let mut begun = [0; 16];
    std::io::Read::read_exact(&mut slow, &mut begun).unwrap();
    assert_eq!(&begun[..12], b"HTTP/1.1 200");
    server.kill();
    // Whoever reads on finds no end of a chunked body.
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    let file = server.dir().join("a.backup");
    run(&server, "s.x", &["backup", text(&file)], "").exits(1).says("nothing listens");
    assert!(!file.exists() && !server.dir().join("a.backup.partial").exists());
}

#[test]
fn a_store_moves_to_another_place_and_back_and_nothing_else_is_touched() {
    let (mut server, scene, _) = furnished(Setup::default().static_seal());
    let (to, moved) = elsewhere(&server, "moved");
    let from = server.configure();
    let there = ["storage", "migrate", "--from", text(&from), "--to", text(&to)];
    run(&server, "", &there, "").exits(1).says("open in another process");
    server.terminate();
    run(&server, "", &["storage", "migrate", "--from", text(&from), "--to", text(&from)], "")
        .exits(1)
        .says("the same store");
    run(&server, "", &there, "").exits(0).says("hold the same (SHA-256 ").says("Never start a server on the old store");
    run(&server, "", &there, "").exits(1).says("the target is not empty");
    // And back, into a third place; the sum is the same.
    let (third, third_store) = elsewhere(&server, "third");
    let run_json = |from: &Path, to: &Path| {
        let line = ["storage", "migrate", "--json", "--from", text(from), "--to", text(to)];
        let out = run(&server, "", &line, "").exits(0).out;
        serde_json::from_str::<serde_json::Value>(&out).unwrap()
    };
    let back = run_json(&to, &third);
    fs::remove_file(&moved).unwrap();
    let again = run_json(&from, &to);
    assert_eq!(back["sha256"], again["sha256"]);
    assert!(back["records"].as_u64().unwrap() > 20 && back["written"] == back["records"]);
    fs::rename(&third_store, server.store()).unwrap();
    server.restart();
    scene.retrieve(ACCOUNT, "alice").expect(200);
}

#[test]
fn no_server_starts_on_an_unfinished_copy() {
    let (mut server, _, _) = furnished(Setup::default().static_seal());
    server.terminate();
    let database = redb::Database::open(server.store()).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let records = redb::TableDefinition::<&[u8], &[u8]>::new("records");
        let mut table = transaction.open_table(records).unwrap();
        table.insert(b"unfinished-copy".as_slice(), [1; 33].as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let config = server.configure();
    run(&server, "", &["server", "--config", text(&config)], "").exits(1).says("unfinished copy");
    let file = server.dir().join("a.backup");
    run(&server, "", &["backup", text(&file), "--config", text(&config)], "").exits(1).says("unfinished copy");
}

/// Somebody begins to take a backup of a large store and stops reading: the server reads no further ahead than a few pieces, takes
/// no second one meanwhile, goes on with everything else, and lets go when the reader leaves or the seal closes.
#[test]
fn who_reads_slowly_holds_nothing_up_and_fills_no_memory() {
    let (mut server, scene, _) = furnished(Setup::default().shares(1, 1));
    server.terminate();
    // 192 MiB that nothing looks at, at the front.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Redb::open(&server.store()).unwrap();
        for number in 0..24 {
            let large =
                |n: u32| Write::create(format!("a/{number}/{n}"), vec![7; 2 << 20], &SeededRandom::new(u64::from(n)));
            store.put_all((0..4).map(large).collect()).await.unwrap();
        }
    });
    server.restart();
    scene.retrieve(ACCOUNT, "alice").expect(200);
    let before = resident(&server);
    let slow = begin(&server);
    std::thread::sleep(Duration::from_millis(1500));
    let grown = resident(&server).saturating_sub(before);
    // A few pieces of two such values, what they are sealed and sent from, and what the store keeps of pages it has read.
    assert!(grown < 96 << 10, "{grown} KiB more with nobody reading");
    let busy = server.root().read("sys/storage/snapshot").expect(429);
    assert!(busy.error().contains("the whole store is being read already"), "{}", busy.error());
    server.root().read("sys/storage/doctor").expect(429);
    scene.retrieve(ACCOUNT, "bob").expect(200);
    // Gone: the next one may begin.
    drop(slow);
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut slow = loop {
        let mut slow = begin(&server);
        let mut head = [0; 12];
        slow.read_exact(&mut head).unwrap();
        if &head == b"HTTP/1.1 200" {
            break slow;
        }
        assert!(Instant::now() < deadline, "the turn did not come free");
        std::thread::sleep(Duration::from_millis(50));
    };
    server.root().write("sys/seal", &json!({})).expect(204);
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.len() < 120 << 20 && !rest.ends_with(b"0\r\n\r\n"), "it ended as if it were whole");
    server.until("told", |_| server.log().contains("the server was sealed"));
}

/// A request for a backup of which nothing is read yet.
fn begin(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let token = server.root_token();
    let request = format!("GET /v1/sys/storage/snapshot HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// Memory of the server's process, in KiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// From the embedded store to PostgreSQL, where the server goes on, and back; a backup of either is restored into the other.
#[test]
fn a_store_moves_to_postgresql_and_back() {
    let (mut server, scene, _) = furnished(Setup::default().static_seal());
    let database = |name: &str, table: &str| {
        let config = fs::read_to_string(server.configure()).unwrap();
        let embedded = format!("storage \"redb\" {{\n  path = \"{}\"\n}}", text(&server.store()));
        assert!(config.contains(&embedded));
        let path = server.dir().join(format!("{name}.hcl"));
        fs::write(&path, config.replace(&embedded, &postgres::shared().storage(table))).unwrap();
        path
    };
    let table = postgres::table();
    let (from, to, other) = (server.configure(), database("database", &table), database("other", &postgres::table()));
    let (back, back_store) = elsewhere(&server, "back");
    let file = server.dir().join("a.backup");
    scene.retrieve(ACCOUNT, "alice").expect(200);
    run(&server, server.root_token(), &["backup", text(&file)], "").exits(0);
    server.terminate();
    let migrate = |from: &Path, to: &Path| {
        let line = ["storage", "migrate", "--json", "--from", text(from), "--to", text(to)];
        serde_json::from_str::<serde_json::Value>(&run(&server, "", &line, "").exits(0).out).unwrap()
    };
    let there = migrate(&from, &to);
    run(&server, "", &["storage", "migrate", "--from", text(&from), "--to", text(&to)], "")
        .exits(1)
        .says("is not empty");
    let line = ["doctor", "--json", "--config", text(&to)];
    let report: serde_json::Value = serde_json::from_str(&run(&server, "", &line, "").exits(0).out).unwrap();
    assert_eq!(report["records"], there["records"]);
    // Into an empty table, and not into one that holds something.
    run(&server, "", &["restore", text(&file), "--config", text(&to)], "").exits(1).says("is not empty");
    run(&server, "", &["restore", text(&file), "--config", text(&to), "--force"], "")
        .exits(1)
        .says("--force sets an embedded");
    run(&server, "", &["restore", text(&file), "--config", text(&other)], "").exits(0).says("restored: ");
    // A backup of the table while nobody serves it, and of nobody's store.
    let second = server.dir().join("b.backup");
    run(&server, "", &["backup", text(&second), "--config", text(&to)], "").exits(0);
    run(&server, "", &["restore", text(&second), "--config", text(&back), "--check"], "").exits(0).says("sound: ");
    let again = migrate(&to, &back);
    assert_eq!((&again["records"], &again["sha256"]), (&there["records"], &there["sha256"]));
    fs::rename(&back_store, server.store()).unwrap();
    server.restart();
    assert_eq!(scene.read("accounts", ACCOUNT).expect(200).data()["remaining"], 4);
    scene.retrieve(ACCOUNT, "bob").expect(200);
}

/// Killed at many moments, a move goes on where it was; until it has ended no server starts on the new store.
#[test]
fn a_move_that_is_killed_again_and_again_ends_well() {
    let (mut server, scene, _) = furnished(Setup::default().static_seal());
    server.terminate();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Redb::open(&server.store()).unwrap();
        for number in 0..24 {
            let some =
                |n: u32| Write::create(format!("a/{number}/{n}"), vec![7; 8 << 10], &SeededRandom::new(u64::from(n)));
            store.put_all((0..128).map(some).collect()).await.unwrap();
        }
    });
    let (to, moved) = elsewhere(&server, "moved");
    let from = server.configure();
    let line = ["storage", "migrate", "--json", "--from", text(&from), "--to", text(&to)];
    let (mut killed, mut patience) = (0, 10);
    let moved_all = loop {
        let mut child =
            Command::new(BINARY).args(line).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(patience));
        if child.try_wait().unwrap().is_some() {
            break child.wait_with_output().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        if moved.exists() && unfinished(&moved) {
            run(&server, "", &["server", "--config", text(&to)], "").exits(1).says("unfinished copy");
        }
        patience += patience / 4;
    };
    assert!(killed > 2, "it was too quick to be killed");
    let said = String::from_utf8_lossy(&[&moved_all.stdout[..], &moved_all.stderr].concat()).into_owned();
    // A kill may have come between the last write and the last words.
    assert!(moved_all.status.success() || said.contains("is not empty"), "{said}");
    fs::rename(&moved, server.store()).unwrap();
    server.restart();
    scene.retrieve(ACCOUNT, "alice").expect(200);
    // What was made up here is no record, and the doctor sees that it came along.
    run(&server, server.root_token(), &["doctor"], "").exits(3).says("3072 wrong");
}

/// Whether the marker of an unfinished copy lies in the store at `path`.
fn unfinished(path: &Path) -> bool {
    let Ok(store) = Redb::open(path) else { return false };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(sparekey::storage::copy::is_unfinished(&store)).unwrap()
}
