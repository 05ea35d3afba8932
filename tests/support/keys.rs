//! Key pairs and hand-made tokens: everything a forger could write, and what an issuer writes.

#![allow(dead_code, reason = "each test uses a part of it")]

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, Ed25519KeyPair, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A private key that can sign.
pub enum Pair {
    Rsa(RsaPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Pair {
    pub fn rsa() -> Self {
        Pair::Rsa(RsaPair::generate(KeySize::Rsa2048).unwrap())
    }
    pub fn p256() -> Self {
        Pair::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }
    pub fn p384() -> Self {
        Pair::P384(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap())
    }
    pub fn ed() -> Self {
        Pair::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// The public half as SubjectPublicKeyInfo in PEM.
    pub fn pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = match self {
            Pair::Rsa(pair) => pair.public_key().as_der().unwrap(),
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_der().unwrap(),
            Pair::Ed(pair) => pair.public_key().as_der().unwrap(),
        };
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The public half's bytes: a point, or PKCS#1 for RSA.
    pub fn raw(&self) -> Vec<u8> {
        match self {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// The public half as JWK, with this `kid` if there is one.
    pub fn jwk(&self, kid: Option<&str>) -> Value {
        let raw = self.raw();
        let point = |crv: &str, size: usize| json!({"kty": "EC", "crv": crv, "x": b64(&raw[1..=size]), "y": b64(&raw[1 + size..])});
        let mut jwk = match self {
            Pair::Rsa(_) => {
                let (n, e) = rsa_parts(&raw);
                json!({"kty": "RSA", "n": b64(&n), "e": b64(&e), "use": "sig"})
            }
            Pair::P256(_) => point("P-256", 32),
            Pair::P384(_) => point("P-384", 48),
            Pair::Ed(_) => json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&raw)}),
        };
        if let Some(kid) = kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    /// Signs as `alg` says; with RSA any of RS and PS.
    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match alg {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut out).unwrap();
                out
            }
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// An ES256 signature in DER instead of the fixed form of RFC 7518.
    pub fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let Pair::P256(pair) = self else { panic!("P-256 only") };
        let pkcs8 = pair.to_pkcs8v1().unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref()).unwrap();
        pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }
}

/// HMAC of `message`, as the HS algorithms have it.
pub fn hmac(alg: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let hash = match alg {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
}

/// Unpadded base64url.
pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The two signed parts, from texts.
pub fn signed(header: &str, payload: &str) -> String {
    format!("{}.{}", b64(header), b64(payload))
}

/// The signed parts with a signature.
pub fn with_signature(signed: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{signed}.{}", b64(signature))
}

pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Modulus and exponent out of PKCS#1 (RFC 8017 appendix A.1.1).
pub fn rsa_parts(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    fn take(der: &[u8]) -> (&[u8], &[u8]) {
        let (length, at) = match der[1] {
            short @ 0..=0x7f => (usize::from(short), 2),
            0x81 => (usize::from(der[2]), 3),
            _ => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
        };
        (&der[at..at + length], &der[at + length..])
    }
    let (inner, _) = take(der);
    let (n, rest) = take(inner);
    let (e, _) = take(rest);
    (n.iter().copied().skip_while(|byte| *byte == 0).collect(), e.to_vec())
}
