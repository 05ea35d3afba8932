//! `sparekey report` against a real server: what a terminal, a spreadsheet, a program and a reader on paper get.

mod support;

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use support::scene::{Scene, codes};
use support::server::{BINARY, MOUNT, Server};

/// Runs the command against the server, as somebody with this token.
fn run(server: &Server, token: &str, line: &[&str]) -> Output {
    Command::new(BINARY)
        .arg("report")
        .args(line)
        .env_clear()
        .env("BAO_ADDR", server.url())
        .env("BAO_TOKEN", token)
        .env("HOME", server.dir())
        .output()
        .expect("the command runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}
fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// What somebody put into a name to see who falls for it.
const HOSTILE: &str =
    "=1+1</td><script>alert('x')</script><img src=//evil.example.com onerror=\"alert(1)\">\u{202e}&amp;";

/// An account of each kind: a good one, one whose code was used, one without a set, one with a hostile owner.
fn stage() -> (Server, Scene) {
    let server = Server::start();
    let scene = Scene::new(&server);
    let root = server.root();
    root.write(&format!("{MOUNT}/accounts/github/acme"), &json!({"owner": "platform@example.com"})).expect(204);
    root.write(&format!("{MOUNT}/accounts/zz/hostile"), &json!({"owner": HOSTILE})).expect(204);
    scene.store("github/acme", &codes(1, 10), 0).expect(200);
    scene.store("github/used", &codes(2, 10), 0).expect(200);
    scene.retrieve("github/used", "alice").expect(200);
    (server, scene)
}

#[test]
fn a_terminal_gets_the_worst_first_without_colours_where_nobody_looks() {
    let (server, _) = stage();
    let output = run(&server, server.root_token(), &["posture"]);
    let text = out(&output);
    assert!(output.status.success(), "{}", err(&output));
    let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} in {text}"));
    assert!(place("ACT NOW  zz/hostile") < place("soon     github/used"), "{text}");
    assert!(text.contains("no fallback: no set was ever stored") && text.contains("owes a new set by 20"), "{text}");
    assert!(text.contains("1 fine of 3 accounts") && !text.contains("github/acme "), "{text}");
    assert!(place("What to do") < place("store new codes from the provider"), "{text}");
    assert!(text.contains("(in 23 hours)"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    assert_eq!(err(&output), "");
    let text = out(&run(&server, server.root_token(), &["posture", "github/acme"]));
    assert!(text.contains("Nothing is amiss."), "{text}");
}

#[test]
fn a_job_gets_an_exit_code() {
    let (server, _) = stage();
    for (line, code) in [
        (&["posture", "--fail-on", "now"][..], 3),
        (&["posture", "--fail-on", "no-fallback,overdue", "--json"], 3),
        (&["posture", "github/", "--fail-on", "now"], 0),
        (&["posture", "github/", "--fail-on", "any", "--csv"], 3),
        (&["posture", "--fail-on", "overdue"], 0),
        (&["posture", "--fail-on", "overdoo"], 1),
        (&["posture", "--only", "overdoo"], 2),
        (&["posture", "--mount", "elsewhere"], 2),
        (&["usage", "--from", "yesterday"], 1),
        (&["usage", "--json", "--csv"], 1),
    ] {
        let output = run(&server, server.root_token(), line);
        assert_eq!(output.status.code(), Some(code), "{line:?}: {}", err(&output));
        assert_eq!(err(&output).is_empty(), matches!(code, 0 | 3), "{line:?}: {}", err(&output));
    }
    let nobody = run(&server, "s.none", &["posture"]);
    assert_eq!(nobody.status.code(), Some(2), "{}", err(&nobody));
    assert!(err(&nobody).contains("token from BAO_TOKEN"), "{}", err(&nobody));
}

#[test]
fn programs_and_spreadsheets_get_every_row() {
    let (server, scene) = stage();
    for number in 0..300 {
        let path = format!("{MOUNT}/accounts/many/a{number:03}");
        server.root().write(&path, &json!({"owner": "somebody"})).expect(204);
    }
    drop(scene);
    let output = run(&server, server.root_token(), &["posture", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&out(&output)).expect("one array");
    assert_eq!(rows.len(), 303);
    assert!(rows.iter().zip(&rows[1..]).all(|(a, b)| a["account"].as_str() < b["account"].as_str()), "in order");
    assert_eq!(rows[302]["owner"], HOSTILE, "a program gets what was written");

    let text = out(&run(&server, server.root_token(), &["posture", "--csv"]));
    assert_eq!(text.lines().count(), 304);
    assert!(text.starts_with("account,owner,") && text.matches("account,owner,").count() == 1);
    let hostile = text.lines().last().expect("a line");
    assert!(hostile.starts_with("zz/hostile,\"'=1+1</td>") && !hostile.contains('\u{1b}'), "{hostile:?}");

    let text = out(&run(&server, server.root_token(), &["posture", "--rows", "2"]));
    assert!(text.contains("… and 300 more: --rows 302 shows them"), "{text}");

    let empty = out(&run(&server, server.root_token(), &["posture", "none/", "--json"]));
    assert_eq!(empty, "[\n]\n");
}

#[test]
fn a_page_on_paper_is_whole_in_itself_and_every_text_is_escaped() {
    let (server, _) = stage();
    for which in ["posture", "usage", "access"] {
        let file = server.dir().join(format!("{which}.html"));
        let output = run(&server, server.root_token(), &[which, "--html", file.to_str().expect("a path")]);
        assert!(output.status.success() && out(&output).starts_with("Wrote "), "{}", err(&output));
        let page = fs::read_to_string(&file).expect("a page");
        assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
        assert!(page.contains("default-src 'none'"), "nothing may be loaded");
        let foot = page.split("@bottom-left{content:'Sparekey · ").nth(1).expect("a foot").split("';").next().unwrap();
        assert!(foot[1..].starts_with(&which[1..]) && foot.ends_with(" UTC"), "{foot}");
        for never in ["<script", "<img", "<link", "<iframe", "src=\"", "href=", "url(", "@import", "\u{1b}", "\u{202e}"]
        {
            assert!(!page.contains(never), "{which}: {never}");
        }
        if which != "usage" {
            assert!(page.contains("=1+1&lt;/td&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"), "{which}: {page}");
            assert!(page.contains("&amp;amp;"), "escaped once more, not taken over");
        }
        for tag in ["table", "tr", "td", "div", "tbody", "thead", "ul", "li"] {
            let open = page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
            assert_eq!(open, page.matches(&format!("</{tag}>")).count(), "{which}: {tag}");
        }
        assert!(!server.dir().join(format!("{which}.html.part")).exists());
    }
    let nowhere = run(&server, server.root_token(), &["posture", "--html", "/nonexistent/x.html"]);
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(err(&nowhere).contains("cannot be written"), "{}", err(&nowhere));
}

#[test]
fn usage_names_the_requests_that_the_audit_log_has() {
    let (server, _) = stage();
    let output = run(&server, server.root_token(), &["usage", "--json", "--from", "1h"]);
    let acts: Vec<Value> = serde_json::from_str(&out(&output)).expect("one array");
    let audit = fs::read_to_string(server.audit()).expect("the audit log");
    let lines: Vec<Value> = audit.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(acts.len(), 5, "{acts:?}");
    for act in &acts {
        let id = &act["request_id"];
        let found = lines.iter().filter(|line| line["request"]["id"] == *id);
        let paths: Vec<_> = found.map(|line| line["request"]["path"].as_str().unwrap_or_default()).collect();
        assert!(
            paths.len() >= 2 && paths.iter().all(|path| path.ends_with(act["account"].as_str().unwrap())),
            "{act}: {paths:?}"
        );
    }
    let text = out(&run(&server, server.root_token(), &["usage", "--act", "retrieve"]));
    assert!(text.contains("alice") && text.contains("github/used") && text.contains("1 code given out"), "{text}");
    let id = acts.iter().find(|act| act["act"] == "retrieve").expect("a retrieval")["request_id"].as_str().unwrap();
    assert!(text.contains(id), "{text}");
    let text = out(&run(&server, server.root_token(), &["usage", "--to", "1h"]));
    assert!(text.contains("Nobody did anything."), "{text}");
    let text = out(&run(&server, server.root_token(), &["access", "github/"]));
    assert!(text.contains("on-call") && text.contains("alice as on-call, 1 code, last 20"), "{text}");
}
