//! The judge itself: honest histories pass, and whatever is broken in one is found, for that very reason.

use proptest::prelude::*;
use serde_json::json;

use crate::made::{Made, retrieve};
use crate::trial::judge::{Kind, judge};
use crate::trial::log::{Asked, Entry, Finding, Log, Said, State, Try};

/// What is broken, what it is found as, and how to bring it into an honest history.
type Broken = (&'static str, Kind, fn(&mut Made));

/// Everything the judge can find.
const BREACHES: &[Broken] = &[
    ("a code goes to two acts", Kind::Twice, |made| {
        let (_, said) = given(made, 0);
        again(made, retrieve("worker"), said);
    }),
    ("a place goes to two acts, with different codes", Kind::Twice, |made| {
        let (_, said) = given(made, 0);
        again(made, retrieve("worker"), Said { code: Some("zzzzz-00000".to_owned()), ..said });
    }),
    ("an act gets two codes", Kind::Twice, |made| {
        let ((act, _), (_, other)) = (given(made, 0), given(made, 1));
        let (_, sent, answered) = made.times();
        made.tried(&act, sent, answered, retrieve("worker"), Some(200), other);
    }),
    ("a code is accepted in two spellings", Kind::Twice, |made| {
        let (_, said) = given(made, 0);
        let code = said.code.clone().unwrap().to_lowercase().replace('o', "0").replace('-', " ");
        let accepted = Said { valid: Some(true), code: None, ..said };
        again(made, Asked::Verify { code }, accepted);
    }),
    ("a wrapping is opened twice", Kind::Twice, |made| {
        let (act, said) = given(made, 0);
        again(made, Asked::Unwrap { of: act.clone() }, said.clone());
        again(made, Asked::Unwrap { of: act }, said);
    }),
    ("a file comes in again", Kind::Twice, |made| {
        // A set whose answer was lost is known to nobody.
        let known =
            made.log.tries.iter().filter(|one| matches!(one.asked, Asked::Store { .. }) && one.is_acknowledged());
        let generation = known.filter_map(|one| one.said.generation).next().unwrap();
        let codes: Vec<String> = (1..=4).rev().map(|slot| made.code(generation, slot)).collect();
        let asked = Asked::Store { codes, cas: None, bound_at: None, enrollment: None };
        again(made, asked, Said { generation: Some(99), ..Said::default() });
    }),
    ("a slot is burnt twice in the ledger", Kind::Twice, |made| {
        let entry = found(&made.log, "retrieve").clone();
        let at = made.log.books[0].entries.iter().position(|one| one.seq == entry.seq).unwrap();
        made.log.books[0].entries.insert(at + 1, entry);
        renumber(&mut made.log);
    }),
    ("a code leaves after its set was revoked", Kind::AfterEnd, |made| {
        after(made, |asked| matches!(asked, Asked::Revoke { .. }))
    }),
    ("a code leaves after a newer set came", Kind::AfterEnd, |made| {
        after(made, |asked| matches!(asked, Asked::Store { cas: Some(cas), .. } if *cas > 0))
    }),
    ("a code leaves after an event", Kind::AfterEnd, |made| after(made, |asked| matches!(asked, Asked::Event { .. }))),
    ("a code of an ended set leaves by the ledger alone", Kind::AfterEnd, |made| {
        let generation = found(&made.log, "revoke").generation;
        let (act, sent, answered) = made.times();
        made.tried(&act, sent, answered, retrieve("worker"), None, Said::default());
        made.entered("retrieve", &act, (generation, Some(4)), json!(null));
    }),
    ("an event ends nothing", Kind::AfterEnd, |made| {
        let ending = |entry: &&mut Entry| entry.act == "event" && entry.detail["superseded"] != json!([]);
        made.log.books[0].entries.iter_mut().rfind(ending).unwrap().detail["superseded"] = json!([]);
    }),
    ("an acknowledged code is not in the ledger", Kind::Lost, |made| dropped(made, "retrieve")),
    ("an acknowledged set is not in the ledger", Kind::Lost, |made| dropped(made, "store")),
    ("an acknowledged end is not in the ledger", Kind::Lost, |made| dropped(made, "revoke")),
    ("an acknowledged event is not in the ledger", Kind::Lost, |made| dropped(made, "event")),
    ("two sets are acknowledged as one generation", Kind::Lost, |made| {
        let asked = Asked::Store { codes: vec!["other-11111".to_owned()], cas: None, bound_at: None, enrollment: None };
        again(made, asked, Said { generation: Some(1), ..Said::default() });
    }),
    ("a role that was turned on is refused", Kind::Lost, |made| {
        again_with(made, retrieve("turning"), 403, Said { refusal: "role".to_owned(), ..Said::default() });
    }),
    ("a chain does not verify", Kind::Unverifiable, |made| made.log.books[0].verified = false),
    ("a finding is taken over", Kind::Wrong, |made| {
        made.log.findings.push(Finding { kind: Kind::Wrong, words: "an answer from a damaged store".to_owned() });
    }),
    ("an entry that nobody asked for", Kind::Record, |made| {
        let generation = made.log.books[0].state.as_ref().unwrap().active;
        made.entered("check", "stranger", (generation, Some(1)), json!({"match": true}));
    }),
    ("an entry of an act that was refused", Kind::Record, |made| {
        let (act, sent, answered) = made.times();
        made.tried(&act, sent, answered, Asked::Check { code: "x".to_owned() }, Some(403), Said::default());
        made.entered("check", &act, (None, None), json!({"match": false}));
    }),
    ("an entry is missing from the count", Kind::Record, |made| made.log.books[0].entries[2].seq += 1),
    ("an act stands before one that was answered earlier", Kind::Record, |made| {
        for _ in 0..2 {
            made.clock += 50_000;
            made.event(0);
        }
        let entries = &mut made.log.books[0].entries;
        let last = entries.len() - 1;
        entries.swap(last - 1, last);
        renumber(&mut made.log);
    }),
    ("more codes remain than the history says", Kind::Record, |made| state(made).remaining += 1),
    ("a burnt slot is held again", Kind::Record, |made| {
        let slots = state(made).slots.values_mut().find(|slots| slots.contains('d')).unwrap();
        *slots = slots.replacen('d', "h", 1);
    }),
    ("a set is active that had ended", Kind::Record, |made| state(made).active = Some(1)),
    ("a token counts after its end", Kind::Trust, |made| {
        let token = Some(made.token());
        again(made, Asked::Read { token }, Said::default());
    }),
    ("a role counts after it was turned off", Kind::Trust, |made| {
        made.role(false);
        let (_, said) = given(made, 0);
        again(made, retrieve("turning"), said);
    }),
    ("a code is not the one of its slot", Kind::Wrong, |made| {
        let given = |one: &&mut Try| one.said.code.is_some();
        made.log.tries.iter_mut().rfind(given).unwrap().said.code = Some("nobody-knows".to_owned());
    }),
];

/// The latest but so many code that a client was given, and by which act.
fn given(made: &Made, index: usize) -> (String, Said) {
    let one = made.log.tries.iter().rev().filter(|one| one.said.code.is_some()).nth(index).unwrap();
    (one.act.clone(), one.said.clone())
}

/// Somebody else is answered the same, a good while later.
fn again(made: &mut Made, asked: Asked, said: Said) {
    again_with(made, asked, 200, said);
}

fn again_with(made: &mut Made, asked: Asked, status: u16, said: Said) {
    made.clock += 50_000;
    let (act, sent, answered) = made.times();
    made.tried(&act, sent, answered, asked, Some(status), said);
}

/// A code of the set that such an act had ended leaves, a good while later.
fn after(made: &mut Made, ends: impl Fn(&Asked) -> bool) {
    let cause = made.log.tries.iter().rposition(|one| one.is_acknowledged() && ends(&one.asked)).unwrap();
    let before = made.log.tries[..cause].iter();
    let generation = before.rev().find_map(|one| match one.asked {
        Asked::Store { .. } => one.said.generation,
        _ => None,
    });
    let generation = generation.unwrap();
    let said =
        Said { generation: Some(generation), slot: Some(4), code: Some(made.code(generation, 4)), ..Said::default() };
    again(made, retrieve("worker"), said);
}

/// The last entry of an act.
fn found<'l>(log: &'l Log, act: &str) -> &'l Entry {
    log.books[0].entries.iter().rfind(|entry| entry.act == act).unwrap()
}

/// The last acknowledged act of this kind leaves no entry.
fn dropped(made: &mut Made, act: &str) {
    let seq = found(&made.log, act).seq;
    made.log.books[0].entries.retain(|entry| entry.seq != seq);
    renumber(&mut made.log);
}

fn renumber(log: &mut Log) {
    log.books[0].entries.iter_mut().zip(1..).for_each(|(entry, seq)| entry.seq = seq);
}

fn state(made: &mut Made) -> &mut State {
    made.log.books[0].state.as_mut().unwrap()
}

#[test]
fn whatever_is_broken_is_found() {
    // With the second seed nobody hears of the first set.
    let seeds = [7, 10_534_513_393_239_370_586];
    for (seed, (what, kind, break_it)) in seeds.iter().flat_map(|seed| BREACHES.iter().map(move |one| (seed, one))) {
        let mut made = Made::full(*seed);
        assert_eq!(judge(&made.log).breaches, [], "{what}: before");
        break_it(&mut made);
        let breaches = judge(&made.log).breaches;
        assert!(breaches.iter().any(|breach| breach.kind == *kind), "{what}: {breaches:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn honest_histories_pass(seed in any::<u64>(), acts in 1usize..60) {
        prop_assert_eq!(judge(&Made::random(seed, acts).log).breaches, []);
    }

    #[test]
    fn what_is_broken_is_found_in_any_history(seed in any::<u64>(), which in 0..BREACHES.len()) {
        let (what, kind, break_it) = &BREACHES[which];
        let mut made = Made::full(seed);
        prop_assert_eq!(judge(&made.log).breaches, [], "{}: before", what);
        break_it(&mut made);
        let breaches = judge(&made.log).breaches;
        prop_assert!(breaches.iter().any(|breach| breach.kind == *kind), "{}: {:?}", what, breaches);
    }
}

#[test]
fn a_log_that_was_written_down_is_judged_the_same() {
    let mut made = Made::full(3);
    (BREACHES[0].2)(&mut made);
    let mut lines = Vec::new();
    made.log.write(&mut lines).unwrap();
    let read = Log::read(&lines[..]).unwrap();
    assert_eq!(read.tries.len(), made.log.tries.len());
    assert_eq!(judge(&read).breaches, judge(&made.log).breaches);
    assert_ne!(judge(&read).breaches, []);
}

#[test]
fn what_overlaps_may_have_come_in_either_order() {
    let mut made = Made::full(11);
    let active = made.log.books[0].state.as_ref().unwrap().active.unwrap();
    // Sent before the end was acknowledged: it may have been first, and the ledger says that it was.
    let (end, sent, answered) = made.times();
    let (act, ..) = made.times();
    let said = Said { generation: Some(active), slot: Some(4), code: Some(made.code(active, 4)), ..Said::default() };
    made.entered("retrieve", &act, (Some(active), Some(4)), json!(null));
    made.tried(&act, sent, answered + 9_000, retrieve("worker"), Some(200), said);
    made.entered("revoke", &end, (Some(active), None), json!({"cause": "operator"}));
    let said = Said { generation: Some(active), ..Said::default() };
    made.tried(&end, sent, answered, Asked::Revoke { generation: None }, Some(200), said);
    let state = state(&mut made);
    (state.active, state.remaining) = (None, 0);
    let slots: Vec<char> = state.slots[&active].chars().collect();
    let ended = |(index, slot): (usize, &char)| match (index, slot) {
        (3, _) => 'd',
        (_, 'h') => 'v',
        (_, other) => *other,
    };
    state.slots.insert(active, slots.iter().enumerate().map(ended).collect());
    assert_eq!(judge(&made.log).breaches, []);
}
