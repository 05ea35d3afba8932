//! Keys of an identity provider, made afresh, that sign assertions and Security Event Tokens: right ones and wrong ones.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING};
use aws_lc_rs::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the server under test runs on the system's clock, so its assertions must"
)]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// A key pair and the algorithm it signs with.
#[derive(Clone)]
pub struct Signer {
    algorithm: Algorithm,
    kid: String,
    key: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    /// A P-256 key.
    pub fn es256(kid: &str) -> Self {
        Self::ec(kid, Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }
    /// A P-384 key.
    pub fn es384(kid: &str) -> Self {
        Self::ec(kid, Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING)
    }
    /// A 2048-bit RSA key that signs with `algorithm` (RS* or PS*).
    pub fn rsa(kid: &str, algorithm: Algorithm) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let private: Pkcs8V1Der = pair.as_der().expect("PKCS #8");
        let public: PublicKeyX509Der = pair.public_key().as_der().expect("SPKI");
        Signer {
            algorithm,
            kid: kid.into(),
            key: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes()).expect("a key"),
            public: public.as_ref().to_vec(),
        }
    }
    /// A 2048-bit RSA key that signs with RS256.
    pub fn rs256(kid: &str) -> Self {
        Self::rsa(kid, Algorithm::RS256)
    }
    /// An Ed25519 key.
    pub fn eddsa(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().expect("an Ed25519 key");
        let private: Pkcs8V1Der = pair.as_der().expect("PKCS #8");
        let public: PublicKeyX509Der = pair.public_key().as_der().expect("SPKI");
        Signer {
            algorithm: Algorithm::EdDSA,
            kid: kid.into(),
            key: EncodingKey::from_ed_der(private.as_ref()),
            public: public.as_ref().to_vec(),
        }
    }
    fn ec(kid: &str, algorithm: Algorithm, signing: &'static EcdsaSigningAlgorithm) -> Self {
        let pair = EcdsaKeyPair::generate(signing).expect("an EC key");
        let private = pair.to_pkcs8v1().expect("PKCS #8");
        let public: PublicKeyX509Der = pair.public_key().as_der().expect("SPKI");
        Signer {
            algorithm,
            kid: kid.into(),
            key: EncodingKey::from_ec_der(private.as_ref()),
            public: public.as_ref().to_vec(),
        }
    }

    /// The key's id.
    pub fn kid(&self) -> &str {
        &self.kid
    }
    /// The public key as a PEM (SubjectPublicKeyInfo).
    pub fn public_pem(&self) -> String {
        pem("PUBLIC KEY", &self.public)
    }
    /// Signs `claims` with the usual header of an access token.
    pub fn jwt(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.name(), "typ": "at+jwt", "kid": self.kid}), claims)
    }
    /// Signs `claims` as a Security Event Token (RFC 8417).
    pub fn set(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.name(), "typ": "secevent+jwt", "kid": self.kid}), claims)
    }
    /// Signs `claims` under this very header, whatever it says.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(input.as_bytes(), &self.key, self.algorithm).expect("a signature");
        format!("{input}.{signature}")
    }
    /// The algorithm's name in a header.
    pub fn name(&self) -> Value {
        serde_json::to_value(self.algorithm).expect("a name")
    }
}

/// The claims of an ordinary assertion: `sub` of `iss` for `aud`, issued now, good for five minutes, with an id of its own.
pub fn claims(iss: &str, sub: &str, aud: &str) -> Value {
    let id = STANDARD.encode(fresh());
    json!({"iss": iss, "sub": sub, "aud": aud, "iat": now(), "exp": now() + 300, "jti": id})
}

/// The claims of a CAEP `credential-change` event about `subject` (a `sub_id`), dated `at`.
pub fn credential_change(iss: &str, aud: &str, subject: &Value, at: u64) -> Value {
    json!({
        "iss": iss, "aud": aud, "iat": now(), "jti": STANDARD.encode(fresh()), "sub_id": subject,
        "events": {"https://schemas.openid.net/secevent/caep/event-type/credential-change": {
            "credential_type": "app", "change_type": "create", "initiating_entity": "user",
            "reason_admin": {"en": "new authenticator app"}, "event_timestamp": at,
        }},
    })
}

/// A token with an empty signature that says `alg: none`.
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}

/// Twelve random bytes.
pub fn fresh() -> [u8; 12] {
    let mut bytes = [0; 12];
    aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
    bytes
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
