//! A refused login says what Vault's clients know, word for word, and in Vault's order where several things are wrong.

#[path = "support/keys.rs"]
mod keys;

use std::sync::Arc;

use keys::{Pair, hmac, signed, with_signature};
use serde_json::{Map, Value, json};
use sparekey::auth::fetch::{Fetch, Fetching};
use sparekey::auth::{Compiled, Presented, Verifier, login};
use sparekey::clock::SettableClock;
use sparekey::domain::fields::Fields;
use sparekey::domain::issuer::Issuer;
use sparekey::domain::role::Role;
use sparekey::domain::rule::Rule;
use sparekey::domain::time::Timestamp;
use sparekey::error::Kind;

const NOW: i64 = 1_800_000_000;

struct OneSet(Vec<u8>);

impl Fetch for OneSet {
    fn get(&self, _url: &str, _ca_pem: Option<&str>) -> Fetching {
        let set = self.0.clone();
        Box::pin(async move { Ok(set) })
    }
}

/// An identity provider with an RSA key whose set is fetched, and what a login there comes to.
struct Provider {
    rsa: Pair,
    verifier: Verifier,
    issuers: Vec<Arc<Compiled>>,
}

impl Provider {
    fn new(pinned: bool) -> Self {
        let rsa = Pair::rsa();
        let set = json!({"keys": [rsa.jwk(Some("k1"))]}).to_string().into_bytes();
        let record = match pinned {
            false => json!({"bound_issuer": "https://idp.test", "jwks_url": "https://idp.test/keys"}),
            true => json!({"bound_issuer": "https://idp.test", "jwt_validation_pubkeys": [rsa.pem()],
                           "jwt_supported_algs": ["RS512"]}),
        };
        let issuer = Issuer::update(None, &mut Fields::new(record.as_object().unwrap().clone())).unwrap();
        let clock = Arc::new(SettableClock::new(Timestamp::from_secs(NOW)));
        Provider {
            rsa,
            verifier: Verifier::new(Arc::new(OneSet(set)), clock),
            issuers: vec![Arc::new(Compiled::new("idp", &issuer).unwrap())],
        }
    }
    fn token(&self, alg: &str, changes: &Value) -> String {
        self.token_by(&self.rsa, &json!({"alg": alg, "kid": "k1"}), changes)
    }
    fn token_by(&self, pair: &Pair, header: &Value, changes: &Value) -> String {
        let signed = signed(&header.to_string(), &claims(changes));
        with_signature(&signed, pair.sign(header["alg"].as_str().unwrap(), signed.as_bytes()))
    }
    async fn says(&self, rule: &Rule, token: &str) -> String {
        let now = Timestamp::from_secs(NOW);
        match login(&self.verifier, rule, "dev", &self.issuers, token, now, None).await {
            Ok((grant, assertion)) => {
                assert_eq!(assertion.presented, Presented::Login);
                format!("{} as {}", grant.display_name, grant.role)
            }
            Err(refusal) => {
                let error = refusal.for_login();
                assert_eq!(error.kind(), Kind::Invalid);
                error.public().to_owned()
            }
        }
    }
}

fn claims(changes: &Value) -> String {
    let mut claims: Map<String, Value> = json!({
        "iss": "https://idp.test", "sub": "user-1", "aud": "farm", "iat": NOW, "nbf": NOW - 5, "exp": NOW + 3600,
        "email": "u1@test", "groups": ["dev", "ops"],
    })
    .as_object()
    .unwrap()
    .clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.remove(name),
            value => claims.insert(name.clone(), value.clone()),
        };
    }
    Value::from(claims).to_string()
}

fn rule(changes: Value) -> Rule {
    let mut record = json!({"issuers": "idp", "bound_audiences": "farm", "bound_subject": "user-1", "accounts": "*",
                            "operations": "read"});
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Role::update(None, "dev", &mut Fields::new(record.as_object().unwrap().clone())).unwrap().compile().unwrap()
}

const TEN: &str = r#"expected ["RS256" "RS384" "RS512" "ES256" "ES384" "ES512" "PS256" "PS384" "PS512" "EdDSA"]"#;
const SIGNATURE: &str = "error validating token: error verifying token signature: ";
const AUDIENCE: &str =
    "error validating token: invalid audience (aud) claim: audience claim does not match any expected audience";
const EXPIRED: &str = "error validating token: invalid expiration time (exp) claim: token is expired";
const NUMERIC: &str = "error validating token: go-jose/go-jose/jwt: expected number value to unmarshal NumericDate";

#[tokio::test]
async fn each_refusal_in_the_words_of_vault() {
    let provider = Provider::new(false);
    let dev = rule(json!({}));
    let says = async |changes: Value| provider.says(&dev, &provider.token("RS256", &changes)).await;
    assert_eq!(says(json!({})).await, "jwt-user-1 as dev");
    assert_eq!(says(json!({"exp": NOW - 40})).await, "jwt-user-1 as dev", "within the leeway");
    for (changes, text) in [
        (json!({"aud": "other"}), AUDIENCE),
        (json!({"aud": null}), AUDIENCE),
        (json!({"iss": "https://other.test"}), "error validating token: invalid issuer (iss) claim"),
        (json!({"iss": null}), "error validating token: invalid issuer (iss) claim"),
        (json!({"sub": "user-2"}), "error validating token: invalid subject (sub) claim"),
        (json!({"sub": null}), "error validating token: invalid subject (sub) claim"),
        (json!({"exp": NOW - 1000}), EXPIRED),
        (json!({"exp": NOW - 90}), EXPIRED),
        (json!({"nbf": NOW + 1000}), "error validating token: invalid not before (nbf) claim: token not yet valid"),
        (
            json!({"iat": NOW + 1000}),
            "error validating token: invalid issued at (iat) claim: token issued in the future",
        ),
        (json!({"exp": "soon"}), NUMERIC),
        (json!({"iat": true}), NUMERIC),
        (
            json!({"sub": 7}),
            "error validating token: json: cannot unmarshal number into Go struct field Claims.sub of type string",
        ),
        (
            json!({"Sub": "x"}),
            "error validating token: ambiguous claim: key \"Sub\" collides with registered claim \"sub\" under case folding",
        ),
    ] {
        assert_eq!(says(changes.clone()).await, text, "{changes}");
    }
}

#[tokio::test]
async fn signatures_in_the_words_of_vault() {
    let (provider, dev) = (Provider::new(false), rule(json!({})));
    let none = signed(r#"{"alg":"none","kid":"k1"}"#, &claims(&json!({})));
    let said = provider.says(&dev, &format!("{none}.")).await;
    assert_eq!(said, format!("{SIGNATURE}oidc: malformed jwt: unexpected signature algorithm \"none\"; {TEN}"));
    let confused = signed(r#"{"alg":"HS256","kid":"k1"}"#, &claims(&json!({})));
    let mac = hmac("HS256", provider.rsa.pem().as_bytes(), confused.as_bytes());
    let said = provider.says(&dev, &with_signature(&confused, mac)).await;
    assert_eq!(said, format!("{SIGNATURE}oidc: malformed jwt: unexpected signature algorithm \"HS256\"; {TEN}"));
    let unverified = format!("{SIGNATURE}failed to verify id token signature");
    let stranger = Pair::rsa();
    for header in [json!({"alg": "RS256", "kid": "k1"}), json!({"alg": "RS256", "kid": "zzz"}), json!({"alg": "RS256"})]
    {
        let token = provider.token_by(&stranger, &header, &json!({}));
        assert_eq!(provider.says(&dev, &token).await, unverified, "{header}");
    }
    let without_kid = provider.token_by(&provider.rsa, &json!({"alg": "RS256"}), &json!({}));
    assert_eq!(provider.says(&dev, &without_kid).await, "jwt-user-1 as dev");
    let garbage = format!("{SIGNATURE}oidc: malformed jwt: go-jose/go-jose: compact JWS format must have three parts");
    assert_eq!(provider.says(&dev, "garbage").await, garbage);
}

#[tokio::test]
async fn pinned_keys_in_the_words_of_vault() {
    let (provider, dev) = (Provider::new(true), rule(json!({})));
    assert_eq!(provider.says(&dev, &provider.token("RS512", &json!({}))).await, "jwt-user-1 as dev");
    let text =
        "error validating token: invalid algorithm (alg) header parameter: token signed with unexpected algorithm";
    assert_eq!(provider.says(&dev, &provider.token("RS256", &json!({}))).await, text);
    let unknown = format!("{SIGNATURE}no known key successfully validated the token signature");
    let none = signed(r#"{"alg":"none"}"#, &claims(&json!({})));
    assert_eq!(provider.says(&dev, &format!("{none}.")).await, unknown);
    let stranger = provider.token_by(&Pair::rsa(), &json!({"alg": "RS512"}), &json!({}));
    assert_eq!(provider.says(&dev, &stranger).await, unknown);
}

#[tokio::test]
async fn bound_claims_in_the_words_of_vault() {
    let provider = Provider::new(false);
    let token = provider.token("RS256", &json!({"job": {"id": "42"}}));
    for (role, text) in [
        (json!({"bound_subject": "x"}), "error validating token: invalid subject (sub) claim"),
        (
            json!({"bound_claims": {"email": "other@test"}}),
            "error validating claims: claim \"email\" does not match any associated bound claim values",
        ),
        (json!({"bound_claims": {"absent": "x"}}), "error validating claims: claim \"absent\" is missing"),
        (
            json!({"bound_claims": {"job": "x"}}),
            "error validating claims: received claim is not a string, bool, int or list: \"job\"",
        ),
        (json!({"user_claim": "absent"}), "claim \"absent\" not found in token"),
        (json!({"user_claim": "iat"}), "claim \"iat\" could not be converted to string"),
    ] {
        assert_eq!(provider.says(&rule(role.clone()), &token).await, text, "{role}");
    }
}

#[tokio::test]
async fn what_is_wrong_first_is_said_first() {
    let provider = Provider::new(false);
    let all_wrong = rule(json!({"bound_subject": "x", "bound_audiences": "y", "user_claim": "absent",
                                "bound_claims": {"absent": 1}, "bound_cidrs": "10.0.0.0/8"}));
    let now = Timestamp::from_secs(NOW);
    let token = provider.token("RS256", &json!({"exp": 5}));
    let refused = login(&provider.verifier, &all_wrong, "dev", &provider.issuers, "garbage", now, None).await;
    assert_eq!(refused.unwrap_err().for_login().kind(), Kind::Denied, "the address comes before everything");
    let order = [
        (json!({"bound_subject": "x", "bound_audiences": "y"}), "subject (sub)"),
        (json!({"bound_audiences": "y", "user_claim": "absent"}), "audience (aud)"),
        (json!({"user_claim": "absent", "bound_claims": {"absent": 1}}), "expiration time (exp)"),
    ];
    for (role, part) in order {
        let said = provider.says(&rule(role.clone()), &token).await;
        assert!(said.contains(part), "{role}: {said}");
    }
    let valid = provider.token("RS256", &json!({}));
    let said = provider.says(&rule(json!({"user_claim": "absent", "bound_claims": {"absent": 1}})), &valid).await;
    assert_eq!(said, "claim \"absent\" not found in token");
}
