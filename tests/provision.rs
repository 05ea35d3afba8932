//! The harness itself: the real clients are there, and signers and client do what the other tests rest on.

mod support;

use std::process::Command;

use support::signer::Signer;

#[test]
fn the_real_clients_run() {
    let version = Command::new(support::provision::bao()).arg("version").output().expect("bao runs");
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("OpenBao v2."), "{version:?}");
    let hvac = Command::new(support::provision::python())
        .args(["-c", "import importlib.metadata, hvac; print(importlib.metadata.version(hvac.__name__))"])
        .output()
        .expect("python runs");
    assert_eq!(String::from_utf8_lossy(&hvac.stdout).trim(), "2.4.0", "{hvac:?}");
}

#[test]
fn signed_tokens_verify_with_the_published_key() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    let rsa = |algorithm| Signer::rsa("k", algorithm);
    let cases = [
        (Signer::es256("k"), Algorithm::ES256),
        (Signer::es384("k"), Algorithm::ES384),
        (Signer::eddsa("k"), Algorithm::EdDSA),
        (rsa(Algorithm::RS256), Algorithm::RS256),
        (rsa(Algorithm::PS512), Algorithm::PS512),
    ];
    for (signer, algorithm) in cases {
        let pem = signer.public_pem();
        let key = match algorithm {
            Algorithm::EdDSA => DecodingKey::from_ed_pem(pem.as_bytes()),
            Algorithm::ES256 | Algorithm::ES384 => DecodingKey::from_ec_pem(pem.as_bytes()),
            _ => DecodingKey::from_rsa_pem(pem.as_bytes()),
        }
        .expect("a public key");
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&["here"]);
        let token = signer.jwt(&support::signer::claims("https://idp.example.com/", "jane", "here"));
        let read =
            decode::<serde_json::Value>(&token, &key, &rules).unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        assert_eq!(read.claims["sub"], "jane");
        assert_eq!(read.header.typ.as_deref(), Some("at+jwt"));
    }
}

#[test]
fn codes_of_the_scene_never_repeat() {
    let all: std::collections::BTreeSet<String> = (0..50).flat_map(|seed| support::scene::codes(seed, 512)).collect();
    assert_eq!(all.len(), 50 * 512);
}
