//! What is kept of a token: whose it is and how long it lives. The token itself is nowhere; its keyed hash is the key.
//!
//! CBOR (RFC 8949), an array that begins with the format number.

use std::time::Duration;

use minicbor::{Decode, Encode};
use serde_json::{Map, Value};

use crate::auth::{Assertion, Caller, Presented};
use crate::domain::time::Timestamp;
use crate::error::{Error, Result};
use crate::storage::format;

/// The format that this version writes.
const FORMAT: u8 = 1;

/// A token's record.
#[derive(Debug, Clone)]
pub struct TokenRecord {
    /// Names the token without being it.
    pub accessor: String,
    /// Whose it is.
    pub holder: Holder,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// How long it lives from its issue or renewal; zero for ever.
    pub ttl: Duration,
    /// How long renewals may carry it from its issue; zero where it lives for ever.
    pub max_ttl: Duration,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last renewed.
    pub renewed_at: Option<Timestamp>,
}

/// Whose a token is.
#[derive(Debug, Clone)]
pub enum Holder {
    /// The operator's, made at initialisation.
    Root,
    /// That of a JWT login.
    Login(Box<LoginHolder>),
}

/// What a login left in its token.
#[derive(Debug, Clone)]
pub struct LoginHolder {
    /// The role of the login.
    pub role: String,
    /// The claims it was judged on.
    pub assertion: Assertion,
    /// How lists call it.
    pub display_name: String,
    /// Its policies, sorted.
    pub policies: Vec<String>,
    /// What it says of itself.
    pub metadata: Map<String, Value>,
}

impl TokenRecord {
    /// Whether it lives at `now`.
    pub fn lives(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
    /// Seconds it has left at `now`; zero for one that lives for ever.
    pub fn remaining(&self, now: Timestamp) -> u64 {
        self.expires_at.map_or(0, |end| end.since(now).as_secs())
    }
    /// The caller it makes of who sends it.
    pub fn caller(&self) -> Caller {
        match &self.holder {
            Holder::Root => Caller::Root { accessor: self.accessor.clone() },
            Holder::Login(login) => Caller::Login {
                accessor: self.accessor.clone(),
                role: login.role.clone(),
                assertion: login.assertion.clone(),
            },
        }
    }
    /// Its policies.
    pub fn policies(&self) -> Vec<String> {
        match &self.holder {
            Holder::Root => vec!["root".to_owned()],
            Holder::Login(login) => login.policies.clone(),
        }
    }

    /// The bytes to store.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let login = match &self.holder {
            Holder::Root => None,
            Holder::Login(login) => Some(WireLogin::of(login)),
        };
        let wire = Wire {
            format: FORMAT,
            accessor: self.accessor.as_str(),
            issued_at: self.issued_at,
            ttl: self.ttl.as_secs(),
            max_ttl: self.max_ttl.as_secs(),
            expires_at: self.expires_at,
            renewed_at: self.renewed_at,
            login,
        };
        minicbor::to_vec(&wire).map_err(|error| Error::internal(error.to_string()))
    }

    /// Reads what [`TokenRecord::encode`] wrote. The error says what is wrong, never what the record holds.
    pub fn decode(bytes: &[u8]) -> Result<TokenRecord, &'static str> {
        if format::is_newer(bytes, FORMAT) {
            return Err("a token record of a newer format: start the version that wrote it");
        }
        let wire: Wire<String, Vec<String>> = minicbor::decode(bytes).map_err(|_| "not a token record")?;
        if wire.format != FORMAT {
            return Err("not a token record");
        }
        let holder = match wire.login {
            None => Holder::Root,
            Some(login) => Holder::Login(Box::new(login.read()?)),
        };
        Ok(TokenRecord {
            accessor: wire.accessor,
            holder,
            issued_at: wire.issued_at,
            ttl: Duration::from_secs(wire.ttl),
            max_ttl: Duration::from_secs(wire.max_ttl),
            expires_at: wire.expires_at,
            renewed_at: wire.renewed_at,
        })
    }
}

/// Written from borrowed texts and lists, read as owned ones.
#[derive(Encode, Decode)]
struct Wire<T, L> {
    #[n(0)]
    format: u8,
    #[n(1)]
    accessor: T,
    #[n(2)]
    issued_at: Timestamp,
    #[n(3)]
    ttl: u64,
    #[n(4)]
    max_ttl: u64,
    #[n(5)]
    expires_at: Option<Timestamp>,
    #[n(6)]
    renewed_at: Option<Timestamp>,
    #[n(7)]
    login: Option<WireLogin<T, L>>,
}

#[derive(Encode, Decode)]
struct WireLogin<T, L> {
    #[n(0)]
    role: T,
    #[n(1)]
    display_name: T,
    #[n(2)]
    policies: L,
    /// JSON, as are the claims.
    #[n(3)]
    metadata: String,
    #[n(4)]
    issuer: T,
    #[n(5)]
    iss: T,
    #[n(6)]
    subject: T,
    #[n(7)]
    audiences: L,
    #[n(8)]
    issued_at: Timestamp,
    #[n(9)]
    expires_at: Timestamp,
    #[n(10)]
    claims: String,
    #[cbor(n(11), with = "minicbor::bytes")]
    replay: [u8; 32],
    #[n(12)]
    trust_email: bool,
}

impl<'h> WireLogin<&'h str, &'h [String]> {
    fn of(login: &'h LoginHolder) -> Self {
        let assertion = &login.assertion;
        WireLogin {
            role: &login.role,
            display_name: &login.display_name,
            policies: &login.policies,
            metadata: json(&login.metadata),
            issuer: &assertion.issuer,
            iss: &assertion.iss,
            subject: &assertion.subject,
            audiences: &assertion.audiences,
            issued_at: assertion.issued_at,
            expires_at: assertion.expires_at,
            claims: json(&assertion.claims),
            replay: assertion.replay,
            trust_email: assertion.trust_email,
        }
    }
}

impl WireLogin<String, Vec<String>> {
    fn read(self) -> Result<LoginHolder, &'static str> {
        let map = |text: &str| serde_json::from_str(text).map_err(|_| "a token record with broken claims");
        Ok(LoginHolder {
            assertion: Assertion {
                issuer: self.issuer,
                iss: self.iss,
                subject: self.subject,
                audiences: self.audiences,
                issued_at: self.issued_at,
                expires_at: self.expires_at,
                claims: map(&self.claims)?,
                presented: Presented::Login,
                replay: self.replay,
                trust_email: self.trust_email,
            },
            role: self.role,
            display_name: self.display_name,
            policies: self.policies,
            metadata: map(&self.metadata)?,
        })
    }
}

fn json(map: &Map<String, Value>) -> String {
    serde_json::to_string(map).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A login's holder for tests.
    pub(crate) fn login() -> LoginHolder {
        let fields = |value: Value| value.as_object().unwrap().clone();
        LoginHolder {
            role: "oncall".into(),
            assertion: Assertion {
                issuer: "corp".into(),
                iss: "https://idp.example".into(),
                subject: "jane".into(),
                audiences: vec!["sparekey".into()],
                issued_at: Timestamp::from_secs(1_000),
                expires_at: Timestamp::from_secs(2_000),
                claims: fields(serde_json::json!({"sub": "jane", "groups": ["a", "b"], "n": 1})),
                presented: Presented::Request,
                replay: [7; 32],
                trust_email: true,
            },
            display_name: "jwt-jane".into(),
            policies: vec!["default".into(), "oncall".into()],
            metadata: fields(serde_json::json!({"role": "oncall", "subject": "jane"})),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was_and_its_claims_count_as_of_login() {
        let record = TokenRecord {
            accessor: "acc".into(),
            holder: Holder::Login(Box::new(login())),
            issued_at: Timestamp::from_secs(5),
            ttl: Duration::from_secs(600),
            max_ttl: Duration::from_secs(3600),
            expires_at: Some(Timestamp::from_secs(605)),
            renewed_at: Some(Timestamp::from_secs(6)),
        };
        let read = TokenRecord::decode(&record.encode().unwrap()).unwrap();
        let Holder::Login(held) = &read.holder else { panic!("a login") };
        assert_eq!(held.assertion.presented, Presented::Login);
        assert_eq!(held.assertion.claims, login().assertion.claims);
        assert_eq!(format!("{read:?}").replace("Login, replay", "Request, replay"), format!("{record:?}"));
    }

    #[test]
    fn root_lives_for_ever_and_a_login_until_its_end() {
        let mut record = TokenRecord {
            accessor: "acc".into(),
            holder: Holder::Root,
            issued_at: Timestamp::from_secs(5),
            ttl: Duration::ZERO,
            max_ttl: Duration::ZERO,
            expires_at: None,
            renewed_at: None,
        };
        let read = TokenRecord::decode(&record.encode().unwrap()).unwrap();
        assert!(read.lives(Timestamp::from_secs(i64::MAX / 2000)));
        assert!(matches!(read.caller(), Caller::Root { accessor } if accessor == "acc"));
        record.expires_at = Some(Timestamp::from_secs(10));
        assert!(record.lives(Timestamp::from_millis(9_999)));
        assert!(!record.lives(Timestamp::from_secs(10)));
        assert_eq!(record.remaining(Timestamp::from_secs(7)), 3);
    }

    #[test]
    fn broken_and_newer_records_are_errors() {
        assert!(TokenRecord::decode(b"").is_err());
        assert!(TokenRecord::decode(b"\x00\xff").is_err());
        let record = TokenRecord {
            accessor: "acc".into(),
            holder: Holder::Root,
            issued_at: Timestamp::from_secs(5),
            ttl: Duration::ZERO,
            max_ttl: Duration::ZERO,
            expires_at: None,
            renewed_at: None,
        };
        let mut bytes = record.encode().unwrap();
        assert_eq!(bytes[1], FORMAT);
        bytes[1] = 9;
        assert!(TokenRecord::decode(&bytes).unwrap_err().contains("newer"));
        assert!(TokenRecord::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}
