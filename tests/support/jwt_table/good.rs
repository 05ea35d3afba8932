//! Tokens that are taken.

use super::*;

impl Maker {
    pub(super) fn good(&mut self) {
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
}
