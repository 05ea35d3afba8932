//! `sparekey import` from the file to the request, and everything it says on the way.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Parser;
use serde_json::{Value, json};
use sparekey::cli::client::Failure;
use sparekey::cli::console::Console;
use sparekey::cli::import::{Args, import};
use sparekey::random::SeededRandom;

mod loopback;

use loopback::{answer, server};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// What a console was told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Heard {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

struct Run {
    outcome: Result<(), Failure>,
    out: String,
    err: String,
}

/// Runs a command line; `typed` is what somebody at the terminal answers, if there is one.
fn run(line: &[&str], variables: &[(&str, &str)], typed: Option<&str>) -> Run {
    let args = Line::try_parse_from([&["import"], line].concat()).unwrap().args;
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    let (out, err) = (Heard::default(), Heard::default());
    let input: Option<Box<dyn io::BufRead>> = match typed {
        Some(typed) => Some(Box::new(Cursor::new(typed.to_owned()))),
        None => None,
    };
    let mut console = Console::new(Box::new(out.clone()), Box::new(err.clone()), input);
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let outcome = import(&args, &environment, &mut console, &SeededRandom::new(1));
    Run { outcome, out: out.text(), err: err.text() }
}

impl Run {
    fn failure(&self) -> String {
        self.outcome.as_ref().expect_err(&self.out).to_string()
    }
}

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codes");
    folder.join(name).to_str().unwrap().to_owned()
}

fn codes_of(name: &str) -> Value {
    let expected: Value = serde_json::from_slice(&fs::read(fixture(&format!("{name}.json"))).unwrap()).unwrap();
    expected["codes"].clone()
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn stored() -> &'static str {
    answer(
        "200 OK",
        r#"{"data":{"account":"github/acme-owner","generation":2,"count":16,"remaining":14,"superseded":1},"warnings":["16 of 16 codes have under 64 bits"]}"#,
    )
}

fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("codes.txt");
    fs::copy(fixture(name), &path).unwrap();
    (folder, path)
}

const JWT: (&str, &str) = ("SPAREKEY_JWT", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2ln");

#[test]
fn a_file_becomes_the_request_that_stores_it() {
    let (address, requests) = server(stored());
    let run = run(
        &[
            "github/acme-owner",
            &fixture("github.txt"),
            "--address",
            &address,
            "--mount",
            "team/codes",
            "--role",
            "import",
            "--cas",
            "1",
            "--profile",
            "escrowed",
            "--used",
            "1,3",
            "--bound-at",
            "1782907200",
            "--enrollment",
            "4",
            "--custody",
            "printed, in the \"safe\"",
            "--idempotency-key",
            "ticket-7",
            "--yes",
        ],
        &[JWT],
        None,
    );
    run.outcome.unwrap();
    let request = requests.recv().unwrap();
    assert!(request.starts_with("PUT /v1/team/codes/sets/github/acme-owner HTTP/1.1\r\n"), "{request}");
    assert_eq!(
        body(&request),
        json!({
            "codes": codes_of("github"), "role": "import", "jwt": JWT.1, "cas": 1, "profile": "escrowed", "used": [1, 3],
            "bound_at": "2026-07-01T12:00:00.000Z", "enrollment": 4, "custody": "printed, in the \"safe\"",
            "idempotency_key": "ticket-7",
        })
    );
    for words in [
        "16 codes of the shape xxxxx-xxxxx",
        "Used already: slots 1 and 3. 14 codes left.",
        "--idempotency-key ticket-7",
        "Stored generation 2 of github/acme-owner: 16 codes, 14 of them unused.",
        "Generation 1 is superseded",
        "Warning: 16 of 16 codes have under 64 bits",
        "bao read team/codes/accounts/github/acme-owner",
        "still holds the codes",
    ] {
        assert!(run.out.contains(words), "{words} in {}", run.out);
    }
}

#[test]
fn nothing_that_is_said_contains_a_code() {
    for (name, typed) in [
        ("github.txt", "y\n"),
        ("google-two-used.txt", "y\n"),
        ("boxes-ticked.txt", "u\ny\n"),
        ("one-cut-off.txt", "c\ny\n"),
    ] {
        let (address, _requests) = server(stored());
        let run = run(&["a", &fixture(name), "--address", &address], &[JWT], Some(typed));
        let said = format!("{}{}", run.out, run.err);
        run.outcome.unwrap();
        for word in fs::read_to_string(fixture(name)).unwrap().split(|c: char| !c.is_ascii_alphanumeric()) {
            let telling = word.len() > 3 && word.bytes().any(|b| b.is_ascii_digit());
            assert!(!telling || !said.contains(word), "{name}: {said}");
        }
    }
}

#[test]
fn a_dry_run_shows_and_sends_nothing_and_needs_no_server() {
    let run = run(&["a", &fixture("google-two-used.txt"), "--dry-run"], &[("BAO_ADDR", "nonsense")], None);
    run.outcome.unwrap();
    for words in [
        "10 codes of the shape 9999 9999",
        "Numbered",
        "lines 1, 2, 10 and 12 to 14",
        "slots 3 and 7. 8 codes left",
        "Nothing was sent",
    ] {
        assert!(run.out.contains(words), "{words} in {}", run.out);
    }
}

#[test]
fn codes_that_are_gone_are_said_to_be() {
    let run = run(&["a", &fixture("google-one-gone.txt"), "--dry-run"], &[], Some("g\n"));
    run.outcome.unwrap();
    assert!(run.err.contains("number 7 of the list"), "{}", run.err);
    assert!(run.out.contains("9 codes") && run.out.contains("Number 7 has no code any more"), "{}", run.out);
    assert!(!run.out.contains("keeps its number"), "{}", run.out);
}

#[test]
fn a_person_is_asked_and_may_stop() {
    let (address, requests) = server(stored());
    let line = ["a/b", &fixture("boxes-ticked.txt"), "--address", &address];
    let answered = run(&line, &[JWT], Some("what\nu\ny\n"));
    answered.outcome.unwrap();
    assert!(
        answered.err.contains("Lines 2 and 5: a ticked box.") && answered.err.contains("[u] used, [n] not used"),
        "{}",
        answered.err
    );
    assert!(
        answered.err.contains(&format!("Store 8 codes as the codes of a/b at {address} (backup-codes)? [y/N]")),
        "{}",
        answered.err
    );
    assert_eq!(body(&requests.recv().unwrap())["used"], json!([2, 5]));
    for typed in ["", "\n", "\nu\ny\n", "u\n", "u\n\n", "u\nn\n", "x\nx\nx\nu\ny\n"] {
        let stopped = run(&line, &[JWT], Some(typed));
        assert!(stopped.failure().contains("stopped; nothing was sent"), "{typed:?}");
        assert_eq!(stopped.outcome.unwrap_err().exit_code(), 1);
    }
    assert!(requests.try_recv().is_err(), "nothing else was sent");
}

#[test]
fn without_a_person_doubt_is_an_error_with_lines() {
    let unsent =
        |line: &[&str], typed: Option<&str>| run(line, &[JWT, ("BAO_ADDR", "http://127.0.0.1:1")], typed).failure();
    let ticked = fixture("boxes-ticked.txt");
    for failure in [unsent(&["a", &ticked], None), unsent(&["a", &ticked, "--yes"], Some("u\ny\n"))] {
        assert!(failure.contains("Lines 2 and 5") && failure.contains("--used 1,3"), "{failure}");
    }
    let cut = unsent(&["a", &fixture("one-cut-off.txt"), "--yes"], None);
    assert!(cut.contains("Line 8") && cut.contains("xxxxx-xxxx,") && cut.contains("Change the file"), "{cut}");
    assert!(unsent(&["a", &fixture("github.txt")], None).contains("--yes"));
    let answered = run(&["a", &ticked, "--used", "2", "--dry-run"], &[], None);
    answered.outcome.unwrap();
    assert!(answered.out.contains("slot 2. 7 codes left"), "{}", answered.out);
    let none = run(&["a", &ticked, "--used", "none", "--dry-run"], &[], None);
    assert!(none.outcome.is_ok() && !none.out.contains("Used already"), "{}", none.out);
}

#[test]
fn what_is_wrong_with_the_command_is_said_before_anything_is_sent() {
    let file = fixture("github.txt");
    let (address, requests) = server(stored());
    let (_folder, no_jwt) = copy("github.txt");
    let no_jwt = no_jwt.to_str().unwrap();
    for (line, words) in [
        (&["GitHub/Acme", &file, "--yes"][..], "github/acme"),
        (&["a", &file, "--yes", "--mount", "a/../b"], ".."),
        (&["a", &file, "--yes", "--bound-at", "yesterday"], "--bound-at"),
        (&["a", &file, "--yes", "--used", "0"], "--used"),
        (&["a", &file, "--yes", "--used", "x"], "--used"),
        (&["a", &file, "--yes", "--used", "17"], "16 codes"),
        (&["a", "/nowhere/codes.txt", "--yes"], "/nowhere/codes.txt"),
        (&["a", "-", "--jwt-file", "-", "--yes"], "standard input"),
        (&["a", "-", "--remove-source", "--yes"], "--remove-source"),
        (&["a", &file, "--yes", "--jwt-file", no_jwt], "holds no JWT"),
        (&["a", &fixture("web-page.txt"), "--yes"], "web page"),
    ] {
        let failed = run(&[line, &["--address", &address]].concat(), &[JWT], None);
        assert!(failed.failure().contains(words), "{line:?}: {}", failed.failure());
    }
    let no_proof = run(&["a", &file, "--yes", "--address", &address], &[], None).failure();
    assert!(no_proof.contains("--jwt-file") && no_proof.contains("BAO_TOKEN"), "{no_proof}");
    assert!(requests.try_recv().is_err(), "nothing was sent");
}

#[test]
fn a_jwt_comes_from_its_file_or_a_token_stands_in() {
    let (address, requests) = server(stored());
    let folder = tempfile::tempdir().unwrap();
    let jwt = folder.path().join("jwt");
    fs::write(&jwt, "aaa.bbb.ccc\n").unwrap();
    let file = fixture("github.txt");
    let line = ["a", &file, "--yes", "--address", &address];
    run(&[&line[..], &["--jwt-file", jwt.to_str().unwrap()]].concat(), &[JWT], None).outcome.unwrap();
    assert_eq!(body(&requests.recv().unwrap())["jwt"], "aaa.bbb.ccc");
    run(&line, &[("BAO_TOKEN", "s.token")], None).outcome.unwrap();
    let sent = requests.recv().unwrap();
    assert!(sent.contains("x-vault-token: s.token") && body(&sent).get("jwt").is_none(), "{sent}");
}

#[test]
fn a_made_up_key_is_shown_before_it_is_needed() {
    let (address, requests) = server("");
    let lost = run(&["a", &fixture("github.txt"), "--yes", "--address", &address], &[JWT], None);
    let key = body(&requests.recv().unwrap())["idempotency_key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("import-") && key.len() == 39, "{key}");
    assert!(lost.out.contains(&format!("--idempotency-key {key}")), "{}", lost.out);
    let failure = lost.failure();
    assert!(
        failure.contains("not known whether") && failure.contains(&format!("--idempotency-key {key}")),
        "{failure}"
    );
}

#[test]
fn a_refusal_leaves_the_file_and_exits_with_2() {
    let (address, _requests) =
        server(answer("400 Bad Request", r#"{"errors":["cas: the highest generation is 3, not 0"]}"#));
    let (_folder, file) = copy("github.txt");
    let refused = run(&["a", file.to_str().unwrap(), "--yes", "--remove-source", "--address", &address], &[JWT], None);
    assert!(refused.failure().contains("cas: the highest generation is 3"), "{}", refused.failure());
    assert_eq!(refused.outcome.unwrap_err().exit_code(), 2);
    assert!(file.exists());
}

#[test]
fn the_file_goes_after_success_and_what_that_cannot_do_is_said() {
    let (address, _requests) = server(stored());
    let (_folder, file) = copy("github.txt");
    let done = run(&["a", file.to_str().unwrap(), "--yes", "--remove-source", "--address", &address], &[JWT], None);
    done.outcome.unwrap();
    assert!(!file.exists());
    for words in ["Deleted", "backups", "snapshots", "journal", "SSD", "downloads", "new codes"] {
        assert!(done.out.contains(words), "{words} in {}", done.out);
    }
    assert!(!done.out.contains("still holds the codes"), "{}", done.out);
}

#[cfg(unix)]
#[test]
fn a_link_is_not_deleted_in_place_of_the_file() {
    let (_folder, file) = copy("github.txt");
    let link = file.with_file_name("link.txt");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let refused = run(&["a", link.to_str().unwrap(), "--yes", "--remove-source"], &[JWT], None);
    assert!(refused.failure().contains("is a link"), "{}", refused.failure());
    assert!(file.exists() && link.exists());
}

#[test]
fn one_account_and_many_do_not_mix() {
    for line in [
        &["import", "a", "codes.txt", "--map", "m.csv"][..],
        &["import", "--map", "m.csv", "--folder", "f"],
        &["import", "--map", "m.csv", "--used", "1"],
        &["import", "--folder", "f", "--idempotency-key", "k"],
        &["import", "--map", "m.csv", "--remove-source"],
        &["import", "a", "codes.txt", "--journal", "j"],
        &["import", "a"],
    ] {
        assert!(Line::try_parse_from(line).is_err(), "{line:?}");
    }
}

#[test]
fn an_item_of_an_export_becomes_the_request_and_the_export_stays() {
    let (address, requests) = server(stored());
    let export = fixture("../exports/bitwarden.json");
    let line = ["a", &export, "--item", "Google", "--yes", "--json", "--address", &address];
    let kept = run(&[&line[..], &["--remove-source"]].concat(), &[JWT], None);
    assert!(kept.failure().contains("is an export"), "{}", kept.failure());
    let done = run(&line, &[JWT], None);
    done.outcome.unwrap();
    assert_eq!(body(&requests.recv().unwrap())["codes"].as_array().unwrap().len(), 5);
    let report: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&report["stored"], &report["accounts"][0]["generation"]), (&json!(1), &json!(2)));
    assert!(done.err.contains("item 2 of a Bitwarden export (JSON), its notes: 5 codes"), "{}", done.err);
    let wrong = run(&["a", &fixture("github.txt"), "--item", "x", "--yes", "--address", &address], &[JWT], None);
    assert!(wrong.failure().contains("has no items"), "{}", wrong.failure());
}

#[test]
fn the_help_has_examples_and_every_flag_of_the_connection() {
    let help = Line::try_parse_from(["import", "--help"]).err().unwrap().to_string();
    for words in [
        "Examples:",
        "Mapping file",
        "--map",
        "--folder",
        "--item",
        "--json",
        "--dry-run",
        "--remove-source",
        "--idempotency-key",
        "SPAREKEY_JWT",
        "BAO_ADDR",
        "--ca-cert",
    ] {
        assert!(help.contains(words), "{words} in {help}");
    }
}
