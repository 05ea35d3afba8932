//! The `seal` record: the root key wrapped by the unseal key, and what an operator may know before that key is there. It lies
//! beside the barrier, not under it. Everything readable in it is bound into the wrap, so that an altered threshold, key id or
//! recovery check does not open.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use minicbor::bytes::{ByteArray, ByteVec};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::crypto::labels::{self, FORMAT, Label};
use crate::crypto::secret::Key;
use crate::random::{self, Random};
use crate::storage::format;

/// The storage key of the record.
pub const KEY: &str = "seal";
/// A record is far smaller; more is not read.
const MAX_BYTES: usize = 4096;
const ROOT_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// Who holds the unseal key, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub(super) enum Holder {
    /// People, a share each.
    #[n(0)]
    Shamir(#[n(0)] Quorum),
    /// The machine: a key from its environment or a file.
    #[n(1)]
    Static {
        /// Name of the key that wraps now.
        #[n(0)]
        key_id: String,
        /// How recovery keys are checked, if there are any.
        #[n(1)]
        recovery: Option<Recovery>,
    },
    /// Another vault: it has wrapped the unseal key, and only it can unwrap that.
    #[n(2)]
    Transit {
        /// The transit engine's mount and its key: `transit/sparekey`.
        #[n(0)]
        key: String,
        /// The unseal key as that vault wrapped it: `vault:v1:…`. Altered, it gives another key or none.
        #[n(1)]
        ciphertext: String,
        /// How recovery keys are checked, if there are any.
        #[n(2)]
        recovery: Option<Recovery>,
    },
}

impl Holder {
    /// `shamir`, `static` or `transit`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Holder::Shamir(_) => "shamir",
            Holder::Static { .. } => "static",
            Holder::Transit { .. } => "transit",
        }
    }
    /// How recovery keys are checked, if there are any.
    pub const fn recovery(&self) -> Option<&Recovery> {
        match self {
            Holder::Shamir(_) => None,
            Holder::Static { recovery, .. } | Holder::Transit { recovery, .. } => recovery.as_ref(),
        }
    }
    /// The quorum of the unseal shares, else of the recovery shares.
    pub fn quorum(&self) -> Option<Quorum> {
        match self {
            Holder::Shamir(quorum) => Some(*quorum),
            Holder::Static { .. } | Holder::Transit { .. } => self.recovery().map(|recovery| recovery.quorum),
        }
    }
}

/// How many shares there are and how many are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub(super) struct Quorum {
    /// Shares in all, 1 to 255.
    #[n(0)]
    pub shares: u8,
    /// Shares needed; 1 only where there is one share.
    #[n(1)]
    pub threshold: u8,
}

/// Recovery keys: they open nothing, they prove that a quorum of their holders agrees.
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub(super) struct Recovery {
    /// Their quorum.
    #[n(0)]
    pub quorum: Quorum,
    /// HMAC-SHA256 of the recovery key under a key derived from the root key.
    #[n(1)]
    pub check: ByteArray<32>,
}

/// The record as it is stored (CBOR).
#[derive(Debug, Clone, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
pub(super) struct Record {
    #[n(0)]
    format: u8,
    /// Random; the place that the wrap is bound to.
    #[n(1)]
    pub id: ByteArray<16>,
    #[n(2)]
    pub holder: Holder,
    #[n(3)]
    nonce: ByteArray<12>,
    /// Root key and tag (AES-256-GCM).
    #[n(4)]
    wrapped: ByteVec,
}

impl Record {
    /// Wraps `root` by `unseal_key` for `holder`, in the place `id` (random, once a store).
    pub fn wrap(
        id: [u8; 16],
        holder: Holder,
        root: &Key,
        unseal_key: &Key,
        random: &dyn Random,
    ) -> Result<Self, Broken> {
        let nonce: [u8; 12] = random::bytes(random);
        // Grown once: a reallocation would leave a copy of the root key behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(ROOT_LEN + TAG_LEN));
        buffer.extend_from_slice(root.bytes());
        cipher(unseal_key)
            .encrypt_in_place(&Nonce::from(nonce), place(&id, &holder).bytes(), &mut *buffer)
            .map_err(|_| Broken("cannot be wrapped"))?;
        let wrapped = ByteVec::from(buffer.to_vec());
        Ok(Record { format: FORMAT, id: id.into(), holder, nonce: nonce.into(), wrapped })
    }
    /// The same root key in the same place, wrapped by `unseal_key` for another holder.
    pub fn rewrap(&self, holder: Holder, root: &Key, unseal_key: &Key, random: &dyn Random) -> Result<Self, Broken> {
        Self::wrap(*self.id, holder, root, unseal_key, random)
    }
    /// Opens the root key; `None` if the key is not the one, or anything in the record was altered.
    pub fn unwrap(&self, unseal_key: &Key) -> Option<Key> {
        let mut buffer = Zeroizing::new(self.wrapped.to_vec());
        cipher(unseal_key)
            .decrypt_in_place(&Nonce::from(*self.nonce), place(&self.id, &self.holder).bytes(), &mut *buffer)
            .ok()?;
        let mut root = Zeroizing::new([0; ROOT_LEN]);
        root.copy_from_slice(buffer.get(..ROOT_LEN)?);
        Some(Key::from_bytes(root))
    }
    /// The bytes to store.
    pub fn encode(&self) -> Result<Vec<u8>, Broken> {
        minicbor::to_vec(self).map_err(|_| Broken("cannot be encoded"))
    }
    /// Reads stored bytes; a newer format, trailing bytes or an impossible quorum is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        if bytes.len() > MAX_BYTES {
            return Err(Broken("is longer than any seal record"));
        }
        if format::of(bytes).is_some_and(|format| format != u64::from(FORMAT)) {
            return Err(Broken("has a format that this version does not know: start the version that wrote it"));
        }
        let mut decoder = minicbor::Decoder::new(bytes);
        let record: Record = decoder.decode().map_err(|_| Broken("does not decode"))?;
        if decoder.position() != bytes.len() {
            return Err(Broken("has bytes after its end"));
        }
        if record.holder.quorum().is_some_and(|quorum| !quorum.is_possible()) {
            return Err(Broken("states an impossible number of shares"));
        }
        if record.wrapped.len() != ROOT_LEN + TAG_LEN {
            return Err(Broken("holds a wrapped key of the wrong length"));
        }
        Ok(record)
    }
}

impl Quorum {
    const fn is_possible(self) -> bool {
        self.threshold >= 1 && self.threshold <= self.shares && (self.threshold > 1) == (self.shares > 1)
    }
}

/// What a record keeps of a recovery key: enough to recognise it when the root key is there, nothing to guess from.
pub(super) fn recovery_check(id: &[u8; 16], root: &Key, recovery_key: &Key) -> Option<[u8; 32]> {
    let mut derived = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(id), root.bytes()).expand(labels::seal_recovery(id).bytes(), &mut *derived).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&*derived).ok()?;
    mac.update(recovery_key.bytes());
    Some(mac.finalize().into_bytes().into())
}

/// What is wrong with a record: completes the sentence "the record …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub &'static str);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new(key.bytes().into())
}

/// The associated data of the wrap.
fn place(id: &[u8; 16], holder: &Holder) -> Label {
    let key = match holder {
        Holder::Shamir(_) => "",
        Holder::Static { key_id, .. } => key_id,
        Holder::Transit { key, .. } => key,
    };
    let (shares, threshold) = holder.quorum().map_or((0, 0), |quorum| (quorum.shares, quorum.threshold));
    let check = holder.recovery().map_or(&[][..], |recovery| &recovery.check[..]);
    labels::seal_root(id, holder.kind(), (shares, threshold), key, check)
}
