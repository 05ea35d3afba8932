//! The keyring: every long-lived key of one mount, each a random 256-bit key with a use and a generation of its own, so that
//! no key is derived from another's output and each can be replaced alone.
//!
//! One KEK is active; older ones only unwrap until re-wrapping has emptied them, then they are retired. The other keys
//! (ledger, fingerprint, token-hash, signing, barrier) live outside KEK retirement.

use zeroize::Zeroizing;

use super::CryptoError;
use super::barrier::BarrierKey;
use super::fingerprint::Fingerprinter;
use super::labels;
use super::primitive::{self, KeyedMac};
use super::secret::Key;
use super::signing::SigningKey;
use crate::domain::time::Timestamp;
use crate::random::{self, Random};

mod record;
mod rotation;

pub use rotation::RECOVERABLE;

/// The chain id of the configuration's ledger; accounts use their random ids, which are never zero in practice.
pub const CONFIG_CHAIN: [u8; 16] = [0; 16];

/// What a keyed hash is for. Hashes of different purposes never compare equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashPurpose {
    /// A token.
    Token,
    /// A token's accessor.
    Accessor,
    /// A wrapping token.
    WrappingToken,
    /// An idempotency key.
    IdempotencyKey,
    /// The content of a request, to recognise a repeat.
    RequestContent,
    /// The claim on a JWT.
    Claim,
    /// A caller (issuer, subject, role).
    Subject,
}

impl HashPurpose {
    /// Every purpose.
    pub const ALL: [HashPurpose; 7] = [
        HashPurpose::Token,
        HashPurpose::Accessor,
        HashPurpose::WrappingToken,
        HashPurpose::IdempotencyKey,
        HashPurpose::RequestContent,
        HashPurpose::Claim,
        HashPurpose::Subject,
    ];
    /// The purpose as it stands in the layout.
    pub const fn label(self) -> &'static str {
        match self {
            HashPurpose::Token => "hash/token",
            HashPurpose::Accessor => "hash/accessor",
            HashPurpose::WrappingToken => "hash/wrapping-token",
            HashPurpose::IdempotencyKey => "hash/idempotency-key",
            HashPurpose::RequestContent => "hash/request-content",
            HashPurpose::Claim => "hash/claim",
            HashPurpose::Subject => "hash/subject",
        }
    }
}

/// What a KEK may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub enum KeyState {
    /// Wraps and unwraps.
    #[n(0)]
    Active,
    /// Only unwraps.
    #[n(1)]
    DecryptOnly,
    /// Neither; recoverable for [`RECOVERABLE`], then erased.
    #[n(2)]
    Retired {
        /// Since when.
        #[n(0)]
        at: Timestamp,
    },
}

/// What may be told of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its number, from 1.
    pub generation: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it may do.
    pub state: KeyState,
}

/// The keys of one mount.
pub struct Keyring {
    mount_id: [u8; 16],
    /// By generation, ascending; the last one is active.
    keks: Vec<Entry>,
    ledger: Entry,
    fingerprint: Entry,
    token_hash: Entry,
    signing: Entry,
    /// By generation, ascending; the last one seals.
    barrier: Vec<Entry>,
    macs: Macs,
}

/// One key. The state of any key but a KEK is [`KeyState::Active`], or [`KeyState::DecryptOnly`] for an older barrier key.
struct Entry {
    info: KeyInfo,
    key: Key,
}

/// Keyed once per keyring: an HMAC then costs two compressions less, about a third of a short one.
struct Macs {
    ledger: KeyedMac,
    fingerprint: KeyedMac,
    token_hash: KeyedMac,
}

impl Keyring {
    /// A keyring for a new mount: a random mount id and the first generation of every key.
    pub fn generate(now: Timestamp, random: &dyn Random) -> Self {
        let mount_id = random::bytes(random);
        Keyring::assemble(
            mount_id,
            vec![Entry::generate(1, now, random)],
            [(); 4].map(|()| Entry::generate(1, now, random)),
            vec![Entry::generate(1, now, random)],
        )
    }

    fn assemble(mount_id: [u8; 16], keks: Vec<Entry>, singles: [Entry; 4], barrier: Vec<Entry>) -> Self {
        let [ledger, fingerprint, token_hash, signing] = singles;
        let macs = Macs {
            ledger: KeyedMac::new(ledger.key.bytes()),
            fingerprint: KeyedMac::new(fingerprint.key.bytes()),
            token_hash: KeyedMac::new(token_hash.key.bytes()),
        };
        Keyring { mount_id, keks, ledger, fingerprint, token_hash, signing, barrier, macs }
    }

    /// The random id of the mount, which is part of every label.
    pub fn mount_id(&self) -> &[u8; 16] {
        &self.mount_id
    }

    /// Every KEK that is not erased, oldest first.
    pub fn keks(&self) -> impl Iterator<Item = KeyInfo> + '_ {
        self.keks.iter().map(|kek| kek.info)
    }

    /// The barrier's key that seals.
    pub fn barrier_key(&self) -> Option<KeyInfo> {
        self.barrier.last().map(|key| key.info)
    }

    /// Copies of the barrier's keys, oldest first; the last one seals, all of them open.
    pub fn barrier_keys(&self) -> Vec<BarrierKey> {
        let copy = |entry: &Entry| BarrierKey {
            generation: entry.info.generation,
            key: Key::from_bytes(Zeroizing::new(*entry.key.bytes())),
        };
        self.barrier.iter().map(copy).collect()
    }

    /// The key that signs audit checkpoints.
    ///
    /// # Errors
    /// [`CryptoError::Library`] if the library cannot hold the key.
    pub fn signing(&self) -> Result<SigningKey, CryptoError> {
        SigningKey::from_seed(&self.signing.key)
    }

    /// The MAC that chains `entry` to the entry whose MAC is `previous` (zeros for the first one). `chain_id` is the account's
    /// id, or [`CONFIG_CHAIN`].
    pub fn ledger_mac(&self, chain_id: &[u8; 16], previous: &[u8; 32], entry: &[u8]) -> [u8; 32] {
        labels::ledger_entry(self.macs.ledger.clone(), &self.mount_id, chain_id, previous, entry).finish()
    }

    /// A hash under the token-hash key over `parts`; where one part ends and the next begins counts.
    pub fn keyed_hash(&self, purpose: HashPurpose, parts: &[&[u8]]) -> [u8; 32] {
        labels::hash(self.macs.token_hash.clone(), &self.mount_id, purpose, parts).finish()
    }

    /// Makes fingerprints for one account.
    pub fn fingerprinter(&self, account_id: &[u8; 16]) -> Fingerprinter {
        Fingerprinter::new(&self.macs.fingerprint, &self.mount_id, account_id)
    }

    /// A copy of the fingerprint key, for a mount that takes accounts over with their fingerprints.
    pub fn fingerprint_key(&self) -> Key {
        Key::from_bytes(Zeroizing::new(*self.fingerprint.key.bytes()))
    }

    /// The MAC under the fingerprint key.
    pub(super) fn fingerprint_mac(&self) -> KeyedMac {
        self.macs.fingerprint.clone()
    }

    /// The generation of the KEK that wraps.
    pub fn active_kek(&self) -> Result<u32, CryptoError> {
        let active = self.keks.iter().find(|kek| kek.info.state == KeyState::Active);
        active.map(|kek| kek.info.generation).ok_or(CryptoError::KeyState("no KEK is active"))
    }

    /// The account's KEK of one generation, for wrapping and unwrapping.
    pub(super) fn account_kek(
        &self,
        generation: u32,
        account_id: &[u8; 16],
    ) -> Result<Zeroizing<[u8; 32]>, CryptoError> {
        let kek = self.keks.iter().find(|kek| kek.info.generation == generation);
        let kek = kek.ok_or(CryptoError::UnknownGeneration { key: "KEK", generation })?;
        if matches!(kek.info.state, KeyState::Retired { .. }) {
            return Err(CryptoError::RetiredGeneration { generation });
        }
        primitive::derive(kek.key.bytes(), &self.mount_id, &labels::account_kek(&self.mount_id, account_id))
    }
}

impl Entry {
    fn generate(generation: u32, created_at: Timestamp, random: &dyn Random) -> Self {
        Entry { info: KeyInfo { generation, created_at, state: KeyState::Active }, key: Key::generate(random) }
    }
}

#[cfg(test)]
mod tests;
