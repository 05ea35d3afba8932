//! Work on the whole store: starts, what the command line does, and what it takes of memory, here and in the server.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Store;
use crate::probe::{forget_peak, memory, read};
use crate::support::server::{MOUNT, binary};
use crate::table::Table;
use crate::world::{World, database, person};

/// Measures everything, in an order that leaves the store as large as it was.
pub fn run(world: &mut World, table: &mut Table) {
    let records = doctor(world, table);
    let dir = world.server.dir().to_owned();
    start(world, table, "start after SIGTERM", |world| {
        world.server.terminate();
    });
    start(world, table, "start after SIGKILL", |world| world.server.kill());

    let posture = ["report", "posture", "--csv"];
    let took = command(world, &posture, Some(&dir.join("posture.csv")));
    took.row(table, "report posture", accounts(&dir.join("posture.csv")));

    let backup = dir.join("all.backup");
    let took = command(world, &["backup", "--quiet", text(&backup)], None);
    took.row(table, "backup", records);
    let size = std::fs::metadata(&backup).map_or(0, |meta| meta.len());
    table.row("backup", vec![("MB", json!(size >> 20)), ("MB a second", json!((size >> 20) as f64 / took.seconds))]);

    rewrap(world, table);
    world.server.terminate();
    // A store of the other kind is moved to, one of the embedded kind restored.
    let place = dir.join("restored.redb");
    let restored = world.config_with(&format!("storage \"redb\" {{\n  path = \"{}\"\n}}", text(&place)), "restored");
    let took = command(world, &["restore", "--quiet", text(&backup), "--config", text(&restored)], None);
    took.row(table, "restore into redb", records);
    for file in [&place, &backup] {
        std::fs::remove_file(file).expect("it was made");
    }
    let from = world.server.configure();
    let (to, target) = match world.store() {
        Store::Redb => {
            let target = database();
            (world.config_with(&target.storage("moved"), "moved"), Some(target))
        }
        Store::Postgres => (restored, None),
    };
    let took = command(world, &["storage", "migrate", "--from", text(&from), "--to", text(&to)], None);
    let name = if target.is_some() { "migrate to PostgreSQL" } else { "migrate to redb" };
    took.row(table, name, records);
}

/// Examines the running server's store; how many records it has.
fn doctor(world: &World, table: &mut Table) -> u64 {
    let result = world.server.dir().join("doctor.json");
    let took = command(world, &["doctor", "--json", "--quiet"], Some(&result));
    let text = std::fs::read_to_string(&result).expect("a result");
    let found: Value = serde_json::from_str(&text).expect("JSON");
    let records = found["records"].as_u64().unwrap_or(0);
    assert!(records > 0, "no count of records in {text}");
    took.row(table, "doctor", records);
    records
}

/// Ends the server and measures how long it takes until the first act is answered.
fn start(world: &mut World, table: &mut Table, name: &'static str, end: impl Fn(&mut World)) {
    end(world);
    let began = Instant::now();
    world.server.boot();
    world.server.until("unsealed", |health| health == 200);
    let unsealed = began.elapsed();
    read(world, &format!("accounts/{}", person(0)));
    let body = json!({
        "role": "on-call", "jwt": world.scene.admin("start"), "reason": "locked out", "idempotency_key": name,
    });
    world.server.client().write(&format!("{MOUNT}/retrieve/{}", person(1)), &body).expect(200);
    let (now, peak) = memory(world.server.pid().expect("it runs"));
    table.row(
        "start",
        vec![
            ("how", json!(name)),
            ("until unsealed s", json!(unsealed.as_secs_f64())),
            ("until the first code s", json!(began.elapsed().as_secs_f64())),
            ("memory MB", json!(now)),
            ("at most MB", json!(peak)),
        ],
    );
}

/// A new KEK, and a whole scan that wraps everything under it.
fn rewrap(world: &World, table: &mut Table) {
    let root = world.server.root();
    let pid = world.server.pid().expect("it runs");
    forget_peak(pid);
    let before = world.store_bytes();
    assert!(root.write(&format!("{MOUNT}/config/keys/rotate"), &json!({})).status < 300, "no rotation");
    let began = Instant::now();
    let mut told = 0;
    loop {
        let data = root.write(&format!("{MOUNT}/config/keys/rewrap"), &json!({"batch": 10_000})).expect(200).data();
        let state = data["state"].as_str().unwrap_or_default();
        let rewrapped = data["rewrapped"].as_u64().unwrap_or(0);
        if state != "running" {
            let seconds = began.elapsed().as_secs_f64();
            let took = Took { seconds, here: 0, server: memory(pid).1 };
            took.row(table, "rewrap, with the scan after it", rewrapped);
            break;
        }
        if rewrapped / 100_000 > told {
            told = rewrapped / 100_000;
            eprintln!("{rewrapped} re-wrapped after {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    let grown = world.store_bytes().saturating_sub(before) >> 20;
    table
        .row("store after rewrap", vec![("grown by MB", json!(grown)), ("store MB", json!(world.store_bytes() >> 20))]);
}

/// How long something took, and the most memory meanwhile, in megabytes.
struct Took {
    seconds: f64,
    here: u64,
    server: u64,
}

impl Took {
    fn row(&self, table: &mut Table, name: &str, things: u64) {
        table.row(
            "whole store",
            vec![
                ("work", json!(name)),
                ("things", json!(things)),
                ("seconds", json!(self.seconds)),
                ("a second", json!((things as f64 / self.seconds) as u64)),
                ("command at most MB", json!(self.here)),
                ("server at most MB", json!(self.server)),
            ],
        );
    }
}

/// Runs the program with these arguments, its standard output in `out`; ends this one if it fails.
fn command(world: &World, args: &[&str], out: Option<&Path>) -> Took {
    let server = world.server.pid();
    server.into_iter().for_each(forget_peak);
    let out = match out {
        Some(path) => Stdio::from(std::fs::File::create(path).expect("a file")),
        None => Stdio::null(),
    };
    eprintln!("sparekey {}", args.join(" "));
    let began = Instant::now();
    let errors = world.server.dir().join("command.log");
    let mut child = Command::new(binary())
        .args(args)
        .env("BAO_ADDR", world.server.url())
        .env("BAO_TOKEN", world.server.root_token())
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(std::fs::File::create(&errors).expect("a file"))
        .spawn()
        .expect("it starts");
    let mut here = 0;
    let status = loop {
        here = here.max(memory(child.id()).1);
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        sleep(Duration::from_millis(20));
    };
    let seconds = began.elapsed().as_secs_f64();
    assert!(status.success(), "{args:?}: {status}: {}", std::fs::read_to_string(&errors).unwrap_or_default());
    Took { seconds, here, server: server.map_or(0, |pid| memory(pid).1) }
}

/// Lines of a table without its head.
fn accounts(csv: &Path) -> u64 {
    let text = std::fs::read(csv).expect("a table");
    (text.iter().filter(|byte| **byte == b'\n').count() as u64).saturating_sub(1)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
