//! Realms and users as Keycloak exports them: they hold hashes of recovery codes, which is said.

use serde::Deserialize;

use super::json::{or_default, parse};
use super::{Export, Refusal};

#[derive(Deserialize)]
struct Document {
    #[serde(default, deserialize_with = "or_default")]
    users: Vec<User>,
    #[serde(default, deserialize_with = "or_default")]
    credentials: Vec<Credential>,
    #[serde(default, deserialize_with = "or_default", rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default, deserialize_with = "or_default")]
    credentials: Vec<Credential>,
}

#[derive(Deserialize)]
struct Credential {
    #[serde(default, deserialize_with = "or_default", rename = "type")]
    kind: String,
}

/// Always a refusal: one that counts the users whose codes exist.
pub(super) fn read(text: &str) -> Result<Export, Refusal> {
    let document: Document = parse(text, "a Keycloak export")?;
    let codes = |credentials: &[Credential]| credentials.iter().any(|one| one.kind == "recovery-authn-codes");
    let users = document.users.iter().filter(|user| codes(&user.credentials)).count()
        + usize::from(codes(&document.credentials) || document.kind == "recovery-authn-codes");
    Err(Refusal::new(format!(
        "a Keycloak export: it holds recovery codes of {users} {}, but only as hashes, and no code can be read from these. Import \
         the text file that Keycloak offers when the codes are made (Download), or let the user make new ones",
        if users == 1 { "user" } else { "users" }
    )))
}
