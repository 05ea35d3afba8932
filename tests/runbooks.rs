//! The runbooks: every command of `docs/runbooks/` does what its page says, with the real `bao`, and none carries a JWT in its
//! arguments.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

mod support;

use support::http::Client;
use support::provision;
use support::scene::{ISSUER, codes};
use support::server::{BINARY, Server};
use support::signer::{Signer, claims, now};
use support::vault::Vault;

/// The pages, each with how many commands it has at least: a check that has lost the commands must fail.
const PAGES: [(&str, usize); 5] = [
    ("README.md", 3),
    ("a-code-at-3am.md", 19),
    ("rotate-by-automation.md", 12),
    ("a-leaver.md", 12),
    ("after-a-compromise.md", 17),
];

/// Where the machine has no curl, Python stands in for the little that is asked of it.
const CURL: &str = r#"
command -v curl >/dev/null || curl() {
  python -c 'import sys, urllib.request as r, urllib.error as e
a = sys.argv
after = lambda flag: a[a.index(flag) + 1][1:]
body = sys.stdin.buffer.read() if after("-d") == "-" else open(after("-d"), "rb").read()
head = dict(l.split(": ", 1) for l in open(after("-H")).read().splitlines()) if "-H" in a else {}
try: print(r.urlopen(r.Request(next(x for x in a if x.startswith("http")), body, head)).read().decode())
except e.HTTPError as no: print(no.read().decode())' "$@"
}
"#;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block of a page.
struct Block {
    kind: String,
    lines: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(kind) => {
                inside = true;
                found.push(Block { kind: kind.to_owned(), lines: Vec::new() });
            }
            None if inside => found.last_mut().unwrap().lines.push(line.to_owned()),
            None => {}
        }
    }
    found
}

/// Commands as they stand there; with the last of a block what the block must show.
fn commands(text: &str) -> Vec<(String, Option<Vec<String>>)> {
    let blocks = blocks(text);
    let mut found = Vec::new();
    for (place, block) in blocks.iter().enumerate().filter(|(_, block)| block.kind == "sh") {
        let shown = blocks.get(place + 1).filter(|next| next.kind == "text");
        let last = block.lines.len() - 1;
        found.extend(block.lines.iter().enumerate().map(|(number, line)| {
            let shown = shown.map(|next| next.lines.clone()).unwrap_or_default();
            (line.clone(), (number == last).then_some(shown))
        }));
    }
    found
}

#[test]
fn no_line_carries_a_jwt() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/runbooks");
    let pages: Vec<String> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let (mut seen, mut known, mut got) = (0, 0, 0);
    for name in &pages {
        known += usize::from(PAGES.iter().any(|(page, _)| page == name));
        for line in blocks(&page(name)).iter().flat_map(|block| &block.lines) {
            for value in line.split("jwt=").skip(1) {
                seen += 1;
                assert!(value.starts_with('-') || value.starts_with('@'), "{name}: {line}");
            }
            // A command that acts says where the JWT comes from, so that nobody is asked for it in a job.
            for act in
                ["sparekey get ", "sparekey outcome ", "sparekey import "].iter().filter(|act| line.contains(**act))
            {
                let from = ["--jwt-file -", "--jwt-file ~/", "--jwt-command '"];
                assert!(from.iter().any(|from| line.contains(from)), "{name}: {line}");
                got += usize::from(act.contains("get"));
            }
            for bad in ["SPAREKEY_JWT", "$(get-jwt", "`get-jwt", "$(cat ~/jwt", "Bearer", "token=", "eyJ"] {
                assert!(!line.contains(bad), "{name}: {line}");
            }
        }
    }
    assert!(
        seen >= 18 && got >= 3 && known == PAGES.len() && pages.len() == PAGES.len(),
        "{seen} {got} {known} {pages:?}"
    );
}

#[test]
fn who_fetches_a_code_is_shown_the_command_for_it_first() {
    for (name, _) in PAGES {
        let text = page(name);
        let first = |words: &str| text.find(words);
        if let Some(by_hand) = first("backup-codes/retrieve/") {
            assert!(first("sparekey get ").is_some_and(|get| get < by_hand), "{name} has no sparekey get before it");
        }
    }
}

#[test]
fn a_code_at_3am_happens_as_it_stands_there() {
    play("a-code-at-3am.md");
}

#[test]
fn a_code_at_3am_happens_so_in_a_vault() {
    play_mounted("a-code-at-3am.md");
}

#[test]
fn rotate_by_automation_happens_so_in_a_vault() {
    play_mounted("rotate-by-automation.md");
}

#[test]
fn a_leaver_happens_so_in_a_vault() {
    play_mounted("a-leaver.md");
}

#[test]
fn after_a_compromise_happens_so_in_a_vault() {
    play_mounted("after-a-compromise.md");
}

#[test]
fn rotate_by_automation_happens_as_it_stands_there() {
    play("rotate-by-automation.md");
}

#[test]
fn a_leaver_happens_as_it_stands_there() {
    play("a-leaver.md");
}

#[test]
fn after_a_compromise_happens_as_it_stands_there() {
    play("after-a-compromise.md");
}

#[test]
fn the_commands_of_the_controls_show_what_they_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/controls.md");
    let text = fs::read_to_string(path).unwrap();
    // The last cell of a row with five, and what must stand in every other.
    let mut lines: Vec<(String, Option<Vec<String>>)> = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| ") && line.matches(" |").count() == 5) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let Some(command) = cells[4].strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else { continue };
        assert!(cells[3].contains(".rs)") && cells.iter().all(|cell| !cell.is_empty()), "no test holds it: {row}");
        lines.push((command.to_owned(), Some(Vec::new())));
    }
    assert!(lines.len() > 20, "the check has lost the commands: {}", lines.len());
    let mut all = commands(&page("README.md"));
    all.push((prologue("a-leaver.md"), Some(Vec::new())));
    all.extend(lines);
    type_in("controls.md", &all);
}

/// Types the page from top to bottom in one shell, after the roles of the README and what else an administrator does.
fn play(name: &str) {
    let mut lines = roles();
    lines.push((format!("unset BAO_TOKEN; {}", prologue(name)), Some(Vec::new())));
    lines.extend(of_page(name));
    type_in(name, &lines);
}

/// The same where a real vault mounts the engine: it has a login of its own and policies, and everybody has a token.
fn play_mounted(name: &str) {
    let vault = Vault::mounted();
    let signer = Signer::es256("idp-1");
    let root = vault.root();
    root.write("sys/auth/jwt", &json!({"type": "jwt"})).expect(204);
    let config = json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]});
    root.write("auth/jwt/config", &config).expect(204);
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-manifest/policies");
    let shipped = |name: &str| fs::read_to_string(policies.join(name)).unwrap();
    for (role, rules) in [
        ("on-call", shipped("on-call.hcl")),
        ("rotator", shipped("rotator.hcl")),
        ("security", Vault::everything_below("backup-codes")),
    ] {
        root.write(&format!("sys/policies/acl/{role}"), &json!({"policy": rules})).expect(204);
        let login = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": "sparekey", "bound_claims": {"groups": role},
            "token_policies": role,
        });
        root.write(&format!("auth/jwt/role/{role}"), &login).expect(204);
    }
    let home = person(&vault.dir().join("person"), &root, &signer);
    let mut lines = roles();
    lines.push((format!("{}; unset BAO_TOKEN", prologue(name)), Some(Vec::new())));
    // The vault's audit files are its own.
    lines.extend(of_page(name).into_iter().filter(|(line, _)| !line.starts_with("sparekey audit verify")));
    type_at(name, &lines, &home, &vault.url(), vault.root_token());
}

type Lines = Vec<(String, Option<Vec<String>>)>;

fn roles() -> Lines {
    let lines = commands(&page("README.md"));
    assert!(lines.len() >= PAGES[0].1, "the check has lost the roles");
    lines
}

fn of_page(name: &str) -> Lines {
    let found = commands(&page(name));
    let least = PAGES.iter().find(|(page, _)| *page == name).map_or(1, |(_, least)| *least);
    assert!(found.len() >= least, "{name}: the check has lost the commands: {}", found.len());
    found
}

/// Types the lines in one shell. Each ends with 0, or with 2 where it says that it is refused.
fn type_in(name: &str, lines: &[(String, Option<Vec<String>>)]) {
    let server = Server::start();
    let home = person(&server.dir().join("person"), &server.root(), &Signer::es256("idp-1"));
    symlink(server.audit(), home.join("audit.log")).unwrap();
    type_at(name, lines, &home, &server.url(), server.root_token());
}

fn type_at(name: &str, lines: &[(String, Option<Vec<String>>)], home: &Path, url: &str, root_token: &str) {
    let mut script = String::from(CURL);
    for (line, _) in lines {
        let _ = writeln!(script, "{line}\nprintf '\\n@@ %s\\n' $?");
    }
    let bin = home.join("bin").display().to_string();
    let output = Command::new("bash")
        .arg("-c")
        .arg(format!("exec 2>&1\n{script}"))
        .env_clear()
        .env("PATH", format!("{bin}:{}:/usr/local/bin:/usr/bin:/bin", provision::python().parent().unwrap().display()))
        .env("HOME", home)
        .env("BAO_ADDR", url)
        .env("BAO_TOKEN", root_token)
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut rest = said.as_str();
    let mut block = String::new();
    for (line, shown) in lines {
        let (answer, after) = rest.split_once("\n@@ ").unwrap_or_else(|| panic!("{line}:\n{said}"));
        let (code, after) = after.split_once('\n').unwrap_or((after, ""));
        let wanted = if line.ends_with("# refused") { "2" } else { "0" };
        assert_eq!(code, wanted, "{name}: {line}\n{answer}");
        rest = after;
        block.push_str(answer);
        let Some(shown) = shown else { continue };
        for wanted in shown {
            // In the order of the words; what stands between does not matter.
            let fits = |answer: &str| {
                let mut answer = answer.split_whitespace();
                wanted.split_whitespace().all(|word| answer.any(|other| other.contains(word)))
            };
            assert!(block.lines().any(fits), "{name}: {line}\n does not show {wanted}:\n{block}");
        }
        block.clear();
    }
}

/// The account `github/acme-owner` has a set of four codes, and joe has taken one of them where the page is about him.
fn prologue(page: &str) -> String {
    let mut lines = String::from(
        "get-jwt rotator > ~/.jwt && sparekey import github/acme-owner ~/first.txt --role rotator --jwt-file ~/.jwt --cas 0 --yes",
    );
    if matches!(page, "a-leaver.md" | "after-a-compromise.md") {
        lines += " && sparekey import okta/joe@example.com ~/joes.txt --role rotator --jwt-file ~/.jwt --cas 0 --yes";
        lines +=
            " && get-jwt joe | bao write backup-codes/retrieve/github/acme-owner role=on-call reason=locked-out jwt=-";
    }
    lines
}

/// The home of whoever types, with what the pages say stands for something of theirs.
fn person(home: &Path, root: &Client, signer: &Signer) -> PathBuf {
    let issuer = json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]});
    root.write("backup-codes/issuers/idp", &issuer).expect(204);
    let bin = home.join("bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(provision::bao(), bin.join("bao")).unwrap();
    symlink(BINARY, bin.join("sparekey")).unwrap();
    for (who, subject, group) in [
        ("on-call", "jane", "on-call"),
        ("joe", "joe", "on-call"),
        ("rotator", "rotator", "rotator"),
        ("security", "sam", "security"),
    ] {
        let folder = home.join(".jwts").join(who);
        fs::create_dir_all(&folder).unwrap();
        for number in 10..30 {
            let mut claims = claims(ISSUER, subject, "sparekey");
            claims["groups"] = json!([group]);
            fs::write(folder.join(number.to_string()), signer.jwt(&claims)).unwrap();
        }
    }
    for number in 10..20_u64 {
        fs::create_dir_all(home.join(".made")).unwrap();
        fs::write(home.join(".made").join(number.to_string()), codes(number + now() % 7, 4).join("\n") + "\n").unwrap();
    }
    fs::write(home.join("first.txt"), codes(1, 4).join("\n")).unwrap();
    fs::write(home.join("joes.txt"), codes(2, 4).join("\n")).unwrap();
    fs::write(home.join("found"), &codes(1, 4)[0]).unwrap();
    // Each gives the next of its store, and gives it once.
    for (name, store) in [("get-jwt", "$HOME/.jwts/$1"), ("make-codes", "$HOME/.made")] {
        let script = format!(
            "#!/bin/sh\nset -e\nnext=$(ls \"{store}\" | head -n 1)\ncat \"{store}/$next\"\nrm \"{store}/$next\"\n"
        );
        fs::write(bin.join(name), script).unwrap();
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    home.to_owned()
}
