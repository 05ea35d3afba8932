//! `report/posture`: how each account stands, judged as its own metadata judges it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::domain::account::Account;
use crate::domain::fields::Fields;
use crate::domain::name::AccountName;
use crate::domain::profile::Profile;
use crate::domain::set::{Set, Status};
use crate::domain::time::Timestamp;
use crate::engine::circle::{Named, is_closed};
use crate::engine::report::csv::{Columns, texts};
use crate::engine::report::query::Query;
use crate::engine::report::scan::Scan;
use crate::engine::report::{Rows, answer};
use crate::engine::request::Response;
use crate::engine::{Call, Engine, metadata};
use crate::error::{Error, Result};

/// How long before its end a set expires soon, unless the caller says.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// Every warning a row may have: those of the account's metadata, and what only a report looks for.
pub const WARNINGS: [&str; 13] = [
    "no-fallback",
    "refused",
    "overdue",
    "circular",
    "held",
    "quarantined",
    "locked",
    "low",
    "owes",
    "expires-soon",
    "unconfirmed",
    "stale-review",
    "no-profile",
];

/// The columns of its CSV.
pub const COLUMNS: Columns = &[
    ("account", |row| texts(&row["account"])),
    ("owner", |row| texts(&row["owner"])),
    ("profile", |row| texts(&row["profile"])),
    ("warnings", |row| texts(&row["warnings"])),
    ("fallback", |row| texts(&row["fallback"])),
    ("remaining", |row| texts(&row["remaining"])),
    ("generation", |row| texts(&row["generation"])),
    ("owes_by", |row| texts(&row["owes"]["by"])),
    ("expires_at", |row| texts(&row["expires_at"])),
    ("unconfirmed_generations", |row| texts(&row["unconfirmed"]["generations"])),
    ("unconfirmed_since", |row| texts(&row["unconfirmed"]["since"])),
    ("review_by", |row| texts(&row["review_by"])),
];

/// Which accounts are told of.
struct Wanted {
    only: Vec<String>,
    soon: Duration,
}

impl Wanted {
    fn read(fields: &mut Fields) -> Result<Wanted> {
        let only = fields.list("only")?.value().unwrap_or_default();
        if only.iter().any(|word| word != "any" && !WARNINGS.contains(&word.as_str())) {
            return Err(Error::field("only", format_args!("any, or some of {}", WARNINGS.join(", "))));
        }
        let soon = fields.duration("soon")?.value().unwrap_or(SOON);
        Ok(Wanted { only, soon })
    }
    fn takes(&self, warnings: &[&str]) -> bool {
        let named =
            |word: &String| if word == "any" { !warnings.is_empty() } else { warnings.contains(&word.as_str()) };
        self.only.is_empty() || self.only.iter().any(named)
    }
}

/// Reads a page.
pub async fn read(engine: &Engine, call: Call) -> Result<Response> {
    let mut query = Query::read(call.request.data)?;
    let wanted = Wanted::read(&mut query.fields)?;
    // A filter that is not heard makes a longer answer, and nobody sees why.
    query.fields.refuse_unknown()?;
    let mut said = Vec::new();
    let now = engine.clock.now();
    let roles = engine.every_role().await?;
    if roles.is_none() {
        said.push("there are more roles than are looked at: no account is judged circular".to_owned());
    }
    let mut scan = Scan::new(engine, &call.request.caller, &query, query.limit, false).await?;
    let (mut rows, mut looked_at) = (Vec::new(), 0u64);
    while let Some(mut seen) = scan.next().await? {
        let profile = scan.profile(&seen.record).await?;
        seen.record.account.settle(now);
        looked_at += 1;
        let judged = Judged::of(&seen.name, &seen.record.account, profile.as_deref(), &roles, now, wanted.soon);
        if wanted.takes(&judged.warnings) {
            rows.push(judged.row(&seen.name, now));
        }
    }
    let mut more = Map::new();
    more.insert("looked_at".to_owned(), json!(looked_at));
    let next = scan.place().map(|place| place.to_string());
    let rows = Rows { name: "accounts", rows, columns: COLUMNS };
    Ok(Response { warnings: said, ..answer(&query, rows, next, now, more) })
}

/// An account and what is amiss with it.
struct Judged<'a> {
    account: &'a Account,
    rules: std::borrow::Cow<'a, Profile>,
    warnings: Vec<&'static str>,
    expires_at: Option<Timestamp>,
}

impl<'a> Judged<'a> {
    fn of(
        name: &AccountName,
        account: &'a Account,
        profile: Option<&'a Profile>,
        roles: &Option<Vec<Named>>,
        now: Timestamp,
        soon: Duration,
    ) -> Self {
        use std::borrow::Cow;
        let rules = profile.map_or_else(|| Cow::Owned(Profile::default()), Cow::Borrowed);
        let circular = !profile.is_some_and(Profile::issues)
            && roles.as_ref().is_some_and(|roles| is_closed(roles, name, &account.about.protects));
        let mut warnings = metadata::warnings(account, &rules, now, circular);
        let expires_at = metadata::active(account, &rules, now).and_then(|set| account.over_at(set, &rules));
        warnings.extend(expires_at.filter(|at| *at <= now.plus(soon)).map(|_| "expires-soon"));
        warnings.extend(profile.is_none().then_some("no-profile"));
        // The worst first.
        warnings.sort_by_key(|word| WARNINGS.iter().position(|known| known == word));
        Judged { account, rules, warnings, expires_at }
    }

    fn row(&self, name: &AccountName, now: Timestamp) -> Value {
        let account = self.account;
        let active = metadata::active(account, &self.rules, now);
        let mut row = json!({
            "account": name.as_str(), "owner": account.about.owner, "profile": account.profile,
            "warnings": self.warnings, "fallback": active.is_some(), "remaining": active.map_or(0, Set::remaining),
            "generation": account.generation, "status": account.live().or(account.sets.last()).map(|set| {
                let (status, cause) = metadata::status(set, account, &self.rules, now);
                json!({"is": status, "cause": cause})
            }),
            "owes": metadata::owes(account, now), "unconfirmed": unconfirmed(account, now),
            "expires_at": self.expires_at.map(|at| at.to_string()),
            "review_by": self.rules.review_by.map(|by| Timestamp::from_millis(by).to_string()),
        });
        if let Some(setback) = metadata::setback(account) {
            row["setback"] = setback;
        }
        row
    }
}

/// Which sets that are over may still be good at their provider, since when and for how many seconds.
fn unconfirmed(account: &Account, now: Timestamp) -> Option<Value> {
    let sets: Vec<&Set> = account.sets.iter().filter(|set| metadata::is_unconfirmed(set)).collect();
    let ends = sets.iter().filter_map(|set| match set.status {
        Status::Ended(end) => Some(end.at),
        Status::Live => None,
    });
    let since = ends.min()?;
    let generations: Vec<u32> = sets.iter().map(|set| set.generation).collect();
    Some(json!({"generations": generations, "since": since.to_string(), "seconds": now.since(since).as_secs()}))
}
