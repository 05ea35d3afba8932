//! Fingerprints answer "was this code ever in a set of this account?" without keeping the code.
//!
//! A fingerprint is the first 128 bits of HMAC-SHA256 under the fingerprint key, over the account id and the canonical code.
//! 128 bits are enough for equality: no one can look for collisions without the key, and among the at most some ten thousand
//! fingerprints of an account two different codes meet by chance with a probability below 2^-100. A shorter one would save
//! little; a longer one would only make the record larger.
//!
//! Whoever steals the fingerprint key and the record can try candidates at the speed of a hash: eight digits fall at once, 40 bits
//! within hours, 80 bits not. Without the key a fingerprint says nothing, and equal codes of two accounts look unrelated.

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
