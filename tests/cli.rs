//! The command line from outside: help, usage errors, exit codes, and how a server starts and ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

mod support;

fn sparekey(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sparekey")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_is_on_stdout_with_examples_and_exit_codes() {
    let help = sparekey(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let said = text(&help.stdout);
    for part in ["Examples:", "Exit codes:", "server", "import", "relay", "audit", "demo", "dev"] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    for command in ["server", "import", "relay", "audit", "demo", "dev"] {
        let help = sparekey(&[command, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{command}");
        assert!(!help.stdout.is_empty());
    }
    assert_eq!(text(&sparekey(&["--version"]).stdout), format!("sparekey {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_1_and_says_what_is_missing() {
    for (args, expected) in [
        (&[][..], "Usage: sparekey"),
        (&["serve"][..], "unrecognized subcommand 'serve'"),
        (&["server"][..], "--config"),
        (&["server", "--config", "a", "--dev"][..], "cannot be used with"),
        (&["server", "--config", "a", "--dev-root-token-id", "root"][..], "cannot be used with"),
        (&["server", "--dev-root-token-id", "root"][..], "--dev"),
        (&["server", "--dev", "--dev-listen-address", "nowhere"][..], "--dev-listen-address"),
    ] {
        let output = sparekey(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(expected), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_broken_configuration_is_1_with_file_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sparekey.hcl");
    std::fs::write(&file, "storage \"inmem\" {}\nlistener \"tcp\" {\n  tls_disabel = true\n}\n").unwrap();
    let output = sparekey(&["server", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let expected =
        format!("sparekey: {}:3: listener.tcp.tls_disabel: unknown; did you mean tls_disable?", file.display());
    assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
}

/// A server that ends with the test.
struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
}

impl Running {
    /// A development server on a free port.
    fn dev() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args =
            ["server", "--dev", "--dev-listen-address", "127.0.0.1:0", "--dev-root-token-id", "root-for-the-test"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparekey"));
        command
            .args(args)
            .arg("--dev-dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log")).unwrap());
        Self::spawn(command, folder)
    }
    /// A server with TLS whose certificate lies in its folder.
    fn tls() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let text = format!(
            "storage \"inmem\" {{}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_cert_file = \"{}\"\n  \
             tls_key_file = \"{}\"\n}}\n",
            path("cert.pem").display(),
            path("key.pem").display()
        );
        std::fs::write(path("sparekey.hcl"), text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sparekey"));
        command
            .args(["server", "--config"])
            .arg(path("sparekey.hcl"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(path("log")).unwrap());
        Self::spawn(command, folder)
    }
    fn spawn(mut command: Command, folder: tempfile::TempDir) -> Self {
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Running { child, said, folder }
    }
    /// What it prints, up to and with the line that contains `last`.
    fn read_to(&mut self, last: &str) -> String {
        let mut said = String::new();
        while !said.lines().last().is_some_and(|line| line.contains(last)) {
            if self.said.read_line(&mut said).unwrap() == 0 {
                panic!("the server ended early; it said:\n{said}\n{}", self.log());
            }
        }
        said
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
    fn log_says(&self, what: &str) {
        let begun = Instant::now();
        while !self.log().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(20), "no {what:?} in the log:\n{}", self.log());
            sleep(Duration::from_millis(5));
        }
    }
    fn ended(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end:\n{}", self.log());
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(said: &str) -> &str {
    said.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap()
}

#[test]
fn a_development_server_prints_commands_that_work() {
    let mut server = Running::dev();
    let said = server.read_to("verify=true");
    assert!(said.contains("root token  root-for-the-test"), "{said}");
    let unseal_key = said.lines().find_map(|line| line.strip_prefix("  unseal key  ")).expect("an unseal key");
    let at = address(&said).parse().unwrap();
    let send = |path: &str, body: serde_json::Value| {
        support::http::Client::new(at).token("root-for-the-test").write(path, &body)
    };
    send("sys/seal", serde_json::json!({})).expect(204);
    let opened = send("sys/unseal", serde_json::json!({"key": unseal_key})).expect(200).json();
    assert_eq!(opened["sealed"], false, "{opened}");
    let begun = send("sys/generate-root/attempt", serde_json::json!({})).expect(200).json();
    let share = serde_json::json!({"key": unseal_key, "nonce": begun["nonce"]});
    assert_eq!(send("sys/generate-root/update", share).expect(200).json()["complete"], true);
    let commands: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("   curl ")).collect();
    let run = |command: &str| {
        let output = Command::new("sh").args(["-c", &format!("curl {command}")]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout)
            .unwrap_or_else(|_| panic!("curl {command}\n{}{}", text(&output.stdout), text(&output.stderr)))
    };
    let answers: Vec<_> = commands.iter().map(|command| run(command)).collect();
    assert_eq!(answers.len(), 3, "{said}");
    assert_eq!(answers[0]["data"]["count"], 4, "{}", answers[0]);
    assert_eq!(answers[1]["data"]["code"], "h7kq-2mwx", "{}", answers[1]);
    assert_eq!(answers[2]["data"]["verified"], true, "{}", answers[2]);
    assert_eq!(run(commands[1])["data"]["code"], "v9tr-4bnz", "the next retrieve gives the next code");
}

#[test]
fn hang_up_keeps_the_server_and_terminate_lets_a_request_end() {
    let mut server = Running::dev();
    let said = server.read_to("verify=true");
    server.log_says("listening");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "core dumps are forbidden");

    server.signal(Signal::HUP);
    server.log_says("audit files were opened again");

    let body = r#"{"default_role": "dev"}"#;
    let mut slow = TcpStream::connect(address(&said)).unwrap();
    let head = format!(
        "POST /v1/backup-codes/config HTTP/1.1\r\nHost: a\r\nX-Vault-Token: root-for-the-test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&body.as_bytes()[..5]).unwrap();
    // Another connection's answer shows that the server has taken this one on.
    let mut quick = TcpStream::connect(address(&said)).unwrap();
    quick.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    quick.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    server.signal(Signal::TERM);
    server.log_says("ending");
    assert!(server.child.try_wait().unwrap().is_none());
    slow.write_all(&body.as_bytes()[5..]).unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    assert_eq!(server.ended(), Some(0));
    assert!(TcpStream::connect(address(&said)).is_err());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Running::dev();
    let said = server.read_to("verify=true");
    server.log_says("listening");
    let mut stuck = TcpStream::connect(address(&said)).unwrap();
    stuck.write_all(b"POST /v1/backup-codes/config HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{").unwrap();
    let mut quick = TcpStream::connect(address(&said)).unwrap();
    quick.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    quick.read_to_string(&mut String::new()).unwrap();
    server.signal(Signal::INT);
    server.log_says("ending");
    let begun = Instant::now();
    server.signal(Signal::INT);
    assert_eq!(server.ended(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(10), "the stuck request was waited for");
    assert!(server.log().contains("a second signal"));
}

#[test]
fn what_the_machine_refuses_is_1_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sparekey.hcl");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let start = |listener: &str, rest: &str| {
        std::fs::write(&file, format!("listener \"tcp\" {{\n{listener}\n}}\n{rest}\n")).unwrap();
        let output = sparekey(&["server", "--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    let free = "address = \"127.0.0.1:0\"\ntls_disable = true";
    let said = start(&format!("address = \"{address}\"\ntls_disable = true"), "storage \"inmem\" {}");
    assert!(said.contains(&format!("sparekey: listener {address}: Address already in use")), "{said}");
    let said = start("tls_cert_file = \"/nonexistent/cert.pem\"\ntls_key_file = \"k\"", "storage \"inmem\" {}");
    assert!(said.contains("sparekey: tls_cert_file: /nonexistent/cert.pem: No such file"), "{said}");
    let said = start(free, "storage \"redb\" {\n  path = \"/nonexistent/store\"\n}");
    assert!(said.contains("/nonexistent/store"), "{said}");
    let seal = "seal \"static\" {\n  current_key_id = \"a\"\n  current_key = \"file:///nonexistent/key\"\n}";
    let said = start(free, &format!("storage \"inmem\" {{}}\n{seal}"));
    assert!(
        said.contains(&format!("{}:8: seal.static.current_key: /nonexistent/key: No such file", file.display())),
        "{said}"
    );
}

#[test]
fn hang_up_reads_certificates_again_and_keeps_the_old_ones_if_they_are_broken() {
    let mut server = Running::tls();
    server.log_says("tls=true");
    server.signal(Signal::HUP);
    server.log_says("certificates were read again");
    std::fs::write(server.folder.path().join("cert.pem"), "broken").unwrap();
    server.signal(Signal::HUP);
    server.log_says("cert.pem: holds no certificate in PEM");
    server.log_says("the old ones stay");
    server.signal(Signal::TERM);
    assert_eq!(server.ended(), Some(0));
}
