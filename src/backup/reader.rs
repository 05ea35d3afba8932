//! Reading a backup: as records, once there is a key, and as frames without one.

use std::collections::VecDeque;
use std::io::{self, Read};

use super::writer::{Row, Sum};
use super::{BackupError, END, Header, MAGIC, MOST_FRAME, MOST_HEADER, RECORDS};
use crate::crypto::backup::FrameKey;
use crate::crypto::barrier::BarrierKey;
use crate::storage::digest::Digest;
use crate::storage::snapshot::{Batch, Entry, Snapshot};
use crate::storage::{BoxFuture, Revision, StorageError};

/// A backup of which the header was read.
pub struct Reader<R> {
    input: R,
    header: Header,
    bytes: Vec<u8>,
}

/// What can be told of a backup without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skimmed {
    /// How many frames there are, the last one included.
    pub frames: u64,
    /// How many bytes they are in the file.
    pub bytes: u64,
}

/// The records of a backup, in the order of their keys. Everything has been checked once it has come to its end.
pub struct Records<R> {
    input: R,
    key: FrameKey,
    frame: u64,
    waiting: VecDeque<Entry>,
    digest: Digest,
    last: Option<String>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header of `input`.
    ///
    /// # Errors
    /// [`BackupError`] if there is none.
    pub fn open(mut input: R) -> Result<Self, BackupError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == *MAGIC => {}
            Ok(()) => return Err(BackupError::Foreign),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(BackupError::Foreign),
            Err(error) => return Err(BackupError::Io(error)),
        }
        let cut = || BackupError::Cut { frame: None };
        let mut length = [0; 4];
        fill(&mut input, &mut length, cut)?;
        let length = u32::from_be_bytes(length);
        if length > MOST_HEADER {
            return Err(BackupError::Header("is longer than any"));
        }
        let bytes = take(&mut input, length, cut)?;
        Ok(Reader { header: Header::decode(&bytes)?, input, bytes })
    }
    /// What it says.
    pub fn header(&self) -> &Header {
        &self.header
    }
    /// Reads on to the end without opening anything: finds out what was cut off, not what was altered.
    ///
    /// # Errors
    /// [`BackupError`] where the file is not a row of frames with an end.
    pub fn skim(mut self) -> Result<Skimmed, BackupError> {
        let mut skimmed = Skimmed { frames: 0, bytes: 0 };
        loop {
            let (kind, sealed) = frame(&mut self.input, skimmed.frames)?;
            skimmed.frames += 1;
            skimmed.bytes += 5 + sealed.len() as u64;
            if kind == END {
                return at_end(&mut self.input).map(|()| skimmed);
            }
        }
    }
    /// The records, opened with the barrier keys of the keyring in the header.
    ///
    /// # Errors
    /// [`BackupError::Header`] if the frames' key is not among them.
    pub fn unlock(self, keys: &[BarrierKey]) -> Result<Records<R>, BackupError> {
        let key = self.header.frame_key(&self.bytes, keys)?;
        Ok(Records {
            input: self.input,
            key,
            frame: 0,
            waiting: VecDeque::new(),
            digest: Digest::default(),
            last: None,
            ended: false,
        })
    }
}

impl<R: Read> Records<R> {
    /// Opens the next frame.
    fn read(&mut self) -> Result<(), BackupError> {
        let number = self.frame;
        let (kind, sealed) = frame(&mut self.input, number)?;
        let plaintext = self.key.open(number, kind, &sealed).map_err(|_| BackupError::Closed { frame: number })?;
        self.frame += 1;
        let mut decoder = minicbor::Decoder::new(&plaintext);
        let broken = |_| BackupError::Content { frame: number, what: "does not decode" };
        if kind == END {
            let sum: Sum = decoder.decode().map_err(broken)?;
            let (read, saved) = (self.digest.count(), sum.records);
            if read != saved || self.digest.clone().finish() != *sum.digest {
                return Err(BackupError::Sum { read, saved });
            }
            self.ended = true;
            return at_end(&mut self.input);
        }
        while decoder.position() < plaintext.len() {
            let Row { key, revision, value } = decoder.decode().map_err(broken)?;
            if self.last.as_deref().is_some_and(|last| last.as_bytes() >= key.as_bytes()) {
                return Err(BackupError::Content { frame: number, what: "holds records out of order" });
            }
            let entry = Entry { key: key.to_owned(), value: value.to_vec(), revision: Revision(*revision) };
            self.digest.add(&entry);
            self.last = Some(entry.key.clone());
            self.waiting.push_back(entry);
        }
        Ok(())
    }
}

impl<R: Read + Send> Snapshot for Records<R> {
    fn next(&mut self, limit: usize) -> BoxFuture<'_, Result<Vec<Entry>, StorageError>> {
        Box::pin(async move {
            while self.waiting.is_empty() && !self.ended {
                self.read().map_err(|error| StorageError::Failed(error.into()))?;
            }
            let mut batch = Batch::new(limit);
            while !batch.is_full() {
                let Some(entry) = self.waiting.pop_front() else { break };
                batch.push(entry);
            }
            Ok(batch.end())
        })
    }
}

/// The kind of the next frame, and its sealed bytes.
fn frame(input: &mut impl Read, number: u64) -> Result<(u8, Vec<u8>), BackupError> {
    let cut = || BackupError::Cut { frame: Some(number) };
    let mut head = [0; 5];
    fill(input, &mut head, cut)?;
    let [kind, length @ ..] = head;
    let length = u32::from_be_bytes(length);
    if !matches!(kind, RECORDS | END) {
        return Err(BackupError::Framing { frame: number, what: "is of no known kind" });
    }
    if length > MOST_FRAME {
        return Err(BackupError::Framing { frame: number, what: "is longer than any" });
    }
    Ok((kind, take(input, length, cut)?))
}

fn fill(input: &mut impl Read, bytes: &mut [u8], cut: impl Fn() -> BackupError) -> Result<(), BackupError> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => cut(),
        _ => BackupError::Io(error),
    })
}

/// `length` bytes; memory grows with what is really there.
fn take(input: &mut impl Read, length: u32, cut: impl Fn() -> BackupError) -> Result<Vec<u8>, BackupError> {
    let mut bytes = Vec::new();
    input.take(length.into()).read_to_end(&mut bytes).map_err(BackupError::Io)?;
    match bytes.len() == length as usize {
        true => Ok(bytes),
        false => Err(cut()),
    }
}

fn at_end(input: &mut impl Read) -> Result<(), BackupError> {
    match input.take(1).read_to_end(&mut Vec::new()) {
        Ok(0) => Ok(()),
        Ok(_) => Err(BackupError::Trailing),
        Err(error) => Err(BackupError::Io(error)),
    }
}
