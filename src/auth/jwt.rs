//! Compact JWS (RFC 7515 section 3.1) with JWT claims (RFC 7519), parsed strictly and not yet believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::auth::json::{self, Fault};
use crate::auth::refusal::Refusal;

/// Longest token that is read, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;
/// Longest `kid`, `iss`, `sub` and `jti`, in bytes.
pub const MAX_NAME: usize = 1024;

/// A JWT that has been parsed and nothing more: signature, algorithm, issuer, type and times are still to be checked.
pub struct Token {
    signed: String,
    signature: String,
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    iss: String,
    claims: Map<String, Value>,
    replay: [u8; 32],
}

impl Token {
    /// Parses `text`, byte for byte: no space around it, no padding, no second spelling of a part.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_LENGTH {
            return Err(Refusal::TooLarge);
        }
        let parts: Vec<&str> = text.splitn(4, '.').collect();
        let [header, payload, signature] = parts.as_slice() else {
            return Err(Refusal::Parts);
        };
        // The decoder refuses padding and stray bits, so that a part has one spelling only.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Encoding);
        let (header_bytes, payload_bytes) = (decode(header)?, decode(payload)?);
        // An empty signature is no error of form: what is wrong with it is said when the algorithm or the signature is judged.
        decode(signature)?;
        let header_map = json::object(&header_bytes).map_err(fault)?;
        let claims = json::object(&payload_bytes).map_err(fault)?;
        if header_map.contains_key("crit") {
            return Err(Refusal::Critical);
        }
        let alg = parameter(&header_map, "alg")?.ok_or(Refusal::Header("alg"))?;
        let iss = match claims.get("iss") {
            None => return Err(Refusal::ClaimMissing("iss")),
            Some(Value::String(iss)) if iss.len() <= MAX_NAME => iss.clone(),
            Some(Value::String(_)) => return Err(Refusal::ClaimType { claim: "iss", found: "so long a string" }),
            Some(other) => return Err(Refusal::ClaimType { claim: "iss", found: json_type(other) }),
        };
        let signed = text[..header.len() + 1 + payload.len()].to_owned();
        let replay = replay(&iss, &claims, &signed)?;
        Ok(Token {
            signature: (*signature).to_owned(),
            alg,
            kid: parameter(&header_map, "kid")?,
            typ: parameter(&header_map, "typ")?,
            iss,
            claims,
            replay,
            signed,
        })
    }

    /// The issuer that the token claims to be from. Anybody can write that.
    pub fn unverified_iss(&self) -> &str {
        &self.iss
    }
    /// What single use is counted by: SHA-256 over `iss` and `jti`; without `jti` over the signed bytes, header and payload,
    /// never the signature, of which one message may have several.
    pub fn replay(&self) -> [u8; 32] {
        self.replay
    }
    pub(crate) fn signed(&self) -> &[u8] {
        self.signed.as_bytes()
    }
    pub(crate) fn signature(&self) -> &str {
        &self.signature
    }
    pub(crate) fn alg(&self) -> &str {
        &self.alg
    }
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }
    pub(crate) fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }
}

fn fault(fault: Fault) -> Refusal {
    match fault {
        Fault::Syntax => Refusal::Json,
        Fault::Deep => Refusal::Deep,
        Fault::Repeated(name) => Refusal::Repeated(name),
    }
}

fn parameter(header: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Refusal> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_NAME => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::Header(name)),
    }
}

/// Both kinds of input begin with a word and hold lengths, so that neither can be mistaken for the other.
fn replay(iss: &str, claims: &Map<String, Value>, signed: &str) -> Result<[u8; 32], Refusal> {
    let mut hash = Sha256::new();
    match claims.get("jti") {
        Some(Value::String(jti)) if jti.len() > MAX_NAME => {
            return Err(Refusal::ClaimType { claim: "jti", found: "so long a string" });
        }
        Some(Value::String(jti)) if !jti.is_empty() => {
            hash.update(b"jti");
            for part in [iss, jti] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
        }
        None | Some(Value::String(_)) => {
            hash.update(b"jws");
            hash.update(signed);
        }
        Some(other) => return Err(Refusal::ClaimType { claim: "jti", found: json_type(other) }),
    }
    Ok(hash.finalize().into())
}

pub(crate) const fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
