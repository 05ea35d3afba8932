//! Makes the vectors: inputs from a seeded generator, results by the crate, values on the way by `plain`.

use serde_json::{Value, json};
use sparekey::crypto::backup::FrameKey;
use sparekey::crypto::barrier::{BarrierKey, seal_value};
use sparekey::crypto::envelope::{Place, rewrap, seal_set};
use sparekey::crypto::keyring::{CONFIG_CHAIN, HashPurpose, Keyring};
use sparekey::crypto::secret::{CodeText, Key};
use sparekey::crypto::signing::SigningKey;
use sparekey::crypto::verifier::Workspace;
use sparekey::crypto::wrapped;
use sparekey::domain::time::Timestamp;
use sparekey::random::{self, SeededRandom};
use sparekey::storage::Revision;
use zeroize::Zeroizing;

use super::plain;
use super::{Scripted, bytes};

/// Draws hexadecimal values from the seed.
struct Draws(SeededRandom);

impl Draws {
    fn hex<const N: usize>(&self) -> Value {
        hex::encode(random::bytes::<N>(&self.0)).into()
    }
}

fn hex_of(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(bytes)
}

/// Every vector by the name of its file.
pub fn vectors() -> Vec<(&'static str, Value)> {
    let draws = Draws(SeededRandom::new(0x5350_4152_454b_4559));
    let (keyring, ring) = keyring(&draws);
    vec![
        ("envelope", envelope(&draws, &ring, &keyring)),
        ("barrier", barrier(&draws, &keyring)),
        ("macs", macs(&draws, &ring, &keyring)),
        ("signature", signature(&keyring)),
        ("wrapped", wrapped_answer(&draws, &ring, &keyring)),
        ("backup", backup(&draws, &keyring)),
        ("keyring", keyring),
    ]
}

fn keyring(draws: &Draws) -> (Value, Keyring) {
    let times =
        [1_782_900_000_000, 1_785_500_000_123, 1_788_200_000_456, 1_788_300_000_000].map(Timestamp::from_millis);
    let mount_id = draws.hex::<16>();
    let keys: Vec<Value> = (0..9).map(|_| draws.hex::<32>()).collect();
    let [k1, ledger, fingerprint, token_hash, signing, b1, k2, k3, b2] = keys.try_into().unwrap();
    let all = [&mount_id, &k1, &ledger, &fingerprint, &token_hash, &signing, &b1, &k2, &k3, &b2];
    let script = Scripted::new(all.iter().map(|value| super::hex(value)).collect());
    let mut ring = Keyring::generate(times[0], &script);
    ring.add_kek(times[1], &script).unwrap();
    ring.add_kek(times[2], &script).unwrap();
    ring.add_barrier_key(times[2], &script).unwrap();
    ring.retire_kek(1, times[3]).unwrap();
    script.done();
    let entry = |name: &str, number: u8, generation: u32, key: &Value, at: Timestamp, state: Value| json!({"use": name, "use_number": number, "generation": generation, "key": key, "created_at": at.millis(), "state": state});
    let (active, decrypt_only) = (json!([0, []]), json!([1, []]));
    let entries = json!([
        entry("kek", 0, 1, &k1, times[0], json!([2, [times[3].millis()]])),
        entry("kek", 0, 2, &k2, times[1], decrypt_only.clone()),
        entry("kek", 0, 3, &k3, times[2], active.clone()),
        entry("ledger", 1, 1, &ledger, times[0], active.clone()),
        entry("fingerprint", 2, 1, &fingerprint, times[0], active.clone()),
        entry("token-hash", 3, 1, &token_hash, times[0], active.clone()),
        entry("signing", 4, 1, &signing, times[0], active.clone()),
        entry("barrier", 5, 1, &b1, times[0], decrypt_only),
        entry("barrier", 5, 2, &b2, times[2], active),
    ]);
    let (root_key, revision, nonce) = (draws.hex::<32>(), draws.hex::<16>(), draws.hex::<12>());
    let mount = super::hex(&mount_id);
    let info = plain::layout("keyring/key", &mount, &[]);
    let root = Key::from_bytes(Zeroizing::new(bytes(&root_key)));
    let sealed = ring.seal(&root, &Revision(bytes(&revision)), &Scripted::new(vec![super::hex(&nonce)])).unwrap();
    let value = json!({
        "mount_id": mount_id,
        "entries": entries,
        "body": hex_of(plain::keyring_body(&mount, &entries)),
        "root_key": root_key,
        "sealing_key_info": hex_of(&info),
        "sealing_key": hex_of(plain::hkdf(root.bytes(), &mount, &info, 32)),
        "revision": revision,
        "aad": hex_of(plain::layout("keyring/record", &mount, &[b"keyring", &super::hex(&revision)])),
        "nonce": nonce,
        "sealed": hex_of(sealed),
    });
    (value, ring)
}

fn envelope(draws: &Draws, ring: &Keyring, keyring: &Value) -> Value {
    let mount = super::hex(&keyring["mount_id"]);
    let (account_id, set_id) = (draws.hex::<16>(), draws.hex::<16>());
    let (account, set) = (bytes::<16>(&account_id), bytes::<16>(&set_id));
    let place = Place { account_id: &account, set_id: &set, generation: 7 };
    let kek = &keyring["entries"][2];
    let kek_info = plain::layout("kek/account", &mount, &[&account]);
    let account_kek = plain::hkdf(&super::hex(&kek["key"]), &mount, &kek_info, 32);
    let (dek, dek_nonce) = (draws.hex::<32>(), draws.hex::<12>());
    let keys_info = plain::layout("dek/keys", &mount, &[&account, &set]);
    let keys = plain::hkdf(&super::hex(&dek), &mount, &keys_info, 64);
    let texts = ["a1b2c-d3e4f", "1234 5678", "7KQ2-9M2P-XW4T-B8HD", "ключ-на-ганку-№1-🔑", "0"];
    let texts: Vec<(u32, &str)> = [1, 2, 3, 10, 512].into_iter().zip(texts).collect();
    let codes: Vec<CodeText> =
        texts.iter().map(|(_, text)| CodeText::new(Zeroizing::new((*text).to_owned()))).collect();
    let slots: Vec<(u32, &CodeText)> = texts.iter().map(|(slot, _)| *slot).zip(&codes).collect();
    let nonces: Vec<Value> = texts.iter().map(|_| draws.hex::<12>()).collect();
    let script = [&dek, &dek_nonce].into_iter().chain(&nonces).map(super::hex).collect();
    let script = Scripted::new(script);
    let (wrapped, sealed) = seal_set(ring, &place, &slots, &script).unwrap();
    script.done();
    let code = |((&(slot, text), nonce), (_, sealed)): ((&(u32, &str), &Value), &(u32, _))| {
        let fields: [&[u8]; 4] = [&account, &set, &plain::number(7), &plain::number(slot.into())];
        json!({
            "slot": slot,
            "code": text,
            "padded": hex_of(plain::padded(text, 64)),
            "aad": hex_of(plain::layout("code", &mount, &fields)),
            "nonce": nonce,
            "record": hex_of(minicbor::to_vec(sealed as &sparekey::crypto::envelope::SealedCode).unwrap()),
        })
    };
    let codes: Vec<Value> = texts.iter().zip(&nonces).zip(&sealed).map(code).collect();
    // The same DEK under the newest KEK once more: only the nonce differs.
    let rewrap_nonce = draws.hex::<12>();
    let rewrapped = rewrap(ring, &place, &wrapped, &Scripted::new(vec![super::hex(&rewrap_nonce)])).unwrap();
    json!({
        "mount_id": keyring["mount_id"],
        "account_id": account_id,
        "set_id": set_id,
        "generation": 7,
        "kek_generation": 3,
        "kek": kek["key"],
        "account_kek_info": hex_of(&kek_info),
        "account_kek": hex_of(account_kek),
        "dek": dek,
        "wrap_aad": hex_of(plain::layout("dek/wrapped", &mount, &[&plain::number(3), &account, &set])),
        "wrap_nonce": dek_nonce,
        "dek_keys_info": hex_of(&keys_info),
        "encryption_key": hex_of(&keys[..32]),
        "commitment": hex_of(&keys[32..]),
        "wrapped_record": hex_of(minicbor::to_vec(&wrapped).unwrap()),
        "codes": codes,
        "rewrap_nonce": rewrap_nonce,
        "rewrapped_record": hex_of(minicbor::to_vec(&rewrapped).unwrap()),
    })
}

fn barrier(draws: &Draws, keyring: &Value) -> Value {
    let mount = bytes::<16>(&keyring["mount_id"]);
    let entry = &keyring["entries"][8];
    let key = BarrierKey { generation: 2, key: Key::from_bytes(Zeroizing::new(bytes(&entry["key"]))) };
    let values =
        [("accounts/github/acme-owner", "a record".to_owned()), ("config", String::new()), ("seal", "x".repeat(100))];
    let value = |(storage_key, plaintext): (&str, String)| {
        let (revision, nonce) = (draws.hex::<16>(), draws.hex::<12>());
        let info = plain::layout("barrier/key", &mount, &[storage_key.as_bytes()]);
        let fields: [&[u8]; 3] = [&plain::number(2), storage_key.as_bytes(), &super::hex(&revision)];
        let script = Scripted::new(vec![super::hex(&nonce)]);
        let at = Revision(bytes(&revision));
        let sealed = seal_value(&key, &mount, storage_key, &at, plaintext.as_bytes(), &script).unwrap();
        json!({
            "storage_key": storage_key,
            "revision": revision,
            "plaintext": hex_of(&plaintext),
            "sealing_key_info": hex_of(&info),
            "sealing_key": hex_of(plain::hkdf(key.key.bytes(), &mount, &info, 32)),
            "aad": hex_of(plain::layout("barrier/value", &mount, &fields)),
            "nonce": nonce,
            "sealed": hex_of(sealed),
        })
    };
    json!({
        "mount_id": keyring["mount_id"],
        "generation": 2,
        "barrier_key": entry["key"],
        "values": values.into_iter().map(value).collect::<Vec<_>>(),
    })
}

fn backup(draws: &Draws, keyring: &Value) -> Value {
    let mount = bytes::<16>(&keyring["mount_id"]);
    let entry = &keyring["entries"][8];
    let barrier = BarrierKey { generation: 2, key: Key::from_bytes(Zeroizing::new(bytes(&entry["key"]))) };
    let header = draws.hex::<32>();
    let key = FrameKey::derive(&barrier, &mount, &bytes(&header)).unwrap();
    let info = plain::layout("backup/key", &mount, &[&super::hex(&header)]);
    let frame = |(number, kind, plaintext): (u64, u8, &str)| {
        let nonce = draws.hex::<12>();
        let fields: [&[u8]; 3] = [&super::hex(&header), &number.to_be_bytes(), &plain::number(kind.into())];
        let sealed = key.seal(number, kind, plaintext.as_bytes(), &Scripted::new(vec![super::hex(&nonce)])).unwrap();
        json!({
            "number": number,
            "kind": kind,
            "plaintext": hex_of(plaintext),
            "aad": hex_of(plain::layout("backup/frame", &mount, &fields)),
            "nonce": nonce,
            "sealed": hex_of(sealed),
        })
    };
    let frames = [(0, 1, "rows"), (1, 1, "more rows"), (5_000_000_000, 2, "")].map(frame);
    json!({
        "mount_id": keyring["mount_id"],
        "barrier_key": entry["key"],
        "header_sha256": header,
        "key_info": hex_of(&info),
        "key": hex_of(plain::hkdf(barrier.key.bytes(), &mount, &info, 32)),
        "frames": frames,
    })
}

fn macs(draws: &Draws, ring: &Keyring, keyring: &Value) -> Value {
    let mount = super::hex(&keyring["mount_id"]);
    let account = bytes::<16>(&draws.hex::<16>());
    let ledger = |chain: &[u8; 16], previous: &[u8; 32], entry: &str| {
        json!({
            "chain_id": hex_of(chain),
            "previous": hex_of(previous),
            "entry": hex_of(entry),
            "input": hex_of(plain::layout("ledger/entry", &mount, &[chain, previous, entry.as_bytes()])),
            "mac": hex_of(ring.ledger_mac(chain, previous, entry.as_bytes())),
        })
    };
    let first = ledger(&account, &[0; 32], "the first entry");
    let second = ledger(&account, &bytes(&first["mac"]), "the second entry");
    let config = ledger(&CONFIG_CHAIN, &[0; 32], "");
    let fingerprint = |canonical: &str| {
        json!({
            "account_id": hex_of(account),
            "canonical": hex_of(canonical),
            "input": hex_of(plain::layout("fingerprint", &mount, &[&account, canonical.as_bytes()])),
            "fingerprint": hex_of(ring.fingerprinter(&account).print(canonical.as_bytes())),
        })
    };
    let verifier = |folded: &str| {
        let salt = plain::layout("verifier/salt", &mount, &[&account]);
        let stretched = plain::argon2id(folded.as_bytes(), &salt);
        let made = ring.stretcher(&account).stretch(folded, &mut Workspace::new().unwrap()).unwrap();
        json!({
            "account_id": hex_of(account),
            "folded": hex_of(folded),
            "salt": hex_of(&salt),
            "stretched": hex_of(&stretched),
            "input": hex_of(plain::layout("verifier", &mount, &[&account, &stretched])),
            "verifier": hex_of(ring.verifier(&account, &made)),
        })
    };
    let hash = |purpose: HashPurpose| {
        let parts: [&[u8]; 3] = [b"first", b"", purpose.label().as_bytes()];
        let fields: [&[u8]; 4] = [&plain::number(3), parts[0], parts[1], parts[2]];
        json!({
            "purpose": purpose.label(),
            "parts": (parts.map(hex_of)),
            "input": hex_of(plain::layout(purpose.label(), &mount, &fields)),
            "hash": hex_of(ring.keyed_hash(purpose, &parts)),
        })
    };
    json!({
        "mount_id": keyring["mount_id"],
        "ledger_key": keyring["entries"][3]["key"],
        "ledger": [first, second, config],
        "fingerprint_key": keyring["entries"][4]["key"],
        "fingerprints": (["a1b2cd3e4f", "12345678", "ключ"].map(fingerprint)),
        "verifiers": (["7kq29m2pxw4tb8hd", "01234567890123456789"].map(verifier)),
        "token_hash_key": keyring["entries"][5]["key"],
        "hashes": (HashPurpose::ALL.map(hash)),
    })
}

fn signature(keyring: &Value) -> Value {
    let seed = &keyring["entries"][6]["key"];
    let key = SigningKey::from_seed(&Key::from_bytes(Zeroizing::new(bytes(seed)))).unwrap();
    let signed = |message: &str| json!({"message": hex_of(message), "signature": hex_of(key.sign(message.as_bytes()))});
    json!({"seed": seed, "public": hex_of(key.public()), "signatures": (["", "a checkpoint"].map(signed))})
}

fn wrapped_answer(draws: &Draws, ring: &Keyring, keyring: &Value) -> Value {
    let mount = bytes::<16>(&keyring["mount_id"]);
    let answer = |(token, answer): (&str, &str)| {
        let nonce = draws.hex::<12>();
        let hash = ring.keyed_hash(HashPurpose::WrappingToken, &[token.as_bytes()]);
        let info = plain::layout("wrapped-answer/key", &mount, &[]);
        let script = Scripted::new(vec![super::hex(&nonce)]);
        let sealed = wrapped::seal(token.as_bytes(), &mount, &hash, answer.as_bytes(), &script).unwrap();
        json!({
            "token": token,
            "token_hash": hex_of(hash),
            "key_info": hex_of(&info),
            "key": hex_of(plain::hkdf(token.as_bytes(), &mount, &info, 32)),
            "aad": hex_of(plain::layout("wrapped-answer", &mount, &[&hash])),
            "nonce": nonce,
            "answer": answer,
            "sealed": hex_of(sealed),
        })
    };
    let answers =
        [("s.0123456789ABCDEFGHIJKLMN", r#","lease_id":"","data":{"a":"b"}}"#), ("s.zyxwvutsrqponmlkjihgfedc", "")];
    json!({ "mount_id": keyring["mount_id"], "answers": (answers.map(answer)) })
}
