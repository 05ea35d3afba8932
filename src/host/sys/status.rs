//! Paths that answer while sealed: health, seal status, leader, initialisation, unsealing; and sealing itself. Bare JSON, no
//! audit but for sealing, no token but for sealing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::{Zeroize, Zeroizing};

use super::super::answer::{Answer, Refusal};
use super::super::call::{Call, Verb};
use super::super::ident;
use super::super::seal::{InitShares, parse_share};
use super::super::{Host, pipeline};
use crate::domain::fields::{Fields, Given};
use crate::domain::time::Timestamp;
use crate::error::{Error, Result};

/// Which of these paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the path of the same name")]
pub enum Status {
    Health,
    SealStatus,
    Leader,
    Init,
    Unseal,
    Seal,
}

impl Status {
    /// Which of them `path` is.
    pub fn of(path: &str) -> Option<Status> {
        Some(match path {
            "sys/health" => Status::Health,
            "sys/seal-status" => Status::SealStatus,
            "sys/leader" => Status::Leader,
            "sys/init" => Status::Init,
            "sys/unseal" => Status::Unseal,
            "sys/seal" => Status::Seal,
            _ => return None,
        })
    }
}

impl Host {
    /// Answers `call`, which is to `status`.
    pub(in super::super) async fn status(&self, status: Status, call: Call) -> Answer {
        let answer = match (status, call.verb) {
            (Status::Health, Verb::Read | Verb::Head) => self.health(&call.query, call.shutting_down).await,
            (Status::SealStatus, Verb::Read) => Ok(self.seal_status().await),
            (Status::Leader, Verb::Read) => Ok(self.leader()),
            (Status::Init, Verb::Read) => {
                Ok(Answer::bare(200, &json!({ "initialized": self.is_initialized().await }), 64))
            }
            (Status::Init, Verb::Update) => self.init(call.body).await,
            (Status::Unseal, Verb::Update) => self.unseal_share(call.body).await,
            (Status::Seal, Verb::Update) => pipeline::seal(self, call).await,
            _ => Err(Refusal::silent(405)),
        };
        answer.unwrap_or_else(Answer::Refused)
    }

    async fn health(&self, query: &Map<String, Value>, shutting_down: bool) -> Result<Answer, Refusal> {
        let code = |name: &str, default: u16| match query.get(name) {
            None => Ok(default),
            Some(value) => value
                .as_str()
                .and_then(|text| text.parse().ok())
                .filter(|code| (200..=599).contains(code))
                .ok_or_else(|| Refusal::silent(400)),
        };
        let (active, sealed_code, uninitialized) =
            (code("activecode", 200)?, code("sealedcode", 503)?, code("uninitcode", 501)?);
        // Asked for by clients of clusters; this node is never in these states, but a code that is none is an error all the same.
        for other in ["standbycode", "drsecondarycode", "performancestandbycode"] {
            code(other, 200)?;
        }
        let initialized = self.is_initialized().await;
        let open = self.unsealed();
        let sealed = open.is_none();
        let status = match (initialized, sealed) {
            // Whatever codes a balancer wants for the rest: a request that it sends from here on may be refused.
            _ if shutting_down => 503,
            (false, _) => uninitialized,
            (true, true) => sealed_code,
            (true, false) => active,
        };
        let replication = if sealed { "unknown" } else { "disabled" };
        let health = Health {
            initialized,
            sealed,
            standby: sealed,
            performance_standby: false,
            replication_performance_mode: replication,
            replication_dr_mode: replication,
            server_time_utc: self.clock.now().secs(),
            version: &self.info.version,
            cluster_name: open.as_ref().map(|_| self.info.cluster_name.as_str()),
            cluster_id: open.as_ref().map(|open| ident::of(open.keyring.mount_id(), "cluster")),
            restore_quarantine: open.as_ref().is_some_and(|open| open.is_quarantined()),
            shutting_down,
        };
        Ok(match status {
            204 => Answer::Empty { status },
            _ => Answer::bare(status, &health, 512),
        })
    }

    /// Every node serves every request: each leads as far as a client can tell.
    fn leader(&self) -> Answer {
        let leader = match &self.info.node {
            None => json!({ "ha_enabled": false }),
            Some(_) => json!({
                "ha_enabled": true, "is_self": !self.is_sealed(),
                "leader_address": self.info.api_addr.as_deref().unwrap_or_default(), "leader_cluster_address": "",
                "performance_standby": false, "performance_standby_last_remote_wal": 0,
            }),
        };
        Answer::bare(200, &leader, 256)
    }

    async fn seal_status(&self) -> Answer {
        let initialized = self.is_initialized().await;
        let open = self.unsealed();
        let status = self.seal.status();
        let document = SealStatus {
            kind: status.kind,
            initialized,
            sealed: open.is_none(),
            t: status.t,
            n: status.n,
            progress: if open.is_some() { 0 } else { status.progress },
            nonce: if open.is_some() { "" } else { &status.nonce },
            recovery_seal: status.recovery,
            version: &self.info.version,
            commit_date: commit_date(),
            migration: false,
            cluster_name: open.as_ref().map(|_| self.info.cluster_name.as_str()),
            cluster_id: open.as_ref().map(|open| ident::of(open.keyring.mount_id(), "cluster")),
            storage_type: &self.info.storage_type,
            restore_quarantine: open.as_ref().is_some_and(|open| open.is_quarantined()),
        };
        Answer::bare(200, &document, 512)
    }

    async fn init(&self, body: Map<String, Value>) -> Result<Answer, Refusal> {
        let mut fields = Fields::new(body);
        let shares = InitShares {
            shares: number(&mut fields, "secret_shares")?,
            threshold: number(&mut fields, "secret_threshold")?,
            recovery_shares: number(&mut fields, "recovery_shares")?,
            recovery_threshold: number(&mut fields, "recovery_threshold")?,
        };
        for name in ["pgp_keys", "recovery_pgp_keys"] {
            if fields.list(name)?.value().is_some_and(|keys| !keys.is_empty()) {
                return Err(Error::field(name, "encrypting shares with PGP is not supported; leave it out").into());
            }
        }
        if fields.string("root_token_pgp_key")?.value().is_some_and(|key| !key.is_empty()) {
            return Err(Error::field("root_token_pgp_key", "encrypting with PGP is not supported; leave it out").into());
        }
        let birth = self.initialise(shares).await?;
        let hex = Texts(birth.shares.iter().map(|share| hex::encode(share.as_slice())).collect());
        let base64 = Texts(birth.shares.iter().map(|share| STANDARD.encode(share.as_slice())).collect());
        let none = Texts(Vec::new());
        let recovery = self.seal.status().recovery;
        let (keys, keys_base64) = if recovery { (&none, &none) } else { (&hex, &base64) };
        let document = Initialised {
            keys: &keys.0,
            keys_base64: &keys_base64.0,
            recovery_keys: recovery.then_some(&*hex.0),
            recovery_keys_base64: recovery.then_some(&*base64.0),
            root_token: birth.root_token.expose(),
        };
        Ok(Answer::bare(200, &document, 1024 + 160 * birth.shares.len()))
    }

    async fn unseal_share(&self, body: Map<String, Value>) -> Result<Answer, Refusal> {
        let mut fields = Fields::new(body);
        let key = fields.exact_string("key")?.value().map(Zeroizing::new);
        if fields.boolean("reset")?.value() == Some(true) {
            self.reset_unseal()?;
            return Ok(self.seal_status().await);
        }
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            return Err(Refusal::new(400, "'key' must be specified in request body as JSON, or 'reset' set to true"));
        };
        let share = parse_share(&key)?;
        self.unseal(&share).await?;
        Ok(self.seal_status().await)
    }
}

#[derive(Serialize)]
struct Health<'a> {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'a str,
    replication_dr_mode: &'a str,
    server_time_utc: i64,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    /// Said only while it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    restore_quarantine: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shutting_down: bool,
}

#[derive(Serialize)]
struct SealStatus<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    initialized: bool,
    sealed: bool,
    t: u8,
    n: u8,
    progress: u8,
    nonce: &'a str,
    recovery_seal: bool,
    version: &'a str,
    commit_date: String,
    migration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<String>,
    storage_type: &'a str,
    /// Said only while it is so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    restore_quarantine: bool,
}

#[derive(Serialize)]
struct Initialised<'a> {
    keys: &'a [String],
    keys_base64: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_keys: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_keys_base64: Option<&'a [String]>,
    root_token: &'a str,
}

/// Key shares as text, wiped when dropped.
struct Texts(Vec<String>);

impl Drop for Texts {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

fn number(fields: &mut Fields, name: &'static str) -> Result<u64> {
    Ok(match fields.integer(name, 0, u64::MAX)? {
        Given::Value(number) => number,
        Given::Absent | Given::Reset => 0,
    })
}

/// When the sources were last changed, if the build says so (`SOURCE_DATE_EPOCH`, as reproducible builds set it).
fn commit_date() -> String {
    let seconds = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()).unwrap_or(0);
    Timestamp::from_secs(seconds).to_string()
}
