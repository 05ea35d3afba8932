//! JWT-scoped roles: the record of `roles/:name`, as it is written, stored and read. [`Rule`] is the
//! same compiled.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::fields::{Fields, Given};
use crate::domain::name::record_name;
use crate::domain::rule::Rule;
use crate::error::{Error, Result};

/// What a role may allow. The names are those of `operations` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Store a set.
    Store,
    /// Dispense a code.
    Retrieve,
    /// Report what became of a dispensed code.
    Outcome,
    /// Consume a presented code.
    Verify,
    /// Ask whether a code is one of the account's.
    Check,
    /// Report an enrollment.
    Enroll,
    /// End a set.
    Revoke,
    /// Let a quarantined set live again.
    Release,
    /// Say that the provider, too, invalidated a set.
    Confirm,
    /// Take in an account that another mount hands over.
    Transfer,
    /// Read an account's metadata.
    Read,
    /// List accounts.
    List,
    /// Read an account's ledger.
    History,
    /// Read reports over the accounts.
    Report,
    /// Configure, and manage accounts and tokens.
    Administer,
}

impl Capability {
    /// All of them, in the order in which they are named in messages.
    pub const ALL: [Capability; 15] = [
        Capability::Store,
        Capability::Retrieve,
        Capability::Outcome,
        Capability::Verify,
        Capability::Check,
        Capability::Enroll,
        Capability::Revoke,
        Capability::Release,
        Capability::Confirm,
        Capability::Transfer,
        Capability::Read,
        Capability::List,
        Capability::History,
        Capability::Report,
        Capability::Administer,
    ];
    /// Names that are kept for operations which do not exist yet.
    const LATER: [&str; 2] = ["issue", "approve"];

    /// Its name on the wire and in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Capability::Store => "store",
            Capability::Retrieve => "retrieve",
            Capability::Outcome => "outcome",
            Capability::Verify => "verify",
            Capability::Check => "check",
            Capability::Enroll => "enroll",
            Capability::Revoke => "revoke",
            Capability::Release => "release",
            Capability::Confirm => "confirm",
            Capability::Transfer => "transfer",
            Capability::Read => "read",
            Capability::List => "list",
            Capability::History => "history",
            Capability::Report => "report",
            Capability::Administer => "administer",
        }
    }
    /// The capability of that exact name.
    pub fn parse(name: &str) -> Result<Self> {
        if let Some(found) = Self::ALL.into_iter().find(|known| known.name() == name) {
            return Ok(found);
        }
        if Self::LATER.contains(&name) {
            return Err(Error::field("operations", format_args!("{name}: not built yet")));
        }
        let known: Vec<_> = Self::ALL.iter().map(|known| known.name()).collect();
        Err(Error::field("operations", format_args!("{name:?} is none of {}", known.join(", "))))
    }
    /// Whether a code of a stored set leaves with the answer.
    pub const fn discloses(self) -> bool {
        matches!(self, Capability::Retrieve)
    }
    /// Whether the request has a `reason`.
    pub const fn takes_reason(self) -> bool {
        matches!(self, Capability::Retrieve | Capability::Revoke | Capability::Release)
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// How a role wants to see the assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssertionMode {
    /// In the request, whatever is done.
    Request,
    /// Login claims suffice, whatever is done.
    Login,
}

/// How `bound_claims` are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Comparison {
    /// Exactly.
    String,
    /// As globs, in which `*` stands for any run of characters.
    Glob,
}

/// Whether disclosed codes must leave wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wrapping {
    /// A bare answer is refused.
    Required,
    /// As the caller asks.
    Optional,
}

/// What `max_retrievals` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Retrievals of one subject from one account.
    Account,
    /// Retrievals of one subject from all accounts together.
    Role,
}

/// A role, complete and valid: it compiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    pub(super) issuers: Vec<String>,
    pub(super) bound_audiences: Vec<String>,
    pub(super) bound_subject: Option<String>,
    pub(super) bound_claims: Map<String, Value>,
    pub(super) bound_claims_type: Comparison,
    pub(super) user_claim: String,
    pub(super) accounts: Vec<String>,
    pub(super) operations: Vec<Capability>,
    pub(super) assertion: Option<AssertionMode>,
    pub(super) single_use: bool,
    pub(super) max_assertion_age: u64,
    pub(super) required_acr: Vec<String>,
    pub(super) required_amr: Vec<String>,
    pub(super) refused_amr: Vec<String>,
    pub(super) max_auth_age: Option<u64>,
    pub(super) max_retrievals: Option<u64>,
    pub(super) per: u64,
    pub(super) scope: Scope,
    pub(super) require_reason: bool,
    pub(super) ticket_pattern: Option<String>,
    pub(super) bound_cidrs: Vec<String>,
    pub(super) wrap: Wrapping,
    pub(super) token_ttl: u64,
    pub(super) token_max_ttl: u64,
}

impl Default for Role {
    /// What each field is when nobody gives it. Not yet valid: the required fields are empty.
    fn default() -> Self {
        Role {
            issuers: Vec::new(),
            bound_audiences: Vec::new(),
            bound_subject: None,
            bound_claims: Map::new(),
            bound_claims_type: Comparison::String,
            user_claim: "sub".to_owned(),
            accounts: Vec::new(),
            operations: Vec::new(),
            assertion: None,
            single_use: true,
            max_assertion_age: 600,
            required_acr: Vec::new(),
            required_amr: Vec::new(),
            refused_amr: Vec::new(),
            max_auth_age: None,
            max_retrievals: None,
            per: 86_400,
            scope: Scope::Account,
            require_reason: true,
            ticket_pattern: None,
            bound_cidrs: Vec::new(),
            wrap: Wrapping::Optional,
            token_ttl: 3600,
            token_max_ttl: 86_400,
        }
    }
}

impl Role {
    /// The role `name` that `fields` make of `old` (or of nothing): given fields replace, absent ones stay, `null` resets.
    /// Unknown fields are refused by name, so that a misspelt check is never a check that is off.
    pub fn update(old: Option<&Role>, name: &str, fields: &mut Fields) -> Result<Role> {
        record_name("name", name)?;
        if matches!(name, "root" | "default") {
            return Err(Error::field("name", format_args!("{name} is reserved")));
        }
        let default = Role::default();
        let was = old.cloned().unwrap_or_else(Role::default);
        let scope = choice(fields.string("scope")?, "scope", |scope| match scope {
            "account" => Ok(Scope::Account),
            "role" => Ok(Scope::Role),
            _ => Err(format!("account or role, not {scope:?}")),
        })?;
        let assertion = choice(fields.string("assertion")?, "assertion", |mode| match mode {
            "request" => Ok(Some(AssertionMode::Request)),
            "login" => Ok(Some(AssertionMode::Login)),
            _ => Err(format!("request, login or null, not {mode:?}")),
        })?;
        let bound_claims_type =
            choice(fields.string("bound_claims_type")?, "bound_claims_type", |comparison| match comparison {
                "string" => Ok(Comparison::String),
                "glob" => Ok(Comparison::Glob),
                _ => Err(format!("string or glob, not {comparison:?}")),
            })?;
        let wrap = choice(fields.string("wrap")?, "wrap", |wrap| match wrap {
            "required" => Ok(Wrapping::Required),
            "optional" => Ok(Wrapping::Optional),
            _ => Err(format!("required or optional, not {wrap:?}")),
        })?;
        let operations = match fields.list("operations")? {
            Given::Absent => Given::Absent,
            Given::Reset => Given::Reset,
            Given::Value(names) => {
                let mut all = names.iter().map(|name| Capability::parse(name)).collect::<Result<Vec<_>>>()?;
                all.sort();
                all.dedup();
                Given::Value(all)
            }
        };
        let role = Role {
            issuers: fields.list("issuers")?.over(was.issuers, default.issuers),
            bound_audiences: fields.list("bound_audiences")?.over(was.bound_audiences, default.bound_audiences),
            bound_subject: text(fields.string("bound_subject")?).over(was.bound_subject, default.bound_subject),
            bound_claims: claims(fields.take("bound_claims"))?.over(was.bound_claims, default.bound_claims),
            bound_claims_type: bound_claims_type.over(was.bound_claims_type, default.bound_claims_type),
            user_claim: fields.string("user_claim")?.over(was.user_claim, default.user_claim),
            accounts: fields.list("accounts")?.over(was.accounts, default.accounts),
            operations: operations.over(was.operations, default.operations),
            assertion: assertion.over(was.assertion, default.assertion),
            single_use: fields.boolean("single_use")?.over(was.single_use, default.single_use),
            max_assertion_age: span(fields, "max_assertion_age")?
                .over(was.max_assertion_age, default.max_assertion_age),
            required_acr: fields.list("required_acr")?.over(was.required_acr, default.required_acr),
            required_amr: fields.list("required_amr")?.over(was.required_amr, default.required_amr),
            refused_amr: fields.list("refused_amr")?.over(was.refused_amr, default.refused_amr),
            max_auth_age: some(span(fields, "max_auth_age")?).over(was.max_auth_age, default.max_auth_age),
            max_retrievals: some(fields.integer("max_retrievals", 1, 1000)?)
                .over(was.max_retrievals, default.max_retrievals),
            per: span(fields, "per")?.over(was.per, default.per),
            scope: scope.over(was.scope, default.scope),
            require_reason: fields.boolean("require_reason")?.over(was.require_reason, default.require_reason),
            ticket_pattern: text(fields.string("ticket_pattern")?).over(was.ticket_pattern, default.ticket_pattern),
            bound_cidrs: fields.list("bound_cidrs")?.over(was.bound_cidrs, default.bound_cidrs),
            wrap: wrap.over(was.wrap, default.wrap),
            token_ttl: span(fields, "token_ttl")?.over(was.token_ttl, default.token_ttl),
            token_max_ttl: span(fields, "token_max_ttl")?.over(was.token_max_ttl, default.token_max_ttl),
        };
        fields.refuse_unknown()?;
        role.compile()?;
        Ok(role)
    }

    /// Names of the issuers whose tokens it takes.
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// The role as requests are judged by it.
    pub fn compile(&self) -> Result<Rule> {
        Rule::of(self)
    }

    /// What is stored and what a read answers: every field, durations in seconds. Writing it back changes nothing.
    pub fn wire(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

/// The longest duration that a role may hold: ten years.
const LONGEST: u64 = 10 * 366 * 86_400;

fn span(fields: &mut Fields, name: &'static str) -> Result<Given<u64>> {
    Ok(match fields.duration(name)? {
        Given::Absent => Given::Absent,
        Given::Reset => Given::Reset,
        Given::Value(span) if (Duration::from_secs(1)..=Duration::from_secs(LONGEST)).contains(&span) => {
            Given::Value(span.as_secs())
        }
        Given::Value(_) => {
            return Err(Error::field(name, "at least one second, at most ten years; null for the default"));
        }
    })
}

fn some<T>(given: Given<T>) -> Given<Option<T>> {
    match given {
        Given::Absent => Given::Absent,
        Given::Reset => Given::Reset,
        Given::Value(value) => Given::Value(Some(value)),
    }
}

/// An empty text means the same as `null`.
fn text(given: Given<String>) -> Given<Option<String>> {
    match given {
        Given::Value(text) if text.is_empty() => Given::Reset,
        given => some(given),
    }
}

fn choice<T>(given: Given<String>, field: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Result<Given<T>> {
    Ok(match given {
        Given::Absent => Given::Absent,
        Given::Reset => Given::Reset,
        Given::Value(text) if text.is_empty() => Given::Reset,
        Given::Value(text) => Given::Value(read(&text).map_err(|what| Error::field(field, what))?),
    })
}

/// `bound_claims` as an object or as its JSON text (command lines can send nothing else).
fn claims(given: Given<Value>) -> Result<Given<Map<String, Value>>> {
    let wanted = || Error::field("bound_claims", "an object of claim names and the values that are allowed");
    Ok(match given {
        Given::Absent => Given::Absent,
        Given::Reset => Given::Reset,
        Given::Value(Value::Object(map)) => Given::Value(map),
        Given::Value(Value::String(text)) if text.is_empty() => Given::Reset,
        Given::Value(Value::String(text)) => Given::Value(serde_json::from_str(&text).map_err(|_| wanted())?),
        Given::Value(_) => return Err(wanted()),
    })
}
