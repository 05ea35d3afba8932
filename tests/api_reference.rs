//! `docs/api.md` says what the table of paths says: each generated block is rendered here and compared with the document.
//! `UPDATE_DOCS=1 cargo test --test api_reference` writes the blocks anew.

use std::fmt::Write as _;
use std::time::Duration;

use sparekey::auth;
use sparekey::domain::profile::Profile;
use sparekey::domain::refusal::Refusal;
use sparekey::domain::role::{Capability, Role, Scope};
use sparekey::domain::set::Cause;
use sparekey::domain::time::Timestamp;
use sparekey::engine::paths::{Need, Op, Path, TABLE, Variable};
use sparekey::engine::request::Operation;
use sparekey::engine::schema::{self, Field, Type};
use sparekey::engine::settings::Settings;
use sparekey::error::{Error, Kind};
use sparekey::host::call::Verb;
use sparekey::host::metrics::{Gauges, Metrics};
use sparekey::host::routes;
use sparekey::host::sys::status::Status;

#[path = "support/document.rs"]
mod document;

const API: &str = "docs/api.md";

/// The paths in the table's order; those that share a beginning (a folder and its entries) stand together.
fn folders() -> Vec<Vec<&'static Path>> {
    let mut folders: Vec<Vec<&Path>> = Vec::new();
    for path in TABLE.iter().copied().flatten() {
        match folders.iter_mut().find(|folder| folder[0].prefix == path.prefix) {
            Some(folder) => folder.push(path),
            None => folders.push(vec![path]),
        }
    }
    folders
}

#[test]
fn every_path_operation_and_field_is_in_the_reference() {
    let mut out = String::new();
    for folder in folders() {
        let _ = writeln!(out, "### `{}`\n\n{}\n", folder[0].pattern(), folder[0].about);
        for (path, op) in folder.iter().flat_map(|path| path.operations.iter().map(move |op| (path, op))) {
            let _ = writeln!(out, "**`{}`** {} Needs {}.\n", line(path, op), op.about, need(op.need));
            fields(&mut out, op.fields);
        }
    }
    document::block(API, "paths", &out);
}

/// How an operation is asked for over HTTP.
fn line(path: &Path, op: &Op) -> String {
    let shown = match (op.operation, path.variable) {
        (Operation::List, Variable::Rest(_)) => format!("{}/[folder/]", path.prefix),
        (Operation::List, _) => format!("{}/", path.prefix),
        _ => path.pattern(),
    };
    format!("{} {shown}", method(op.operation))
}

const fn method(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "GET",
        Operation::List => "LIST",
        Operation::Update => "POST",
        Operation::Delete => "DELETE",
    }
}

fn need(need: Need) -> String {
    match need {
        Need::Configure => "`administer`".to_owned(),
        Need::Metadata(capability) => format!("`{capability}` on the account"),
        Need::Act(capability) => format!("an assertion that satisfies a role with `{capability}`"),
        Need::Nothing => "nothing but the event's signature".to_owned(),
    }
}

fn fields(out: &mut String, fields: &[Field]) {
    if fields.is_empty() {
        return;
    }
    let _ = writeln!(out, "| field | type | means |\n|---|---|---|");
    for Field { name, kind, required, about } in fields {
        let required = if *required { ", required" } else { "" };
        let _ = writeln!(out, "| `{name}` | {}{required} | {} |", type_word(*kind), about.replace('|', "\\|"));
    }
    out.push('\n');
}

const fn type_word(kind: Type) -> &'static str {
    match kind {
        Type::Text => "string",
        Type::Integer => "integer",
        Type::Boolean => "boolean",
        Type::Duration => "duration",
        Type::Time => "time",
        Type::List => "list",
        Type::Object => "object",
    }
}

#[test]
fn every_path_of_the_host_is_in_the_reference() {
    let mut out = String::from("| request | needs | does |\n|---|---|---|\n");
    for (line, path, does) in SEALED {
        assert!(Status::of(path).is_some(), "{path} does not answer while sealed");
        let needs = if *path == "sys/seal" { "`administer`" } else { "nothing" };
        let _ = writeln!(out, "| `{line}` | {needs} | {does} |");
    }
    for entry in routes::TABLE {
        let verbs: Vec<&str> = entry.verbs.iter().map(verb).collect();
        let needs = match entry.need {
            routes::Need::Nothing => "nothing",
            routes::Need::Optional => "nothing; a token that is sent must live",
            routes::Need::Token => "a token",
            routes::Need::Administer => "`administer`",
            routes::Need::Wrapping => "a token or a wrapping token",
        };
        let _ = writeln!(out, "| `{} {}` | {needs} | {} |", verbs.join(", "), entry.pattern, entry.summary);
    }
    document::block(API, "host", &out);
}

/// What answers while sealed. Bare JSON without an envelope.
const SEALED: &[(&str, &str, &str)] = &[
    ("GET sys/health", "sys/health", "Tell by its status how the server is: 200, 501 not initialised, 503 sealed."),
    ("GET sys/seal-status", "sys/seal-status", "Tell of the seal and of the shares given so far."),
    (
        "GET sys/leader",
        "sys/leader",
        "Say who leads: every node does, and where there is one node, that there is no cluster.",
    ),
    ("GET, POST sys/init", "sys/init", "Tell whether the store is initialised; initialise it, once."),
    ("POST sys/unseal", "sys/unseal", "Give one share, or start over with `reset`."),
    ("POST sys/seal", "sys/seal", "Forget the root key."),
];

fn verb(verb: &Verb) -> &'static str {
    match verb {
        Verb::Read => "GET",
        Verb::Head => "HEAD",
        Verb::List => "LIST",
        Verb::Update => "POST",
        Verb::Delete => "DELETE",
        Verb::Patch => "PATCH",
        Verb::Scan => "SCAN",
        Verb::Help => "HELP",
    }
}

/// The golden matrix for reviewers: who may do what.
#[test]
fn who_may_do_what_is_in_the_reference() {
    let mut out = String::from(
        "| request | nobody | a JWT that satisfies a role | a login's token | root token |\n|---|---|---|---|---|\n",
    );
    for (path, op) in folders().iter().flatten().flat_map(|path| path.operations.iter().map(move |op| (path, op))) {
        let (nobody, assertion, login, root) = match op.need {
            Need::Configure => ("–", "–".to_owned(), "`administer`".to_owned(), "yes"),
            Need::Metadata(capability) => ("–", "–".to_owned(), format!("`{capability}`"), "yes"),
            Need::Act(capability) if capability.discloses() => {
                ("–", format!("`{capability}`"), format!("`{capability}`, and a JWT unless `assertion: login`"), "–")
            }
            Need::Act(capability) => {
                ("–", format!("`{capability}`"), format!("`{capability}`, and a JWT if `assertion: request`"), "–")
            }
            Need::Nothing => ("a signed event", "–".to_owned(), "–".to_owned(), "–"),
        };
        let _ = writeln!(out, "| `{}` | {nobody} | {assertion} | {login} | {root} |", line(path, op));
    }
    document::block(API, "access", &out);
}

#[test]
fn every_refusal_by_an_account_is_in_the_reference() {
    let mut rows: Vec<(&str, u16, String)> = Vec::new();
    for refusal in refusals() {
        let error = Error::from(refusal.clone());
        let said = error.public().strip_prefix(&format!("{}: ", refusal.word())).expect("the word stands first");
        rows.push((refusal.word(), error.kind().status(), said.to_owned()));
    }
    let mut out = String::from("| first word | status | for example |\n|---|---|---|\n");
    for (word, status, said) in rows {
        let _ = writeln!(out, "| `{word}` | {status} | {said} |");
    }
    document::block(API, "refusals", &out);
}

/// Every refusal of the domain once. The match has no arm for the rest: a new one must be added to the list.
fn refusals() -> Vec<Refusal> {
    let all = vec![
        Refusal::CasMismatch { expected: 1, is: 2 },
        Refusal::EnrollmentOwed { latest: 3 },
        Refusal::EnrollmentStale { given: 2, latest: 3 },
        Refusal::BoundInFuture,
        Refusal::BoundBeforeEnrollment,
        Refusal::BoundBeforeActive,
        Refusal::KnownCodes(vec![1, 4]),
        Refusal::NoSet,
        Refusal::Exhausted(2),
        Refusal::Ended(2, Cause::ReEnrollment),
        Refusal::Quarantined(2),
        Refusal::Held(2, Timestamp::from_secs(1_780_000_000), "backup of last night".to_owned()),
        Refusal::NotQuarantined(2),
        Refusal::NotLocked,
        Refusal::Alive(2),
        Refusal::OnlyVerified,
        Refusal::OnlyRetrieved,
        Refusal::NoProvider(2),
        Refusal::Leaving("https://vault.example.com:8200/backup-codes".to_owned()),
        Refusal::Left("https://vault.example.com:8200/backup-codes".to_owned()),
        Refusal::HereAlready,
        Refusal::GoneOn,
        Refusal::NotDispensed { slot: 4, state: "held" },
        Refusal::NoGeneration(9),
        Refusal::NoSlot { slot: 11, count: 10 },
        Refusal::SlotSpent(4),
        Refusal::OutOfTurn { next: 3 },
        Refusal::Forbidden("its profile forbids retrieval"),
        Refusal::TooMany { max: 2, scope: Scope::Account, wait: Duration::from_secs(1800) },
        Refusal::Full,
        Refusal::LiveSet(2),
        Refusal::TextHoldsCode("reason"),
        Refusal::KeyReused,
        Refusal::AssertionUsed,
        Refusal::WrapTooLong { window: 300 },
    ];
    for refusal in &all {
        match refusal {
            Refusal::CasMismatch { .. } | Refusal::EnrollmentOwed { .. } | Refusal::EnrollmentStale { .. } => {}
            Refusal::BoundInFuture | Refusal::BoundBeforeEnrollment | Refusal::BoundBeforeActive => {}
            Refusal::KnownCodes(_) | Refusal::NoSet | Refusal::Exhausted(_) | Refusal::Ended(..) => {}
            Refusal::Quarantined(_) | Refusal::Held(..) | Refusal::NotQuarantined(_) | Refusal::NoGeneration(_) => {}
            Refusal::NoSlot { .. } | Refusal::SlotSpent(_) | Refusal::OutOfTurn { .. } => {}
            Refusal::Forbidden(_) | Refusal::TooMany { .. } | Refusal::Full | Refusal::LiveSet(_) => {}
            Refusal::TextHoldsCode(_) | Refusal::KeyReused | Refusal::AssertionUsed => {}
            Refusal::WrapTooLong { .. } | Refusal::NotDispensed { .. } => {}
            Refusal::NotLocked | Refusal::Alive(_) | Refusal::OnlyVerified | Refusal::OnlyRetrieved => {}
            Refusal::NoProvider(_) => {}
            Refusal::Leaving(_) | Refusal::Left(_) | Refusal::HereAlready | Refusal::GoneOn => {}
        }
    }
    all
}

#[test]
fn every_refusal_of_an_assertion_is_in_the_reference() {
    let mut out = String::from("| what is wrong | an act answers 403 |\n|---|---|\n");
    for (what, refusal) in assertion_refusals() {
        let error = refusal.for_act();
        assert_eq!(error.kind(), Kind::Denied, "{refusal:?}");
        let _ = writeln!(out, "| {what} | `{}` |", error.public());
    }
    document::block(API, "assertions", &out);
}

/// The refusals of assertions in the order in which they are found. As above, no arm for the rest.
fn assertion_refusals() -> Vec<(&'static str, auth::Refusal)> {
    use auth::Refusal as No;
    let pinned = false;
    let all = vec![
        ("longer than 16 KiB", No::TooLarge),
        ("not three parts", No::Parts),
        ("not canonical base64url", No::Encoding),
        ("not JSON", No::Json),
        ("JSON nests too deep", No::Deep),
        ("a member twice", No::Repeated("sub".into())),
        ("`crit` in the header", No::Critical),
        ("`alg`, `kid` or `typ` of the wrong type", No::Header("alg")),
        ("`typ` is not absent, `JWT` or `at+jwt`", No::Type("secevent+jwt".into())),
        ("`iss` is no issuer of the role", No::Issuer),
        ("`none`, HMAC, unknown `alg`", No::Algorithm { alg: "none".into(), pinned }),
        ("`alg` not in `jwt_supported_algs`", No::AlgorithmNotAllowed("RS256".into())),
        ("the issuer's keys cannot be fetched", No::KeysUnavailable),
        ("no key of that `kid` and `alg`", No::NoKey { pinned }),
        ("signature", No::Signature { pinned }),
        ("a claim spelt like a registered one", No::Ambiguous { claim: "Aud".into(), registered: "aud" }),
        ("required claim missing", No::ClaimMissing("exp")),
        ("claim of the wrong JSON type", No::ClaimType { claim: "exp", found: "a string" }),
        ("`nbf`", No::NotYet),
        ("`exp`", No::Expired),
        ("`iat`", No::IssuedInFuture),
        ("`bound_subject`", No::Subject),
        ("`bound_audiences`", No::Audience),
        ("`user_claim`", No::UserClaimMissing("email".into())),
        ("`user_claim` is no text", No::UserClaimType("email".into())),
        ("`bound_claims`: missing", No::BoundClaimMissing("groups".into())),
        ("`bound_claims`: another value", No::BoundClaim("groups".into())),
        ("`bound_claims`: object or null", No::BoundClaimType("groups".into())),
        ("`operations`", No::Operation(Capability::Retrieve)),
        ("`accounts`", No::Account),
        ("`max_assertion_age`", No::TooOld(Duration::from_secs(600))),
        ("`refused_amr`", No::RefusedMethod),
        (
            "`required_acr`, `required_amr`, `max_auth_age`",
            No::StepUp { acr: vec!["phr".into()], amr: vec!["hwk".into()], max_age: Some(Duration::from_secs(300)) },
        ),
        ("`bound_cidrs`", No::Network),
        ("`assertion`", No::NotInRequest),
        ("`wrap`", No::Unwrapped),
        ("`require_reason`", No::Reason),
        ("`ticket_pattern`", No::Ticket),
        ("issuers of type `host`, standalone", No::HostOnly),
        ("issuers of both types", No::MixedIssuers),
        ("issuers of type `host`, and a `jwt`", No::TakesNoJwt),
        ("`host`: a token without an entity", No::NoEntity),
        ("`host`: no alias at `mount_accessor`", No::NoAlias),
        ("`host`: an alias elsewhere too", No::OtherAlias),
    ];
    for (_, refusal) in &all {
        match refusal {
            No::TooLarge | No::Parts | No::Encoding | No::Json | No::Deep | No::Repeated(_) | No::Header(_) => {}
            No::Critical | No::Type(_) | No::Algorithm { .. } | No::AlgorithmNotAllowed(_) | No::NoKey { .. } => {}
            No::KeysUnavailable | No::Signature { .. } | No::Ambiguous { .. } | No::ClaimMissing(_) => {}
            No::ClaimType { .. } | No::Issuer | No::Expired | No::NotYet | No::IssuedInFuture | No::Audience => {}
            No::Subject | No::BoundClaimMissing(_) | No::BoundClaim(_) | No::BoundClaimType(_) => {}
            No::UserClaimMissing(_) | No::UserClaimType(_) | No::Operation(_) | No::Account | No::TooOld(_) => {}
            No::StepUp { .. } | No::RefusedMethod | No::Network | No::NotInRequest | No::Unwrapped => {}
            No::Reason | No::Ticket | No::HostOnly | No::MixedIssuers | No::TakesNoJwt => {}
            No::NoEntity | No::NoAlias | No::OtherAlias => {}
        }
    }
    all
}

#[test]
fn every_status_is_in_the_reference() {
    let kinds = [
        (
            Kind::Invalid,
            "the request cannot be carried out as written, or the account's state refuses it; a login is refused",
        ),
        (Kind::Denied, "no valid token, or an assertion or role that does not allow the act"),
        (Kind::NotFound, "nothing there; a list without entries"),
        (Kind::Unsupported, "the path exists, the operation on it does not"),
        (Kind::TooLarge, "the body is larger than the listener reads"),
        (Kind::MediaType, "a media type that the path does not read"),
        (Kind::TooMany, "`max_retrievals`, or too many attempts"),
        (Kind::Internal, "storage or audit failed; the caller learns \"internal error\", the log the cause"),
        (
            Kind::Unavailable,
            "sealed, no durable audit device for a disclosure, or writers in each other's way beyond retries",
        ),
    ];
    let mut out = String::from("| status | means |\n|---|---|\n");
    for (kind, means) in kinds {
        match kind {
            Kind::Invalid | Kind::Denied | Kind::NotFound | Kind::Unsupported | Kind::TooLarge => {}
            Kind::MediaType | Kind::TooMany | Kind::Internal | Kind::Unavailable => {}
        }
        let _ = writeln!(out, "| {} | {means} |", kind.status());
    }
    document::block(API, "statuses", &out);
}

#[test]
fn every_metric_is_in_the_reference() {
    let start = Timestamp::from_secs(0);
    let mut out = String::from("| metric | kind | labels | what it tells |\n|---|---|---|---|\n");
    for family in Metrics::new(start).families(&Gauges::default(), start) {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind) = (family.name, family.values.kind());
        let _ = writeln!(out, "| `{name}` | {kind} | {} | {} |", labels.join(", "), family.help);
    }
    document::block("docs/configuration.md", "metrics", &out);
}

/// What a read of a record answers is described in the table, so that help, OpenAPI and this reference leave nothing out.
#[test]
fn every_field_that_a_record_answers_is_in_the_table() {
    let wires = [
        ("roles", Role::default().wire(), schema::ROLE_FIELDS),
        ("profiles", Profile::default().wire(), schema::PROFILE),
        ("profiles", Profile::built_in(Profile::ISSUED).unwrap().wire(), schema::PROFILE),
        ("config", Settings::default().wire(&[0; 16], 1), schema::CONFIG),
    ];
    for (what, wire, fields) in wires {
        for name in wire.keys().filter(|name| !matches!(name.as_str(), "mount_id" | "format")) {
            assert!(fields.iter().any(|field| field.name == name), "{what} answers {name}, which the table lacks");
        }
    }
}
