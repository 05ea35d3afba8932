//! A running hash over entries, by which two copies of a store are compared.

use sha2::{Digest as _, Sha256};

use super::snapshot::Entry;

/// How many entries were added, and SHA-256 over them in the order in which they came.
#[derive(Clone, Default)]
pub struct Digest {
    hash: Sha256,
    count: u64,
}

impl Digest {
    /// Adds `entry`: `length of the key (4) ‖ key ‖ revision (16) ‖ length of the value (4) ‖ value`, lengths big endian.
    pub fn add(&mut self, entry: &Entry) {
        let Entry { key, value, revision } = entry;
        // Every store bounds its keys and values far below 4 GiB.
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.hash.update(length(key.as_bytes()));
        self.hash.update(key.as_bytes());
        self.hash.update(revision.0);
        self.hash.update(length(value));
        self.hash.update(value);
        self.count += 1;
    }
    /// How many entries were added.
    pub fn count(&self) -> u64 {
        self.count
    }
    /// The hash over those that were added.
    pub fn finish(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}
