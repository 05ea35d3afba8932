//! No code and no assertion is left with the host: everything is played, right and wrong, and then all files of the host are searched.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::canary::Search;
use crate::support::http::Answer;
use crate::support::scene::{AUDIENCE, ISSUER, Scene};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, claims, credential_change, now};
use crate::support::temptation::Temptation;
use crate::support::vault::Vault;

const CANARIES: [&str; 6] = [
    "Kanari-Vogel-7Q2X",
    "Kanari-Vogel-8R3Y",
    "4815162342",
    "k4n4r1 v0g31 t3u0",
    "Kanari\"<2B6V>&\\4D8T",
    "Kanari-Vogel-1A5W",
];
const ACCOUNT: &str = "okta/jane@example.com";

/// The host, the cast, and every secret that was sent or received.
struct Play<'a> {
    vault: &'a Vault,
    scene: Scene,
    jwts: Vec<String>,
    codes: Vec<String>,
}

impl Play<'_> {
    /// A fresh assertion, remembered.
    fn jwt(&mut self, subject: &str) -> String {
        let mut claims = claims(ISSUER, subject, AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        let jwt = self.scene.signer.jwt(&claims);
        self.jwts.push(jwt.clone());
        jwt
    }
    /// An act with a fresh assertion, unless `fields` has one.
    fn act(&mut self, path: &str, role: &str, fields: Value) -> Answer {
        let mut body = json!({"role": role, "jwt": self.jwt(if role == "on-call" { "alice" } else { "rotator" })});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.vault.root().write(&format!("{MOUNT}/{path}"), &body)
    }
    /// An act that is refused.
    fn refused(&mut self, what: &str, path: &str, role: &str, fields: Value) {
        let answer = self.act(path, role, fields);
        assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    }

    fn everything(&mut self) {
        self.imports();
        self.retrievals();
        self.issued();
        self.events();
        for path in ["accounts/okta/jane@example.com", "history/okta/jane@example.com", "config/history", "roles/desk"]
        {
            self.vault.root().read(&format!("{MOUNT}/{path}")).expect(200);
        }
    }
    /// Imports: those that are refused tempt the host and the plugin to repeat what they were given.
    fn imports(&mut self) {
        let sets = format!("sets/{ACCOUNT}");
        for (what, role, fields) in [
            ("no such role", "nobody", json!({"codes": CANARIES})),
            ("wrong cas", "automation", json!({"codes": CANARIES, "cas": 9})),
            ("a code twice", "automation", json!({"codes": [CANARIES[0], CANARIES[0].to_lowercase()]})),
            ("a code too long", "automation", json!({"codes": [CANARIES[0].repeat(40)]})),
            ("codes as an object", "automation", json!({"codes": {"list": CANARIES}})),
            ("codes nested", "automation", json!({"codes": [CANARIES]})),
            ("a code as `bound_at`", "automation", json!({"codes": CANARIES, "bound_at": CANARIES[1]})),
            ("a code as `cas`", "automation", json!({"codes": CANARIES, "cas": CANARIES[0]})),
            ("a code as `jwt`", "automation", json!({"jwt": CANARIES[1], "codes": CANARIES})),
            ("a code as `custody`", "automation", json!({"codes": CANARIES, "custody": CANARIES[5]})),
        ] {
            self.refused(what, &sets, role, fields);
        }
        let jwt = self.jwt("rotator");
        for (what, body) in [
            ("broken JSON", format!("{{\"jwt\": \"{jwt}\", \"codes\": [\"{}\", \"{}", CANARIES[0], CANARIES[1])),
            ("a list", format!("[\"{}\"]", CANARIES[0])),
            ("no JSON at all", CANARIES.join("\n")),
            ("a form", format!("role=automation&jwt={jwt}&codes={}&cas=9", CANARIES[0])),
            ("too long", json!({"jwt": jwt, "codes": CANARIES, "pad": "x".repeat(2 << 20)}).to_string()),
        ] {
            let answer = self.vault.root().send("POST", &format!("{MOUNT}/{sets}"), Some(body.as_bytes()));
            assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
        }
        let set = json!({"codes": CANARIES, "cas": 0, "bound_at": now() - 3_600, "custody": "nobody else"});
        self.act(&sets, "automation", set).expect(200);
        self.refused("the same again", &sets, "automation", json!({"codes": CANARIES, "cas": 1}));
        self.codes.extend(CANARIES.map(str::to_owned));
    }
    fn retrievals(&mut self) {
        let retrieve = format!("retrieve/{ACCOUNT}");
        for (what, fields) in [
            ("a code as reason", json!({"reason": format!("used {} already", CANARIES[0])})),
            ("a code as ticket", json!({"reason": "x", "ticket": CANARIES[1].to_lowercase().replace('-', " ")})),
            ("a code as idempotency key", json!({"reason": "x", "idempotency_key": CANARIES[3]})),
            ("a code as slot", json!({"reason": "x", "slot": CANARIES[0]})),
            ("a code as jwt", json!({"reason": "x", "jwt": CANARIES[0]})),
        ] {
            self.refused(what, &retrieve, "on-call", fields);
        }
        // Without a policy: the host refuses, and we never hear of it.
        let body = json!({"role": "on-call", "jwt": self.jwt("alice"), "reason": CANARIES[0]});
        self.vault.client().write(&format!("{MOUNT}/{retrieve}"), &body).expect(403);
        // Codes leave: bare, repeated, wrapped.
        let again = json!({"reason": "locked out", "idempotency_key": "monday"});
        for _ in 0..2 {
            let answer = self.act(&retrieve, "on-call", again.clone()).expect(200);
            assert_eq!(answer.data()["code"], CANARIES[0]);
        }
        let wrapping = self.vault.root().header("X-Vault-Wrap-TTL", "60s");
        for opened in [true, false] {
            let body = json!({"role": "on-call", "jwt": self.jwt("bob"), "reason": "locked out"});
            let wrapped = wrapping.write(&format!("{MOUNT}/{retrieve}"), &body).expect(200).json();
            if opened {
                let token = json!({"token": wrapped["wrap_info"]["token"]});
                let answer = self.vault.root().write("sys/wrapping/unwrap", &token).expect(200);
                assert_eq!(answer.data()["code"], CANARIES[1]);
            }
        }
        let outcome = json!({"generation": 1, "slot": 1, "outcome": "worked", "note": "fine"});
        self.act(&format!("outcome/{ACCOUNT}"), "desk", outcome.clone()).expect(200);
        let mut noted = outcome;
        noted["note"] = json!(format!("it was {}", CANARIES[0]));
        self.refused("a code as note", &format!("outcome/{ACCOUNT}"), "desk", noted);
        let known = self.act(&format!("check/{ACCOUNT}"), "desk", json!({"code": CANARIES[5]})).expect(200).data();
        assert_eq!(known["match"], true, "{known}");
    }
    /// A set that is made here: its codes are canaries, too, and so is what is presented in vain.
    fn issued(&mut self) {
        let made = self.act("sets/desk/jane", "desk", json!({"profile": "issued", "cas": 0})).expect(200).data();
        let codes: Vec<String> = serde_json::from_value(made["codes"].clone()).unwrap();
        assert_eq!(codes.len(), 10);
        let wrong = "KANR-V0GE-7Q2X-WR0N";
        for (code, valid) in [(wrong, false), (&codes[0], true), (&codes[0], false)] {
            let answer = self.act("verify/desk/jane", "desk", json!({"code": code})).expect(200);
            assert_eq!(answer.data()["valid"], valid, "{}", answer.text());
        }
        self.refused("a code as a list", "verify/desk/jane", "desk", json!({"code": [codes[1]]}));
        self.refused("a code and no role", "verify/desk/jane", "nobody", json!({"code": codes[1]}));
        let wrapping = self.vault.root().header("X-Vault-Wrap-TTL", "60s");
        let body = json!({"role": "desk", "jwt": self.jwt("rotator"), "cas": 1});
        let wrapped = wrapping.write(&format!("{MOUNT}/sets/desk/jane"), &body).expect(200).json();
        let token = wrapped["wrap_info"]["token"].as_str().expect("a wrapping token");
        let more = self.vault.root().write("sys/wrapping/unwrap", &json!({"token": token})).expect(200).data();
        self.codes.extend(serde_json::from_value::<Vec<String>>(more["codes"].clone()).unwrap());
        self.codes.extend(codes);
        self.codes.push(wrong.to_owned());
    }
    fn events(&mut self) {
        let subject = json!({"format": "email", "email": "jane@example.com"});
        let mut event = credential_change(ISSUER, AUDIENCE, &subject, now());
        let inner = &mut event["events"]["https://schemas.openid.net/secevent/caep/event-type/credential-change"];
        inner["friendly_name"] = json!(CANARIES[2]);
        inner["reason_admin"] = json!({"en": CANARIES[4]});
        for (set, status) in [(self.scene.signer.set(&event), 202), (CANARIES[0].to_owned(), 400)] {
            let answer = self.vault.client().write(&format!("{MOUNT}/events/idp"), &json!({"set": set}));
            assert_eq!(answer.status, status, "{}", answer.text());
            self.jwts.push(set);
        }
        self.jwts.pop();
        self.refused("after the event", &format!("retrieve/{ACCOUNT}"), "on-call", json!({"reason": "late"}));
    }
}

/// Every file of the host but the plugin itself.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries
        .flat_map(|entry| match entry.file_type().unwrap() {
            kind if kind.is_dir() && entry.file_name() != "plugins" => files(&entry.path()),
            kind if kind.is_file() => vec![entry.path()],
            _ => Vec::new(),
        })
        .collect()
}

/// Where in the host's files a secret stands; and that the files are those that are meant.
fn finds(vault: &Vault, search: &Search) -> Vec<String> {
    let files = files(vault.dir());
    for name in ["audit.log", "server.log", "raft/vault.db", "raft/raft/raft.db"] {
        let file = files.iter().find(|file| file.ends_with(name)).unwrap_or_else(|| panic!("no {name}: {files:?}"));
        assert!(fs::metadata(file).unwrap().len() > 10_000, "{name} is nearly empty");
    }
    let of = |file: &PathBuf| {
        let place = file.strip_prefix(vault.dir()).unwrap().display().to_string();
        search.found(&place, &fs::read(file).unwrap())
    };
    files.iter().flat_map(of).collect()
}

#[test]
fn no_code_and_no_assertion_is_left_with_the_host() {
    let mut vault = Vault::mounted();
    // The host says as much as it can, and with it the plugin's standard error, which goes to the host's log.
    vault.tell_all();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("idp-1"));
    let desk = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "rotator", "accounts": ["*"],
        "operations": ["store", "verify", "check", "outcome", "confirm"],
    });
    vault.root().write(&format!("{MOUNT}/roles/desk"), &desk).expect(204);
    let mut play = Play { vault: &vault, scene, jwts: Vec::new(), codes: Vec::new() };
    play.everything();
    let mut temptation = Temptation::new(&play.scene);
    temptation.acts(&["Zeisig-Vogel-1C7E", "9081726354", "z31 s1g v0g31 2f", "Zeisig\"<9H1J>&\\3K5L"]);
    play.scene.store("tempted/person", &["Stieglitz-4M6N".to_owned()], 0).expect(200);
    temptation.commands(&vault.url(), vault.root_token(), "tempted/person", "Stieglitz-4M6N");
    let said = temptation.ear;
    let (codes, jwts) = ([play.codes, temptation.codes].concat(), [play.jwts, temptation.jwts].concat());
    assert!(codes.len() > 15 && jwts.len() > 30, "{} codes, {} assertions", codes.len(), jwts.len());
    let search = Search::codes(&codes).and_jwts(&jwts);
    let heard: Vec<String> = said.0.iter().flat_map(|(what, bytes)| search.found(what, bytes)).collect();
    assert_eq!(heard, Vec::<String>::new());
    assert!(vault.log().contains("[TRACE]"), "the host does not say all");
    assert_eq!(finds(&vault, &search), Vec::<String>::new(), "while it runs");
    // The same search finds a code that the host itself writes down, for one, as part of a path.
    vault.root().read(&format!("sys/internal/ui/mounts/{}", CANARIES[5]));
    let found = finds(&vault, &search);
    assert!(!found.is_empty() && found.iter().all(|find| find.contains("audit.log")), "{found:?}");
    vault.kill();
    planted(&vault, &search, &codes, &jwts);
}

/// What is put into each kind of file is found there.
fn planted(vault: &Vault, search: &Search, codes: &[String], jwts: &[String]) {
    for (file, text) in [
        ("server.log", json!({"data": json!({"code": codes[4]}).to_string()}).to_string()),
        ("raft/raft/raft.db", STANDARD.encode(format!("x{}", codes[0]))),
        ("raft/vault.db", hex::encode(jwts[3].split('.').nth(2).unwrap())),
        ("audit.log", jwts[7].clone()),
    ] {
        let path = vault.dir().join(file);
        fs::write(&path, [fs::read(&path).unwrap(), text.into_bytes()].concat()).unwrap();
        let found = finds(vault, search);
        assert!(found.iter().any(|find| find.ends_with(file)), "what was planted in {file} is not found: {found:?}");
    }
}
