//! The relay: takes Security Event Tokens as identity providers push them (RFC 8935) and brings them to one or more vaults,
//! whose listeners refuse bodies that are not JSON.
//!
//! It keeps nothing and decides nothing. It has no token, no key of an issuer and no list of senders: the signature in the event
//! is the proof, and the engine behind the vault judges it. So whoever takes the relay over can withhold events, which shows
//! where heartbeats are watched, and can invent none. What it must never do is acknowledge an event that an engine has not
//! taken in: a sender forgets what was acknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::http::body::{self, Room, Unread};
use crate::http::places::Place;
use crate::http::render::Reply;
use crate::http::{Limits, Service};

mod outcome;
mod route;
mod vault;

use outcome::{Outcome, refused};
pub use route::{Routes, Target};
pub use vault::{Vaults, VaultsError};

/// How long a sender shall wait when there are too many events at once.
const BUSY: u64 = 1;

/// What the relay is made of.
pub struct Parts {
    /// Which path leads to which vaults.
    pub routes: Routes,
    /// How they are reached.
    pub vaults: Vaults,
    /// Bounds of the listener that it answers on; `max_body` bounds an event.
    pub limits: Limits,
    /// Most events that are on their way to vaults at once; one more is told to come again.
    pub max_in_flight: usize,
}

/// A relay; the [`Service`] of a listener.
pub struct Relay {
    routes: Routes,
    vaults: Arc<Vaults>,
    limits: Limits,
    places: Semaphore,
    bodies: Room,
}

impl Relay {
    /// A relay that has reached nobody yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { routes, vaults, limits, max_in_flight } = parts;
        Relay {
            routes,
            vaults: Arc::new(vaults),
            limits,
            places: Semaphore::new(max_in_flight),
            bodies: Room::default(),
        }
    }

    /// All targets at once; the outcome is that of all.
    async fn deliver(&self, targets: &[Arc<Target>], set: &str) -> Outcome {
        let body = Bytes::from(json!({"set": set}).to_string());
        let mut under_way = JoinSet::new();
        for (at, target) in targets.iter().enumerate() {
            let (vaults, target, body) = (Arc::clone(&self.vaults), Arc::clone(target), body.clone());
            under_way.spawn(async move {
                let outcome = vaults.deliver(&target, body).await;
                outcome.log(&target);
                (at, outcome)
            });
        }
        let mut outcomes = Vec::with_capacity(targets.len());
        while let Some(done) = under_way.join_next().await {
            // A task that failed has acknowledged nothing.
            outcomes.push(done.unwrap_or_else(|_| (targets.len(), Outcome::later("the delivery broke off"))));
        }
        outcomes.sort_by_key(|(at, _)| *at);
        Outcome::of_all(outcomes.into_iter().map(|(_, outcome)| outcome))
    }

    async fn event(&self, request: Request<Incoming>) -> Result<String, Outcome> {
        let (parts, incoming) = request.into_parts();
        let read = match body::read(&parts.headers, incoming, self.limits.bounds(), &self.bodies).await {
            Ok(read) => read,
            Err(Unread::TooLarge) => {
                let most = self.limits.max_body;
                return Err(refused(413, &format!("a Security Event Token of at most {most} bytes")));
            }
            Err(Unread::TooSlow) => return Err(refused(408, "the body did not come in time")),
            Err(Unread::NoRoom) => {
                return Err(Outcome::Later { why: "too many long bodies at once".to_owned(), retry_after: Some(BUSY) });
            }
            Err(Unread::Broken) => return Err(refused(400, "the body is broken")),
        };
        // Judged after the body was read, so that the sender comes to read the answer.
        if !is_event(&parts.headers) {
            return Err(refused(415, "send one Security Event Token as application/secevent+jwt (RFC 8935)"));
        }
        match std::str::from_utf8(&read.bytes).map(str::trim) {
            Ok(set) if is_compact(set) => Ok(set.to_owned()),
            _ => Err(refused(400, "the body is no Security Event Token in compact form (RFC 8417)")),
        }
    }
}

impl Service for Relay {
    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>, place: &Place) -> Reply {
        let started = Instant::now();
        let path = request.uri().path().to_owned();
        let Some(targets) = self.routes.find(&path) else { return outcome::no_such_path() };
        if request.method() != Method::POST {
            return outcome::only_post();
        }
        let outcome = match self.event(request).await {
            Err(outcome) => outcome,
            Ok(set) => match self.places.try_acquire() {
                Ok(_permit) => {
                    let _at_work = place.at_work();
                    self.deliver(targets, &set).await
                }
                Err(_) => Outcome::Later { why: "too many events at once".to_owned(), retry_after: Some(BUSY) },
            },
        };
        let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(path, %peer, status = outcome.status(), took_ms = took, "an event");
        outcome.reply()
    }
}

/// Whether the body is what RFC 8935 section 2.1 asks for, as it stands.
fn is_event(headers: &HeaderMap) -> bool {
    let essence =
        headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    let plain = headers.get(CONTENT_ENCODING).is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    plain && essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/secevent+jwt"))
}

/// Three parts in the alphabet of RFC 4648 section 5: what cannot be a token does not trouble the vaults.
fn is_compact(set: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let parts: Vec<&str> = set.split('.').collect();
    parts.len() == 3
        && parts[..2].iter().all(|part| !part.is_empty())
        && parts.iter().all(|part| part.bytes().all(letter))
}

/// The relay's bounds unless it is told others: 256 connections, heads of 16 KiB, events of 64 KiB, 10 s for a head or a body.
pub fn limits() -> Limits {
    Limits {
        max_connections: 256,
        max_head: 16 * 1024,
        max_body: 64 * 1024,
        head_time: Duration::from_secs(10),
        body_time: Duration::from_secs(10),
        stall_time: Duration::from_secs(10),
        drain_size: 1024 * 1024,
        drain_time: Duration::from_secs(2),
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_token_is_passed_on() {
        for set in ["eyJh.eyJi.c2ln", "a.b.", "a-_9.b.c"] {
            assert!(is_compact(set), "{set}");
        }
        for set in ["", "a", "a.b", "a.b.c.d", ".b.c", "a..c", "a.b.c=", "a b.c.d", "{\"set\":1}", "a.b.\n", "a.b.é"] {
            assert!(!is_compact(set), "{set}");
        }
    }

    #[test]
    fn the_media_type_is_the_one_of_the_rfc() {
        let sent = |media: &str, encoding: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, media.parse().unwrap());
            encoding.map(|encoding| headers.insert(CONTENT_ENCODING, encoding.parse().unwrap()));
            is_event(&headers)
        };
        assert!(sent("application/secevent+jwt", None));
        assert!(sent("Application/SecEvent+JWT; charset=utf-8", Some("identity")));
        assert!(!sent("application/json", None));
        assert!(!sent("application/secevent+jwtx", None));
        assert!(!sent("application/secevent+jwt", Some("gzip")));
        assert!(!is_event(&HeaderMap::new()));
    }
}
