//! The keyring as it is stored: sealed under the root key, bound to the revision of its record.
//!
//! Layout: `format (1) ‖ mount id (16) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`. The mount id stands in clear because the labels
//! need it; the info and the AAD bind it, and the body repeats it. The body is CBOR (RFC 8949): `[mount id, [entry…]]`, an entry
//! `[use, generation, key, created at in ms, state]`, a state `[0, []]`, `[1, []]` or `[2, [retired at in ms]]`.

use std::collections::BTreeMap;
use std::convert::Infallible;

use minicbor::{Decoder, Encoder};
use zeroize::Zeroizing;

use super::{Entry, KeyInfo, KeyState, Keyring};
use crate::crypto::CryptoError;
use crate::crypto::labels::{self, FORMAT};
use crate::crypto::primitive::{self, NONCE, TAG};
use crate::crypto::secret::Key;
use crate::random::{self, Random};
use crate::storage::Revision;

const WHAT: &str = "the keyring";
const MALFORMED: CryptoError = CryptoError::Malformed(WHAT);
const HEAD: usize = 1 + 16 + NONCE;

/// An entry's use, as a number in the record.
const KEK: u8 = 0;
const LEDGER: u8 = 1;
const FINGERPRINT: u8 = 2;
const TOKEN_HASH: u8 = 3;
const SIGNING: u8 = 4;
const BARRIER: u8 = 5;

impl Keyring {
    /// The keyring's record under `root`, to be stored at exactly this fresh `revision`.
    ///
    /// # Errors
    /// [`CryptoError::Library`] only.
    pub fn seal(&self, root: &Key, revision: &Revision, random: &dyn Random) -> Result<Vec<u8>, CryptoError> {
        let key = primitive::derive::<32>(root.bytes(), &self.mount_id, &labels::keyring_key(&self.mount_id))?;
        let nonce = random::bytes::<NONCE>(random);
        let entries = self.entries();
        // The body is written where it is then encrypted in place. An entry takes at most 64 bytes: the buffer never moves, so
        // no copy of a key is left behind.
        let mut sealed = Zeroizing::new(Vec::with_capacity(HEAD + 64 + 64 * entries.len() + TAG));
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.mount_id);
        sealed.extend_from_slice(&nonce);
        write_body(&mut sealed, &self.mount_id, &entries).map_err(|_| CryptoError::Library(WHAT))?;
        let aad = labels::keyring_record(&self.mount_id, &revision.0);
        let tag = primitive::seal(WHAT, &key, &nonce, &aad, &mut sealed[HEAD..])?;
        sealed.extend_from_slice(&tag);
        Ok(std::mem::take(&mut *sealed))
    }

    /// Opens the keyring's record as it was stored at `revision`.
    ///
    /// # Errors
    /// [`CryptoError::NewerFormat`]; [`CryptoError::Malformed`]; [`CryptoError::DoesNotOpen`] for another root key, another
    /// revision or altered bytes.
    pub fn open(root: &Key, revision: &Revision, bytes: &[u8]) -> Result<Self, CryptoError> {
        let (format, rest) = bytes.split_first().ok_or(MALFORMED)?;
        match *format {
            FORMAT => {}
            0 => return Err(MALFORMED),
            found => return Err(CryptoError::NewerFormat { what: WHAT, found }),
        }
        let (mount_id, rest) = rest.split_first_chunk::<16>().ok_or(MALFORMED)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(MALFORMED)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(MALFORMED)?;
        let key = primitive::derive::<32>(root.bytes(), mount_id, &labels::keyring_key(mount_id))?;
        let mut body = Zeroizing::new(ciphertext.to_vec());
        let aad = labels::keyring_record(mount_id, &revision.0);
        primitive::open(WHAT, &key, nonce, &aad, &mut body, tag)?;
        let keyring = read_body(&body)?;
        if keyring.mount_id != *mount_id {
            return Err(MALFORMED);
        }
        Ok(keyring)
    }

    /// The mount that a keyring's record names, which needs no key and proves nothing.
    pub fn mount_id_of(bytes: &[u8]) -> Option<[u8; 16]> {
        bytes.split_first()?.1.first_chunk().copied()
    }

    fn entries(&self) -> Vec<(u8, &Entry)> {
        let singles = [
            (LEDGER, &self.ledger),
            (FINGERPRINT, &self.fingerprint),
            (TOKEN_HASH, &self.token_hash),
            (SIGNING, &self.signing),
        ];
        let keks = self.keks.iter().map(|kek| (KEK, kek));
        keks.chain(singles).chain(self.barrier.iter().map(|key| (BARRIER, key))).collect()
    }
}

fn write_body(
    out: &mut Vec<u8>,
    mount_id: &[u8; 16],
    entries: &[(u8, &Entry)],
) -> Result<(), minicbor::encode::Error<Infallible>> {
    let mut body = Encoder::new(out);
    body.array(2)?.bytes(mount_id)?.array(entries.len() as u64)?;
    for (key_use, Entry { info, key }) in entries {
        body.array(5)?.u8(*key_use)?.u32(info.generation)?.bytes(key.bytes())?;
        body.encode(info.created_at)?.encode(info.state)?;
    }
    Ok(())
}

fn read_body(body: &[u8]) -> Result<Keyring, CryptoError> {
    let mut read = Decoder::new(body);
    let (mount_id, entries) = read_entries(&mut read).map_err(|_| MALFORMED)?;
    if read.position() != body.len() {
        return Err(MALFORMED);
    }
    let mut of = BTreeMap::<u8, Vec<Entry>>::new();
    for (key_use, entry) in entries {
        of.entry(key_use).or_default().push(entry);
    }
    let keks = generations(of.remove(&KEK))?;
    let singles = [
        only(of.remove(&LEDGER))?,
        only(of.remove(&FINGERPRINT))?,
        only(of.remove(&TOKEN_HASH))?,
        only(of.remove(&SIGNING))?,
    ];
    let barrier = generations(of.remove(&BARRIER))?;
    // A use this version does not know must not be dropped by sealing the keyring again.
    if of.is_empty() { Ok(Keyring::assemble(mount_id, keks, singles, barrier)) } else { Err(MALFORMED) }
}

type Entries = ([u8; 16], Vec<(u8, Entry)>);

fn read_entries(read: &mut Decoder<'_>) -> Result<Entries, minicbor::decode::Error> {
    expect_array(read, 2)?;
    let mount_id = read_bytes::<16>(read)?;
    let count = read.array()?.ok_or_else(|| minicbor::decode::Error::message("indefinite array"))?;
    let mut entries = Vec::new();
    for _ in 0..count {
        expect_array(read, 5)?;
        let (key_use, generation) = (read.u8()?, read.u32()?);
        let key = Key::from_bytes(read_bytes::<32>(read)?);
        let info = KeyInfo { generation, created_at: read.decode()?, state: read.decode()? };
        entries.push((key_use, Entry { info, key }));
    }
    Ok((*mount_id, entries))
}

fn expect_array(read: &mut Decoder<'_>, length: u64) -> Result<(), minicbor::decode::Error> {
    if read.array()? == Some(length) {
        Ok(())
    } else {
        Err(minicbor::decode::Error::message("array of another length"))
    }
}

fn read_bytes<const N: usize>(read: &mut Decoder<'_>) -> Result<Zeroizing<[u8; N]>, minicbor::decode::Error> {
    let bytes = read.bytes()?;
    let mut out = Zeroizing::new([0; N]);
    if bytes.len() != N {
        return Err(minicbor::decode::Error::message("byte string of another length"));
    }
    out.copy_from_slice(bytes);
    Ok(out)
}

/// Generations in rising order of which the last one, and only that, is active.
fn generations(entries: Option<Vec<Entry>>) -> Result<Vec<Entry>, CryptoError> {
    let entries = entries.ok_or(MALFORMED)?;
    let rising = entries.windows(2).all(|pair| pair[0].info.generation < pair[1].info.generation);
    let (last, older) = entries.split_last().ok_or(MALFORMED)?;
    let one_active = last.info.state == KeyState::Active && older.iter().all(|key| key.info.state != KeyState::Active);
    let from_one = entries.iter().all(|key| key.info.generation >= 1);
    if rising && one_active && from_one { Ok(entries) } else { Err(MALFORMED) }
}

/// The one entry of a use that has one generation so far.
fn only(entries: Option<Vec<Entry>>) -> Result<Entry, CryptoError> {
    let entries: [Entry; 1] = generations(entries)?.try_into().map_err(|_| MALFORMED)?;
    let [entry] = entries;
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;
    use crate::random::SeededRandom;

    const AT: Revision = Revision([1; 16]);

    fn root() -> Key {
        Key::from_bytes(Zeroizing::new([2; 32]))
    }

    fn entry(generation: u32, state: KeyState) -> Entry {
        let created_at = Timestamp::from_millis(i64::MAX);
        Entry { info: KeyInfo { generation, created_at, state }, key: Key::from_bytes(Zeroizing::new([3; 32])) }
    }

    /// Entries of every use, of which `change` makes something else.
    fn body(change: impl Fn(&mut Vec<(u8, Entry)>)) -> Vec<u8> {
        let mut entries: Vec<(u8, Entry)> =
            (KEK..=BARRIER).map(|key_use| (key_use, entry(1, KeyState::Active))).collect();
        change(&mut entries);
        let entries: Vec<(u8, &Entry)> = entries.iter().map(|(key_use, entry)| (*key_use, entry)).collect();
        let mut out = Vec::new();
        write_body(&mut out, &[4; 16], &entries).unwrap();
        out
    }

    /// Seals any body as a keyring of mount `[4; 16]`.
    fn sealed(body: &[u8]) -> Vec<u8> {
        let key = primitive::derive::<32>(root().bytes(), &[4; 16], &labels::keyring_key(&[4; 16])).unwrap();
        let mut buffer = body.to_vec();
        let tag =
            primitive::seal(WHAT, &key, &[0; NONCE], &labels::keyring_record(&[4; 16], &AT.0), &mut buffer).unwrap();
        [&[FORMAT][..], &[4; 16], &[0; NONCE], &buffer, &tag].concat()
    }

    fn open(body: &[u8]) -> Result<Keyring, CryptoError> {
        Keyring::open(&root(), &AT, &sealed(body))
    }

    #[test]
    fn a_sealed_keyring_opens_to_the_same_keys() {
        let random = SeededRandom::new(1);
        let mut keyring = Keyring::generate(Timestamp::from_secs(1), &random);
        keyring.add_kek(Timestamp::from_secs(2), &random).unwrap();
        keyring.add_kek(Timestamp::from_secs(3), &random).unwrap();
        keyring.retire_kek(1, Timestamp::from_secs(4)).unwrap();
        keyring.add_barrier_key(Timestamp::from_secs(5), &random).unwrap();
        let opened = Keyring::open(&root(), &AT, &keyring.seal(&root(), &AT, &random).unwrap()).unwrap();
        assert_eq!(opened.mount_id, keyring.mount_id);
        let all = |keyring: &Keyring| -> Vec<(u8, KeyInfo, [u8; 32])> {
            keyring.entries().iter().map(|(key_use, entry)| (*key_use, entry.info, *entry.key.bytes())).collect()
        };
        assert_eq!(all(&opened), all(&keyring));
    }

    #[test]
    fn says_what_is_wrong_with_a_record() {
        let good = sealed(&body(|_| ()));
        assert!(Keyring::open(&root(), &AT, &good).is_ok());
        let mut newer = good.clone();
        newer[0] = FORMAT + 1;
        let error = |bytes: &[u8]| Keyring::open(&root(), &AT, bytes).err();
        assert_eq!(error(&newer), Some(CryptoError::NewerFormat { what: WHAT, found: FORMAT + 1 }));
        assert_eq!(error(&[]), Some(MALFORMED));
        assert_eq!(error(&[0; 100]), Some(MALFORMED));
        assert_eq!(error(&good[..HEAD]), Some(MALFORMED));
        assert_eq!(error(&good[..good.len() - 1]), Some(CryptoError::DoesNotOpen(WHAT)));
    }

    #[test]
    fn a_body_that_breaks_a_rule_is_malformed() {
        let retired = KeyState::Retired { at: Timestamp::from_secs(1) };
        let bodies = [
            ("a use is missing", body(|entries| drop(entries.remove(2)))),
            ("no KEK", body(|entries| drop(entries.remove(0)))),
            ("no barrier key", body(|entries| drop(entries.pop()))),
            ("unknown use", body(|entries| entries.push((BARRIER + 1, entry(1, KeyState::Active))))),
            ("two ledger keys", body(|entries| entries.push((LEDGER, entry(2, KeyState::Active))))),
            ("two active KEKs", body(|entries| entries.push((KEK, entry(2, KeyState::Active))))),
            ("the newest KEK is not active", body(|entries| entries[0].1.info.state = retired)),
            ("a generation twice", body(|entries| entries.insert(0, (KEK, entry(1, KeyState::DecryptOnly))))),
            ("generation 0", body(|entries| entries[3].1.info.generation = 0)),
            ("empty", Vec::new()),
            ("more after the end", [body(|_| ()), vec![0]].concat()),
            ("cut", body(|_| ()).split_last().unwrap().1.to_vec()),
            ("another array", [&[0x83][..], &body(|_| ())[1..], &[0]].concat()),
            ("a short mount id", [&[0x82, 0x4f][..], &body(|_| ())[3..]].concat()),
        ];
        for (what, body) in bodies {
            assert_eq!(open(&body).err(), Some(MALFORMED), "{what}");
        }
    }

    #[test]
    fn the_mount_id_inside_must_be_the_one_outside() {
        let mut body = body(|_| ());
        assert_eq!(body[1..3], [0x50, 4]);
        body[2] = 5;
        assert_eq!(open(&body).err(), Some(MALFORMED));
    }

    #[test]
    fn the_longest_entry_fits_the_room_that_is_reserved() {
        let longest = entry(u32::MAX, KeyState::Retired { at: Timestamp::from_millis(i64::MAX) });
        let length = |count: usize| {
            let mut out = Vec::new();
            write_body(&mut out, &[4; 16], &vec![(BARRIER, &longest); count]).unwrap();
            out.len()
        };
        assert!(length(0) <= 64 && length(1000) - length(0) <= 64 * 1000, "{} {}", length(0), length(1000));
    }
}
