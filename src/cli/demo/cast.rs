//! Who plays: an identity provider with its key, people and automation with their assertions.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::demo::Result;
use crate::cli::dev::{self, DevIssuer};
use crate::clock::{Clock, SystemClock};
use crate::random::{self, OsRandom};

/// The issuer that signs in this story.
pub const ISS: &str = "https://dev.sparekey.invalid";
/// The audience of events.
pub const EVENTS: &str = "https://sparekey.invalid/events";

/// The identity provider of the story.
pub struct Cast {
    issuer: DevIssuer,
    stranger: DevIssuer,
}

impl Cast {
    /// Makes the provider's key in `folder`, and that of somebody who would like to be it.
    pub fn gather(folder: &Path) -> Result<Cast> {
        let issuer = dev::ensure_issuer(folder).map_err(|error| error.public().to_owned())?;
        let stranger = dev::ensure_issuer(&folder.join("stranger")).map_err(|error| error.public().to_owned())?;
        Ok(Cast { issuer, stranger })
    }
    /// The provider's public key.
    pub fn public_pem(&self) -> &str {
        self.issuer.public_pem()
    }
    /// An assertion of `sub`, five minutes long, for one disclosure.
    pub fn jwt(&self, sub: &str, team: &str) -> Result<String> {
        self.issuer.sign(&claims(sub, team)).map_err(|error| error.public().to_owned())
    }
    /// The same, signed by the stranger.
    pub fn forged(&self, sub: &str, team: &str) -> Result<String> {
        self.stranger.sign(&claims(sub, team)).map_err(|error| error.public().to_owned())
    }
    /// A CAEP event: `email` enrolled a new security key just now.
    pub fn event(&self, email: &str) -> Result<String> {
        let now = SystemClock.now().secs();
        let claims = json!({
            "iss": ISS, "aud": EVENTS, "iat": now, "jti": id(), "sub_id": {"format": "email", "email": email},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/credential-change": {
                "credential_type": "fido2-roaming", "change_type": "create", "event_timestamp": now,
                "initiating_entity": "user", "reason_admin": {"en": "new security key"},
            }},
        });
        self.issuer.sign_as("secevent+jwt", &object(claims)).map_err(|error| error.public().to_owned())
    }
}

fn claims(sub: &str, team: &str) -> Map<String, Value> {
    let now = SystemClock.now().secs();
    object(json!({"iss": ISS, "sub": sub, "aud": "sparekey", "iat": now, "exp": now + 300, "jti": id(), "team": team}))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn id() -> String {
    hex::encode(random::bytes::<16>(&OsRandom))
}

/// Writes a file that only its owner reads.
pub fn private_file(path: &Path, content: &[u8]) -> Result<()> {
    let write = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content);
    write().map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A recovery-code file as a provider writes it. The codes are made up afresh for each run.
pub fn recovery_file() -> (String, Vec<String>) {
    let codes: Vec<String> = (0..16)
        .map(|_| {
            let text = hex::encode(random::bytes::<5>(&OsRandom));
            format!("{}-{}", &text[..5], &text[5..])
        })
        .collect();
    let text = format!(
        "Recovery codes for github.com\nAccount: acme-owner\n\nKeep these somewhere safe. Each code works once.\n\n{}\n",
        codes.join("\n")
    );
    (text, codes)
}
