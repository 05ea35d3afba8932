//! Making a backup: bytes, a frame at a time, so that whoever takes them sets the pace and memory stays bounded.

use std::sync::Arc;

use minicbor::bytes::{ByteArray, ByteSlice};
use minicbor::{Decode, Encode};

use super::{BackupError, END, Header, MAGIC, RECORDS, Sealed};
use crate::crypto::backup::FrameKey;
use crate::crypto::barrier::BarrierKey;
use crate::domain::time::Timestamp;
use crate::random::{self, Random};
use crate::storage::digest::Digest;
use crate::storage::snapshot::{Entry, Snapshot};
use crate::storage::{Found, Get, Storage, copy};

/// One record in a frame. Records follow one another without anything between.
#[derive(Encode, Decode)]
pub(super) struct Row<'a> {
    #[b(0)]
    pub key: &'a str,
    #[n(1)]
    pub revision: ByteArray<16>,
    #[b(2)]
    pub value: &'a ByteSlice,
}

/// What the last frame says of all others.
#[derive(Encode, Decode)]
pub(super) struct Sum {
    #[n(0)]
    pub records: u64,
    #[n(1)]
    pub digest: ByteArray<32>,
}

/// Most records of one frame.
const MOST_RECORDS: usize = 4096;

/// A backup that is being made.
pub struct Writer {
    header: Header,
    key: FrameKey,
    random: Arc<dyn Random>,
    next: Next,
    frame: u64,
    records: u64,
}

enum Next {
    Header(Vec<u8>, Box<dyn Snapshot>),
    Frames(Digest, Box<dyn Snapshot>),
    Nothing,
}

impl Writer {
    /// Begins a backup of `raw`, the store beneath the barrier, whose barrier keys are `keys`; the newest seals the frames. What is
    /// saved is what is stored now.
    ///
    /// # Errors
    /// [`BackupError::Source`] for a store without a seal; [`BackupError::Storage`].
    pub async fn begin(
        raw: Arc<dyn Storage>,
        mount_id: [u8; 16],
        keys: &[BarrierKey],
        now: Timestamp,
        random: Arc<dyn Random>,
    ) -> Result<Self, BackupError> {
        let gets = ["seal", "keyring", copy::MARKER].map(Get::new);
        let mut found = raw.get_many(gets.into()).await?.into_iter();
        let (seal, keyring) = match (found.next(), found.next(), found.next()) {
            (_, _, Some(Found::Value(..))) => {
                return Err(BackupError::Source("the store is an unfinished copy of another one: finish that first"));
            }
            (Some(Found::Value(seal, at)), Some(Found::Value(keyring, since)), _) => {
                (Sealed::new(seal, at), Sealed::new(keyring, since))
            }
            _ => return Err(BackupError::Source("the store is not initialised: there is nothing to save")),
        };
        let snapshot = raw.snapshot().await?;
        let newest = keys.iter().map(|key| key.generation).max().unwrap_or_default();
        let header = Header::new(random::bytes(&*random), mount_id, now, newest, seal, keyring);
        let bytes = header.encode();
        let key = header.frame_key(&bytes, keys)?;
        let next = Next::Header(bytes, snapshot);
        Ok(Writer { header, key, random, next, frame: 0, records: 0 })
    }
    /// What can be read of it without a key.
    pub fn header(&self) -> &Header {
        &self.header
    }
    /// How many records were saved so far.
    pub fn records(&self) -> u64 {
        self.records
    }
    /// The next bytes of the file: about a mebibyte; none once it is whole.
    ///
    /// # Errors
    /// [`BackupError::Storage`]: the backup is of no use.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Nothing => Ok(None),
            Next::Header(bytes, snapshot) => {
                self.next = Next::Frames(Digest::default(), snapshot);
                Ok(Some([MAGIC, &length(&bytes)[..], &bytes].concat()))
            }
            Next::Frames(mut digest, mut snapshot) => {
                let entries = snapshot.next(MOST_RECORDS).await?;
                if entries.is_empty() {
                    let sum = Sum { records: digest.count(), digest: digest.finish().into() };
                    return self.frame(END, &encode(&sum)).map(Some);
                }
                let mut plaintext = Vec::new();
                for entry in &entries {
                    digest.add(entry);
                    let Entry { key, value, revision } = entry;
                    plaintext.extend(encode(&Row { key, revision: revision.0.into(), value: value.as_slice().into() }));
                }
                self.records = digest.count();
                self.next = Next::Frames(digest, snapshot);
                self.frame(RECORDS, &plaintext).map(Some)
            }
        }
    }
    fn frame(&mut self, kind: u8, plaintext: &[u8]) -> Result<Vec<u8>, BackupError> {
        let sealed = self.key.seal(self.frame, kind, plaintext, &*self.random).map_err(BackupError::Crypto)?;
        self.frame += 1;
        Ok([&[kind][..], &length(&sealed), &sealed].concat())
    }
}

fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    // Writing to a Vec cannot fail, and nothing here refuses to be encoded.
    minicbor::to_vec(value).unwrap_or_default()
}

/// Four bytes: no store takes values near 4 GiB.
fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}
