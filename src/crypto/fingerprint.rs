//! Fingerprints answer "was this code ever in a set of this account?" without keeping the code.
//!
//! A fingerprint is the first 128 bits of HMAC-SHA256 under the fingerprint key, over the account id and the canonical code.
//! 128 bits are enough for equality: without the key nobody can search for two codes that collide, and among some ten thousand
//! fingerprints of an account two different codes meet by chance with a probability of about 2^-100. A longer one would only
//! make the record larger.
//!
//! Whoever holds the fingerprint key **and** the record can try candidates as fast as a hash runs, some 10^9 a second on one
//! graphics card: 8 digits fall at once, 40 bits (a GitHub code) in under an hour, 80 bits not in a million years. Without the key a
//! fingerprint says nothing, not even whether two accounts hold equal codes. Hence a key of its own, and an end to the
//! fingerprints' retention.

use super::labels;
use super::primitive::KeyedMac;

/// Makes fingerprints for one account.
pub struct Fingerprinter(KeyedMac);

impl Fingerprinter {
    pub(super) fn new(key: &KeyedMac, mount_id: &[u8; 16], account_id: &[u8; 16]) -> Self {
        Fingerprinter(labels::fingerprint(key.clone(), mount_id, account_id))
    }
    /// The fingerprint of a code in canonical spelling.
    pub fn print(&self, canonical: &[u8]) -> [u8; 16] {
        let full = labels::fingerprint_of(self.0.clone(), canonical).finish();
        let mut print = [0; 16];
        print.copy_from_slice(&full[..16]);
        print
    }
}
