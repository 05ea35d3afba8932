//! The account record: one value holds everything an act on the account reads and writes.

use minicbor::{Decode, Encode};

use crate::crypto::keyring::Keyring;
use crate::domain::account::Account;
use crate::error::{Error, Result};
use crate::ledger::chain::Chain;
use crate::ledger::entry::Entry;

/// Format of the records written by this version: the first byte of each.
pub const FORMAT: u8 = 1;
/// Above this many bytes imports and disclosures are refused.
pub const SOFT_CAP: usize = 512 * 1024;
/// Above this many bytes what people say of an account and its codes is refused, too: it could grow with each slot. All else only
/// adds entries to the ledger, of which the record holds so many and no more: an enrollment, a revocation, a release always
/// fits, below the 1 MiB that a mounting vault takes as one entry.
pub const NOTES_CAP: usize = 640 * 1024;

/// An account and the recent end of its ledger.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Record {
    /// The account.
    #[n(0)]
    pub account: Account,
    /// Its ledger.
    #[n(1)]
    pub ledger: Chain,
}

impl Record {
    /// Appends `entry` to the account's ledger; answers its seq.
    pub fn log(&mut self, keyring: &Keyring, entry: Entry) -> u64 {
        let id = self.account.id;
        self.ledger.append(entry, &|previous, bytes| keyring.ledger_mac(&id, previous, bytes))
    }
}

/// Bytes of a record: the format, then CBOR.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Writing to a Vec cannot fail, and no record type refuses to encode.
    let _ = minicbor::encode(value, &mut bytes);
    bytes
}

/// Reads a record back. What does not decode is an error, never an empty record.
pub fn decode<T: for<'b> Decode<'b, ()>>(key: &str, bytes: &[u8]) -> Result<T> {
    let body = body(key, bytes)?;
    minicbor::decode(body).map_err(|error| Error::internal(format!("record {key} does not decode: {error}")))
}

/// What follows the format byte.
///
/// # Errors
/// 500 if it is not the format of this version: one above it is named, whatever comes after it.
pub fn body<'b>(key: &str, bytes: &'b [u8]) -> Result<&'b [u8]> {
    match bytes.split_first() {
        Some((&FORMAT, body)) => Ok(body),
        Some((newer, _)) if *newer > FORMAT => Err(Error::internal(format!(
            "record {key} has format {newer}, this version reads up to {FORMAT}; start the version that wrote it"
        ))),
        _ => Err(Error::internal(format!("record {key} does not decode: no format byte"))),
    }
}
