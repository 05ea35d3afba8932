//! A role compiled: patterns parsed, networks read, ready to judge. Compiled once per revision of the role and cached.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::domain::glob::{Claims, Glob};
use crate::domain::name::{AccountName, record_name};
use crate::domain::role::{AssertionMode, Capability, Comparison, Role, Wrapping};
use crate::domain::share::Limit;
use crate::error::{Error, Result};

/// Whether bound claims are there and right; if not, the first that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed<'a> {
    /// All are.
    All,
    /// This one is missing.
    Missing(&'a str),
    /// This one has another value.
    Other(&'a str),
    /// This one is an object or null.
    Strange(&'a str),
}

/// How and when the person must have signed in.
#[derive(Debug, Clone, Copy)]
pub struct SignIn<'a> {
    /// `acr` must be one of these, if there are any.
    pub acr: &'a [String],
    /// `amr` must hold each of these; `a|b` is held if either is.
    pub amr: &'a [String],
    /// `amr` must be there and hold none of these.
    pub refused_amr: &'a [String],
    /// How long ago `auth_time` may be.
    pub max_age: Option<Duration>,
}

/// What a claim may be.
#[derive(Debug, Clone)]
enum Wanted {
    /// Equal to this value.
    Equal(Value),
    /// A text in which these follow each other, the first at the start and the last at the end, anything between them.
    Like(Vec<String>),
}

impl Wanted {
    fn is(&self, found: &Value) -> bool {
        match (self, found) {
            (Wanted::Equal(value), found) => value == found,
            (Wanted::Like(texts), Value::String(found)) => like(texts, found),
            (Wanted::Like(_), _) => false,
        }
    }
}

fn like(texts: &[String], found: &str) -> bool {
    let [first, inner @ .., last] = texts else {
        return texts.first().is_some_and(|only| only == found);
    };
    let rest = found.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
    rest.is_some_and(|rest| {
        inner.iter().try_fold(rest, |rest, text| rest.split_once(text.as_str()).map(|(_, rest)| rest)).is_some()
    })
}

/// A role as requests are judged by it.
#[derive(Debug, Clone)]
pub struct Rule {
    role: Role,
    bound_claims: Vec<(String, Vec<Wanted>)>,
    accounts: Vec<Glob>,
    ticket: Option<Regex>,
    networks: Vec<IpNet>,
}

/// Most items of one list, and longest item in bytes: a role is read on every act.
const MAX_ITEMS: usize = 256;
const MAX_ITEM: usize = 1024;

impl Rule {
    pub(super) fn of(role: &Role) -> Result<Self> {
        for (field, items) in [
            ("issuers", &role.issuers),
            ("bound_audiences", &role.bound_audiences),
            ("accounts", &role.accounts),
            ("required_acr", &role.required_acr),
            ("required_amr", &role.required_amr),
            ("refused_amr", &role.refused_amr),
            ("bound_cidrs", &role.bound_cidrs),
        ] {
            if items.len() > MAX_ITEMS || items.iter().any(|item| item.is_empty() || item.len() > MAX_ITEM) {
                return Err(Error::field(field, format_args!("at most {MAX_ITEMS} items of 1 to {MAX_ITEM} bytes")));
            }
        }
        if role.required_amr.iter().any(|item| item.split('|').any(str::is_empty)) {
            return Err(Error::field("required_amr", "a value, or values joined by | of which one will do"));
        }
        if role.issuers.is_empty() {
            return Err(Error::field("issuers", "required: names of records under issuers/"));
        }
        for issuer in &role.issuers {
            record_name("issuers", issuer)?;
        }
        if role.bound_subject.is_none() && role.bound_claims.is_empty() {
            return Err(Error::invalid(
                "must have at least one bound constraint: bound_subject or bound_claims says whose tokens satisfy the role",
            ));
        }
        if role.user_claim.is_empty() || role.user_claim.len() > MAX_ITEM {
            return Err(Error::field("user_claim", "the name of the claim that says who acts"));
        }
        if role.operations.is_empty() {
            let known: Vec<_> = Capability::ALL.iter().map(|known| known.name()).collect();
            return Err(Error::field("operations", format_args!("required: at least one of {}", known.join(", "))));
        }
        if role.accounts.is_empty() {
            return Err(Error::field(
                "accounts",
                "required: patterns such as github/* or okta/{{email}}; * alone for all",
            ));
        }
        if role.token_ttl > role.token_max_ttl {
            return Err(Error::field("token_ttl", "cannot be greater than token_max_ttl"));
        }
        Ok(Rule {
            bound_claims: bound_claims(role)?,
            accounts: role.accounts.iter().map(|glob| Glob::parse("accounts", glob)).collect::<Result<_>>()?,
            ticket: role.ticket_pattern.as_deref().map(ticket_pattern).transpose()?,
            networks: role.bound_cidrs.iter().map(|text| network(text)).collect::<Result<_>>()?,
            role: role.clone(),
        })
    }

    /// Whether `operations` name it.
    pub fn permits(&self, capability: Capability) -> bool {
        self.role.operations.contains(&capability)
    }
    /// Whether a pattern of `accounts`, filled from `claims`, matches `account`.
    pub fn covers(&self, account: &AccountName, claims: Claims<'_>) -> bool {
        self.accounts.iter().any(|glob| glob.matches(account, claims))
    }
    /// Whether a pattern of `accounts` could match `account` for somebody.
    pub fn could_cover(&self, account: &AccountName) -> bool {
        self.accounts.iter().any(|glob| glob.could_match(account))
    }
    /// Whether an account whose name begins with `prefix` could be covered: shows a folder in a list, or hides it.
    pub fn reaches(&self, prefix: &str, claims: Claims<'_>) -> bool {
        self.accounts.iter().any(|glob| glob.reaches(prefix, claims))
    }
    /// What the next segment of a name in `folder` begins with wherever the name, or something behind it, is covered: texts in the order
    /// of their bytes, none of which begins with another.
    pub fn begins(&self, folder: &str, claims: Claims<'_>) -> Vec<String> {
        let mut begins: Vec<String> = self.accounts.iter().filter_map(|glob| glob.begins(folder, claims)).collect();
        begins.sort_unstable();
        // A text stands right before those that begin with it.
        begins.dedup_by(|text, before| text.starts_with(before.as_str()));
        begins
    }
    /// Names of records under `issuers/`.
    pub fn issuers(&self) -> &[String] {
        &self.role.issuers
    }
    /// Exact audiences, any of which will do. None where the vault that mounts us vouches: its word is for us alone.
    pub fn audiences(&self) -> &[String] {
        &self.role.bound_audiences
    }
    /// The one subject, if the role names one.
    pub fn bound_subject(&self) -> Option<&str> {
        self.role.bound_subject.as_deref()
    }
    /// The claim that says who acts.
    pub fn user_claim(&self) -> &str {
        &self.role.user_claim
    }
    /// Whether every bound claim has one of its values.
    pub fn claimed(&self, claims: Claims<'_>) -> Claimed<'_> {
        for (name, values) in &self.bound_claims {
            let Some(found) = claims.get(name) else {
                return Claimed::Missing(name);
            };
            let fits = match found {
                Value::Array(items) => items.iter().any(|item| values.iter().any(|value| value.is(item))),
                Value::String(_) | Value::Bool(_) | Value::Number(_) => values.iter().any(|value| value.is(found)),
                Value::Object(_) | Value::Null => return Claimed::Strange(name),
            };
            if !fits {
                return Claimed::Other(name);
            }
        }
        Claimed::All
    }
    /// How and when the person must have signed in.
    pub fn sign_in(&self) -> SignIn<'_> {
        SignIn {
            acr: &self.role.required_acr,
            amr: &self.role.required_amr,
            refused_amr: &self.role.refused_amr,
            max_age: self.role.max_auth_age.map(Duration::from_secs),
        }
    }
    /// Whether the assertion must stand in the request itself for this act.
    pub fn needs_request(&self, capability: Capability) -> bool {
        match self.role.assertion {
            Some(AssertionMode::Request) => true,
            Some(AssertionMode::Login) => false,
            None => capability.discloses(),
        }
    }
    /// Whether one assertion allows one disclosure only.
    pub fn single_use(&self) -> bool {
        self.role.single_use
    }
    /// How old an assertion may be when it is presented.
    pub fn max_assertion_age(&self) -> Duration {
        Duration::from_secs(self.role.max_assertion_age)
    }
    /// How many codes one subject may retrieve; `None` if it is not limited.
    pub fn limit(&self) -> Option<Limit> {
        let (per, scope) = (Duration::from_secs(self.role.per), self.role.scope);
        self.role.max_retrievals.map(|max| Limit { max, per, scope })
    }
    /// Whether acts that take a reason need one.
    pub fn require_reason(&self) -> bool {
        self.role.require_reason
    }
    /// Whether `ticket` is what the role wants; without a pattern any ticket will do, and none.
    pub fn accepts_ticket(&self, ticket: Option<&str>) -> bool {
        match &self.ticket {
            None => true,
            Some(pattern) => ticket.is_some_and(|ticket| pattern.is_match(ticket)),
        }
    }
    /// Whether the role may be used from `remote`; an unknown address is inside no network.
    pub fn accepts_remote(&self, remote: Option<IpAddr>) -> bool {
        let within = |address: IpAddr| self.networks.iter().any(|network| network.contains(&address.to_canonical()));
        self.networks.is_empty() || remote.is_some_and(within)
    }
    /// Whether a disclosed code must leave wrapped.
    pub fn wrap_required(&self) -> bool {
        self.role.wrap == Wrapping::Required
    }
    /// How long a login token lives before it must be renewed.
    pub fn token_ttl(&self) -> Duration {
        Duration::from_secs(self.role.token_ttl)
    }
    /// How long a login token lives at most.
    pub fn token_max_ttl(&self) -> Duration {
        Duration::from_secs(self.role.token_max_ttl)
    }
}

/// The pattern must match the whole ticket. The engine is linear in the ticket's length; the compiled size is bounded. It is
/// compiled alone first, so that a stray parenthesis cannot get out of the anchors.
fn ticket_pattern(pattern: &str) -> Result<Regex> {
    let compile =
        |text: &str| RegexBuilder::new(text).size_limit(64 * 1024).dfa_size_limit(256 * 1024).nest_limit(16).build();
    let fits = pattern.len() <= 256 && compile(pattern).is_ok();
    let anchored = fits.then(|| compile(&format!("\\A(?:{pattern})\\z")).ok()).flatten();
    anchored.ok_or_else(|| {
        Error::field(
            "ticket_pattern",
            "a regular expression of at most 256 bytes and modest size, such as (INC|CHG)[0-9]{4,10}",
        )
    })
}

fn network(text: &str) -> Result<IpNet> {
    let net = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    net.map(|net| net.trunc())
        .ok_or_else(|| Error::field("bound_cidrs", format_args!("{text:?}: a network such as 10.0.0.0/8")))
}

fn bound_claims(role: &Role) -> Result<Vec<(String, Vec<Wanted>)>> {
    if role.bound_claims.len() > MAX_ITEMS {
        return Err(Error::field("bound_claims", format_args!("at most {MAX_ITEMS} claims")));
    }
    let glob = role.bound_claims_type == Comparison::Glob;
    let read = |name: &str, value: &Value| match value {
        Value::String(text) if text.len() > MAX_ITEM => {
            Err(Error::field("bound_claims", format_args!("{name}: values of at most {MAX_ITEM} bytes")))
        }
        Value::String(text) if glob => Ok(Wanted::Like(text.split('*').map(str::to_owned).collect())),
        value if glob => Err(Error::field("bound_claims", format_args!("claim is not a string: {value}"))),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => Ok(Wanted::Equal(value.clone())),
        _ => Err(Error::field("bound_claims", format_args!("{name}: a string, number or boolean, or a list of them"))),
    };
    let mut all = Vec::new();
    for (name, value) in &role.bound_claims {
        let values = match value {
            Value::Array(values) if values.is_empty() || values.len() > MAX_ITEMS => {
                return Err(Error::field("bound_claims", format_args!("{name}: 1 to {MAX_ITEMS} values")));
            }
            Value::Array(values) => values.iter().map(|value| read(name, value)).collect::<Result<_>>()?,
            value => vec![read(name, value)?],
        };
        all.push((name.clone(), values));
    }
    Ok(all)
}
