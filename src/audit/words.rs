//! The field names that may stand in an audit line. A name that is not listed may be a slip of the hand, and so may be a code:
//! such fields are counted and left out.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Whether a field of this name holds codes, or may: neither value nor hash of it is ever written.
pub fn holds_codes(name: &str) -> bool {
    name.as_bytes().windows(4).any(|part| part.eq_ignore_ascii_case(b"code")) || matches!(name, "key" | "otp")
}

/// Whether the keys inside this field are the caller's own words (claim names, labels): they are HMAC'd like values.
pub fn has_free_keys(name: &str) -> bool {
    matches!(name, "bound_claims" | "subjects" | "labels" | "metadata" | "jwks" | "key_info")
}

/// Whether `text` in this field is a word of our own, by which a set, a slot or a provider is said to stand: it tells nothing that
/// came from anybody, so that it stands in clear.
pub fn ours(name: &str, text: &str) -> bool {
    matches!(name, "cause" | "kind" | "outcome" | "provider" | "state" | "status" | "warnings")
        && OURS.binary_search(&text).is_ok()
}

/// Sorted by bytes.
const OURS: &[&str] = &[
    "active",
    "age",
    "circular",
    "compromise",
    "confirmed",
    "consumed",
    "dispensed",
    "escrowed",
    "expired",
    "held",
    "issued",
    "lapsed",
    "locked",
    "low",
    "newer-set",
    "no-fallback",
    "operator",
    "overdue",
    "owes",
    "quarantined",
    "re-enrollment",
    "refused",
    "revoked",
    "stale-review",
    "superseded",
    "transferred",
    "unconfirmed",
    "unused",
    "used",
    "void",
    "worked",
    "wrapped",
];

/// Whether this is the name of a field that some path of the server reads or answers.
pub fn known(name: &str) -> bool {
    // Asked for every name of every answer: one hash, and not eight comparisons.
    static NAMES: LazyLock<HashSet<&str>> = LazyLock::new(|| KNOWN.iter().copied().collect());
    NAMES.contains(name)
}

/// Sorted by bytes.
const KNOWN: &[&str] = &[
    "accessor",
    "account",
    "account_template",
    "accounts",
    "act",
    "active",
    "active_generation",
    "actor",
    "acts",
    "after",
    "algorithm",
    "alphabet",
    "applied",
    "assertion",
    "at",
    "audiences",
    "auth",
    "batch",
    "before",
    "bound_at",
    "bound_audiences",
    "bound_cidrs",
    "bound_claims",
    "bound_claims_type",
    "bound_issuer",
    "bound_subject",
    "by",
    "capabilities",
    "cas",
    "cause",
    "change_type",
    "circular",
    "clock_skew",
    "clock_skew_leeway",
    "complete",
    "confidence",
    "could",
    "count",
    "created_at",
    "creation_path",
    "creation_time",
    "creation_ttl",
    "credential_type",
    "critical_subject_members",
    "csv",
    "custody",
    "default_profile",
    "default_role",
    "description",
    "destroy_after",
    "destroyed",
    "detail",
    "did",
    "display_name",
    "done",
    "effect",
    "email",
    "encryptions",
    "ended_at",
    "enrollment",
    "enrollment_id",
    "entity_id",
    "entries",
    "eta",
    "event_retention",
    "expire_time",
    "expires_at",
    "explicit_max_ttl",
    "face",
    "failed",
    "failures",
    "fallback",
    "fingerprint_keys",
    "fingerprint_retention",
    "format",
    "from",
    "generation",
    "generations",
    "group",
    "hash",
    "head",
    "hold",
    "id",
    "idempotency_key",
    "in_a_row",
    "increment",
    "install_time",
    "is",
    "issue_time",
    "issuer",
    "issuers",
    "jwks",
    "jwks_ca_pem",
    "jwks_url",
    "jwt",
    "jwt_supported_algs",
    "jwt_validation_pubkeys",
    "key_info",
    "keys",
    "kind",
    "labels",
    "last",
    "last_event",
    "last_verification",
    "latest",
    "length",
    "limit",
    "list",
    "locked",
    "lockout",
    "login_name",
    "login_url",
    "looked_at",
    "low",
    "low_watermark",
    "match",
    "max_age",
    "max_assertion_age",
    "max_auth_age",
    "max_failures",
    "max_retrievals",
    "meta",
    "metadata",
    "method",
    "mount_accessor",
    "mount_id",
    "name",
    "next",
    "nonce",
    "note",
    "num_uses",
    "number",
    "occurred_at",
    "oidc_discovery_ca_pem",
    "oidc_discovery_url",
    "on_enrollment",
    "on_lapse",
    "only",
    "operations",
    "order",
    "orphan",
    "otp_length",
    "outcome",
    "overdue",
    "owes",
    "owner",
    "path",
    "paths",
    "per",
    "period",
    "pgp_fingerprint",
    "policies",
    "prefix",
    "profile",
    "progress",
    "protects",
    "provider",
    "quarantined",
    "reason",
    "refused",
    "refused_amr",
    "regenerate_by",
    "regenerate_within",
    "released",
    "remaining",
    "remote",
    "renewable",
    "repeat",
    "request_id",
    "require_reason",
    "required",
    "required_acr",
    "required_amr",
    "retired_at",
    "retrieval",
    "retry_after",
    "reveal_window",
    "review",
    "review_by",
    "review_required",
    "revoked",
    "rewrapped",
    "role",
    "roles",
    "scope",
    "sealed",
    "seconds",
    "secret_shares",
    "secret_threshold",
    "seq",
    "set",
    "sets",
    "since",
    "single_use",
    "skew",
    "slot",
    "slots",
    "soon",
    "source",
    "sources",
    "sparekey_url",
    "started",
    "state",
    "status",
    "stop",
    "stored_at",
    "stored_by",
    "subject",
    "subjects",
    "summary",
    "superseded",
    "target",
    "term",
    "ticket",
    "ticket_pattern",
    "time_inferred",
    "to",
    "token",
    "token_max_ttl",
    "token_ttl",
    "total",
    "totals",
    "trust_email",
    "ttl",
    "type",
    "unchanged",
    "unconfirmed",
    "unlock",
    "unlocked",
    "unmapped",
    "until",
    "used",
    "user_claim",
    "valid",
    "verified",
    "verifier",
    "verify",
    "version",
    "warnings",
    "who",
    "wrap",
    "wrapped",
    "wrapped_at",
    "wraps",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_names_no_code() {
        assert!(KNOWN.is_sorted_by(|a, b| a < b) && OURS.is_sorted_by(|a, b| a < b));
        assert!(KNOWN.iter().all(|name| !holds_codes(name)));
        assert!(known("reason") && known("accessor") && known("wraps") && !known("kode"));
    }

    #[test]
    fn words_of_ours_are_so_in_their_fields_only() {
        assert!(ours("state", "held") && ours("outcome", "refused") && ours("warnings", "no-fallback"));
        assert!(!ours("reason", "held") && !ours("owner", "operator") && !ours("state", "hel") && !ours("state", ""));
    }

    #[test]
    fn every_field_of_the_engine_is_known() {
        use crate::engine::paths::TABLE;
        let fields = TABLE.iter().flat_map(|paths| paths.iter()).flat_map(|path| path.operations.iter());
        for field in fields.flat_map(|operation| operation.fields.iter()) {
            assert!(
                known(field.name) != holds_codes(field.name),
                "{}: list it, or it is left out of the audit",
                field.name
            );
        }
    }

    #[test]
    fn every_name_with_code_in_it_holds_codes() {
        for name in ["code", "codes", "Code", "BACKUP_CODES", "recovery-codes", "key"] {
            assert!(holds_codes(name), "{name}");
        }
        assert!(!holds_codes("keys") && !holds_codes("idempotency_key"));
    }
}
