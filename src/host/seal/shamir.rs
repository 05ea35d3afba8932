//! Shares of a 256-bit key over GF(256), in Vault's shape: 32 bytes of the share, then its x. A key held by one person is not
//! split: the share is the key.

use std::convert::Infallible;

use rand::{TryCryptoRng, TryRng};
use subtle::ConstantTimeEq;
use vsss_rs::Gf256;
use zeroize::{Zeroize, Zeroizing};

use super::record::Quorum;
use crate::crypto::secret::Key;
use crate::error::{Error, Result};
use crate::random::{self, Random};

/// A share, or an undivided key.
pub type Share = Zeroizing<Vec<u8>>;

const KEY_LEN: usize = 32;
/// The shortest share that Vault's texts know.
const MIN_LEN: usize = 16;
/// A share of a 32-byte key and its x.
const MAX_LEN: usize = KEY_LEN + 1;
/// Text of a share is at most this long; anything longer is no share.
const MAX_TEXT: usize = 256;

/// Reads a share as a client sends it, hexadecimal or base64.
pub fn parse_share(text: &str) -> Result<Share> {
    use base64::Engine as _;
    let text = if text.len() <= MAX_TEXT { text } else { "!" };
    hex::decode(text)
        .or_else(|_| base64::engine::general_purpose::STANDARD.decode(text))
        .map(Zeroizing::new)
        .map_err(|_| Error::invalid("'key' must be a valid hex or base64 string"))
}

impl Quorum {
    /// Checks numbers as a client gave them; `Err` completes "invalid seal configuration: …".
    pub(super) fn parse(shares: u64, threshold: u64) -> Result<Self, &'static str> {
        match (shares, threshold) {
            (0, _) => Err("shares must be at least one"),
            (_, 0) => Err("threshold must be at least one"),
            (2.., 1) => Err("threshold must be greater than one for multiple shares"),
            (256.., _) => Err("shares must be less than 256"),
            (_, 256..) => Err("threshold must be less than 256"),
            (shares, threshold) if threshold > shares => Err("threshold cannot be larger than shares"),
            (shares, threshold) => match (u8::try_from(shares), u8::try_from(threshold)) {
                (Ok(shares), Ok(threshold)) => Ok(Quorum { shares, threshold }),
                _ => Err("shares must be less than 256"),
            },
        }
    }
}

/// Splits `key` into `quorum.shares` shares, of which any `quorum.threshold` give it back.
pub(super) fn split(key: &Key, quorum: Quorum, random: &dyn Random) -> Result<Vec<Share>> {
    if quorum.shares == 1 {
        return Ok(vec![Zeroizing::new(key.bytes().to_vec())]);
    }
    let shares =
        Gf256::split_bytes(usize::from(quorum.threshold), usize::from(quorum.shares), key.bytes(), Drawn(random))
            .map_err(|error| Error::internal(format!("the key could not be split: {error:?}")))?;
    Ok(shares
        .into_iter()
        .map(|mut share| {
            // The library puts x first, Vault last.
            share.rotate_left(1);
            Zeroizing::new(share)
        })
        .collect())
}

/// Puts shares together. `None` if they cannot belong together; a key that fits nothing if they are simply wrong.
pub(super) fn combine(shares: &[Share]) -> Option<Key> {
    let bytes = match shares {
        [] => return None,
        [key] => Zeroizing::new(key.to_vec()),
        shares => {
            if shares.iter().any(|share| share.len() != MAX_LEN) {
                return None;
            }
            let mut x_first: Vec<Vec<u8>> = shares.iter().map(|share| share.to_vec()).collect();
            x_first.iter_mut().for_each(|share| share.rotate_right(1));
            let combined = Gf256::combine_bytes(&x_first);
            x_first.zeroize();
            Zeroizing::new(combined.ok()?)
        }
    };
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if bytes.len() != KEY_LEN {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(Key::from_bytes(key))
}

/// The shares given so far towards one unsealing.
#[derive(Default)]
pub(super) struct Attempt {
    shares: Vec<Share>,
    nonce: String,
}

impl Attempt {
    /// Takes a share in. The same share again is not counted. At the threshold the shares are given out and the attempt is
    /// empty again, whatever comes of them.
    pub fn add(&mut self, share: &[u8], threshold: u8, random: &dyn Random) -> Result<Option<Vec<Share>>> {
        if share.len() < MIN_LEN {
            return Err(Error::invalid(format!("invalid key: key is shorter than minimum {MIN_LEN} bytes")));
        }
        if share.len() > MAX_LEN {
            return Err(Error::invalid(format!("invalid key: key is longer than maximum {MAX_LEN} bytes")));
        }
        let known = self.shares.iter().any(|given| bool::from(given.ct_eq(share)));
        if !known {
            if self.shares.is_empty() {
                self.nonce = uuid(random);
            }
            self.shares.push(Zeroizing::new(share.to_vec()));
        }
        if self.shares.len() < usize::from(threshold) {
            return Ok(None);
        }
        Ok(Some(std::mem::take(self).shares))
    }
    /// How many shares were given.
    pub fn progress(&self) -> u8 {
        u8::try_from(self.shares.len()).unwrap_or(u8::MAX)
    }
    /// Names this attempt while shares are being given; else empty.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }
}

/// A random UUID (RFC 9562 section 5.4).
fn uuid(random: &dyn Random) -> String {
    let mut bytes: [u8; 16] = random::bytes(random);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

/// Our randomness in the shape the library takes.
struct Drawn<'a>(&'a dyn Random);

impl TryRng for Drawn<'_> {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(random::bytes(self.0)))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(random::bytes(self.0)))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Drawn<'_> {}
