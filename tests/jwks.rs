//! Fetched keys: fresh, bounded, and never at a stranger's command.

#[path = "support/keys.rs"]
mod keys;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use keys::{Pair, signed, with_signature};
use serde_json::{Value, json};
use sparekey::auth::fetch::{Fetch, Fetching};
use sparekey::auth::jwks::{COOLDOWN, FRESH, STALE};
use sparekey::auth::{Assertion, Compiled, Refusal, Token, Verifier};
use sparekey::clock::{Clock, SettableClock};
use sparekey::domain::fields::Fields;
use sparekey::domain::issuer::Issuer;
use sparekey::domain::time::Timestamp;
use tokio::sync::Semaphore;

const NOW: i64 = 1_800_000_000;
const ISS: &str = "https://idp.example.com";
const URL: &str = "https://idp.example.com/keys";

type Answer = Result<Vec<u8>, String>;
type Answering = Box<dyn Fn(&str) -> Answer + Send>;

/// Answers as it is told, counts, and waits at a gate if there is one.
struct Fake {
    answer: Mutex<Answering>,
    fetches: AtomicUsize,
    gate: Mutex<Option<Arc<Semaphore>>>,
}

impl Fake {
    fn new(answer: impl Fn(&str) -> Answer + Send + 'static) -> Arc<Self> {
        Arc::new(Fake { answer: Mutex::new(Box::new(answer)), fetches: AtomicUsize::new(0), gate: Mutex::default() })
    }
    fn serving(pairs: &[(&Pair, &str)]) -> Arc<Self> {
        let set = key_set(pairs);
        Self::new(move |_| Ok(set.clone()))
    }
    fn set(&self, answer: impl Fn(&str) -> Answer + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }
    fn count(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
    /// Fetches wait until the answered semaphore has a permit for each.
    fn close(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }
}

impl Fetch for Fake {
    fn get(&self, url: &str, _ca_pem: Option<&str>) -> Fetching {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let answer = (self.answer.lock().unwrap())(url);
        let gate = self.gate.lock().unwrap().clone();
        Box::pin(async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            answer
        })
    }
}

fn key_set(pairs: &[(&Pair, &str)]) -> Vec<u8> {
    let keys: Vec<Value> = pairs.iter().map(|(pair, kid)| pair.jwk(Some(kid))).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

struct Desk {
    verifier: Arc<Verifier>,
    clock: Arc<SettableClock>,
    issuers: Vec<Arc<Compiled>>,
}

impl Desk {
    fn of(fake: &Arc<Fake>, record: Value) -> Self {
        let issuer = Issuer::update(None, &mut Fields::new(record.as_object().unwrap().clone())).unwrap();
        let clock = Arc::new(SettableClock::new(Timestamp::from_secs(NOW)));
        Desk {
            verifier: Arc::new(Verifier::new(Arc::clone(fake) as Arc<dyn Fetch>, Arc::clone(&clock) as Arc<dyn Clock>)),
            clock,
            issuers: vec![Arc::new(Compiled::new("idp", &issuer).unwrap())],
        }
    }
    fn jwks(fake: &Arc<Fake>) -> Self {
        Self::of(fake, json!({"bound_issuer": ISS, "jwks_url": URL}))
    }
    fn pass(&self, span: std::time::Duration) {
        self.clock.advance(i64::try_from(span.as_millis()).unwrap());
    }
    async fn verify(&self, token: &str) -> Result<Assertion, Refusal> {
        let now = self.clock.now();
        self.verifier.verify(&Token::parse(token).unwrap(), &self.issuers, now).await
    }
    /// A token that is valid for two days, so that only the age of the keys matters.
    fn token(pair: &Pair, kid: Option<&str>) -> String {
        let alg = match pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed(_) => "EdDSA",
        };
        let mut header = json!({ "alg": alg });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let claims = json!({"iss": ISS, "sub": "jane", "aud": "a", "iat": NOW, "exp": NOW + 172_800});
        let signed = signed(&header.to_string(), &claims.to_string());
        with_signature(&signed, pair.sign(alg, signed.as_bytes()))
    }
}

/// Lets spawned fetches run to their end.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ten_thousand_strange_key_ids_cause_one_fetch_per_cooldown() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    assert_eq!(fake.count(), 1);
    for round in 0..3 {
        desk.pass(COOLDOWN);
        for number in 0..3_334 {
            let strange = Desk::token(&pair, Some(&format!("strange-{round}-{number}")));
            assert_eq!(desk.verify(&strange).await, Err(Refusal::NoKey { pinned: false }));
        }
        assert_eq!(fake.count(), 2 + round);
        desk.verify(&good).await.unwrap();
    }
}

#[tokio::test]
async fn failures_and_empty_answers_count_and_never_evict() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    let bodies: [Answer; 8] = [
        Err("refused".into()),
        Ok(b"{\"keys\":[]}".to_vec()),
        Ok(b"{}".to_vec()),
        Ok(b"<html>".to_vec()),
        Ok(b"[]".to_vec()),
        Ok(b"{\"keys\":{}}".to_vec()),
        Ok(b"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"strange\"}]}".to_vec()),
        Ok(b"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}]}".to_vec()),
    ];
    for (round, body) in bodies.into_iter().enumerate() {
        fake.set(move |_| body.clone());
        desk.pass(COOLDOWN);
        let strange = Desk::token(&pair, Some("strange"));
        for _ in 0..20 {
            assert_eq!(desk.verify(&strange).await, Err(Refusal::NoKey { pinned: false }));
        }
        assert_eq!(fake.count(), 2 + round);
        desk.verify(&good).await.unwrap();
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_once_per_cooldown() {
    let pair = Pair::p256();
    let fake = Fake::new(|_| Err("connection refused".into()));
    let desk = Desk::jwks(&fake);
    let token = Desk::token(&pair, Some("k1"));
    for _ in 0..1000 {
        assert_eq!(desk.verify(&token).await, Err(Refusal::KeysUnavailable));
    }
    assert_eq!(fake.count(), 1);
    let set = key_set(&[(&pair, "k1")]);
    fake.set(move |_| Ok(set.clone()));
    assert_eq!(desk.verify(&token).await, Err(Refusal::KeysUnavailable));
    desk.pass(COOLDOWN);
    desk.verify(&token).await.unwrap();
    assert_eq!(fake.count(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_by_its_id_and_an_old_one_goes() {
    let (old, new) = (Pair::p256(), Pair::p256());
    let fake = Fake::serving(&[(&old, "k1")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&old, Some("k1"))).await.unwrap();
    let set = key_set(&[(&new, "k2")]);
    fake.set(move |_| Ok(set.clone()));
    let token = Desk::token(&new, Some("k2"));
    assert!(desk.verify(&token).await.is_err(), "within the cooldown nothing is fetched");
    desk.pass(COOLDOWN);
    desk.verify(&token).await.unwrap();
    assert!(desk.verify(&Desk::token(&old, Some("k1"))).await.is_err(), "what the issuer took back is not trusted");
    assert_eq!(fake.count(), 2);
}

#[tokio::test]
async fn a_forged_signature_under_a_known_id_causes_no_fetch() {
    let (pair, forger) = (Pair::p256(), Pair::p256());
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&pair, Some("k1"))).await.unwrap();
    desk.pass(COOLDOWN);
    for _ in 0..100 {
        let forged = desk.verify(&Desk::token(&forger, Some("k1"))).await;
        assert_eq!(forged, Err(Refusal::Signature { pinned: false }));
    }
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_token_without_a_key_id_is_tried_with_every_key() {
    let (one, two, three) = (Pair::p256(), Pair::p384(), Pair::p256());
    let fake = Fake::serving(&[(&one, "k1"), (&two, "k2")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&one, None)).await.unwrap();
    desk.verify(&Desk::token(&two, None)).await.unwrap();
    let set = key_set(&[(&three, "k3")]);
    fake.set(move |_| Ok(set.clone()));
    desk.pass(COOLDOWN);
    desk.verify(&Desk::token(&three, None)).await.unwrap();
}

#[tokio::test]
async fn keys_are_read_while_newer_ones_are_fetched() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    desk.pass(FRESH - COOLDOWN);
    desk.verify(&good).await.unwrap();
    settle().await;
    assert_eq!(fake.count(), 1, "not before its time");
    let gate = fake.close();
    desk.pass(COOLDOWN);
    for _ in 0..50 {
        desk.verify(&good).await.unwrap();
        settle().await;
    }
    assert_eq!(fake.count(), 2, "one fetch is under way and holds nobody up");
    gate.add_permits(1);
    settle().await;
    desk.verify(&good).await.unwrap();
    settle().await;
    assert_eq!(fake.count(), 2, "and made the keys fresh");
}

#[tokio::test]
async fn keys_that_nobody_confirms_are_used_for_a_day_and_no_longer() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    fake.set(|_| Err("down".into()));
    desk.pass(STALE - COOLDOWN);
    desk.verify(&good).await.unwrap();
    settle().await;
    desk.pass(COOLDOWN);
    assert_eq!(desk.verify(&good).await, Err(Refusal::KeysUnavailable));
}

#[tokio::test]
async fn many_first_callers_share_one_fetch() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Arc::new(Desk::jwks(&fake));
    let gate = fake.close();
    let good = Desk::token(&pair, Some("k1"));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (desk, good) = (Arc::clone(&desk), good.clone());
            tokio::spawn(async move { desk.verify(&good).await.map(drop) })
        })
        .collect();
    settle().await;
    gate.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_fetch() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Arc::new(Desk::jwks(&fake));
    let gate = fake.close();
    let good = Desk::token(&pair, Some("k1"));
    let caller = tokio::spawn({
        let (desk, good) = (Arc::clone(&desk), good.clone());
        async move { desk.verify(&good).await.map(drop) }
    });
    settle().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    settle().await;
    desk.verify(&good).await.unwrap();
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_fetcher_that_panics_does_not_block_the_next_fetch() {
    let pair = Pair::p256();
    let set = key_set(&[(&pair, "k1")]);
    let fake = Fake::new(|_| panic!("on purpose"));
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    assert_eq!(desk.verify(&good).await, Err(Refusal::KeysUnavailable));
    *fake.answer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Box::new(move |_| Ok(set.clone()));
    fake.answer.clear_poison();
    desk.pass(COOLDOWN);
    desk.verify(&good).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_fetches() {
    let pair = Pair::p256();
    let fake = Fake::new(|_| Err("down".into()));
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    assert_eq!(desk.verify(&good).await, Err(Refusal::KeysUnavailable));
    desk.clock.set(Timestamp::from_secs(NOW - 1));
    let set = key_set(&[(&pair, "k1")]);
    fake.set(move |_| Ok(set.clone()));
    desk.verify(&good).await.unwrap();
}

#[tokio::test]
async fn only_keys_of_one_family_count_unless_algorithms_are_named() {
    let (rsa, ec) = (Pair::rsa(), Pair::p256());
    let fake = Fake::serving(&[(&ec, "ec"), (&rsa, "rsa")]);
    let desk = Desk::jwks(&fake);
    desk.verify(&Desk::token(&rsa, Some("rsa"))).await.unwrap();
    assert_eq!(desk.verify(&Desk::token(&ec, Some("ec"))).await, Err(Refusal::NoKey { pinned: false }));
    let desk = Desk::of(&fake, json!({"bound_issuer": ISS, "jwks_url": URL, "jwt_supported_algs": ["ES256"]}));
    desk.verify(&Desk::token(&ec, Some("ec"))).await.unwrap();
    let refused = desk.verify(&Desk::token(&rsa, Some("rsa"))).await;
    assert_eq!(refused, Err(Refusal::AlgorithmNotAllowed("RS256".into())));
}

#[tokio::test]
async fn keys_for_other_purposes_and_private_keys_are_passed_over() {
    let pair = Pair::p256();
    for (member, value, taken) in [
        ("use", json!("sig"), true),
        ("use", json!("enc"), false),
        ("key_ops", json!(["verify"]), true),
        ("key_ops", json!(["sign"]), false),
        ("alg", json!("ES256"), true),
        ("alg", json!("ES384"), false),
        ("alg", json!("HS256"), false),
        ("d", json!("AAAA"), false),
        ("x5t", json!("AAAA"), true),
        ("kid", json!(7), false),
    ] {
        let mut jwk = pair.jwk(Some("k1"));
        jwk[member] = value.clone();
        let set = json!({"keys": ["no key", jwk, {"kty": "unheard of"}]}).to_string().into_bytes();
        let fake = Fake::new(move |_| Ok(set.clone()));
        let desk = Desk::jwks(&fake);
        assert_eq!(desk.verify(&Desk::token(&pair, Some("k1"))).await.is_ok(), taken, "{member} {value}");
    }
}

#[tokio::test]
async fn discovery_takes_the_issuer_exactly_and_stays_on_https() {
    let pair = Pair::p256();
    let set = key_set(&[(&pair, "k1")]);
    let run = async |issuer: &str, keys_url: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": keys_url}).to_string().into_bytes();
        let (set, keys_url) = (set.clone(), keys_url.to_owned());
        let fake = Fake::new(move |url| match url {
            "https://idp.example.com/.well-known/openid-configuration" => Ok(document.clone()),
            url if url == keys_url => Ok(set.clone()),
            other => Err(format!("nothing at {other}")),
        });
        let desk = Desk::of(&fake, json!({"bound_issuer": ISS, "oidc_discovery_url": ISS}));
        desk.verify(&Desk::token(&pair, Some("k1"))).await.map(drop)
    };
    assert_eq!(run(ISS, "https://keys.example.com/set").await, Ok(()));
    for (issuer, keys_url) in [
        ("https://idp.example.com/", "https://keys.example.com/set"),
        ("https://evil.example.com", "https://keys.example.com/set"),
        ("", "https://keys.example.com/set"),
        (ISS, "http://keys.example.com/set"),
        (ISS, "http://127.0.0.1/set"),
        (ISS, "file:///etc/passwd"),
    ] {
        assert_eq!(run(issuer, keys_url).await, Err(Refusal::KeysUnavailable), "{issuer} {keys_url}");
    }
}

#[tokio::test]
async fn pinned_keys_open_the_door_when_the_provider_is_down() {
    let pair = Pair::p256();
    let fake = Fake::new(|_| Err("down".into()));
    let mut desk = Desk::jwks(&fake);
    let record = json!({"bound_issuer": ISS, "jwt_validation_pubkeys": [pair.pem()]});
    let issuer = Issuer::update(None, &mut Fields::new(record.as_object().unwrap().clone())).unwrap();
    desk.issuers.push(Arc::new(Compiled::new("pinned", &issuer).unwrap()));
    let assertion = desk.verify(&Desk::token(&pair, Some("k1"))).await.unwrap();
    assert_eq!(assertion.issuer, "pinned");
    assert_eq!(fake.count(), 0);
}
