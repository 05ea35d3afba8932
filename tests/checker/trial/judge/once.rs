//! Once: no code leaves or is accepted twice, in whatever spelling, of whatever generation, through whatever node. Judged by what
//! clients saw alone.

use std::collections::BTreeMap;

use super::{Acts, Breach, Kind, Verdict, canonical};
use crate::trial::log::{Asked, Try};

/// Judges all tries.
pub fn judge<'a>(acts: &Acts<'a>, verdict: &mut Verdict) {
    let mut once = Once::default();
    for (name, one) in acts.tries() {
        if let (Asked::Store { codes, cas, .. }, true, Some(generation)) =
            (&one.asked, one.is_acknowledged(), one.said.generation)
        {
            once.stored(name, one, codes, *cas, generation, verdict);
        }
    }
    for (name, one) in acts.tries() {
        once.let_out(name, one, verdict);
    }
    verdict.seen += once.places.len();
}

#[derive(Default)]
struct Once<'a> {
    /// By account and code, which act has it.
    codes: BTreeMap<(&'a str, String), &'a str>,
    /// By account, generation and slot, which act has it.
    places: BTreeMap<(&'a str, u64, u64), &'a str>,
    /// By act, which place it has.
    acts: BTreeMap<&'a str, (u64, u64)>,
    /// By the act that wrapped, which act opened.
    opened: BTreeMap<&'a str, &'a str>,
    /// By account and generation, who stored it and what.
    sets: BTreeMap<(&'a str, u64), (&'a str, Vec<&'a str>)>,
    /// By account and code, in which generation it came.
    brought: BTreeMap<(&'a str, String), u64>,
}

impl<'a> Once<'a> {
    fn stored(
        &mut self,
        name: &'a str,
        one: &'a Try,
        codes: &'a [String],
        cas: Option<u64>,
        generation: u64,
        verdict: &mut Verdict,
    ) {
        let account = one.account.as_str();
        let made = if codes.is_empty() { &one.said.codes } else { codes };
        let plain: Vec<&str> = made.iter().map(String::as_str).collect();
        if cas.is_some_and(|cas| cas + 1 != generation) {
            verdict.breaches.push(Breach::new(
                Kind::Wrong,
                format!("{name} stored generation {generation} of {account}, expecting generation {cas:?} before it"),
            ));
        }
        let (who, had) = self.sets.entry((account, generation)).or_insert((name, Vec::new()));
        if *who != name {
            verdict.breaches.push(Breach::new(
                Kind::Lost,
                format!("generation {generation} of {account} was acknowledged to {who} and to {name}"),
            ));
        }
        // A repeat of a set that is made shows no codes.
        if had.is_empty() {
            had.clone_from(&plain);
        }
        for code in plain {
            let first = self.brought.entry((account, canonical(code))).or_insert(generation);
            if *first != generation {
                let words =
                    format!("{name} brought {code} into generation {generation} of {account}, and it was in {first}");
                verdict.breaches.push(Breach::new(Kind::Twice, words));
            }
        }
    }

    fn let_out(&mut self, name: &'a str, one: &'a Try, verdict: &mut Verdict) {
        let Some((generation, slot)) = one.let_out() else { return };
        let account = one.account.as_str();
        let (owner, code) = match &one.asked {
            Asked::Unwrap { of } => {
                let first = self.opened.entry(of).or_insert(name);
                if *first != name {
                    let words = format!("the wrapping of {of} was opened by {first} and by {name}");
                    verdict.breaches.push(Breach::new(Kind::Twice, words));
                }
                (of.as_str(), one.said.code.as_deref())
            }
            Asked::Verify { code } => (name, Some(code.as_str())),
            _ => (name, one.said.code.as_deref()),
        };
        let code = code.unwrap_or_default();
        let mut twice = |words: String| verdict.breaches.push(Breach::new(Kind::Twice, words));
        let first = self.places.entry((account, generation, slot)).or_insert(owner);
        if *first != owner {
            twice(format!("generation {generation} slot {slot} of {account} went to {first} and to {owner}"));
        }
        let first = self.codes.entry((account, canonical(code))).or_insert(owner);
        if *first != owner {
            twice(format!("code {code} of {account} went to {first} and to {owner}"));
        }
        let had = self.acts.entry(owner).or_insert((generation, slot));
        if *had != (generation, slot) {
            twice(format!("{owner} had {had:?} of {account} and has {:?}", (generation, slot)));
        }
        let known = self.sets.get(&(account, generation)).map(|(_, codes)| codes);
        let right = known.and_then(|codes| codes.get(usize::try_from(slot).ok()?.checked_sub(1)?));
        if known.is_some_and(|codes| !codes.is_empty()) && right.is_none_or(|right| canonical(right) != canonical(code))
        {
            let words = format!("{name} had {code} of {account}, which is not slot {slot} of generation {generation}");
            verdict.breaches.push(Breach::new(Kind::Wrong, words));
        }
    }
}
