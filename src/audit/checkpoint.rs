//! Signed checkpoints: a line by which the server says "so far, and this was the end". Without the key nobody can compute the
//! chain before a checkpoint anew.
//!
//! The signature is Ed25519 (RFC 8032) over these five lines of text, each ended by a line feed:
//!
//! ```text
//! sparekey audit checkpoint 1
//! <device name>
//! <number of the line before the checkpoint>
//! <hash of that line, lower-case hex>
//! <time of the checkpoint, as in its line>
//! ```

use serde::{Deserialize, Serialize};

use super::chain::{Head, Line};
use crate::crypto::signing::{self, SigningKey};
use crate::domain::time::Timestamp;

/// The body of a checkpoint line that closes `head`.
pub fn body(device: &str, head: &Head, now: Timestamp, key: &SigningKey) -> Vec<u8> {
    let time = now.to_string();
    let signature = key.sign(&message(device, head, &time));
    super::shape::body_of(&Shape {
        time,
        kind: "checkpoint".into(),
        checkpoint: Inner {
            device: device.to_owned(),
            count: head.seq,
            head: hex::encode(head.hash),
            key: hex::encode(key.public()),
            signature: hex::encode(signature),
        },
    })
}

/// What a checkpoint line says, once it is known to say so itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The device's name.
    pub device: String,
    /// The public key that signed.
    pub key: [u8; 32],
}

/// Why a checkpoint line does not hold.
#[derive(Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not written as this format writes it.
    Shape,
    /// It closes another line than the one before it.
    Head,
    /// Signed by another key than the expected one.
    Key,
    /// The signature is wrong.
    Signature,
}

/// Checks a checkpoint line byte for byte. `expected` is the key that must have signed, if the reader knows it.
pub fn check(line: &Line<'_>, expected: Option<&[u8; 32]>) -> Result<Checkpoint, Flaw> {
    let mut json = Vec::with_capacity(line.body.len() + 1);
    json.push(b'{');
    json.extend_from_slice(line.body);
    let shape: Shape = serde_json::from_slice(&json).map_err(|_| Flaw::Shape)?;
    if shape.kind != "checkpoint" || super::shape::body_of(&shape) != line.body {
        return Err(Flaw::Shape);
    }
    let head = Head { seq: line.seq - 1, hash: line.prev };
    if shape.checkpoint.count != head.seq || shape.checkpoint.head != hex::encode(head.hash) {
        return Err(Flaw::Head);
    }
    let (mut key, mut signature) = ([0; 32], [0; 64]);
    hex::decode_to_slice(&shape.checkpoint.key, &mut key).map_err(|_| Flaw::Shape)?;
    hex::decode_to_slice(&shape.checkpoint.signature, &mut signature).map_err(|_| Flaw::Shape)?;
    if hex::encode(key) != shape.checkpoint.key || hex::encode(signature) != shape.checkpoint.signature {
        return Err(Flaw::Shape);
    }
    if expected.is_some_and(|expected| *expected != key) {
        return Err(Flaw::Key);
    }
    if !signing::verify(&key, &message(&shape.checkpoint.device, &head, &shape.time), &signature) {
        return Err(Flaw::Signature);
    }
    Ok(Checkpoint { device: shape.checkpoint.device, key })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    time: String,
    #[serde(rename = "type")]
    kind: String,
    checkpoint: Inner,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    device: String,
    count: u64,
    head: String,
    key: String,
    signature: String,
}

fn message(device: &str, head: &Head, time: &str) -> Vec<u8> {
    format!("sparekey audit checkpoint 1\n{device}\n{}\n{}\n{time}\n", head.seq, hex::encode(head.hash)).into_bytes()
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::crypto::secret::Key;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&Key::from_bytes(Zeroizing::new([seed; 32]))).unwrap()
    }

    fn line() -> Vec<u8> {
        let mut head = Head { seq: 7, hash: [9; 32] };
        let body = body("file", &head, Timestamp::from_secs(1_780_000_000), &key(1));
        let mut out = Vec::new();
        head.link(&body, &mut out);
        out.pop();
        out
    }

    #[test]
    fn a_checkpoint_holds_under_its_key_only() {
        let line = line();
        let line = Line::parse(&line).unwrap();
        assert_eq!(line.kind(), Some("checkpoint"));
        let told = Checkpoint { device: "file".into(), key: key(1).public() };
        assert_eq!(check(&line, None), Ok(told));
        assert!(check(&line, Some(&key(1).public())).is_ok());
        assert_eq!(check(&line, Some(&key(2).public())), Err(Flaw::Key));
    }

    #[test]
    fn no_byte_of_a_checkpoint_can_be_altered() {
        let line = line();
        for at in 0..line.len() {
            for flip in [0x01, 0x20] {
                let mut other = line.clone();
                other[at] ^= flip;
                let read = Line::parse(&other);
                assert!(read.is_none_or(|line| check(&line, None).is_err()), "byte {at} with {flip:#x}");
            }
        }
    }
}
