//! A table of JWTs that must be refused, each next to a good one that is taken: the same table goes straight to the verifier and
//! through the faces of the server.

mod form;
mod good;
mod saying;
mod signing;

use serde_json::{Map, Value, json};

use super::keys::{Pair, b64, hmac, signed, with_signature};

/// The account that the role of the table covers and that the good tokens are sent for.
pub const ACCOUNT: &str = "github/acme-owner";
/// The audience of the role.
pub const AUDIENCE: &str = "sparekey-test";

/// Everything a server needs to be asked with the table.
pub struct Table {
    /// Records for `issuers/:name`.
    pub issuers: Vec<(&'static str, Value)>,
    /// A role over all of them, with nothing but issuers, audience, one bound claim, `accounts`, `operations` and an age.
    pub role: Value,
    /// Tokens that are taken.
    pub good: Vec<(String, String)>,
    /// Tokens that are refused.
    pub bad: Vec<Bad>,
}

/// A token that must be refused.
pub struct Bad {
    /// What is wrong with it.
    pub name: String,
    /// The token.
    pub token: String,
    /// Name of the refusal's variant.
    pub reason: &'static str,
}

/// The issuers' keys, and a forger's.
struct Keys {
    rsa: Pair,
    rsa_only_rs256: Pair,
    ec: Pair,
    ec384: Pair,
    ed: Pair,
    forger_rsa: Pair,
    forger_ec: Pair,
}

const ISS_RSA: &str = "https://rsa.example.com";
const ISS_RS256: &str = "https://rs256.example.com";
const ISS_EC: &str = "https://ec.example.com/";
const ISS_EC384: &str = "https://ec384.example.com";
const ISS_ED: &str = "https://ed.example.com";

struct Maker {
    keys: Keys,
    now: i64,
    good: Vec<(String, String)>,
    bad: Vec<Bad>,
}

/// The table, with tokens that are issued at `now` (Unix seconds) and valid for five minutes.
pub fn table(now: i64) -> Table {
    let keys = Keys {
        rsa: Pair::rsa(),
        rsa_only_rs256: Pair::rsa(),
        ec: Pair::p256(),
        ec384: Pair::p384(),
        ed: Pair::ed(),
        forger_rsa: Pair::rsa(),
        forger_ec: Pair::p256(),
    };
    let issuers = vec![
        ("rsa", json!({"bound_issuer": ISS_RSA, "jwks": {"keys": [keys.rsa.jwk(Some("rsa-1"))]}})),
        (
            "rs256",
            json!({"bound_issuer": ISS_RS256, "jwt_validation_pubkeys": [keys.rsa_only_rs256.pem()],
                   "jwt_supported_algs": ["RS256"]}),
        ),
        ("ec", json!({"bound_issuer": ISS_EC, "jwt_validation_pubkeys": [keys.ec.pem()]})),
        ("ec384", json!({"bound_issuer": ISS_EC384, "jwks": {"keys": [keys.ec384.jwk(None)]}})),
        ("ed", json!({"bound_issuer": ISS_ED, "jwt_validation_pubkeys": [keys.ed.pem()]})),
    ];
    let role = json!({
        "issuers": ["rsa", "rs256", "ec", "ec384", "ed"],
        "bound_audiences": [AUDIENCE],
        "bound_claims": {"team": ["on-call"]},
        "accounts": [ACCOUNT],
        "operations": ["retrieve"],
        "require_reason": false,
        "max_assertion_age": "1h",
        "single_use": false,
    });
    let mut maker = Maker { keys, now, good: Vec::new(), bad: Vec::new() };
    maker.good();
    maker.form();
    maker.algorithms();
    maker.signatures();
    maker.headers();
    maker.claims();
    maker.times();
    Table { issuers, role, good: maker.good, bad: maker.bad }
}

impl Maker {
    fn claims_of(&self, iss: &str) -> Map<String, Value> {
        let claims = json!({
            "iss": iss, "sub": "jane@example.com", "aud": AUDIENCE, "team": "on-call",
            "iat": self.now, "exp": self.now + 300,
        });
        claims.as_object().unwrap().clone()
    }
    fn payload(&self, iss: &str) -> String {
        Value::from(self.claims_of(iss)).to_string()
    }
    /// The EC issuer's payload with a claim put in, replaced or, with null as `Option`, taken out.
    fn changed(&self, claim: &str, value: Option<Value>) -> String {
        let mut claims = self.claims_of(ISS_EC);
        match value {
            Some(value) => claims.insert(claim.to_owned(), value),
            None => claims.remove(claim),
        };
        Value::from(claims).to_string()
    }
    /// Signed by the EC issuer: only header or payload can be wrong.
    fn ec(&self, header: &str, payload: &str) -> String {
        let signed = signed(header, payload);
        let signature = self.keys.ec.sign("ES256", signed.as_bytes());
        with_signature(&signed, signature)
    }
    fn rsa(&self, header: &str, payload: &str) -> String {
        let alg = serde_json::from_str::<Value>(header).unwrap()["alg"].as_str().unwrap_or_default().to_owned();
        let signed = signed(header, payload);
        let signature = self.keys.rsa.sign(&alg, signed.as_bytes());
        with_signature(&signed, signature)
    }
    fn take(&mut self, name: &str, token: String) {
        self.good.push((name.to_owned(), token));
    }
    fn refuse(&mut self, name: &str, reason: &'static str, token: String) {
        self.bad.push(Bad { name: name.to_owned(), token, reason });
    }
    fn refuse_payload(&mut self, name: &str, reason: &'static str, payload: &str) {
        let token = self.ec(ES256, payload);
        self.refuse(name, reason, token);
    }
    fn refuse_header(&mut self, name: &str, reason: &'static str, header: &str) {
        let token = self.ec(header, &self.payload(ISS_EC));
        self.refuse(name, reason, token);
    }
}

const ES256: &str = r#"{"alg":"ES256"}"#;
