//! Fetched keys: fresh, bounded, and never at a stranger's command.

mod fetches;
#[path = "../support/keys.rs"]
mod keys;
mod trust;

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
