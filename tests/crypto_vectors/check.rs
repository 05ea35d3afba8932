//! Checks the vectors: with `plain` alone, then what the crate opens and makes.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::Value;
use sparekey::crypto::backup::FrameKey;
use sparekey::crypto::barrier::{open_value, seal_value};
use sparekey::crypto::envelope::{Place, SealedCode, WrappedDek, open_code, rewrap, seal_set};
use sparekey::crypto::keyring::{HashPurpose, KeyState, Keyring};
use sparekey::crypto::secret::{CodeText, Key};
use sparekey::crypto::verifier::Workspace;
use sparekey::crypto::{signing, wrapped};
use sparekey::domain::time::Timestamp;
use sparekey::storage::Revision;
use zeroize::Zeroizing;

use super::plain::{self, cbor};
use super::{Scripted, bytes, hex, vector};

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn slot(code: &Value) -> u32 {
    code["slot"].as_u64().unwrap().try_into().unwrap()
}

/// The keyring that the vectors share.
fn ring() -> Keyring {
    let v = vector("keyring");
    let root = Key::from_bytes(Zeroizing::new(bytes(&v["root_key"])));
    Keyring::open(&root, &Revision(bytes(&v["revision"])), &hex(&v["sealed"])).unwrap()
}

#[test]
fn keyring() {
    let v = vector("keyring");
    let (mount, nonce, revision) = (hex(&v["mount_id"]), hex(&v["nonce"]), hex(&v["revision"]));
    let info = plain::layout("keyring/key", &mount, &[]);
    assert_eq!(info, hex(&v["sealing_key_info"]));
    let key = plain::hkdf(&hex(&v["root_key"]), &mount, &info, 32);
    assert_eq!(key, hex(&v["sealing_key"]));
    let aad = plain::layout("keyring/record", &mount, &[b"keyring", &revision]);
    assert_eq!(aad, hex(&v["aad"]));
    let body = plain::keyring_body(&mount, &v["entries"]);
    assert_eq!(body, hex(&v["body"]));
    let sealed = [vec![1], mount.clone(), nonce.clone(), plain::gcm(&key, &nonce, &aad, &body)].concat();
    assert_eq!(sealed, hex(&v["sealed"]));

    let ring = ring();
    assert_eq!(ring.mount_id()[..], mount);
    let states: Vec<KeyState> = ring.keks().map(|kek| kek.state).collect();
    let retired = KeyState::Retired { at: Timestamp::from_millis(v["entries"][0]["state"][1][0].as_i64().unwrap()) };
    assert_eq!(states, [retired, KeyState::DecryptOnly, KeyState::Active]);
    let barrier: Vec<_> = ring.barrier_keys().iter().map(|key| (key.generation, key.key.bytes().to_vec())).collect();
    assert_eq!(barrier, [(1, hex(&v["entries"][7]["key"])), (2, hex(&v["entries"][8]["key"]))]);
    let root = Key::from_bytes(Zeroizing::new(bytes(&v["root_key"])));
    let again = ring.seal(&root, &Revision(bytes(&v["revision"])), &Scripted::new(vec![nonce])).unwrap();
    assert_eq!(again, sealed);
}

#[test]
fn envelope() {
    let v = vector("envelope");
    let mount = hex(&v["mount_id"]);
    let (account, set) = (bytes::<16>(&v["account_id"]), bytes::<16>(&v["set_id"]));
    let (generation, kek_generation) = (v["generation"].as_u64().unwrap(), v["kek_generation"].as_u64().unwrap());
    let kek_info = plain::layout("kek/account", &mount, &[&account]);
    assert_eq!(kek_info, hex(&v["account_kek_info"]));
    let kek = plain::hkdf(&hex(&v["kek"]), &mount, &kek_info, 32);
    assert_eq!(kek, hex(&v["account_kek"]));
    let keys_info = plain::layout("dek/keys", &mount, &[&account, &set]);
    assert_eq!(keys_info, hex(&v["dek_keys_info"]));
    let keys = plain::hkdf(&hex(&v["dek"]), &mount, &keys_info, 64);
    let (key, commitment) = keys.split_at(32);
    assert_eq!((key, commitment), (&hex(&v["encryption_key"])[..], &hex(&v["commitment"])[..]));
    let wrap_aad = plain::layout("dek/wrapped", &mount, &[&plain::number(kek_generation), &account, &set]);
    assert_eq!(wrap_aad, hex(&v["wrap_aad"]));
    let wrapped = |nonce: &Value| {
        let ciphertext = plain::gcm(&kek, &hex(nonce), &wrap_aad, &hex(&v["dek"]));
        let fields = [&hex(nonce)[..], &ciphertext, commitment].map(cbor::bytes);
        cbor::array(&[&[cbor::number(kek_generation)], &fields[..]].concat())
    };
    assert_eq!(wrapped(&v["wrap_nonce"]), hex(&v["wrapped_record"]));
    assert_eq!(wrapped(&v["rewrap_nonce"]), hex(&v["rewrapped_record"]));
    let longest = list(&v["codes"]).iter().map(|code| code["code"].as_str().unwrap().len()).max().unwrap();
    let padded_length = (2 + longest).div_ceil(32) * 32;
    for code in list(&v["codes"]) {
        let padded = plain::padded(code["code"].as_str().unwrap(), padded_length);
        assert_eq!(padded, hex(&code["padded"]));
        let fields: [&[u8]; 4] = [&account, &set, &plain::number(generation), &plain::number(slot(code).into())];
        let aad = plain::layout("code", &mount, &fields);
        assert_eq!(aad, hex(&code["aad"]));
        let sealed = plain::gcm(key, &hex(&code["nonce"]), &aad, &padded);
        assert_eq!(cbor::array(&[cbor::bytes(&hex(&code["nonce"])), cbor::bytes(&sealed)]), hex(&code["record"]));
    }

    let ring = ring();
    let place = Place { account_id: &account, set_id: &set, generation: generation.try_into().unwrap() };
    for name in ["wrapped_record", "rewrapped_record"] {
        let dek: WrappedDek = minicbor::decode(&hex(&v[name])).unwrap();
        for code in list(&v["codes"]) {
            let sealed: SealedCode = minicbor::decode(&hex(&code["record"])).unwrap();
            let opened = open_code(&ring, &place, slot(code), &dek, &sealed).unwrap();
            assert_eq!(opened.expose(), code["code"].as_str().unwrap());
        }
    }
    let codes: Vec<(u32, CodeText)> = list(&v["codes"])
        .iter()
        .map(|code| (slot(code), CodeText::new(Zeroizing::new(code["code"].as_str().unwrap().to_owned()))))
        .collect();
    let codes: Vec<(u32, &CodeText)> = codes.iter().map(|(slot, code)| (*slot, code)).collect();
    let nonces = list(&v["codes"]).iter().map(|code| &code["nonce"]);
    let script = Scripted::new([&v["dek"], &v["wrap_nonce"]].into_iter().chain(nonces).map(hex).collect());
    let (dek, sealed) = seal_set(&ring, &place, &codes, &script).unwrap();
    script.done();
    assert_eq!(minicbor::to_vec(&dek).unwrap(), hex(&v["wrapped_record"]));
    for ((_, sealed), code) in sealed.iter().zip(list(&v["codes"])) {
        assert_eq!(minicbor::to_vec(sealed).unwrap(), hex(&code["record"]));
    }
    let again = rewrap(&ring, &place, &dek, &Scripted::new(vec![hex(&v["rewrap_nonce"])])).unwrap();
    assert_eq!(minicbor::to_vec(&again).unwrap(), hex(&v["rewrapped_record"]));
}

#[test]
fn barrier() {
    let v = vector("barrier");
    let mount = bytes::<16>(&v["mount_id"]);
    let generation = v["generation"].as_u64().unwrap();
    let keys = ring().barrier_keys();
    for value in list(&v["values"]) {
        let name = value["storage_key"].as_str().unwrap();
        let info = plain::layout("barrier/key", &mount, &[name.as_bytes()]);
        assert_eq!(info, hex(&value["sealing_key_info"]));
        let key = plain::hkdf(&hex(&v["barrier_key"]), &mount, &info, 32);
        assert_eq!(key, hex(&value["sealing_key"]));
        let fields: [&[u8]; 3] = [&plain::number(generation), name.as_bytes(), &hex(&value["revision"])];
        let aad = plain::layout("barrier/value", &mount, &fields);
        assert_eq!(aad, hex(&value["aad"]));
        let nonce = hex(&value["nonce"]);
        let ciphertext = plain::gcm(&key, &nonce, &aad, &hex(&value["plaintext"]));
        let sealed = [vec![1], plain::number(generation).to_vec(), nonce.clone(), ciphertext].concat();
        assert_eq!(sealed, hex(&value["sealed"]));

        let revision = Revision(bytes(&value["revision"]));
        assert_eq!(open_value(&keys, &mount, name, &revision, &sealed).unwrap(), hex(&value["plaintext"]));
        let script = Scripted::new(vec![nonce]);
        let again = seal_value(keys.last().unwrap(), &mount, name, &revision, &hex(&value["plaintext"]), &script);
        assert_eq!(again.unwrap(), sealed);
    }
}

#[test]
fn backup() {
    let v = vector("backup");
    let (mount, header) = (bytes::<16>(&v["mount_id"]), bytes::<32>(&v["header_sha256"]));
    let info = plain::layout("backup/key", &mount, &[&header]);
    assert_eq!(info, hex(&v["key_info"]));
    let key = plain::hkdf(&hex(&v["barrier_key"]), &mount, &info, 32);
    assert_eq!(key, hex(&v["key"]));
    let keys = ring().barrier_keys();
    let ours = FrameKey::derive(keys.last().unwrap(), &mount, &header).unwrap();
    for frame in list(&v["frames"]) {
        let number = frame["number"].as_u64().unwrap();
        let kind = u8::try_from(frame["kind"].as_u64().unwrap()).unwrap();
        let fields: [&[u8]; 3] = [&header, &number.to_be_bytes(), &plain::number(kind.into())];
        let aad = plain::layout("backup/frame", &mount, &fields);
        assert_eq!(aad, hex(&frame["aad"]));
        let (nonce, plaintext) = (hex(&frame["nonce"]), hex(&frame["plaintext"]));
        let sealed = [nonce.clone(), plain::gcm(&key, &nonce, &aad, &plaintext)].concat();
        assert_eq!(sealed, hex(&frame["sealed"]));
        assert_eq!(ours.open(number, kind, &sealed).unwrap(), plaintext);
        assert_eq!(ours.seal(number, kind, &plaintext, &Scripted::new(vec![nonce])).unwrap(), sealed);
    }
}

#[test]
fn macs() {
    let v = vector("macs");
    let (mount, ring) = (hex(&v["mount_id"]), ring());
    for entry in list(&v["ledger"]) {
        let (chain, previous, text) = (hex(&entry["chain_id"]), hex(&entry["previous"]), hex(&entry["entry"]));
        let input = plain::layout("ledger/entry", &mount, &[&chain, &previous, &text]);
        assert_eq!(input, hex(&entry["input"]));
        assert_eq!(plain::hmac(&hex(&v["ledger_key"]), &input), hex(&entry["mac"]));
        let mac = ring.ledger_mac(&bytes(&entry["chain_id"]), &bytes(&entry["previous"]), &text);
        assert_eq!(mac[..], hex(&entry["mac"]));
    }
    for print in list(&v["fingerprints"]) {
        let (account, canonical) = (hex(&print["account_id"]), hex(&print["canonical"]));
        let input = plain::layout("fingerprint", &mount, &[&account, &canonical]);
        assert_eq!(input, hex(&print["input"]));
        assert_eq!(plain::hmac(&hex(&v["fingerprint_key"]), &input)[..16], hex(&print["fingerprint"]));
        assert_eq!(ring.fingerprinter(&bytes(&print["account_id"])).print(&canonical)[..], hex(&print["fingerprint"]));
    }
    assert_eq!(list(&v["verifiers"]).len(), 2);
    for verifier in list(&v["verifiers"]) {
        let (account, folded) = (hex(&verifier["account_id"]), hex(&verifier["folded"]));
        let salt = plain::layout("verifier/salt", &mount, &[&account]);
        assert_eq!(salt, hex(&verifier["salt"]));
        let stretched = plain::argon2id(&folded, &salt);
        assert_eq!(stretched, hex(&verifier["stretched"]));
        let input = plain::layout("verifier", &mount, &[&account, &stretched]);
        assert_eq!(input, hex(&verifier["input"]));
        assert_eq!(plain::hmac(&hex(&v["fingerprint_key"]), &input)[..16], hex(&verifier["verifier"]));
        let account = bytes(&verifier["account_id"]);
        let made = ring
            .stretcher(&account)
            .stretch(std::str::from_utf8(&folded).unwrap(), &mut Workspace::new().unwrap())
            .unwrap();
        assert_eq!(ring.verifier(&account, &made)[..], hex(&verifier["verifier"]));
    }
    let mut purposes = HashPurpose::ALL.to_vec();
    for hash in list(&v["hashes"]) {
        let name = hash["purpose"].as_str().unwrap();
        let parts: Vec<Vec<u8>> = list(&hash["parts"]).iter().map(hex).collect();
        let count = plain::number(parts.len() as u64);
        let fields: Vec<&[u8]> = std::iter::once(&count[..]).chain(parts.iter().map(Vec::as_slice)).collect();
        let input = plain::layout(name, &mount, &fields);
        assert_eq!(input, hex(&hash["input"]));
        assert_eq!(plain::hmac(&hex(&v["token_hash_key"]), &input), hex(&hash["hash"]));
        let at = purposes.iter().position(|purpose| purpose.label() == name).expect("a purpose, once");
        let purpose = purposes.remove(at);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(ring.keyed_hash(purpose, &parts)[..], hex(&hash["hash"]));
    }
    assert!(purposes.is_empty(), "without a vector: {purposes:?}");
}

#[test]
fn signature() {
    let v = vector("signature");
    let pair = Ed25519KeyPair::from_seed_and_public_key(&hex(&v["seed"]), &hex(&v["public"])).unwrap();
    let (key, public) = (ring().signing().unwrap(), bytes(&v["public"]));
    assert_eq!(key.public(), public);
    assert_eq!(pair.public_key().as_ref(), public);
    for signed in list(&v["signatures"]) {
        let (message, signature) = (hex(&signed["message"]), bytes::<64>(&signed["signature"]));
        UnparsedPublicKey::new(&ED25519, public).verify(&message, &signature).unwrap();
        assert!(signing::verify(&public, &message, &signature));
        assert_eq!(key.sign(&message), signature);
    }
}

#[test]
fn wrapped_answer() {
    let v = vector("wrapped");
    let mount = bytes::<16>(&v["mount_id"]);
    for value in list(&v["answers"]) {
        let (token, answer) = (value["token"].as_str().unwrap(), value["answer"].as_str().unwrap());
        let hash = ring().keyed_hash(HashPurpose::WrappingToken, &[token.as_bytes()]);
        assert_eq!(hash.to_vec(), hex(&value["token_hash"]));
        let info = plain::layout("wrapped-answer/key", &mount, &[]);
        assert_eq!(info, hex(&value["key_info"]));
        let key = plain::hkdf(token.as_bytes(), &mount, &info, 32);
        assert_eq!(key, hex(&value["key"]));
        let aad = plain::layout("wrapped-answer", &mount, &[&hash]);
        assert_eq!(aad, hex(&value["aad"]));
        let nonce = hex(&value["nonce"]);
        let sealed = [vec![1], nonce.clone(), plain::gcm(&key, &nonce, &aad, answer.as_bytes())].concat();
        assert_eq!(sealed, hex(&value["sealed"]));

        assert_eq!(*wrapped::open(token.as_bytes(), &mount, &hash, &sealed).unwrap(), answer.as_bytes());
        let script = Scripted::new(vec![nonce]);
        assert_eq!(wrapped::seal(token.as_bytes(), &mount, &hash, answer.as_bytes(), &script).unwrap(), sealed);
        script.done();
    }
}
