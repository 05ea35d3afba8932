//! Profiles: what a set looks like and how it lives.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::crypto::secret::CodeText;
use crate::domain::code::{MAX_CODES, canonical};
use crate::domain::enrollment::OnEnrollment;
use crate::domain::fields::{Fields, Given};
use crate::domain::time::Timestamp;
use crate::error::{Error, Result};

/// Longest `reveal_window`.
const MAX_REVEAL: Duration = Duration::from_secs(24 * 3600);

/// Which of the codes a retrieval hands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// The one that is asked for, by default the lowest held.
    Any,
    /// Only the lowest held: the provider accepts them in turn.
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

/// The characters a profile wants codes to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Alphabet {
    /// Crockford's base 32.
    Crockford32,
    /// 0-9.
    Digits,
    /// 0-9 a-f.
    Hex,
    /// 0-9 a-z.
    Alphanumeric,
}

impl Alphabet {
    fn holds(self, canonical: &str) -> bool {
        canonical.bytes().all(|b| match self {
            Alphabet::Crockford32 => b.is_ascii_digit() || (b.is_ascii_lowercase() && b != b'u'),
            Alphabet::Digits => b.is_ascii_digit(),
            Alphabet::Hex => b.is_ascii_hexdigit(),
            Alphabet::Alphanumeric => b.is_ascii_alphanumeric(),
        })
    }
}

/// A profile of kind `escrowed`: sets that another system issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// Exactly so many codes, if set.
    pub count: Option<u64>,
    /// Exactly so many characters a code (canonical form), if set.
    pub length: Option<u64>,
    /// Only these characters (canonical form), if set.
    pub alphabet: Option<Alphabet>,
    /// In which order codes go out.
    pub order: Order,
    /// Warn when no more than so many codes remain.
    pub low_watermark: u64,
    /// A set older than this is refused.
    pub max_age: Option<Duration>,
    /// How long after the first retrieval a new set is owed.
    pub regenerate_within: Duration,
    /// What happens when it does not come.
    pub on_lapse: OnLapse,
    /// How long the same caller with the same key sees the same code again.
    pub reveal_window: Duration,
    /// How long ciphertexts stay after a set has ended.
    pub destroy_after: Duration,
    /// What an enrollment does to older sets.
    #[serde(with = "on_enrollment")]
    pub on_enrollment: OnEnrollment,
    /// Whether codes may be retrieved at all.
    pub retrieval: bool,
    /// Until when somebody must have looked at this fallback again.
    pub review_by: Option<i64>,
    /// Whether a lapsed review refuses retrieval.
    pub review_required: bool,
    /// How long fingerprints of codes are kept.
    pub fingerprint_retention: Duration,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            count: None,
            length: None,
            alphabet: None,
            order: Order::Any,
            low_watermark: 3,
            max_age: None,
            regenerate_within: Duration::from_secs(24 * 3600),
            on_lapse: OnLapse::Flag,
            reveal_window: Duration::from_secs(300),
            destroy_after: Duration::ZERO,
            on_enrollment: OnEnrollment::Supersede,
            retrieval: true,
            review_by: None,
            review_required: false,
            fingerprint_retention: Duration::from_secs(8760 * 3600),
        }
    }
}

impl Profile {
    /// The name of the profile that every new mount has.
    pub const ESCROWED: &'static str = "escrowed";

    /// Applies a write: given fields replace, absent ones stay, `null` resets.
    pub fn update(old: Option<&Profile>, fields: &mut Fields) -> Result<Profile> {
        let default = Profile::default();
        let was = old.cloned().unwrap_or_default();
        match fields.string("kind")?.value().as_deref() {
            None | Some("escrowed") => {}
            Some("issued") if old.is_some() => {
                return Err(Error::field("kind", "cannot be changed; make another profile"));
            }
            Some("issued") => return Err(Error::field("kind", "issued sets are not built yet; use escrowed")),
            Some(_) => return Err(Error::field("kind", "escrowed")),
        }
        let profile = Profile {
            count: optional(fields.integer("count", 1, MAX_CODES as u64)?, was.count),
            length: optional(fields.integer("length", 4, 256)?, was.length),
            alphabet: optional(
                word(
                    fields,
                    "alphabet",
                    |text| {
                        Some(match text {
                            "crockford32" => Alphabet::Crockford32,
                            "digits" => Alphabet::Digits,
                            "hex" => Alphabet::Hex,
                            "alphanumeric" => Alphabet::Alphanumeric,
                            _ => return None,
                        })
                    },
                    "crockford32, digits, hex or alphanumeric",
                )?,
                was.alphabet,
            ),
            order: word(
                fields,
                "order",
                |text| match text {
                    "any" => Some(Order::Any),
                    "sequential" => Some(Order::Sequential),
                    _ => None,
                },
                "any or sequential",
            )?
            .over(was.order, default.order),
            low_watermark: fields
                .integer("low_watermark", 0, MAX_CODES as u64)?
                .over(was.low_watermark, default.low_watermark),
            max_age: optional(fields.duration("max_age")?, was.max_age).filter(|age| !age.is_zero()),
            regenerate_within: fields
                .duration("regenerate_within")?
                .over(was.regenerate_within, default.regenerate_within),
            on_lapse: word(
                fields,
                "on_lapse",
                |text| match text {
                    "revoke" => Some(OnLapse::Revoke),
                    "flag" => Some(OnLapse::Flag),
                    _ => None,
                },
                "revoke or flag",
            )?
            .over(was.on_lapse, default.on_lapse),
            reveal_window: fields.duration("reveal_window")?.over(was.reveal_window, default.reveal_window),
            destroy_after: fields.duration("destroy_after")?.over(was.destroy_after, default.destroy_after),
            on_enrollment: word(fields, "on_enrollment", on_enrollment::parse, "supersede, quarantine or notify")?
                .over(was.on_enrollment, default.on_enrollment),
            retrieval: word(
                fields,
                "retrieval",
                |text| match text {
                    "allowed" => Some(true),
                    "forbidden" => Some(false),
                    _ => None,
                },
                "allowed or forbidden",
            )?
            .over(was.retrieval, default.retrieval),
            review_by: optional(fields.time("review_by")?.map(Timestamp::millis), was.review_by),
            review_required: fields.boolean("review_required")?.over(was.review_required, default.review_required),
            fingerprint_retention: fields
                .duration("fingerprint_retention")?
                .over(was.fingerprint_retention, default.fingerprint_retention),
        };
        for name in ["group", "max_failures", "lockout", "verifier"] {
            if let Given::Value(_) = fields.take(name) {
                return Err(Error::field(name, "belongs to issued sets, which are not built yet"));
            }
        }
        fields.refuse_unknown()?;
        if profile.reveal_window > MAX_REVEAL {
            return Err(Error::field("reveal_window", "at most 24h"));
        }
        // What is forgotten can come in again: a day is the least that still meets a file that lies about.
        if profile.fingerprint_retention < Duration::from_secs(86_400) {
            return Err(Error::field("fingerprint_retention", "at least 24h"));
        }
        if profile.review_required && profile.review_by.is_none() {
            return Err(Error::field("review_required", "needs review_by"));
        }
        Ok(profile)
    }

    /// The canonical form that a read answers; writing it back changes nothing.
    pub fn wire(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("kind", json!("escrowed"));
        put("count", json!(self.count));
        put("length", json!(self.length));
        put("alphabet", json!(self.alphabet));
        put("order", json!(self.order));
        put("low_watermark", json!(self.low_watermark));
        put("max_age", json!(self.max_age.map(|age| age.as_secs())));
        put("regenerate_within", json!(self.regenerate_within.as_secs()));
        put("on_lapse", json!(self.on_lapse));
        put("reveal_window", json!(self.reveal_window.as_secs()));
        put("destroy_after", json!(self.destroy_after.as_secs()));
        put("on_enrollment", json!(on_enrollment::word(self.on_enrollment)));
        put("retrieval", json!(if self.retrieval { "allowed" } else { "forbidden" }));
        put("review_by", json!(self.review_by.map(|by| Timestamp::from_millis(by).to_string())));
        put("review_required", json!(self.review_required));
        put("fingerprint_retention", json!(self.fingerprint_retention.as_secs()));
        map
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
        if !self.retrieval {
            Some("its profile forbids retrieval")
        } else if self.review_required && self.review_by.is_some_and(|by| now.millis() > by) {
            Some("its review has lapsed")
        } else {
            None
        }
    }
}

fn optional<T>(given: Given<T>, was: Option<T>) -> Option<T> {
    given.map(Some).over(was, None)
}

fn word<T>(
    fields: &mut Fields,
    name: &'static str,
    read: impl Fn(&str) -> Option<T>,
    wanted: &str,
) -> Result<Given<T>> {
    match fields.string(name)? {
        Given::Absent => Ok(Given::Absent),
        Given::Reset => Ok(Given::Reset),
        Given::Value(text) => read(&text).map(Given::Value).ok_or_else(|| Error::field(name, wanted)),
    }
}

mod on_enrollment {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::OnEnrollment;

    pub(super) const fn word(value: OnEnrollment) -> &'static str {
        match value {
            OnEnrollment::Supersede => "supersede",
            OnEnrollment::Quarantine => "quarantine",
            OnEnrollment::Notify => "notify",
        }
    }
    pub(super) fn parse(text: &str) -> Option<OnEnrollment> {
        [OnEnrollment::Supersede, OnEnrollment::Quarantine, OnEnrollment::Notify].into_iter().find(|v| word(*v) == text)
    }
    pub(super) fn serialize<S: Serializer>(value: &OnEnrollment, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(word(*value))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OnEnrollment, D::Error> {
        let text = String::deserialize(from)?;
        parse(&text).ok_or_else(|| D::Error::custom("unknown on_enrollment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(old: Option<&Profile>, body: Value) -> Result<Profile> {
        let Value::Object(map) = body else { panic!("an object") };
        Profile::update(old, &mut Fields::new(map))
    }

    #[test]
    fn writing_back_what_was_read_changes_nothing() {
        let full = json!({"kind": "escrowed", "count": 16, "length": 10, "alphabet": "hex", "order": "sequential", "low_watermark": 2,
            "max_age": "90d", "regenerate_within": "8h", "on_lapse": "revoke", "reveal_window": 60, "destroy_after": "1d",
            "on_enrollment": "quarantine", "retrieval": "forbidden", "review_by": "2027-01-01T00:00:00Z", "review_required": true,
            "fingerprint_retention": "720h"});
        for profile in [write(None, json!({})).unwrap(), write(None, full).unwrap()] {
            let again = write(Some(&profile), Value::Object(profile.wire())).unwrap();
            assert_eq!(again, profile);
            let stored: Profile = serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap();
            assert_eq!(stored, profile);
        }
    }

    #[test]
    fn absent_fields_stay_and_null_resets() {
        let first = write(None, json!({"reveal_window": "1m", "max_age": "30d", "count": 8})).unwrap();
        let second = write(Some(&first), json!({"reveal_window": null, "count": null})).unwrap();
        assert_eq!(second.reveal_window, Duration::from_secs(300));
        assert_eq!(second.count, None);
        assert_eq!(second.max_age, Some(Duration::from_secs(30 * 86_400)));
    }

    #[test]
    fn bad_fields_are_named() {
        for (body, field) in [
            (json!({"reveal_windw": 5}), "reveal_windw"),
            (json!({"reveal_window": "25h"}), "reveal_window"),
            (json!({"reveal_window": 1.5}), "reveal_window"),
            (json!({"fingerprint_retention": "23h"}), "fingerprint_retention"),
            (json!({"kind": "issued"}), "kind"),
            (json!({"order": "random"}), "order"),
            (json!({"count": 513}), "count"),
            (json!({"review_required": true}), "review_required"),
            (json!({"lockout": "15m"}), "lockout"),
            (json!({"alphabet": "emoji"}), "alphabet"),
        ] {
            let error = write(None, body).unwrap_err();
            assert!(error.public().starts_with(&format!("{field}: ")), "{error}");
        }
    }
}
