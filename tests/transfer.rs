//! `sparekey transfer`: accounts leave the store of a stopped server for a mounted engine, once, whatever cuts it off.

#[path = "support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::json;
use support::http::Client;
use support::run::Run;
use support::scene::{AUDIENCE, ISSUER, Scene, codes};
use support::server::{BINARY, MOUNT, Server, Setup, free_address};
use support::signer::{Signer, claims};
use support::vault::Vault;

/// A stopped or running source, and who may move what it holds.
struct Move {
    server: Server,
    signer: Signer,
    /// Every code that was ever stored at the source.
    known: Vec<String>,
}

impl Move {
    /// `github/acme` with one of three codes used, `okta/jane@example.com`, an ended set, a deleted account and an issued set.
    fn new(setup: Setup) -> Self {
        let server = setup.start();
        let signer = Signer::es256("idp-1");
        let scene = Scene::with(server.root(), server.client(), signer.clone());
        let mut known = Vec::new();
        let mut store = |account: &str, seed: u64, count: usize, cas: u64| {
            let codes = codes(seed, count);
            scene.store(account, &codes, cas).expect(200);
            known.extend(codes);
        };
        store("github/acme", 1, 2, 0);
        store("github/acme", 2, 3, 1);
        store("okta/jane@example.com", 3, 4, 0);
        store("gone", 4, 2, 0);
        scene
            .act("revoke", "gone", json!({"role": "automation", "jwt": scene.automation(), "reason": "left"}))
            .expect(200);
        server.root().delete(&format!("{MOUNT}/accounts/gone")).expect(204);
        let about = json!({"owner": "platform", "login_name": "acme-owner"});
        server.root().write(&format!("{MOUNT}/accounts/github/acme"), &about).expect(204);
        assert_eq!(scene.retrieve("github/acme", "alice").expect(200).data()["code"], json!(codes(2, 3)[0]));
        Move { server, signer, known }
    }
    /// Lets `mover` take accounts in through this client, beside the usual cast.
    fn welcome(&self, root: &Client) -> Scene {
        let scene = Scene::with(root.clone(), root.clone(), self.signer.clone());
        let role = json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "mover", "accounts": ["*"],
            "operations": ["transfer"],
        });
        root.write(&format!("{MOUNT}/roles/mover"), &role).expect(204);
        scene
    }
    fn jwt(&self) -> String {
        self.signer.jwt(&claims(ISSUER, "mover", AUDIENCE))
    }
    fn run(&self, to: &str, token: &str, line: &[&str]) -> Run {
        self.typed(to, token, line, "")
    }
    /// The same with this on standard input.
    fn typed(&self, to: &str, token: &str, line: &[&str], input: &str) -> Run {
        let config = self.server.configure();
        let mut command = Command::new(BINARY);
        command
            .args(["transfer", "--config"])
            .arg(config)
            .args(["--role", "mover", "--reason", "moving in"])
            .args(line);
        command.env_clear().env("HOME", self.server.dir()).env("BAO_ADDR", to).env("SPAREKEY_JWT", self.jwt());
        if !token.is_empty() {
            command.env("BAO_TOKEN", token);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let run = Run { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) };
        for code in &self.known {
            assert!(!run.out.contains(code.as_str()) && !run.err.contains(code.as_str()), "a code was shown");
        }
        run
    }
}

/// The codes of `account` that come out at `scene`, until none does.
fn drained(scene: &Scene, account: &str) -> Vec<String> {
    let mut out = Vec::new();
    loop {
        let answer = scene.retrieve(account, &format!("bob{}", out.len()));
        match answer.status {
            200 => out.push(answer.data()["code"].as_str().unwrap().to_owned()),
            _ => return out,
        }
    }
}

#[test]
fn a_stopped_server_moves_into_a_vaults_mount() {
    let vault = Vault::mounted();
    let mut source = Move::new(Setup::default().static_seal());
    let scene = source.welcome(&vault.root());
    let (to, token) = (vault.url(), vault.root_token().to_owned());
    source.run(&to, &token, &["--all"]).exits(1).says("The server must be stopped");
    source.server.terminate();

    let looked = source.run(&to, &token, &["--all", "--dry-run"]).exits(0);
    let looked = looked.says("would move github/acme: generation 2, 2 codes, 1 used").says("3 accounts would move");
    assert!(!looked.out.contains("STAYS"), "{}", looked.out);
    assert_eq!(scene.read("accounts", "github/acme").status, 404);

    // One account, then the rest; then nothing is left to do.
    source.run(&to, &token, &["--all", "--at-most", "1"]).exits(0).says("1 account moved");
    let rest = source.run(&to, &token, &["--all", "--json"]).exits(0).objects();
    let sums = &rest.last().unwrap()["sums"];
    assert_eq!((&sums["moved"], &sums["moved_before"], &sums["stays"]), (&json!(2), &json!(1), &json!(0)), "{rest:?}");
    let again = source.run(&to, &token, &["github/", "okta/jane@example.com"]).exits(0);
    again.says("moved before").says("2 accounts had moved before");

    // There: what is left, in order, and what was.
    let data = scene.read("accounts", "github/acme").expect(200).data();
    assert_eq!(
        (&data["login_name"], &data["generation"], &data["remaining"]),
        (&json!("acme-owner"), &json!(2), &json!(2))
    );
    assert_eq!(data["sets"][1]["slots"][0]["by"], "alice");
    assert!(!data["owes"].is_null());
    assert_eq!(drained(&scene, "github/acme"), codes(2, 3)[1..]);
    assert_eq!(drained(&scene, "okta/jane@example.com"), codes(3, 4));
    for (account, old) in [("github/acme", codes(1, 2)), ("gone", codes(4, 2))] {
        let refused = scene.store(account, &old, if account == "gone" { 1 } else { 2 });
        assert!(refused.status == 400 && refused.text().contains("known-codes"), "{}", refused.text());
    }
    let history = scene.read("history", "github/acme?verify=true").expect(200).data();
    assert_eq!((&history["verified"], &history["entries"][0]["act"]), (&json!(true), &json!("transfer")));

    // Here: ended, and the history says where it goes on.
    source.server.boot();
    let here = Scene::with(source.server.root(), source.server.client(), source.signer.clone());
    let refused = here.retrieve("okta/jane@example.com", "carol");
    assert!(refused.status == 400 && refused.text().contains("moved: the account was moved to"), "{}", refused.text());
    let old = here.read("history", "github/acme?verify=true").expect(200).data();
    let entries = old["entries"].as_array().unwrap();
    let [mark, end] = &entries[entries.len() - 2..] else { panic!("{old}") };
    assert_eq!(history["entries"][0]["detail"]["source"]["head"], mark["hash"]);
    assert_eq!(end["detail"]["there"]["head"], history["entries"][0]["hash"]);
    assert_eq!(here.read("accounts", "github/acme").data()["sets"][1]["cause"], "transferred");

    // No code in what either of them wrote.
    let written =
        [vault.audit(), vault.log(), source.server.log(), std::fs::read_to_string(source.server.audit()).unwrap()];
    for code in &source.known {
        for spelling in [code.clone(), code.replace('-', "")] {
            assert!(!written.iter().any(|text| text.contains(&spelling)), "{spelling} was written");
        }
    }
}

#[test]
fn an_answer_that_is_lost_leaves_nothing_twice_and_running_it_again_completes_it() {
    let target = Server::start();
    let mut source = Move::new(Setup::default());
    let scene = source.welcome(&target.root());
    let keys = source.server.unseal_keys().join("\n");
    source.server.terminate();
    let through = forwarder(target.address());
    let to = format!("http://{through}");

    let cut = source.typed(&to, "", &["okta/"], &keys).exits(1);
    let cut = cut.says("It is not known whether the account is there").says("Run the same command again");
    assert!(cut.out.contains("0 accounts moved"), "{}", cut.out);
    assert_eq!(drained(&scene, "okta/jane@example.com").len(), 4, "it is there");

    // Somebody starts the server again: it gives out none.
    source.server.restart();
    let here = Scene::with(source.server.root(), source.server.client(), source.signer.clone());
    let refused = here.retrieve("okta/jane@example.com", "carol");
    assert!(
        refused.status == 400 && refused.text().contains("moved: the account is on its way to"),
        "{}",
        refused.text()
    );
    source.server.terminate();

    // What is there cannot be taken back, nor sent elsewhere, and a repeat completes it.
    let other = target.url();
    source.typed(&other, "", &["okta/"], &keys).exits(2).says("it is on its way to http://127.0.0.1");
    let token = target.root_token();
    source.typed(&to, token, &["okta/", "--take-back"], &keys).exits(2).says("the other end has it");
    source.typed(&to, "", &["okta/"], &keys).exits(0).says("1 account moved");
    source.typed(&to, "", &["okta/"], &keys).exits(0).says("1 account had moved before");
    assert_eq!(drained(&scene, "okta/jane@example.com").len(), 0);
}

/// Passes requests on to `target`, and loses the answer to the first one that takes an account in.
fn forwarder(target: SocketAddr) -> SocketAddr {
    let address = free_address();
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        let mut lost = false;
        for stream in listener.incoming().flatten() {
            let (mut client, mut server) = (stream, TcpStream::connect(target).unwrap());
            let request = request(&mut client);
            server.write_all(&request).unwrap();
            let mut answer = vec![0; 1 << 16];
            let length = server.read(&mut answer).unwrap();
            if !lost && request.starts_with(b"PUT /v1/backup-codes/transfer/") {
                lost = true;
                continue;
            }
            let _ = client.write_all(&answer[..length]);
        }
    });
    address
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
fn a_refusal_changes_nothing_and_says_what_to_do() {
    let target = Server::start();
    let mut source = Move::new(Setup::default().shares(3, 2));
    let scene = source.welcome(&target.root());
    scene.store("github/acme", &codes(9, 2), 0).expect(200);
    let issued = json!({"role": "automation", "jwt": scene.automation(), "profile": "issued"});
    let here = Scene::with(source.server.root(), source.server.client(), source.signer.clone());
    here.act("sets", "desk/joe", issued).expect(200);
    let keys = source.server.unseal_keys()[1..].join("\n");
    source.server.terminate();
    let to = target.url();

    // Keys that open nothing, too few, none.
    let wrong = ["00".repeat(33), "11".repeat(33)].join("\n");
    source.typed(&to, "", &["--all"], &wrong).exits(1).says("these unseal keys do not open the store");
    source.typed(&to, "", &["--all"], &source.server.unseal_keys()[0]).exits(1).says("1 of 2 unseal keys were given");
    source.typed(&to, "", &["--all"], "nonsense!").exits(1).says("an unseal key is hexadecimal or base64");

    // Nobody listens; the role does not allow it: the run ends, and nothing is marked.
    let nobody = format!("http://{}", free_address());
    source.typed(&nobody, "", &["okta/"], &keys).exits(1).says("nothing listens");
    let role = json!({"operations": ["store"]});
    target.root().write(&format!("{MOUNT}/roles/mover"), &role).expect(204);
    source.typed(&to, "", &["okta/"], &keys).exits(2).says("refused");
    target.root().write(&format!("{MOUNT}/roles/mover"), &json!({"operations": ["transfer"]})).expect(204);

    // One account that is there, one that cannot move, one that does not exist: the others go.
    let run = source.typed(&to, "", &["github/acme", "desk/", "nobody/here", "okta/"], &keys).exits(2);
    let run = run.says("STAYS      github/acme").says("exists: an account of this name is here");
    let run = run.says("STAYS      desk/joe").says("were issued here").says("there is no such account");
    assert!(run.out.contains("moved      okta/jane@example.com"), "{}", run.out);

    // What stays is as it was.
    source.server.restart();
    let stayed = here.retrieve("github/acme", "carol").expect(200).data();
    assert_eq!(stayed["code"], json!(codes(2, 3)[1]));
    assert_eq!(drained(&scene, "github/acme"), codes(9, 2));
}

#[test]
fn what_never_arrived_can_be_taken_back() {
    let target = Server::start();
    let mut source = Move::new(Setup::default().static_seal());
    source.welcome(&target.root());
    source.server.terminate();
    // A listener that takes requests and passes nothing on.
    let hole = free_address();
    let listener = TcpListener::bind(hole).unwrap();
    let swallow = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        request(&mut client);
    });
    source.run(&format!("http://{hole}"), "", &["okta/"]).exits(1).says("It is not known");
    swallow.join().unwrap();
    // The real one comes up in its place, and says that it has no such account.
    let through = TcpListener::bind(hole).unwrap();
    let (address, token) = (target.address(), target.root_token().to_owned());
    thread::spawn(move || {
        for mut client in through.incoming().flatten() {
            let mut server = TcpStream::connect(address).unwrap();
            server.write_all(&request(&mut client)).unwrap();
            let mut answer = vec![0; 1 << 16];
            let length = server.read(&mut answer).unwrap();
            let _ = client.write_all(&answer[..length]);
        }
    });
    source.run(&format!("http://{hole}"), &token, &["okta/", "--take-back"]).exits(0).says("taken back okta/jane");
    source.server.boot();
    let here = Scene::with(source.server.root(), source.server.client(), source.signer.clone());
    here.retrieve("okta/jane@example.com", "carol").expect(200);
}

#[test]
fn a_key_that_is_not_the_stores_opens_nothing() {
    let mut source = Move::new(Setup::default().static_seal());
    source.server.terminate();
    std::fs::write(source.server.dir().join("seal.key"), "ab".repeat(32)).unwrap();
    source.run("http://127.0.0.1:1", "", &["--all"]).exits(1).says("does not open the seal record");
}
