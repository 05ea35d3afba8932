//! A Sparekey that is driven, on a server of its own or mounted, and the lanes that it has.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use serde_json::{Value, json};

use super::lane::Lane;
use super::load::{Load, OK, Pace, Proof, drive};
use super::wire::request;
use crate::support::http::Client;
use crate::support::scene::{AUDIENCE, ISSUER, Scene};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, claims, now};

/// Codes in each set.
pub const CODES: usize = 10;
/// Fewest accounts a round is about, so that neighbours never meet.
const FEWEST: usize = 256;
/// Connections while something is prepared: fewer than the pool for argon2id has places.
const MANY: usize = 48;
const HASHED: Proof = Proof { status: 200, text: "\"valid\":true" };

/// A set-up engine.
pub struct Engine {
    pub address: SocketAddr,
    pub pids: Vec<u32>,
    pub scene: Scene,
    /// Sent with everything where a vault mounts us: its own token.
    host_token: Option<String>,
    next: AtomicUsize,
}

/// The codes of this account or secret, 16 characters each.
pub fn codes(seed: usize) -> Vec<String> {
    let code = |index: usize| (seed * 64 + index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..CODES).map(code).map(|code| format!("{:08x}-{:07x}", code >> 32, code & 0xfff_ffff)).collect()
}

/// Makes so many, on as many threads as there are processors: signing takes its time.
pub fn each<T: Send>(numbers: Range<usize>, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let lanes = thread::available_parallelism().map_or(1, usize::from);
    let share = numbers.len().div_ceil(lanes).max(1);
    let starts: Vec<usize> = numbers.clone().step_by(share).collect();
    thread::scope(|scope| {
        let make = &make;
        let part = |start: usize| start..(start + share).min(numbers.end);
        let threads: Vec<_> =
            starts.into_iter().map(|start| scope.spawn(move || part(start).map(make).collect::<Vec<T>>())).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    })
}

impl Engine {
    /// Sets up issuer, roles, profiles and source through this client, which may administer.
    pub fn new(address: SocketAddr, pids: Vec<u32>, root: Client, host_token: Option<String>) -> Self {
        let plain = match &host_token {
            Some(token) => Client::new(address).token(token),
            None => Client::new(address),
        };
        let scene = Scene::with(root.clone(), plain, Signer::es256("side-by-side"));
        let write = |path: &str, body: Value| {
            let answer = root.write(&format!("{MOUNT}/{path}"), &body);
            assert!(matches!(answer.status, 200 | 204), "{path}: {} {}", answer.status, answer.text());
        };
        let role = |operations: &[&str]| {
            json!({
                "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_claims": {"groups": ["on-call"]}, "accounts": ["*"],
                "operations": operations, "assertion": "login", "max_retrievals": null, "token_ttl": "1h",
            })
        };
        write("roles/desk", role(&["retrieve", "read"]));
        write("roles/checker", role(&["store", "verify"]));
        write("profiles/hashed", json!({"kind": "issued", "length": 24, "verifier": "hmac-sha256"}));
        write("profiles/stretched", json!({"kind": "issued"}));
        Engine { address, pids, scene, host_token, next: AtomicUsize::new(0) }
    }
    /// An assertion of its own for each of these.
    fn assertion(&self, number: usize) -> String {
        let mut claims = claims(ISSUER, &format!("admin-{}", number % 100), AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        self.scene.signer.jwt(&claims)
    }
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Bytes {
        let mut headers = headers.to_vec();
        headers.extend(self.host_token.as_deref().map(|token| ("x-vault-token", token)));
        request(self.address, "POST", path, &headers, &body.to_string())
    }
    /// Sends them all, many at a time, and gives the answers back in their order.
    pub fn send(&self, requests: Vec<Bytes>) -> Result<Vec<Value>, String> {
        let load =
            Load { address: self.address, connections: MANY, pace: Pace::Closed, proof: OK, keep: true, requests };
        let mut bodies = drive(load).map_err(|wrong| format!("preparing: {wrong}"))?.bodies;
        bodies.sort_by_key(|(index, _)| *index);
        Ok(bodies.iter().map(|(_, body)| serde_json::from_slice(body).unwrap_or_default()).collect())
    }
    /// Numbers that no account has yet.
    fn fresh(&self, count: usize) -> Range<usize> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }
    fn import(&self, account: usize, name: &str) -> Bytes {
        let jwt = self.scene.automation();
        let body =
            json!({"role": "automation", "jwt": jwt, "codes": codes(account), "cas": 0, "bound_at": now() - 3_600});
        self.post(&format!("{MOUNT}/sets/{name}"), &[], &body)
    }
    /// Accounts with a set of ten codes, new ones, enough for so many codes.
    pub fn filled(&self, codes: usize) -> Result<Range<usize>, String> {
        let accounts = self.fresh(codes.div_ceil(CODES).max(FEWEST.min(codes)));
        self.send(each(accounts.clone(), |account| self.import(account, &format!("a/{account}"))))?;
        Ok(accounts)
    }
    /// Tokens of as many logins.
    fn logins(&self, count: usize, role: &str) -> Result<Vec<String>, String> {
        let answers = self.send(each(0..count, |number| self.login_request(number, role)))?;
        Ok(answers
            .iter()
            .map(|answer| answer["auth"]["client_token"].as_str().unwrap_or_default().to_owned())
            .collect())
    }
    fn login_request(&self, number: usize, role: &str) -> Bytes {
        self.post("auth/jwt/login", &[], &json!({"role": role, "jwt": self.assertion(number)}))
    }
    fn lane<'a>(
        &'a self,
        words: &str,
        proof: Proof,
        prepare: impl FnMut(usize) -> Result<Vec<Bytes>, String> + 'a,
    ) -> Lane<'a> {
        let (words, pids) = (words.to_owned(), self.pids.clone());
        Lane { name: "sparekey", words, address: self.address, pids, proof, prepare: Box::new(prepare), then: None }
    }
    /// The request of a retrieval, as it also goes to the floor.
    pub fn retrieval(&self, account: usize, number: usize, headers: &[(&str, &str)]) -> Bytes {
        let body = json!({"role": "on-call", "jwt": self.assertion(number), "reason": "measured"});
        self.post(&format!("{MOUNT}/retrieve/a/{account}"), headers, &body)
    }
    fn retrievals(&self, count: usize, headers: &[(&str, &str)]) -> Result<Vec<Bytes>, String> {
        let accounts = self.filled(count)?;
        Ok(each(0..count, |number| self.retrieval(accounts.start + number % accounts.len(), number, headers)))
    }

    pub fn retrieve(&self) -> Lane<'_> {
        self.lane("retrieve, an ES256 assertion of its own each", OK, |count| self.retrievals(count, &[]))
    }
    pub fn retrieve_by_login(&self) -> Lane<'_> {
        self.lane("retrieve by the claims of a login, one login each (beforehand)", OK, |count| {
            let accounts = self.filled(count)?;
            let tokens = self.logins(count, "desk")?;
            let send = |number: usize| {
                let account = accounts.start + number % accounts.len();
                let headers = [("x-vault-token", tokens[number].as_str())];
                self.post(&format!("{MOUNT}/retrieve/a/{account}"), &headers, &json!({"reason": "measured"}))
            };
            Ok((0..count).map(send).collect())
        })
    }
    /// Retrieval by the word of the vault that mounts us, under the role `people`.
    pub fn retrieve_by_host(&self) -> Lane<'_> {
        self.lane("mounted: retrieve, issuer of type `host`", OK, |count| {
            let accounts = self.filled(count)?;
            let account = |number: usize| accounts.start + number % accounts.len();
            let body = json!({"role": "people", "reason": "measured"});
            Ok((0..count)
                .map(|number| self.post(&format!("{MOUNT}/retrieve/a/{}", account(number)), &[], &body))
                .collect())
        })
    }
    /// `token` is one that may read; a mounted engine's own comes with it.
    pub fn metadata(&self) -> Result<Lane<'_>, String> {
        let token = match &self.host_token {
            Some(token) => token.clone(),
            None => self.logins(1, "desk")?.remove(0),
        };
        let accounts = self.filled(FEWEST * CODES)?;
        Ok(self.lane("read of an account's metadata, ten codes", OK, move |count| {
            let account = |number: usize| accounts.start + number % accounts.len();
            let headers = [("x-vault-token", token.as_str())];
            let read =
                |number| request(self.address, "GET", &format!("{MOUNT}/accounts/a/{}", account(number)), &headers, "");
            Ok((0..count).map(read).collect())
        }))
    }
    pub fn store(&self) -> Lane<'_> {
        self.lane("import of a set of ten codes for a new account", OK, |count| {
            Ok(each(self.fresh(count), |account| self.import(account, &format!("b/{account}"))))
        })
    }
    pub fn login(&self) -> Lane<'_> {
        self.lane("JWT login, service token", OK, |count| {
            Ok(each(0..count, |number| self.login_request(number, "desk")))
        })
    }
    pub fn wrap(&self) -> Lane<'_> {
        let mut lane = self.lane("retrieve into a wrapping, and unwrap", OK, |count| {
            self.retrievals(count, &[("x-vault-wrap-ttl", "120")])
        });
        lane.then = Some(Box::new(|bodies| unwraps(self.address, bodies)));
        lane
    }
    pub fn event(&self) -> Lane<'_> {
        let proof = Proof { status: 202, text: "" };
        self.lane("CAEP event that ends a set", proof, |count| {
            let people = self.fresh(count);
            let name = |person: usize| format!("person-{person}@example.com");
            self.send(each(people.clone(), |person| self.import(person, &format!("okta/{}", name(person)))))?;
            Ok(each(people, |person| {
                let subject = json!({"format": "email", "email": name(person)});
                let claims = crate::support::signer::credential_change(ISSUER, AUDIENCE, &subject, now());
                let headers = [("content-type", "application/secevent+jwt"), ("accept", "application/json")];
                request(self.address, "POST", &format!("{MOUNT}/events/idp"), &headers, &self.scene.signer.set(&claims))
            }))
        })
    }
    /// Whether the last event ended a set.
    pub fn event_ended(&self) -> Result<(), String> {
        let account = format!("okta/person-{}@example.com", self.next.load(Ordering::Relaxed) - 1);
        let read = self.scene.read("accounts", &account).data();
        let ended = read["sets"][0]["status"] == "superseded" && read["remaining"] == 0;
        if ended { Ok(()) } else { Err(format!("{account} was not ended by its event: {read}")) }
    }
    /// Lets an account's ledger grow by so many entries, one after the other.
    pub fn many_enrollments(&self, account: usize, count: usize) -> Result<(), String> {
        let path = format!("{MOUNT}/enroll/a/{account}");
        let enroll = |number: usize| {
            let jwt = self.scene.automation();
            self.post(&path, &[], &json!({"role": "automation", "jwt": jwt, "enrollment_id": format!("e{number}")}))
        };
        let (address, requests) = (self.address, each(0..count, enroll));
        drive(Load { address, connections: 1, pace: Pace::Closed, proof: OK, keep: false, requests })?;
        Ok(())
    }
    /// Right codes of sets of this profile (`hashed`, `stretched`), each once.
    pub fn verify(&self, profile: &'static str) -> Result<Lane<'_>, String> {
        let token = self.logins(1, "checker")?.remove(0);
        let words = format!("verify of a right code, profile {profile}");
        Ok(self.lane(&words, HASHED, move |count| {
            // Making a code for argon2id costs a computation: no more sets than are needed.
            let fewest = if profile == "stretched" { 1 } else { FEWEST.min(count) };
            let people = self.fresh(count.div_ceil(CODES).max(fewest));
            let headers = [("x-vault-token", token.as_str())];
            let made = self.send(each(people.clone(), |person| {
                let body = json!({"profile": profile, "cas": 0});
                self.post(&format!("{MOUNT}/sets/v/{person}"), &headers, &body)
            }))?;
            let check = |number: usize| {
                let (person, slot) = (number % people.len(), number / people.len());
                let body = json!({"code": made[person]["data"]["codes"][slot]});
                self.post(&format!("{MOUNT}/verify/v/{}", people.start + person), &headers, &body)
            };
            Ok((0..count).map(check).collect())
        }))
    }
}

/// The requests that open these wrappings.
pub fn unwraps(address: SocketAddr, bodies: &[(usize, Bytes)]) -> Result<Vec<Bytes>, String> {
    let unwrap = |(_, body): &(usize, Bytes)| {
        let answer: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let token = answer["wrap_info"]["token"].as_str().ok_or_else(|| format!("no wrapping: {answer}"))?;
        Ok(request(address, "POST", "sys/wrapping/unwrap", &[("x-vault-token", token)], "{}"))
    };
    bodies.iter().map(unwrap).collect()
}
