//! Initialisation, unsealing, sealing: how what needs the root key comes to be and goes again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::anchors::Anchors;
use super::answer::Refusal;
use super::call::Token;
use super::seal::{InitShares, Initialised, Progress, Share};
use super::sys::generate_root::RootAttempt;
use super::tokens::record::Holder;
use super::tokens::{self, Tokens};
use super::wrapping::Wrappings;
use super::{Host, Keeping, MAX_ACTS, Unsealed, failure};
use crate::audit::Broker;
use crate::crypto::barrier;
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::engine::keys::KEYRING;
use crate::engine::{Engine, EngineParts};
use crate::error::{Error, Result};
use crate::storage::{Change, Expect, Found, Get, Revision, Storage, Write};

/// What `sys/init` gives, once.
pub struct Birth {
    /// Unseal shares, or recovery shares under a static seal.
    pub shares: Vec<Share>,
    /// The root token.
    pub root_token: Token,
}

/// Longest wait for writes at work before the barrier is sealed under them.
const SEAL_PATIENCE: Duration = Duration::from_secs(10);

/// How soon another vault that did not unseal is asked again.
const SEAL_RETRY: Duration = Duration::from_secs(5);

impl Host {
    /// Unseals if the seal can do so by itself. A store that is not initialised, or under Shamir, stays as it is.
    pub async fn start(&self) -> Result<()> {
        let _turn = self.turn().await?;
        // An initialisation that had the turn before has opened it already: its audit files are open once.
        if !self.is_sealed() {
            return Ok(());
        }
        self.is_initialized().await;
        match self.seal.auto_unseal().await? {
            Some(root) => self.open(root).await,
            None => Ok(()),
        }
    }

    /// Unseals as [`Host::start`] does, again and again until it succeeds or somebody else unsealed: the vault that holds the
    /// key may come back, another node may initialise the store. Then keeps alive what the seal needs of another vault. Over at
    /// once under Shamir.
    pub async fn attend_seal(&self) {
        if !self.seal.opens_by_itself() {
            return;
        }
        while self.is_sealed() {
            match self.start().await {
                Ok(()) if self.is_sealed() => tokio::time::sleep(SEAL_RETRY).await,
                Ok(()) => tracing::info!("unsealed"),
                Err(error) => {
                    let again = SEAL_RETRY.as_secs();
                    tracing::warn!(?error, "still sealed; tried again in {again} seconds");
                    tokio::time::sleep(SEAL_RETRY).await;
                }
            }
        }
        self.seal.keep().await;
    }

    /// Makes the root key, the keyring and the root token in one commit: a crash leaves all of them or none. Stays sealed under
    /// Shamir.
    pub async fn initialise(&self, shares: InitShares) -> Result<Birth> {
        let _turn = self.turn().await?;
        let (initialised, root_token) = self.create(shares, None).await?;
        // Whatever happens from here on, the shares and the root token must reach the operator: there is no second time.
        let opened = match self.seal.auto_unseal().await {
            Ok(Some(root)) => self.open(root).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = opened {
            tracing::error!(?error, "initialised, but not unsealed: the next start tries again");
        }
        Ok(Birth { shares: initialised.keys, root_token })
    }

    /// Initialises and unseals a store that lives no longer than the process, under `root_token` if one is given. Under Shamir
    /// there is one unseal key.
    pub async fn init_dev(&self, root_token: Option<String>) -> Result<Birth> {
        let fits = |text: &str| (1..=Token::MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if root_token.as_deref().is_some_and(|text| !fits(text)) {
            return Err(Error::field("dev-root-token-id", "1 to 512 printable characters without spaces"));
        }
        let _turn = self.turn().await?;
        let shares = match self.seal.status().recovery {
            true => InitShares::default(),
            false => InitShares { shares: 1, threshold: 1, ..InitShares::default() },
        };
        let (initialised, token) = self.create(shares, root_token.map(Token::new)).await?;
        self.open(initialised.root).await?;
        Ok(Birth { shares: initialised.keys, root_token: token })
    }

    /// Takes a share of the unseal key. The host is unsealed when this returns `true`.
    pub async fn unseal(&self, share: &[u8]) -> Result<bool> {
        let _turn = self.turn().await?;
        if !self.is_sealed() {
            return Ok(true);
        }
        match self.seal.unseal(share).await? {
            Progress::More(_) => Ok(false),
            Progress::Root(root) => {
                self.seal.reset();
                self.open(root).await.map(|()| true)
            }
        }
    }

    /// Forgets the shares given so far.
    pub fn reset_unseal(&self) -> Result<()> {
        if !self.is_sealed() {
            return Err(Error::invalid("vault is unsealed"));
        }
        self.seal.reset();
        Ok(())
    }

    /// Seals: no new request finds the root key; writes at work get a little time to end.
    pub async fn close_seal(&self) -> Result<(), Refusal> {
        let _turn = self.turn().await?;
        self.close(SEAL_PATIENCE).await;
        Ok(())
    }

    pub(super) async fn close(&self, patience: Duration) {
        let Some(open) = self.set_state(None) else { return };
        let all = u32::try_from(MAX_ACTS).unwrap_or(u32::MAX);
        let idle = tokio::time::timeout(patience, self.acts.acquire_many(all)).await;
        if idle.is_err() {
            tracing::warn!("writes are still at work; the barrier is sealed under them");
        }
        if tokio::time::timeout(patience, open.engine.settle_counts()).await.is_err() {
            tracing::warn!("what was counted of events last could not be written in time");
        }
        if let Some(keeping) = &open.keeping {
            keeping.end(patience).await;
        }
        open.audit.close().await;
        self.barrier.seal();
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>> {
        self.turnstile.acquire().await.map_err(Error::internal)
    }

    async fn create(&self, shares: InitShares, given: Option<Token>) -> Result<(Initialised, Token)> {
        let random = &*self.random;
        let now = self.clock.now();
        let token = given.unwrap_or_else(|| tokens::draw(random));
        let record = tokens::new_record(Holder::Root, Duration::ZERO, Duration::ZERO, now, random);
        let first = |root: &Key| -> Result<Vec<Write>> {
            let keyring = Keyring::generate(now, random);
            let revision = Revision::new(random);
            let sealed = keyring.seal(root, &revision, random).map_err(Error::internal)?;
            let mut writes = vec![create(KEYRING.to_owned(), sealed, revision)];
            let barrier_keys = keyring.barrier_keys();
            let key = barrier_keys.last().ok_or_else(|| Error::internal("a keyring without a barrier key"))?;
            for (name, value) in tokens::first_values(&keyring, &token, &record)? {
                let revision = Revision::new(random);
                let sealed = barrier::seal_value(key, keyring.mount_id(), &name, &revision, &value, random)
                    .map_err(Error::internal)?;
                writes.push(create(name, sealed, revision));
            }
            Ok(writes)
        };
        let initialised = self.seal.init_with(shares, first).await?;
        Ok((initialised, token))
    }

    async fn open(&self, root: Key) -> Result<()> {
        let found = self.raw.get_many(vec![Get::new(KEYRING)]).await.map_err(failure::read)?;
        let Some(Found::Value(bytes, revision)) = found.into_iter().next() else {
            return Err(Error::internal(
                "the store has a seal but no keyring: it is damaged, or another store's seal was copied in",
            ));
        };
        let keyring = Arc::new(Keyring::open(&root, &revision, &bytes).map_err(Error::internal)?);
        let root = Arc::new(root);
        let opener = {
            let root = Arc::clone(&root);
            move |revision: &Revision, bytes: &[u8]| Ok(Keyring::open(&root, revision, bytes)?.barrier_keys())
        };
        self.barrier.unseal_with(*keyring.mount_id(), keyring.barrier_keys(), Arc::new(opener));
        match self.assemble(root, keyring).await {
            Ok(open) => {
                self.initialized.store(true, Ordering::Relaxed);
                self.set_state(Some(Arc::new(open)));
                Ok(())
            }
            Err(error) => {
                self.barrier.seal();
                Err(error)
            }
        }
    }

    async fn assemble(&self, root: Arc<Key>, keyring: Arc<Keyring>) -> Result<Unsealed> {
        let storage: Arc<dyn Storage> = Arc::clone(&self.barrier) as _;
        let signing = keyring.signing().map_err(Error::internal)?;
        let (clock, random) = (Arc::clone(&self.clock), Arc::clone(&self.random));
        let audit =
            Broker::open(self.devices.clone(), Arc::clone(&storage), signing, Arc::clone(&clock), Arc::clone(&random))
                .await?;
        let engine = Engine::new(EngineParts {
            storage: Arc::clone(&storage),
            root: Arc::clone(&root),
            verifier: Arc::clone(&self.verifier),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
        });
        let engine = Arc::new(match &self.info.node {
            Some(node) => engine.on_node(node),
            None => engine,
        });
        let anchors = self.anchor(&engine, &keyring).await?;
        let keeping = anchors.as_ref().map(Keeping::begin);
        let tokens = Tokens::new(Arc::clone(&storage), Arc::clone(&keyring), Arc::clone(&clock), Arc::clone(&random));
        let wrappings = Wrappings::new(storage, Arc::clone(&keyring), clock, random);
        let metrics = Arc::clone(&self.metrics);
        let root_attempt = RootAttempt::default();
        Ok(Unsealed { keyring, root, root_attempt, metrics, engine, tokens, wrappings, audit, anchors, keeping })
    }

    /// Compares the store with what this node knows of it.
    async fn anchor(&self, engine: &Arc<Engine>, keyring: &Keyring) -> Result<Option<Arc<Anchors>>> {
        // Where the server beneath the store can be replaced, somebody must compare before the new one is trusted.
        if !self.anchoring.is_on() && engine.lines().is_none() {
            // A store that says itself that it was restored must be accepted by somebody, though nothing is anchored.
            let state = engine.restore_state().await?;
            if state.restore.quarantine.is_none() {
                return Ok(None);
            }
        }
        let (config, clock) = (self.anchoring.clone(), Arc::clone(&self.clock));
        let anchors = Anchors::new(config, &self.devices, Arc::clone(engine), keyring, clock)?;
        anchors.begin().await?;
        Ok(Some(Arc::new(anchors)))
    }
}

impl Keeping {
    fn begin(anchors: &Arc<Anchors>) -> Keeping {
        let (stop, stopped) = watch::channel(false);
        let anchors = Arc::clone(anchors);
        let task = tokio::spawn(async move { anchors.keep(stopped).await });
        Keeping { stop, task: Mutex::new(Some(task)) }
    }
    async fn end(&self, patience: Duration) {
        self.stop.send_replace(true);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return };
        let abort = task.abort_handle();
        if tokio::time::timeout(patience, task).await.is_err() {
            tracing::warn!("the last anchor could not be written in time");
            abort.abort();
        }
    }
}

fn create(key: String, value: Vec<u8>, revision: Revision) -> Write {
    Write { key, expect: Expect::Absent, change: Change::Put { value, revision } }
}
