//! Identifiers that the host makes: request ids, tokens, accessors.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::random::{self, Random};

/// A random UUID (RFC 9562 version 4) in lower-case text.
pub fn uuid(random: &dyn Random) -> String {
    text(random::bytes(random), 0x40)
}

/// A UUID that stands for `name` in the mount `mount_id`, the same each time (RFC 9562 version 8).
pub fn of(mount_id: &[u8; 16], name: &str) -> String {
    let digest = Sha256::new().chain_update(mount_id).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    text(bytes, 0x80)
}

/// `len` random characters of `0-9A-Za-z`, each equally likely.
pub fn base62(random: &dyn Random, len: usize) -> Zeroizing<String> {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut out = Zeroizing::new(String::with_capacity(len));
    let mut pool = Zeroizing::new([0_u8; 64]);
    while out.len() < len {
        random.fill(&mut *pool);
        // 248 is the largest multiple of 62 in a byte; anything above would favour the first characters.
        for byte in pool.iter().filter(|byte| **byte < 248) {
            if out.len() == len {
                break;
            }
            out.push(char::from(ALPHABET[usize::from(byte % 62)]));
        }
    }
    out
}

fn text(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = (bytes[6] & 0x0f) | version;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut digits = [0; 32];
    // The lengths fit: each byte is two digits.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    let mut out = String::with_capacity(36);
    for (place, digit) in digits.into_iter().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(char::from(digit));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn a_uuid_says_its_version_and_variant() {
        let id = uuid(&SeededRandom::new(1));
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(id.chars().all(|digit| digit == '-' || digit.is_ascii_digit() || ('a'..='f').contains(&digit)));
        assert_eq!(&id[14..15], "4");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"));
        assert_ne!(id, uuid(&SeededRandom::new(2)));
    }

    #[test]
    fn a_names_uuid_stays_and_differs_by_mount_and_name() {
        assert_eq!(of(&[1; 16], "cluster"), of(&[1; 16], "cluster"));
        assert_ne!(of(&[1; 16], "cluster"), of(&[2; 16], "cluster"));
        assert_ne!(of(&[1; 16], "cluster"), of(&[1; 16], "other"));
    }

    #[test]
    fn base62_uses_every_character_about_equally() {
        let text = base62(&SeededRandom::new(3), 62 * 500);
        let mut counts = std::collections::BTreeMap::new();
        for c in text.chars() {
            *counts.entry(c).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 62);
        assert!(counts.values().all(|count| (380..620).contains(count)), "{counts:?}");
    }
}
