//! An OpenBao that is driven, and the lanes that it has.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hmac;
use bytes::Bytes;
use serde_json::{Value, json};

use super::engine::{codes, each, unwraps};
use super::lane::Lane;
use super::load::{Load, OK, Pace, Proof, drive};
use super::wire::request;
use crate::support::scene::AUDIENCE;
use crate::support::signer::{Signer, claims, now};
use crate::support::vault::Vault;

/// Where its own engine is mounted.
const KV: &str = "kv";
const ISSUER: &str = "https://staff.example.com/";
/// The key of every TOTP secret, as RFC 6238 has it in its examples, and the same in base32.
const KEY: &[u8] = b"12345678901234567890";
const KEY_BASE32: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
/// Seconds for which a TOTP code stands, so long that none runs out while it is measured.
const PERIOD: u64 = 86_400;
/// Codes that one TOTP secret takes: of the last, this and the next period.
const TAKEN: usize = 3;

/// A set-up OpenBao.
pub struct OpenBao {
    pub vault: Vault,
    /// The token of somebody who may do everything in the engines that are measured, and nothing else.
    pub token: String,
    signer: Signer,
    secrets: usize,
    written: AtomicUsize,
    totp: AtomicUsize,
}

impl OpenBao {
    /// Mounts what is measured; `secrets` will be written again and again.
    pub fn new(vault: Vault, secrets: usize) -> Self {
        let root = vault.root();
        root.write(&format!("sys/mounts/{KV}"), &json!({"type": "kv", "options": {"version": "2"}})).expect(204);
        root.write("sys/mounts/totp", &json!({"type": "totp"})).expect(204);
        root.write("sys/auth/jwt", &json!({"type": "jwt"})).expect(204);
        let signer = Signer::es256("side-by-side");
        let config = json!({"jwt_validation_pubkeys": [signer.public_pem()], "bound_issuer": ISSUER});
        root.write("auth/jwt/config", &config).expect(204);
        let rules = ["backup-codes", KV, "totp", "sys/wrapping"].map(Vault::everything_below).join("\n");
        let token = vault.token("measured", &rules);
        for kind in ["service", "batch"] {
            let role = json!({
                "role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE], "bound_claims": {"groups": "on-call"},
                "token_policies": ["measured"], "token_type": kind, "token_ttl": "1h",
            });
            root.write(&format!("auth/jwt/role/{kind}"), &role).expect(204);
        }
        // Its own engine prepares itself for a moment.
        while root.write(&format!("{KV}/data/ready"), &json!({"data": {"ready": "yes"}})).status != 200 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let (written, totp) = Default::default();
        OpenBao { vault, token, signer, secrets, written, totp }
    }
    fn address(&self) -> SocketAddr {
        self.vault.address()
    }
    fn post(&self, path: &str, body: &Value) -> Bytes {
        request(self.address(), "POST", path, &[("x-vault-token", &self.token)], &body.to_string())
    }
    fn send(&self, requests: Vec<Bytes>, status: u16) -> Result<(), String> {
        let proof = Proof { status, text: "" };
        let load = Load { address: self.address(), connections: 64, pace: Pace::Closed, proof, keep: false, requests };
        drive(load).map(drop).map_err(|wrong| format!("preparing OpenBao: {wrong}"))
    }
    fn lane<'a>(
        &'a self,
        words: &str,
        proof: Proof,
        prepare: impl FnMut(usize) -> Result<Vec<Bytes>, String> + 'a,
    ) -> Lane<'a> {
        let (words, pids) = (words.to_owned(), self.vault.pid().into_iter().collect());
        Lane { name: "openbao", words, address: self.address(), pids, proof, prepare: Box::new(prepare), then: None }
    }
    /// The next writes: every secret in turn, each version on the one before.
    fn writes(&self, count: usize) -> Vec<Bytes> {
        let first = self.written.fetch_add(count, Ordering::Relaxed);
        let write = |number: usize| {
            let body = json!({"options": {"cas": number / self.secrets}, "data": {"codes": codes(number)}});
            self.post(&format!("{KV}/data/a/{}", number % self.secrets), &body)
        };
        (first..first + count).map(write).collect()
    }
    /// All secrets once, if they are not there yet.
    fn fill(&self) -> Result<(), String> {
        match self.written.load(Ordering::Relaxed) {
            0 => self.send(self.writes(self.secrets), 200),
            _ => Ok(()),
        }
    }
    /// So many of the secrets that are not there yet.
    pub fn store(&self, count: usize) -> Result<(), String> {
        self.send(self.writes(count), 200)
    }
    pub fn cas(&self) -> Lane<'_> {
        self.lane("KV v2 write with `cas`, ten codes", OK, |count| {
            self.fill()?;
            Ok(self.writes(count))
        })
    }
    pub fn metadata(&self) -> Lane<'_> {
        self.lane("KV v2 metadata read", OK, |count| {
            self.fill()?;
            let headers = [("x-vault-token", self.token.as_str())];
            let path = |number: usize| format!("{KV}/metadata/a/{}", number % self.secrets);
            Ok((0..count).map(|number| request(self.address(), "GET", &path(number), &headers, "")).collect())
        })
    }
    pub fn login(&self, kind: &'static str) -> Lane<'_> {
        let mut lane = self.lane(&format!("auth/jwt/login, {kind} token"), OK, move |count| {
            Ok(each(0..count, |number| {
                let mut claims = claims(ISSUER, &format!("admin-{}", number % 100), AUDIENCE);
                claims["groups"] = json!(["on-call"]);
                let body = json!({"role": kind, "jwt": self.signer.jwt(&claims)});
                request(self.address(), "POST", "auth/jwt/login", &[], &body.to_string())
            }))
        });
        if kind == "batch" {
            lane.name = "openbao-batch";
        }
        lane
    }
    pub fn wrap(&self) -> Lane<'_> {
        let mut lane = self.lane("sys/wrapping wrap, and unwrap", OK, |count| {
            let headers = [("x-vault-token", self.token.as_str()), ("x-vault-wrap-ttl", "120")];
            let body = |number: usize| {
                json!({"code": codes(number)[0], "account": "github/acme-owner", "slot": 1}).to_string()
            };
            let wrap = |number| request(self.address(), "POST", "sys/wrapping/wrap", &headers, &body(number));
            Ok((0..count).map(wrap).collect())
        });
        lane.then = Some(Box::new(|bodies| unwraps(self.address(), bodies)));
        lane
    }
    /// Right codes, each once. OpenBao remembers used ones in memory only.
    pub fn totp(&self) -> Lane<'_> {
        let proof = Proof { status: 200, text: "\"valid\":true" };
        self.lane("TOTP validate (used codes remembered in memory only)", proof, |count| {
            let keys = count.div_ceil(TAKEN);
            let first = self.totp.fetch_add(keys, Ordering::Relaxed);
            let key = json!({
                "key": KEY_BASE32, "algorithm": "SHA256", "digits": 8, "period": PERIOD, "account_name": "jane@example.com",
                "issuer": "side-by-side", "exported": false,
            });
            self.send((first..first + keys).map(|name| self.post(&format!("totp/keys/k{name}"), &key)).collect(), 204)?;
            let codes = totp();
            let validate = |number: usize| {
                let body = json!({"code": codes[number / keys]});
                self.post(&format!("totp/code/k{}", first + number % keys), &body)
            };
            Ok((0..count).map(validate).collect())
        })
    }
}

/// The codes of RFC 6238 for the last, this and the next period, eight digits.
fn totp() -> [String; TAKEN] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY);
    let period = now() / PERIOD;
    [period, period - 1, period + 1].map(|counter| {
        let mac = hmac::sign(&key, &counter.to_be_bytes());
        let mac = mac.as_ref();
        let at = usize::from(mac[mac.len() - 1] & 0xf);
        let number = u32::from_be_bytes([mac[at], mac[at + 1], mac[at + 2], mac[at + 3]]) & 0x7fff_ffff;
        format!("{:08}", number % 100_000_000)
    })
}
