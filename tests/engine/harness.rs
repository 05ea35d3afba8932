//! An engine with an issuer, a role and whatever store a test wants under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use sparekey::audit::{Broker, DeviceConfig, RequestEntry, ResponseEntry};
use sparekey::auth::Caller;
use sparekey::auth::Verifier;
use sparekey::auth::fetch::{Fetch, Fetching};
use sparekey::auth::host::Identities;
use sparekey::clock::{Clock, SettableClock};
use sparekey::crypto::keyring::Keyring;
use sparekey::crypto::secret::Key;
use sparekey::domain::time::Timestamp;
use sparekey::engine::request::{Body, Codes, Face, Operation, Request, Response, Wrap};
use sparekey::engine::{Engine, EngineParts};
use sparekey::error::{Error, Kind};
use sparekey::random::{OsRandom, SeededRandom};
use sparekey::storage::faulty::Faulty;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Revision, Storage, Write};

#[path = "../support/signer.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
pub mod signer;

pub use signer::Signer;

/// The time at which every test begins.
pub const START: i64 = 1_800_000_000;
/// The issuer's `iss`.
pub const ISS: &str = "https://idp.example.com";

/// Nothing is fetched in these tests.
struct NoFetch;
impl Fetch for NoFetch {
    fn get(&self, _url: &str, _ca_pem: Option<&str>) -> Fetching {
        Box::pin(async { Err("nothing is fetched here".into()) })
    }
}

/// An engine under test.
pub struct Bench {
    pub engine: Arc<Engine>,
    pub store: Arc<Faulty>,
    pub clock: Arc<SettableClock>,
    pub idp: Signer,
    root: Arc<Key>,
    broker: Broker,
    counter: AtomicU64,
    _folder: tempfile::TempDir,
}

/// What an answer came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub data: Value,
    pub code: Option<String>,
    /// A whole set, where one was shown.
    pub codes: Vec<String>,
    pub warnings: Vec<String>,
    pub error: String,
}

impl Answer {
    /// The stable first word of a refusal.
    pub fn word(&self) -> &str {
        self.error.split(':').next().unwrap_or_default()
    }
}

impl Bench {
    pub async fn new() -> Bench {
        Bench::over(Arc::new(Memory::new())).await
    }

    /// On `inner`, with issuer `idp`, source `idp` and roles `admin` (everything) and `oncall` (retrieve, by JWT).
    pub async fn over(inner: Arc<dyn Storage>) -> Bench {
        let store = Arc::new(Faulty::new(inner));
        let clock = Arc::new(SettableClock::new(Timestamp::from_secs(START)));
        let random = Arc::new(SeededRandom::new(1));
        let root = Arc::new(Key::generate(&OsRandom));
        let keyring = Keyring::generate(clock.now(), &OsRandom);
        let revision = Revision::new(&OsRandom);
        let bytes = keyring.seal(&root, &revision, &OsRandom).unwrap();
        let write = Write {
            key: "keyring".into(),
            expect: sparekey::storage::Expect::Absent,
            change: sparekey::storage::Change::Put { value: bytes, revision },
        };
        store.put_all(vec![write]).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log").display().to_string();
        let device = DeviceConfig::new("file", "file", &[("file_path".to_owned(), path)].into()).unwrap();
        let signing = keyring.signing().unwrap();
        let own: Arc<dyn Storage> = Arc::new(Memory::new());
        let broker = Broker::open(vec![device], own, signing, clock.clone(), Arc::new(OsRandom)).await.unwrap();
        let engine = engine(&store, &root, &clock, random);
        let bench = Bench {
            engine: Arc::new(engine),
            root,
            store,
            clock,
            idp: Signer::es256("k1"),
            broker,
            counter: AtomicU64::new(0),
            _folder: folder,
        };
        bench.set_up().await;
        bench
    }

    /// The same store, clock and keys under an engine that remembers nothing.
    pub fn restart(&mut self) {
        self.engine = Arc::new(self.another());
    }

    /// Never the same twice: revisions must not repeat.
    fn other_random(&self) -> Arc<SeededRandom> {
        Arc::new(SeededRandom::new(2 + self.counter.fetch_add(1, Ordering::SeqCst)))
    }

    /// Another engine over the same store, as of another process.
    pub fn another(&self) -> Engine {
        engine(&self.store, &self.root, &self.clock, self.other_random())
    }

    /// Another engine on the same keys and clock, over another way to the store: as another process, or another node.
    pub fn beside(&self, store: Arc<dyn Storage>) -> Engine {
        engine(&Arc::new(Faulty::new(store)), &self.root, &self.clock, Arc::new(SeededRandom::new(3)))
    }

    /// The same in a vault that vouches for its callers.
    pub fn vouched_for(mut self, identities: Arc<dyn Identities>) -> Bench {
        let engine = Arc::into_inner(self.engine).expect("nobody else holds the engine");
        self.engine = Arc::new(engine.with_identities(identities));
        self
    }

    async fn set_up(&self) {
        let issuer = json!({"bound_issuer": ISS, "jwt_validation_pubkeys": [self.idp.public_pem()]});
        self.fine("issuers/idp", issuer).await;
        let everything = [
            "store", "retrieve", "outcome", "verify", "check", "enroll", "revoke", "release", "confirm", "read",
            "list", "history",
        ];
        let admin = json!({
            "issuers": ["idp"], "bound_audiences": ["sparekey"], "bound_claims": {"team": ["sre"]}, "accounts": ["*"],
            "operations": everything, "require_reason": false,
        });
        self.fine("roles/admin", admin).await;
        self.fine("config", json!({"default_role": "admin"})).await;
        let source = json!({
            "type": "caep", "issuer": "idp", "bound_audiences": ["https://sparekey.example.com/events"],
            "subjects": {"email:jane@example.com": "github/acme"}, "account_template": "okta/{{email}}",
        });
        self.fine("sources/idp", source).await;
    }

    /// A write by root that must succeed.
    pub async fn fine(&self, path: &str, body: Value) -> Answer {
        let answer = self.root(Operation::Update, path, body).await;
        assert!(answer.status < 300, "{path}: {answer:?}");
        answer
    }
    /// A request by root.
    pub async fn root(&self, operation: Operation, path: &str, body: Value) -> Answer {
        self.send(operation, path, body, Caller::Root { accessor: "root".into() }, None).await
    }
    /// A read by root.
    pub async fn read(&self, path: &str) -> Value {
        let answer = self.root(Operation::Read, path, json!({})).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.data
    }
    /// An act under a fresh assertion of jane's.
    pub async fn act(&self, path: &str, mut body: Value) -> Answer {
        if body.get("jwt").is_none() {
            body["jwt"] = json!(self.jwt(json!({})));
        }
        self.send(Operation::Update, path, body, Caller::Anonymous, None).await
    }
    /// Stores a set that must come in.
    pub async fn store(&self, account: &str, codes: &[&str]) -> Answer {
        let answer = self.act(&format!("sets/{account}"), json!({"codes": codes})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }

    /// A fresh assertion: jane's, for the audience, with the claims of the role; `over` replaces claims (null drops one).
    pub fn jwt(&self, over: Value) -> String {
        let now = self.clock.now().secs();
        let mut claims = json!({
            "iss": ISS, "sub": "jane", "aud": "sparekey", "iat": now, "exp": now + 300, "team": "sre",
            "jti": format!("t{}", self.counter.fetch_add(1, Ordering::SeqCst)),
        });
        merge(&mut claims, &over);
        self.idp.jwt(&claims)
    }
    /// A credential-change event at `at` seconds for `email`.
    pub fn event(&self, email: &str, at: i64, over: Value) -> String {
        let mut claims = json!({
            "iss": ISS, "aud": "https://sparekey.example.com/events", "iat": self.clock.now().secs(),
            "jti": format!("e{}", self.counter.fetch_add(1, Ordering::SeqCst)),
            "sub_id": {"format": "email", "email": email},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/credential-change": {
                "credential_type": "fido2-roaming", "change_type": "create", "event_timestamp": at,
            }},
        });
        merge(&mut claims, &over);
        self.idp.set(&claims)
    }
    /// Sends an event.
    pub async fn send_event(&self, set: &str) -> Answer {
        self.send(Operation::Update, "events/idp", json!({"set": set}), Caller::Anonymous, None).await
    }
    /// Moves the clock on.
    pub fn wait(&self, secs: i64) {
        self.clock.advance(secs * 1000);
    }
    pub fn now(&self) -> i64 {
        self.clock.now().secs()
    }

    /// Sends a request and opens what it discloses against the audit's receipt.
    pub async fn send(
        &self,
        operation: Operation,
        path: &str,
        body: Value,
        caller: Caller,
        wrap: Option<Wrap>,
    ) -> Answer {
        let id = format!("r{}", self.counter.fetch_add(1, Ordering::SeqCst));
        self.send_as(&id, operation, path, body, caller, wrap).await
    }
    /// A change by root through another engine.
    pub async fn fine_through(&self, engine: &Engine, operation: Operation, path: &str, body: Value) {
        let Value::Object(data) = body else { panic!("an object") };
        let id = format!("o{}", self.counter.fetch_add(1, Ordering::SeqCst));
        let caller = Caller::Root { accessor: "root".into() };
        let path = path.to_owned();
        let request = Request { id, operation, path, data, caller, remote: None, face: Face::Http, wrap: None };
        let answer = self.open(engine.handle(request).await).await;
        assert!(answer.status < 300, "{answer:?}");
    }
    pub async fn send_as(
        &self,
        id: &str,
        operation: Operation,
        path: &str,
        body: Value,
        caller: Caller,
        wrap: Option<Wrap>,
    ) -> Answer {
        let Value::Object(data) = body else { panic!("an object") };
        let request = Request {
            id: id.to_owned(),
            operation,
            path: path.to_owned(),
            data,
            caller,
            remote: Some("192.0.2.7".parse().unwrap()),
            face: Face::Http,
            wrap,
        };
        self.open(self.engine.handle(request).await).await
    }
    /// Turns an answer of the engine into one that a test can look at.
    pub async fn open(&self, result: Result<Response, Error>) -> Answer {
        let nothing = Map::new();
        match result {
            Err(error) => Answer {
                status: error.kind().status(),
                data: Value::Null,
                code: None,
                codes: Vec::new(),
                warnings: Vec::new(),
                error: error.public().to_owned(),
            },
            Ok(mut response) => {
                let request = RequestEntry {
                    id: "r",
                    operation: Operation::Update,
                    mount_point: "backup-codes/",
                    mount_type: "sparekey",
                    path: "backup-codes/x",
                    data: &nothing,
                    caller: &Caller::Anonymous,
                    token: None,
                    remote: None,
                    wrap_ttl: None,
                    error: None,
                };
                let entry = ResponseEntry {
                    request,
                    status: 200,
                    error: None,
                    data: None,
                    list: None,
                    warnings: 0,
                    auth: None,
                    wrap_info: None,
                    note: &response.note,
                };
                let (mut code, mut codes) = (None, Vec::new());
                if let Some(boxed) = response.disclosure.take() {
                    let receipt = self.broker.disclosure(entry).await.unwrap();
                    match boxed.open(receipt).1 {
                        Codes::One(one) => code = Some(one.expose().to_owned()),
                        Codes::Set(set) => codes = set.iter().map(|code| code.expose().to_owned()).collect(),
                    }
                }
                let (status, data) = match response.body {
                    Body::Data(data) => (200, Value::Object(data)),
                    Body::Listed(data, list) => (200, Value::Object(list.among(data))),
                    Body::Empty => (204, Value::Null),
                    Body::Accepted => (202, Value::Null),
                    Body::EventError { err, description } => (400, json!({"err": err, "description": description})),
                    Body::Wrapped => (200, json!("wrapped")),
                };
                Answer { status, data, code, codes, warnings: response.warnings, error: String::new() }
            }
        }
    }
}

fn engine(store: &Arc<Faulty>, root: &Arc<Key>, clock: &Arc<SettableClock>, random: Arc<SeededRandom>) -> Engine {
    Engine::new(EngineParts {
        storage: store.clone(),
        root: root.clone(),
        verifier: Arc::new(Verifier::new(Arc::new(NoFetch), clock.clone())),
        clock: clock.clone(),
        random,
    })
}

/// A wrapping with a token hash of its own.
pub fn wrap(mark: u8, secs: u64) -> Wrap {
    let record = Write::create(format!("wrapping/{mark}"), b"record".to_vec(), &OsRandom);
    Wrap { token_hash: [mark; 32], ttl: Duration::from_secs(secs), record }
}

fn merge(claims: &mut Value, over: &Value) {
    for (name, value) in over.as_object().into_iter().flatten() {
        match value {
            Value::Null => claims.as_object_mut().and_then(|claims| claims.remove(name)),
            value => claims.as_object_mut().and_then(|claims| claims.insert(name.clone(), value.clone())),
        };
    }
}

/// Codes as a provider writes them.
pub const CODES: [&str; 4] = ["aaaaa-11111", "bbbbb-22222", "ccccc-33333", "ddddd-44444"];

/// Whether a refusal is by the account's state.
pub const INVALID: u16 = Kind::Invalid.status();
