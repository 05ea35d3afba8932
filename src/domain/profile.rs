//! Profiles: what a set looks like and how it lives.

use std::time::Duration;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::crypto::secret::CodeText;
use crate::domain::alphabet::Alphabet;
use crate::domain::code::canonical;
use crate::domain::enrollment::OnEnrollment;
use crate::domain::set::Kind;
use crate::domain::throttle::Limits;
use crate::domain::time::Timestamp;
use crate::random::Random;

mod wire;

/// Which of the codes a retrieval hands out, and which one is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The one that is asked for, by default the lowest held; any held one is accepted.
    Any,
    /// Only the lowest held: codes are used in turn.
    Sequential,
}

/// What happens to the rest of a set whose account owed a new one for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLapse {
    /// It is refused.
    Revoke,
    /// It is shown as overdue.
    Flag,
}

/// How the codes of an issued set are kept (`crypto::verifier`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "kebab-case")]
#[cbor(index_only)]
pub enum Keeping {
    /// Stretched by argon2id, then HMAC'd: for codes of any strength.
    #[n(0)]
    Argon2id,
    /// HMAC'd: for codes of at least 112 bits (NIST SP 800-63B-4 section 3.1.2.2).
    #[n(1)]
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Who issues the codes. Never changes.
    pub kind: Kind,
    /// Exactly so many codes. Escrowed: any number if absent; issued: never absent.
    pub count: Option<u64>,
    /// Exactly so many characters a code (canonical form). Escrowed: any if absent; issued: never absent.
    pub length: Option<u64>,
    /// Only these characters (canonical form). Escrowed: any if absent; issued: never absent.
    pub alphabet: Option<Alphabet>,
    /// Issued: characters shown in a group, 0 for one piece.
    pub group: u64,
    /// Issued: how codes are kept.
    pub verifier: Keeping,
    /// In which order codes go out, or are accepted.
    pub order: Order,
    /// Warn when no more than so many codes remain.
    pub low_watermark: u64,
    /// A set older than this is refused.
    pub max_age: Option<Duration>,
    /// How long after the first use a new set is owed.
    pub regenerate_within: Duration,
    /// What happens when it does not come.
    pub on_lapse: OnLapse,
    /// How long the same caller with the same key gets the same answer again.
    pub reveal_window: Duration,
    /// How long ciphertexts and verifiers stay after a set has ended.
    pub destroy_after: Duration,
    /// So many wrong codes in a row lock the account for a while.
    pub max_failures: u64,
    /// For that while.
    pub lockout: Duration,
    /// What an enrollment does to older sets.
    #[serde(with = "wire::on_enrollment")]
    pub on_enrollment: OnEnrollment,
    /// Escrowed: whether codes may be retrieved at all.
    pub retrieval: bool,
    /// Until when somebody must have looked at this fallback again.
    pub review_by: Option<i64>,
    /// Whether a lapsed review refuses use.
    pub review_required: bool,
    /// How long fingerprints of codes are kept.
    pub fingerprint_retention: Duration,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            kind: Kind::Escrowed,
            count: None,
            length: None,
            alphabet: None,
            group: 4,
            verifier: Keeping::Argon2id,
            order: Order::Any,
            low_watermark: 3,
            max_age: None,
            regenerate_within: Duration::from_secs(24 * 3600),
            on_lapse: OnLapse::Flag,
            reveal_window: Duration::from_secs(300),
            destroy_after: Duration::ZERO,
            max_failures: 10,
            lockout: Duration::from_secs(15 * 60),
            on_enrollment: OnEnrollment::Supersede,
            retrieval: true,
            review_by: None,
            review_required: false,
            fingerprint_retention: Duration::from_secs(8760 * 3600),
        }
    }
}

impl Profile {
    /// The name of the built-in profile of sets that another system issued.
    pub const ESCROWED: &'static str = "escrowed";
    /// The name of the built-in profile of sets that are issued here.
    pub const ISSUED: &'static str = "issued";
    /// Most codes of an issued set: each costs a computation of 19 MiB when it is made.
    pub const MAX_ISSUED: u64 = 64;

    /// The built-in profile of this name, which every new mount has.
    pub fn built_in(name: &str) -> Option<Profile> {
        match name {
            Profile::ESCROWED => Some(Profile::default()),
            Profile::ISSUED => Some(Profile::of_kind(Kind::Issued)),
            _ => None,
        }
    }
    /// What a profile of this kind is when nothing else is said.
    fn of_kind(kind: Kind) -> Profile {
        match kind {
            Kind::Escrowed => Profile::default(),
            Kind::Issued => Profile {
                kind,
                count: Some(10),
                length: Some(16),
                alphabet: Some(Alphabet::Crockford32),
                ..Profile::default()
            },
        }
    }
    /// Whether its sets are issued here.
    pub fn issues(&self) -> bool {
        self.kind == Kind::Issued
    }
    /// How many wrong codes it stands.
    pub fn limits(&self) -> Limits {
        Limits { max_failures: self.max_failures, lockout: self.lockout }
    }

    /// Draws a set of codes (80 bits each where nothing else is said), none of them twice.
    pub fn draw(&self, random: &dyn Random) -> Vec<CodeText> {
        let default = Profile::of_kind(Kind::Issued);
        let (count, length) = (self.count.or(default.count), self.length.or(default.length));
        let alphabet = self.alphabet.unwrap_or(Alphabet::Crockford32);
        let mut codes: Vec<CodeText> = Vec::new();
        while (codes.len() as u64) < count.unwrap_or_default() {
            let code = alphabet.draw(length.unwrap_or_default(), self.group, random);
            if codes.iter().all(|other| other.expose() != code.expose()) {
                codes.push(code);
            }
        }
        codes
    }

    /// What this profile demands of codes and the given ones are not, by position.
    pub fn demands(&self, codes: &[CodeText]) -> Vec<String> {
        let mut errors = Vec::new();
        if let Some(count) = self.count.filter(|count| *count != codes.len() as u64) {
            errors.push(format!("the profile wants {count} codes, not {}", codes.len()));
        }
        for (index, code) in codes.iter().enumerate() {
            let plain = canonical(code.expose());
            if let Some(length) = self.length.filter(|length| plain.chars().count() as u64 != *length) {
                errors.push(format!("code {} has not the {length} characters that the profile wants", index + 1));
            } else if self.alphabet.is_some_and(|alphabet| !alphabet.holds(&plain)) {
                errors.push(format!("code {} has characters outside the profile's alphabet", index + 1));
            }
        }
        errors
    }

    /// Why the profile refuses retrieval at `now`, if it does.
    pub fn refuses_retrieval(&self, now: Timestamp) -> Option<&'static str> {
        if self.retrieval { self.refuses_use(now) } else { Some("its profile forbids retrieval") }
    }
    /// Why the profile refuses any use at `now`, if it does.
    pub fn refuses_use(&self, now: Timestamp) -> Option<&'static str> {
        let lapsed = self.review_required && self.review_by.is_some_and(|by| now.millis() > by);
        lapsed.then_some("its review has lapsed")
    }
}
