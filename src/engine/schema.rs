//! The fields that each path takes: name, type and meaning. Help and OpenAPI are made from these.

/// The JSON type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// Seconds, or a text such as `1h30m`.
    Duration,
    /// RFC 3339 text or Unix seconds.
    Time,
    /// A list of strings, or a text with commas.
    List,
    /// An object.
    Object,
}

/// One field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Whether the request is refused without it.
    pub required: bool,
    /// What it means.
    pub about: &'static str,
}

const fn field(name: &'static str, kind: Type, about: &'static str) -> Field {
    Field { name, kind, required: false, about }
}
const fn required(name: &'static str, kind: Type, about: &'static str) -> Field {
    Field { name, kind, required: true, about }
}

use Type::{Boolean, Duration, Integer, List, Object, Text, Time};

const ROLE: Field = field("role", Text, "Role to act under; else the login's role, else the mount's default_role.");
const JWT: Field = field("jwt", Text, "The assertion: a JWT that satisfies the role. A JSON string.");
const REASON: Field = field("reason", Text, "Why; stays in the account's history. Must not contain a code.");
const TICKET: Field = field("ticket", Text, "The ticket this belongs to.");
const KEY: Field = field(
    "idempotency_key",
    Text,
    "The same request with the same key costs no other code: for a day at least, and while its set is among the account's last.",
);
const REPLY_KEY: Field = field(
    "idempotency_key",
    Text,
    "The same request with the same key gets the same answer again for a while, though the code is consumed.",
);
const GENERATION: Field = field("generation", Integer, "Which set; the current one if absent.");
const AFTER: Field = field("after", Text, "List entries after this one only.");
const LIMIT: Field = field("limit", Integer, "At most so many entries.");

/// A path without fields.
pub const NONE: &[Field] = &[];
/// Lists.
pub const LIST: &[Field] = &[AFTER, LIMIT];
/// `config`.
pub const CONFIG: &[Field] = &[
    field("default_role", Text, "Role of an act that names none."),
    field("default_profile", Text, "Profile of an account that its first set creates [escrowed]."),
    field("clock_skew", Duration, "How far clocks may differ [30s]."),
    field(
        "event_retention",
        Duration,
        "How long events are remembered [2160h]; one that comes again later counts as new, and ends no set bound after it.",
    ),
    field(
        "sparekey_url",
        Text,
        "Address of this mount, such as https://vault.example.com:8200/v1/backup-codes: what answers say to call next is a link below it.",
    ),
];
/// `config/keys/rewrap`.
pub const REWRAP: &[Field] = &[
    field("batch", Integer, "So many records are looked at in one go [256, at most 10000]."),
    field("stop", Boolean, "true: stop; the next call without it goes on from there."),
];
/// `config/restore`.
pub const RESTORE: &[Field] = &[
    required("reason", Text, "Why; it stays in the history of every account that is held."),
    required("hold", Text, "known: the accounts that are named; all: every one with a live set."),
    field(
        "accounts",
        List,
        "With known: every account that was acted on since the state that came back, at most 1000.",
    ),
];
/// `history/:account` and `config/history`.
pub const HISTORY: &[Field] = &[
    field("after", Integer, "Entries after this number only."),
    field("limit", Integer, "At most so many entries [100, at most 1000]."),
    field("verify", Boolean, "Check the whole chain and answer verified."),
];
/// `issuers/:name`.
pub const ISSUER: &[Field] = &[
    field("type", Text, "jwt or host [jwt]: signed tokens, or the word of the vault that mounts us. It cannot change."),
    field("bound_issuer", Text, "Type jwt, required: the iss claim that its tokens carry, exactly."),
    field("mount_accessor", Text, "Type host, required: accessor of the auth method whose aliases it vouches for."),
    field("jwt_validation_pubkeys", List, "Pinned public keys in PEM: they need no network and never go stale."),
    field("jwks", Object, "Inline JSON Web Key Set (RFC 7517)."),
    field("jwks_url", Text, "Address of a JSON Web Key Set."),
    field("jwks_ca_pem", Text, "Certificate authority for jwks_url."),
    field("oidc_discovery_url", Text, "OpenID Connect issuer to discover keys from."),
    field("oidc_discovery_ca_pem", Text, "Certificate authority for oidc_discovery_url."),
    field("jwt_supported_algs", List, "Algorithms it may sign with; else those that fit its keys."),
    field("clock_skew_leeway", Duration, "How far its clock may differ; at most 60s."),
    field("trust_email", Boolean, "It vouches for e-mail claims without email_verified."),
];
/// `profiles/:name`.
pub const PROFILE: &[Field] = &[
    field(
        "kind",
        Text,
        "escrowed: another system issued the codes; issued: they are made and verified here. Never changes [escrowed].",
    ),
    field("count", Integer, "Exactly so many codes [issued: 10, at most 64]."),
    field(
        "length",
        Integer,
        "Exactly so many characters a code, without dashes and spaces [issued: 16]; issued codes have at least 64 bits.",
    ),
    field("alphabet", Text, "crockford32, digits, hex or alphanumeric [issued: crockford32]."),
    field("group", Integer, "Issued: characters shown in a group; 0 for one piece [4]."),
    field("verifier", Text, "Issued: argon2id, or hmac-sha256 for codes of at least 112 bits [argon2id]."),
    field("order", Text, "any or sequential [any]."),
    field("low_watermark", Integer, "Warn when no more codes remain [3]."),
    field("max_age", Duration, "Refuse a set older than this."),
    field("regenerate_within", Duration, "How soon after the first code was used a new set is owed [24h]."),
    field("on_lapse", Text, "revoke or flag [flag]."),
    field(
        "reveal_window",
        Duration,
        "How long the same caller with the same key gets the same answer again [5m, at most 24h].",
    ),
    field("destroy_after", Duration, "How long ciphertexts and verifiers outlive their set [0]."),
    field("max_failures", Integer, "So many wrong codes in a row lock the account for a while [10, at most 100]."),
    field("lockout", Duration, "For that while [15m, from 1m to 24h]."),
    field("on_enrollment", Text, "supersede, quarantine or notify [supersede]."),
    field("retrieval", Text, "Escrowed: allowed or forbidden [allowed]."),
    field("review_by", Time, "When somebody must have reviewed this fallback."),
    field("review_required", Boolean, "A lapsed review refuses use [false]."),
    field(
        "fingerprint_retention",
        Duration,
        "How long codes are recognised after their set has ended [8760h, at least 24h].",
    ),
];
/// `roles/:name`.
pub const ROLE_FIELDS: &[Field] = &[
    required("issuers", List, "Names of the issuers whose tokens it takes."),
    field(
        "bound_audiences",
        List,
        "Audiences, exactly; the token carries at least one. Required, except over issuers of type host.",
    ),
    field("bound_subject", Text, "The sub claim, exactly."),
    field("bound_claims", Object, "Claims and the values they may have; all must match."),
    field("bound_claims_type", Text, "string or glob [string]."),
    field("user_claim", Text, "The claim that names the subject [sub]."),
    required("accounts", List, "Accounts it covers: globs, {{claim}} templates."),
    required(
        "operations",
        List,
        "store, retrieve, outcome, verify, check, enroll, revoke, release, confirm, transfer, read, list, history, report, administer.",
    ),
    field("assertion", Text, "request: the JWT must come with each act; login: a login's claims always suffice."),
    field("single_use", Boolean, "A JWT discloses one code only [true]."),
    field("max_assertion_age", Duration, "How old a JWT may be [10m]."),
    field("required_acr", List, "Any of these acr values."),
    field("required_amr", List, "All of these amr values."),
    field("refused_amr", List, "None of these amr values."),
    field("max_auth_age", Duration, "How long ago the person may have signed in (auth_time)."),
    field("max_retrievals", Integer, "How many codes a subject may have in a period."),
    field("per", Duration, "That period [24h]."),
    field(
        "scope",
        Text,
        "What max_retrievals counts of a subject: account, its retrievals from one account; role, from all accounts together [account].",
    ),
    field("require_reason", Boolean, "Retrievals must say why [true]."),
    field("ticket_pattern", Text, "Retrievals must name a ticket of this pattern."),
    field("bound_cidrs", List, "Networks it may be used from."),
    field("wrap", Text, "required or optional [optional]."),
    field("token_ttl", Duration, "How long a login's token lives before it must be renewed."),
    field("token_max_ttl", Duration, "How long it lives at most."),
];
/// `sources/:name`.
pub const SOURCE: &[Field] = &[
    required("type", Text, "caep."),
    required("issuer", Text, "Name of the issuer whose keys sign the events."),
    required("bound_audiences", List, "Audiences, exactly; the event carries at least one."),
    field("skew", Duration, "How far event times may be off [30s]."),
    field("subjects", Object, "email:…, iss_sub:ISS|SUB, opaque:ID or account:URI to account or list of accounts."),
    field("account_template", Text, "Account of a subject that is not listed, such as okta/{{email}}."),
    field("critical_subject_members", List, "Subject members that must be understood."),
];
/// `accounts/:account`.
pub const ACCOUNT: &[Field] = &[
    field("profile", Text, "Name of its profile [the mount's default_profile]."),
    field("owner", Text, "Who answers for it."),
    field("login_name", Text, "The name to log in with."),
    field("login_url", Text, "Where the code is typed."),
    field("protects", List, "Issuers, accounts or host-seal that hang on this account."),
    field("labels", Object, "Free labels."),
];
/// `sets/:account`.
pub const STORE: &[Field] = &[
    ROLE,
    JWT,
    field(
        "codes",
        List,
        "The codes in the provider's order, JSON strings. Absent where the profile issues codes: they are made here and shown once.",
    ),
    field("used", List, "Slots that are spent already."),
    field("cas", Integer, "The highest generation you know of; 0 if there is none."),
    field("bound_at", Time, "When these codes were known to be the provider's current ones."),
    field("enrollment", Integer, "Number of the enrollment that these codes belong to."),
    field("profile", Text, "Profile of an account that this set creates."),
    field("custody", Text, "Who else has seen the codes."),
    REASON,
    TICKET,
    KEY,
];
/// `retrieve/:account`.
pub const RETRIEVE: &[Field] =
    &[ROLE, JWT, REASON, TICKET, field("slot", Integer, "Which code; the lowest one held if absent."), KEY];
/// `outcome/:account`.
pub const OUTCOME: &[Field] = &[
    ROLE,
    JWT,
    field("generation", Integer, "Which set; the latest one if absent."),
    required("slot", Integer, "Which code: the slot that retrieve named."),
    required("outcome", Text, "worked, refused (somebody else may have used it) or unused."),
    field("note", Text, "What there is to say about it. Must not contain a code."),
    TICKET,
];
/// `verify/:account`.
pub const VERIFY: &[Field] =
    &[ROLE, JWT, required("code", Text, "The code as it was typed. A JSON string."), REPLY_KEY];
/// `check/:account`.
pub const CHECK: &[Field] =
    &[ROLE, JWT, required("code", Text, "The code in question. A JSON string."), REASON, TICKET];
/// `confirm/:account`.
pub const CONFIRM: &[Field] = &[
    ROLE,
    JWT,
    field("generation", Integer, "Which set; the one that ended last if absent."),
    field("note", Text, "How that is known. Must not contain a code."),
    TICKET,
];
/// `enroll/:account`.
pub const ENROLL: &[Field] = &[
    ROLE,
    JWT,
    field("enrollment_id", Text, "The provider's id of the enrollment: a repeat changes nothing."),
    field("occurred_at", Time, "When it happened [now]."),
    field("method", Text, "What was enrolled."),
    REASON,
    TICKET,
];
/// `revoke/:account`.
pub const REVOKE: &[Field] = &[
    ROLE,
    JWT,
    GENERATION,
    required("reason", Text, REASON.about),
    TICKET,
    field("cause", Text, "operator or compromise [operator]."),
];
/// `release/:account`.
pub const RELEASE: &[Field] = &[
    ROLE,
    JWT,
    GENERATION,
    required("reason", Text, REASON.about),
    TICKET,
    field(
        "unlock",
        Boolean,
        "true: lift the lock after wrong codes; false: let the quarantined set live; absent: whichever there is.",
    ),
];
/// `transfer/:account`.
pub const TRANSFER: &[Field] = &[
    ROLE,
    JWT,
    required(
        "source",
        Object,
        "mount_id, account_id, seq and head: where it comes from, and its ledger there when it left.",
    ),
    required("state", Object, "What is known of the account and its sets, as sparekey transfer sends it; no code."),
    field("codes", List, "The codes that are left, JSON strings: one for each slot that state says is held."),
    field(
        "fingerprint_keys",
        List,
        "The keys of state.fingerprints, in hexadecimal: codes that were here once stay known.",
    ),
    REASON,
    TICKET,
];
/// `events/:source`.
pub const EVENT: &[Field] = &[required("set", Text, "The Security Event Token (RFC 8417).")];
const PREFIX: Field = field("prefix", Text, "Only this account or folder, such as github/; all if absent.");
const PLACE: Field = field("after", Text, "Where to go on: the next of the page before.");
const PAGE: Field =
    field("limit", Integer, "Looks at no more accounts, or tells no more acts, a page [100, at most 1000].");
const FORMAT: Field =
    field("format", Text, "json, or csv: the rows as text in the field csv, its head on the first page [json].");
const FROM: Field = field("from", Time, "Only acts from then on.");
const TO: Field = field("to", Time, "Only acts before then.");
/// `report/posture`.
pub const POSTURE: &[Field] = &[
    PREFIX,
    field("only", List, "Only accounts with one of these warnings; any: with one at all."),
    field("soon", Duration, "How long before its end a set expires soon [336h]."),
    PLACE,
    PAGE,
    FORMAT,
];
/// `report/usage`.
pub const USAGE: &[Field] = &[
    PREFIX,
    FROM,
    TO,
    field("act", List, "Only these acts, such as retrieve,verify."),
    field("role", Text, "Only acts under this role."),
    field("subject", Text, "Only acts of this subject."),
    PLACE,
    PAGE,
    FORMAT,
];
/// `report/access`.
pub const ACCESS: &[Field] = &[PREFIX, FROM, TO, PLACE, PAGE, FORMAT];
