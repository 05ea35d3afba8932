//! Stores that earlier versions of the server left, opened by this one: `tests/fixtures/servers/README.md` says how they were made.

#[path = "../support/mod.rs"]
mod support;

mod story;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sparekey::random::OsRandom;
use sparekey::storage::redb::Redb;
use sparekey::storage::{Expect, Found, Get, Storage as _, Write};

use story::{READS, reads};
use support::http::Client;
use support::kept::lost;
use support::postgres;
use support::scene::{Scene, codes};
use support::server::{BINARY, MOUNT, Server, Setup};
use support::signer::Signer;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/servers")
}

/// The seal's key of every fixture: they hold nothing but what the tests made up.
fn seal(folder: &Path) -> String {
    let key = folder.join("seal.key");
    fs::write(&key, "5a".repeat(32)).expect("a key");
    Setup::sealed_by(&key)
}

/// Passes `input` through a program, such as gzip.
fn through(program: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("no panic").expect("it reads all");
    assert!(output.status.success(), "{program:?}");
    output.stdout
}

/// The tables as SQL text, `{table}` for the name of the one.
fn dump(table: &str) -> String {
    let rows = |table: &str, named: &str, columns: &[&str]| {
        let values: Vec<String> = columns.iter().map(|column| format!("quote_literal({column}::text)")).collect();
        let values = values.join(" || ', ' || ");
        let sql =
            format!("SELECT 'INSERT INTO {named} VALUES (' || {values} || ');' FROM {table} ORDER BY {}", columns[0]);
        postgres::shared().sql(&sql)
    };
    let records = rows(table, "{table}", &["key", "value", "revision"]);
    let format = rows(&format!("{table}_format"), "{table}_format", &["format"]);
    format!(
        "CREATE TABLE {{table}} (key bytea PRIMARY KEY, value bytea NOT NULL, revision bytea NOT NULL);\n\
         CREATE TABLE {{table}}_format (format bigint PRIMARY KEY);\n{records}\n{format}\n"
    )
}

#[test]
#[ignore = "makes fixtures from the binary of a version, which STORE_OF names; STORE_NAME is their name"]
fn record() {
    let binary = std::env::var("STORE_OF").expect("STORE_OF");
    let name = folder().join(std::env::var("STORE_NAME").expect("STORE_NAME"));
    fs::create_dir_all(&name).expect("a folder");
    let place = tempfile::tempdir().expect("a folder");
    let table = postgres::table();
    for kind in ["redb", "postgres"] {
        let setup = Setup::default().binary(&binary).seal(seal(place.path()));
        let mut server = match kind {
            "redb" => setup.start(),
            _ => setup.storage(postgres::shared().storage(&table)).start(),
        };
        let issued = story::play(&server);
        let kept = json!({"root": server.root_token(), "issued": issued, "reads": reads(&server.root())});
        fs::write(name.join(format!("{kind}.json")), kept.to_string()).expect("it is written");
        assert!(server.terminate().success());
        let (file, bytes) = match kind {
            "redb" => {
                ("store.redb.gz", through(Command::new("gzip").arg("-9n"), &fs::read(server.store()).expect("a store")))
            }
            _ => ("store.sql.gz", through(Command::new("gzip").arg("-9n"), dump(&table).as_bytes())),
        };
        fs::write(name.join(file), bytes).expect("it is written");
    }
}

/// A server of this build on a copy of the fixture.
fn opened(fixture: &Path, kind: &str, place: &Path) -> Server {
    let setup = Setup::default().seal(seal(place)).uninitialized();
    let unzip =
        |file: &str| through(Command::new("gzip").arg("-dc"), &fs::read(fixture.join(file)).expect("a fixture"));
    let setup = if kind == "redb" {
        let path = place.join("store.redb");
        fs::write(&path, unzip("store.redb.gz")).expect("a store");
        setup.storage(format!("storage \"redb\" {{\n  path = \"{}\"\n}}", path.display()))
    } else {
        let table = postgres::table();
        let sql = String::from_utf8(unzip("store.sql.gz")).expect("text").replace("{table}", &table);
        let script = place.join("store.sql");
        fs::write(&script, sql).expect("a script");
        let mut psql = Command::new(postgres::binaries().join("psql"));
        let port = postgres::shared().port().to_string();
        psql.args([
            "-Xqw",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            postgres::USER,
            "-d",
            "postgres",
        ]);
        assert!(psql.arg("-f").arg(&script).status().expect("psql runs").success());
        setup.storage(postgres::shared().storage(&table))
    };
    let server = setup.start();
    server.until("unsealed", |health| health == 200);
    server
}

#[test]
fn stores_that_earlier_versions_left_open_with_everything_in_them() {
    let fixtures: Vec<PathBuf> = fs::read_dir(folder())
        .expect("fixtures")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    assert!(!fixtures.is_empty());
    for fixture in fixtures {
        for kind in ["redb", "postgres"] {
            let name = format!("{} {kind}", fixture.display());
            let place = tempfile::tempdir().expect("a folder");
            let server = opened(&fixture, kind, place.path());
            let kept = fs::read(fixture.join(format!("{kind}.json"))).expect("a fixture");
            let kept: Value = serde_json::from_slice(&kept).expect("JSON");
            let token = kept["root"].as_str().expect("a token");
            let root = server.client().token(token);
            let after = reads(&root);
            assert_eq!(lost(&kept["reads"], &after, &name), Vec::<String>::new());
            for path in READS.iter().filter(|path| path.starts_with("history/")) {
                assert_eq!(after[path]["verified"], true, "{name}: {path}");
            }
            goes_on(&server, &root, &kept, &name);
            examined(&server, token, &name);
        }
    }
}

/// What lies under a key of a store that no server has open; `change` may write something else there.
fn beneath(store: &Path, key: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Redb::open(store).expect("it opens");
        let Found::Value(before, revision) = store.get_many(vec![Get::new(key)]).await.expect("read").remove(0) else {
            panic!("{key} is not there")
        };
        let mut bytes = before.clone();
        change(&mut bytes);
        if bytes != before {
            let write = Write::put(key, Expect::At(revision), bytes.clone(), &OsRandom);
            store.put_all(vec![write]).await.expect("written");
        }
        bytes
    })
}

#[test]
fn a_store_with_something_newer_in_it_is_refused_by_name_at_the_start_and_stays_as_it_is() {
    let fixture = folder().join("0.1.0");
    // The first byte of the keyring is its format, that of the seal record begins an array.
    for (key, at, said) in
        [("keyring", 0, "format 2, which a newer version wrote"), ("seal", 1, "start the version that wrote it")]
    {
        let place = tempfile::tempdir().expect("a folder");
        let mut server = opened(&fixture, "redb", place.path());
        assert!(server.terminate().success());
        let store = place.path().join("store.redb");
        let newer = beneath(&store, key, |bytes| bytes[at] = 2);
        let config = server.configure();
        let output = Command::new(BINARY).args(["server", "--config"]).arg(config).output().expect("it runs");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && log.contains(key) && log.contains(said), "{key}: {log}");
        assert_eq!(beneath(&store, key, |_| ()), newer, "{key} was written");
    }
}

/// It goes on where it stopped. The private key of the recorded issuer is not kept, so it gets a new one.
fn goes_on(server: &Server, root: &Client, kept: &Value, name: &str) {
    let scene = Scene::with(root.clone(), server.client(), Signer::es256("now"));
    let given = scene.retrieve("github/acme", "alice").expect(200).data();
    assert_eq!((&given["code"], &given["slot"]), (&json!(codes(2, 5)[2]), &json!(3)), "{name}");
    assert!(scene.retrieve("okta/jane@example.com", "alice").expect(400).error().starts_with("ended"), "{name}");
    assert!(scene.store("github/acme", &codes(1, 5), 2).expect(400).error().starts_with("known-codes"), "{name}");
    // A deleted account goes on counting, and remembers its codes.
    assert!(scene.store("gone", &codes(5, 2), 1).expect(400).error().starts_with("known-codes"), "{name}");
    assert_eq!(scene.store("gone", &codes(6, 2), 1).expect(200).data()["generation"], 2, "{name}");
    let body = |code: &Value| json!({"role": "portal", "jwt": story::portal(&scene), "code": code});
    let verify = |code: usize| {
        scene.act("verify", "portal/jane", body(&kept["issued"][code])).expect(200).data()["valid"].clone()
    };
    assert_eq!((verify(0), verify(1)), (json!(false), json!(true)), "{name}: one was consumed, the other was not");
    for account in ["github/acme", "okta/jane@example.com", "portal/jane", "gone"] {
        let history = root.read(&format!("{MOUNT}/history/{account}?verify=true")).expect(200).data();
        assert_eq!(history["verified"], true, "{name}: {account}");
    }
}

/// And nothing in it is wrong.
fn examined(server: &Server, root: &str, name: &str) {
    let mut doctor = Command::new(BINARY);
    doctor.args(["doctor", "--quiet"]).env_clear().env("HOME", server.dir());
    let output = doctor.env("BAO_ADDR", server.url()).env("BAO_TOKEN", root).output().expect("doctor runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{name}: {}{}", said(&output.stdout), said(&output.stderr));
}
