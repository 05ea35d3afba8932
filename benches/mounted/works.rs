//! What is measured, and the requests of each kind.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, claims};
use crate::support::vault::Vault;
use crate::traffic::Prepared;

/// Codes in each set.
pub const CODES: u32 = 10;
/// Where the vault's own engine is mounted.
const KV: &str = "kv";

/// A kind of request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One code, by an ES256 assertion of its own.
    Retrieve,
    /// One code, by the vault's own word.
    HostRetrieve,
    /// A set of ten codes of a new account.
    Import,
    /// What is told of an account.
    Metadata,
    /// A fresh version of a secret of the vault's own engine, with `cas`.
    KvWrite,
    /// What that engine tells of a secret.
    KvMetadata,
}

impl Work {
    /// All, each engine's beside the other's.
    pub const ALL: [Work; 6] =
        [Work::Retrieve, Work::KvWrite, Work::HostRetrieve, Work::Import, Work::Metadata, Work::KvMetadata];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Work::Retrieve => "retrieve, a fresh ES256 assertion each",
            Work::HostRetrieve => "retrieve, issuer of type `host`",
            Work::Import => "import of ten codes",
            Work::Metadata => "account metadata",
            Work::KvWrite => "KV v2 write with `cas`",
            Work::KvMetadata => "KV v2 metadata",
        }
    }
    /// What of the vault's own engine it is held against.
    pub const fn beside(self) -> Option<Work> {
        match self {
            Work::Retrieve | Work::HostRetrieve | Work::Import => Some(Work::KvWrite),
            Work::Metadata => Some(Work::KvMetadata),
            Work::KvWrite | Work::KvMetadata => None,
        }
    }
    /// Calls on the vault's storage for each, as `tests/engine/host.rs` holds them.
    pub const fn calls(self) -> &'static str {
        match self {
            Work::Retrieve => "7",
            Work::HostRetrieve => "5, and 2 for the identity",
            Work::Import => "6",
            Work::Metadata => "1",
            Work::KvWrite | Work::KvMetadata => "",
        }
    }
}

/// A mounted engine with its callers, and the vault's own engine beside it.
pub struct Stage {
    scene: Scene,
    token: String,
    authority: String,
    accounts: u32,
    used: [u32; Work::ALL.len()],
}

impl Stage {
    /// Sets up issuers, roles and a person who logs in to the vault. `accounts` will be filled by [`Stage::fill`].
    pub fn new(vault: &Vault, accounts: u32) -> Self {
        let root = vault.root();
        let scene = Scene::with(vault.root(), vault.root(), Signer::es256("mounted"));
        root.write(&format!("sys/mounts/{KV}"), &json!({"type": "kv", "options": {"version": "2"}})).expect(204);
        let rules = [MOUNT, KV].map(Vault::everything_below).join("\n");
        root.write("sys/policies/acl/person", &json!({"policy": rules})).expect(204);
        root.write("sys/auth/userpass", &json!({"type": "userpass"})).expect(204);
        let person = json!({"password": "only for measuring", "token_policies": ["person"]});
        root.write("auth/userpass/users/jane", &person).expect(204);
        let login = json!({"password": "only for measuring"});
        let login = vault.client().write("auth/userpass/login/jane", &login).expect(200).json();
        let token = login["auth"]["client_token"].as_str().expect("a token").to_owned();
        let accessor = root.read("sys/auth").expect(200).json()["data"]["userpass/"]["accessor"].clone();
        let issuer = json!({"type": "host", "mount_accessor": accessor});
        root.write(&format!("{MOUNT}/issuers/people"), &issuer).expect(204);
        let role = json!({
            "issuers": "people", "bound_subject": "jane", "accounts": "*", "operations": "retrieve", "assertion": "login",
            "max_retrievals": null,
        });
        root.write(&format!("{MOUNT}/roles/people"), &role).expect(204);
        // The vault's own engine prepares itself for a moment.
        while root.write(&format!("{KV}/data/ready"), &json!({"data": {"ready": "yes"}})).status != 200 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Stage { scene, token, authority: vault.address().to_string(), accounts, used: Default::default() }
    }
    /// Imports a set into every account, and a secret into the vault's own engine for each.
    pub fn fill(&mut self) -> [Vec<Prepared>; 2] {
        let imports = (0..self.accounts).map(|account| self.import(&format!("a/{account}"), account)).collect();
        let secrets = self.prepare(Work::KvWrite, self.accounts);
        [imports, secrets]
    }
    /// The next so many of a kind: neighbours are about different accounts, and none is sent twice.
    pub fn prepare(&mut self, work: Work, count: u32) -> Vec<Prepared> {
        let first = self.used[work as usize];
        self.used[work as usize] += count;
        (first..first + count).map(|number| self.request(work, number)).collect()
    }
    fn request(&self, work: Work, number: u32) -> Prepared {
        let account = number % self.accounts;
        let times = number / self.accounts;
        match work {
            Work::Retrieve => {
                let mut claims = claims(ISSUER, &format!("admin-{}", number % 100), AUDIENCE);
                claims["groups"] = json!(["on-call"]);
                let body = json!({"role": "on-call", "jwt": self.scene.signer.jwt(&claims), "reason": "measured"});
                self.post(&format!("{MOUNT}/retrieve/a/{account}"), &body)
            }
            Work::HostRetrieve => {
                let body = json!({"role": "people", "reason": "measured"});
                self.post(&format!("{MOUNT}/retrieve/a/{account}"), &body)
            }
            Work::Import => self.import(&format!("b/{number}"), self.accounts + number),
            Work::Metadata => self.get(&format!("{MOUNT}/accounts/a/{account}")),
            Work::KvWrite => {
                let codes = codes(u64::from(number), CODES as usize);
                let body = json!({"options": {"cas": times}, "data": {"codes": codes}});
                self.post(&format!("{KV}/data/a/{account}"), &body)
            }
            Work::KvMetadata => self.get(&format!("{KV}/metadata/a/{account}")),
        }
    }
    fn import(&self, account: &str, seed: u32) -> Prepared {
        let codes = codes(u64::from(seed), CODES as usize);
        let body = json!({"role": "automation", "jwt": self.scene.automation(), "codes": codes, "cas": 0});
        self.post(&format!("{MOUNT}/sets/{account}"), &body)
    }
    fn post(&self, path: &str, body: &Value) -> Prepared {
        self.send(Method::POST, path, body.to_string())
    }
    fn get(&self, path: &str) -> Prepared {
        self.send(Method::GET, path, String::new())
    }
    fn send(&self, method: Method, path: &str, body: String) -> Prepared {
        Request::builder()
            .method(method)
            .uri(format!("/v1/{path}"))
            .header("host", &self.authority)
            .header("x-vault-request", "true")
            .header("x-vault-token", &self.token)
            .body(Full::new(Bytes::from(body)))
            .expect("a request")
    }
    /// One code by an assertion, asked for by itself.
    pub fn retrieve_once(&mut self) -> crate::support::http::Answer {
        let number = self.used[Work::Retrieve as usize];
        self.used[Work::Retrieve as usize] += 1;
        self.scene.retrieve(&format!("a/{}", number % self.accounts), "killed")
    }
}
