//! Values that a field does not take: of the wrong kind, and of the right kind but out of its bounds.

use serde_json::{Value, json};
use sparekey::engine::schema::{Field, Type};

use crate::stage::codes;

/// Values that are of the wrong kind for `field`.
pub fn of_kind(field: &Field) -> Vec<Value> {
    let (list, object) = (json!(["x"]), json!({"x": 1}));
    match (field.name, field.kind) {
        ("jwt", _) => vec![json!(1), json!(true), list, object],
        ("codes", _) => vec![
            json!(12_345_678),
            object,
            json!([12_345_678]),
            json!([null]),
            json!([["aaaa-bbbb"]]),
            json!([{"code": "aaaa-bbbb"}]),
        ],
        (_, Type::Text) => vec![list, object, json!([])],
        (_, Type::Integer) => {
            vec![json!("abc"), json!(-1), json!(1.5), json!(1e300), json!(true), json!("1e3"), list, object]
        }
        (_, Type::Boolean) => vec![json!("maybe"), json!(2), json!(-1), list, object],
        (_, Type::Duration) => {
            vec![json!("soon"), json!("1.5h"), json!(1.5), json!(-1), json!("-1h"), json!(true), list, object]
        }
        (_, Type::Time) => {
            vec![json!("yesterday"), json!("2026-13-01T00:00:00Z"), json!(1e300), json!(-5), list, object]
        }
        (_, Type::List) => vec![object, json!(true), json!(7), json!([["x"]]), json!([{"x": 1}]), json!([null])],
        (_, Type::Object) => vec![list, json!(7), json!(true), json!("{not json")],
    }
}

/// Values of the right kind that no field of that name takes.
pub fn out_of_bounds() -> Vec<(&'static str, &'static str, Value)> {
    let long = |length: usize| json!("x".repeat(length));
    let mut many = codes("m", 500);
    many.extend(codes("k", 13));
    let mut cases = vec![
        ("config", "default_role", json!("No Role")),
        ("config", "default_profile", json!("")),
        ("config", "clock_skew", json!("301s")),
        ("config", "event_retention", json!("1h")),
        ("config", "sparekey_url", json!("javascript:alert(1)")),
        ("config", "sparekey_url", json!("https://a\nb")),
        ("config", "sparekey_url", json!(format!("https://{}", "a".repeat(5000)))),
        ("issuers", "type", json!("oidc")),
        ("issuers", "bound_issuer", json!("")),
        ("issuers", "bound_issuer", json!("a\u{0}b")),
        ("issuers", "bound_issuer", long(2000)),
        ("issuers", "jwt_validation_pubkeys", json!(["-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])),
        ("issuers", "jwt_validation_pubkeys", json!(["-----BEGIN PRIVATE KEY-----"])),
        ("issuers", "jwks", json!({"keys": [{"kty": "oct", "k": "AAAA"}]})),
        ("issuers", "jwks", json!({"keys": "x"})),
        ("issuers", "jwks", json!({})),
        ("issuers", "jwks_url", json!("http://keys.example.com")),
        ("issuers", "jwks_url", json!("file:///etc/passwd")),
        ("issuers", "jwks_url", json!("https://user:password@keys.example.com")),
        ("issuers", "oidc_discovery_url", json!("gopher://x")),
        ("issuers", "jwt_supported_algs", json!(["HS256"])),
        ("issuers", "jwt_supported_algs", json!(["none"])),
        ("issuers", "jwt_supported_algs", json!(["RS256", "ES256"])),
        ("issuers", "clock_skew_leeway", json!("61s")),
        ("issuers", "jwks_ca_pem", json!("not a certificate")),
        ("profiles", "kind", json!("other")),
        ("profiles", "count", json!(0)),
        ("profiles", "count", json!(513)),
        ("profiles", "length", json!(3)),
        ("profiles", "alphabet", json!("emoji")),
        ("profiles", "order", json!("random")),
        ("profiles", "low_watermark", json!(600)),
        ("profiles", "on_lapse", json!("explode")),
        ("profiles", "reveal_window", json!("25h")),
        ("profiles", "on_enrollment", json!("ignore")),
        ("profiles", "retrieval", json!("sometimes")),
        ("profiles", "review_required", json!(true)),
        ("profiles", "lockout", json!("0s")),
        ("profiles", "max_failures", json!(0)),
        ("profiles", "verifier", json!("md5")),
        ("roles", "issuers", json!([])),
        ("roles", "issuers", json!(["../x"])),
        ("roles", "bound_audiences", json!([])),
        ("roles", "bound_audiences", json!([""])),
        ("roles", "bound_claims", json!({"team": {"x": 1}})),
        ("roles", "bound_claims_type", json!("regex")),
        ("roles", "user_claim", json!("")),
        ("roles", "accounts", json!([])),
        ("roles", "accounts", json!(["GitHub/*"])),
        ("roles", "accounts", json!(["a/{{sub"])),
        ("roles", "accounts", json!(["a/{{}}"])),
        ("roles", "accounts", long(600)),
        ("roles", "operations", json!([])),
        ("roles", "operations", json!(["all"])),
        ("roles", "operations", json!(["unlock"])),
        ("roles", "operations", json!(["Retrieve"])),
        ("roles", "assertion", json!("never")),
        ("roles", "max_assertion_age", json!(0)),
        ("roles", "max_assertion_age", json!("99999d")),
        ("roles", "max_retrievals", json!(0)),
        ("roles", "required_amr", json!(["|"])),
        ("roles", "required_amr", json!(["hwk|"])),
        ("roles", "ticket_pattern", json!("(((")),
        ("roles", "ticket_pattern", json!("(a{1000}){1000}")),
        ("roles", "ticket_pattern", json!("x)|(y")),
        ("roles", "bound_cidrs", json!(["10.0.0.0/33"])),
        ("roles", "bound_cidrs", json!(["everywhere"])),
        ("roles", "wrap", json!("maybe")),
        ("roles", "token_ttl", json!("48h")),
        ("roles", "scope", json!("subject")),
        ("sources", "type", json!("okta")),
        ("sources", "issuer", json!("../idp")),
        ("sources", "bound_audiences", json!([])),
        ("sources", "skew", json!("2h")),
        ("sources", "subjects", json!({"jane": "a/b"})),
        ("sources", "subjects", json!({"email:jane@example.com": "A/B"})),
        ("sources", "subjects", json!({"email:jane@example.com": []})),
        ("sources", "subjects", json!({"email:jane@example.com": "../b"})),
        ("sources", "account_template", json!("{{nonsense}}")),
        ("sources", "account_template", json!("../{{email}}")),
        ("accounts", "profile", json!("no-such-profile")),
        ("accounts", "profile", json!("../escrowed")),
        ("accounts", "owner", long(2000)),
        ("accounts", "owner", json!("a\u{1b}[31mb")),
        ("accounts", "login_url", json!("javascript:alert(1)")),
        ("accounts", "protects", json!(vec!["x"; 65])),
        ("accounts", "labels", json!({"a": 1})),
        ("accounts", "labels", json!({"a\nb": "c"})),
        ("accounts", "labels", json!({"a": {"b": "c"}})),
        ("sets", "codes", json!([])),
        ("sets", "codes", json!([""])),
        ("sets", "codes", json!([" - "])),
        ("sets", "codes", json!(["abc"])),
        ("sets", "codes", json!(["aaaa-bbbb", "AAAA BBBB"])),
        ("sets", "codes", json!(["aaaa-bbbb\u{0}"])),
        ("sets", "codes", json!(["aaaa\u{1b}[2Jbbbb"])),
        ("sets", "codes", json!(["a".repeat(257)])),
        ("sets", "codes", json!(many)),
        ("sets", "codes", json!("aaaa-bbbb,aaaa-cccc,")),
        ("sets", "codes", json!(",".repeat(100_000))),
        ("sets", "used", json!([0])),
        ("sets", "used", json!([7])),
        ("sets", "used", json!("1,x")),
        ("sets", "cas", json!(4_294_967_296_u64)),
        ("sets", "profile", json!("careful")),
        ("sets", "custody", long(513)),
        ("retrieve", "slot", json!(0)),
        ("retrieve", "slot", json!(9)),
        ("retrieve", "slot", json!(4_294_967_296_u64)),
        ("enroll", "enrollment_id", long(257)),
        ("enroll", "method", long(65)),
        ("enroll", "method", json!("a\nb")),
        ("revoke", "generation", json!(0)),
        ("revoke", "generation", json!(99)),
        ("revoke", "cause", json!("boredom")),
        ("revoke", "reason", json!("")),
        ("revoke", "reason", json!(null)),
        ("release", "generation", json!(99)),
        ("release", "reason", json!("")),
    ];
    for act in ["sets", "retrieve", "enroll", "revoke", "release"] {
        cases.extend([
            (act, "role", json!("Admin")),
            (act, "role", json!("../admin")),
            (act, "role", json!("a".repeat(200))),
            (act, "reason", json!("x".repeat(513))),
            (act, "reason", json!("line\r\nfeed")),
            (act, "ticket", json!("x".repeat(129))),
            (act, "ticket", json!("\u{0}")),
        ]);
    }
    for act in ["sets", "retrieve"] {
        cases.extend([
            (act, "idempotency_key", json!("x".repeat(129))),
            (act, "idempotency_key", json!("a\u{7f}b")),
            (act, "reason", json!(format!("the code was {}", codes("a", 8)[5]))),
            (act, "ticket", json!(codes("a", 8)[2].to_uppercase())),
        ]);
    }
    cases
}
