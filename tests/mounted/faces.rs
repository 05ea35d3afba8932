//! Both faces, asked the same, answer the same: every operation of every path of the table, with good requests and with every
//! field of every write wrong in several ways. What differs stands in [`same`], each with its reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sparekey::engine::paths::{Path, TABLE, Variable};
use sparekey::engine::request::Operation;
use sparekey::engine::schema::Field;

use crate::support::http::{Answer, Client};
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes, moving_in};
use crate::support::server::{MOUNT, Setup};
use crate::support::signer::{Signer, claims, credential_change, now};
use crate::support::vault::Vault;

/// The two faces with the same set-up.
struct Faces {
    standalone: Client,
    mounted: Client,
    asked: usize,
    statuses: BTreeMap<u16, usize>,
    differences: String,
}

impl Faces {
    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) {
        let bytes = body.map(|body| body.to_string().into_bytes());
        let full = format!("{MOUNT}/{path}");
        let [ours, theirs] = [&self.standalone, &self.mounted].map(|face| face.send(method, &full, bytes.as_deref()));
        self.asked += 1;
        *self.statuses.entry(theirs.status).or_default() += 1;
        let (left, right) = (same(&ours), same(&theirs));
        if left != right {
            let body = body.map(Value::to_string).unwrap_or_default();
            let _ =
                writeln!(self.differences, "{method} {path} {body:.300}\n  standalone: {left}\n  mounted:    {right}");
        }
    }
}

/// An answer without what may differ.
fn same(answer: &Answer) -> String {
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_else(|_| json!(answer.text()));
    let mut seen = BTreeMap::new();
    for name in
        ["data", "errors", "warnings", "lease_id", "lease_duration", "renewable", "wrap_info", "err", "description"]
    {
        if let Some(value) = body.get(name) {
            seen.insert(name, common(name, value));
        }
    }
    format!("{} {}", answer.status, serde_json::to_string(&seen).unwrap())
}

fn common(name: &str, value: &Value) -> Value {
    match value {
        // A vault lists some errors of its plugins instead of showing the sentence alone.
        Value::String(text) if name == "errors" => {
            let plain = text.strip_prefix("1 error occurred:\n\t* ").and_then(|rest| rest.strip_suffix("\n\n"));
            // Each request has an id of its own, and came at a time of its own.
            let plain = plain.unwrap_or(text).split(" (request ").next().unwrap_or_default();
            json!(plain.split_once(" try again in ").map_or(plain, |(why, _)| why))
        }
        Value::String(text) => match name {
            // The faces name themselves, and who is let through; each mount and each record has random parts.
            "face" | "mount_id" | "hash" | "head" | "request_id" | "accessor" => json!(name),
            // Codes that were made here are random; how they look is the profile's.
            "codes" => json!(text.split('-').map(str::len).collect::<Vec<_>>()),
            // Times are those of each server.
            _ => json!(
                text.split(' ').map(|word| if is_time(word) { "TIME" } else { word }).collect::<Vec<_>>().join(" ")
            ),
        },
        Value::Array(items) => items.iter().map(|item| common(name, item)).collect(),
        Value::Object(map) => map
            .iter()
            // Only a vault has tokens' accessors and entities to tell of.
            .filter(|(name, _)| !matches!(name.as_str(), "accessor" | "entity"))
            .map(|(name, value)| (name.clone(), common(name, value)))
            .collect(),
        other => other.clone(),
    }
}

fn is_time(word: &str) -> bool {
    word.len() == 24 && word.ends_with('Z') && word.as_bytes()[10] == b'T'
}

/// Values that are wrong for most fields, or odd.
fn odd_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(""),
        json!("x"),
        json!("Ä/../*"),
        json!("y".repeat(600)),
        json!(-1),
        json!(1.5),
        json!(99_999_999_999_u64),
        json!(true),
        json!([]),
        json!(["a", 1]),
        json!({}),
        json!({"a": {"b": []}}),
    ]
}

/// What a write of this path needs so that one wrong field is the only thing wrong.
fn right(prefix: &str, signer: &Signer) -> Value {
    let assertion = |subject: &str| {
        let mut claims = claims(ISSUER, subject, AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        signer.jwt(&claims)
    };
    match prefix {
        "issuers" => json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]}),
        "roles" => json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "x", "accounts": ["*"],
            "operations": ["retrieve"],
        }),
        "sources" => json!({
            "type": "caep", "issuer": "idp", "bound_audiences": [AUDIENCE], "account_template": "okta/{{email}}",
        }),
        "sets" => json!({"role": "automation", "jwt": assertion("rotator"), "codes": ["aaaa-0001", "aaaa-0002"]}),
        "transfer" => {
            let mut body = moving_in();
            body["role"] = json!("automation");
            body["jwt"] = json!(assertion("rotator"));
            body
        }
        "retrieve" => json!({"role": "on-call", "jwt": assertion("alice"), "reason": "locked out"}),
        "enroll" | "revoke" | "release" | "confirm" => {
            json!({"role": "automation", "jwt": assertion("rotator"), "reason": "because"})
        }
        "outcome" => json!({"role": "automation", "jwt": assertion("rotator"), "slot": 1, "outcome": "worked"}),
        "verify" | "check" => json!({"role": "automation", "jwt": assertion("rotator"), "code": "zzzz-9999"}),
        _ => json!({}),
    }
}

/// Names that a variable may get, good and bad.
fn names(path: &Path) -> Vec<&'static str> {
    match path.variable {
        Variable::None => vec![""],
        Variable::Name(_) => vec!["/probe", "/idp", "/Probe", "/a.b", "/no%20blank", "/-", "/a/b"],
        Variable::Rest(_) => {
            vec!["/probe", "/github/acme", "/a/b/c@d.e", "/Probe", "/no%20blank", "/x*", "/a..b", "/ü", ""]
        }
    }
}

#[test]
fn every_operation_of_every_path_answers_the_same() {
    // As little is kept outside the storage as in a mount.
    let server = Setup::default().extra("anchor \"none\" {}").start();
    let vault = Vault::mounted();
    let signer = Signer::es256("k");
    for root in [server.root(), vault.root()] {
        let scene = Scene::with(root.clone(), root.clone(), signer.clone());
        let role = json!({"operations": [
            "store", "outcome", "verify", "check", "enroll", "revoke", "release", "confirm", "transfer", "read", "list",
            "history",
        ]});
        root.write(&format!("{MOUNT}/roles/automation"), &role).expect(204);
        scene.store("github/acme", &codes(1, 40), 0).expect(200);
    }
    let mut faces = Faces {
        standalone: server.root(),
        mounted: vault.root(),
        asked: 0,
        statuses: BTreeMap::new(),
        differences: String::new(),
    };

    for path in TABLE.iter().copied().flatten() {
        for name in names(path) {
            let full = format!("{}{name}", path.prefix);
            // Every operation, whether the path has it or not.
            for (method, query) in
                [("GET", ""), ("LIST", ""), ("GET", "?list=true"), ("GET", "?limit=x&after=%25&verify=true")]
            {
                faces.ask(method, &format!("{full}{query}"), None);
            }
            faces.ask("POST", &full, Some(&right(path.prefix, &signer)));
            faces.ask("POST", &full, Some(&json!({"unheard_of": 1})));
            faces.ask("POST", &full, Some(&json!({})));
            faces.ask("PATCH", &full, None);
        }
        let fields: Vec<&Field> =
            path.operations.iter().filter(|op| op.operation == Operation::Update).flat_map(|op| op.fields).collect();
        for field in fields {
            let name = names(path)[0];
            for value in odd_values() {
                let mut body = right(path.prefix, &signer);
                body[field.name] = value;
                faces.ask("POST", &format!("{}{name}", path.prefix), Some(&body));
            }
        }
        for name in names(path) {
            // What the rest of the test stands on stays.
            if !(name == "/idp" || name == "/github/acme") {
                faces.ask("DELETE", &format!("{}{name}", path.prefix), None);
            }
        }
    }
    for path in [
        "",
        "nothing",
        "verify/a",
        "outcome/a",
        "report/nothing",
        "config/keys",
        "config/",
        "accounts/github/",
        "roles//x",
    ] {
        for method in ["GET", "LIST", "POST", "DELETE"] {
            faces.ask(method, path, (method == "POST").then(|| json!({"a": 1})).as_ref());
        }
    }
    told(&mut faces, &signer);
    issued(&mut faces, &signer);
    limited(&mut faces, &signer);
    // Good and bad ones, of every kind.
    assert!(faces.asked >= 300, "{}", faces.asked);
    for status in [200, 202, 204, 400, 403, 404, 405, 429] {
        assert!(faces.statuses.contains_key(&status), "no request was answered {status}: {:?}", faces.statuses);
    }
    println!("{} requests: {:?}", faces.asked, faces.statuses);
    assert!(faces.differences.is_empty(), "of {} requests:\n{}", faces.asked, faces.differences);
}

/// Sets that are made here, codes presented in vain until the account is locked, and what follows a code. Each act is accepted.
fn issued(faces: &mut Faces, signer: &Signer) {
    let body = |over: Value| {
        let mut body = json!({"role": "automation", "jwt": signer.jwt(&claims(ISSUER, "rotator", AUDIENCE))});
        body.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        body
    };
    faces.ask("POST", "profiles/made", Some(&json!({"kind": "issued", "max_failures": 3})));
    let right = faces.statuses.get(&200).copied().unwrap_or_default();
    faces.ask("POST", "sets/desk/jane", Some(&body(json!({"profile": "made", "cas": 0}))));
    faces.ask("POST", "check/desk/jane", Some(&body(json!({"code": "wrong-00000"}))));
    for _ in 0..4 {
        faces.ask("POST", "verify/desk/jane", Some(&body(json!({"code": "wrong-00000"}))));
    }
    faces.ask("POST", "release/desk/jane", Some(&body(json!({"reason": "known by voice", "unlock": true}))));
    faces.ask("POST", "sets/desk/joe", Some(&body(json!({"codes": ["bbbb-0001", "bbbb-0002"], "cas": 0}))));
    let mut on_call = claims(ISSUER, "erin", AUDIENCE);
    on_call["groups"] = json!(["on-call"]);
    let retrieve = json!({"role": "on-call", "jwt": signer.jwt(&on_call), "reason": "locked out"});
    faces.ask("POST", "retrieve/desk/joe", Some(&retrieve));
    for outcome in ["worked", "refused"] {
        faces.ask("POST", "outcome/desk/joe", Some(&body(json!({"slot": 1, "outcome": outcome}))));
    }
    faces.ask("POST", "check/desk/joe", Some(&body(json!({"code": "bbbb-0002"}))));
    faces.ask("POST", "revoke/desk/joe", Some(&body(json!({"reason": "left", "cause": "compromise"}))));
    faces.ask("POST", "confirm/desk/joe", Some(&body(json!({"generation": 1}))));
    for path in ["accounts/desk/jane", "accounts/desk/joe", "history/desk/joe?verify=true"] {
        faces.ask("GET", path, None);
    }
    assert_eq!(faces.statuses[&200] - right, 17, "each of these is accepted");
}

/// One subject's share of all accounts together, and one code more.
fn limited(faces: &mut Faces, signer: &Signer) {
    let limit = json!({"max_retrievals": 2, "per": "1h", "scope": "role"});
    faces.ask("POST", "roles/on-call", Some(&limit));
    faces.ask("GET", "roles/on-call", None);
    for account in ["one", "two", "three"] {
        let jwt = signer.jwt(&claims(ISSUER, "rotator", AUDIENCE));
        let codes = [format!("{account}-0001"), format!("{account}-0002")];
        let body = json!({"role": "automation", "jwt": jwt, "codes": codes, "cas": 0});
        faces.ask("POST", &format!("sets/share/{account}"), Some(&body));
        let mut on_call = claims(ISSUER, "frank", AUDIENCE);
        on_call["groups"] = json!(["on-call"]);
        let retrieve = json!({"role": "on-call", "jwt": signer.jwt(&on_call), "reason": "locked out"});
        faces.ask("POST", &format!("retrieve/share/{account}"), Some(&retrieve));
    }
    assert_eq!(faces.statuses.get(&429), Some(&1), "the third is one too many: {:?}", faces.statuses);
}

/// A story with repeats, events and refusals, picked by hand.
fn told(faces: &mut Faces, signer: &Signer) {
    let assertion = |subject: &str, over: Value| {
        let mut claims = claims(ISSUER, subject, AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        signer.jwt(&claims)
    };
    let retrieve = |jwt: String, over: Value| {
        let mut body = json!({"role": "on-call", "jwt": jwt, "reason": "locked out"});
        body.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        body
    };
    let once = assertion("alice", json!({}));
    let keyed = retrieve(once.clone(), json!({"idempotency_key": "k1"}));
    for body in [
        keyed.clone(),
        keyed,
        retrieve(once.clone(), json!({"idempotency_key": "k1", "reason": "another"})),
        retrieve(once, json!({})),
        retrieve(assertion("alice", json!({"exp": 1})), json!({})),
        retrieve(assertion("alice", json!({"aud": "elsewhere"})), json!({})),
        retrieve(assertion("alice", json!({"iss": "https://other.example.com"})), json!({})),
        retrieve(assertion("alice", json!({"groups": []})), json!({})),
        retrieve(Signer::es256("k").jwt(&claims(ISSUER, "alice", AUDIENCE)), json!({})),
        retrieve(assertion("bob", json!({})), json!({"slot": 5})),
        retrieve(assertion("carol", json!({})), json!({"slot": 5})),
        retrieve(assertion("carol", json!({})), json!({"slot": 5_000})),
        retrieve(assertion("dave", json!({})), json!({"reason": ""})),
        retrieve(assertion("dave", json!({})), json!({"ticket": "aaaa-0001"})),
    ] {
        faces.ask("POST", "retrieve/github/acme", Some(&body));
    }
    let reset = json!({"default_role": null, "default_profile": null, "clock_skew": null, "event_retention": null});
    faces.ask("POST", "config", Some(&reset));
    let event = |at: u64, email: &str| {
        let subject = json!({"format": "email", "email": email});
        json!({"set": signer.set(&credential_change(ISSUER, AUDIENCE, &subject, at))})
    };
    let told = event(now(), "jane@example.com");
    for body in
        [told.clone(), told, event(now() + 10_000, "jane@example.com"), json!({"set": "a.b.c"}), json!({"set": 1})]
    {
        faces.ask("POST", "events/idp", Some(&body));
    }
    for path in [
        "history/github/acme",
        "history/github/acme?verify=true&after=2&limit=3",
        "accounts/github/acme",
        "accounts/okta/jane@example.com",
        "config/history?limit=1000",
        "sources/idp",
        "report/usage?act=retrieve,store&limit=2",
        "report/usage?after=github/acme:1&subject=alice",
        "report/usage?from=20&to=10",
        "report/access?prefix=github",
        "report/access?limit=1&after=github/",
        "report/posture?prefix=okta&only=any&soon=1d&unheard=of",
        "report/posture?only=no-such-word",
        "report/posture?prefix=okta&after=github/acme",
        "report/posture?format=xml",
    ] {
        faces.ask("GET", path, None);
    }
}
