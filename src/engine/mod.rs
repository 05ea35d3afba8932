//! The one table of paths and what each does. A face hands a [`Request`] to [`Engine::handle`] and renders the answer.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::host::Identities;
use crate::auth::jwks::Verifier;
use crate::auth::{Caller, Grant};
use crate::clock::Clock;
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::domain::fields::Fields;
use crate::domain::name::AccountName;
use crate::engine::cache::{Cache, Snapshot};
use crate::engine::paths::Need;
use crate::engine::request::{Operation, Request, Response};
use crate::engine::stretching::Pool;
use crate::error::{Error, Kind, Result};
use crate::ledger::entry::Actor;
use crate::random::Random;
use crate::storage::Storage;

pub mod accounts;
pub mod answers;
pub mod archived;
pub mod ask;
pub mod attempt;
pub mod begun;
pub mod burn;
pub mod cache;
pub mod check;
pub mod circle;
pub mod claimant;
pub mod config_ledger;
pub mod configuration;
pub mod confirm;
pub mod enroll;
pub mod events;
pub mod existence;
pub mod help;
pub mod history;
pub mod inherited;
pub mod keyring_change;
pub mod keys;
pub mod learned;
pub mod listed;
pub mod login;
pub mod metadata;
pub mod outcome;
pub mod paths;
pub mod presented;
pub mod record;
pub mod repeat;
pub mod report;
pub mod request;
pub mod restore;
pub mod retrieve;
pub mod revoke;
pub mod rewrap;
pub mod rotation;
pub mod schema;
pub mod settings;
pub mod share;
pub mod source_state;
pub mod sources;
pub mod store;
pub mod stretching;
pub mod sweep;
pub mod transact;
pub mod transfer;
pub mod turns;
pub mod unwrap;
pub mod verify;
pub mod wraps;

/// Profiles that are read along with every account.
const RECENT_PROFILES: usize = 8;

/// What an engine stands on.
pub struct EngineParts {
    /// The store, already behind its barrier.
    pub storage: Arc<dyn Storage>,
    /// The root key: it opens the key hierarchy.
    pub root: Arc<Key>,
    /// Verifies assertions and events; holds fetched keys.
    pub verifier: Arc<Verifier>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// The engine of one mount.
pub struct Engine {
    storage: Arc<dyn Storage>,
    root: Arc<Key>,
    verifier: Arc<Verifier>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    cache: Cache,
    profiles: Mutex<VecDeque<String>>,
    stretching: Pool,
    states: Arc<source_state::States>,
    sweeping: tokio::sync::Mutex<sweep::Progress>,
    destroying: tokio::sync::Mutex<sweep::sets::Progress>,
    identities: Option<Arc<dyn Identities>>,
    tally: wraps::Tally,
    rewrapping: AtomicBool,
    me: turns::Me,
    guard: restore::Guard,
}

/// A request that found its path.
pub struct Call {
    /// The request.
    pub request: Request,
    /// What the variable of the path matched; empty where it has none.
    pub name: String,
}

impl Engine {
    /// An engine on these parts.
    pub fn new(parts: EngineParts) -> Self {
        let EngineParts { storage, root, verifier, clock, random } = parts;
        let states = source_state::States::new(Arc::clone(&storage), Arc::clone(&clock), Arc::clone(&random)).into();
        Engine {
            storage,
            root,
            verifier,
            clock,
            random,
            cache: Cache::default(),
            profiles: Mutex::default(),
            stretching: Pool::default(),
            states,
            sweeping: tokio::sync::Mutex::default(),
            destroying: tokio::sync::Mutex::default(),
            identities: None,
            tally: wraps::Tally::default(),
            rewrapping: AtomicBool::new(false),
            me: turns::Me::default(),
            guard: restore::Guard::default(),
        }
    }
    /// The same in a vault that vouches for its callers: issuers of type `host` mean something.
    pub fn with_identities(self, identities: Arc<dyn Identities>) -> Self {
        Engine { identities: Some(identities), ..self }
    }
    /// The same as one of several nodes over one store.
    pub fn on_node(self, node: &str) -> Self {
        Engine { me: turns::Me::named(node), ..self }
    }

    /// Carries out a request: finds its path, asks whether the caller may (acts judge their assertion themselves), acts. The
    /// answer's codes stay boxed until the caller holds the audit's receipt.
    pub async fn handle(&self, request: Request) -> Result<Response> {
        let id = request.id.clone();
        let matched = paths::find(&request.path, request.operation)?;
        if request.operation != Operation::Update && request.data.contains_key("jwt") {
            return Err(Error::field(
                "jwt",
                "not in an address: addresses are logged; send it in the body of an update",
            ));
        }
        // A list is filtered name by name: its own path is a folder, not an account.
        let account = AccountName::parse(&matched.name).ok().filter(|_| request.operation != Operation::List);
        match matched.operation.need {
            Need::Configure => {
                self.may(&request.caller, crate::domain::role::Capability::Administer, None, request.remote).await?
            }
            Need::Metadata(capability) => {
                self.may(&request.caller, capability, account.as_ref(), request.remote).await?
            }
            Need::Act(_) | Need::Nothing => {}
        }
        let judged = matches!(matched.operation.need, Need::Act(_));
        let call = Call { request, name: matched.name };
        (matched.operation.handler)(self, call).await.map_err(|error| match (judged, error.kind()) {
            (true, Kind::Invalid | Kind::Denied | Kind::TooMany) => error.with_request(&id),
            _ => error,
        })
    }

    /// Forgets what is held in memory of records: on seal, and when another node says that `key` changed.
    pub fn forget(&self, key: Option<&str>) {
        match key {
            Some(key) => self.cache.forget(key),
            None => self.cache.clear(),
        }
    }

    /// Writes down what was counted of events and not written yet: before the store is closed.
    pub async fn settle_counts(&self) {
        self.states.settle().await;
    }

    /// The key hierarchy as it is now.
    pub async fn keyring(&self) -> Result<Arc<Keyring>> {
        let mut snapshot = Snapshot::default();
        self.load(&mut snapshot, [keys::KEYRING.to_owned()]).await?;
        snapshot.keyring()
    }

    async fn load(&self, snapshot: &mut Snapshot, wanted: impl IntoIterator<Item = String>) -> Result<()> {
        snapshot.load(wanted, &*self.storage, &self.cache, &self.root).await
    }
    fn account_name(text: &str) -> Result<AccountName> {
        AccountName::parse(text)
    }
    /// Keys of the profiles last used: reading them along saves most acts a second read.
    fn recent_profiles(&self) -> Vec<String> {
        self.profiles.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
    fn note_profiles(&self, keys: &[String]) {
        let mut recent = self.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if !recent.contains(key) {
                recent.push_front(key.clone());
                recent.truncate(RECENT_PROFILES);
            }
        }
    }
}

/// The actor of an act: whom the assertion names, and whom the mounting vault let through.
fn actor(grant: &Grant, request: &Request) -> Actor {
    Actor {
        subject: grant.subject().to_owned(),
        issuer: grant.iss().to_owned(),
        role: grant.role().to_owned(),
        ..bearer(request)
    }
}

/// What a mounting vault says of who sent the request.
fn bearer(request: &Request) -> Actor {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let (entity, accessor) = match &request.caller {
        Caller::Host { entity_id, accessor, .. } => (some(entity_id), some(accessor)),
        Caller::Anonymous | Caller::Root { .. } | Caller::Login { .. } => (None, None),
    };
    Actor { face: request.face.word().to_owned(), entity, accessor, ..Actor::default() }
}

/// The actor of what needs no assertion: the holder of the token.
fn operator(request: &Request) -> Actor {
    let (subject, issuer, role) = match &request.caller {
        Caller::Anonymous => (String::new(), String::new(), String::new()),
        Caller::Root { .. } => ("root".to_owned(), String::new(), String::new()),
        Caller::Login { role, assertion, .. } => (assertion.subject.clone(), assertion.iss.clone(), role.clone()),
        Caller::Host { display_name, .. } => (display_name.clone(), String::new(), String::new()),
    };
    Actor { subject, issuer, role, ..bearer(request) }
}

fn remote(request: &Request) -> Option<String> {
    request.remote.map(|address| address.to_string())
}

/// Adds Vault's warning about fields that an act does not know.
fn ignored(fields: &Fields, warnings: &mut Vec<String>) {
    let unknown = fields.unknown();
    if !unknown.is_empty() {
        warnings.push(format!("Endpoint ignored these unrecognized parameters: [{}]", unknown.join(" ")));
    }
}
