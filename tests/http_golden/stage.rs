//! The server, what the test knows by name, and what the recorded one had at each point.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::inprocess::{Node, Setup};
use super::support::signer::{self, Signer};

/// The server, and what the test knows by name.
pub struct Stage {
    pub node: Node,
    pub known: BTreeMap<String, String>,
    pub idp: Signer,
    pub stranger: Signer,
}

pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Stage {
    pub fn new() -> Stage {
        Stage {
            node: Setup::default().start(),
            known: BTreeMap::new(),
            idp: Signer::rs256("k1"),
            stranger: Signer::rs256("k2"),
        }
    }

    /// Brings about what the recorded server had at this point.
    pub fn prepare(&mut self, name: &str) {
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
    pub fn learn(&mut self, name: &str, answer: &Answer) {
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

    pub fn know(&mut self, name: &str, value: &str) {
        self.known.insert(name.to_owned(), value.to_owned());
    }

    pub fn configure(&mut self) {
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

    pub fn unseal_again(&mut self) {
        for share in ["key0_b64", "key1_b64"] {
            let key = self.known[share].clone();
            self.plain("PUT", "sys/unseal", json!({ "key": key }));
        }
    }

    pub fn log_in(&self) -> Value {
        self.plain("POST", "auth/jwt/login", json!({"role": "dev", "jwt": self.jwt("good")}))
    }

    pub fn login(&self) -> String {
        self.log_in()["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    pub fn wrapped(&self) -> String {
        let client = self.node.client().token(&self.known["root"]).header("X-Vault-Wrap-TTL", "60s");
        let answer = client.write("sys/wrapping/wrap", &json!({"a": "b"})).expect(200);
        answer.json()["wrap_info"]["token"].as_str().unwrap().to_owned()
    }

    pub fn plain(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.node.client().send(method, path, Some(body.to_string().as_bytes()));
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    pub fn root(&self, method: &str, path: &str, body: Value) {
        let client = self.node.client().token(&self.known["root"]);
        let answer = client.send(method, path, Some(body.to_string().as_bytes()));
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.text());
    }

    /// A token by the name that the exchanges use.
    pub fn jwt(&self, name: &str) -> String {
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
    pub fn filled(&self, text: &str) -> String {
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

    pub fn send(&self, record: &Value) -> Answer {
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
}

/// A 2048-bit RSA key as a JWK. Its SPKI has a fixed layout: the modulus at byte 33, the exponent at the end.
pub fn jwk(signer: &Signer) -> Value {
    let pem = signer.public_pem();
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(text).unwrap();
    let (modulus, exponent) = (&der[33..33 + 256], &der[der.len() - 3..]);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "RSA", "use": "sig", "kid": signer.kid(), "n": encode(modulus), "e": encode(exponent)})
}
