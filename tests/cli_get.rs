//! `sparekey get` and `sparekey outcome`: one code at three in the morning, against the real server and in a vault's mount.

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use clap::Parser;
use serde_json::json;
use sparekey::cli::console::Console;
use sparekey::cli::get::{Args, Tools, get};
use sparekey::cli::paint::Paint;
use sparekey::domain::time::Timestamp;
use sparekey::random::SeededRandom;
use support::http::Client;
use support::run::Run;
use support::scene::{ISSUER, Scene, codes};
use support::server::{BINARY, MOUNT, Server, free_address};
use support::signer::{claims, now};
use support::vault::Vault;

const ACCOUNT: &str = "github/acme-owner";

/// Somebody at a machine of their own, who may retrieve and report.
struct Desk {
    home: tempfile::TempDir,
    scene: Scene,
    address: String,
}

impl Desk {
    fn new(root: Client, plain: Client, address: String, signer: support::signer::Signer) -> Self {
        let scene = Scene::with(root.clone(), plain, signer);
        let role = json!({"operations": ["retrieve", "outcome", "read", "list", "history"]});
        root.write(&format!("{MOUNT}/roles/on-call"), &role).expect(204);
        let about = json!({"login_name": "acme-owner", "login_url": "https://github.com/login"});
        root.write(&format!("{MOUNT}/accounts/{ACCOUNT}"), &about).expect(204);
        scene.store(ACCOUNT, &codes(1, 6), 0).expect(200);
        Desk { home: tempfile::tempdir().unwrap(), scene, address }
    }
    fn at(server: &Server) -> Self {
        Desk::new(server.root(), server.client(), server.url(), support::signer::Signer::es256("idp-1"))
    }
    /// Runs `sparekey LINE` with a fresh assertion in the environment.
    fn run(&self, line: &[&str]) -> Run {
        let jwt = self.scene.admin("alice");
        self.with(line, &[("SPAREKEY_JWT", &jwt)], "")
    }
    fn with(&self, line: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
        let mut command = Command::new(BINARY);
        command.args(line).env_clear().env("HOME", self.home.path()).env("BAO_ADDR", &self.address);
        command.env("PATH", "/usr/bin:/bin").envs(variables.iter().copied()).current_dir(self.home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        // One that asks for nothing may be gone already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
    /// The file of the one request that is open.
    fn open(&self) -> Option<PathBuf> {
        let folder = self.home.path().join(".local/state/sparekey/get");
        let mut files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
        let first = files.next();
        assert_eq!(files.next(), None, "one request is open at most");
        first
    }
    /// A login's token.
    fn login(&self, client: &Client) -> String {
        let login = client.write("auth/jwt/login", &json!({"role": "on-call", "jwt": self.scene.admin("alice")}));
        login.expect(200).json()["auth"]["client_token"].as_str().unwrap().to_owned()
    }
}

const GET: [&str; 6] = ["get", ACCOUNT, "--role", "on-call", "--reason", "phone lost"];

#[test]
fn a_code_is_shown_again_until_somebody_says_what_came_of_it() {
    let server = Server::start();
    let desk = Desk::at(&server);
    let mine = codes(1, 6);

    let first = desk.run(&GET).exits(0);
    let spaced: String = mine[0].chars().filter(|c| *c != '-').map(|c| format!("{c} ")).collect();
    let first = first
        .says(&format!("Type it as   {}", mine[0]))
        .says("https://github.com/login")
        .says("As           acme-owner");
    let first = first.says("Remaining    5 codes").says("code 1 of set 1").says("new codes, stored by");
    let framed: String = first.out.lines().filter(|line| line.contains('│')).collect::<Vec<_>>().join(" ");
    let (left, right) = spaced.split_at(10);
    assert!(framed.contains(left.trim()) && framed.contains(right.trim()), "{framed}");
    assert!(!first.out.contains('\u{1b}'), "no colours into a pipe");
    let file = desk.open().expect("the request is remembered");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let kept = fs::read_to_string(&file).unwrap();
    assert!(!kept.contains(&mine[0]) && !kept.contains("eyJ"), "{kept}");

    // Asking again, with another assertion, shows the same code and costs none.
    let again = desk.run(&GET[..2]).exits(0).says("Going on with your request").says("the same code as before");
    again.says(&mine[0]).says("Remaining    5 codes");
    desk.run(&["get", ACCOUNT, "--reason", "something else"]).exits(1).says("is not settled").says("--another");

    // Once it is said what came of it, the next request is a new one.
    desk.run(&["outcome", ACCOUNT, "worked"]).exits(0).says("code 1 of github/acme-owner worked").says("Now:");
    assert_eq!(desk.open(), None);
    desk.run(&["outcome", ACCOUNT, "worked"]).exits(1).says("no code of github/acme-owner is open on this machine");
    desk.run(&GET).exits(0).says(&mine[1]);
    let alarm = desk.run(&["outcome", ACCOUNT, "refused", "--note", "already used"]).exits(0);
    alarm.says("ALARM: the provider refused code 2").says("somebody else may have used this code");
    let slots = desk.scene.read("accounts", ACCOUNT).data()["sets"][0]["slots"].clone();
    assert_eq!((&slots[0]["outcome"], &slots[1]["outcome"]), (&json!("worked"), &json!("refused")));

    // Another one, though the last is not settled; a certain one; and an outcome by hand.
    desk.run(&GET).exits(0).says(&mine[2]);
    desk.run(&[&GET[..], &["--another"]].concat()).exits(0).says(&mine[3]);
    let slot = desk.run(&[&GET[..], &["--another", "--slot", "6", "--json"]].concat()).exits(0).json();
    assert_eq!((&slot["code"], &slot["slot"], &slot["remaining"]), (&json!(mine[5]), &json!(6), &json!(1)), "{slot}");
    desk.run(&["outcome", ACCOUNT, "unused", "--slot", "3", "--role", "on-call"]).exits(0).says("code 3");
    assert!(desk.open().is_some(), "another code's outcome settles nothing");
}

#[test]
fn an_answer_that_was_lost_is_had_by_asking_again() {
    let mut server = Server::start();
    let mut desk = Desk::at(&server);
    let (through, mode) = forwarder(server.address());
    desk.address = format!("http://{through}");

    // Committed, and the server dies before its answer arrives.
    mode.store(SWALLOW, Ordering::SeqCst);
    desk.run(&GET).exits(4).says("It is not known whether a code left").says("Ask again (the same command)");
    server.kill();
    let refused = desk.run(&GET).exits(4).says("It is not known");
    assert!(desk.open().is_some(), "{}", refused.err);
    server.restart();
    assert_eq!(desk.scene.read("accounts", ACCOUNT).data()["remaining"], 5, "one code has left");
    mode.store(PASS, Ordering::SeqCst);
    desk.run(&GET).exits(0).says(&codes(1, 6)[0]).says("the same code as before");

    // An assertion that is refused leaves the request open.
    let wrong = desk.scene.signer.jwt(&claims(ISSUER, "alice", "https://elsewhere.example.com/"));
    let refused = desk.with(&GET, &[("SPAREKEY_JWT", &wrong)], "").exits(2);
    refused.says("stays open");
    desk.run(&GET).exits(0).says(&codes(1, 6)[0]);
    assert_eq!(desk.scene.read("accounts", ACCOUNT).data()["remaining"], 5);
}

const PASS: u8 = 0;
const SWALLOW: u8 = 1;

/// Passes requests on to `target`; while it swallows, the answers are lost.
fn forwarder(target: SocketAddr) -> (SocketAddr, Arc<AtomicU8>) {
    let (address, mode) = (free_address(), Arc::new(AtomicU8::new(PASS)));
    let listener = TcpListener::bind(address).unwrap();
    let how = mode.clone();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let request = request(&mut client);
            let Ok(mut server) = TcpStream::connect(target) else { continue };
            server.write_all(&request).unwrap();
            let mut answer = vec![0; 1 << 16];
            let length = server.read(&mut answer).unwrap_or(0);
            if how.load(Ordering::SeqCst) == PASS {
                let _ = client.write_all(&answer[..length]);
            }
        }
    });
    (address, mode)
}

fn request(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let read = client.read(&mut part).unwrap();
        bytes.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if read == 0 || body.len() >= length.unwrap_or(0) {
            return bytes;
        }
    }
}

#[test]
fn a_refusal_leaves_nothing_open_and_a_slip_is_told_at_once() {
    let server = Server::start();
    let desk = Desk::at(&server);
    let wrong = desk.scene.signer.jwt(&claims(ISSUER, "alice", "https://elsewhere.example.com/"));
    desk.with(&GET, &[("SPAREKEY_JWT", &wrong)], "").exits(2).says("audience");
    assert_eq!(desk.open(), None);
    desk.with(&GET, &[], "").exits(2).says("send a JWT");
    desk.with(&GET, &[("SPAREKEY_JWT", "nonsense")], "").exits(1).says("holds no JWT");
    let nobody = format!("http://{}", free_address());
    desk.run(&[&GET[..], &["--address", &nobody]].concat()).exits(1).says("nothing listens");
    assert_eq!(desk.open(), None);
    desk.run(&["get", "GitHub/acme-owner"]).exits(1).says("github/acme-owner");
    desk.run(&["get", ACCOUNT, "--role", "on-call", "--reason", ""]).exits(2).says("reason");

    // With a token the account is looked for before anything is asked.
    let token = desk.login(&server.client());
    for typed in ["github/acme-onwer", "githb/acme-owner", "acme-owner"] {
        let told = desk.with(&["get", typed], &[("BAO_TOKEN", &token)], "").exits(3);
        told.says("there is no account").says("Did you mean:\n  sparekey get github/acme-owner");
    }
    let far = desk.with(&["get", "gitlab/nothing"], &[("BAO_TOKEN", &token)], "").exits(3);
    assert!(!far.err.contains("Did you mean"), "{}", far.err);
    // A home that cannot be written does not lock anybody out.
    let nowhere = desk.with(&GET, &[("HOME", ""), ("SPAREKEY_JWT", &desk.scene.admin("alice"))], "").exits(1);
    nowhere.says("--idempotency-key");
    let key = [&GET[..], &["--idempotency-key", "k1"]].concat();
    for _ in 0..2 {
        let run = desk.with(&key, &[("HOME", ""), ("SPAREKEY_JWT", &desk.scene.admin("alice"))], "").exits(0);
        run.says(&codes(1, 6)[0]);
    }
}

#[test]
fn the_assertion_comes_from_file_input_environment_or_command() {
    let server = Server::start();
    let desk = Desk::at(&server);
    let file = desk.home.path().join("token.jwt");
    let fresh = || fs::write(&file, desk.scene.admin("alice")).unwrap();
    fresh();
    desk.with(&[&GET[..], &["--jwt-file", "token.jwt"]].concat(), &[], "").exits(0).says(&codes(1, 6)[0]);
    let input = desk.scene.admin("alice");
    desk.with(&[&GET[..2], &["--jwt-file", "-"]].concat(), &[], &input).exits(0).says(&codes(1, 6)[0]);
    fresh();
    desk.with(&[&GET[..2], &["--jwt-command", "cat token.jwt"]].concat(), &[], "").exits(0).says(&codes(1, 6)[0]);
    desk.with(&[&GET[..2], &["--jwt-command", "false"]].concat(), &[], "").exits(1).says("failed");

    // Wrapped: a token instead of the code.
    desk.run(&["outcome", ACCOUNT, "worked"]).exits(0);
    let wrapped = desk.run(&[&GET[..], &["--wrap", "60s", "--json"]].concat()).exits(0).json();
    assert_eq!((&wrapped["ttl"], wrapped.get("code")), (&json!(60), None), "{wrapped}");
    let token = wrapped["wrapping_token"].as_str().unwrap();
    let opened = server.client().token(token).write("sys/wrapping/unwrap", &json!({})).expect(200).data();
    assert_eq!(opened["code"], json!(codes(1, 6)[1]));

    // Asked again, when nobody can tell whether the token was used: no other code is spent, and it is not said that one waits.
    let again = desk.run(&[&GET[..], &["--wrap", "60s"]].concat()).exits(0);
    let again = again.says("holds the code if nobody has taken it").says("--another");
    let token = again.out.lines().find_map(|line| line.trim().strip_prefix("bao unwrap ")).unwrap().to_owned();
    let opened = server.client().token(&token).write("sys/wrapping/unwrap", &json!({})).expect(200).data();
    assert_eq!((&opened["done"], opened.get("code")), (&json!(true), None), "{opened}");
}

/// What a console wrote.
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

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

#[test]
fn what_is_missing_is_asked_for() {
    let server = Server::start();
    let desk = Desk::at(&server);
    let args = Line::try_parse_from(["get", ACCOUNT, "--role", "on-call", "--address", &server.url()]).unwrap().args;
    let home = desk.home.path().to_str().unwrap().to_owned();
    let environment = |name: &str| (name == "HOME").then(|| home.clone());
    let ask = |typed: String, time: u64| {
        let (out, err) = (Heard::default(), Heard::default());
        let mut console =
            Console::new(Box::new(out.clone()), Box::new(err.clone()), Some(Box::new(Cursor::new(typed))));
        let random = SeededRandom::new(time);
        let now = Timestamp::from_secs(time.try_into().unwrap());
        let tools = Tools { environment: &environment, random: &random, now, paint: Paint::new(true), columns: 80 };
        let ended = get(&args, &tools, &mut console).err().map(|ended| (ended.code, ended.told));
        (ended, out.text(), err.text())
    };
    let (ended, out, err) = ask(format!("phone lost\n{}\n", desk.scene.admin("alice")), now());
    assert_eq!(ended, None, "{err}");
    assert!(err.contains("Why is it needed?") && err.contains("Your assertion, a JWT"), "{err}");
    assert!(out.contains(&codes(1, 6)[0]) && out.contains("\u{1b}[1;35m"), "{out}");
    let reason =
        desk.scene.read("history", ACCOUNT).data()["entries"].as_array().unwrap().last().unwrap()["reason"].clone();
    assert_eq!(reason, "phone lost");

    // The reason is not asked for again; after a day nothing is gone on with.
    let (ended, out, err) = ask(format!("{}\n", desk.scene.admin("alice")), now());
    assert!(ended.is_none() && out.contains(&codes(1, 6)[0]) && !err.contains("Why"), "{err}");
    let (ended, out, err) = ask(format!("still lost\n{}\n", desk.scene.admin("alice")), now() + 90_000);
    assert!(ended.is_none() && out.contains(&codes(1, 6)[1]), "{err}");
    let (ended, _, _) = ask("\n\n".to_owned(), now() + 200_000);
    assert_eq!(ended.unwrap().0, 2, "no assertion, no code");
}

#[test]
fn it_works_in_a_vaults_mount() {
    let vault = Vault::mounted();
    let root = vault.root();
    let signer = support::signer::Signer::es256("idp-1");
    let desk = Desk::new(root.clone(), root, vault.url(), signer);
    let token = vault.token("on-call", &Vault::everything_below(MOUNT));
    let with = |line: &[&str]| {
        let jwt = desk.scene.admin("alice");
        desk.with(line, &[("SPAREKEY_JWT", &jwt), ("VAULT_TOKEN", &token)], "")
    };
    with(&["get", "github/acme-ower"]).exits(3).says("Did you mean:\n  sparekey get github/acme-owner");
    with(&GET).exits(0).says(&codes(1, 6)[0]).says("Remaining    5 codes");
    with(&GET).exits(0).says(&codes(1, 6)[0]).says("the same code as before");
    with(&["outcome", ACCOUNT, "worked"]).exits(0).says("Noted: code 1");
    let wrapped = with(&[&GET[..], &["--wrap", "60s", "--json"]].concat()).exits(0).json();
    let opened = vault.client().token(wrapped["wrapping_token"].as_str().unwrap());
    let opened = opened.write("sys/wrapping/unwrap", &json!({})).expect(200).data();
    assert_eq!(opened["code"], json!(codes(1, 6)[1]));
}
