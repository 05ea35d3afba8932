//! `sys/generate-root/…` and `sys/generate-root-token/…`: a lost root token is made anew by a quorum of those who hold shares.
//!
//! Whoever begins it brings a one-time password, or takes the one that is drawn, and alone can read the token in the end: it is
//! answered XOR'd with that. Share holders name the attempt they mean by its nonce. Tokens that are there stay. The first of
//! the two ways asks for no token, since none may be left; the second one does, and answers in Vault's envelope.

use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::super::answer::{Answer, Envelope, Refusal};
use super::super::call::Verb;
use super::super::ident;
use super::super::seal::{Share, parse_share};
use super::super::tokens::TOKEN_LEN;
use super::super::tokens::record::Holder;
use super::super::visit::{Acted, Visit};
use crate::domain::fields::Fields;
use crate::engine::config_ledger::Said;
use crate::error::{Error, Result};

/// The attempt that is under way, if one is. Gone when the host is sealed.
#[derive(Default)]
pub struct RootAttempt(Mutex<Option<Attempt>>);

struct Attempt {
    nonce: String,
    otp: Zeroizing<String>,
    shares: Vec<Share>,
}

/// How an answer is shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Shape {
    /// Bare JSON, for those who have no token.
    Bare,
    /// Vault's envelope.
    Enveloped,
}

/// `attempt`: tells of the attempt, begins one, gives it up.
pub(in super::super) async fn attempt(visit: &Visit<'_>, shape: Shape, mut fields: Fields) -> Result<Acted, Refusal> {
    match visit.verb {
        Verb::Delete => {
            *visit.open.root_attempt.state() = None;
            Ok(Acted::nothing())
        }
        Verb::Update => {
            let given = fields.exact_string("otp")?.value().filter(|otp| !otp.is_empty());
            if fields.exact_string("pgp_key")?.value().is_some_and(|key| !key.is_empty()) {
                let what = "encrypting with PGP is not supported; leave it out and use the one-time password";
                return Err(Error::field("pgp_key", what).into());
            }
            let drawn = given.is_none();
            let otp =
                Zeroizing::new(given.unwrap_or_else(|| ident::base62(&*visit.host.random, TOKEN_LEN).to_string()));
            if otp.len() != TOKEN_LEN || !otp.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Refusal::new(400, "OTP string has incorrect length"));
            }
            let nonce = ident::uuid(&*visit.host.random);
            {
                let mut state = visit.open.root_attempt.state();
                if state.is_some() {
                    return Err(Refusal::new(400, "root generation already in progress for this namespace"));
                }
                *state = Some(Attempt { nonce, otp: otp.clone(), shares: Vec::new() });
            }
            let shown = if drawn { otp.as_str() } else { "" };
            Ok(answer(visit, shape, Told { otp: shown, otp_length: TOKEN_LEN, ..Told::default() }))
        }
        _ => Ok(answer(visit, shape, Told { otp_length: TOKEN_LEN, ..Told::default() })),
    }
}

/// `update`: takes a share; at the threshold the token is made.
pub(in super::super) async fn update(visit: &Visit<'_>, shape: Shape, mut fields: Fields) -> Result<Acted, Refusal> {
    let Some(key) = fields.exact_string("key")?.value().filter(|key| !key.is_empty()).map(Zeroizing::new) else {
        return Err(Refusal::new(400, "'key' must be specified in request body as JSON"));
    };
    let nonce = fields.exact_string("nonce")?.value().unwrap_or_default();
    let share = parse_share(&key)?;
    let threshold = usize::from(visit.host.seal.status().t);
    if threshold == 0 {
        return Err(Refusal::new(400, "this store has no recovery keys, so nobody can prove a quorum"));
    }
    let Some(attempt) = visit.open.root_attempt.add(share, &nonce, threshold)? else {
        return Ok(answer(visit, shape, Told::default()));
    };
    if !visit.host.seal.proves_quorum(&visit.open.root, &attempt.shares).await? {
        return Err(Refusal::new(
            400,
            "these shares are not a quorum of this store: all of them are forgotten and the attempt is over; begin anew",
        ));
    }
    let (token, record) = visit.open.tokens.issue(Holder::Root, Default::default(), Default::default(), None).await?;
    let said = Said {
        act: "generate-root",
        detail: json!({"path": "sys/generate-root", "before": null, "after": {"shares": attempt.shares.len()}}),
    };
    let note = visit.open.engine.note_configuration(&visit.by(), &said).await;
    let note = match note {
        Ok(note) => note,
        Err(error) => {
            // No root token without an entry of it.
            visit.open.tokens.revoke(visit.open.tokens.hash(&token)).await?;
            return Err(error.into());
        }
    };
    tracing::warn!(request_id = visit.id, accessor = record.accessor, "a new root token was made from shares");
    let mixed: Zeroizing<Vec<u8>> =
        Zeroizing::new(token.expose().bytes().zip(attempt.otp.bytes()).map(|(a, b)| a ^ b).collect());
    let encoded = STANDARD_NO_PAD.encode(&*mixed);
    let done = Told { nonce: Some(&attempt.nonce), progress: Some(threshold), encoded: &encoded, ..Told::default() };
    Ok(Acted { note, ..answer(visit, shape, done) })
}

impl RootAttempt {
    fn state(&self) -> MutexGuard<'_, Option<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Takes a share in; at the threshold the attempt is given out, and over, whatever comes of it.
    fn add(&self, share: Share, nonce: &str, threshold: usize) -> Result<Option<Attempt>, Refusal> {
        let mut state = self.state();
        let Some(attempt) = state.as_mut() else { return Err(Refusal::new(400, "no root generation in progress")) };
        if attempt.nonce != nonce {
            let what = "incorrect nonce supplied; nonce for this root generation operation is";
            return Err(Refusal::new(400, format!("{what} \"{}\"", attempt.nonce)));
        }
        if attempt.shares.iter().any(|given| bool::from(given.ct_eq(&share))) {
            return Err(Refusal::new(400, "given key has already been provided during this generation operation"));
        }
        attempt.shares.push(share);
        Ok(if attempt.shares.len() < threshold { None } else { state.take() })
    }
}

/// What is told of an attempt beside what its state says.
#[derive(Default)]
struct Told<'a> {
    nonce: Option<&'a str>,
    progress: Option<usize>,
    encoded: &'a str,
    otp: &'a str,
    otp_length: usize,
}

fn answer(visit: &Visit<'_>, shape: Shape, told: Told<'_>) -> Acted {
    let (nonce, given, started) = match &*visit.open.root_attempt.state() {
        Some(attempt) => (attempt.nonce.clone(), attempt.shares.len(), true),
        None => (told.nonce.unwrap_or_default().to_owned(), 0, told.nonce.is_some()),
    };
    let complete = !told.encoded.is_empty();
    let mut document = json!({
        "nonce": nonce,
        "started": started,
        "progress": told.progress.unwrap_or(given),
        "required": visit.host.seal.status().t,
        "complete": complete,
        "otp": told.otp,
        "otp_length": told.otp_length,
        "pgp_fingerprint": "",
    });
    match shape {
        Shape::Bare => {
            document["encoded_token"] = json!(told.encoded);
            document["encoded_root_token"] = json!(told.encoded);
            Answer::bare(200, &document, 1024).into()
        }
        Shape::Enveloped => {
            let mut data = match document {
                Value::Object(data) => data,
                _ => Map::new(),
            };
            if complete {
                data.insert("encoded_token".to_owned(), json!(told.encoded));
            }
            if !started {
                data.remove("nonce");
                data.remove("pgp_fingerprint");
            }
            Envelope::data(data).into()
        }
    }
}
