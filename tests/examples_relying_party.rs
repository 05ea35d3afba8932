//! `examples/relying-party/` lets people in by codes that were made here: the login page and the script for PAM, as they stand
//! there, against the real server.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use inprocess::{Node, Setup};
use serde_json::json;
use support::http::{Answer, Client};
use support::scene::{AUDIENCE, ISSUER, Scene};
use support::signer::{Signer, claims};

#[path = "inprocess/mod.rs"]
mod inprocess;
#[path = "support/mod.rs"]
mod support;

const PASSWORD: &str = "correct horse";

/// A server, and the two programs' roles and assertions.
struct Stage {
    node: Node,
    root: String,
    scene: Scene,
    folder: PathBuf,
}

impl Stage {
    fn new() -> Stage {
        let (node, root) = Setup::default().ready();
        let admin = node.client().token(&root);
        let scene = Scene::with(admin.clone(), node.client(), Signer::es256("idp-1"));
        for (name, accounts, operations) in
            [("login", "login/*", json!(["store", "verify"])), ("ssh", "ssh/*", json!(["verify"]))]
        {
            let role = json!({
                "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": name, "accounts": [accounts],
                "operations": operations,
            });
            admin.write(&format!("backup-codes/roles/{name}"), &role).expect(204);
        }
        let automation = json!({"accounts": ["*"]});
        admin.write("backup-codes/roles/automation", &automation).expect(204);
        let folder = node.path().to_owned();
        let stage = Stage { node, root, scene, folder };
        for name in ["login", "ssh"] {
            let jwt = stage.scene.signer.jwt(&claims(ISSUER, name, AUDIENCE));
            fs::write(stage.jwt(name), jwt).unwrap();
        }
        stage
    }
    fn jwt(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.jwt"))
    }
    fn address(&self) -> String {
        format!("http://{}", self.node.address)
    }
    /// Makes codes for `account`, as whoever hands them over would.
    fn codes(&self, account: &str) -> Vec<String> {
        let body = json!({"role": "automation", "jwt": self.scene.automation(), "profile": "issued"});
        let made = self.node.client().write(&format!("backup-codes/sets/{account}"), &body).expect(200);
        made.data()["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect()
    }
    fn account(&self, account: &str) -> serde_json::Value {
        self.node.client().token(&self.root).read(&format!("backup-codes/accounts/{account}")).expect(200).data()
    }
}

fn python() -> Command {
    let mut command = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned()));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/relying-party").join(name)
}

/// Feeds `input` to a program and waits for it.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python3 runs");
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// The login page, and one browser's cookie.
struct Browser {
    server: Child,
    client: Client,
    cookie: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Browser {
    fn new(stage: &Stage) -> Browser {
        let users = stage.folder.join("users.json");
        let added = run(python().arg(example("login.py")).arg("adduser").arg(&users).arg("jane"), PASSWORD.as_bytes());
        assert!(added.status.success(), "{added:?}");
        assert!(!fs::read_to_string(&users).unwrap().contains(PASSWORD));
        let mut server = python()
            .arg(example("login.py"))
            .args(["serve", "--listen", "127.0.0.1:0", "--role", "login", "--sparekey", &stage.address()])
            .arg("--users")
            .arg(&users)
            .arg("--jwt-file")
            .arg(stage.jwt("login"))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(stage.folder.join("login.log")).unwrap())
            .spawn()
            .expect("python3 runs");
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address: SocketAddr = line.trim().strip_prefix("http://").expect("an address").parse().unwrap();
        Browser { server, client: Client::new(address), cookie: String::new() }
    }
    fn send(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: login.example.com\r\nConnection: close\r\nCookie: session={}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            self.cookie,
            body.len(),
        );
        let answer = self.client.exchange(bytes.as_bytes()).unwrap();
        if let Some(cookie) = answer.header("set-cookie") {
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
            self.cookie = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        }
        answer
    }
    fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, "")
    }
    /// The password, and with it the way to the second step.
    fn password(&mut self) {
        let answer = self.send("POST", "/login", &format!("user=jane&password={}", PASSWORD.replace(' ', "+")));
        assert_eq!((answer.status, answer.header("location")), (303, Some("/second")), "{}", answer.text());
    }
    /// The number of the form that the second step shows.
    fn form(&mut self) -> String {
        let page = self.get("/second").expect(200).text();
        page.split("name=\"form\" value=\"").nth(1).expect("a form").split('"').next().unwrap().to_owned()
    }
    fn second(&mut self, code: &str) -> Answer {
        let form = self.form();
        self.send("POST", "/second", &format!("form={form}&code={}", code.replace(' ', "+")))
    }
    fn is_in(&mut self) -> bool {
        self.get("/").status == 200
    }
}

#[test]
fn a_backup_code_is_the_second_step_of_a_login() {
    let stage = Stage::new();
    let codes = stage.codes("login/jane");
    let mut browser = Browser::new(&stage);
    assert_eq!(browser.send("POST", "/login", "user=jane&password=wrong").status, 403);
    assert_eq!(browser.send("POST", "/login", "user=nobody&password=wrong").status, 403);
    browser.password();
    assert!(!browser.is_in(), "the password alone opens nothing");
    assert!(browser.second("AAAA-BBBB-CCCC-DDDD").expect(403).text().contains("not accepted"));
    assert!(!browser.is_in());
    let answer = browser.second(&codes[0].to_lowercase().replace('-', " "));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{}", answer.text());
    assert!(browser.get("/").expect(200).text().contains("Welcome, jane"));
    browser.password();
    assert!(browser.second(&codes[0]).expect(403).text().contains("not accepted"), "once");
    assert!(!browser.is_in());
    assert_eq!(browser.second(&codes[1]).status, 303);

    let page = browser.send("POST", "/codes", "").expect(200).text();
    let fresh: Vec<&str> = page.split("<code>").skip(1).filter_map(|part| part.split("</code>").next()).collect();
    assert_eq!(fresh.len(), 10, "{page}");
    browser.password();
    assert_eq!(browser.second(&codes[2]).status, 403, "the former set is dead");
    assert_eq!(browser.second(fresh[0]).status, 303);
    let log = fs::read_to_string(stage.folder.join("login.log")).unwrap();
    for code in codes.iter().map(String::as_str).chain(fresh) {
        assert!(!log.contains(code), "a code is in the page's log");
    }
}

#[test]
fn a_form_that_is_sent_twice_is_one_attempt_and_wrong_codes_lock() {
    let stage = Stage::new();
    let codes = stage.codes("login/jane");
    let mut browser = Browser::new(&stage);
    browser.password();
    let (form, cookie) = (browser.form(), browser.cookie.clone());
    let body = format!("form={form}&code={}", codes[0]);
    assert_eq!(browser.send("POST", "/second", &body).status, 303);
    browser.cookie = cookie;
    assert_eq!(browser.send("POST", "/second", &body).header("location"), Some("/login"), "that login is over");
    assert_eq!(stage.account("login/jane")["remaining"], 9);
    browser.password();
    let form = browser.form();
    let wrong = format!("form={form}&code=AAAA-BBBB-CCCC-DDDD");
    assert_eq!(browser.send("POST", "/second", &wrong).status, 403);
    assert_eq!(browser.send("POST", "/second", &wrong).status, 409, "the same form again is not a second guess");
    assert_eq!(stage.account("login/jane")["failures"]["in_a_row"], 1);
    for _ in 0..8 {
        browser.second("AAAA-BBBB-CCCC-DDDD");
    }
    assert!(browser.second("AAAA-BBBB-CCCC-DDDD").text().contains("Try again in 15 minutes"));
    assert!(browser.second(&codes[1]).expect(403).text().contains("Try again in 15 minutes"), "the right one included");
    assert!(!browser.is_in());
}

#[test]
fn nobody_gets_in_while_codes_cannot_be_checked() {
    let stage = Stage::new();
    let codes = stage.codes("login/jane");
    let mut browser = Browser::new(&stage);
    browser.password();
    fs::remove_file(stage.jwt("login")).unwrap();
    assert!(browser.second(&codes[0]).expect(503).text().contains("cannot be checked"));
    fs::write(stage.jwt("login"), "no.real.jwt").unwrap();
    assert_eq!(browser.second(&codes[0]).status, 403, "a refused assertion lets nobody in either");
    assert!(!browser.is_in());
    fs::write(stage.jwt("login"), stage.scene.signer.jwt(&claims(ISSUER, "login", AUDIENCE))).unwrap();
    stage.node.stop();
    while stage.node.client().try_send("GET", "sys/health", None).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(browser.second(&codes[0]).expect(503).text().contains("cannot be checked"));
    assert!(!browser.is_in());
}

/// Runs the script as `pam_exec` does.
fn pam(stage: &Stage, user: &str, kind: &str, typed: &[u8]) -> Output {
    let mut command = python();
    command
        .arg(example("pam-backup-code"))
        .args(["--sparekey", &stage.address(), "--role", "ssh", "--prefix", "ssh/", "--jwt-file"])
        .arg(stage.jwt("ssh"))
        .env("PAM_USER", user)
        .env("PAM_TYPE", kind);
    run(&mut command, typed)
}

#[test]
fn a_backup_code_opens_a_door_that_pam_guards() {
    let stage = Stage::new();
    let codes = stage.codes("ssh/jane");
    stage.codes("login/jane");
    let typed = |code: &str| [code.as_bytes(), b"\0"].concat();
    let first = pam(&stage, "jane", "auth", &typed(&codes[0]));
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert!(
        String::from_utf8_lossy(&first.stdout).starts_with("9 backup codes are left; make new ones by 20"),
        "{first:?}"
    );
    let line = pam(&stage, "jane", "auth", format!("{}\n", codes[1].to_lowercase()).as_bytes());
    assert_eq!(line.status.code(), Some(0), "{line:?}");
    let cases: [(&str, &str, Vec<u8>, &str); 7] = [
        ("jane", "auth", typed(&codes[0]), "jane: not accepted"),
        ("jane", "auth", typed("AAAA-BBBB-CCCC-DDDD"), "jane: not accepted"),
        ("nobody", "auth", typed(&codes[2]), "nobody: not accepted"),
        ("../login/jane", "auth", typed(&codes[2]), "no name that an account may have"),
        ("", "auth", typed(&codes[2]), "no name that an account may have"),
        ("jane", "account", typed(&codes[2]), "auth lines only"),
        ("jane", "auth", Vec::new(), "nothing was typed"),
    ];
    for (user, kind, typed, said) in cases {
        let refused = pam(&stage, user, kind, &typed);
        assert_eq!(refused.status.code(), Some(1), "{user} {kind}: {refused:?}");
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(words.contains(said) && words.lines().count() == 1, "{user} {kind}: {words}");
        assert!(refused.stdout.is_empty() && !codes.iter().any(|code| words.contains(code.as_str())), "{words}");
    }
    assert_eq!(stage.account("ssh/jane")["remaining"], 8);
    for _ in 0..8 {
        pam(&stage, "jane", "auth", &typed("AAAA-BBBB-CCCC-DDDD"));
    }
    let locked = pam(&stage, "jane", "auth", &typed(&codes[2]));
    assert!(String::from_utf8_lossy(&locked.stderr).contains("locked after wrong codes: for 900 s"), "{locked:?}");
    assert_eq!(locked.status.code(), Some(1));
}

#[test]
fn the_example_speaks_to_no_far_server_in_clear() {
    let stage = Stage::new();
    let mut command = python();
    command
        .arg(example("pam-backup-code"))
        .args(["--sparekey", "http://sparekey.example.com:8200", "--role", "ssh", "--jwt-file"])
        .arg(stage.jwt("ssh"))
        .env("PAM_USER", "jane")
        .env("PAM_TYPE", "auth");
    let refused = run(&mut command, b"AAAA-BBBB-CCCC-DDDD\0");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("https only"), "{refused:?}");
}
