//! Wrong JWTs, each refused for its reason, next to good ones that are taken.

#[path = "support/jwt_table/mod.rs"]
mod jwt_table;
#[path = "support/keys.rs"]
mod keys;

use std::collections::BTreeSet;
use std::sync::Arc;

use jwt_table::{ACCOUNT, Table, table};
use serde_json::Value;
use sparekey::auth::fetch::{Fetch, Fetching};
use sparekey::auth::{Act, Compiled, Refusal, Token, Verifier, judge, login};
use sparekey::clock::SettableClock;
use sparekey::domain::fields::Fields;
use sparekey::domain::issuer::Issuer;
use sparekey::domain::name::AccountName;
use sparekey::domain::role::{Capability, Role};
use sparekey::domain::rule::Rule;
use sparekey::domain::time::Timestamp;
use sparekey::error::Kind;

const NOW: i64 = 1_800_000_000;

/// No issuer of the table needs the network: asking for it is a failure.
struct NoNetwork;

impl Fetch for NoNetwork {
    fn get(&self, url: &str, _ca_pem: Option<&str>) -> Fetching {
        panic!("a token made the verifier fetch {url}");
    }
}

struct Judge {
    verifier: Verifier,
    issuers: Vec<Arc<Compiled>>,
    rule: Rule,
}

impl Judge {
    fn of(table: &Table) -> Self {
        let fields = |value: &Value| Fields::new(value.as_object().unwrap().clone());
        let issuers = table.issuers.iter().map(|(name, record)| {
            let issuer = Issuer::update(None, &mut fields(record)).unwrap();
            Arc::new(Compiled::new(name, &issuer).unwrap())
        });
        Judge {
            issuers: issuers.collect(),
            rule: Role::update(None, "table", &mut fields(&table.role)).unwrap().compile().unwrap(),
            verifier: Verifier::new(Arc::new(NoNetwork), Arc::new(SettableClock::new(Timestamp::from_secs(NOW)))),
        }
    }
    async fn act(&self, token: &str) -> Result<(), Refusal> {
        let now = Timestamp::from_secs(NOW);
        let token = Token::parse(token)?;
        let assertion = self.verifier.verify(&token, &self.issuers, now).await?;
        let account = AccountName::parse(ACCOUNT).unwrap();
        let act = Act {
            capability: Capability::Retrieve,
            account: &account,
            now,
            remote: None,
            reason: None,
            ticket: None,
            wrapped: false,
        };
        judge(&self.rule, "table", &assertion, &act).map(drop)
    }
    async fn login(&self, token: &str) -> Result<(), Refusal> {
        let now = Timestamp::from_secs(NOW);
        login(&self.verifier, &self.rule, "table", &self.issuers, token, now, None).await.map(drop)
    }
}

/// The variant's name.
fn reason(refusal: &Refusal) -> String {
    format!("{refusal:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned()
}

#[tokio::test]
async fn good_tokens_are_taken() {
    let table = table(NOW);
    let judge = Judge::of(&table);
    assert!(table.good.len() >= 20);
    for (name, token) in &table.good {
        assert_eq!(judge.act(token).await, Ok(()), "{name}");
        assert_eq!(judge.login(token).await, Ok(()), "{name}");
    }
}

#[tokio::test]
async fn wrong_tokens_are_refused_for_their_reason() {
    let table = table(NOW);
    let judge = Judge::of(&table);
    let names: BTreeSet<_> = table.bad.iter().map(|bad| &bad.name).collect();
    assert_eq!(names.len(), table.bad.len(), "names are unique");
    assert!(table.bad.len() >= 45, "{}", table.bad.len());
    for bad in &table.bad {
        let act = judge.act(&bad.token).await.expect_err(&bad.name);
        assert_eq!(reason(&act), bad.reason, "{}: {act:?}", bad.name);
        let login = judge.login(&bad.token).await.expect_err(&bad.name);
        assert_eq!(reason(&login), bad.reason, "{} at login", bad.name);
    }
}

#[tokio::test]
async fn refusals_name_the_layer_and_repeat_little_of_the_token() {
    let table = table(NOW);
    let judge = Judge::of(&table);
    for bad in &table.bad {
        let refusal = judge.act(&bad.token).await.unwrap_err();
        let act = refusal.for_act();
        assert_eq!(act.kind(), Kind::Denied, "{}", bad.name);
        let text = act.public();
        assert!(text.starts_with("assertion: ") || text.starts_with("role: "), "{text}");
        assert!(text.len() < 220 && !text.chars().any(char::is_control), "{}: {text:?}", bad.name);
        let login = refusal.for_login();
        assert_eq!(login.kind(), Kind::Invalid, "{}", bad.name);
        assert!(login.public().starts_with("error validating "), "{}", login.public());
        assert!(!login.public().chars().any(char::is_control), "{:?}", login.public());
    }
}

#[tokio::test]
async fn security_events_and_assertions_are_never_taken_for_each_other() {
    let pair = keys::Pair::p256();
    let record = serde_json::json!({"bound_issuer": "https://idp.example.com", "jwt_validation_pubkeys": [pair.pem()]});
    let issuer = Issuer::update(None, &mut Fields::new(record.as_object().unwrap().clone())).unwrap();
    let issuer = Arc::new(Compiled::new("idp", &issuer).unwrap());
    let verifier = Verifier::new(Arc::new(NoNetwork), Arc::new(SettableClock::new(Timestamp::from_secs(NOW))));
    let now = Timestamp::from_secs(NOW);
    let make = |header: &str, iss: &str, pair: &keys::Pair| {
        let payload = serde_json::json!({"iss": iss, "jti": "1", "iat": NOW, "aud": "a", "sub": "x", "exp": NOW + 60});
        let signed = keys::signed(header, &payload.to_string());
        Token::parse(&keys::with_signature(&signed, pair.sign("ES256", signed.as_bytes()))).unwrap()
    };
    for typ in ["secevent+jwt", "SECEVENT+JWT", "application/secevent+jwt"] {
        let header = format!(r#"{{"alg":"ES256","typ":"{typ}"}}"#);
        let event = make(&header, "https://idp.example.com", &pair);
        let claims = verifier.verify_event(&event, &issuer, now).await.unwrap();
        assert_eq!(claims["jti"], "1");
        let refusal = verifier.verify(&event, std::slice::from_ref(&issuer), now).await.unwrap_err();
        assert_eq!(reason(&refusal), "Type");
    }
    for header in [r#"{"alg":"ES256"}"#, r#"{"alg":"ES256","typ":"JWT"}"#, r#"{"alg":"ES256","typ":"at+jwt"}"#] {
        let assertion = make(header, "https://idp.example.com", &pair);
        assert!(verifier.verify(&assertion, std::slice::from_ref(&issuer), now).await.is_ok());
        assert_eq!(reason(&verifier.verify_event(&assertion, &issuer, now).await.unwrap_err()), "Type");
    }
    let header = r#"{"alg":"ES256","typ":"secevent+jwt"}"#;
    let other = make(header, "https://idp.example.com/", &pair);
    assert_eq!(verifier.verify_event(&other, &issuer, now).await, Err(Refusal::Issuer));
    let forged = make(header, "https://idp.example.com", &keys::Pair::p256());
    assert_eq!(reason(&verifier.verify_event(&forged, &issuer, now).await.unwrap_err()), "Signature");
    let none = make(r#"{"alg":"none","typ":"secevent+jwt"}"#, "https://idp.example.com", &pair);
    assert_eq!(reason(&verifier.verify_event(&none, &issuer, now).await.unwrap_err()), "Algorithm");
}

#[tokio::test]
async fn a_token_seen_before_is_judged_as_if_it_were_new() {
    let (pair, other) = (keys::Pair::p256(), keys::Pair::p256());
    let issuer = |pair: &keys::Pair| {
        let record =
            serde_json::json!({"bound_issuer": "https://idp.example.com", "jwt_validation_pubkeys": [pair.pem()]});
        let issuer = Issuer::update(None, &mut Fields::new(record.as_object().unwrap().clone())).unwrap();
        [Arc::new(Compiled::new("idp", &issuer).unwrap())]
    };
    let verifier = Verifier::new(Arc::new(NoNetwork), Arc::new(SettableClock::new(Timestamp::from_secs(NOW))));
    let payload =
        serde_json::json!({"iss": "https://idp.example.com", "iat": NOW, "aud": "a", "sub": "x", "exp": NOW + 60});
    let signed = keys::signed(r#"{"alg":"ES256"}"#, &payload.to_string());
    let text = keys::with_signature(&signed, pair.sign("ES256", signed.as_bytes()));
    let token = Token::parse(&text).unwrap();
    let (now, later) = (Timestamp::from_secs(NOW), Timestamp::from_secs(NOW + 200));
    for _ in 0..3 {
        assert!(verifier.verify(&token, &issuer(&pair), now).await.is_ok());
    }
    let said = |outcome: Result<_, Refusal>| reason(&outcome.map(drop).unwrap_err());
    assert_eq!(said(verifier.verify(&token, &issuer(&pair), later).await), "Expired");
    assert_eq!(said(verifier.verify(&token, &issuer(&other), now).await), "Signature", "the key was taken back");
    assert_eq!(said(verifier.verify(&token, &[], now).await), "Issuer", "the role has no such issuer any more");
    let forged = keys::with_signature(&signed, other.sign("ES256", signed.as_bytes()));
    let forged = Token::parse(&forged).unwrap();
    for _ in 0..3 {
        let outcome = verifier.verify(&forged, &issuer(&pair), now).await;
        assert_eq!(said(outcome), "Signature", "the same words under another signature");
    }
    assert!(verifier.verify(&token, &issuer(&pair), now).await.is_ok());
}
