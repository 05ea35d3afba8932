//! Security Event Tokens that must be refused, each with the word that RFC 8935 has for it, next to a good one: the same table for both
//! faces.

use serde_json::{Value, json};

use super::support::signer::{Signer, fresh, unsigned};

/// The event that matters.
pub const CREDENTIAL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";

/// Who sends, to whom, about whom.
pub struct Sender<'a> {
    /// The issuer's key, of P-256.
    pub signer: &'a Signer,
    /// The issuer's `iss`.
    pub issuer: &'a str,
    /// The audience that the source asks for.
    pub audience: &'a str,
    /// Another one, that roles ask for.
    pub assertions: &'a str,
    /// Whose account it is about.
    pub email: &'a str,
    /// The present second.
    pub now: i64,
}

impl Sender<'_> {
    /// The claims of a fresh event: a new factor, enrolled now; `over` replaces claims, null drops one.
    pub fn event(&self, over: &Value) -> Value {
        let mut claims = json!({
            "iss": self.issuer, "aud": self.audience, "iat": self.now, "jti": hex::encode(fresh()),
            "sub_id": {"format": "email", "email": self.email},
            "events": {CREDENTIAL_CHANGE: {
                "credential_type": "app", "change_type": "create", "event_timestamp": self.now,
            }},
        });
        merge(&mut claims, over);
        claims
    }
    /// A fresh event that is taken.
    pub fn good(&self) -> String {
        self.signer.set(&self.event(&json!({})))
    }
    /// What is wrong, the word for it, and the token.
    pub fn wrong(&self) -> Vec<(&'static str, &'static str, String)> {
        let (now, issuer, email) = (self.now, self.issuer, self.email);
        let event = |over: Value| self.event(&over);
        let set = |over: Value| self.signer.set(&event(over));
        let header = |header: Value| self.signer.sign(&header, &event(json!({})));
        let assertion = json!({"iss": issuer, "sub": "jane", "aud": self.audience, "iat": now, "exp": now + 300});
        let assertion = self.signer.jwt(&assertion);
        let inner = |change: &dyn Fn(&mut Value)| {
            let mut claims = event(json!({}));
            change(&mut claims["events"][CREDENTIAL_CHANGE]);
            self.signer.set(&claims)
        };
        let good = self.good();
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let forger = Signer::es256(self.signer.kid());
        let request = "invalid_request";
        vec![
            // Not what it says it is.
            ("an assertion in place of an event", request, assertion),
            ("typ JWT", request, header(json!({"alg": "ES256", "typ": "JWT", "kid": self.signer.kid()}))),
            ("no typ", request, header(json!({"alg": "ES256", "kid": self.signer.kid()}))),
            ("typ at+jwt", request, header(json!({"alg": "ES256", "typ": "at+jwt", "kid": self.signer.kid()}))),
            ("typ logout+jwt", request, header(json!({"alg": "ES256", "typ": "logout+jwt", "kid": self.signer.kid()}))),
            (
                "critical header",
                request,
                header(json!({"alg": "ES256", "typ": "secevent+jwt", "crit": ["exp"], "exp": 1})),
            ),
            // Not signed by whom it should be.
            ("forged", "authentication_failed", forger.set(&event(json!({})))),
            ("a flipped signature", "authentication_failed", format!("{signed}.{}", flipped(signature))),
            ("another's signature", "authentication_failed", format!("{signed}.{}", tail(&set(json!({}))))),
            ("no signature and no typ for it", request, unsigned(&event(json!({})))),
            ("no signature", "invalid_key", nothing_signed(&header(json!({"alg": "none", "typ": "secevent+jwt"})))),
            ("alg none over a signature", "invalid_key", header(json!({"alg": "none", "typ": "secevent+jwt"}))),
            ("HS256", "invalid_key", header(json!({"alg": "HS256", "typ": "secevent+jwt"}))),
            ("RS256 of an EC issuer", "invalid_key", header(json!({"alg": "RS256", "typ": "secevent+jwt"}))),
            ("another issuer", "invalid_issuer", set(json!({"iss": "https://evil.example.com"}))),
            ("an issuer with a slash more", "invalid_issuer", set(json!({"iss": format!("{issuer}/")}))),
            ("no issuer", "invalid_issuer", set(json!({"iss": null}))),
            // Not for us.
            ("another audience", "invalid_audience", set(json!({"aud": "https://other.example.com"}))),
            ("the audience of assertions", "invalid_audience", set(json!({"aud": self.assertions}))),
            ("no audience", "invalid_audience", set(json!({"aud": null}))),
            ("no audience in a list", "invalid_audience", set(json!({"aud": []}))),
            // Not of the form.
            ("sub", request, set(json!({"sub": "jane"}))),
            ("sub, empty", request, set(json!({"sub": ""}))),
            ("exp", request, set(json!({"exp": now + 300}))),
            ("no jti", request, set(json!({"jti": null}))),
            ("an empty jti", request, set(json!({"jti": ""}))),
            ("a number as jti", request, set(json!({"jti": 7}))),
            ("an endless jti", request, set(json!({"jti": "j".repeat(2000)}))),
            ("no iat", request, set(json!({"iat": null}))),
            ("a text as iat", request, set(json!({"iat": "now"}))),
            ("no events", request, set(json!({"events": null}))),
            ("an empty events", request, set(json!({"events": {}}))),
            ("a list as events", request, set(json!({"events": [CREDENTIAL_CHANGE]}))),
            ("two events", request, set(json!({"events": {CREDENTIAL_CHANGE: {}, "urn:other": {}}}))),
            ("an event that is a text", request, set(json!({"events": {CREDENTIAL_CHANGE: "x"}}))),
            ("no subject", request, set(json!({"sub_id": null}))),
            ("a text as subject", request, set(json!({"sub_id": email}))),
            ("a subject without format", request, set(json!({"sub_id": {"email": email}}))),
            ("a subject without its member", request, set(json!({"sub_id": {"format": "email"}}))),
            ("a number as address", request, set(json!({"sub_id": {"format": "email", "email": 7}}))),
            (
                "an unknown critical member",
                request,
                set(json!({"sub_id": {"format": "complex", "user": {"format": "email", "email": email}, "robot": {}}})),
            ),
            (
                "no credential type",
                request,
                inner(&|event| drop(event.as_object_mut().unwrap().remove("credential_type"))),
            ),
            ("a list as credential type", request, inner(&|event| event["credential_type"] = json!(["app"]))),
            ("no change type", request, inner(&|event| drop(event.as_object_mut().unwrap().remove("change_type")))),
            // No token at all.
            ("nothing", request, String::new()),
            ("a word", request, "set".to_owned()),
            ("two parts", request, signed.to_owned()),
            ("four parts", request, format!("{good}.x")),
            ("a space inside", request, good.replacen('.', ". ", 1)),
            ("JSON in place of a token", request, event(json!({})).to_string()),
            ("a padded token", request, format!("{good}==")),
            ("more than 16 KiB", request, set(json!({"pad": "x".repeat(20_000)}))),
            ("noise", request, "\u{1}\u{2}\u{3}.\u{4}.\u{5}".to_owned()),
        ]
    }
}

/// Puts the members of `over` over those of `claims`; null drops one.
pub fn merge(claims: &mut Value, over: &Value) {
    let map = claims.as_object_mut().unwrap();
    for (name, value) in over.as_object().unwrap() {
        match value {
            Value::Null => map.remove(name),
            value => map.insert(name.clone(), value.clone()),
        };
    }
}

fn flipped(signature: &str) -> String {
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{other}{}", &signature[1..])
}

fn nothing_signed(set: &str) -> String {
    format!("{}.", set.rsplit_once('.').unwrap().0)
}

fn tail(set: &str) -> &str {
    set.rsplit_once('.').unwrap().1
}
