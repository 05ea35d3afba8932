//! What is told of an account and its sets: never a code.

use serde_json::{Map, Value, json};

use crate::domain::account::{Account, Standing};
use crate::domain::name::AccountName;
use crate::domain::profile::Profile;
use crate::domain::set::{Cause, Kind, Provider, Set, Slot, Status};
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
    let active = active(account, rules, now);
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
    put("owes", json!(owes(account, now)));
    put(
        "enrollment",
        json!({
            "number": enrollment.number, "at": enrollment.latest.map(|at| at.to_string()), "source": enrollment.source,
        }),
    );
    put("failures", json!(account.failures.map(|failures| show_failures(&failures, now))));
    if let Some(setback) = setback(account) {
        put("setback", setback);
    }
    put("warnings", json!(warnings(account, rules, now, circular)));
    put("sets", Value::Array(account.sets.iter().map(|set| show_set(set, account, rules, now)).collect()));
    map
}

/// What is amiss with an account, in the words that every answer uses.
pub fn warnings(account: &Account, rules: &Profile, now: Timestamp, circular: bool) -> Vec<&'static str> {
    let live = account.live();
    let active = active(account, rules, now);
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
    note(live.is_some_and(|set| account.holds(set).is_some()), "held");
    // Of an issued set nobody else knows anything: its end here is the end.
    note(account.sets.iter().any(is_unconfirmed), "unconfirmed");
    note(rules.review_by.is_some_and(|by| by < now.millis()), "stale-review");
    note(circular, "circular");
    found
}

/// The set whose codes can be had.
pub fn active<'a>(account: &'a Account, rules: &Profile, now: Timestamp) -> Option<&'a Set> {
    account.live().filter(|set| account.standing(set, rules, now) == Standing::Active)
}

/// Whether a set is over here and may still be good at its provider, though it should not be: one that lives on in another mount
/// should.
pub fn is_unconfirmed(set: &Set) -> bool {
    let moved = matches!(set.status, Status::Ended(end) if end.cause == Cause::Transferred);
    set.kind == Kind::Escrowed && !set.is_live() && !moved && matches!(set.provider, Provider::Unconfirmed)
}

/// The set that is owed.
pub fn owes(account: &Account, now: Timestamp) -> Option<Value> {
    account.obligation.map(|owed| {
        json!({
            "since": owed.since.to_string(), "by": owed.by.to_string(), "generation": owed.generation,
            "overdue": owed.by <= now,
        })
    })
}

/// What was lost with a store that was put back, if anything was.
pub fn setback(account: &Account) -> Option<Value> {
    account.setback.as_ref().map(|setback| {
        json!({
            "at": setback.at.to_string(), "seq": setback.seq, "known_seq": setback.known_seq, "held": setback.held,
            "reason": setback.reason,
        })
    })
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
    let mut shown = json!({
        "generation": set.generation, "kind": set.kind, "status": status, "cause": cause, "stored_at": set.stored_at.to_string(),
        "stored_by": set.stored_by, "bound_at": set.bound_at.to_string(), "ended_at": ended_at, "provider": provider,
        "custody": set.custody, "destroyed": set.is_destroyed(),
        "failures": set.failures.unwrap_or(0),
    });
    // Moved in: named above they would be copied one by one.
    shown["slots"] = Value::Array(slots);
    shown
}

fn show_slot(slot: &Slot, number: u32) -> Value {
    let (at, by) = match slot {
        Slot::Dispensed(handout, _) | Slot::Wrapped(handout, ..) => (Some(handout.at), Some(handout.by.as_str())),
        Slot::Consumed(used) => (Some(used.at), Some(used.by.as_str())),
        Slot::Void(at, _) => (Some(*at), None),
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
