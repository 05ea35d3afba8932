//! `sparekey import --map` and `--folder`: many accounts against a real server, looked at first, gone on with after a stop, and
//! stored once.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use support::scene::{Scene, codes};
use support::server::{BINARY, Server, Setup};

/// A folder with `count` files of codes and the mapping `team.csv` over them.
struct Team {
    folder: tempfile::TempDir,
}

impl Team {
    fn new(count: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut map = String::from("# who is in the team\naccount,file,cas\n");
        for number in 0..count {
            fs::write(folder.path().join(format!("{number}.txt")), codes(number, 4).join("\n")).unwrap();
            map.push_str(&format!("team/account-{number},{number}.txt,0\n"));
        }
        fs::write(folder.path().join("team.csv"), map).unwrap();
        Team { folder }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn map(&self, text: &str) -> PathBuf {
        fs::write(self.path("map.csv"), text).unwrap();
        self.path("map.csv")
    }
}

fn command(url: &str, scene: Option<&Scene>, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("import").args(args).env_clear().env("BAO_ADDR", url).stdin(Stdio::null());
    if let Some(scene) = scene {
        command.env("SPAREKEY_JWT", scene.automation());
    }
    command
}

fn run(server: &Server, scene: &Scene, args: &[&str]) -> Output {
    command(&server.url(), Some(scene), &[args, &["--role", "automation"]].concat()).output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn offline(args: &[&str]) -> (i32, String, String) {
    let output = command("http://127.0.0.1:1", None, args).output().unwrap();
    let (out, err) = said(&output);
    (output.status.code().unwrap(), out, err)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn generations(scene: &Scene, count: u64) -> Vec<Value> {
    (0..count)
        .map(|number| scene.read("accounts", &format!("team/account-{number}")).json()["data"]["generation"].clone())
        .collect()
}

#[test]
fn many_accounts_are_stored_once_however_often_it_runs() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let team = Team::new(5);
    let map = team.path("team.csv");

    let dry = run(&server, &scene, &["--map", text(&map), "--dry-run"]);
    let (out, err) = said(&dry);
    assert!(
        dry.status.success() && out.contains("team/account-3: 4 codes") && out.contains("5 accounts"),
        "{out}{err}"
    );
    assert!(!team.path("team.csv.journal").exists(), "a look leaves nothing behind");
    assert_eq!(scene.read("accounts", "team/account-0").status, 404);

    let first = run(&server, &scene, &["--map", text(&map), "--yes"]);
    let (out, err) = said(&first);
    assert!(first.status.success(), "{out}{err}");
    assert!(out.contains("Of 5 accounts: 5 stored."), "{out}");
    assert!(err.contains("[3/5] team/account-2: stored as generation 1, 4 codes"), "{err}");

    let again = run(&server, &scene, &["--map", text(&map), "--yes", "--json"]);
    let (out, err) = said(&again);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    assert_eq!((&report["stored"], &report["stored_before"], &report["total"]), (&0.into(), &5.into(), &5.into()));
    assert_eq!(report["accounts"][4]["result"], "stored-before");
    assert_eq!(report["accounts"][4]["line"], 7, "the line in the mapping, comment and header counted");

    // Without the journal the engine itself knows the codes again.
    fs::remove_file(team.path("team.csv.journal")).unwrap();
    fs::write(&map, fs::read_to_string(&map).unwrap().replace(",0\n", ",\n")).unwrap();
    let forgotten = run(&server, &scene, &["--map", text(&map), "--yes"]);
    let (out, _) = said(&forgotten);
    assert_eq!(forgotten.status.code(), Some(2), "{out}");
    assert!(out.contains("5 refused") && out.contains("line 3, team/account-0: refused: known-codes"), "{out}");
    assert_eq!(generations(&scene, 5), vec![Value::from(1); 5]);
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_stopped() {
    const COUNT: u64 = 60;
    let server = Server::start();
    let scene = Scene::new(&server);
    let team = Team::new(COUNT);
    let map = team.path("team.csv");
    let args = ["--map", text(&map), "--yes", "--role", "automation"];
    let mut kills = 0;
    let mut stopped = true;
    while stopped {
        stopped = false;
        let mut child =
            command(&server.url(), Some(&scene), &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // So late that some are stored, so early that not all are: at a moment that moves from run to run.
        let before = fs::metadata(team.path("team.csv.journal")).map_or(0, |found| found.len());
        let deadline = Instant::now() + Duration::from_secs(20);
        while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
            let written = fs::metadata(team.path("team.csv.journal")).map_or(0, |found| found.len());
            if written > before + 600 + kills * 37 {
                child.kill().unwrap();
                (kills, stopped) = (kills + 1, true);
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let ended = child.wait().unwrap();
        assert!(stopped || ended.success(), "what was sent before a kill was refused when it was sent again");
    }
    assert!(kills > 3, "it was stopped {kills} times");
    assert_eq!(generations(&scene, COUNT), vec![Value::from(1); usize::try_from(COUNT).unwrap()]);
    let journal = fs::read_to_string(team.path("team.csv.journal")).unwrap();
    for number in 0..COUNT {
        for code in codes(number, 4) {
            assert!(!journal.contains(&code) && !journal.contains(&code.replace('-', "")), "a code is in the journal");
        }
    }
}

#[test]
fn a_refusal_is_reported_and_the_others_go_in() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let team = Team::new(3);
    scene.store("team/account-1", &codes(99, 3), 0).expect(200);
    let output = run(&server, &scene, &["--map", text(&team.path("team.csv")), "--yes"]);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(out.contains("2 stored, 1 refused") && out.contains("line 4, team/account-1: refused"), "{out}");
    assert!(out.contains("cas-mismatch") && err.contains("1 account was refused"), "{out}{err}");
    assert_eq!(generations(&scene, 3), vec![Value::from(1); 3]);
}

#[test]
fn a_role_that_refuses_everything_stops_the_import() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let team = Team::new(6);
    let map = team.path("team.csv");
    let line = ["--map", text(&map), "--yes", "--role", "on-call"];
    let output = command(&server.url(), Some(&scene), &line).output().unwrap();
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{out}{err}");
    assert!(out.contains("3 refused, 3 not sent") && err.contains("3 accounts in a row"), "{out}{err}");
}

#[test]
fn a_server_that_is_not_there_stops_it_and_the_journal_is_for_one_server() {
    let mut server = Setup::default().start();
    let scene = Scene::new(&server);
    let team = Team::new(3);
    let map = team.path("team.csv");
    let url = server.url();
    server.kill();
    let line = ["--map", text(&map), "--yes", "--role", "automation"];
    let output = command(&url, Some(&scene), &line).output().unwrap();
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(out.contains("0 stored, 3 not sent") && err.contains("run the same command again"), "{out}{err}");
    let other = command("http://127.0.0.1:9", Some(&scene), &line).output().unwrap();
    assert!(said(&other).1.contains("it is of an import to"), "{}", said(&other).1);
    server.restart();
    if server.url() == url {
        let done = command(&url, Some(&scene), &line).output().unwrap();
        assert!(done.status.success(), "{}{}", said(&done).0, said(&done).1);
    }
}

#[test]
fn a_folder_is_named_for_its_accounts() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let team = Team::new(0);
    let folder = team.path("codes");
    fs::create_dir_all(folder.join("team")).unwrap();
    for number in 0..2 {
        fs::write(folder.join(format!("team/account-{number}.txt")), codes(number, 3).join("\n")).unwrap();
    }
    fs::write(folder.join(".hidden"), "x").unwrap();
    let output = run(&server, &scene, &["--folder", text(&folder), "--yes", "--cas", "0"]);
    let (out, err) = said(&output);
    assert!(output.status.success() && out.contains("Of 2 accounts: 2 stored."), "{out}{err}");
    assert_eq!(generations(&scene, 2), vec![Value::from(1); 2]);
    assert!(team.path("codes.journal").exists());

    fs::write(folder.join("team/Account-9.txt"), codes(9, 3).join("\n")).unwrap();
    fs::write(folder.join("team/notes.md"), "x").unwrap();
    std::os::unix::fs::symlink(folder.join(".hidden"), folder.join("link.txt")).unwrap();
    let (code, _, err) = offline(&["--folder", text(&folder), "--dry-run"]);
    assert_eq!(code, 1);
    for words in
        ["3 mistakes", "the right spelling is team/account-9", "notes.md: files of codes end in", "link.txt: a link"]
    {
        assert!(err.contains(words), "{words} in {err}");
    }
}

#[test]
fn an_export_with_a_mapping_fills_many_accounts() {
    let export = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exports/bitwarden.json");
    let team = Team::new(0);
    let map = team.map(&format!(
        "account,file,item,field,used\ngithub/acme,{0},Work/GitHub,,\"1,3\"\ngoogle/jane,{0},Google,notes,none\ngitlab/root,{0},GitLab,,\n",
        export.display()
    ));
    let (code, out, err) = offline(&["--map", text(&map), "--dry-run"]);
    assert_eq!(code, 0, "{out}{err}");
    for words in ["github/acme: 8 codes, 2 of them used", "google/jane: 5 codes", "gitlab/root: 3 codes"] {
        assert!(out.contains(words), "{words} in {out}");
    }
    let (code, out, _) = offline(&["--map", text(&map), "--dry-run", "--json"]);
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["accounts"][0]["used"].clone()), (0, 2.into()));
}

#[test]
fn mistakes_in_a_mapping_are_told_with_their_lines_all_at_once() {
    let team = Team::new(2);
    for (map, words) in [
        ("", &["is empty"][..]),
        ("account,file\n", &["no accounts"]),
        ("account\na\n", &["line 1: the header has no column file"]),
        ("account,file,secret\n", &["line 1: the header has a column that is not known", "bound_at"]),
        ("account,file,file\n", &["line 1: the header has the column file twice"]),
        (
            "account,file,cas,used,bound_at,enrollment\n\
             A/b,0.txt,,,,\n# a comment\na,,,,,\na/c,0.txt,x,,,\na/d,0.txt,,0,,\na/e,0.txt,,,yesterday,\na/f,0.txt,,,,-1\na/g,0.txt\n",
            &[
                "7 mistakes",
                "map.csv, line 2: ",
                "the right spelling is a/b",
                "line 4: file is empty",
                "line 5: cas: a whole number",
                "line 6: used must be",
                "line 7: bound_at must be",
                "line 8: enrollment: a whole",
                "line 9: 2 cells",
            ],
        ),
        ("account,file\na,0.txt\nb,1.txt\na,1.txt\n", &["line 4: a is in line 2, too"]),
        ("account,file\na,0.txt\nb,0.txt\n", &["line 3: the same codes are in line 2"]),
        ("account,file\na,0.txt\nb,gone.txt\n", &["map.csv, line 3: ", "gone.txt cannot be read"]),
        ("account,file,item\na,0.txt,GitHub\n", &["map.csv, line 2: ", "has no items"]),
        ("account,file,used\na,0.txt,9\n", &["line 2: --used names code 9, but the file has 4 codes"]),
    ] {
        let map = team.map(map);
        let (code, out, err) = offline(&["--map", text(&map), "--dry-run"]);
        assert_eq!(code, 1, "{out}{err}");
        for words in words {
            assert!(err.contains(words), "{words} in {err}");
        }
    }
    let (code, _, err) = offline(&["--map", "/nowhere/team.csv", "--dry-run"]);
    assert!(code == 1 && err.contains("/nowhere/team.csv cannot be read"), "{err}");
}

#[test]
fn a_damaged_journal_is_an_error_and_a_torn_last_line_is_not() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let team = Team::new(2);
    let map = team.path("team.csv");
    let journal = team.path("team.csv.journal");
    assert!(run(&server, &scene, &["--map", text(&map), "--yes"]).status.success());
    let whole = fs::read_to_string(&journal).unwrap();

    // The last line says that the second account is stored: torn, it is sent again under its key, and changes nothing.
    fs::write(&journal, &whole[..whole.len() - 5]).unwrap();
    let torn = run(&server, &scene, &["--map", text(&map), "--yes"]);
    let (out, err) = said(&torn);
    assert!(torn.status.success() && out.contains("1 stored, 1 stored before"), "{out}{err}");
    assert_eq!(generations(&scene, 2), vec![Value::from(1); 2]);

    let damaged = whole.lines().map(|line| if line.contains("account-0") { "{}" } else { line });
    fs::write(&journal, damaged.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    let (_, err) = said(&run(&server, &scene, &["--map", text(&map), "--yes"]));
    assert!(err.contains("line 2: it is not what an import writes"), "{err}");
    fs::write(&journal, "notes\n").unwrap();
    let (_, err) = said(&run(&server, &scene, &["--map", text(&map), "--yes"]));
    assert!(err.contains("it is no journal of an import"), "{err}");
}
