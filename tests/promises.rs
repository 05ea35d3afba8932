//! The promises of the README, each held by a test of its own name, against the built server. Broken on purpose by the
//! patches under `tests/broken/`. (No plaintext anywhere: `tests/canary.rs`. Nothing acknowledged is lost: `tests/kill.rs`.)

mod support;

use std::fs;
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};

use support::http::Client;
use support::scene::{AUDIENCE, ISSUER, Scene, codes};
use support::server::{BINARY, MOUNT, Server};
use support::signer::{Signer, claims, credential_change, now, unsigned};

/// 1. Once.
#[test]
fn one_code_goes_to_one_of_many_callers() {
    let server = Server::start();
    let scene = Scene::new(&server);
    for round in 0..4 {
        let account = format!("github/owner-{round}");
        scene.store(&account, &codes(round, 1), 0).expect(200);
        let start = Barrier::new(32);
        let bodies: Vec<Value> = (0..32).map(|caller| scene.request(&format!("admin-{caller}"))).collect();
        let answers: Vec<_> = thread::scope(|scope| {
            let callers: Vec<_> = bodies
                .into_iter()
                .map(|body| {
                    let (scene, account, start) = (&scene, &account, &start);
                    scope.spawn(move || {
                        start.wait();
                        scene.act("retrieve", account, body)
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().expect("a caller does not panic")).collect()
        });
        let lucky = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(lucky, 1, "one code was handed out {lucky} times");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            let text = answer.text();
            assert!(matches!(answer.status, 400 | 503), "{}: {text}", answer.status);
            assert!(!text.contains(&codes(round, 1)[0]), "a refusal shows the code: {text}");
        }
    }
}

/// 2. Burn, record, reveal.
#[test]
fn no_code_is_revealed_without_a_record() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let account = "github/owner";
    scene.store(account, &codes(1, 3), 0).expect(200);
    scene.retrieve(account, "alice").expect(200);

    // The device is gone: no record can be kept, so nothing is revealed. What needs no record goes on.
    fs::remove_file(server.audit()).expect("the audit file is removed");
    let answer = scene.retrieve(account, "bob");
    assert!(answer.status >= 500, "revealed without a record: {}", answer.status);
    for code in codes(1, 3) {
        assert!(!answer.text().contains(&code), "revealed without a record: {}", answer.text());
    }
    server.client().read("sys/health").expect(200);

    // The operator mends it; what was handed out meanwhile, if anything, is in the record.
    server.signal(rustix::process::Signal::HUP);
    let mut seen = Vec::new();
    for caller in 0..400 {
        let answer = scene.retrieve(account, &format!("carol-{caller}"));
        match answer.status {
            200 => seen.push(answer.data()["slot"].as_u64().expect("a slot")),
            400 => break,
            _ => thread::sleep(std::time::Duration::from_millis(25)),
        }
    }
    assert!(!seen.is_empty() && seen.is_sorted() && !seen.contains(&1), "after the reopening: {seen:?}");
    let record = fs::read_to_string(server.audit()).expect("a new audit file");
    for slot in seen {
        assert!(record.contains(&format!("\"slot\":{slot}")), "slot {slot} is not in the audit");
    }
}

/// 3. Re-enrollment ends the past.
#[test]
fn a_re_enrollment_ends_the_past_and_only_the_past() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let (account, email) = ("okta/jane@example.com", "jane@example.com");
    scene.store(account, &codes(1, 4), 0).expect(200);
    scene.retrieve(account, "alice").expect(200);
    let wrapping = Client::new(server.address()).header("X-Vault-Wrap-TTL", "60s");
    let wrapped = wrapping.write(&format!("{MOUNT}/retrieve/{account}"), &scene.request("bob")).expect(200).json();

    // The event counts once it is acknowledged: bare, wrapped and repeated, nothing of the old set comes out.
    let subject = json!({"format": "email", "email": email});
    let event = |at| scene.signer.set(&credential_change(ISSUER, AUDIENCE, &subject, at));
    let again = event(now());
    scene.push(&again).expect(202);
    let answer = scene.retrieve(account, "carol");
    assert_eq!(answer.status, 400, "the old set still gives codes: {}", answer.text());
    let unwrap = server.root().write("sys/wrapping/unwrap", &json!({"token": wrapped["wrap_info"]["token"]}));
    assert_eq!(unwrap.status, 400, "the old wrap still opens: {}", unwrap.text());

    // Codes fetched from the provider before must not come back; fresh ones, bound to the enrollment, live.
    let bare = json!({"role": "automation", "jwt": scene.automation(), "codes": codes(2, 4), "cas": 1});
    scene.act("sets", account, bare).expect(400);
    scene.store(account, &codes(2, 4), 1).expect(400);
    let number = scene.read("accounts", account).expect(200).data()["enrollment"]["number"].clone();
    let body = json!({
        "role": "automation", "jwt": scene.automation(), "codes": codes(3, 4), "cas": 1, "enrollment": number,
    });
    scene.act("sets", account, body).expect(200);
    scene.retrieve(account, "dave").expect(200);

    // The same event again, and a late one, change nothing.
    scene.push(&again).expect(202);
    scene.push(&event(now() - 3_600)).expect(202);
    let answer = scene.retrieve(account, "erin");
    assert_eq!(answer.status, 200, "a late event ended a newer set: {}", answer.text());
}

/// 4. Nothing without an assertion.
#[test]
fn nothing_leaves_without_an_assertion_that_a_role_accepts() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let account = "github/owner";
    scene.store(account, &codes(1, 3), 0).expect(200);

    let good = || {
        let mut claims = claims(ISSUER, "mallory", AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        claims
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = good();
        change(&mut claims);
        scene.signer.jwt(&claims)
    };
    let stranger = Signer::es256("idp-1");
    let wrong = [
        ("none at all", String::new()),
        ("no token", "nonsense".into()),
        ("unsigned", unsigned(&good())),
        ("another's key", stranger.jwt(&good())),
        ("another audience", with(&|claims| claims["aud"] = json!("https://elsewhere.example.com/"))),
        ("another issuer", with(&|claims| claims["iss"] = json!("https://other.example.com/"))),
        ("expired", with(&|claims| claims["exp"] = json!(now() - 600))),
        ("no expiry", with(&|claims| drop(claims.as_object_mut().map(|map| map.remove("exp"))))),
        ("not yet valid", with(&|claims| claims["nbf"] = json!(now() + 600))),
        ("from the future", with(&|claims| claims["iat"] = json!(now() + 600))),
        ("too old", with(&|claims| claims["iat"] = json!(now() - 3_600))),
        ("without the bound claim", with(&|claims| drop(claims.as_object_mut().map(|map| map.remove("groups"))))),
        ("another group", with(&|claims| claims["groups"] = json!(["everybody"]))),
        ("an event as an assertion", scene.signer.set(&good())),
        ("another role's", scene.automation()),
    ];
    for (what, jwt) in wrong {
        for (who, client) in [("nobody", server.client()), ("root", server.root())] {
            let body = json!({"role": "on-call", "jwt": jwt, "reason": "locked out"});
            let answer = client.write(&format!("{MOUNT}/retrieve/{account}"), &body);
            assert_eq!(answer.status, 403, "{what}, asked by {who}: {}", answer.text());
        }
    }
    // A role that may not retrieve, and one that does not exist.
    for role in ["automation", "nobody"] {
        let body = json!({"role": role, "jwt": with(&|_| {}), "reason": "locked out"});
        let answer = server.root().write(&format!("{MOUNT}/retrieve/{account}"), &body);
        assert_eq!(answer.status, 403, "role {role}: {}", answer.text());
    }
    let before = scene.read("accounts", account).expect(200).data();
    assert_eq!(before["remaining"], 3, "a refused request burnt a code");
    scene.retrieve(account, "alice").expect(200);
}

/// 8. The record speaks.
#[test]
fn an_altered_audit_file_is_noticed() {
    let mut server = Server::start();
    let scene = Scene::new(&server);
    scene.store("github/owner", &codes(1, 5), 0).expect(200);
    for caller in 0..5 {
        scene.retrieve("github/owner", &format!("admin-{caller}")).expect(200);
    }
    server.terminate();
    let file = fs::read_to_string(server.audit()).expect("the audit file");
    let lines: Vec<&str> = file.lines().collect();
    let verify = |lines: &[String]| {
        let copy = server.dir().join("copy.log");
        fs::write(&copy, lines.join("\n") + "\n").expect("a copy");
        Command::new(BINARY).args(["audit", "verify"]).arg(&copy).output().expect("the binary starts")
    };
    let own = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| (*line).to_string()).collect() };
    let untouched = verify(&own(&lines));
    assert!(untouched.status.success(), "untouched: {untouched:?}");

    let retrieval = lines.iter().position(|line| line.contains("retrieve/github")).expect("a retrieval");
    let dropped: Vec<&str> = [&lines[..retrieval], &lines[retrieval + 1..]].concat();
    let mut swapped = lines.clone();
    swapped.swap(retrieval, retrieval + 1);
    let mut altered = own(&lines);
    altered[retrieval] = altered[retrieval].replace("github/owner", "github/other");
    for (what, lines) in [("dropped", own(&dropped)), ("swapped", own(&swapped)), ("altered", altered)] {
        assert!(!verify(&lines).status.success(), "a line was {what} and nobody noticed");
    }
}
