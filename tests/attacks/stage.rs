//! A server with an issuer, an event source, roles and an account, and the means to see whether anything moved.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};
use sparekey::clock::Clock;
use sparekey::storage::faulty::Faulty;
use sparekey::storage::memory::Memory;

pub use crate::event_table::{CREDENTIAL_CHANGE, merge};
use crate::inprocess::{Node, Setup};
use crate::support::http::{Answer, Client};
use crate::support::signer::Signer;

/// Where the engine is mounted, as paths begin with it.
pub const MOUNT: &str = "backup-codes";
/// The account that every role covers.
pub const ACCOUNT: &str = "github/acme-owner";
/// The audience of assertions.
pub const AUDIENCE: &str = "sparekey";
/// The audience of events.
pub const EVENTS: &str = "https://sparekey.example.com/events";
/// The issuer.
pub const ISS: &str = "https://idp.example.com";
/// Every operation that a role can allow.
const OPERATIONS: [&str; 14] = [
    "store",
    "retrieve",
    "outcome",
    "verify",
    "check",
    "enroll",
    "revoke",
    "release",
    "confirm",
    "transfer",
    "read",
    "list",
    "history",
    "administer",
];

/// A server under attack.
pub struct Stage {
    pub node: Node,
    /// The store beneath it, with switches.
    pub store: Arc<Faulty>,
    /// A client with the root token.
    pub root: Client,
    /// A client without any token.
    pub nobody: Client,
    pub idp: Signer,
    counter: AtomicU64,
}

impl Stage {
    /// On a store in memory and an audit file, with [`ACCOUNT`] holding eight codes.
    pub fn new() -> Stage {
        let stage = Stage::empty();
        stage.store(ACCOUNT, &codes("a", 8));
        stage
    }

    /// The same without an account.
    pub fn empty() -> Stage {
        Stage::with(Setup::default())
    }

    /// The same, with the server set up in another way.
    pub fn with(setup: Setup) -> Stage {
        let stage = Stage::bare(setup);
        stage.set_up();
        stage
    }

    /// The server alone.
    pub fn bare(setup: Setup) -> Stage {
        let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
        let (node, token) = Setup { storage: Some(store.clone()), ..setup }.ready();
        let nobody = node.client();
        Stage { root: nobody.token(&token), nobody, node, store, idp: Signer::es256("k1"), counter: AtomicU64::new(0) }
    }

    fn set_up(&self) {
        self.fine("issuers/idp", json!({"bound_issuer": ISS, "jwt_validation_pubkeys": [self.idp.public_pem()]}));
        let admin = json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_claims": {"team": ["sre"]}, "accounts": ["*"],
            "operations": OPERATIONS, "require_reason": false,
        });
        self.fine("roles/admin", admin.clone());
        let mut narrow = admin;
        narrow["accounts"] = json!(["github/*"]);
        narrow["operations"] = json!(OPERATIONS[..13]);
        self.fine("roles/narrow", narrow);
        self.fine("config", json!({"default_role": "admin"}));
        let source = json!({
            "type": "caep", "issuer": "idp", "bound_audiences": [EVENTS],
            "subjects": {"email:jane@example.com": ACCOUNT}, "account_template": "okta/{{email}}",
            "critical_subject_members": ["robot"],
        });
        self.fine("sources/idp", source);
    }

    /// A write by root below the mount that must succeed.
    #[track_caller]
    pub fn fine(&self, path: &str, body: Value) -> Answer {
        let answer = self.root.write(&format!("{MOUNT}/{path}"), &body);
        assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
        answer
    }

    /// A set that must come in.
    #[track_caller]
    pub fn store(&self, account: &str, codes: &[String]) -> Answer {
        self.act("sets", account, json!({"codes": codes})).expect(200)
    }

    /// An act under a fresh assertion, by somebody without a token.
    #[track_caller]
    pub fn act(&self, path: &str, account: &str, body: Value) -> Answer {
        self.nobody.write(&format!("{MOUNT}/{path}/{account}"), &self.asserted(body))
    }

    /// `body` with a fresh assertion, unless it has one.
    pub fn asserted(&self, mut body: Value) -> Value {
        if body.get("jwt").is_none() {
            body["jwt"] = json!(self.jwt(&json!({})));
        }
        body
    }

    /// The good request beside every table: one more code leaves.
    #[track_caller]
    pub fn retrieves(&self) -> Answer {
        let answer = self.act("retrieve", ACCOUNT, json!({})).expect(200);
        assert!(answer.data()["code"].is_string(), "{}", answer.text());
        answer
    }

    /// A number that no other call got.
    pub fn fresh(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::SeqCst)
    }
    /// The server's present second.
    pub fn now(&self) -> i64 {
        self.node.clock.now().secs()
    }

    /// A fresh assertion of the team's; `over` replaces claims, null drops one.
    pub fn jwt(&self, over: &Value) -> String {
        let now = self.now();
        let mut claims = json!({
            "iss": ISS, "sub": "jane", "aud": AUDIENCE, "iat": now, "exp": now + 300, "team": "sre",
            "jti": format!("t{}", self.fresh()),
        });
        merge(&mut claims, over);
        self.idp.jwt(&claims)
    }

    /// The claims of a fresh event: `email` enrolled a new factor at `at`; `over` replaces claims, null drops one.
    pub fn event(&self, email: &str, at: i64, over: &Value) -> Value {
        let mut claims = json!({
            "iss": ISS, "aud": EVENTS, "iat": self.now(), "jti": format!("e{}", self.fresh()),
            "sub_id": {"format": "email", "email": email},
            "events": {CREDENTIAL_CHANGE: {
                "credential_type": "app", "change_type": "create", "event_timestamp": at,
            }},
        });
        merge(&mut claims, over);
        claims
    }

    /// A token of a login under `role`.
    #[track_caller]
    pub fn login(&self, role: &str) -> Client {
        let body = json!({"role": role, "jwt": self.jwt(&json!({}))});
        let answer = self.nobody.write("auth/jwt/login", &body).expect(200);
        self.nobody.token(answer.json()["auth"]["client_token"].as_str().unwrap())
    }

    /// What root sees of an account.
    #[track_caller]
    pub fn account(&self, account: &str) -> Value {
        self.root.read(&format!("{MOUNT}/accounts/{account}")).expect(200).data()
    }

    /// How many codes of [`ACCOUNT`] are left.
    pub fn remaining(&self) -> u64 {
        self.account(ACCOUNT)["remaining"].as_u64().unwrap()
    }

    /// Everything that a request may change, as root sees it: accounts with their ledgers, every configuration record.
    pub fn world(&self) -> Value {
        let read = |path: &str| {
            let answer = self.root.read(&format!("{MOUNT}/{path}"));
            assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.text());
            answer.json()["data"].clone()
        };
        let mut world = Map::new();
        let mut todo: Vec<String> =
            ["issuers/", "roles/", "profiles/", "sources/", "accounts/"].map(str::to_owned).into();
        while let Some(folder) = todo.pop() {
            let listed = read(&format!("{folder}?list=true"));
            for name in listed["keys"].as_array().into_iter().flatten() {
                let path = format!("{folder}{}", name.as_str().unwrap());
                if path.ends_with('/') {
                    todo.push(path);
                    continue;
                }
                if let Some(account) = path.strip_prefix("accounts/") {
                    world.insert(format!("history/{account}"), read(&format!("history/{account}"))["head"].clone());
                }
                world.insert(path.clone(), read(&path));
            }
            world.insert(folder, listed);
        }
        world.insert("config".to_owned(), read("config"));
        world.insert("config/history".to_owned(), read("config/history")["head"].clone());
        Value::Object(world)
    }

    /// The audit file's lines so far.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.node.audit()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How long the audit file is: lines after this belong to what comes next.
    pub fn audit_len(&self) -> u64 {
        std::fs::metadata(self.node.audit()).unwrap().len()
    }

    /// The response lines that were written since the file was `len` bytes long.
    pub fn answered_since(&self, len: u64) -> Vec<Value> {
        let mut file = File::open(self.node.audit()).unwrap();
        file.seek(SeekFrom::Start(len)).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice::<Value>(line).unwrap())
            .filter(|line| line["type"] == "response")
            .collect()
    }
}

/// `count` codes that no other series has.
pub fn codes(series: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{series}qv{number:03}-zzx{number:03}{series}")).collect()
}
