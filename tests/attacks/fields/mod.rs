//! One field made wrong in an otherwise good body, for every field of every path that takes a write: the answer names it.

mod wrong;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sparekey::engine::paths::{Need, TABLE};
use sparekey::engine::request::Operation;
use sparekey::engine::schema::Field;

use crate::stage::{ACCOUNT, MOUNT, Stage, codes};
use crate::support::scene::moving_in;

/// A set of it is quarantined, so that it can be released.
pub const CAREFUL: &str = "github/careful";
/// A code of it was handed out.
const SPENT: &str = "github/spent";
/// Its codes were made here.
const ISSUED: &str = "github/issued";
/// Its set ended.
const ENDED: &str = "github/ended";

/// A write that succeeds as it stands, and what it is to.
pub struct Write {
    /// The prefix of its path in the table.
    pub prefix: &'static str,
    /// The fields it takes.
    pub fields: &'static [Field],
    /// Whether it acts under an assertion.
    pub act: bool,
    /// The path below the mount.
    pub path: String,
    /// The body, without assertion.
    pub body: Value,
}

impl Write {
    /// Sends `body` in place of the good one, under a fresh assertion where it has none of its own.
    pub fn send(&self, stage: &Stage, body: &Value) -> crate::support::http::Answer {
        let path = format!("{MOUNT}/{}", self.path);
        match self.act {
            true => stage.nobody.write(&path, &stage.asserted(body.clone())),
            false => stage.root.write(&path, body),
        }
    }
}

/// A stage on which each of [`writes`] succeeds.
pub fn set_up() -> Stage {
    let stage = Stage::new();
    stage.fine("profiles/careful", json!({"on_enrollment": "quarantine"}));
    stage.act("sets", CAREFUL, json!({"codes": codes("c", 4), "profile": "careful"})).expect(200);
    stage.act("enroll", CAREFUL, json!({})).expect(200);
    assert_eq!(stage.account(CAREFUL)["sets"][0]["status"], "quarantined");
    stage.act("sets", SPENT, json!({"codes": codes("s", 4)})).expect(200);
    stage.act("retrieve", SPENT, json!({"reason": "lost phone"})).expect(200);
    stage.fine("profiles/made", json!({"kind": "issued"}));
    stage.act("sets", ISSUED, json!({"profile": "made"})).expect(200);
    stage.act("sets", ENDED, json!({"codes": codes("e", 4)})).expect(200);
    stage.act("revoke", ENDED, json!({"reason": "left"})).expect(200);
    stage
}

/// A good write for every path of the table that takes one, events excepted: they answer in their own protocol.
pub fn writes(stage: &Stage) -> Vec<Write> {
    let mut writes = Vec::new();
    for path in TABLE.iter().copied().flatten() {
        let Some(op) = path.operations.iter().find(|op| op.operation == Operation::Update) else { continue };
        let (target, body) = match path.prefix {
            "issuers" => (
                "issuers/new".to_owned(),
                json!({"bound_issuer": "https://new.example.com", "jwt_validation_pubkeys": [stage.idp.public_pem()]}),
            ),
            "profiles" => ("profiles/new".to_owned(), json!({"count": 8})),
            "roles" => (
                "roles/new".to_owned(),
                json!({
                    "issuers": ["idp"], "bound_audiences": ["new"], "bound_subject": "jane", "accounts": ["new/*"],
                    "operations": ["read"],
                }),
            ),
            "sources" => {
                ("sources/new".to_owned(), json!({"type": "caep", "issuer": "idp", "bound_audiences": ["new"]}))
            }
            "config" => ("config".to_owned(), json!({"sparekey_url": "https://new.example.com"})),
            "config/keys/rotate" => ("config/keys/rotate".to_owned(), json!({})),
            "config/keys/rewrap" => ("config/keys/rewrap".to_owned(), json!({"batch": 10})),
            "config/restore" => ("config/restore".to_owned(), json!({"reason": "snapshot of noon", "hold": "known"})),
            "accounts" => ("accounts/github/new".to_owned(), json!({"owner": "new"})),
            "sets" => (format!("sets/{ACCOUNT}"), json!({"codes": codes("n", 6), "cas": 1})),
            "retrieve" => (format!("retrieve/{ACCOUNT}"), json!({"reason": "lost phone"})),
            "outcome" => (format!("outcome/{SPENT}"), json!({"slot": 1, "outcome": "worked"})),
            "verify" => (format!("verify/{ISSUED}"), json!({"code": "wrong-00000"})),
            "check" => (format!("check/{SPENT}"), json!({"code": "wrong-00000"})),
            "confirm" => (format!("confirm/{ENDED}"), json!({"generation": 1})),
            "enroll" => (format!("enroll/{ACCOUNT}"), json!({"method": "app"})),
            "transfer" => ("transfer/github/moved".to_owned(), moving_in()),
            "revoke" => (format!("revoke/{ACCOUNT}"), json!({"reason": "left"})),
            "release" => (format!("release/{CAREFUL}"), json!({"reason": "checked"})),
            "events" => continue,
            other => panic!("a path without attacks: {other}"),
        };
        let act = matches!(op.need, Need::Act(_));
        writes.push(Write { prefix: path.prefix, fields: op.fields, act, path: target, body });
    }
    // Each must still succeed when its turn comes.
    let turns = ["sets", "retrieve", "release", "revoke", "enroll"];
    writes.sort_by_key(|write| turns.iter().position(|turn| *turn == write.prefix).map_or(0, |turn| turn + 1));
    writes
}

#[test]
fn every_field_is_named_when_it_alone_is_wrong() {
    let stage = set_up();
    let writes = writes(&stage);
    assert!(writes.len() >= 11);
    let mut cases: Vec<(&Write, &str, Value)> = Vec::new();
    for write in &writes {
        for field in write.fields {
            cases.extend(wrong::of_kind(field).into_iter().map(|value| (write, field.name, value)));
        }
    }
    let by_prefix: BTreeMap<&str, &Write> = writes.iter().map(|write| (write.prefix, write)).collect();
    cases.extend(wrong::out_of_bounds().into_iter().map(|(prefix, field, value)| (by_prefix[prefix], field, value)));
    // The good body, whole, is refused without a required field.
    for write in &writes {
        for field in write.fields.iter().filter(|field| field.required && write.body.get(field.name).is_some()) {
            cases.push((write, field.name, Value::Null));
        }
    }
    assert!(cases.len() > 600, "{}", cases.len());

    let before = stage.world();
    let mut failures = Vec::new();
    for (write, field, value) in &cases {
        let mut body = write.body.clone();
        if ["jwks", "jwks_url", "oidc_discovery_url"].contains(field) {
            // Keys come from one place.
            body.as_object_mut().unwrap().remove("jwt_validation_pubkeys");
        }
        body[field] = value.clone();
        let mark = stage.audit_len();
        let answer = write.send(&stage, &body);
        let shown: String = value.to_string().chars().take(60).collect();
        let sentence = answer.error();
        if answer.status != 400 || !names(&sentence, field) {
            failures.push(format!("{} with {field} = {shown}: {} {}", write.path, answer.status, answer.text()));
            continue;
        }
        assert_eq!(answer.json(), json!({"errors": [sentence]}), "{field} = {shown}");
        assert!(sentence.len() < 1000, "{}: {field} = {shown}: {} bytes", write.path, sentence.len());
        let lines = stage.answered_since(mark);
        assert_eq!(lines.len(), 1, "{field} = {shown}");
        assert_eq!(lines[0]["response"]["status"], 400);
        assert_eq!(lines[0]["error"], json!(sentence), "{field} = {shown}");
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert_eq!(stage.world(), before, "nothing changed");

    for write in &writes {
        let answer = write.send(&stage, &write.body);
        assert!(answer.status < 300, "the good one to {}: {} {}", write.path, answer.status, answer.text());
    }
    assert_ne!(stage.world(), before);
}

/// Whether the sentence begins with the field, or with the stable word that stands for what it asks.
fn names(sentence: &str, field: &str) -> bool {
    let word = sentence.split(':').next().unwrap_or_default();
    word == field || word.replace('-', "_") == field
}

#[test]
fn an_unknown_field_is_refused_where_it_configures_and_warned_of_where_it_acts() {
    let stage = set_up();
    for write in writes(&stage) {
        for name in ["no_such_field", "Reason", "jwt ", "__proto__", "\u{0}", &"x".repeat(4000)] {
            let mut body = write.body.clone();
            body[name] = json!("x");
            let path = format!("{MOUNT}/{}", write.path);
            if write.act {
                // Acts are tried where they are refused in any case, so that nothing is used up.
                body["role"] = json!("narrow");
                let elsewhere = path.replace("github/", "gitlab/");
                let answer = stage.nobody.write(&elsewhere, &stage.asserted(body));
                assert_eq!(answer.status, 403, "{elsewhere}: {}", answer.text());
            } else {
                let answer = stage.root.write(&path, &body);
                assert_eq!(answer.status, 400, "{path}: {}", answer.text());
                let named: String = name.chars().take(20).filter(|c| !c.is_control()).collect();
                assert!(answer.error().starts_with(&named), "{path}: {}", answer.text());
                assert!(answer.error().contains("unknown field"), "{path}: {}", answer.text());
                assert!(answer.text().len() < 1500, "{path}: {} bytes", answer.text().len());
            }
        }
    }
    let answer = stage.act("retrieve", ACCOUNT, json!({"no_such_field": "x", "zz": 1})).expect(200);
    let warnings = answer.json()["warnings"].clone();
    let told = "Endpoint ignored these unrecognized parameters: [no_such_field zz]";
    assert!(warnings.as_array().unwrap().iter().any(|warning| warning == told), "{warnings}");
    let answer = stage.act("retrieve", ACCOUNT, json!({"y".repeat(100_000): "x"})).expect(200);
    assert!(answer.text().len() < 4000, "a name as long as the body is not sent back whole");
}

#[test]
fn the_hosts_own_paths_name_the_wrong_field_too() {
    let stage = Stage::new();
    let login = stage.login("admin");
    let jwt = stage.jwt(&json!({}));
    for (client, path, body, named) in [
        (&stage.nobody, "auth/jwt/login", json!({"role": ["admin"], "jwt": jwt}), "role"),
        (&stage.nobody, "auth/jwt/login", json!({"role": {"a": 1}, "jwt": jwt}), "role"),
        (&stage.nobody, "auth/jwt/login", json!({"role": "admin", "jwt": [jwt]}), "jwt"),
        (&stage.nobody, "auth/jwt/login", json!({"role": "admin", "jwt": {"a": jwt}}), "jwt"),
        (&login, "auth/token/lookup", json!({"token": 1}), "token"),
        (&login, "auth/token/renew", json!({"token": ["s.x"]}), "token"),
        (&login, "auth/token/revoke", json!({"token": {}}), "token"),
        (&login, "auth/token/renew-self", json!({"increment": "soon"}), "increment"),
        (&login, "auth/token/renew-self", json!({"increment": [1]}), "increment"),
        (&login, "auth/token/renew-self", json!({"increment": -1}), "increment"),
        (&login, "sys/capabilities-self", json!({"paths": {"a": 1}}), "paths"),
        (&login, "sys/capabilities-self", json!({"paths": 7}), "paths"),
        (&login, "sys/capabilities-self", json!({"paths": vec!["a"; 300]}), "paths"),
        (&login, "sys/capabilities-self", json!({"path": [["a"]]}), "path"),
        (&login, "sys/wrapping/lookup", json!({"token": 7}), "token"),
        (&login, "sys/wrapping/unwrap", json!({"token": [7]}), "token"),
        (&stage.nobody, "sys/unseal", json!({"key": [1]}), "key"),
        (&stage.nobody, "sys/unseal", json!({"reset": "maybe"}), "reset"),
    ] {
        let answer = client.write(path, &body);
        assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text());
        assert!(answer.error().contains(named), "{path} {body}: {}", answer.text());
        assert!(!answer.text().contains(&jwt), "{path} {body}");
    }
    login.read("auth/token/lookup-self").expect(200);
    // A role that does not exist is repeated as far as a name goes, and not in full.
    let answer = stage.nobody.write("auth/jwt/login", &json!({"role": "x".repeat(100_000), "jwt": jwt})).expect(400);
    assert!(answer.error().starts_with("role \"xxx") && answer.error().ends_with("could not be found"));
    assert!(answer.body.len() < 1000, "{} bytes", answer.body.len());
    // Times beyond all times are no times, or count as the longest that is allowed.
    for ttl in ["18446744073709551615", "9999999999999999h", "106751991167d", "99999999999999999999s"] {
        let answer = login.write("auth/token/renew-self", &json!({"increment": ttl}));
        assert!(matches!(answer.status, 200 | 400), "{ttl}: {} {}", answer.status, answer.text());
        let wrapped = login.header("X-Vault-Wrap-TTL", ttl).read("auth/token/lookup-self");
        assert!(matches!(wrapped.status, 200 | 400), "{ttl}: {} {}", wrapped.status, wrapped.text());
    }
    stage.nobody.write("auth/jwt/login", &json!({"role": "admin", "jwt": jwt})).expect(200);
}
