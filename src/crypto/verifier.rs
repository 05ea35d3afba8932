//! Verifiers of codes that this engine made: enough to recognise a presented code, not to give it back.
//!
//! ```text
//! stretched  argon2id (RFC 9106), version 0x13, 19 MiB, 2 passes, 1 lane, 32 bytes, over the folded code;
//!            salt: layout verifier/salt with the account's id, so one computation serves every code of the account
//! verifier   the first 16 bytes of HMAC-SHA256 under the fingerprint key over layout verifier: account id, stretched
//! ```
//!
//! The HMAC keeps a verifier from being tried without the key; argon2id keeps it expensive for who holds the key too: each guess
//! takes 19 MiB and some 15 ms of a core. Codes of 112 bits and more need no stretching (NIST SP 800-63B-4 section 3.1.2.2): their
//! verifier is a [fingerprint](super::fingerprint). 128 bits are enough for equality, as with fingerprints.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::CryptoError;
use super::keyring::Keyring;
use super::labels::{self, Label};

/// Bytes of one verifier.
pub const VERIFIER: usize = 16;
/// Memory of one computation in KiB (OWASP's second choice for argon2id, at equal strength less memory than the first).
const MEMORY: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;

/// Stretches the codes of one account. Slow on purpose: some 15 ms and 19 MiB each; never on a thread that serves requests.
pub struct Stretcher(Label);

/// The memory of one computation, to be used again: allocators keep what so many threads gave back, and a busy hour would stay resident.
///
/// What a computation left in it says nothing without the fingerprint key, as little as a [`Stretched`] does.
pub struct Workspace(Vec<Block>);

impl Workspace {
    /// Memory for one computation at a time.
    ///
    /// # Errors
    /// [`CryptoError::Library`] if there is none.
    pub fn new() -> Result<Self, CryptoError> {
        let (mut blocks, count) = (Vec::new(), MEMORY as usize);
        blocks.try_reserve_exact(count).map_err(|_| CryptoError::Library("code stretching"))?;
        blocks.resize(count, Block::default());
        Ok(Workspace(blocks))
    }
}

/// A stretched code. Without the fingerprint key nobody can tell it from another; with it, it is as good as the code.
pub struct Stretched(Zeroizing<[u8; 32]>);

impl Stretcher {
    /// Stretches a code in folded spelling.
    ///
    /// # Errors
    /// [`CryptoError::Library`] if the library refuses its parameters.
    pub fn stretch(&self, folded: &str, workspace: &mut Workspace) -> Result<Stretched, CryptoError> {
        let failed = |_| CryptoError::Library("code stretching");
        let params = Params::new(MEMORY, PASSES, 1, Some(32)).map_err(failed)?;
        let mut out = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(folded.as_bytes(), self.0.bytes(), &mut *out, &mut workspace.0)
            .map_err(failed)?;
        Ok(Stretched(out))
    }
}

impl Keyring {
    /// Stretches codes for one account.
    pub fn stretcher(&self, account_id: &[u8; 16]) -> Stretcher {
        Stretcher(labels::verifier_salt(self.mount_id(), account_id))
    }
    /// The verifier of a stretched code of this account.
    pub fn verifier(&self, account_id: &[u8; 16], stretched: &Stretched) -> [u8; VERIFIER] {
        let full = labels::verifier(self.fingerprint_mac(), self.mount_id(), account_id, &stretched.0).finish();
        let mut verifier = [0; VERIFIER];
        verifier.copy_from_slice(&full[..VERIFIER]);
        verifier
    }
}

/// The place of `presented` among `held`, counted from 0 over all of them. Takes as long whether and wherever it is there.
pub fn place_of<'a>(
    presented: &[u8; VERIFIER],
    held: impl IntoIterator<Item = Option<&'a [u8; VERIFIER]>>,
) -> Option<u32> {
    let (mut found, mut place) = (Choice::from(0), 0_u32);
    for (index, verifier) in (0_u32..).zip(held) {
        let Some(verifier) = verifier else { continue };
        let same = presented.ct_eq(verifier);
        place.conditional_assign(&index, same);
        found |= same;
    }
    bool::from(found).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::random::SeededRandom;

    fn keyring(seed: u64) -> Keyring {
        Keyring::generate(Timestamp::from_secs(1), &SeededRandom::new(seed))
    }

    #[test]
    fn a_verifier_belongs_to_its_code_account_and_keyring() {
        let (ring, other) = (keyring(1), keyring(2));
        // One workspace for all: what the computation before left in it changes nothing.
        let mut workspace = Workspace::new().unwrap();
        let mut of = |ring: &Keyring, account: &[u8; 16], code: &str| {
            ring.verifier(account, &ring.stretcher(account).stretch(code, &mut workspace).unwrap())
        };
        let verifier = of(&ring, &[1; 16], "7kq29m2pxw4tb8hd");
        assert_eq!(verifier, of(&ring, &[1; 16], "7kq29m2pxw4tb8hd"));
        assert_ne!(verifier, of(&ring, &[1; 16], "7kq29m2pxw4tb8he"));
        assert_ne!(verifier, of(&ring, &[2; 16], "7kq29m2pxw4tb8hd"));
        assert_ne!(verifier, of(&other, &[1; 16], "7kq29m2pxw4tb8hd"));
        // Both the salt and the HMAC bind the account.
        let stretched = ring.stretcher(&[1; 16]).stretch("7kq29m2pxw4tb8hd", &mut Workspace::new().unwrap()).unwrap();
        assert_ne!(verifier, ring.verifier(&[2; 16], &stretched));
    }

    #[test]
    fn a_verifier_is_found_wherever_it_is_and_nothing_else_is() {
        let held = [Some([1; 16]), None, Some([3; 16]), Some([4; 16])];
        let refs = || held.iter().map(Option::as_ref);
        assert_eq!(place_of(&[1; 16], refs()), Some(0));
        assert_eq!(place_of(&[3; 16], refs()), Some(2));
        assert_eq!(place_of(&[4; 16], refs()), Some(3));
        let mut near = [4; 16];
        near[15] = 5;
        assert_eq!(place_of(&near, refs()), None);
        assert_eq!(place_of(&[0; 16], []), None);
    }
}
