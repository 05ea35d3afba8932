//! The layouts of docs/format.md written a second time, with the bare primitives and nothing of the crate: what the vectors are
//! checked against. Whoever implements the format elsewhere can read this file instead of the crate.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

/// A row of fields: each its length in four bytes, then its bytes.
pub fn row(fields: &[&[u8]]) -> Vec<u8> {
    let field = |field: &&[u8]| [&u32::try_from(field.len()).unwrap().to_be_bytes(), *field].concat();
    fields.iter().flat_map(field).collect()
}

/// A layout: format version 1, purpose, mount id, then the fields of the purpose.
pub fn layout(purpose: &str, mount_id: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    [row(&[&[1], purpose.as_bytes(), mount_id]), row(fields)].concat()
}

/// A number as a field.
pub fn number(number: u64) -> [u8; 4] {
    u32::try_from(number).unwrap().to_be_bytes()
}

/// HKDF-SHA256.
pub fn hkdf(key: &[u8], salt: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    Hkdf::<Sha256>::new(Some(salt), key).expand(info, &mut out).unwrap();
    out
}

/// HMAC-SHA256.
pub fn hmac(key: &[u8], input: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap();
    mac.update(input);
    mac.finalize().into_bytes().to_vec()
}

/// argon2id, version 1.3: 19 MiB, two passes, one lane, 32 bytes.
pub fn argon2id(secret: &[u8], salt: &[u8]) -> Vec<u8> {
    let params = argon2::Params::new(19_456, 2, 1, Some(32)).unwrap();
    let mut out = vec![0; 32];
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(secret, salt, &mut out)
        .unwrap();
    out
}

/// AES-256-GCM: ciphertext, then tag.
pub fn gcm(key: &[u8], nonce: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let nonce = nonce.try_into().unwrap();
    Aes256Gcm::new_from_slice(key).unwrap().encrypt(nonce, Payload { msg: plaintext, aad }).unwrap()
}

/// A code as it is encrypted: its length in two bytes, its bytes, zeros up to `length`.
pub fn padded(code: &str, length: usize) -> Vec<u8> {
    let mut out = [&u16::try_from(code.len()).unwrap().to_be_bytes(), code.as_bytes()].concat();
    assert!(out.len() <= length);
    out.resize(length, 0);
    out
}

/// The CBOR body of a keyring, from its entries.
pub fn keyring_body(mount_id: &[u8], entries: &Value) -> Vec<u8> {
    let state = |state: &Value| {
        let times =
            state[1].as_array().unwrap().iter().map(|at| cbor::number(at.as_u64().unwrap())).collect::<Vec<_>>();
        cbor::array(&[cbor::number(state[0].as_u64().unwrap()), cbor::array(&times)])
    };
    let entry = |entry: &Value| {
        let number = |name: &str| cbor::number(entry[name].as_u64().unwrap());
        let key = cbor::bytes(&super::hex(&entry["key"]));
        cbor::array(&[number("use_number"), number("generation"), key, number("created_at"), state(&entry["state"])])
    };
    let entries: Vec<_> = entries.as_array().unwrap().iter().map(entry).collect();
    cbor::array(&[cbor::bytes(mount_id), cbor::array(&entries)])
}

/// CBOR, as much of it as the format uses.
pub mod cbor {
    fn head(major: u8, number: u64) -> Vec<u8> {
        let major = major << 5;
        match number {
            0..24 => vec![major | u8::try_from(number).unwrap()],
            24..0x100 => vec![major | 24, u8::try_from(number).unwrap()],
            0x100..0x1_0000 => [&[major | 25][..], &u16::try_from(number).unwrap().to_be_bytes()].concat(),
            0x1_0000..0x1_0000_0000 => [&[major | 26][..], &u32::try_from(number).unwrap().to_be_bytes()].concat(),
            _ => [&[major | 27][..], &number.to_be_bytes()].concat(),
        }
    }
    /// An unsigned number.
    pub fn number(number: u64) -> Vec<u8> {
        head(0, number)
    }
    /// A byte string.
    pub fn bytes(bytes: &[u8]) -> Vec<u8> {
        [head(2, bytes.len() as u64), bytes.to_vec()].concat()
    }
    /// An array.
    pub fn array(items: &[Vec<u8>]) -> Vec<u8> {
        [head(4, items.len() as u64), items.concat()].concat()
    }
}
