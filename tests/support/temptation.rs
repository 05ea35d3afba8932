//! Codes that are easy to recognise go through every act beside import and retrieval, and through the commands that a person types;
//! what is said and what is left behind is kept, to be searched.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::http::Answer;
use super::scene::{self, AUDIENCE, Scene};
use super::server::{BINARY, MOUNT};
use super::signer::now;

/// Everything that was said or left, by where.
#[derive(Default)]
pub struct Ear(pub Vec<(String, Vec<u8>)>);

impl Ear {
    /// Keeps an answer: its headers and its body.
    pub fn hear(&mut self, what: &str, answer: Answer) -> Answer {
        self.headers(what, &answer);
        self.0.push((format!("the answer to {what}"), answer.body.clone()));
        answer
    }
    /// Keeps the headers alone, where the body is to carry a code.
    pub fn headers(&mut self, what: &str, answer: &Answer) {
        self.0.push((format!("the answer to {what}"), format!("{:?}", answer.headers).into_bytes()));
    }
    fn files(&mut self, what: &str, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.file_type().expect("a kind").is_dir() {
                true => self.files(what, &entry.path()),
                false => {
                    let name = format!("{} {what}", entry.path().display());
                    self.0.push((name.clone(), name.into_bytes()));
                    self.0.push((entry.path().display().to_string(), fs::read(entry.path()).expect("a file")));
                }
            }
        }
    }
}

/// The play: the cast, who listens, and every assertion that was sent.
pub struct Temptation<'a> {
    pub scene: &'a Scene,
    pub ear: Ear,
    pub jwts: Vec<String>,
    /// Codes that were made or presented on the way.
    pub codes: Vec<String>,
}

impl<'a> Temptation<'a> {
    /// Adds the role `desk` to the cast.
    pub fn new(scene: &'a Scene) -> Self {
        let desk = json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "rotator", "accounts": ["*"],
            "operations": ["store", "verify", "check", "outcome", "confirm", "transfer", "retrieve"], "require_reason": false,
        });
        let role = scene.try_administer(&format!("{MOUNT}/roles/desk"), &desk).expect("an answer");
        role.expect(204);
        Temptation { scene, ear: Ear::default(), jwts: Vec::new(), codes: Vec::new() }
    }
    fn body(&mut self, fields: Value) -> Value {
        let jwt = self.scene.automation();
        let mut body = json!({"role": "desk", "jwt": jwt});
        self.jwts.push(jwt);
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    }
    fn act(&mut self, base: &str, account: &str, fields: Value) -> Answer {
        let body = self.body(fields);
        self.scene.act(base, account, body)
    }
    /// An act whose answer carries no code.
    fn fine(&mut self, what: &str, base: &str, account: &str, fields: Value) -> Value {
        let answer = self.act(base, account, fields);
        self.ear.hear(what, answer).expect(200).data()
    }
    fn refused(&mut self, what: &str, base: &str, account: &str, fields: Value) {
        let answer = self.act(base, account, fields);
        let answer = self.ear.hear(what, answer);
        assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    }

    /// Every act, right and wrong. The canaries must be four and known to no account of `tempted/`.
    pub fn acts(&mut self, canaries: &[&str; 4]) {
        self.codes.extend(canaries.map(str::to_owned));
        self.issued();
        self.presented(canaries);
        self.moved(canaries);
        for query in ["", "?format=csv"] {
            for report in ["posture", "usage", "access"] {
                let answer = self.scene.read("report", &format!("{report}{query}"));
                let answer = self.ear.hear(&format!("report/{report}{query}"), answer).expect(200);
                assert!(
                    answer.text().contains("tempted/"),
                    "{report}{query} is about something else: {}",
                    answer.text()
                );
            }
        }
        for account in ["issued", "escrowed", "moved"] {
            for path in ["accounts", "history"] {
                let answer = self.scene.read(path, &format!("tempted/{account}"));
                self.ear.hear(&format!("{path} of {account}"), answer).expect(200);
            }
        }
    }
    /// A set that is made here and whose codes are presented.
    fn issued(&mut self) {
        let account = "tempted/issued";
        let ask = json!({"profile": "issued", "cas": 0, "idempotency_key": "made"});
        let answer = self.act("sets", account, ask.clone());
        self.ear.headers("an issued set", &answer);
        let codes: Vec<String> = serde_json::from_value(answer.expect(200).data()["codes"].clone()).unwrap();
        self.codes.extend(codes.iter().cloned());
        self.fine("the same set asked for again", "sets", account, ask);
        let wrong = "KANR-V0GE-7Q2X-WR0N";
        self.codes.push(wrong.to_owned());
        let lower = codes[1].to_lowercase();
        for (code, valid) in [(wrong, false), (&codes[0], true), (&codes[0], false), (&lower, true)] {
            let said = self.fine("verify", "verify", account, json!({"code": code, "reason": "at the desk"}));
            assert_eq!(said["valid"], valid, "{said}");
        }
        for _ in 0..2 {
            let again = json!({"code": codes[2], "idempotency_key": "thrice"});
            assert_eq!(self.fine("verify by key", "verify", account, again)["valid"], true);
        }
        for (what, base, fields) in [
            ("a code as a list", "verify", json!({"code": [codes[3]]})),
            ("a code as `idempotency_key`", "verify", json!({"code": codes[3], "idempotency_key": codes[3]})),
            ("a code as reason of verify", "verify", json!({"code": codes[3], "reason": codes[3]})),
            ("a code and no role", "verify", json!({"role": "nobody", "code": codes[3]})),
            ("two codes", "verify", json!({"code": format!("{}\n{}", codes[3], codes[4]).repeat(20)})),
            ("a code as the ticket of check", "check", json!({"code": codes[3], "ticket": codes[3]})),
            ("a code as an outcome", "outcome", json!({"slot": 1, "outcome": codes[3]})),
        ] {
            self.refused(what, base, account, fields);
        }
        assert_eq!(self.fine("check", "check", account, json!({"code": codes[3]}))["match"], true);
        assert_eq!(self.fine("check in vain", "check", account, json!({"code": wrong}))["match"], false);
    }
    /// What is said of codes that were given out, and of sets that ended.
    fn presented(&mut self, canaries: &[&str; 4]) {
        let account = "tempted/escrowed";
        let set = |codes: &[&str], cas: u64| json!({"codes": codes, "cas": cas, "bound_at": now() - 3_600});
        self.fine("a set", "sets", account, set(&canaries[..2], 0));
        let given = self.act("retrieve", account, json!({"reason": "phone lost"}));
        self.ear.headers("a code", &given);
        assert_eq!(given.expect(200).data()["code"], canaries[0]);
        for (what, base, fields) in [
            ("a code as note", "outcome", json!({"slot": 1, "outcome": "worked", "note": canaries[0]})),
            ("a code as slot", "outcome", json!({"slot": canaries[0], "outcome": "worked"})),
            ("a code as `outcome`", "outcome", json!({"slot": 1, "outcome": canaries[1]})),
        ] {
            self.refused(what, base, account, fields);
        }
        self.fine("an outcome", "outcome", account, json!({"slot": 1, "outcome": "refused", "note": "said: spent"}));
        let (reason, ticket) = (format!("not {}?", canaries[0]), canaries[0].to_lowercase());
        for texts in [json!({}), json!({"reason": reason}), json!({"ticket": ticket})] {
            let mut fields = json!({"code": canaries[1]});
            fields.as_object_mut().unwrap().extend(texts.as_object().unwrap().clone());
            assert_eq!(self.fine("check", "check", account, fields)["match"], true);
        }
        self.refused("confirm too early", "confirm", account, json!({"generation": 1, "note": "fine"}));
        self.fine("a newer set", "sets", account, set(&canaries[2..3], 1));
        let note = format!("{} is dead, I tried", canaries[1].to_lowercase());
        self.refused("a code as note of confirm", "confirm", account, json!({"generation": 1, "note": note}));
        self.refused("a code as generation", "confirm", account, json!({"generation": canaries[1]}));
        self.fine("confirm", "confirm", account, json!({"generation": 1, "note": "dead there, too"}));
    }
    /// An account that comes in from another mount with a code.
    fn moved(&mut self, canaries: &[&str; 4]) {
        let account = "tempted/moved";
        let parcel = |change: &dyn Fn(&mut Value)| {
            let mut parcel = scene::parcel(canaries[3], [7; 16]);
            change(&mut parcel);
            parcel
        };
        for (what, parcel) in [
            ("one code too many", parcel(&|it| it["codes"] = json!(canaries))),
            ("codes as an object", parcel(&|it| it["codes"] = json!({"list": canaries}))),
            ("a code as a key", parcel(&|it| it["fingerprint_keys"] = json!([canaries[0]]))),
            ("a code as the source", parcel(&|it| it["source"]["head"] = json!(canaries[0]))),
            ("a code as a time", parcel(&|it| it["state"]["bound_at"] = json!(canaries[2]))),
            ("a code as a state", parcel(&|it| it["state"]["sets"][0]["slots"][1]["state"] = json!(canaries[1]))),
            ("a code as a profile", parcel(&|it| it["state"]["profile"] = json!(canaries[2]))),
        ] {
            self.refused(&format!("transfer: {what}"), "transfer", account, parcel);
        }
        for unchanged in [false, true] {
            let said = self.fine("a transfer", "transfer", account, parcel(&|_| {}));
            assert_eq!((&said["unchanged"], &said["remaining"]), (&json!(unchanged), &json!(1)), "{said}");
        }
        let given = self.act("retrieve", account, json!({"reason": "phone lost"}));
        self.ear.headers("a code that came in", &given);
        assert_eq!(given.expect(200).data()["code"], canaries[3]);
    }

    /// The commands, as a person types them who has this token and a fresh home. `code` is the account's next one.
    pub fn commands(&mut self, url: &str, token: &str, account: &str, code: &str) {
        self.codes.push(code.to_owned());
        let home = tempfile::tempdir().expect("a home");
        let get = ["get", account, "--role", "desk", "--reason", "phone lost"];
        // Shown, and shown again by the key that is kept in a file.
        for form in [&["--json"][..], &[]] {
            let output = self.run(home.path(), url, token, &[&get, form].concat());
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(shown.replace(' ', "").contains(&code.replace(' ', "")), "{shown}");
            assert!(output.status.success(), "{output:?}");
            self.ear.0.push(("what `get` complained".to_owned(), output.stderr));
            self.ear.files("after `get`", home.path());
        }
        let kept = self.ear.0.iter().any(|(place, text)| place.contains("/sparekey/get/") && text.starts_with(b"{"));
        assert!(kept, "`get` keeps its key in a file: {:?}", self.ear.0.last());
        for (note, code) in [(code, 2), ("it let me in", 0)] {
            let output =
                self.run(home.path(), url, token, &["outcome", account, "worked", "--role", "desk", "--note", note]);
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            self.told("outcome", output);
        }
        let page = home.path().join("report.html").display().to_string();
        for report in ["posture", "usage", "access"] {
            for form in [&[][..], &["--json"], &["--csv"], &["--html", &page]] {
                let output = self.run(home.path(), url, token, &[&["report", report][..], form].concat());
                assert!(output.status.success(), "{output:?}");
                self.told(&format!("report {report} {form:?}"), output);
            }
            self.ear.files(&format!("after report {report}"), home.path());
        }
    }
    fn run(&mut self, home: &Path, url: &str, token: &str, line: &[&str]) -> Output {
        let jwt = self.scene.automation();
        let mut command = Command::new(BINARY);
        command.args(line).env_clear().env("HOME", home).env("BAO_ADDR", url).env("BAO_TOKEN", token);
        command.env("SPAREKEY_JWT", &jwt).current_dir(home).stdin(std::process::Stdio::null());
        self.jwts.push(jwt);
        command.output().expect("the command runs")
    }
    fn told(&mut self, what: &str, output: Output) {
        self.ear.0.push((format!("what `{what}` printed"), [output.stdout, output.stderr].concat()));
    }
}
