//! `sparekey storage migrate`: to another place, to PostgreSQL and back, killed on the way.

use super::*;

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
