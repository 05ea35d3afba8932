//! A table of JWTs that must be refused, each next to a good one that is taken: the same table goes straight to the verifier and
//! through the faces of the server.

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

    fn good(&mut self) {
        for alg in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
            let token = self.rsa(&format!(r#"{{"alg":"{alg}","kid":"rsa-1"}}"#), &self.payload(ISS_RSA));
            self.take(alg, token);
        }
        let token = self.ec(ES256, &self.payload(ISS_EC));
        self.take("ES256", token);
        for (alg, iss) in [("ES384", ISS_EC384), ("EdDSA", ISS_ED)] {
            let signed = signed(&format!(r#"{{"alg":"{alg}"}}"#), &self.payload(iss));
            let pair = if alg == "EdDSA" { &self.keys.ed } else { &self.keys.ec384 };
            let token = with_signature(&signed, pair.sign(alg, signed.as_bytes()));
            self.take(alg, token);
        }
        let signed_once = signed(r#"{"alg":"RS256"}"#, &self.payload(ISS_RS256));
        let token = with_signature(&signed_once, self.keys.rsa_only_rs256.sign("RS256", signed_once.as_bytes()));
        self.take("RS256 where only that is allowed", token);
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
            let token = self.ec(&format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#), &self.payload(ISS_EC));
            self.take(&format!("typ {typ}"), token);
        }
        let token = self.rsa(r#"{"alg":"RS256"}"#, &self.payload(ISS_RSA));
        self.take("no kid", token);
        let token = self.ec(r#"{"alg":"ES256","kid":"whatever"}"#, &self.payload(ISS_EC));
        self.take("a kid where keys are pinned without one", token);
        let forger = self.keys.forger_ec.jwk(Some("evil"));
        let header = json!({"alg": "ES256", "jku": "https://evil.example.com/keys", "jwk": forger, "x5u": "https://evil.example.com",
                            "x5c": ["AAAA"]});
        let token = self.ec(&header.to_string(), &self.payload(ISS_EC));
        self.take("foreign keys in the header, passed over", token);
        for (name, claim, value) in [
            ("several audiences", "aud", json!(["other", AUDIENCE])),
            ("times with a fraction", "exp", json!(self.now as f64 + 60.5)),
            ("expired within the leeway", "exp", json!(self.now - 55)),
            ("not yet valid within the leeway", "nbf", json!(self.now + 55)),
            ("issued ahead within the leeway", "iat", json!(self.now + 55)),
            ("a jti", "jti", json!("e3b0c442")),
            ("an empty jti", "jti", json!("")),
            ("a nested claim", "job", json!({"id": [1, 2, {"a": null}]})),
        ] {
            let token = self.ec(ES256, &self.changed(claim, Some(value)));
            self.take(name, token);
        }
    }

    fn form(&mut self) {
        let good = self.ec(ES256, &self.payload(ISS_EC));
        let parts: Vec<String> = good.split('.').map(str::to_owned).collect();
        let (header, payload, signature) = (&parts[0], &parts[1], &parts[2]);
        for (name, reason, token) in [
            ("nothing", "Parts", String::new()),
            ("a word", "Parts", "jwt".into()),
            ("no signature part", "Parts", format!("{header}.{payload}")),
            ("a fourth part", "Parts", format!("{good}.{signature}")),
            ("a dot at the end", "Parts", format!("{good}.")),
            ("five parts, as JWE has", "Parts", format!("{header}.{payload}.{payload}.{payload}.{signature}")),
            ("a line feed at the end", "Encoding", format!("{good}\n")),
            ("a space before it", "Encoding", format!(" {good}")),
            ("a NUL at the end", "Encoding", format!("{good}\0")),
            ("a space inside", "Encoding", format!("{header}.{payload} .{signature}")),
            ("a padded signature", "Encoding", format!("{good}==")),
            ("a padded payload", "Encoding", format!("{header}.{payload}=.{signature}")),
            ("the other base64 alphabet", "Encoding", format!("{header}.{payload}.+/{}", &signature[2..])),
            ("stray bits at the end of the signature", "Encoding", stray_bits(&good)),
            ("an empty header", "Json", format!(".{payload}.{signature}")),
            ("an empty payload", "Json", format!("{header}..{signature}")),
            ("an empty signature", "Signature", format!("{header}.{payload}.")),
            ("Bearer before it", "Encoding", format!("Bearer {good}")),
        ] {
            self.refuse(name, reason, token);
        }
        let big = self.changed("pad", Some("x".repeat(16 * 1024).into()));
        self.refuse_payload("more than 16 KiB", "TooLarge", &big);
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let plain = self.payload(ISS_EC);
        let open = plain.trim_end_matches('}').to_owned();
        self.refuse_payload("a deep payload", "Deep", &format!("{open},\"x\":{}}}", deep(64)));
        self.refuse_header("a deep header", "Deep", &format!(r#"{{"alg":"ES256","x":{}}}"#, deep(64)));
        self.refuse_payload("sub twice", "Repeated", &format!("{open},\"sub\":\"root@example.com\"}}"));
        self.refuse_payload(
            "sub twice, once escaped",
            "Repeated",
            &format!("{open},\"\\u0073ub\":\"root@example.com\"}}"),
        );
        self.refuse_payload("a nested name twice", "Repeated", &format!("{open},\"x\":{{\"a\":1,\"a\":2}}}}"));
        self.refuse_header("alg twice", "Repeated", r#"{"alg":"none","alg":"ES256"}"#);
        self.refuse_payload("a list as payload", "Json", &format!("[{plain}]"));
        self.refuse_payload("a string as payload", "Json", "\"hello\"");
        self.refuse_payload("something behind the payload", "Json", &format!("{plain}{{}}"));
        self.refuse_payload("a byte order mark", "Json", &format!("\u{feff}{plain}"));
        self.refuse_payload("NaN", "Json", &format!("{open},\"nbf\":NaN}}"));
        self.refuse_payload("a number out of range", "Json", &format!("{open},\"nbf\":1e999}}"));
        self.refuse_header("a header that is no JSON", "Json", "alg=ES256");
        let not_utf8 = {
            let mut bytes = format!("{open},\"x\":\"").into_bytes();
            bytes.extend(b"\xff\"}");
            let signed = format!("{}.{}", b64(ES256), b64(bytes));
            with_signature(&signed, self.keys.ec.sign("ES256", signed.as_bytes()))
        };
        self.refuse("bytes that are not UTF-8", "Json", not_utf8);
    }

    fn algorithms(&mut self) {
        let payload = self.payload(ISS_EC);
        for alg in ["none", "None", "NONE", "nOnE", "", "null", "es256", "ES256 ", "ES256K", "RS1", "Ed25519", "HS256"]
        {
            let header = format!(r#"{{"alg":"{alg}"}}"#);
            self.refuse_header(&format!("alg {alg:?} over a good signature"), "Algorithm", &header);
            self.refuse(
                &format!("alg {alg:?} and no signature"),
                "Algorithm",
                format!("{}.", signed(&header, &payload)),
            );
        }
        self.refuse_header("no alg", "Header", r#"{"typ":"JWT"}"#);
        self.refuse_header("alg null", "Header", r#"{"alg":null}"#);
        self.refuse_header("a number as alg", "Header", r#"{"alg":256}"#);
        self.refuse_header("a list as alg", "Header", r#"{"alg":["ES256"]}"#);
        // The public key is no secret: whoever knows it must not be able to use it as one.
        for (name, iss, alg, secret) in [
            ("the RSA PEM", ISS_RSA, "HS256", self.keys.rsa.pem().into_bytes()),
            (
                "the RSA PEM without its last line feed",
                ISS_RSA,
                "HS256",
                self.keys.rsa.pem().trim_end().as_bytes().to_vec(),
            ),
            ("the RSA key's DER", ISS_RSA, "HS384", self.keys.rsa.raw()),
            ("the EC PEM", ISS_EC, "HS256", self.keys.ec.pem().into_bytes()),
            ("the EC point", ISS_EC, "HS512", self.keys.ec.raw()),
            ("the Ed25519 point", ISS_ED, "HS256", self.keys.ed.raw()),
            ("nothing", ISS_EC, "HS256", Vec::new()),
        ] {
            let header = format!(r#"{{"alg":"{alg}","kid":"rsa-1","typ":"JWT"}}"#);
            let signed = signed(&header, &self.payload(iss));
            let token = with_signature(&signed, hmac(alg, &secret, signed.as_bytes()));
            self.refuse(&format!("{alg} with {name} as secret"), "Algorithm", token);
        }
        self.refuse_header("RS256 of an EC issuer", "NoKey", r#"{"alg":"RS256"}"#);
        self.refuse_header("EdDSA of an EC issuer", "NoKey", r#"{"alg":"EdDSA"}"#);
        self.refuse_header("ES384 of a P-256 key", "NoKey", r#"{"alg":"ES384"}"#);
        self.refuse_header("ES512, which no key here has", "NoKey", r#"{"alg":"ES512"}"#);
        let es_of_rsa = signed(r#"{"alg":"ES256","kid":"rsa-1"}"#, &self.payload(ISS_RSA));
        let token = with_signature(&es_of_rsa, self.keys.ec.sign("ES256", es_of_rsa.as_bytes()));
        self.refuse("ES256 of an RSA issuer", "NoKey", token);
        for (claimed, used) in [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512"), ("PS384", "PS256")] {
            let signed = signed(&format!(r#"{{"alg":"{claimed}","kid":"rsa-1"}}"#), &self.payload(ISS_RSA));
            let token = with_signature(&signed, self.keys.rsa.sign(used, signed.as_bytes()));
            self.refuse(&format!("{claimed} said, {used} done"), "Signature", token);
        }
        for alg in ["PS256", "RS384", "RS512", "PS512"] {
            let signed = signed(&format!(r#"{{"alg":"{alg}"}}"#), &self.payload(ISS_RS256));
            let token = with_signature(&signed, self.keys.rsa_only_rs256.sign(alg, signed.as_bytes()));
            self.refuse(&format!("{alg} where only RS256 is allowed"), "AlgorithmNotAllowed", token);
        }
    }

    fn signatures(&mut self) {
        let signed_ec = signed(ES256, &self.payload(ISS_EC));
        let good = self.keys.ec.sign("ES256", signed_ec.as_bytes());
        let mut flipped = good.clone();
        flipped[40] ^= 1;
        // The order of P-256: with r or s equal to it, or to zero, a careless verifier takes anything.
        let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
        for (name, signature) in [
            ("a flipped bit", flipped),
            ("a cut signature", good[..63].to_vec()),
            ("a signature with a byte more", [&good[..], &[0]].concat()),
            ("an ES256 signature in DER", self.keys.ec.sign_der(signed_ec.as_bytes())),
            ("r and s zero", vec![0; 64]),
            ("r and s the order of the curve", [&order[..], &order[..]].concat()),
            ("s zero", [&good[..32], &[0; 32]].concat()),
            ("another message's signature", self.keys.ec.sign("ES256", b"another")),
            ("a forger's key", self.keys.forger_ec.sign("ES256", signed_ec.as_bytes())),
        ] {
            self.refuse(name, "Signature", with_signature(&signed_ec, signature));
        }
        let other = self.changed("sub", Some("root@example.com".into()));
        self.refuse(
            "another payload under a good signature",
            "Signature",
            with_signature(&signed(ES256, &other), &good),
        );
        let other = signed(r#"{"alg":"ES256","typ":"JWT"}"#, &self.payload(ISS_EC));
        self.refuse("another header under a good signature", "Signature", with_signature(&other, &good));

        let signed_rsa = signed(r#"{"alg":"RS256","kid":"rsa-1"}"#, &self.payload(ISS_RSA));
        let good = self.keys.rsa.sign("RS256", signed_rsa.as_bytes());
        for (name, signature) in [
            ("another RSA key under the same kid", self.keys.forger_rsa.sign("RS256", signed_rsa.as_bytes())),
            ("an RSA signature with a zero before it", [&[0], &good[..]].concat()),
            ("an RSA signature of zeros", vec![0; good.len()]),
            ("an RSA signature of one", [&vec![0; good.len() - 1][..], &[1]].concat()),
        ] {
            self.refuse(name, "Signature", with_signature(&signed_rsa, signature));
        }

        let signed_ed = signed(r#"{"alg":"EdDSA"}"#, &self.payload(ISS_ED));
        let good = self.keys.ed.sign("EdDSA", signed_ed.as_bytes());
        let mut small_order = vec![0; 64];
        small_order[0] = 1;
        for (name, signature) in [
            ("an Ed25519 signature with s plus the order", plus_order(&good)),
            ("an Ed25519 signature over the neutral point", small_order),
        ] {
            self.refuse(name, "Signature", with_signature(&signed_ed, signature));
        }
        let foreign = signed(r#"{"alg":"ES256"}"#, &self.payload(ISS_EC384));
        let token = with_signature(&foreign, self.keys.ec.sign("ES256", foreign.as_bytes()));
        self.refuse("one trusted issuer signing as another", "NoKey", token);
        let foreign = signed(r#"{"alg":"RS256"}"#, &self.payload(ISS_RS256));
        let token = with_signature(&foreign, self.keys.rsa.sign("RS256", foreign.as_bytes()));
        self.refuse("one RSA issuer signing as another", "Signature", token);
    }

    fn headers(&mut self) {
        let payload = self.payload(ISS_RSA);
        for kid in [
            "rsa-2",
            "RSA-1",
            "rsa-1 ",
            "",
            "../../../../dev/null",
            "/dev/null",
            "' OR '1'='1",
            "rsa-1' --",
            "https://evil.example.com/keys.json",
            "file:///etc/passwd",
            "rsa-1\\u0000",
            "%00",
            "rsa-1/../rsa-1",
            "*",
        ] {
            let header = format!(r#"{{"alg":"RS256","kid":"{kid}"}}"#);
            let token = self.rsa(&header, &payload);
            self.refuse(&format!("kid {kid:?}"), "NoKey", token);
        }
        for kid in ["1".to_owned(), "null".into(), "[\"rsa-1\"]".into(), format!("\"{}\"", "k".repeat(2000))] {
            let token = self.rsa(&format!(r#"{{"alg":"RS256","kid":{kid}}}"#), &payload);
            self.refuse(&format!("a kid that is {}", kid.get(..12).unwrap_or(&kid)), "Header", token);
        }
        // Each is signed by the forger, whose key the header offers.
        let forger = self.keys.forger_ec.jwk(Some("evil"));
        for (name, header) in [
            ("jwk", json!({"alg": "ES256", "jwk": forger})),
            ("jku", json!({"alg": "ES256", "jku": "https://evil.example.com/keys", "kid": "evil"})),
            ("x5u", json!({"alg": "ES256", "x5u": "https://evil.example.com/cert.pem"})),
            ("x5c", json!({"alg": "ES256", "x5c": [b64(self.keys.forger_ec.raw())]})),
        ] {
            let signed = signed(&header.to_string(), &self.payload(ISS_EC));
            let token = with_signature(&signed, self.keys.forger_ec.sign("ES256", signed.as_bytes()));
            self.refuse(&format!("the forger's key in {name}"), "Signature", token);
        }
        for crit in
            [r#"["exp"]"#, r#"["b64"],"b64":false"#, "[]", "null", r#""exp""#, r#"["http://example.com/unknown"]"#]
        {
            self.refuse_header(&format!("crit {crit}"), "Critical", &format!(r#"{{"alg":"ES256","crit":{crit}}}"#));
        }
        for typ in [
            "secevent+jwt",
            "application/secevent+jwt",
            "dpop+jwt",
            "logout+jwt",
            "token-introspection+jwt",
            "JWE",
            "JOSE",
            "",
            " JWT",
            "JWT2",
            "at+jwt;v=1",
            "application/",
            "text/jwt",
            "application/application/jwt",
        ] {
            self.refuse_header(&format!("typ {typ:?}"), "Type", &format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#));
        }
        self.refuse_header("a number as typ", "Header", r#"{"alg":"ES256","typ":1}"#);
        self.refuse_header("typ null", "Header", r#"{"alg":"ES256","typ":null}"#);
    }

    fn claims(&mut self) {
        for claim in ["iss", "sub", "aud", "exp", "iat"] {
            let payload = self.changed(claim, None);
            self.refuse_payload(&format!("no {claim}"), "ClaimMissing", &payload);
        }
        let long = Value::from("x".repeat(2000));
        let wrong_types = [
            ("iss", json!(1)),
            ("iss", json!([ISS_EC])),
            ("iss", json!(null)),
            ("iss", long.clone()),
            ("sub", json!(1)),
            ("sub", json!(null)),
            ("sub", json!(["jane@example.com"])),
            ("sub", long.clone()),
            ("aud", json!(1)),
            ("aud", json!({AUDIENCE: true})),
            ("aud", json!([1, AUDIENCE])),
            ("aud", json!([[AUDIENCE]])),
            ("aud", json!(null)),
            ("aud", json!(vec![AUDIENCE; 100])),
            ("jti", json!(7)),
            ("jti", json!(null)),
            ("jti", long),
        ];
        for (claim, value) in wrong_types {
            let payload = self.changed(claim, Some(value.clone()));
            let shown: String = value.to_string().chars().take(24).collect();
            self.refuse_payload(&format!("{claim} is {shown}"), "ClaimType", &payload);
        }
        for (claim, value) in [("sub", json!("")), ("aud", json!([]))] {
            let payload = self.changed(claim, Some(value));
            self.refuse_payload(&format!("an empty {claim}"), "ClaimMissing", &payload);
        }
        for iss in [
            "https://ec.example.com",
            "https://ec.example.com//",
            "HTTPS://EC.EXAMPLE.COM/",
            "https://evil.example.com/",
            "",
            " https://ec.example.com/",
            "https://ec.example.com/\u{0}",
        ] {
            let payload = self.changed("iss", Some(iss.into()));
            self.refuse_payload(&format!("iss {iss:?}"), "Issuer", &payload);
        }
        for aud in [
            json!("sparekey"),
            json!("sparekey-test-2"),
            json!("Sparekey-Test"),
            json!("sparekey-test,other"),
            json!("sparekey-test "),
            json!("*"),
            json!(""),
            json!(["other", "sparekey"]),
            json!("https://sparekey-test"),
            json!("sparekey-test\u{0}"),
        ] {
            let payload = self.changed("aud", Some(aud.clone()));
            self.refuse_payload(&format!("aud {aud}"), "Audience", &payload);
        }
        for (claim, value) in [
            ("Sub", json!("root@example.com")),
            ("SUB", json!("x")),
            ("\u{17f}ub", json!("x")),
            ("Exp", json!(1)),
            ("eXP", json!(9_999_999_999_i64)),
            ("ISS", json!("x")),
            ("Aud", json!("x")),
            ("JTI", json!("x")),
        ] {
            let payload = self.changed(claim, Some(value));
            self.refuse_payload(&format!("{claim} beside the registered one"), "Ambiguous", &payload);
        }
        for (name, reason, value) in [
            ("another team", "BoundClaim", Some(json!("finance"))),
            ("the team in capitals", "BoundClaim", Some(json!("On-Call"))),
            ("no team", "BoundClaimMissing", None),
            ("an object as team", "BoundClaimType", Some(json!({"on-call": true}))),
        ] {
            let payload = self.changed("team", value);
            self.refuse_payload(name, reason, &payload);
        }
    }

    fn times(&mut self) {
        let now = self.now;
        for claim in ["exp", "iat", "nbf"] {
            for value in [
                json!("9999999999"),
                json!(now.to_string()),
                json!(null),
                json!(true),
                json!([now]),
                json!({}),
                json!(-1),
                json!(1e300),
                json!(u64::MAX),
                json!(""),
            ] {
                let payload = self.changed(claim, Some(value.clone()));
                self.refuse_payload(&format!("{claim} is {value}"), "ClaimType", &payload);
            }
        }
        for (name, reason, claim, value) in [
            ("expired a minute and more ago", "Expired", "exp", now - 65),
            ("expired long ago", "Expired", "exp", 0),
            ("not valid for an hour", "NotYet", "nbf", now + 3600),
            ("not valid for two minutes", "NotYet", "nbf", now + 120),
            ("issued in an hour", "IssuedInFuture", "iat", now + 3600),
            ("issued two hours ago", "TooOld", "iat", now - 7200),
        ] {
            let payload = self.changed(claim, Some(value.into()));
            self.refuse_payload(name, reason, &payload);
        }
    }
}

const ES256: &str = r#"{"alg":"ES256"}"#;

/// Another spelling of the same 64 bytes: the last of 86 characters has four bits that mean nothing.
fn stray_bits(token: &str) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let at = ALPHABET.iter().position(|byte| *byte == last.as_bytes()[0]).unwrap();
    format!("{rest}{}", ALPHABET[at | 1] as char)
}

/// The same Ed25519 signature with another s that is equal modulo the order (RFC 8032 section 8.4 forbids it).
fn plus_order(signature: &[u8]) -> Vec<u8> {
    let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
    let mut out = signature.to_vec();
    let mut carry = 0;
    for (byte, add) in out[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    out
}
