//! What is told of an account and its sets: never a code.

use serde_json::{Map, Value, json};

use crate::domain::account::{Account, Standing};
use crate::domain::name::AccountName;
use crate::domain::profile::Profile;
use crate::domain::set::{Kind, Provider, Set, Slot, Status};
use crate::domain::throttle::{Failures, Lock};
use crate::domain::time::Timestamp;

/// The metadata of an account. `circular`: whether the way to its codes needs what they are there to save.
pub fn show(
    name: &AccountName,
    account: &Account,
    profile: Option<&Profile>,
    now: Timestamp,
    circular: bool,
) -> Map<String, Value> {
    let default = Profile::default();
    let rules = profile.unwrap_or(&default);
    let live = account.live();
    let active = live.filter(|set| account.standing(set, rules, now) == Standing::Active);
    let enrollment = &account.enrollment;
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("account", json!(name.as_str()));
    put("profile", json!(account.profile));
    put("owner", json!(account.about.owner));
    put("login_name", json!(account.about.login_name));
    put("login_url", json!(account.about.login_url));
    put("protects", json!(account.about.protects));
    put("labels", json!(account.about.labels));
    put("generation", json!(account.generation));
    put("active_generation", json!(active.map(|set| set.generation)));
    put("remaining", json!(active.map_or(0, Set::remaining)));
    let owes = account.obligation.map(|owed| {
        json!({
            "since": owed.since.to_string(), "by": owed.by.to_string(), "generation": owed.generation,
            "overdue": owed.by <= now,
        })
    });
    put("owes", json!(owes));
    put(
        "enrollment",
        json!({
            "number": enrollment.number, "at": enrollment.latest.map(|at| at.to_string()), "source": enrollment.source,
        }),
    );
    put("failures", json!(account.failures.map(|failures| show_failures(&failures, now))));
    let mut warnings = warnings(account, active, live, rules, now);
    warnings.extend(circular.then_some("circular"));
    put("warnings", json!(warnings));
    put("sets", Value::Array(account.sets.iter().map(|set| show_set(set, account, rules, now)).collect()));
    map
}

fn warnings(
    account: &Account,
    active: Option<&Set>,
    live: Option<&Set>,
    rules: &Profile,
    now: Timestamp,
) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut note = |applies: bool, word| {
        if applies {
            found.push(word);
        }
    };
    note(active.is_none(), "no-fallback");
    note(active.is_some_and(|set| set.remaining() as u64 <= rules.low_watermark), "low");
    note(account.lock(now).is_some(), "locked");
    note(live.or(account.sets.last()).is_some_and(Set::was_refused), "refused");
    note(account.obligation.is_some(), "owes");
    note(account.obligation.is_some_and(|owed| owed.by <= now), "overdue");
    note(live.is_some_and(|set| account.standing(set, rules, now) == Standing::Quarantined), "quarantined");
    // Of an issued set nobody else knows anything: its end here is the end.
    let unconfirmed =
        |set: &Set| set.kind == Kind::Escrowed && !set.is_live() && matches!(set.provider, Provider::Unconfirmed);
    note(account.sets.iter().any(unconfirmed), "unconfirmed");
    note(rules.review_by.is_some_and(|by| by < now.millis()), "stale-review");
    found
}

/// How a set stands, in words, and why it is over if it is.
pub fn status(set: &Set, account: &Account, rules: &Profile, now: Timestamp) -> (&'static str, Option<&'static str>) {
    match account.standing(set, rules, now) {
        Standing::Active => ("active", None),
        Standing::Quarantined => ("quarantined", None),
        Standing::Over(cause) => (cause.status(), Some(cause.word())),
    }
}

fn show_set(set: &Set, account: &Account, rules: &Profile, now: Timestamp) -> Value {
    let (status, cause) = status(set, account, rules, now);
    let ended_at = match set.status {
        Status::Ended(end) => Some(end.at.to_string()),
        Status::Live => None,
    };
    let provider = match (set.kind, set.provider) {
        (Kind::Issued, _) => None,
        (Kind::Escrowed, Provider::Unconfirmed) => Some("unconfirmed"),
        (Kind::Escrowed, Provider::Confirmed(_)) => Some("confirmed"),
    };
    let slots: Vec<Value> = set.slots.iter().zip(1u32..).map(|(slot, number)| show_slot(slot, number)).collect();
    json!({
        "generation": set.generation, "kind": set.kind, "status": status, "cause": cause, "stored_at": set.stored_at.to_string(),
        "stored_by": set.stored_by, "bound_at": set.bound_at.to_string(), "ended_at": ended_at, "provider": provider,
        "custody": set.custody, "destroyed": set.is_destroyed(),
        "failures": set.failures.unwrap_or(0), "slots": slots,
    })
}

fn show_slot(slot: &Slot, number: u32) -> Value {
    let (at, by) = match slot {
        Slot::Dispensed(handout, _) | Slot::Wrapped(handout, ..) => (Some(handout.at), Some(handout.by.as_str())),
        Slot::Consumed(used) => (Some(used.at), Some(used.by.as_str())),
        Slot::Void(at) => (Some(*at), None),
        Slot::Held(_) | Slot::Issued(_) | Slot::Used => (None, None),
    };
    let outcome = slot.handout().and_then(|handout| handout.outcome.as_ref());
    json!({
        "slot": number, "state": slot.word(), "at": at.map(|at| at.to_string()), "by": by,
        "outcome": outcome.map(|outcome| outcome.what.word()),
    })
}

/// Wrong codes in a row, and how long none is looked at; `locked: true` without a time: until an operator unlocks.
fn show_failures(failures: &Failures, now: Timestamp) -> Value {
    let (locked, until) = match failures.lock(now) {
        Some(Lock::Operator) => (true, None),
        Some(Lock::Until(until)) => (true, Some(until.to_string())),
        None => (false, None),
    };
    json!({
        "in_a_row": failures.in_a_row, "latest": failures.latest.map(|at| at.to_string()),
        "locked": locked, "until": until,
    })
}
