//! No code in passing or at rest: codes that are easy to recognise go through every operation, right and wrong, and are then
//! looked for in everything the server wrote or said, in every encoding in which they might hide.

mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use support::canary::{Search, disguises};
use support::http::{Answer, Client};
use support::scene::{AUDIENCE, ISSUER, Scene};
use support::server::{BINARY, MOUNT, Server, Setup};
use support::signer::{credential_change, now};
use support::temptation::{Ear, Temptation};

const CANARIES: [&str; 7] = [
    "Kanari-Vogel-7Q2X",
    "Kanari-Vogel-8R3Y",
    "Kanari-Vogel-9S4Z",
    "4815162342",
    "k4n4r1 v0g31 t3u0",
    "Kanari-Vogel-1A5W",
    "Kanari\"<2B6V>&\\4D8T",
];

/// Those that go through the other acts, and the one that a person asks for.
const TEMPTED: [&str; 4] = ["Zeisig-Vogel-1C7E", "9081726354", "z31 s1g v0g31 2f", "Zeisig\"<9H1J>&\\3K5L"];
const COMMANDED: &str = "Stieglitz-4M6N";

/// Where in `bytes` a canary stands, in words.
fn found(place: &str, bytes: &[u8]) -> Vec<String> {
    static SEARCH: OnceLock<Search> = OnceLock::new();
    SEARCH.get_or_init(|| Search::codes(&CANARIES)).found(place, bytes)
}

#[test]
fn the_search_finds_what_is_planted() {
    for code in CANARIES {
        for (what, needle) in disguises(code) {
            let planted = [b"line one\n{\"x\":\"".as_slice(), &needle, b"\"}\n"].concat();
            assert!(!found("here", &planted).is_empty(), "{code} {what} is not found");
        }
        for offset in 0..5 {
            let text = format!("{}{code}, and more", "x".repeat(offset));
            for encoded in [STANDARD_NO_PAD.encode(&text), URL_SAFE_NO_PAD.encode(&text), hex::encode(&text)] {
                assert!(!found("here", encoded.as_bytes()).is_empty(), "{code} at {offset} in {encoded}");
            }
        }
    }
    assert!(found("here", b"an innocent line about generation 1, slot 2").is_empty());
}

#[test]
fn no_code_is_ever_left_anywhere() {
    let mut server = Setup::default().log_level("trace").start();
    let mut ear = Ear::default();
    let scene = Scene::new(&server);
    let said = play(&server, &scene, &mut ear);
    let mut temptation = Temptation::new(&scene);
    temptation.acts(&TEMPTED);
    scene.store("tempted/person", &[COMMANDED.to_owned()], 0).expect(200);
    temptation.commands(&server.url(), server.root_token(), "tempted/person", COMMANDED);
    ear.0.append(&mut temptation.ear.0);
    ear.0.push(("what `sparekey import` printed".to_owned(), said.into_bytes()));
    let all = [&CANARIES.map(str::to_owned)[..], &temptation.codes].concat();
    assert!(all.len() > 20, "{} codes", all.len());
    let search = Search::codes(&all);

    // Nothing in the answers, nor in what the command line printed and left.
    let mut finds: Vec<String> = ear.0.iter().flat_map(|(what, bytes)| search.found(what, bytes)).collect();
    // Nothing in any file, while the server runs and after it has ended.
    for moment in ["running", "ended"] {
        if moment == "ended" {
            server.terminate();
        }
        for file in ["store.redb", "audit.log", "server.log", "sparekey.hcl"] {
            let bytes = fs::read(server.dir().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            finds.extend(search.found(&format!("{file} ({moment})"), &bytes));
        }
    }
    assert!(finds.is_empty(), "{finds:#?}");
    assert!(server.log().contains("listening"), "this is not the server's log: {}", server.log());
}

/// Takes the canaries through everything; returns what the command line printed.
fn play(server: &Server, scene: &Scene, ear: &mut Ear) -> String {
    let account = "okta/jane@example.com";
    let automation = |more: Value| {
        let mut body = json!({"role": "automation", "jwt": scene.automation()});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };

    // Imports that are refused: each tempts the server to repeat what it was given. (Names of accounts, roles and profiles
    // are names: who writes a code there is told that there is no such name.)
    for (what, fields) in [
        ("no such role", json!({"role": "nobody", "codes": CANARIES})),
        ("no assertion", json!({"jwt": "", "codes": CANARIES})),
        ("wrong cas", json!({"codes": CANARIES, "cas": 9})),
        ("cas that is a code", json!({"codes": CANARIES, "cas": CANARIES[0]})),
        ("a code twice", json!({"codes": [CANARIES[0], CANARIES[0].to_lowercase()]})),
        ("an empty code", json!({"codes": [CANARIES[0], ""]})),
        ("a code too long", json!({"codes": [CANARIES[0].repeat(40)]})),
        ("codes as an object", json!({"codes": {"list": CANARIES}})),
        ("codes nested", json!({"codes": [CANARIES]})),
        ("a code as a number", json!({"codes": [4_815_162_342_u64]})),
        ("a code as `used`", json!({"codes": CANARIES, "used": CANARIES})),
        ("a code as `bound_at`", json!({"codes": CANARIES, "bound_at": CANARIES[1]})),
        ("a code as `enrollment`", json!({"codes": CANARIES, "enrollment": CANARIES[1]})),
        ("a code as `jwt`", json!({"jwt": CANARIES[1], "codes": CANARIES})),
    ] {
        let answer = ear.hear(what, scene.act("sets", account, automation(fields)));
        assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    }
    let raw = scene.automation();
    for (what, body) in [
        ("broken JSON", format!("{{\"jwt\": \"{raw}\", \"codes\": [\"{}\", \"{}", CANARIES[0], CANARIES[1])),
        ("a bare string", format!("\"{}\"", CANARIES[0])),
        ("a list", format!("[\"{}\"]", CANARIES[0])),
        ("no JSON at all", CANARIES.join("\n")),
        ("a form", format!("role=automation&jwt={raw}&codes={}&cas=9", CANARIES[0])),
    ] {
        let path = format!("{MOUNT}/sets/{account}");
        let answer = ear.hear(what, server.client().send("POST", &path, Some(body.as_bytes())));
        assert!((400..500).contains(&answer.status), "{what}: {} {}", answer.status, answer.text());
    }
    let long = format!("{{\"codes\": [\"{}\"], \"pad\": \"{}\"}}", CANARIES[0], "x".repeat(2 << 20));
    ear.hear(
        "too long a body",
        server.client().send("POST", &format!("{MOUNT}/sets/{account}"), Some(long.as_bytes())),
    )
    .expect(413);

    // The import, again, and once more from a file.
    for field in ["idempotency_key", "custody"] {
        let fields = json!({"codes": CANARIES, "cas": 0, field: CANARIES[5]});
        ear.hear(&format!("a code as `{field}`"), scene.act("sets", account, automation(fields))).expect(400);
    }
    let stored = json!({"codes": CANARIES, "cas": 0, "idempotency_key": "monday", "custody": "nobody else"});
    ear.hear("the import", scene.act("sets", account, automation(stored))).expect(200);
    ear.hear("the import again", scene.act("sets", account, automation(json!({"codes": CANARIES, "cas": 1}))))
        .expect(400);
    let said = import(server, scene, &CANARIES.join("\n"));

    // Free text that holds a code, in any spelling.
    let ask = |more: Value| {
        let mut body = scene.request("alice");
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (what, fields) in [
        ("a code as reason", json!({"reason": format!("used {} already", CANARIES[0])})),
        ("a code as ticket", json!({"ticket": CANARIES[1].to_lowercase().replace('-', " ")})),
        ("a code as idempotency key", json!({"idempotency_key": CANARIES[4]})),
        ("a code as slot", json!({"slot": CANARIES[0]})),
        ("no such slot", json!({"slot": 77})),
    ] {
        ear.hear(what, scene.act("retrieve", account, ask(fields))).expect(400);
    }
    let reason = json!({"reason": format!("it was {}", CANARIES[2].to_uppercase())});
    ear.hear("a code as reason of revoke", scene.act("revoke", account, automation(reason))).expect(400);
    let labels = json!({"labels": {"note": CANARIES[0]}});
    ear.hear("a code as label", server.root().write(&format!("{MOUNT}/accounts/{account}"), &labels)).expect(400);

    // Codes leave: bare, repeated, wrapped. These answers carry one; their headers do not.
    let code = |answer: Answer, slot: usize| {
        assert_eq!(answer.clone().expect(200).data()["code"], CANARIES[slot - 1]);
        answer.headers
    };
    let body = ask(json!({"idempotency_key": "tuesday"}));
    code(scene.act("retrieve", account, body.clone()), 1);
    code(scene.act("retrieve", account, body.clone()), 1);
    let mut other = body.clone();
    other["reason"] = json!("another reason");
    ear.hear("another request under the same key", scene.act("retrieve", account, other)).expect(400);
    ear.hear("the same assertion again", {
        let mut body = body;
        body["idempotency_key"] = json!("another");
        scene.act("retrieve", account, body)
    })
    .expect(403);
    let wrapping = Client::new(server.address()).header("X-Vault-Wrap-TTL", "60s");
    let wrapped = wrapping.write(&format!("{MOUNT}/retrieve/{account}"), &ask(json!({})));
    let token = ear.hear("a wrapped retrieve", wrapped).expect(200).json()["wrap_info"]["token"].clone();
    ear.hear("the lookup of a wrap", server.root().write("sys/wrapping/lookup", &json!({"token": token}))).expect(200);
    code(server.root().write("sys/wrapping/unwrap", &json!({"token": token})), 2);
    ear.hear("a second unwrap", server.root().write("sys/wrapping/unwrap", &json!({"token": token}))).expect(400);

    // Events with codes in their texts, good ones and bad ones.
    let subject = json!({"format": "email", "email": "jane@example.com"});
    let mut event = credential_change(ISSUER, AUDIENCE, &subject, now());
    let inner = &mut event["events"]["https://schemas.openid.net/secevent/caep/event-type/credential-change"];
    inner["friendly_name"] = json!(CANARIES[3]);
    inner["reason_admin"] = json!({"en": CANARIES[2]});
    ear.hear("an event that is no token", scene.push(CANARIES[0])).expect(400);
    ear.hear("an event with codes in it", scene.push(&scene.signer.set(&event))).expect(202);

    // The set is dead; all that can be read.
    ear.hear("a retrieve after the event", scene.act("retrieve", account, ask(json!({})))).expect(400);
    for path in ["accounts", "history"] {
        ear.hear(path, scene.read(path, account)).expect(200);
    }
    for path in ["config", "config/history", "roles/on-call", "issuers/idp", "sources/idp", "profiles/escrowed"] {
        ear.hear(path, server.root().read(&format!("{MOUNT}/{path}"))).expect(200);
    }
    ear.hear("metrics", server.root().read("sys/metrics"));
    ear.hear("health", server.client().read("sys/health")).expect(200);
    said
}

/// `sparekey import` of a file that the server refuses (every code is known), and of one that makes no sense.
fn import(server: &Server, scene: &Scene, text: &str) -> String {
    let mut said = String::new();
    fs::write(server.dir().join("import.jwt"), scene.automation()).expect("a file");
    for (name, text) in [("codes.txt", text.to_string()), ("odd.txt", format!("{text}\n\n= ??? {text} {text}\n"))] {
        let codes = tempfile::NamedTempFile::new().expect("a file outside the server's folder");
        fs::write(codes.path(), text).expect("a file");
        let output = Command::new(BINARY)
            .args(["import", "okta/jane@example.com"])
            .arg(codes.path())
            .args(["--role", "automation", "--jwt-file"])
            .arg(server.dir().join("import.jwt"))
            .env("BAO_ADDR", server.url())
            .env("HOME", server.dir())
            .stdin(Stdio::null())
            .output()
            .expect("the binary starts");
        assert!(!output.status.success(), "{name} was imported: {output:?}");
        said.push_str(&String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    }
    said
}
