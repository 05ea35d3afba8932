//! The end of a set: once it was acknowledged no code of it leaves or is accepted. Judged by what clients saw alone.

use std::collections::BTreeMap;

use super::{Acts, Breach, Kind, Verdict};
use crate::trial::log::{Asked, Log, Manner, Micros, Try};

/// Skew of `enroll/`, in seconds.
pub const ENROLL_SKEW: u64 = 30;
/// Skew of the sources of events, in seconds.
pub const SOURCE_SKEW: u64 = 2;

/// What an acknowledged answer says of the sets of its account.
enum End {
    /// Sets of lower generations are over.
    Below(u64),
    /// This one is.
    Of(u64),
    /// Those bound before this time are, or are blocked.
    BoundBefore { seconds: u64, releasable: bool },
}

/// Judges everything that was let out.
pub fn judge(log: &Log, acts: &Acts<'_>, verdict: &mut Verdict) {
    let mut ends: BTreeMap<&str, Vec<(&Try, End)>> = BTreeMap::new();
    let mut bound: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    let mut releases: BTreeMap<&str, Vec<(Micros, Micros)>> = BTreeMap::new();
    for (_, one) in acts.tries() {
        let account = one.account.as_str();
        if matches!(one.asked, Asked::Release) && !one.is_refused() {
            releases.entry(account).or_default().push((one.sent, one.over()));
        }
        if !one.is_acknowledged() {
            continue;
        }
        if let (Asked::Store { bound_at: Some(at), enrollment: None, .. }, Some(generation)) =
            (&one.asked, one.said.generation)
        {
            bound.insert((account, generation), *at);
        }
        if let Some(end) = end(log, one) {
            ends.entry(account).or_default().push((one, end));
        }
    }
    for (name, one) in acts.tries() {
        let Some((generation, slot)) = one.let_out() else { continue };
        // A wrapping of the vault's own outlives the set: what is bounded there is its time.
        if log.terms.mounted && matches!(one.asked, Asked::Unwrap { .. }) {
            continue;
        }
        let account = one.account.as_str();
        for (cause, end) in ends.get(account).into_iter().flatten().filter(|(cause, _)| cause.answered < one.sent) {
            let over = match end {
                End::Below(newer) => generation < *newer,
                End::Of(ended) => generation == *ended,
                End::BoundBefore { seconds, releasable } => {
                    let released = || {
                        let between = |(sent, over): &(Micros, Micros)| *over > cause.sent && *sent < one.answered;
                        releases.get(account).is_some_and(|releases| releases.iter().any(between))
                    };
                    bound.get(&(account, generation)).is_some_and(|bound| bound < seconds)
                        && !(*releasable && released())
                }
            };
            if over {
                let words = format!(
                    "{name} had generation {generation} slot {slot} of {account}, sent {} µs after {} was acknowledged ({:?})",
                    one.sent - cause.answered,
                    cause.act,
                    cause.asked
                );
                verdict.breaches.push(Breach::new(Kind::AfterEnd, words));
            }
        }
    }
}

fn end(log: &Log, one: &Try) -> Option<End> {
    let told = |at: u64, skew: u64| match log.terms.accounts.get(&one.account)? {
        // By a clock that jumps an event may come from the future, and counts as its receipt.
        _ if log.terms.clock_steps => None,
        Manner::Plain | Manner::InTurn => {
            Some(End::BoundBefore { seconds: at.saturating_sub(skew), releasable: false })
        }
        // One of a time before the latest release blocks nothing: which that is, the ledger knows.
        Manner::Quarantining | Manner::Noting | Manner::Issued => None,
    };
    match &one.asked {
        Asked::Store { .. } => Some(End::Below(one.said.generation?)),
        Asked::Revoke { .. } => Some(End::Of(one.said.generation?)),
        Asked::Event { at, .. } => told(*at, SOURCE_SKEW),
        Asked::Enroll { at, .. } => told(*at, ENROLL_SKEW),
        _ => None,
    }
}
