//! Trust that was taken back: once that was acknowledged, no token, role or key of an issuer counts, on any node; and what was given
//! counts.

use std::collections::BTreeMap;

use super::{Acts, Breach, Kind, Verdict};
use crate::trial::log::{Asked, Micros, Try};

/// Judges all tries that rest on a token, or on a role that changes.
pub fn judge(acts: &Acts<'_>, verdict: &mut Verdict) {
    let mut ended: BTreeMap<&str, Micros> = BTreeMap::new();
    // By role, what it was changed to: nothing known at first.
    let mut changes: BTreeMap<&str, Vec<(&Try, bool)>> = BTreeMap::new();
    for (_, one) in acts.tries() {
        match &one.asked {
            Asked::End { token } if one.is_acknowledged() => {
                let at = ended.entry(token).or_insert(one.answered);
                *at = (*at).min(one.answered);
            }
            Asked::Role { name, may } | Asked::Issuer { name, may } if !one.is_refused() => {
                changes.entry(name).or_default().push((one, *may));
            }
            _ => {}
        }
    }
    for (name, one) in acts.tries() {
        match &one.asked {
            Asked::Read { token: Some(token) } | Asked::End { token } if one.is_acknowledged() => {
                let Some(at) = ended.get(token.as_str()).filter(|at| **at < one.sent) else { continue };
                let words = format!("{name} went in by the token of {token}, {} µs after its end", one.sent - at);
                verdict.breaches.push(Breach::new(Kind::Trust, words));
            }
            Asked::Retrieve { role, .. } => judge_role(name, one, changes.get(role.as_str()), verdict),
            _ => {}
        }
    }
}

fn judge_role(name: &str, one: &Try, changes: Option<&Vec<(&Try, bool)>>, verdict: &mut Verdict) {
    let Some(changes) = changes else { return };
    // What may have been in force: the latest change that was acknowledged before, and all that may have come after it.
    let before = changes.iter().filter(|(change, _)| change.is_acknowledged() && change.answered < one.sent);
    let Some((latest, _)) = before.max_by_key(|(change, _)| change.sent) else { return };
    let possible = |wanted: bool| {
        changes
            .iter()
            .any(|(change, may)| *may == wanted && change.over() >= latest.sent && change.sent <= one.answered)
    };
    let refused_by_role = one.status == Some(403) && matches!(one.said.refusal.as_str(), "role" | "assertion");
    if one.let_out().is_some() && !possible(true) {
        let words = format!("{name} acted after {} was acknowledged ({:?})", latest.act, latest.asked);
        verdict.breaches.push(Breach::new(Kind::Trust, words));
    }
    if refused_by_role && one.said.refusal == "role" && !possible(false) {
        let words = format!("{name} was refused although {} was acknowledged ({:?})", latest.act, latest.asked);
        verdict.breaches.push(Breach::new(Kind::Lost, words));
    }
}
