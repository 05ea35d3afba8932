//! An anchor: what a node knows of the store, kept outside it. A small JSON text, signed by the engine's key (Ed25519, RFC 8032) over
//! `sparekey anchor 1`, a line feed, and the text itself with an empty signature.

use serde::{Deserialize, Serialize};

use crate::crypto::signing::{self, SigningKey};
use crate::domain::time::Timestamp;
use crate::engine::restore::compare::Sighting;
use crate::engine::restore::epoch::{Epoch, Mark};

/// Longest anchor that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Most heads of ledgers in one anchor; of more only the number is told.
pub const MAX_HEADS: usize = 2048;

const FORMAT: u32 = 1;

/// An anchor that was made here, or read and found to be signed by this mount's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor(Shape);

/// What an anchor is made of.
pub struct Parts<'a> {
    /// The mount.
    pub mount_id: &'a [u8; 16],
    /// The node that keeps it.
    pub node: &'a str,
    /// The store's epoch when it was made.
    pub epoch: &'a Epoch,
    /// When it was made.
    pub now: Timestamp,
    /// How far each audit file had come before the acts below were taken.
    pub audit: Vec<AuditMark>,
    /// The acts acknowledged since the anchor before.
    pub heads: Vec<Sighting>,
    /// How many more there were.
    pub omitted: u64,
}

/// How far an audit file had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditMark {
    /// The device's name.
    pub device: String,
    /// The file's identity on its file system.
    pub inode: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Why a text is no anchor of this mount.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Of another mount.
    Foreign,
    /// Not written as this version writes it, or altered.
    Broken(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    sparekey_anchor: u32,
    mount_id: String,
    node: String,
    epoch: u64,
    epoch_hash: String,
    at: String,
    trail: Vec<Mark>,
    audit: Vec<AuditMark>,
    heads: Vec<Head>,
    omitted: u64,
    key: String,
    signature: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    account: Option<String>,
    seq: u64,
    head: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    at: String,
}

impl Anchor {
    /// Signs an anchor.
    pub fn new(parts: Parts<'_>, key: &SigningKey) -> Anchor {
        let Parts { mount_id, node, epoch, now, audit, mut heads, mut omitted } = parts;
        omitted += heads.len().saturating_sub(MAX_HEADS) as u64;
        heads.truncate(MAX_HEADS);
        let heads = heads.into_iter().map(|sighting| Head {
            account: sighting.account,
            seq: sighting.seq,
            head: hex::encode(sighting.head),
            generation: sighting.generation,
            at: sighting.at.to_string(),
        });
        let mut shape = Shape {
            sparekey_anchor: FORMAT,
            mount_id: hex::encode(mount_id),
            node: node.to_owned(),
            epoch: epoch.number,
            epoch_hash: hex::encode(*epoch.hash),
            at: now.to_string(),
            trail: epoch.trail.clone(),
            audit,
            heads: heads.collect(),
            omitted,
            key: hex::encode(key.public()),
            signature: String::new(),
        };
        shape.signature = hex::encode(key.sign(&message(&shape)));
        Anchor(shape)
    }

    /// Reads an anchor and checks that `public` signed it for `mount_id`.
    pub fn read(bytes: &[u8], mount_id: &[u8; 16], public: &[u8; 32]) -> Result<Anchor, Flaw> {
        let shape: Shape =
            serde_json::from_slice(bytes).map_err(|_| Flaw::Broken("it is no anchor, or was cut short"))?;
        if shape.sparekey_anchor != FORMAT {
            return Err(Flaw::Broken("its format is not one that this version reads"));
        }
        if shape.mount_id != hex::encode(mount_id) {
            return Err(Flaw::Foreign);
        }
        let mut signature = [0; 64];
        hex::decode_to_slice(&shape.signature, &mut signature)
            .map_err(|_| Flaw::Broken("its signature is no signature"))?;
        let unsigned = Shape { signature: String::new(), ..shape.clone() };
        match signing::verify(public, &message(&unsigned), &signature) {
            true => Ok(Anchor(shape)),
            false => Err(Flaw::Broken("its signature is wrong: it was altered, or made with another key")),
        }
    }

    /// The text, one line with its line feed.
    pub fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(&self.0).unwrap_or_default();
        text.push(b'\n');
        text
    }
    /// The node that keeps it.
    pub fn node(&self) -> &str {
        &self.0.node
    }
    /// The number of the epoch.
    pub fn epoch(&self) -> u64 {
        self.0.epoch
    }
    /// The epochs before it that it knows, itself last.
    pub fn trail(&self) -> &[Mark] {
        &self.0.trail
    }
    /// When it was made, RFC 3339.
    pub fn at(&self) -> &str {
        &self.0.at
    }
    /// How far the file of an audit device had come.
    pub fn audit(&self, device: &str) -> Option<&AuditMark> {
        self.0.audit.iter().find(|mark| mark.device == device)
    }
    /// The acts that it names.
    pub fn heads(&self) -> Vec<Sighting> {
        let sighting = |head: &Head| {
            let mut hash = [0; 32];
            hex::decode_to_slice(&head.head, &mut hash).ok()?;
            let at = Timestamp::parse(&head.at)?;
            Some(Sighting { account: head.account.clone(), seq: head.seq, head: hash, generation: head.generation, at })
        };
        self.0.heads.iter().filter_map(sighting).collect()
    }
}

fn message(unsigned: &Shape) -> Vec<u8> {
    let mut out = b"sparekey anchor 1\n".to_vec();
    out.extend(serde_json::to_vec(unsigned).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::crypto::secret::Key;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&Key::from_bytes(Zeroizing::new([seed; 32]))).unwrap()
    }
    fn anchor(heads: usize) -> Anchor {
        let now = Timestamp::from_secs(1_780_000_000);
        let epoch = Epoch::after(None, 5, "a", now, &[7; 16], &key(1));
        let sighting = |number: usize| Sighting {
            account: Some(format!("team/{number}")),
            seq: 3,
            head: [9; 32],
            generation: Some(1),
            at: now,
        };
        let audit = vec![AuditMark { device: "main".into(), inode: 3, bytes: 4096 }];
        let heads = (0..heads).map(sighting).collect();
        Anchor::new(Parts { mount_id: &[7; 16], node: "a", epoch: &epoch, now, audit, heads, omitted: 0 }, &key(1))
    }

    #[test]
    fn an_anchor_reads_back_under_its_key_and_mount_only() {
        let anchor = anchor(2);
        let text = anchor.text();
        let read = Anchor::read(&text, &[7; 16], &key(1).public()).unwrap();
        assert_eq!(read, anchor);
        assert_eq!((read.epoch(), read.heads().len(), read.audit("main").unwrap().bytes), (5, 2, 4096));
        assert_eq!(Anchor::read(&text, &[8; 16], &key(1).public()), Err(Flaw::Foreign));
        assert!(matches!(Anchor::read(&text, &[7; 16], &key(2).public()), Err(Flaw::Broken(_))));
    }

    #[test]
    fn no_byte_of_an_anchor_can_be_altered_and_none_can_be_missing() {
        let text = anchor(2).text();
        for at in 0..text.len() - 1 {
            let mut other = text.clone();
            other[at] ^= 1;
            assert!(Anchor::read(&other, &[7; 16], &key(1).public()).is_err(), "byte {at}");
            assert!(Anchor::read(&text[..at], &[7; 16], &key(1).public()).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_anchor_stays_small_whatever_happened() {
        let anchor = anchor(50_000);
        assert!(anchor.text().len() < MAX_BYTES / 4, "{} bytes", anchor.text().len());
        assert_eq!((anchor.heads().len(), anchor.0.omitted), (MAX_HEADS, 50_000 - MAX_HEADS as u64));
    }
}
