//! One field made wrong in an otherwise good body, for every field of every path that takes a write: the answer names it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sparekey::engine::paths::{Need, TABLE};
use sparekey::engine::request::Operation;
use sparekey::engine::schema::{Field, Type};

use crate::stage::{ACCOUNT, MOUNT, Stage, codes};

/// A set of it is quarantined, so that it can be released.
pub const CAREFUL: &str = "github/careful";

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
            "accounts" => ("accounts/github/new".to_owned(), json!({"owner": "new"})),
            "sets" => (format!("sets/{ACCOUNT}"), json!({"codes": codes("n", 6), "cas": 1})),
            "retrieve" => (format!("retrieve/{ACCOUNT}"), json!({"reason": "lost phone"})),
            "enroll" => (format!("enroll/{ACCOUNT}"), json!({"method": "app"})),
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

/// Values that are of the wrong kind for `field`.
fn wrong(field: &Field) -> Vec<Value> {
    let (list, object) = (json!(["x"]), json!({"x": 1}));
    match (field.name, field.kind) {
        ("jwt", _) => vec![json!(1), json!(true), list, object],
        ("codes", _) => vec![
            json!(12_345_678),
            object,
            json!([12_345_678]),
            json!([null]),
            json!([["aaaa-bbbb"]]),
            json!([{"code": "aaaa-bbbb"}]),
        ],
        (_, Type::Text) => vec![list, object, json!([])],
        (_, Type::Integer) => {
            vec![json!("abc"), json!(-1), json!(1.5), json!(1e300), json!(true), json!("1e3"), list, object]
        }
        (_, Type::Boolean) => vec![json!("maybe"), json!(2), json!(-1), list, object],
        (_, Type::Duration) => {
            vec![json!("soon"), json!("1.5h"), json!(1.5), json!(-1), json!("-1h"), json!(true), list, object]
        }
        (_, Type::Time) => {
            vec![json!("yesterday"), json!("2026-13-01T00:00:00Z"), json!(1e300), json!(-5), list, object]
        }
        (_, Type::List) => vec![object, json!(true), json!(7), json!([["x"]]), json!([{"x": 1}]), json!([null])],
        (_, Type::Object) => vec![list, json!(7), json!(true), json!("{not json")],
    }
}

/// Values of the right kind that no field of that name takes.
fn out_of_bounds() -> Vec<(&'static str, &'static str, Value)> {
    let long = |length: usize| json!("x".repeat(length));
    let mut many = codes("m", 500);
    many.extend(codes("k", 13));
    let mut cases = vec![
        ("config", "default_role", json!("No Role")),
        ("config", "default_profile", json!("")),
        ("config", "clock_skew", json!("301s")),
        ("config", "event_retention", json!("1h")),
        ("config", "sparekey_url", json!("javascript:alert(1)")),
        ("config", "sparekey_url", json!("https://a\nb")),
        ("config", "sparekey_url", json!(format!("https://{}", "a".repeat(5000)))),
        ("issuers", "type", json!("host")),
        ("issuers", "type", json!("oidc")),
        ("issuers", "bound_issuer", json!("")),
        ("issuers", "bound_issuer", json!("a\u{0}b")),
        ("issuers", "bound_issuer", long(2000)),
        ("issuers", "jwt_validation_pubkeys", json!(["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])),
        ("issuers", "jwt_validation_pubkeys", json!(["-----BEGIN PRIVATE KEY-----"])),
        ("issuers", "jwks", json!({"keys": [{"kty": "oct", "k": "AAAA"}]})),
        ("issuers", "jwks", json!({"keys": "x"})),
        ("issuers", "jwks", json!({})),
        ("issuers", "jwks_url", json!("http://keys.example.com")),
        ("issuers", "jwks_url", json!("file:///etc/passwd")),
        ("issuers", "jwks_url", json!("https://user:password@keys.example.com")),
        ("issuers", "oidc_discovery_url", json!("gopher://x")),
        ("issuers", "jwt_supported_algs", json!(["HS256"])),
        ("issuers", "jwt_supported_algs", json!(["none"])),
        ("issuers", "jwt_supported_algs", json!(["RS256", "ES256"])),
        ("issuers", "clock_skew_leeway", json!("61s")),
        ("issuers", "jwks_ca_pem", json!("not a certificate")),
        ("profiles", "kind", json!("issued")),
        ("profiles", "kind", json!("other")),
        ("profiles", "count", json!(0)),
        ("profiles", "count", json!(513)),
        ("profiles", "length", json!(3)),
        ("profiles", "alphabet", json!("emoji")),
        ("profiles", "order", json!("random")),
        ("profiles", "low_watermark", json!(600)),
        ("profiles", "on_lapse", json!("explode")),
        ("profiles", "reveal_window", json!("25h")),
        ("profiles", "on_enrollment", json!("ignore")),
        ("profiles", "retrieval", json!("sometimes")),
        ("profiles", "review_required", json!(true)),
        ("profiles", "lockout", json!("15m")),
        ("roles", "issuers", json!([])),
        ("roles", "issuers", json!(["../x"])),
        ("roles", "bound_audiences", json!([])),
        ("roles", "bound_audiences", json!([""])),
        ("roles", "bound_claims", json!({"team": {"x": 1}})),
        ("roles", "bound_claims_type", json!("regex")),
        ("roles", "user_claim", json!("")),
        ("roles", "accounts", json!([])),
        ("roles", "accounts", json!(["GitHub/*"])),
        ("roles", "accounts", json!(["a/{{sub"])),
        ("roles", "accounts", json!(["a/{{}}"])),
        ("roles", "accounts", long(600)),
        ("roles", "operations", json!([])),
        ("roles", "operations", json!(["all"])),
        ("roles", "operations", json!(["verify"])),
        ("roles", "operations", json!(["Retrieve"])),
        ("roles", "assertion", json!("never")),
        ("roles", "max_assertion_age", json!(0)),
        ("roles", "max_assertion_age", json!("99999d")),
        ("roles", "max_retrievals", json!(0)),
        ("roles", "ticket_pattern", json!("(((")),
        ("roles", "ticket_pattern", json!("(a{1000}){1000}")),
        ("roles", "ticket_pattern", json!("x)|(y")),
        ("roles", "bound_cidrs", json!(["10.0.0.0/33"])),
        ("roles", "bound_cidrs", json!(["everywhere"])),
        ("roles", "wrap", json!("maybe")),
        ("roles", "token_ttl", json!("48h")),
        ("roles", "scope", json!("role")),
        ("sources", "type", json!("okta")),
        ("sources", "issuer", json!("../idp")),
        ("sources", "bound_audiences", json!([])),
        ("sources", "skew", json!("2h")),
        ("sources", "subjects", json!({"jane": "a/b"})),
        ("sources", "subjects", json!({"email:jane@example.com": "A/B"})),
        ("sources", "subjects", json!({"email:jane@example.com": []})),
        ("sources", "subjects", json!({"email:jane@example.com": "../b"})),
        ("sources", "account_template", json!("{{nonsense}}")),
        ("sources", "account_template", json!("../{{email}}")),
        ("accounts", "profile", json!("no-such-profile")),
        ("accounts", "profile", json!("../escrowed")),
        ("accounts", "owner", long(2000)),
        ("accounts", "owner", json!("a\u{1b}[31mb")),
        ("accounts", "login_url", json!("javascript:alert(1)")),
        ("accounts", "protects", json!(vec!["x"; 65])),
        ("accounts", "labels", json!({"a": 1})),
        ("accounts", "labels", json!({"a\nb": "c"})),
        ("accounts", "labels", json!({"a": {"b": "c"}})),
        ("sets", "codes", json!([])),
        ("sets", "codes", json!([""])),
        ("sets", "codes", json!([" - "])),
        ("sets", "codes", json!(["abc"])),
        ("sets", "codes", json!(["aaaa-bbbb", "AAAA BBBB"])),
        ("sets", "codes", json!(["aaaa-bbbb\u{0}"])),
        ("sets", "codes", json!(["aaaa\u{1b}[2Jbbbb"])),
        ("sets", "codes", json!(["a".repeat(257)])),
        ("sets", "codes", json!(many)),
        ("sets", "codes", json!("aaaa-bbbb,aaaa-cccc,")),
        ("sets", "codes", json!(",".repeat(100_000))),
        ("sets", "used", json!([0])),
        ("sets", "used", json!([7])),
        ("sets", "used", json!("1,x")),
        ("sets", "cas", json!(4_294_967_296_u64)),
        ("sets", "profile", json!("careful")),
        ("sets", "custody", long(513)),
        ("retrieve", "slot", json!(0)),
        ("retrieve", "slot", json!(9)),
        ("retrieve", "slot", json!(4_294_967_296_u64)),
        ("enroll", "enrollment_id", long(257)),
        ("enroll", "method", long(65)),
        ("enroll", "method", json!("a\nb")),
        ("revoke", "generation", json!(0)),
        ("revoke", "generation", json!(99)),
        ("revoke", "cause", json!("boredom")),
        ("revoke", "reason", json!("")),
        ("revoke", "reason", json!(null)),
        ("release", "generation", json!(99)),
        ("release", "reason", json!("")),
    ];
    for act in ["sets", "retrieve", "enroll", "revoke", "release"] {
        cases.extend([
            (act, "role", json!("Admin")),
            (act, "role", json!("../admin")),
            (act, "role", json!("a".repeat(200))),
            (act, "reason", json!("x".repeat(513))),
            (act, "reason", json!("line\r\nfeed")),
            (act, "ticket", json!("x".repeat(129))),
            (act, "ticket", json!("\u{0}")),
        ]);
    }
    for act in ["sets", "retrieve"] {
        cases.extend([
            (act, "idempotency_key", json!("x".repeat(129))),
            (act, "idempotency_key", json!("a\u{7f}b")),
            (act, "reason", json!(format!("the code was {}", codes("a", 8)[5]))),
            (act, "ticket", json!(codes("a", 8)[2].to_uppercase())),
        ]);
    }
    cases
}

#[test]
fn every_field_is_named_when_it_alone_is_wrong() {
    let stage = set_up();
    let writes = writes(&stage);
    assert!(writes.len() >= 11);
    let mut cases: Vec<(&Write, &str, Value)> = Vec::new();
    for write in &writes {
        for field in write.fields {
            cases.extend(wrong(field).into_iter().map(|value| (write, field.name, value)));
        }
    }
    let by_prefix: BTreeMap<&str, &Write> = writes.iter().map(|write| (write.prefix, write)).collect();
    cases.extend(out_of_bounds().into_iter().map(|(prefix, field, value)| (by_prefix[prefix], field, value)));
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
