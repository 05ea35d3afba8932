//! The mount's own settings (`config`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::domain::fields::Fields;
use crate::domain::name::record_name;
use crate::domain::profile::Profile;
use crate::error::{Error, Result};

/// Mount defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Role of an act that names none.
    pub default_role: Option<String>,
    /// Profile of an account that is made by its first set, and of accounts that are known by events only.
    pub default_profile: String,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// How long events are remembered.
    pub event_retention: Duration,
    /// Address of this mount as its callers reach it: what answers say to call next is a link below it.
    pub sparekey_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            default_role: None,
            default_profile: Profile::ESCROWED.to_owned(),
            clock_skew: Duration::from_secs(30),
            event_retention: Duration::from_secs(90 * 86_400),
            sparekey_url: None,
        }
    }
}

impl Settings {
    /// Applies a write: given fields replace, absent ones stay, `null` resets.
    pub fn update(old: &Settings, fields: &mut Fields) -> Result<Settings> {
        let default = Settings::default();
        let settings = Settings {
            default_role: fields.string("default_role")?.map(some_text).over(old.default_role.clone(), None),
            default_profile: fields
                .string("default_profile")?
                .over(old.default_profile.clone(), default.default_profile),
            clock_skew: fields.duration("clock_skew")?.over(old.clock_skew, default.clock_skew),
            event_retention: fields.duration("event_retention")?.over(old.event_retention, default.event_retention),
            sparekey_url: fields.string("sparekey_url")?.map(some_text).over(old.sparekey_url.clone(), None),
        };
        // A read answers these two; writing the answer back must change nothing.
        fields.take("mount_id");
        fields.take("format");
        fields.refuse_unknown()?;
        if let Some(role) = &settings.default_role {
            record_name("default_role", role)?;
        }
        record_name("default_profile", &settings.default_profile)?;
        if settings.clock_skew > Duration::from_secs(300) {
            return Err(Error::field("clock_skew", "at most 300s"));
        }
        if settings.event_retention < Duration::from_secs(86_400) {
            return Err(Error::field("event_retention", "at least 24h"));
        }
        let address = |url: &str| {
            let plain = url.len() <= 1024 && url.bytes().all(|byte| byte.is_ascii_graphic());
            plain && (url.starts_with("https://") || url.starts_with("http://"))
        };
        if settings.sparekey_url.as_deref().is_some_and(|url| !address(url)) {
            return Err(Error::field("sparekey_url", "an http or https address of at most 1024 bytes"));
        }
        Ok(settings)
    }
    /// The canonical form that a read answers.
    pub fn wire(&self, mount_id: &[u8; 16], format: u8) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
        put("default_role", json!(self.default_role));
        put("default_profile", json!(self.default_profile));
        put("clock_skew", json!(self.clock_skew.as_secs()));
        put("event_retention", json!(self.event_retention.as_secs()));
        put("sparekey_url", json!(self.sparekey_url));
        put("mount_id", json!(hex::encode(mount_id)));
        put("format", json!(format));
        map
    }
}

fn some_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
