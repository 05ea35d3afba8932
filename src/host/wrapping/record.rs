//! What is kept of a wrapping: what it stands for and how long. The wrapping token is nowhere; its keyed hash is the key.
//!
//! CBOR (RFC 8949), an array that begins with the format number.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::domain::time::Timestamp;
use crate::error::{Error, Result};
use crate::storage::format;

/// The format that this version writes.
const FORMAT: u8 = 1;

/// A wrapping's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappingRecord {
    /// What the token gives.
    pub content: Content,
    /// Names the token without being it.
    pub accessor: String,
    /// The path whose answer is wrapped.
    pub creation_path: String,
    /// Since when.
    pub created_at: Timestamp,
    /// For how long.
    pub ttl: Duration,
}

/// What a wrapping token gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An answer, sealed under a key that the token yields (`crypto::wrapped`).
    Answer(Vec<u8>),
    /// A code that stayed where it is: in the slot of this account that knows the token's hash.
    Slot {
        /// The account.
        account: String,
    },
}

impl WrappingRecord {
    /// Whether it still gives anything at `now`.
    pub fn lives(&self, now: Timestamp) -> bool {
        now < self.created_at.plus(self.ttl)
    }

    /// The bytes to store.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let (answer, account) = match &self.content {
            Content::Answer(sealed) => (Some(sealed.clone().into()), None),
            Content::Slot { account } => (None, Some(account.clone())),
        };
        let wire = Wire {
            format: FORMAT,
            answer,
            account,
            accessor: self.accessor.clone(),
            creation_path: self.creation_path.clone(),
            created_at: self.created_at,
            ttl: self.ttl.as_secs(),
        };
        minicbor::to_vec(&wire).map_err(|error| Error::internal(error.to_string()))
    }

    /// Reads what [`WrappingRecord::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<WrappingRecord, &'static str> {
        if format::is_newer(bytes, FORMAT) {
            return Err("a wrapping record of a newer format: start the version that wrote it");
        }
        let wire: Wire = minicbor::decode(bytes).map_err(|_| "not a wrapping record")?;
        if wire.format != FORMAT {
            return Err("not a wrapping record");
        }
        let content = match (wire.answer, wire.account) {
            (Some(sealed), None) => Content::Answer(sealed.into()),
            (None, Some(account)) => Content::Slot { account },
            _ => return Err("a wrapping record without content"),
        };
        Ok(WrappingRecord {
            content,
            accessor: wire.accessor,
            creation_path: wire.creation_path,
            created_at: wire.created_at,
            ttl: Duration::from_secs(wire.ttl),
        })
    }
}

#[derive(Encode, Decode)]
struct Wire {
    #[n(0)]
    format: u8,
    #[n(1)]
    answer: Option<minicbor::bytes::ByteVec>,
    #[n(2)]
    account: Option<String>,
    #[n(3)]
    accessor: String,
    #[n(4)]
    creation_path: String,
    #[n(5)]
    created_at: Timestamp,
    #[n(6)]
    ttl: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_broken_ones_are_errors() {
        for content in [Content::Answer(vec![1, 2, 255]), Content::Slot { account: "github/acme".into() }] {
            let record = WrappingRecord {
                content,
                accessor: "acc".into(),
                creation_path: "sys/wrapping/wrap".into(),
                created_at: Timestamp::from_secs(10),
                ttl: Duration::from_secs(60),
            };
            let mut bytes = record.encode().unwrap();
            assert_eq!(WrappingRecord::decode(&bytes).unwrap(), record);
            assert!(WrappingRecord::decode(&bytes[..bytes.len() - 1]).is_err());
            bytes[1] = 9;
            assert!(WrappingRecord::decode(&bytes).unwrap_err().contains("newer"));
            assert!(record.lives(Timestamp::from_millis(69_999)));
            assert!(!record.lives(Timestamp::from_secs(70)));
        }
    }
}
