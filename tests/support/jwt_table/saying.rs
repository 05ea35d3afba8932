//! Well signed, and saying what must not be said: header parameters, claims, times.

use super::*;

impl Maker {
    pub(super) fn headers(&mut self) {
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

    pub(super) fn claims(&mut self) {
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

    pub(super) fn times(&mut self) {
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
