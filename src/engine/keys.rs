//! Storage keys: where each record lives.

use crate::domain::name::AccountName;

/// Key hierarchy, sealed by the root key.
pub const KEYRING: &str = "keyring";
/// Root key of a mounted engine, wrapped by the host's seal; standalone it never lies in the store.
pub const ROOT: &str = "root-key";
/// Mount defaults.
pub const CONFIG: &str = "config";
/// The ledger of every change to the configuration.
pub const CONFIG_LEDGER: &str = "config-ledger";
/// How often each generation of the KEK has wrapped.
pub const WRAPS: &str = "wraps";
/// How far re-wrapping has come.
pub const REWRAP: &str = "rewrap";
/// The store-wide epoch, which only grows.
pub const EPOCH: &str = "epoch";
/// Whether a restore waits to be accepted.
pub const RESTORE: &str = "restore";
/// Folders of the configuration records.
pub const ISSUERS: &str = "issuers/";
/// Folder of the profiles.
pub const PROFILES: &str = "profiles/";
/// Folder of the roles.
pub const ROLES: &str = "roles/";
/// Folder of the sources.
pub const SOURCES: &str = "sources/";
/// Folder of the claims on assertions.
pub const CLAIMS: &str = "claims/";
/// Folder of the shares that subjects took under their roles.
pub const LIMITS: &str = "limits/";
/// Folder of the events, one folder for each source.
pub const EVENTS: &str = "events/";
/// Folder of the markers of burns, one folder for each set.
pub const BURNS: &str = "burns/";
/// Folder of the accounts.
pub const ACCOUNTS: &str = "accounts/";
/// Folder of what stays of deleted accounts.
pub const TOMBSTONES: &str = "tombstones/";
/// Folder of the ended sets that left their account's record.
pub const ARCHIVED_SETS: &str = "sets/";

/// Key of an account's record.
pub fn account(name: &AccountName) -> String {
    format!("{ACCOUNTS}{name}")
}
/// Key of what stays of a deleted account.
pub fn tombstone(name: &AccountName) -> String {
    format!("{TOMBSTONES}{name}")
}
/// Key of an ended set that left its account's record.
pub fn archived_set(account_id: &[u8; 16], generation: u32) -> String {
    format!("{ARCHIVED_SETS}{}/{generation:010}", hex::encode(account_id))
}
/// Key of the claim on an assertion.
pub fn claim(replay: &[u8; 32]) -> String {
    format!("{CLAIMS}{}", hex::encode(replay))
}
/// Key of what one subject took under one role, from all accounts together.
pub fn limit(who: &[u8; 32]) -> String {
    format!("{LIMITS}{}", hex::encode(who))
}
/// Key of the marker that a slot was burnt, where a store does not commit writes together.
pub fn burn(set_id: &[u8; 16], slot: u32) -> String {
    format!("{BURNS}{}/{slot:010}", hex::encode(set_id))
}
/// Key of the record that says which node is at a chore.
pub fn turn(chore: &str) -> String {
    format!("turns/{chore}")
}
/// Key of an event: its source and the keyed hash of its id.
pub fn event(source: &str, id: &[u8; 32]) -> String {
    format!("{EVENTS}{source}/{}", hex::encode(id))
}
/// Key of a source's counters and its list of unmapped subjects.
pub fn source_state(source: &str) -> String {
    format!("source-state/{source}")
}

/// Whether `key` is a record of the configuration or the keyring: those that seldom change and are held in memory.
pub fn is_configuration(key: &str) -> bool {
    [KEYRING, CONFIG, RESTORE].contains(&key)
        || [ISSUERS, PROFILES, ROLES, SOURCES].iter().any(|folder| key.starts_with(folder))
}
