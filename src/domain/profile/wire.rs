//! How a profile is written and read.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Keeping, OnLapse, Order, Profile};
use crate::domain::alphabet::Alphabet;
use crate::domain::code::MAX_CODES;
use crate::domain::fields::{Fields, Given};
use crate::domain::set::Kind;
use crate::domain::throttle::MOST_FAILURES;
use crate::domain::time::Timestamp;
use crate::error::{Error, Result};

/// Longest `reveal_window` and `lockout`, shortest `fingerprint_retention`.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// NIST SP 800-63B-4 section 4.2.1.1: a saved recovery code has at least this many bits.
const SAVED_BITS: f64 = 64.0;
/// NIST SP 800-63B-4 section 3.1.2.2: below this a look-up secret is kept under a password hash.
const STRONG_BITS: f64 = 112.0;

impl Profile {
    /// Applies a write: given fields replace, absent ones stay, `null` resets.
    pub fn update(old: Option<&Profile>, fields: &mut Fields) -> Result<Profile> {
        let kind = match word(fields, "kind", kind_of, "escrowed or issued")? {
            Given::Value(kind) if old.is_some_and(|old| old.kind != kind) => {
                return Err(Error::field("kind", "cannot be changed; make another profile"));
            }
            Given::Value(kind) => kind,
            Given::Absent | Given::Reset => old.map_or(Kind::Escrowed, |old| old.kind),
        };
        let default = Profile::of_kind(kind);
        let was = old.cloned().unwrap_or_else(|| default.clone());
        let most = if kind == Kind::Issued { Profile::MAX_ISSUED } else { MAX_CODES as u64 };
        let profile = Profile {
            kind,
            count: fields.integer("count", 1, most)?.map(Some).over(was.count, default.count),
            length: fields.integer("length", 4, 256)?.map(Some).over(was.length, default.length),
            alphabet: word(fields, "alphabet", Alphabet::parse, "crockford32, digits, hex or alphanumeric")?
                .map(Some)
                .over(was.alphabet, default.alphabet),
            group: of(kind, Kind::Issued, fields, "group", |fields| fields.integer("group", 0, 256))?
                .over(was.group, default.group),
            verifier: of(kind, Kind::Issued, fields, "verifier", |fields| {
                word(fields, "verifier", keeping, "argon2id or hmac-sha256")
            })?
            .over(was.verifier, default.verifier),
            order: word(fields, "order", order, "any or sequential")?.over(was.order, default.order),
            low_watermark: fields
                .integer("low_watermark", 0, MAX_CODES as u64)?
                .over(was.low_watermark, default.low_watermark),
            max_age: fields
                .duration("max_age")?
                .map(Some)
                .over(was.max_age, default.max_age)
                .filter(|age| !age.is_zero()),
            regenerate_within: fields
                .duration("regenerate_within")?
                .over(was.regenerate_within, default.regenerate_within),
            on_lapse: word(fields, "on_lapse", on_lapse, "revoke or flag")?.over(was.on_lapse, default.on_lapse),
            reveal_window: fields.duration("reveal_window")?.over(was.reveal_window, default.reveal_window),
            destroy_after: fields.duration("destroy_after")?.over(was.destroy_after, default.destroy_after),
            max_failures: fields
                .integer("max_failures", 1, MOST_FAILURES.into())?
                .over(was.max_failures, default.max_failures),
            lockout: fields.duration("lockout")?.over(was.lockout, default.lockout),
            on_enrollment: word(fields, "on_enrollment", on_enrollment::parse, "supersede, quarantine or notify")?
                .over(was.on_enrollment, default.on_enrollment),
            retrieval: of(kind, Kind::Escrowed, fields, "retrieval", |fields| {
                word(fields, "retrieval", retrieval, "allowed or forbidden")
            })?
            .over(was.retrieval, default.retrieval),
            review_by: fields.time("review_by")?.map(|by| Some(by.millis())).over(was.review_by, default.review_by),
            review_required: fields.boolean("review_required")?.over(was.review_required, default.review_required),
            fingerprint_retention: fields
                .duration("fingerprint_retention")?
                .over(was.fingerprint_retention, default.fingerprint_retention),
        };
        fields.refuse_unknown()?;
        profile.checked()
    }

    fn checked(self) -> Result<Profile> {
        if self.reveal_window > DAY {
            return Err(Error::field("reveal_window", "at most 24h"));
        }
        if !(Duration::from_secs(60)..=DAY).contains(&self.lockout) {
            return Err(Error::field("lockout", "from 1m to 24h"));
        }
        // What is forgotten can come in again: a day is the least that still meets a file that lies about.
        if self.fingerprint_retention < DAY {
            return Err(Error::field("fingerprint_retention", "at least 24h"));
        }
        if self.review_required && self.review_by.is_none() {
            return Err(Error::field("review_required", "needs review_by"));
        }
        if let (Kind::Issued, Some(alphabet), Some(length)) = (self.kind, self.alphabet, self.length) {
            let bits = alphabet.bits(length);
            let enough = |wanted: f64| (1_u64..).find(|length| alphabet.bits(*length) >= wanted).unwrap_or_default();
            if bits < SAVED_BITS {
                let wanted = enough(SAVED_BITS);
                let text = format!("at least {wanted} of these characters: a code has 64 bits or more, not {bits:.0}");
                return Err(Error::field("length", text));
            }
            if self.verifier == Keeping::HmacSha256 && bits < STRONG_BITS {
                let text = format!(
                    "hmac-sha256 is for codes of 112 bits or more, not {bits:.0}: set length to at least {}, or use argon2id",
                    enough(STRONG_BITS)
                );
                return Err(Error::field("verifier", text));
            }
        }
        Ok(self)
    }

    /// The canonical form that a read answers; writing it back changes nothing.
    pub fn wire(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("kind", json!(self.kind));
        put("count", json!(self.count));
        put("length", json!(self.length));
        put("alphabet", json!(self.alphabet));
        match self.kind {
            Kind::Escrowed => put("retrieval", json!(if self.retrieval { "allowed" } else { "forbidden" })),
            Kind::Issued => {
                put("group", json!(self.group));
                put("verifier", json!(self.verifier))
            }
        };
        put("order", json!(self.order));
        put("low_watermark", json!(self.low_watermark));
        put("max_age", json!(self.max_age.map(|age| age.as_secs())));
        put("regenerate_within", json!(self.regenerate_within.as_secs()));
        put("on_lapse", json!(self.on_lapse));
        put("reveal_window", json!(self.reveal_window.as_secs()));
        put("destroy_after", json!(self.destroy_after.as_secs()));
        put("max_failures", json!(self.max_failures));
        put("lockout", json!(self.lockout.as_secs()));
        put("on_enrollment", json!(on_enrollment::word(self.on_enrollment)));
        put("review_by", json!(self.review_by.map(|by| Timestamp::from_millis(by).to_string())));
        put("review_required", json!(self.review_required));
        put("fingerprint_retention", json!(self.fingerprint_retention.as_secs()));
        map
    }
}

/// A field that only profiles of kind `wanted` have.
fn of<T>(
    kind: Kind,
    wanted: Kind,
    fields: &mut Fields,
    name: &'static str,
    read: impl FnOnce(&mut Fields) -> Result<Given<T>>,
) -> Result<Given<T>> {
    match (read(fields)?, wanted) {
        (Given::Value(_), Kind::Issued) if kind != wanted => {
            Err(Error::field(name, "belongs to profiles of kind issued: whoever issues the codes decides it"))
        }
        (Given::Value(_), Kind::Escrowed) if kind != wanted => {
            Err(Error::field(name, "belongs to profiles of kind escrowed: an issued code is never given back"))
        }
        (given, _) => Ok(given),
    }
}

fn kind_of(text: &str) -> Option<Kind> {
    match text {
        "escrowed" => Some(Kind::Escrowed),
        "issued" => Some(Kind::Issued),
        _ => None,
    }
}

fn keeping(text: &str) -> Option<Keeping> {
    match text {
        "argon2id" => Some(Keeping::Argon2id),
        "hmac-sha256" => Some(Keeping::HmacSha256),
        _ => None,
    }
}

fn order(text: &str) -> Option<Order> {
    match text {
        "any" => Some(Order::Any),
        "sequential" => Some(Order::Sequential),
        _ => None,
    }
}

fn on_lapse(text: &str) -> Option<OnLapse> {
    match text {
        "revoke" => Some(OnLapse::Revoke),
        "flag" => Some(OnLapse::Flag),
        _ => None,
    }
}

fn retrieval(text: &str) -> Option<bool> {
    match text {
        "allowed" => Some(true),
        "forbidden" => Some(false),
        _ => None,
    }
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

pub(super) mod on_enrollment {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::domain::enrollment::OnEnrollment;

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
    pub fn serialize<S: Serializer>(value: &OnEnrollment, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(word(*value))
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OnEnrollment, D::Error> {
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
            "fingerprint_retention": "720h", "max_failures": 5, "lockout": "1h"});
        let issued = json!({"kind": "issued", "count": 8, "length": 30, "alphabet": "alphanumeric", "group": 5,
            "verifier": "hmac-sha256", "order": "sequential"});
        for body in [json!({}), full, json!({"kind": "issued"}), issued] {
            let profile = write(None, body).unwrap();
            let again = write(Some(&profile), Value::Object(profile.wire())).unwrap();
            assert_eq!(again, profile);
            let stored: Profile = serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap();
            assert_eq!(stored, profile);
        }
        assert_eq!(write(None, json!({"kind": "issued"})).unwrap(), Profile::built_in("issued").unwrap());
    }

    #[test]
    fn absent_fields_stay_and_null_resets() {
        let first = write(None, json!({"reveal_window": "1m", "max_age": "30d", "count": 8})).unwrap();
        let second = write(Some(&first), json!({"reveal_window": null, "count": null})).unwrap();
        assert_eq!(second.reveal_window, Duration::from_secs(300));
        assert_eq!(second.count, None);
        assert_eq!(second.max_age, Some(Duration::from_secs(30 * 86_400)));
        let issued = write(None, json!({"kind": "issued", "count": 8})).unwrap();
        let back = write(Some(&issued), json!({"count": null, "kind": null})).unwrap();
        assert_eq!((back.kind, back.count), (Kind::Issued, Some(10)), "the kind stays whatever is said");
    }

    #[test]
    fn bad_fields_are_named() {
        for (body, field) in [
            (json!({"reveal_windw": 5}), "reveal_windw"),
            (json!({"reveal_window": "25h"}), "reveal_window"),
            (json!({"reveal_window": 1.5}), "reveal_window"),
            (json!({"fingerprint_retention": "23h"}), "fingerprint_retention"),
            (json!({"kind": "rented"}), "kind"),
            (json!({"order": "random"}), "order"),
            (json!({"count": 513}), "count"),
            (json!({"kind": "issued", "count": 65}), "count"),
            (json!({"review_required": true}), "review_required"),
            (json!({"lockout": "59s"}), "lockout"),
            (json!({"lockout": "25h"}), "lockout"),
            (json!({"max_failures": 101}), "max_failures"),
            (json!({"max_failures": 0}), "max_failures"),
            (json!({"alphabet": "emoji"}), "alphabet"),
            (json!({"group": 4}), "group"),
            (json!({"verifier": "argon2id"}), "verifier"),
            (json!({"kind": "issued", "verifier": "bcrypt"}), "verifier"),
            (json!({"kind": "issued", "retrieval": "allowed"}), "retrieval"),
        ] {
            let error = write(None, body).unwrap_err();
            assert!(error.public().starts_with(&format!("{field}: ")), "{error}");
        }
        let issued = Profile::built_in("issued").unwrap();
        assert!(write(Some(&issued), json!({"kind": "escrowed"})).unwrap_err().public().starts_with("kind: cannot"));
    }

    #[test]
    fn issued_codes_have_64_bits_and_112_without_stretching() {
        let issued = |length: u64, alphabet: &str, verifier: &str| {
            write(None, json!({"kind": "issued", "length": length, "alphabet": alphabet, "verifier": verifier}))
        };
        for (length, alphabet, least) in [(12, "crockford32", 13), (15, "hex", 16), (19, "digits", 20)] {
            let error = issued(length, alphabet, "argon2id").unwrap_err();
            assert!(error.public().starts_with(&format!("length: at least {least}")), "{error}");
            assert!(issued(least, alphabet, "argon2id").is_ok());
        }
        for (length, alphabet, least) in [(22, "crockford32", 23), (27, "hex", 28), (33, "digits", 34)] {
            let error = issued(length, alphabet, "hmac-sha256").unwrap_err();
            assert!(error.public().contains(&format!("at least {least}")), "{error}");
            assert!(issued(least, alphabet, "hmac-sha256").is_ok());
        }
    }
}
