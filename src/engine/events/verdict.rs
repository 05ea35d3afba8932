//! What a Security Event Token comes to, by the source that it came to and the source's issuer.
//!
//! Both seldom change, so a token is judged by what is held of them in memory. What follows from that counts only where they are
//! read again and are the same: along with the account that is to be changed, or by [`by_reading`].

use std::sync::Arc;

use crate::auth::{Refusal, Token};
use crate::crypto::keyring::Keyring;
use crate::engine::cache::{Parsed, Snapshot};
use crate::engine::{Engine, keys};
use crate::error::{Error, Result};
use crate::sources::{self, EventRefusal, Received, Source};
use crate::storage::Revision;

/// What a token comes to.
pub enum Verdict {
    /// It does not stand.
    Refused(EventRefusal),
    /// It is the issuer's, and says what this source cannot take.
    Unfit(EventRefusal),
    /// It stands.
    Received(Grounds, Received),
}

/// What a token was believed by.
pub struct Grounds {
    /// The source that it came to.
    pub source: Arc<Source>,
    /// The key hierarchy.
    pub keyring: Arc<Keyring>,
    /// The records, as they were then.
    pub records: Vec<(Option<Revision>, String)>,
}

/// A verdict that does not count yet.
pub struct Judged {
    /// The verdict, or what stood in its way.
    pub verdict: Result<Verdict>,
    records: Vec<(Option<Revision>, String)>,
}

/// Judges `set`, which came to the source `name`, by what is in memory. `None` if something is not there.
pub async fn by_memory(engine: &Engine, name: &str, set: &str) -> Option<Judged> {
    let wanted = records(engine, name);
    let mut snapshot = Snapshot::remembered(&wanted, &engine.cache)?;
    let records = revisions(&snapshot, wanted);
    // Of a source whose issuer was never read there is a keyring and a source only.
    let [_, _, _] = records.as_slice() else { return None };
    let verdict = judge(engine, &mut snapshot, name, set, true).await;
    Some(Judged { verdict, records })
}

/// What counts: the verdict that there is, if it was found by the records as they are; else one by those.
pub async fn by_reading(engine: &Engine, name: &str, set: &str, earlier: Option<Judged>) -> Result<Verdict> {
    let mut snapshot = Snapshot::default();
    engine.load(&mut snapshot, records(engine, name)).await?;
    match earlier {
        Some(Judged { verdict, records }) if is_same(&records, |key| snapshot.revision(key)) => verdict,
        _ => judge(engine, &mut snapshot, name, set, false).await,
    }
}

/// Whether all of `records` are under their revisions still.
pub fn is_same(records: &[(Option<Revision>, String)], now: impl Fn(&str) -> Option<Revision>) -> bool {
    records.iter().all(|(revision, key)| now(key) == *revision)
}

/// Keys of what a token is judged by: the issuer is the one that the source had when it was last seen, so that it is read along.
fn records(engine: &Engine, name: &str) -> Vec<String> {
    let source = format!("{}{name}", keys::SOURCES);
    let issuer = match engine.cache.guess(&source) {
        Some(Parsed::Source(source)) => Some(format!("{}{}", keys::ISSUERS, source.issuer())),
        _ => None,
    };
    [keys::KEYRING.to_owned(), source].into_iter().chain(issuer).collect()
}

fn revisions(snapshot: &Snapshot, keys: Vec<String>) -> Vec<(Option<Revision>, String)> {
    keys.into_iter().map(|key| (snapshot.revision(&key), key)).collect()
}

async fn judge(engine: &Engine, snapshot: &mut Snapshot, name: &str, set: &str, from_memory: bool) -> Result<Verdict> {
    let Some(source) = snapshot.source(name) else {
        return Ok(Verdict::Refused(EventRefusal::access_denied("no such receiver")));
    };
    let token = match Token::parse(set) {
        Ok(token) => token,
        Err(refusal) => return Ok(Verdict::Refused(for_transmitter(&refusal))),
    };
    let issuer_key = format!("{}{}", keys::ISSUERS, source.issuer());
    engine.load(snapshot, [issuer_key.clone()]).await?;
    let Some(issuer) = snapshot.issuer(source.issuer()) else {
        return Err(Error::internal(format!("the source's issuer {} does not exist", source.issuer())));
    };
    let claims = match engine.verifier.verify_event(&token, &issuer, engine.clock.now()).await {
        Ok(claims) => claims,
        Err(Refusal::KeysUnavailable) => {
            return Err(Error::unavailable("the issuer's keys cannot be fetched; send the event again"));
        }
        Err(refusal) => return Ok(Verdict::Refused(for_transmitter(&refusal))),
    };
    let received = match sources::interpret(claims, &source) {
        Ok(received) => received,
        Err(refusal) => return Ok(Verdict::Unfit(refusal)),
    };
    let keyring = snapshot.keyring()?;
    let mut keys = vec![format!("{}{name}", keys::SOURCES), issuer_key];
    // One that was read is no older than the request.
    keys.extend(from_memory.then(|| keys::KEYRING.to_owned()));
    let records = revisions(snapshot, keys);
    Ok(Verdict::Received(Grounds { source, keyring, records }, received))
}

/// The protocol's error for a token that does not stand (RFC 8935 section 2.4).
fn for_transmitter(refusal: &Refusal) -> EventRefusal {
    let said = match refusal {
        Refusal::Issuer => "its issuer is not the one that this receiver listens to".to_owned(),
        other => other.for_act().public().trim_start_matches("assertion: ").to_owned(),
    };
    match refusal {
        Refusal::Signature { .. } => EventRefusal::authentication_failed(said),
        Refusal::NoKey { .. } | Refusal::Algorithm { .. } | Refusal::AlgorithmNotAllowed(_) => {
            EventRefusal::invalid_key(said)
        }
        Refusal::Issuer | Refusal::ClaimMissing("iss") => EventRefusal::invalid_issuer(said),
        _ => EventRefusal::invalid_request(said),
    }
}
