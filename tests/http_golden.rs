//! Exchanges recorded from a Vault-compatible server, replayed against the real listener: status, headers and body.
//!
//! `golden/vault-http.jsonl` holds one exchange a line: `name`, `method`, `path`, `headers`, `body` or `body_raw`, `status`,
//! `resp_headers` (`@std`: the headers of every answer), `resp_body` or `resp_text`. `<uuid>`, `<int>` … stand for any value of that
//! kind, `$name` for a value that the test knows. What this host answers differently on purpose stands in [`adapt`]; what it does
//! not have stands in [`LEFT_OUT`] with the reason.

mod inprocess;
#[path = "golden/left_out.rs"]
mod left_out;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use inprocess::{Node, Setup};
use left_out::LEFT_OUT;
use serde_json::{Value, json};
use support::signer::{self, Signer};

/// How many exchanges were recorded in all.
const RECORDED: usize = 211;

#[test]
fn every_exchange_is_replayed_or_left_out_for_a_reason() {
    let replayed = records().iter().map(|record| record["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
    let left: Vec<&str> = LEFT_OUT.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert_eq!(replayed.len() + left.len(), RECORDED);
    assert!(left.iter().all(|name| !replayed.contains(*name)), "named twice");
}

#[test]
fn recorded_exchanges_come_out_the_same() {
    let mut stage = Stage::new();
    let mut failures = Vec::new();
    for mut record in records() {
        let name = record["name"].as_str().unwrap().to_owned();
        stage.prepare(&name);
        adapt(&name, &mut record);
        let answer = stage.send(&record);
        if let Err(difference) = stage.compare(&record, &answer) {
            failures.push(format!("{name}: {difference}"));
        }
        stage.learn(&name, &answer);
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

fn records() -> Vec<Value> {
    include_str!("golden/vault-http.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What differs on purpose, and the names of mounts and paths that this host has.
fn adapt(name: &str, record: &mut Value) {
    let path = record["path"].as_str().unwrap();
    let path = path
        .replace("/v1/eng/nope", "/v1/backup-codes/accounts/nope")
        .replace("/v1/eng/nodir", "/v1/backup-codes/accounts/nodir")
        .replace("/v1/eng/?", "/v1/backup-codes/accounts/?")
        .replace("/v1/sys/mounts/eng", "/v1/sys/mounts/backup-codes")
        .replace("/v1/sys/internal/ui/mounts/eng", "/v1/sys/internal/ui/mounts/backup-codes")
        .replace("/v1/eng/foo", "/v1/backup-codes/accounts/foo");
    record["path"] = json!(if path == "/v1/eng/" { "/v1/backup-codes/accounts/" } else { &*path });
    let body = &mut record["resp_body"];
    match name {
        // vaultrs cannot do without it, and the recorded server lacks it.
        _ if name.starts_with("health.") && body.get("sealed").is_some() => body["performance_standby"] = json!(false),
        "audit.broken_health" => body["performance_standby"] = json!(false),
        // Other mounts, and words of our own.
        "mounts.list" | "authm.list" => {
            let copy = body["data"].take();
            let mounts = only_ours(copy, name == "authm.list");
            for stale in ["identity/", "sys/", "cubbyhole/", "token/"] {
                body.as_object_mut().unwrap().remove(stale);
            }
            for (mount, entry) in mounts.as_object().unwrap() {
                body[mount] = entry.clone();
            }
            body["data"] = mounts;
        }
        "mounts.read_one" => {
            let entry = engine_mount();
            for (field, value) in entry.as_object().unwrap() {
                body[field] = value.clone();
            }
            body["data"] = entry;
        }
        "uimounts.unauth" => body["data"] = json!({"auth": {}, "secret": {}}),
        "uimounts.root" => {
            let (auth, secret) = (body["data"]["auth"].take(), body["data"]["secret"].take());
            body["data"] = json!({"auth": only_ours(auth, true), "secret": only_ours(secret, false)});
        }
        "uimounts.one" => {
            body["data"] = engine_mount();
            body["data"]["path"] = json!("backup-codes/");
        }
        "logical.list" | "logical.list_q" => body["data"]["keys"] = json!(["dir/", "foo"]),
        "audit.list" => {
            for device in ["f2/", "f3/"] {
                body.as_object_mut().unwrap().remove(device);
                body["data"].as_object_mut().unwrap().remove(device);
            }
            let device =
                json!({"type": "file", "path": "file/", "description": "", "local": false, "options": "<any>"});
            body.as_object_mut().unwrap().remove("f1/");
            body["file/"] = device.clone();
            body["data"] = json!({"file/": device});
        }
        "help.sys_mounts" => {
            body["help"] = json!("<string>");
            body["openapi"] = json!("<any>");
        }
        "openapi.get" => {
            for field in ["/info/title", "/info/description", "/info/license/name", "/info/license/url"] {
                *body.pointer_mut(field).unwrap() = json!("<string>");
            }
            body["paths"] = json!("<any>");
            body["components"] = json!("<any>");
        }
        // No entities; metadata is role and subject; the role's own policy words are its name.
        "jwtlogin.ok" | "jwtlogin.default_role" | "jwtlogin.with_bad_token_header" | "jwtlogin.missing_kid" => {
            body["auth"]["entity_id"] = json!("");
            body["auth"]["metadata"] = json!({"role": "dev", "subject": "user-1"});
        }
        "token.lookup_self" | "token.lookup_accessor" => {
            body["data"]["entity_id"] = json!("");
            body["data"]["meta"] = json!({"role": "dev", "subject": "user-1"});
        }
        "token.renew_self" => {
            body["auth"]["lease_duration"] = json!(600);
            body["auth"]["metadata"] = json!({"role": "dev", "subject": "user-1"});
            body["auth"]["orphan"] = json!(true);
        }
        // A set of metrics of our own.
        "metrics.json" => {
            body["Timestamp"] = json!("<rfc3339>");
            for list in ["Gauges", "Counters", "Samples"] {
                body[list] = json!("<any>");
            }
        }
        "metrics.prom" => record["resp_text"] = json!("# HELP sparekey_build_info The program that runs.\n<any>"),
        "token.accessors" => body["data"]["keys"] = json!("<any>"),
        // What was wrapped first holds more than the recorder shows.
        "wrap.unwrap_body" => body["data"] = json!({"a": "b", "n": {"x": 1}}),
        "wrap.wrapped_read_ok" => body["wrap_info"]["creation_path"] = json!("backup-codes/accounts/foo"),
        _ => {}
    }
}

fn engine_mount() -> Value {
    mount("sparekey", "mount-accessor:sparekey", json!({"deprecation_status": "supported"}))
}

fn mount(kind: &str, accessor: &str, more: Value) -> Value {
    let mut entry = json!({
        "accessor": format!("<{accessor}>"), "description": "<string>", "external_entropy_access": false, "local": false,
        "config": {"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0}, "options": null,
        "plugin_version": "", "running_plugin_version": "<version>", "running_sha256": "", "seal_wrap": false, "type": kind,
        "uuid": "<uuid>",
    });
    for (field, value) in more.as_object().unwrap() {
        entry[field] = value.clone();
    }
    entry
}

/// The recorded entry of the mount that both have, beside those of our own.
fn only_ours(recorded: Value, auth: bool) -> Value {
    if auth {
        let mut token = recorded["token/"].clone();
        token["description"] = json!("<string>");
        let mut jwt = token.clone();
        jwt["accessor"] = json!("<mount-accessor:auth_jwt>");
        jwt["type"] = json!("jwt");
        return json!({"jwt/": jwt, "token/": token});
    }
    let mut sys = recorded["sys/"].clone();
    sys["config"].as_object_mut().unwrap().remove("passthrough_request_headers");
    sys["description"] = json!("<string>");
    sys["seal_wrap"] = json!(false);
    json!({"sys/": sys, "backup-codes/": engine_mount()})
}

/// The server, and what the test knows by name.
struct Stage {
    node: Node,
    known: BTreeMap<String, String>,
    idp: Signer,
    stranger: Signer,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Stage {
    fn new() -> Stage {
        Stage {
            node: Setup::default().start(),
            known: BTreeMap::new(),
            idp: Signer::rs256("k1"),
            stranger: Signer::rs256("k2"),
        }
    }

    /// Brings about what the recorded server had at this point.
    fn prepare(&mut self, name: &str) {
        match name {
            "unseal.wrong2" => {
                let wrong = [7_u8; 33].map(|b| format!("{b:02x}")).concat();
                self.plain("PUT", "sys/unseal", json!({ "key": wrong }));
                self.know("wrongkey1", &[9_u8; 33].map(|b| format!("{b:02x}")).concat());
            }
            "unseal.done" => {
                let first = self.known["key0_b64"].clone();
                self.plain("PUT", "sys/unseal", json!({ "key": first }));
            }
            "perm.denied" => {
                self.configure();
                let token = self.login();
                self.know("dev", &token);
            }
            "logical.list" => {
                for account in ["foo", "dir/a"] {
                    self.root("POST", &format!("backup-codes/accounts/{account}"), json!({}));
                }
            }
            "token.expired" => {
                let token = self.login();
                self.know("short", &token);
                self.node.wait(Duration::from_secs(601));
            }
            "token.lookup_self" => {
                let answer = self.log_in();
                self.know("jwttoken", answer["auth"]["client_token"].as_str().unwrap());
                self.know("jwtaccessor", answer["auth"]["accessor"].as_str().unwrap());
            }
            "token.renew_self" => {
                let answer = self.log_in();
                self.know("devtok", answer["auth"]["client_token"].as_str().unwrap());
                self.know("devtok_accessor", answer["auth"]["accessor"].as_str().unwrap());
            }
            "token.revoke_self" => {
                let token = self.login();
                self.know("full", &token);
            }
            "token.revoke_accessor_again" => {
                let accessor = self.known["devtok_accessor"].clone();
                self.root("POST", "auth/token/revoke-accessor", json!({ "accessor": accessor }));
            }
            "wrap.unwrap_header" => {
                let token = self.wrapped();
                self.know("w2", &token);
            }
            "wrap.rewrap" => {
                let token = self.wrapped();
                self.know("w5", &token);
            }
            "genroot.update1" => {
                for (name, share) in [("vkey0", "key0_b64"), ("vkey1", "key1_b64")] {
                    let share = self.known[share].clone();
                    self.know(name, &share);
                }
            }
            "wrap.expired_unwrap" => {
                let token = self.wrapped();
                self.know("w9", &token);
                self.node.wait(Duration::from_secs(60));
            }
            "audit.list" => self.unseal_again(),
            "jwts.alg_not_in_supported" => {
                let issuer = json!({"jwt_supported_algs": ["RS512"]});
                self.root("POST", "backup-codes/issuers/idp", issuer);
            }
            _ => {}
        }
    }

    /// Keeps what later exchanges refer to.
    fn learn(&mut self, name: &str, answer: &Answer) {
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        match name {
            "init.ok" => {
                for at in 0..3 {
                    self.know(&format!("key{at}_hex"), &text(&format!("/keys/{at}")));
                    self.know(&format!("key{at}_b64"), &text(&format!("/keys_base64/{at}")));
                }
                self.know("root", &text("/root_token"));
            }
            "genroot.start" => self.know("gnonce", &text("/nonce")),
            "wrap.wrap" => self.know("w1", &text("/wrap_info/token")),
            _ => {}
        }
    }

    fn know(&mut self, name: &str, value: &str) {
        self.known.insert(name.to_owned(), value.to_owned());
    }

    fn configure(&mut self) {
        self.root(
            "POST",
            "backup-codes/issuers/idp",
            json!({"bound_issuer": "https://idp.test", "jwks": {"keys": [jwk(&self.idp)]}}),
        );
        let role = |more: Value| {
            let mut role = json!({
                "issuers": ["idp"], "bound_audiences": ["farm"], "accounts": ["*"], "operations": ["retrieve", "read", "list"],
                "token_ttl": "10m", "token_max_ttl": "1h",
            });
            for (field, value) in more.as_object().unwrap() {
                role[field] = value.clone();
            }
            role
        };
        self.root("POST", "backup-codes/roles/dev", role(json!({"bound_claims": {"groups": ["dev"]}})));
        self.root("POST", "backup-codes/roles/subjx", role(json!({"bound_subject": "somebody-else"})));
        self.root("POST", "backup-codes/roles/claimx", role(json!({"bound_claims": {"email": ["other@test"]}})));
        self.root("POST", "backup-codes/roles/claimmissing", role(json!({"bound_claims": {"absent": ["x"]}})));
        self.root("POST", "backup-codes/config", json!({"default_role": "dev"}));
    }

    fn unseal_again(&mut self) {
        for share in ["key0_b64", "key1_b64"] {
            let key = self.known[share].clone();
            self.plain("PUT", "sys/unseal", json!({ "key": key }));
        }
    }

    fn log_in(&self) -> Value {
        self.plain("POST", "auth/jwt/login", json!({"role": "dev", "jwt": self.jwt("good")}))
    }

    fn login(&self) -> String {
        self.log_in()["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    fn wrapped(&self) -> String {
        let client = self.node.client().token(&self.known["root"]).header("X-Vault-Wrap-TTL", "60s");
        let answer = client.write("sys/wrapping/wrap", &json!({"a": "b"})).expect(200);
        answer.json()["wrap_info"]["token"].as_str().unwrap().to_owned()
    }

    fn plain(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.node.client().send(method, path, Some(body.to_string().as_bytes()));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn root(&self, method: &str, path: &str, body: Value) {
        let client = self.node.client().token(&self.known["root"]);
        let answer = client.send(method, path, Some(body.to_string().as_bytes()));
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.text());
    }

    /// A token by the name that the exchanges use.
    fn jwt(&self, name: &str) -> String {
        use sparekey::clock::Clock;
        let now = self.node.clock.now().secs();
        let id = format!("{:?}", signer::fresh());
        let mut claims = json!({
            "iss": "https://idp.test", "sub": "user-1", "aud": "farm", "iat": now, "nbf": now - 5, "exp": now + 3600,
            "groups": ["dev", "ops"], "email": "u1@test", "job": {"id": "42"}, "jti": id,
        });
        let mut header = json!({"alg": "RS256", "typ": "JWT", "kid": self.idp.kid()});
        let mut key = &self.idp;
        match name {
            "good" | "bad_sig" => {}
            "wrong_aud" => claims["aud"] = json!("elsewhere"),
            "wrong_iss" => claims["iss"] = json!("https://other.test"),
            "expired" => claims["exp"] = json!(now - 1000),
            "nbf_future" => claims["nbf"] = json!(now + 1000),
            "alg_none" => header["alg"] = json!("none"),
            "hs256" => header["alg"] = json!("HS256"),
            "missing_kid" => {
                header.as_object_mut().unwrap().remove("kid");
            }
            "unknown_key" => {
                header["kid"] = json!(self.stranger.kid());
                key = &self.stranger;
            }
            other => panic!("no token is called {other}"),
        }
        let token = key.sign(&header, &claims);
        if name != "bad_sig" {
            return token;
        }
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let other = if signature.starts_with('A') { "B" } else { "A" };
        format!("{signed}.{other}{}", &signature[1..])
    }

    /// `text` with every `$name` replaced.
    fn filled(&self, text: &str) -> String {
        let mut out = text.to_owned();
        while let Some(at) = out.find("$jwt:") {
            let rest = &out[at + 5..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            let token = self.jwt(&rest[..end]);
            out.replace_range(at..at + 5 + end, &token);
        }
        let mut names: Vec<&String> = self.known.keys().collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        for name in names {
            out = out.replace(&format!("${name}"), &self.known[name]);
        }
        out
    }

    fn send(&self, record: &Value) -> Answer {
        let body = match (&record["body"], record["body_raw"].as_str()) {
            (Value::Null, Some(raw)) => match raw.strip_prefix('<').and_then(|raw| raw.strip_suffix(" bytes>")) {
                Some(count) => "x".repeat(count.parse().unwrap()),
                None => raw.to_owned(),
            },
            (Value::Null, None) => String::new(),
            (body, _) => self.filled(&body.to_string()),
        };
        let (method, path) = (record["method"].as_str().unwrap(), record["path"].as_str().unwrap());
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
        for (name, value) in record["headers"].as_object().into_iter().flatten() {
            head.push_str(&format!("{name}: {}\r\n", self.filled(value.as_str().unwrap())));
        }
        if !body.is_empty() || matches!(method, "PUT" | "POST" | "PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.node.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Answer { status, headers, body: body.to_owned() }
    }

    fn compare(&self, record: &Value, answer: &Answer) -> Result<(), String> {
        if Some(u64::from(answer.status)) != record["status"].as_u64() {
            return Err(format!("status {} instead of {}: {}", answer.status, record["status"], answer.body));
        }
        let expected = record["resp_headers"].as_object().unwrap();
        let standard = json!({
            "content-type": "application/json", "cache-control": "no-store",
            "strict-transport-security": "max-age=31536000; includeSubDomains",
        });
        let expected = if expected.contains_key("@std") { standard.as_object().unwrap() } else { expected };
        for name in ["content-type", "cache-control", "strict-transport-security", "location"] {
            let (want, have) = (expected.get(name).and_then(Value::as_str), answer.headers.get(name));
            if want != have.map(String::as_str) {
                return Err(format!("header {name}: {have:?} instead of {want:?}"));
            }
        }
        if record["method"] == "HEAD" {
            return if answer.body.is_empty() { Ok(()) } else { Err(format!("a body: {}", answer.body)) };
        }
        if let Some(text) = record["resp_text"].as_str() {
            let same = match text.strip_suffix("<any>") {
                Some(start) => answer.body.starts_with(start),
                None => text == answer.body,
            };
            return if same { Ok(()) } else { Err(format!("text {:?}", answer.body)) };
        }
        if record["resp_body"].is_null() {
            return if answer.body.is_empty() { Ok(()) } else { Err(format!("a body: {}", answer.body)) };
        }
        if !answer.body.ends_with('\n') {
            return Err("the body does not end in a newline".to_owned());
        }
        let have: Value = serde_json::from_str(&answer.body).map_err(|error| format!("{error}: {}", answer.body))?;
        let want: Value = serde_json::from_str(&self.filled(&record["resp_body"].to_string())).unwrap();
        same(&want, &have).map_err(|at| format!("at {at}: {}", answer.body))
    }
}

/// A 2048-bit RSA key as a JWK. Its SPKI has a fixed layout: the modulus at byte 33, the exponent at the end.
fn jwk(signer: &Signer) -> Value {
    let pem = signer.public_pem();
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text).unwrap();
    let (modulus, exponent) = (&der[33..33 + 256], &der[der.len() - 3..]);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "RSA", "use": "sig", "kid": signer.kid(), "n": encode(modulus), "e": encode(exponent)})
}

/// Whether `have` is `want`, placeholders allowed for; else where not.
fn same(want: &Value, have: &Value) -> Result<(), String> {
    match (want, have) {
        (Value::String(want), have) if want.starts_with('<') && want.ends_with('>') => match fits(want, have) {
            true => Ok(()),
            false => Err(format!("{have} is not {want}")),
        },
        (Value::Object(want), Value::Object(have)) => {
            let names: BTreeSet<&String> = want.keys().chain(have.keys()).collect();
            names.into_iter().try_for_each(|name| match (want.get(name), have.get(name)) {
                (Some(want), Some(have)) => same(want, have).map_err(|at| format!("{name}/{at}")),
                (want, _) => Err(format!("{name} {}", if want.is_some() { "is missing" } else { "is new" })),
            })
        }
        (Value::Array(want), Value::Array(have)) if want.len() == have.len() => want
            .iter()
            .zip(have)
            .enumerate()
            .try_for_each(|(at, (want, have))| same(want, have).map_err(|below| format!("{at}/{below}"))),
        (want, have) if want == have => Ok(()),
        (want, have) => Err(format!("{have} instead of {want}")),
    }
}

fn fits(placeholder: &str, have: &Value) -> bool {
    let text = have.as_str().unwrap_or_default();
    let base62 = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_alphanumeric());
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    match placeholder.trim_matches(['<', '>']) {
        "any" => true,
        "string" => have.is_string() && !text.is_empty(),
        "int" => have.is_u64(),
        "uuid" => text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && hex(&text.replace('-', "")),
        "rfc3339" => sparekey::domain::time::Timestamp::parse(text).is_some() && text.contains('T'),
        "token" => text.strip_prefix("s.").is_some_and(|rest| base62(rest, 24)),
        "accessor" => base62(text, 24),
        "base64-xor-token" => STANDARD_NO_PAD.decode(text).is_ok_and(|mixed| mixed.len() == 26),
        "otp:26 base62" => base62(text, 26),
        "version" => text.trim_start_matches('v').starts_with("0.1"),
        "cluster-name" => !text.is_empty(),
        "hex-key-share" => text.len() == 66 && hex(text),
        "base64-key-share" => text.len() == 44,
        other => match other.strip_prefix("mount-accessor:") {
            Some(kind) => text
                .strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|rest| rest.len() == 8 && hex(rest)),
            None => panic!("no such placeholder: {placeholder}"),
        },
    }
}
