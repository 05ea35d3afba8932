//! The example of the README is run as it stands there, with the real `bao`, and must say what it says there. `UPDATE_DOCS=1` writes
//! it anew.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use regex::Regex;

#[path = "support/document.rs"]
mod document;
mod support;

use support::provision;
use support::server::BINARY;

/// Where the README's server listens.
const SHOWN: &str = "127.0.0.1:8200";

/// What a reader types, and the exit code that it ends with. The first line starts the server.
const LINES: &[(&str, i32)] = &[
    (
        "sparekey server --dev --dev-root-token-id root &   # in memory; the role \"dev\" takes JWTs of \"sparekey dev jwt\"",
        0,
    ),
    ("export BAO_ADDR=http://127.0.0.1:8200 BAO_TOKEN=root", 0),
    ("jwt() { sparekey dev jwt --sub jane@example.com --aud sparekey; }", 0),
    ("cat codes.txt", 0),
    ("jwt | sparekey import github/acme-owner codes.txt --jwt-file - --bound-at 2026-01-31T09:00:00Z --yes", 0),
    ("JANE=$(jwt)", 0),
    ("printf %s \"$JANE\" | bao write backup-codes/retrieve/github/acme-owner reason=\"phone lost\" jwt=-", 0),
    ("printf %s \"$JANE\" | bao write backup-codes/retrieve/github/acme-owner reason=\"once more\" jwt=-", 2),
    ("printf %s \"$(jwt)\" | bao write backup-codes/enroll/github/acme-owner method=fido2-roaming jwt=-", 0),
    (
        "printf '{\"reason\": \"still locked out\", \"jwt\": \"%s\"}' \"$(jwt)\" | curl -s $BAO_ADDR/v1/backup-codes/retrieve/github/acme-owner -d @-",
        0,
    ),
    ("bao list backup-codes/accounts/github", 0),
    ("sparekey audit verify ~/.local/state/sparekey/dev/audit-*.log", 0),
];

/// Where the machine has no curl, Python stands in for the little that the example asks of it.
const CURL: &str = r#"
command -v curl >/dev/null || curl() {
  python -c 'import sys, urllib.request as r, urllib.error as e
try: print(r.urlopen(r.Request(sys.argv[2], sys.stdin.buffer.read())).read().decode())
except e.HTTPError as no: print(no.read().decode())' "$@"
}
"#;

const CODES: &str = "\
GitHub two-factor authentication recovery codes

1b2c3-d4e5f
6a7b8-c9d0e
f1a2b-3c4d5
e6f7a-8b9c0
";

/// Ended by its process id, whatever becomes of the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_example_of_the_readme_happens_as_it_stands_there() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    fs::write(home.join("codes.txt"), CODES).unwrap();
    let (_server, address) = start(home);
    // One shell for all lines, as on a terminal; after each, a mark and the exit code.
    let mut script = String::from(CURL);
    for (line, _) in &LINES[1..] {
        let line = line.replace(SHOWN, &address.to_string());
        let _ = writeln!(script, "{line} 2>&1\nprintf '\\n@@ %s\\n' $?");
    }
    let output = command(home, "bash").args(["-c", &script]).output().expect("bash starts");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let mut answers = said.split("\n@@ ");
    let mut shown = format!("```console\n$ {}\n", LINES[0].0);
    let mut answer = answers.next().unwrap_or_default();
    for (line, wanted) in &LINES[1..] {
        let (code, rest) =
            answers.next().and_then(|next| next.split_once('\n')).unwrap_or_else(|| panic!("{line}: {said}"));
        assert_eq!(code, wanted.to_string(), "{line}:\n{answer}");
        let _ = writeln!(shown, "$ {line}");
        for line in answer.trim_end().lines().map(str::trim_end) {
            let _ = writeln!(shown, "{}", line.replace(&address.to_string(), SHOWN));
        }
        answer = rest;
    }
    shown.push_str("```");
    document::block_but_for("README.md", "example", &shown, masked);
}

/// A development server in `home`, once it listens.
fn start(home: &Path) -> (Ended, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let log = File::create(home.join("server.log")).unwrap();
    let mut server = command(home, BINARY);
    server.args(["server", "--dev", "--dev-root-token-id", "root", "--dev-listen-address", &address.to_string()]);
    let server = Ended(server.stdout(log.try_clone().unwrap()).stderr(log).spawn().expect("the server starts"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        let log = fs::read_to_string(home.join("server.log")).unwrap();
        assert!(Instant::now() < deadline, "the server does not listen:\n{log}");
        sleep(Duration::from_millis(20));
    }
    (server, address)
}

/// A command in `home` that finds `sparekey` and `bao`, and nothing else of this process's environment.
fn command(home: &Path, program: &str) -> Command {
    let bin = |program: &Path| program.parent().unwrap().display().to_string();
    let path = format!("{}:{}:/usr/local/bin:/usr/bin:/bin", bin(Path::new(BINARY)), bin(&provision::bao()));
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home).env("PATH", path).current_dir(home).stdin(Stdio::null());
    command
}

/// What differs from run to run: ids, times, hashes, the key of the import.
fn masked(text: &str) -> String {
    let patterns = [
        ("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>"),
        ("[0-9a-f]{64}", "<hash>"),
        ("import-[0-9a-f]{32}", "<key>"),
        // A checkpoint may come between two lines or not.
        (r"(?m)^(Lines|Types|Unsealed tail) .*$", "<count>"),
    ];
    patterns.iter().fold(text.to_owned(), |text, (pattern, mask)| {
        Regex::new(pattern).unwrap().replace_all(&text, *mask).into_owned()
    })
}
