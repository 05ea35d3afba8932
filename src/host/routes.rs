//! The host's own table of paths: what each is, what it needs, and its help. The engine's paths, below the mount, stand in
//! the engine's table.

use super::call::Verb;

/// A path of the host.
pub struct Entry {
    /// The path below `/v1/`; a closing `*` stands for the rest, which is not empty.
    pub pattern: &'static str,
    /// Who answers.
    pub place: Place,
    /// What it takes.
    pub verbs: &'static [Verb],
    /// What the caller must bring.
    pub need: Need,
    /// Whether the keys of `data` also stand beside it.
    pub flattened: bool,
    /// What it does, in one line.
    pub summary: &'static str,
}

/// Who answers a path of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the path of the same name in the table")]
pub enum Place {
    Mounts,
    Mount,
    Auths,
    AuthMount,
    Audits,
    AuditDevice,
    CapabilitiesSelf,
    UiMounts,
    UiMount,
    OpenApi,
    Wrap,
    Unwrap,
    WrapLookup,
    Login,
    LookupSelf,
    RenewSelf,
    RevokeSelf,
    Lookup,
    Renew,
    Revoke,
    Accessors,
    LookupAccessor,
    RenewAccessor,
    RevokeAccessor,
    Rewrap,
    KeyStatus,
    HaStatus,
    Rotate,
    RotateKeyring,
    Metrics,
    RootAttempt,
    RootUpdate,
    RootTokenAttempt,
    RootTokenUpdate,
    Rekey,
    Snapshot,
    Restore,
    RestoreAccept,
    RestoreEvidence,
    RestoreHold,
    Doctor,
}

/// What a caller must bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing; a token is not looked at.
    Nothing,
    /// Nothing, but a token that is sent must live.
    Optional,
    /// A token that lives.
    Token,
    /// A token that lives and may administer: root, or one whose role has `administer`.
    Administer,
    /// A token or a wrapping token; the path looks at both itself.
    Wrapping,
}

const READ: &[Verb] = &[Verb::Read];
const WRITE: &[Verb] = &[Verb::Update];
const LIST: &[Verb] = &[Verb::List];
const ATTEMPT: &[Verb] = &[Verb::Read, Verb::Update, Verb::Delete];
const BOTH: &[Verb] = &[Verb::Read, Verb::Update];

const fn entry(
    pattern: &'static str,
    place: Place,
    verbs: &'static [Verb],
    need: Need,
    flattened: bool,
    summary: &'static str,
) -> Entry {
    Entry { pattern, place, verbs, need, flattened, summary }
}

/// Every path that goes through the pipeline. What answers while sealed is in [`super::sys::status`].
pub static TABLE: &[Entry] = &[
    entry(
        "auth/jwt/login",
        Place::Login,
        WRITE,
        Need::Nothing,
        false,
        "Exchange a JWT that satisfies a role for a token.",
    ),
    entry("auth/token/lookup-self", Place::LookupSelf, BOTH, Need::Token, false, "Tell of the token that is sent."),
    entry(
        "auth/token/renew-self",
        Place::RenewSelf,
        WRITE,
        Need::Token,
        false,
        "Let the token that is sent live longer.",
    ),
    entry("auth/token/revoke-self", Place::RevokeSelf, WRITE, Need::Token, false, "End the token that is sent."),
    entry("auth/token/lookup", Place::Lookup, BOTH, Need::Token, false, "Tell of a token."),
    entry("auth/token/renew", Place::Renew, WRITE, Need::Token, false, "Let a token live longer."),
    entry("auth/token/revoke", Place::Revoke, WRITE, Need::Token, false, "End a token."),
    entry(
        "auth/token/accessors/",
        Place::Accessors,
        LIST,
        Need::Administer,
        false,
        "List the accessors of all tokens.",
    ),
    entry(
        "auth/token/renew-accessor",
        Place::RenewAccessor,
        WRITE,
        Need::Administer,
        false,
        "Let the token that an accessor names live longer.",
    ),
    entry(
        "auth/token/lookup-accessor",
        Place::LookupAccessor,
        WRITE,
        Need::Administer,
        false,
        "Tell of the token that an accessor names.",
    ),
    entry(
        "auth/token/revoke-accessor",
        Place::RevokeAccessor,
        WRITE,
        Need::Administer,
        false,
        "End the token that an accessor names.",
    ),
    entry("sys/wrapping/wrap", Place::Wrap, WRITE, Need::Token, false, "Wrap the fields that are sent."),
    entry(
        "sys/wrapping/unwrap",
        Place::Unwrap,
        WRITE,
        Need::Wrapping,
        false,
        "Take an answer out of its wrapping, once.",
    ),
    entry(
        "sys/wrapping/lookup",
        Place::WrapLookup,
        BOTH,
        Need::Wrapping,
        false,
        "Tell of a wrapping without using it.",
    ),
    entry(
        "sys/wrapping/rewrap",
        Place::Rewrap,
        WRITE,
        Need::Wrapping,
        false,
        "Move an answer from one wrapping token to a new one.",
    ),
    entry(
        "sys/key-status",
        Place::KeyStatus,
        READ,
        Need::Administer,
        true,
        "Tell of the key that seals what is stored.",
    ),
    entry("sys/ha-status", Place::HaStatus, READ, Need::Token, true, "List the nodes that serve this store."),
    entry("sys/rotate", Place::Rotate, WRITE, Need::Administer, false, "Make a new key that seals what is stored."),
    entry("sys/rotate/keyring", Place::RotateKeyring, WRITE, Need::Administer, false, "The same."),
    entry(
        "sys/metrics",
        Place::Metrics,
        READ,
        Need::Administer,
        false,
        "Tell what is counted: JSON, or Prometheus' text with format=prometheus.",
    ),
    entry(
        "sys/generate-root/attempt",
        Place::RootAttempt,
        ATTEMPT,
        Need::Nothing,
        false,
        "Begin to make a new root token from shares, tell of it, give it up.",
    ),
    entry("sys/generate-root/update", Place::RootUpdate, WRITE, Need::Nothing, false, "Give a share for it."),
    entry(
        "sys/generate-root-token/attempt",
        Place::RootTokenAttempt,
        ATTEMPT,
        Need::Token,
        false,
        "The same for those who have a token, in an envelope.",
    ),
    entry(
        "sys/generate-root-token/update",
        Place::RootTokenUpdate,
        WRITE,
        Need::Token,
        false,
        "Give a share for it, and get an envelope.",
    ),
    entry(
        "sys/rekey/*",
        Place::Rekey,
        ATTEMPT,
        Need::Nothing,
        false,
        "Refused: shares are given out once, at initialisation.",
    ),
    entry(
        "sys/storage/snapshot",
        Place::Snapshot,
        READ,
        Need::Administer,
        false,
        "Send a backup of everything, as `sparekey backup` saves it.",
    ),
    entry(
        "sys/restore",
        Place::Restore,
        READ,
        Need::Administer,
        false,
        "Tell whether the store was put back to an earlier state and waits to be accepted.",
    ),
    entry(
        "sys/restore/accept",
        Place::RestoreAccept,
        WRITE,
        Need::Administer,
        false,
        "Accept it: hold every account that went back, and go on.",
    ),
    entry(
        "sys/restore/evidence",
        Place::RestoreEvidence,
        WRITE,
        Need::Administer,
        false,
        "Hold the accounts that went back before acts from other nodes' files.",
    ),
    entry(
        "sys/restore/hold",
        Place::RestoreHold,
        WRITE,
        Need::Administer,
        false,
        "Hold the next accounts with a live set, where nobody knows which went back.",
    ),
    entry(
        "sys/storage/doctor",
        Place::Doctor,
        READ,
        Need::Administer,
        false,
        "Examine everything that is stored, and tell in lines of JSON how far that is and what was found.",
    ),
    entry(
        "sys/capabilities-self",
        Place::CapabilitiesSelf,
        WRITE,
        Need::Token,
        true,
        "Tell what the token that is sent may do.",
    ),
    entry("sys/mounts", Place::Mounts, READ, Need::Administer, true, "List what is mounted."),
    entry("sys/mounts/*", Place::Mount, READ, Need::Administer, true, "Tell of one mount."),
    entry("sys/auth", Place::Auths, READ, Need::Administer, true, "List the ways to log in."),
    entry("sys/auth/*", Place::AuthMount, READ, Need::Administer, true, "Tell of one way to log in."),
    entry(
        "sys/audit",
        Place::Audits,
        READ,
        Need::Administer,
        true,
        "List the audit devices that the configuration declares.",
    ),
    entry(
        "sys/audit/*",
        Place::AuditDevice,
        &[Verb::Update, Verb::Delete],
        Need::Administer,
        false,
        "Refused: audit devices stand in the configuration.",
    ),
    entry(
        "sys/internal/ui/mounts",
        Place::UiMounts,
        READ,
        Need::Optional,
        false,
        "List the mounts that the token may see.",
    ),
    entry("sys/internal/ui/mounts/*", Place::UiMount, READ, Need::Token, false, "Tell which mount owns a path."),
    entry(
        "sys/internal/specs/openapi",
        Place::OpenApi,
        BOTH,
        Need::Optional,
        false,
        "Describe every path in OpenAPI 3.",
    ),
];

/// The entry of `path` and what its `*` stands for.
pub fn find(path: &str) -> Option<(&'static Entry, &str)> {
    TABLE.iter().find_map(|entry| match entry.pattern.strip_suffix('*') {
        // A list has a slash at its end; without one it is the same path, asked for something else.
        None => (shown(entry) == path || entry.pattern == path).then_some((entry, "")),
        Some(start) => path.strip_prefix(start).filter(|rest| !rest.is_empty()).map(|rest| (entry, rest)),
    })
}

/// The path of `entry` as it is shown.
pub fn shown(entry: &Entry) -> &'static str {
    entry.pattern.strip_suffix('/').unwrap_or(entry.pattern)
}

/// The host's mount that `path` lies in, as audit names it: with its closing slash, and its type.
pub fn mount_of(path: &str) -> Option<(&'static str, &'static str)> {
    const MOUNTS: [(&str, &str); 3] = [("sys/", "system"), ("auth/jwt/", "jwt"), ("auth/token/", "token")];
    MOUNTS.into_iter().find(|(mount, _)| path.starts_with(mount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_exact_path_wins_and_a_rest_is_never_empty() {
        let place = |path: &str| find(path).map(|(entry, rest)| (entry.place, rest.to_owned()));
        assert_eq!(place("sys/mounts"), Some((Place::Mounts, String::new())));
        assert_eq!(place("sys/mounts/a/b"), Some((Place::Mount, "a/b".into())));
        assert_eq!(place("sys/mounts/"), None);
        assert_eq!(place("sys/mountsx"), None);
        assert_eq!(place("sys/internal/ui/mounts/x"), Some((Place::UiMount, "x".into())));
    }

    #[test]
    fn every_place_stands_in_the_table_once_and_in_a_mount() {
        for (index, entry) in TABLE.iter().enumerate() {
            assert!(mount_of(entry.pattern).is_some(), "{}", entry.pattern);
            assert!(!entry.verbs.is_empty() && entry.summary.ends_with('.'));
            assert!(TABLE[..index].iter().all(|other| other.place != entry.place && other.pattern != entry.pattern));
        }
    }
}
