//! Verifying tokens with the keys of their issuers, and keeping fetched keys fresh without letting strangers cause traffic.
//!
//! For each place that keys come from: good keys are kept and read while newer ones are fetched; they are fetched again before
//! they are old, and once when a token names a key that is not there; whatever happens, a new fetch begins at most once per
//! [`COOLDOWN`], also after a failure or an empty answer. A fetch that brings no usable key changes nothing. Keys that have not
//! been confirmed for [`STALE`] are not used any more. No memory of strangers' key ids is kept, so it cannot fill.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, watch};

use crate::auth::Assertion;
use crate::auth::believed::Believed;
use crate::auth::claims::Registered;
use crate::auth::fetch::Fetch;
use crate::auth::issuer::{Compiled, Look, keys_of};
use crate::auth::json;
use crate::auth::jwt::Token;
use crate::auth::refusal::Refusal;
use crate::clock::Clock;
use crate::domain::issuer::{IssuerKind, Source};
use crate::domain::pubkey::PublicKey;
use crate::domain::time::Timestamp;

/// The least time between the beginnings of two fetches from one place.
pub const COOLDOWN: Duration = Duration::from_secs(15);
/// How old keys may be before newer ones are fetched in the background.
pub const FRESH: Duration = Duration::from_secs(600);
/// How old keys may be before they are not used any more.
pub const STALE: Duration = Duration::from_secs(24 * 3600);
/// How long a request waits for a fetch.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most fetches at a time, over all places.
const BUDGET: usize = 8;
/// Most places that keys are kept for.
const MAX_ORIGINS: usize = 256;

/// Verifies tokens. One for the whole process: it holds the fetched keys.
pub struct Verifier {
    fetcher: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    origins: Mutex<HashMap<Place, Arc<Origin>>>,
    budget: Arc<Semaphore>,
    fetches: Arc<Fetches>,
    believed: Believed,
}

/// Fetches that ended.
#[derive(Default)]
struct Fetches {
    all: AtomicU64,
    failed: AtomicU64,
}

/// What is held of issuers' keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeysStatus {
    /// Places that keys were fetched from.
    pub places: u64,
    /// Fetches that ended.
    pub fetches: u64,
    /// Those of them that brought no usable key.
    pub failures: u64,
    /// When the keys of the place that was not confirmed for longest were.
    pub oldest: Option<Timestamp>,
}

/// A place that keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    url: String,
    discovery: bool,
    ca_pem: Option<String>,
}

/// What is known of one place.
struct Origin {
    place: Place,
    state: Mutex<State>,
    /// Counts the fetches that ended.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<Vec<PublicKey>>, Timestamp)>,
    begun: Option<Timestamp>,
    running: bool,
}

impl Verifier {
    /// A verifier that fetches with `fetcher` and tells time by `clock`.
    pub fn new(fetcher: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        let (budget, fetches) = (Arc::new(Semaphore::new(BUDGET)), Arc::default());
        Verifier { fetcher, clock, origins: Mutex::default(), budget, fetches, believed: Believed::default() }
    }

    /// What is held of issuers' keys.
    pub fn status(&self) -> KeysStatus {
        let origins: Vec<Arc<Origin>> = lock(&self.origins).values().cloned().collect();
        let fetched = origins.iter().filter(|origin| !origin.place.url.is_empty());
        let confirmed = origins.iter().filter_map(|origin| lock(&origin.state).keys.as_ref().map(|(_, at)| *at));
        KeysStatus {
            places: fetched.count() as u64,
            fetches: self.fetches.all.load(Ordering::Relaxed),
            failures: self.fetches.failed.load(Ordering::Relaxed),
            oldest: confirmed.min(),
        }
    }

    /// Verifies an assertion against those of `issuers` whose `bound_issuer` is its `iss`: type, algorithm, signature, claims and
    /// times, in this order. Nothing is granted by it.
    pub async fn verify(&self, token: &Token, issuers: &[Arc<Compiled>], now: Timestamp) -> Result<Assertion, Refusal> {
        let (assertion, times) = self.verify_but_times(token, issuers, now).await?;
        times?;
        Ok(assertion)
    }

    /// As [`Verifier::verify`], with the verdict on the times apart: a login tells of the subject and audience first.
    pub(super) async fn verify_but_times(
        &self,
        token: &Token,
        issuers: &[Arc<Compiled>],
        now: Timestamp,
    ) -> Result<(Assertion, Result<(), Refusal>), Refusal> {
        let typ = token.typ().map(media_type);
        if !matches!(typ.as_deref(), None | Some("jwt" | "at+jwt")) {
            return Err(Refusal::Type(token.typ().unwrap_or_default().to_owned()));
        }
        let mut refusal = Refusal::Issuer;
        // Pinned keys first: they need no network, and work when the provider is down.
        let named = |pinned| {
            issuers.iter().filter(move |issuer| {
                issuer.kind() == IssuerKind::Jwt
                    && issuer.pinned().is_some() == pinned
                    && issuer.bound_issuer() == token.unverified_iss()
            })
        };
        for issuer in named(true).chain(named(false)) {
            match self.verify_signature(token, issuer).await {
                Ok(()) => {
                    let registered = Registered::read(token.claims())?;
                    let times = registered.times(now, issuer.leeway());
                    return Ok((registered.assertion(token, issuer), times));
                }
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }

    /// Verifies a Security Event Token (RFC 8417) of `issuer`: type `secevent+jwt`, `iss`, algorithm and signature. It answers all
    /// claims; audience, times and the rest are the caller's to judge.
    pub async fn verify_event<'t>(
        &self,
        token: &'t Token,
        issuer: &Arc<Compiled>,
        _now: Timestamp,
    ) -> Result<&'t Map<String, Value>, Refusal> {
        if token.typ().map(media_type).as_deref() != Some("secevent+jwt") {
            return Err(Refusal::Type(token.typ().unwrap_or_default().to_owned()));
        }
        if issuer.kind() != IssuerKind::Jwt || token.unverified_iss() != issuer.bound_issuer() {
            return Err(Refusal::Issuer);
        }
        self.verify_signature(token, issuer).await?;
        Ok(token.claims())
    }

    async fn verify_signature(&self, token: &Token, issuer: &Compiled) -> Result<(), Refusal> {
        let algorithm = issuer.algorithm(token)?;
        let refused = |look| match look {
            Look::Verified => Ok(()),
            Look::Forged | Look::ForgedByName => Err(Refusal::Signature { pinned: issuer.is_pem() }),
            Look::NoKey => Err(Refusal::NoKey { pinned: issuer.is_pem() }),
        };
        match issuer.pinned() {
            Some(keys) => refused(issuer.look(keys, token, algorithm, &self.believed)),
            None => self.look_at_fetched(token, issuer, algorithm).await.and_then(refused),
        }
    }

    async fn look_at_fetched(&self, token: &Token, issuer: &Compiled, algorithm: Algorithm) -> Result<Look, Refusal> {
        let origin = self.origin(issuer);
        let mut look = None;
        if let Some((keys, at)) = origin.keys(self.clock.now()) {
            let found = issuer.look(&keys, token, algorithm, &self.believed);
            if matches!(found, Look::Verified | Look::ForgedByName) {
                if self.clock.now().since(at) >= FRESH {
                    self.begin(&origin);
                }
                return Ok(found);
            }
            look = Some(found);
        }
        let mut ended = origin.ended.subscribe();
        if self.begin(&origin)
            && tokio::time::timeout(PATIENCE, ended.changed()).await.is_ok()
            && let Some((keys, _)) = origin.keys(self.clock.now())
        {
            look = Some(issuer.look(&keys, token, algorithm, &self.believed));
        }
        look.ok_or(Refusal::KeysUnavailable)
    }

    fn origin(&self, issuer: &Compiled) -> Arc<Origin> {
        let place = match issuer.source() {
            Source::Jwks { url, ca_pem } => {
                Place { url: url.to_owned(), discovery: false, ca_pem: ca_pem.map(str::to_owned) }
            }
            Source::Discovery { url, ca_pem } => {
                Place { url: url.to_owned(), discovery: true, ca_pem: ca_pem.map(str::to_owned) }
            }
            Source::Pinned | Source::Host { .. } => Place { url: String::new(), discovery: false, ca_pem: None },
        };
        let mut origins = lock(&self.origins);
        if origins.len() >= MAX_ORIGINS && !origins.contains_key(&place) {
            origins.retain(|_, origin| Arc::strong_count(origin) > 1);
        }
        let new = || Arc::new(Origin { place: place.clone(), state: Mutex::default(), ended: watch::Sender::new(0) });
        Arc::clone(origins.entry(place.clone()).or_insert_with(new))
    }

    /// Begins a fetch unless one began within the cooldown. True if one is running now.
    fn begin(&self, origin: &Arc<Origin>) -> bool {
        let now = self.clock.now();
        {
            let mut state = lock(&origin.state);
            if state.running {
                return true;
            }
            // A clock that was set back must not stop fetches until it has caught up.
            if state.begun.is_some_and(|begun| begun <= now && now.since(begun) < COOLDOWN) {
                return false;
            }
            state.begun = Some(now);
            state.running = true;
        }
        let running = Running(Arc::clone(origin));
        let (fetcher, clock, budget) = (Arc::clone(&self.fetcher), Arc::clone(&self.clock), Arc::clone(&self.budget));
        let fetches = Arc::clone(&self.fetches);
        tokio::spawn(async move {
            let _turn = budget.acquire_owned().await;
            let fetched = fetch_keys(&*fetcher, &running.0.place).await;
            fetches.all.fetch_add(1, Ordering::Relaxed);
            fetches.failed.fetch_add(u64::from(fetched.is_err()), Ordering::Relaxed);
            match fetched {
                Ok(keys) => lock(&running.0.state).keys = Some((Arc::new(keys), clock.now())),
                Err(error) => {
                    tracing::warn!(url = running.0.place.url, error, "the keys of an issuer could not be fetched")
                }
            }
        });
        true
    }
}

/// Says that a fetch has ended, however it ended.
struct Running(Arc<Origin>);

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.0.state).running = false;
        self.0.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Origin {
    /// The keys, unless they are too old.
    fn keys(&self, now: Timestamp) -> Option<(Arc<Vec<PublicKey>>, Timestamp)> {
        let state = lock(&self.state);
        state.keys.as_ref().filter(|(_, at)| now.since(*at) < STALE).map(|(keys, at)| (Arc::clone(keys), *at))
    }
}

async fn fetch_keys(fetcher: &dyn Fetch, place: &Place) -> Result<Vec<PublicKey>, String> {
    let ca_pem = place.ca_pem.as_deref();
    let url = match place.discovery {
        false => place.url.clone(),
        true => {
            let url = format!("{}/.well-known/openid-configuration", place.url.trim_end_matches('/'));
            let document = parse(&fetcher.get(&url, ca_pem).await?)?;
            let issuer = document.get("issuer").and_then(Value::as_str).unwrap_or_default();
            if issuer != place.url {
                return Err(format!(
                    "oidc: issuer did not match the returned issuer, expected {:?} got {issuer:?}",
                    place.url
                ));
            }
            let keys =
                document.get("jwks_uri").and_then(Value::as_str).ok_or("the discovery document has no jwks_uri")?;
            if place.url.starts_with("https://") && !keys.starts_with("https://") {
                return Err("the discovery document's jwks_uri is not an https URL".into());
            }
            keys.to_owned()
        }
    };
    let keys = keys_of(&Value::Object(parse(&fetcher.get(&url, ca_pem).await?)?)).ok_or("the answer is no JWK set")?;
    if keys.is_empty() { Err("the set has no signing key of a known kind".into()) } else { Ok(keys) }
}

fn parse(body: &[u8]) -> Result<Map<String, Value>, String> {
    json::object(body).map_err(|_| "the answer is not one JSON object".into())
}

/// A media type as RFC 7515 section 4.1.9 abbreviates it, for comparing.
fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").map(str::to_owned).unwrap_or(typ)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
