//! The one place where HKDF infos, AADs and MAC inputs are laid out.
//!
//! A layout is a row of fields, each `length (u32, big endian) ‖ bytes`, and begins with the format version, the purpose and
//! the mount id. The purpose fixes how many fields follow and what they are, so no layout is the beginning of another one and no
//! two different rows have the same bytes. Numbers are big endian.
//!
//! | function | purpose | used as | fields after format, purpose, mount id |
//! |---|---|---|---|
//! | [`keyring_key`] | `keyring/key` | HKDF info under the root key | – |
//! | [`keyring_record`] | `keyring/record` | AAD | storage key `keyring`, revision (16) |
//! | [`account_kek`] | `kek/account` | HKDF info under a KEK | account id (16) |
//! | [`wrapped_dek`] | `dek/wrapped` | AAD | KEK generation (4), account id (16), set id (16) |
//! | [`dek_keys`] | `dek/keys` | HKDF info under a DEK | account id (16), set id (16) |
//! | [`code`] | `code` | AAD | account id (16), set id (16), generation (4), slot (4) |
//! | [`wrapped_answer_key`] | `wrapped-answer/key` | HKDF info under a wrapping token | – |
//! | [`wrapped_answer`] | `wrapped-answer` | AAD | keyed hash of the wrapping token (32) |
//! | [`barrier_key`] | `barrier/key` | HKDF info under a barrier key | storage key |
//! | [`barrier_value`] | `barrier/value` | AAD | barrier key generation (4), storage key, revision (16) |
//! | [`backup_key`] | `backup/key` | HKDF info under a barrier key | SHA-256 of the header (32) |
//! | [`backup_frame`] | `backup/frame` | AAD | SHA-256 of the header (32), number of the frame (8), its kind (4) |
//! | `ledger_entry` | `ledger/entry` | input of HMAC | chain id (16), previous MAC (32), entry |
//! | `fingerprint` | `fingerprint` | input of HMAC | account id (16), canonical code |
//! | `verifier_salt` | `verifier/salt` | salt of argon2id | account id (16) |
//! | `verifier` | `verifier` | input of HMAC | account id (16), stretched code (32) |
//! | [`inherited_key`] | `inherited/key` | HKDF info under the fingerprint key, and AAD | account id (16), mount id (16) and account id (16) it came from |
//! | `hash` | `hash/…` by [`HashPurpose`] | input of HMAC | number of parts (4), each part |
//! | [`seal_root`] | `seal/root` | AAD | holder, shares (4), threshold (4), key id, recovery check (32 or none) |
//! | [`seal_recovery`] | `seal/recovery` | HKDF info under the root key | – |
//!
//! The seal record is read before any mount id is known: its own random id stands in the mount id's field.

use super::keyring::HashPurpose;

/// The format version that stands at the start of every layout and of every sealed record.
pub const FORMAT: u8 = 1;

/// Where a layout is written: a buffer, or a MAC that takes it in as it comes.
pub(super) trait Sink {
    /// Takes these bytes in.
    fn put(&mut self, bytes: &[u8]);
}

/// A finished info or AAD.
pub struct Label(Vec<u8>);

impl Label {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Sink for Label {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Writes one layout, field by field.
struct Row<S>(S);

impl<S: Sink> Row<S> {
    fn begin(sink: S, purpose: &str, mount_id: &[u8; 16]) -> Self {
        Row(sink).field(&[FORMAT]).field(purpose.as_bytes()).field(mount_id)
    }
    fn field(mut self, bytes: &[u8]) -> Self {
        // Every value that comes here is bounded far below 4 GiB.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.put(&length.to_be_bytes());
        self.0.put(bytes);
        self
    }
    fn number(self, number: u32) -> Self {
        self.field(&number.to_be_bytes())
    }
    fn end(self) -> S {
        self.0
    }
}

fn label(purpose: &str, mount_id: &[u8; 16]) -> Row<Label> {
    Row::begin(Label(Vec::with_capacity(160)), purpose, mount_id)
}

/// AAD of the root key in the seal record `record_id`: everything that can be read of the record without a key.
pub fn seal_root(
    record_id: &[u8; 16],
    holder: &str,
    (shares, threshold): (u8, u8),
    key_id: &str,
    recovery_check: &[u8],
) -> Label {
    let row = label("seal/root", record_id).field(holder.as_bytes());
    row.number(shares.into()).number(threshold.into()).field(key_id.as_bytes()).field(recovery_check).end()
}

/// Info of the key under which the seal record's recovery key is recognised.
pub fn seal_recovery(record_id: &[u8; 16]) -> Label {
    label("seal/recovery", record_id).end()
}

/// Info of the key that seals the keyring.
pub fn keyring_key(mount_id: &[u8; 16]) -> Label {
    label("keyring/key", mount_id).end()
}

/// AAD of the sealed keyring at this revision of its record.
pub fn keyring_record(mount_id: &[u8; 16], revision: &[u8; 16]) -> Label {
    label("keyring/record", mount_id).field(b"keyring").field(revision).end()
}

/// Info of an account's KEK.
pub fn account_kek(mount_id: &[u8; 16], account_id: &[u8; 16]) -> Label {
    label("kek/account", mount_id).field(account_id).end()
}

/// AAD of a wrapped DEK.
pub fn wrapped_dek(mount_id: &[u8; 16], kek_generation: u32, account_id: &[u8; 16], set_id: &[u8; 16]) -> Label {
    label("dek/wrapped", mount_id).number(kek_generation).field(account_id).field(set_id).end()
}

/// Info of what a DEK yields: encryption key, then commitment.
pub fn dek_keys(mount_id: &[u8; 16], account_id: &[u8; 16], set_id: &[u8; 16]) -> Label {
    label("dek/keys", mount_id).field(account_id).field(set_id).end()
}

/// AAD of a sealed code.
pub fn code(mount_id: &[u8; 16], account_id: &[u8; 16], set_id: &[u8; 16], generation: u32, slot: u32) -> Label {
    label("code", mount_id).field(account_id).field(set_id).number(generation).number(slot).end()
}

/// Info of the barrier's key for one storage key.
pub fn barrier_key(mount_id: &[u8; 16], storage_key: &str) -> Label {
    label("barrier/key", mount_id).field(storage_key.as_bytes()).end()
}

/// AAD of a barrier value.
pub fn barrier_value(mount_id: &[u8; 16], generation: u32, storage_key: &str, revision: &[u8; 16]) -> Label {
    label("barrier/value", mount_id).number(generation).field(storage_key.as_bytes()).field(revision).end()
}

/// Info of the key of one backup's frames.
pub fn backup_key(mount_id: &[u8; 16], header: &[u8; 32]) -> Label {
    label("backup/key", mount_id).field(header).end()
}

/// AAD of one frame of a backup.
pub fn backup_frame(mount_id: &[u8; 16], header: &[u8; 32], number: u64, kind: u8) -> Label {
    label("backup/frame", mount_id).field(header).field(&number.to_be_bytes()).number(kind.into()).end()
}

/// Info of the key that a wrapping token yields.
pub fn wrapped_answer_key(mount_id: &[u8; 16]) -> Label {
    label("wrapped-answer/key", mount_id).end()
}

/// AAD of an answer that is kept for the holder of a wrapping token.
pub fn wrapped_answer(mount_id: &[u8; 16], token_hash: &[u8; 32]) -> Label {
    label("wrapped-answer", mount_id).field(token_hash).end()
}

/// What the ledger's MAC of one entry runs over.
pub(super) fn ledger_entry<S: Sink>(
    sink: S,
    mount_id: &[u8; 16],
    chain_id: &[u8; 16],
    previous: &[u8; 32],
    entry: &[u8],
) -> S {
    Row::begin(sink, "ledger/entry", mount_id).field(chain_id).field(previous).field(entry).end()
}

/// The part of a fingerprint's input that is the same for all codes of an account; [`fingerprint_of`] adds the code.
pub(super) fn fingerprint<S: Sink>(sink: S, mount_id: &[u8; 16], account_id: &[u8; 16]) -> S {
    Row::begin(sink, "fingerprint", mount_id).field(account_id).end()
}

/// Completes [`fingerprint`] with a canonical code.
pub(super) fn fingerprint_of<S: Sink>(begun: S, canonical: &[u8]) -> S {
    Row(begun).field(canonical).end()
}

/// Salt under which the codes of an account are stretched.
pub(super) fn verifier_salt(mount_id: &[u8; 16], account_id: &[u8; 16]) -> Label {
    label("verifier/salt", mount_id).field(account_id).end()
}

/// What the verifier of a stretched code runs over.
pub(super) fn verifier<S: Sink>(sink: S, mount_id: &[u8; 16], account_id: &[u8; 16], stretched: &[u8; 32]) -> S {
    Row::begin(sink, "verifier", mount_id).field(account_id).field(stretched).end()
}

/// Info of the key that seals an inherited fingerprint key, and AAD of that key.
pub fn inherited_key(
    mount_id: &[u8; 16],
    account_id: &[u8; 16],
    from_mount: &[u8; 16],
    from_account: &[u8; 16],
) -> Label {
    label("inherited/key", mount_id).field(account_id).field(from_mount).field(from_account).end()
}

/// What a keyed hash runs over.
pub(super) fn hash<S: Sink>(sink: S, mount_id: &[u8; 16], purpose: HashPurpose, parts: &[&[u8]]) -> S {
    let row = Row::begin(sink, purpose.label(), mount_id).number(u32::try_from(parts.len()).unwrap_or(u32::MAX));
    parts.iter().fold(row, |row, part| row.field(part)).end()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn row(purpose: &str, fields: &[Vec<u8>]) -> Vec<u8> {
        fields.iter().fold(label(purpose, &[7; 16]), |row, field| row.field(field)).end().0
    }

    /// Reads a row back.
    fn fields(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut fields = Vec::new();
        while let Some((length, rest)) = bytes.split_first_chunk() {
            let (field, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            fields.push(field.to_vec());
            bytes = rest;
        }
        assert!(bytes.is_empty());
        fields
    }

    proptest! {
        #[test]
        fn a_layout_says_exactly_what_it_was_made_of(purpose in "[a-z/]{1,12}", parts in vec(vec(any::<u8>(), 0..40), 0..5)) {
            let start = vec![vec![FORMAT], purpose.clone().into_bytes(), vec![7; 16]];
            prop_assert_eq!(fields(&row(&purpose, &parts)), [start, parts].concat());
        }
        #[test]
        fn moving_a_byte_over_a_border_makes_another_layout(a in "[a-z]{1,9}", b in "[a-z]{1,9}") {
            let parts = |a: &str, b: &str| row("code", &[a.as_bytes().to_vec(), b.as_bytes().to_vec()]);
            let (start, last) = a.split_at(a.len() - 1);
            prop_assert_ne!(parts(&a, &b), parts(start, &format!("{last}{b}")));
        }
    }

    #[test]
    fn no_layout_is_the_beginning_of_another() {
        let (id, mac) = ([1; 16], [2; 32]);
        let mut all: Vec<Vec<u8>> = vec![
            keyring_key(&id).0,
            keyring_record(&id, &id).0,
            account_kek(&id, &id).0,
            wrapped_dek(&id, 1, &id, &id).0,
            dek_keys(&id, &id, &id).0,
            code(&id, &id, &id, 1, 1).0,
            barrier_key(&id, "").0,
            barrier_key(&id, "keyring").0,
            barrier_value(&id, 1, "", &id).0,
            backup_key(&id, &mac).0,
            backup_frame(&id, &mac, 1, 1).0,
            ledger_entry(Label(Vec::new()), &id, &id, &mac, b"").0,
            fingerprint_of(fingerprint(Label(Vec::new()), &id, &id), b"").0,
            verifier_salt(&id, &id).0,
            inherited_key(&id, &id, &id, &id).0,
            verifier(Label(Vec::new()), &id, &id, &mac).0,
        ];
        for purpose in HashPurpose::ALL {
            for parts in [&[][..], &[&b""[..]], &[b"", b""]] {
                all.push(hash(Label(Vec::new()), &id, purpose, parts).0);
            }
        }
        for (at, one) in all.iter().enumerate() {
            for (_, other) in all.iter().enumerate().filter(|(other, _)| *other != at) {
                assert!(!other.starts_with(one), "{other:?} begins with {one:?}");
            }
        }
    }
}
