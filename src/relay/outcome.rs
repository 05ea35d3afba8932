//! What became of an event, at one vault or at all of them, and how the sender is told (RFC 8935 sections 2.2 to 2.4).

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::route::Target;
use crate::http::outgoing::Outgoing;
use crate::http::render::Reply;

/// When a sender shall come again if no vault said.
const RETRY: u64 = 5;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It has been taken in, durably.
    Accepted,
    /// It will never be taken in as it is.
    Refused {
        /// Below 500.
        status: u16,
        /// RFC 8935's error, as whoever refused wrote it.
        body: Bytes,
    },
    /// It has not been taken in yet.
    Later {
        /// Why, for the log.
        why: String,
        /// When to come again, in seconds.
        retry_after: Option<u64>,
    },
}

impl Outcome {
    /// Not yet, for this reason.
    pub fn later(why: &str) -> Self {
        Outcome::Later { why: why.to_owned(), retry_after: None }
    }

    /// That of several vaults: one that has not taken it in yet goes before one that refuses, since an event that was refused does
    /// not come again; the first refusal speaks; it is accepted if all have accepted.
    pub fn of_all(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        outcomes.into_iter().fold(Outcome::Accepted, |all, one| match (all, one) {
            (Outcome::Later { why, retry_after: a }, Outcome::Later { retry_after: b, .. }) => {
                Outcome::Later { why, retry_after: a.max(b) }
            }
            (later @ Outcome::Later { .. }, _) | (_, later @ Outcome::Later { .. }) => later,
            (refused @ Outcome::Refused { .. }, _) | (Outcome::Accepted, refused) => refused,
        })
    }

    /// The status that the sender gets.
    pub fn status(&self) -> u16 {
        match self {
            Outcome::Accepted => 202,
            Outcome::Refused { status, .. } => *status,
            Outcome::Later { .. } => 503,
        }
    }

    /// Says in the log what `target` made of the event. Of a refusal only the kind: the sentence may hold what a stranger wrote.
    pub fn log(&self, target: &Target) {
        let target = target.uri();
        match self {
            Outcome::Accepted => tracing::debug!(%target, "accepted"),
            Outcome::Refused { body, .. } => {
                let err = serde_json::from_slice::<Value>(body).ok();
                let err = err.as_ref().and_then(|error| error.get("err")).and_then(Value::as_str).unwrap_or_default();
                let err: String = err.chars().take(64).map(|c| if c.is_control() { ' ' } else { c }).collect();
                tracing::warn!(%target, err, "refused");
            }
            Outcome::Later { why, .. } => tracing::error!(%target, why, "not acknowledged; the sender must come again"),
        }
    }

    /// The answer to the sender.
    pub fn reply(self) -> Reply {
        match self {
            Outcome::Accepted => bare(202, None),
            Outcome::Refused { status, body } => {
                let mut reply = bare(status, None);
                // The host of a mounted engine lets no such header of an engine through; the engine's sentences are English.
                reply.headers_mut().insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
                reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                if status == 415 {
                    let accept = HeaderName::from_static("accept-post");
                    reply.headers_mut().insert(accept, HeaderValue::from_static("application/secevent+jwt"));
                }
                *reply.body_mut() = Full::new(body).into();
                reply
            }
            Outcome::Later { retry_after, .. } => {
                bare(503, Some((RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(RETRY)))))
            }
        }
    }
}

/// A refusal of the relay itself, in the protocol's shape.
pub fn refused(status: u16, description: &str) -> Outcome {
    let body = json!({"err": "invalid_request", "description": description}).to_string();
    Outcome::Refused { status, body: Bytes::from(body) }
}

/// 404: no vault is behind this path.
pub fn no_such_path() -> Reply {
    bare(404, None)
}

/// 405.
pub fn only_post() -> Reply {
    bare(405, Some((ALLOW, HeaderValue::from_static("POST"))))
}

fn bare(status: u16, header: Option<(HeaderName, HeaderValue)>) -> Reply {
    let mut reply = Response::new(Outgoing::default());
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().extend(header);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_vaults_the_one_that_must_be_asked_again_speaks_first() {
        let no = |text: &'static str| Outcome::Refused { status: 400, body: Bytes::from(text) };
        let wait = |seconds: Option<u64>| Outcome::Later { why: "x".to_owned(), retry_after: seconds };
        let yes = || Outcome::Accepted;
        assert_eq!(Outcome::of_all([yes(), yes()]), yes());
        assert_eq!(Outcome::of_all([yes(), no("a"), no("b")]), no("a"));
        assert_eq!(Outcome::of_all([no("a"), yes()]), no("a"));
        assert_eq!(Outcome::of_all([no("a"), wait(None), yes()]), wait(None));
        assert_eq!(Outcome::of_all([wait(Some(3)), no("a"), wait(Some(9)), wait(None)]), wait(Some(9)));
        assert_eq!((yes().status(), no("a").status(), wait(None).status()), (202, 400, 503));
    }

    #[test]
    fn a_refusal_is_passed_on_byte_for_byte() {
        let reply = Outcome::Refused { status: 400, body: Bytes::from_static(b"{ \"err\": \"x\" }") }.reply();
        assert_eq!(reply.status(), 400);
        assert_eq!(reply.headers()["content-language"], "en");
        assert_eq!(Outcome::later("x").reply().headers()["retry-after"], "5");
    }
}
