//! The header of a backup: all that can be read of it without a key, and what its keys are found by.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use super::{BackupError, FORMAT};
use crate::crypto::backup::FrameKey;
use crate::crypto::barrier::BarrierKey;
use crate::crypto::keyring::Keyring;
use crate::crypto::secret::Key;
use crate::domain::time::Timestamp;
use crate::storage::Revision;

/// A record that lies in the header as it lies in the store: sealed, but not by the barrier.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Sealed {
    #[n(0)]
    value: ByteVec,
    #[n(1)]
    revision: ByteArray<16>,
}

impl Sealed {
    /// `value` as it is stored at `revision`.
    pub fn new(value: Vec<u8>, revision: Revision) -> Self {
        Sealed { value: value.into(), revision: revision.0.into() }
    }
    /// Its bytes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
    /// Its revision.
    pub fn revision(&self) -> Revision {
        Revision(*self.revision)
    }
}

/// The header.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    #[n(0)]
    format: u8,
    /// Random: no two backups have one in common.
    #[n(1)]
    pub id: ByteArray<16>,
    /// Of which mount.
    #[n(2)]
    pub mount_id: ByteArray<16>,
    /// When it was begun.
    #[n(3)]
    pub made_at: Timestamp,
    /// Version of the program that made it.
    #[n(4)]
    pub version: String,
    /// Generation of the barrier key that its frames hang on.
    #[n(5)]
    pub barrier: u32,
    /// The seal record: the root key, wrapped by the unseal key.
    #[n(6)]
    pub seal: Sealed,
    /// The keyring, sealed by the root key.
    #[n(7)]
    pub keyring: Sealed,
}

impl Header {
    /// The header of a new backup.
    pub fn new(
        id: [u8; 16],
        mount_id: [u8; 16],
        made_at: Timestamp,
        barrier: u32,
        seal: Sealed,
        keyring: Sealed,
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Header { format: FORMAT, id: id.into(), mount_id: mount_id.into(), made_at, version, barrier, seal, keyring }
    }
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        // Writing to a Vec cannot fail, and nothing here refuses to be encoded.
        minicbor::to_vec(self).unwrap_or_default()
    }
    /// Reads it back.
    ///
    /// # Errors
    /// [`BackupError::Format`], [`BackupError::Header`].
    pub fn decode(bytes: &[u8]) -> Result<Self, BackupError> {
        // The format first: what follows it may look otherwise in a newer one.
        let mut head = minicbor::Decoder::new(bytes);
        match head.array().and_then(|_| head.u64()) {
            Ok(format) if format == u64::from(FORMAT) => {}
            Ok(format) => return Err(BackupError::Format(format)),
            Err(_) => return Err(BackupError::Header("does not decode")),
        }
        let mut decoder = minicbor::Decoder::new(bytes);
        let header: Header = decoder.decode().map_err(|_| BackupError::Header("does not decode"))?;
        if decoder.position() != bytes.len() {
            return Err(BackupError::Header("has bytes after its end"));
        }
        Ok(header)
    }
    /// Opens the keyring of that time.
    ///
    /// # Errors
    /// [`BackupError::Keyring`]; [`BackupError::Header`] if it is another mount's.
    pub fn open_keyring(&self, root: &Key) -> Result<Keyring, BackupError> {
        let keyring =
            Keyring::open(root, &self.keyring.revision(), self.keyring.value()).map_err(BackupError::Keyring)?;
        match keyring.mount_id() == &*self.mount_id {
            true => Ok(keyring),
            false => Err(BackupError::Header("names another mount than its keyring")),
        }
    }
    /// The key of the frames behind the header whose bytes are `bytes`.
    pub(super) fn frame_key(&self, bytes: &[u8], keys: &[BarrierKey]) -> Result<FrameKey, BackupError> {
        let key = keys.iter().find(|key| key.generation == self.barrier);
        let key = key.ok_or(BackupError::Header("names a barrier key that its keyring does not hold"))?;
        FrameKey::derive(key, &self.mount_id, &Sha256::digest(bytes).into()).map_err(BackupError::Crypto)
    }
}
