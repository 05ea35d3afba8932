//! Backups: everything that a store held at one moment, in a file that the unseal shares of that time open.
//!
//! The file begins with a header that says in clear what is needed to open the rest: the seal record and the keyring, both sealed as in
//! the store. Then come frames of records, in the order of the keys, each sealed under a key of this backup's own, and a last frame
//! with their number and a hash over all of them. What was cut off, altered, swapped, repeated or taken from another backup
//! does not open, and the error says where. `docs/format.md` draws every byte.

mod error;
mod header;
mod reader;
mod writer;

pub use error::BackupError;
pub use header::{Header, Sealed};
pub use reader::{Reader, Records, Skimmed};
pub use writer::Writer;

/// The first bytes of every backup.
pub const MAGIC: &[u8; 16] = b"sparekey backup\n";
/// The format that this program writes and the only one that it reads.
pub const FORMAT: u8 = 1;

/// A frame of records.
const RECORDS: u8 = 1;
/// The last frame.
const END: u8 = 2;

/// The longest header that is read, in bytes.
const MOST_HEADER: u32 = 64 << 10;
/// The longest frame that is read, in bytes: a batch and the largest record that any store takes.
const MOST_FRAME: u32 = 80 << 20;
