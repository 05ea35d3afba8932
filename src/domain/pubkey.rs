//! Public keys of issuers: PEM (RFC 7468) and JWK (RFC 7517, RFC 7518 section 6, RFC 8037), each parsed once into a prepared key
//! that knows which algorithms it may verify. A private or symmetric key is never one.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The algorithms that an issuer may sign with, by their names in RFC 7518 and RFC 8037.
pub const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// The algorithm of that exact name; `none`, HMAC and unknown names have none.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

/// What a key is made of. An issuer signs with keys of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// RSA, 2048 to 8192 bits.
    Rsa,
    /// P-256 or P-384.
    Ec,
    /// Ed25519.
    Ed,
}

impl Family {
    /// The family that verifies `algorithm`; HMAC has none.
    pub const fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => Some(Family::Ec),
            Algorithm::EdDSA => Some(Family::Ed),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => None,
            _ => Some(Family::Rsa),
        }
    }
    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Rsa => "RSA",
            Family::Ec => "EC",
            Family::Ed => "Ed25519",
        }
    }
}

/// RSA's algorithms (RFC 7518 sections 3.3 and 3.5), each with what verifies it.
const RSA: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::RS256, &RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::RS384, &RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::RS512, &RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::PS256, &RSA_PSS_2048_8192_SHA256),
    (Algorithm::PS384, &RSA_PSS_2048_8192_SHA384),
    (Algorithm::PS512, &RSA_PSS_2048_8192_SHA512),
];

/// A public key, checked (point on its curve, modulus of 2048 bits or more), with the algorithms it may verify, prepared once for
/// each of them.
#[derive(Clone)]
pub struct PublicKey {
    kid: Option<String>,
    family: Family,
    prepared: Arc<[(Algorithm, ParsedPublicKey)]>,
    fingerprint: [u8; 32],
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublicKey")
            .field("kid", &self.kid)
            .field("algorithms", &self.prepared.iter().map(|(algorithm, _)| algorithm).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// Reads one PEM block: `PUBLIC KEY` (RFC 5280 SubjectPublicKeyInfo) or `RSA PUBLIC KEY` (PKCS#1). The error says what is
    /// wrong with it.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        if pem.contains("PRIVATE KEY-----") {
            return Err(
                "this is a private key: give its public half only, and replace the pair, which has been seen".into()
            );
        }
        if pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err("this is a certificate; take the key out with \"openssl x509 -noout -pubkey\"".into());
        }
        if pem.matches("-----BEGIN ").count() != 1 {
            return Err("each item holds exactly one PEM block".into());
        }
        let rsa = pem.contains("-----BEGIN RSA PUBLIC KEY-----");
        if !rsa && !pem.contains("-----BEGIN PUBLIC KEY-----") {
            return Err("a PEM block PUBLIC KEY or RSA PUBLIC KEY".into());
        }
        let bytes = pem.as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(bytes) {
            let der = key.try_get_as_bytes().map_err(|_| UNREADABLE)?;
            let (n, e) =
                (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(der).map_err(|_| UNREADABLE)?;
            return Self::rsa(&n, &e);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(bytes) {
            let point = key.try_get_as_bytes().map_err(|_| UNREADABLE)?;
            return Self::ec(point, None);
        }
        if let Ok(key) = DecodingKey::from_ed_pem(bytes) {
            return Self::ed(key.try_get_as_bytes().map_err(|_| UNREADABLE)?);
        }
        Err(UNREADABLE.into())
    }

    /// Reads one JWK. `Ok(None)` if it is a key for something else (`use`, `key_ops`) or of a type that no algorithm here
    /// verifies; the error says what is wrong with it. Private and symmetric keys are errors.
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Option<Self>, String> {
        if let Some(private) =
            ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().find(|name| jwk.contains_key(**name))
        {
            return Err(format!("member \"{private}\" belongs to a private or shared key; give public members only"));
        }
        let text = |name: &str| match jwk.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("member \"{name}\" must be a string")),
        };
        let bytes = |name: &str| {
            let text = text(name)?.ok_or_else(|| format!("member \"{name}\" is missing"))?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("member \"{name}\" must be unpadded base64url"))
        };
        if text("use")?.is_some_and(|purpose| purpose != "sig") {
            return Ok(None);
        }
        match jwk.get("key_ops") {
            None => {}
            Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => {}
            Some(Value::Array(_)) => return Ok(None),
            Some(_) => return Err("member \"key_ops\" must be an array".into()),
        }
        let kty = text("kty")?.ok_or("member \"kty\" is missing")?;
        let mut key = match (kty, text("crv")?) {
            ("RSA", _) => Self::rsa(&bytes("n")?, &bytes("e")?)?,
            ("EC", Some(crv @ ("P-256" | "P-384"))) => {
                let mut point = vec![4];
                point.extend(bytes("x")?);
                point.extend(bytes("y")?);
                Self::ec(&point, Some(crv))?
            }
            ("OKP", Some("Ed25519")) => Self::ed(&bytes("x")?)?,
            ("EC" | "OKP", None) => return Err("member \"crv\" is missing".into()),
            _ => return Ok(None),
        };
        if let Some(named) = text("alg")? {
            let named = algorithm(named);
            key.prepared = key.prepared.iter().filter(|(known, _)| named == Some(*known)).cloned().collect();
            if key.prepared.is_empty() {
                return Ok(None);
            }
        }
        key.kid = text("kid")?.map(str::to_owned);
        Ok(Some(key))
    }

    fn rsa(n: &[u8], e: &[u8]) -> Result<Self, String> {
        let n = &n[n.iter().take_while(|byte| **byte == 0).count()..];
        let e = &e[e.iter().take_while(|byte| **byte == 0).count()..];
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(format!("an RSA key of 2048 to 8192 bits, not {bits}"));
        }
        if e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
            return Err("an RSA key with an odd public exponent of 3 or more".into());
        }
        let prepared = RSA
            .into_iter()
            .map(|(algorithm, parameters)| {
                let parsed = RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters);
                parsed.map(|key| (algorithm, key)).map_err(|_| "an RSA key that the cryptographic library accepts")
            })
            .collect::<Result<_, _>>()?;
        Ok(PublicKey { kid: None, family: Family::Rsa, prepared, fingerprint: fingerprint(&[n, e]) })
    }

    fn ec(point: &[u8], crv: Option<&str>) -> Result<Self, String> {
        let (curve, algorithm): (&'static dyn VerificationAlgorithm, _) = match point.len() {
            65 if crv.is_none_or(|crv| crv == "P-256") => (&ECDSA_P256_SHA256_FIXED, Algorithm::ES256),
            97 if crv.is_none_or(|crv| crv == "P-384") => (&ECDSA_P384_SHA384_FIXED, Algorithm::ES384),
            _ => return Err("an uncompressed point of P-256 or P-384".into()),
        };
        let prepared = [(algorithm, on_curve(curve, point)?)].into();
        Ok(PublicKey { kid: None, family: Family::Ec, prepared, fingerprint: fingerprint(&[point]) })
    }

    fn ed(point: &[u8]) -> Result<Self, String> {
        if point.len() != 32 {
            return Err("an Ed25519 key of 32 bytes".into());
        }
        let prepared = [(Algorithm::EdDSA, on_curve(&ED25519, point)?)].into();
        Ok(PublicKey { kid: None, family: Family::Ed, prepared, fingerprint: fingerprint(&[point]) })
    }

    /// The `kid` of the JWK, if it has one; a PEM has none.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }
    /// What the key is made of.
    pub fn family(&self) -> Family {
        self.family
    }
    /// SHA-256 over what the key is made of, each number after its length: the same for the same key, however it was written.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
    /// Whether the key may verify `algorithm`.
    pub fn verifies(&self, algorithm: Algorithm) -> bool {
        self.of(algorithm).is_some()
    }
    /// Whether `signature` (base64url) is this key's over `signed` under `algorithm` (RFC 7515 section 5.2).
    pub fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &str) -> bool {
        let (Some(key), Ok(signature)) = (self.of(algorithm), URL_SAFE_NO_PAD.decode(signature)) else { return false };
        key.verify_sig(signed, &signature).is_ok()
    }

    fn of(&self, algorithm: Algorithm) -> Option<&ParsedPublicKey> {
        self.prepared.iter().find(|(known, _)| *known == algorithm).map(|(_, key)| key)
    }
}

fn fingerprint(numbers: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for number in numbers {
        hash.update((number.len() as u64).to_be_bytes());
        hash.update(number);
    }
    hash.finalize().into()
}

const UNREADABLE: &str = "a public key of RSA, P-256, P-384 or Ed25519 in PEM form";

fn on_curve(curve: &'static dyn VerificationAlgorithm, point: &[u8]) -> Result<ParsedPublicKey, String> {
    ParsedPublicKey::new(curve, point).map_err(|_| "a point that is on its curve".to_owned())
}
