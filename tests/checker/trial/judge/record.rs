//! The record speaks: what was acknowledged stands in the history, what stands there was asked for, and in an order that those who
//! asked can have seen.

use std::collections::BTreeMap;

use super::{Act, Acts, Breach, Kind, Verdict};
use crate::trial::log::{Asked, Book, Entry, Fault, Log, Micros, Try};

/// Judges the history of one account.
pub fn judge(log: &Log, acts: &Acts<'_>, book: &Book, verdict: &mut Verdict) {
    let account = book.account.as_str();
    verdict.entries += book.entries.len();
    if !book.verified {
        verdict.breaches.push(Breach::new(Kind::Unverifiable, format!("the history of {account} does not verify")));
    }
    if let Some((entry, seq)) = book.entries.iter().zip(1..).find(|(entry, seq)| entry.seq != *seq) {
        let words = format!("the history of {account} has entry {} where {seq} should be", entry.seq);
        verdict.breaches.push(Breach::new(Kind::Record, words));
    }
    let here = Here::of(acts, account);
    for (act, tries) in &here.acts {
        if let Some(done) = tries.acknowledged()
            && let Some(lacks) = lacks(log, book, &here, act, done)
        {
            let words = format!("{act} on {account} was acknowledged ({:?}): {lacks}", done.asked);
            verdict.breaches.push(Breach::new(Kind::Lost, words));
        }
    }
    unasked(log, book, &here, verdict);
    order(book, &here, verdict);
    for entry in book.entries.iter().filter(|entry| entry.act == "retrieve" && !entry.repeat) {
        if here.saw(&entry.subject) {
            continue;
        }
        match entry.detail["wrapped"] == true {
            true => verdict.unopened += 1,
            false => verdict.unseen += 1,
        }
    }
}

/// The acts on one account.
struct Here<'a> {
    acts: BTreeMap<&'a str, &'a Act<'a>>,
    /// By the id of an enrollment or event, the acts that told it.
    told: BTreeMap<&'a str, Vec<&'a str>>,
    /// By source and time of an event, its id.
    events: BTreeMap<(&'a str, u64), &'a str>,
    /// By the act that wrapped, the acts that opened or tried to.
    opened: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Here<'a> {
    fn of(acts: &'a Acts<'a>, account: &str) -> Self {
        let acts: BTreeMap<&str, &Act<'_>> =
            acts.0.iter().filter(|(_, act)| act.account() == account).map(|(name, act)| (*name, act)).collect();
        let (mut told, mut events, mut opened) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, act) in &acts {
            match act.asked() {
                Asked::Enroll { id, .. } => told.entry(id.as_str()).or_insert_with(Vec::new).push(*name),
                Asked::Event { id, source, at } => {
                    told.entry(id.as_str()).or_insert_with(Vec::new).push(*name);
                    events.insert((source.as_str(), *at), id.as_str());
                }
                // What was only done, and is not shown, may be wrapped like any answer.
                Asked::Unwrap { of } => opened.entry(of.as_str()).or_insert_with(Vec::new).push(*name),
                _ => {}
            }
        }
        Here { acts, told, events, opened }
    }
    /// The acts that an entry may be of: several where an event was told several times.
    fn askers(&self, entry: &Entry) -> Vec<&'a str> {
        match entry.act.as_str() {
            "event" => {
                let id = occurred(entry).and_then(|at| self.events.get(&(entry.subject.as_str(), at)));
                id.and_then(|id| self.told.get(id)).cloned().unwrap_or_default()
            }
            "enroll" => match self.acts.get(entry.subject.as_str()).map(|act| act.asked()) {
                Some(Asked::Enroll { id, .. }) => self.told.get(id.as_str()).cloned().unwrap_or_default(),
                _ => Vec::new(),
            },
            "unwrap" => self.opened.get(entry.subject.as_str()).cloned().unwrap_or_default(),
            _ => self.acts.get_key_value(entry.subject.as_str()).map(|(name, _)| *name).into_iter().collect(),
        }
    }
    fn saw(&self, act: &str) -> bool {
        let shown =
            |name: &str| self.acts.get(name).is_some_and(|act| act.tries.iter().any(|one| one.said.code.is_some()));
        shown(act) || self.opened.get(act).is_some_and(|opened| opened.iter().any(|name| shown(name)))
    }
}

/// The second at which an event says that it happened.
fn occurred(entry: &Entry) -> Option<u64> {
    let at = super::replay::millis(entry.detail["occurred_at"].as_str()?)?;
    u64::try_from(at / 1000).ok()
}

/// What an acknowledged act should have left in the history and has not.
fn lacks(log: &Log, book: &Book, here: &Here<'_>, act: &str, done: &Try) -> Option<&'static str> {
    let any =
        |name: &str, right: &dyn Fn(&Entry) -> bool| book.entries.iter().any(|entry| entry.act == name && right(entry));
    let place = |entry: &Entry| (entry.generation, entry.slot) == (done.said.generation, done.said.slot);
    let mine = |entry: &Entry| entry.subject == act;
    let there = match &done.asked {
        Asked::Store { .. } => any("store", &|entry| mine(entry) && entry.generation == done.said.generation),
        Asked::Retrieve { wrapped, .. } => {
            let of = |entry: &Entry| mine(entry) && !entry.repeat && (*wrapped || place(entry));
            any("retrieve", &of)
        }
        Asked::Unwrap { of } => {
            log.terms.mounted
                || done.said.code.is_none()
                || any("unwrap", &|entry| entry.subject == *of && place(entry))
        }
        Asked::Verify { .. } if done.said.valid == Some(true) => {
            any("verify", &|entry| mine(entry) && !entry.repeat && place(entry) && entry.detail["valid"] == true)
        }
        Asked::Check { .. } if done.said.generation.is_some() => any("check", &|entry| mine(entry) && place(entry)),
        Asked::Revoke { .. } => any("revoke", &|entry| mine(entry) && entry.generation == done.said.generation),
        Asked::Release => any("release", &mine),
        // The same may have been said before by somebody else.
        Asked::Confirm { generation } => any("confirm", &|entry| entry.generation == Some(*generation)),
        Asked::Outcome { generation, slot, what } => any("outcome", &|entry| {
            (entry.generation, entry.slot) == (Some(*generation), Some(*slot)) && entry.detail["outcome"] == **what
        }),
        Asked::Enroll { id, .. } => {
            let told = here.told.get(id.as_str()).cloned().unwrap_or_default();
            any("enroll", &|entry| told.contains(&entry.subject.as_str()))
        }
        Asked::Event { source, at, .. } => {
            any("event", &|entry| entry.subject == *source && occurred(entry) == Some(*at))
        }
        _ => true,
    };
    (!there).then_some("no such entry stands in the history")
}

/// Entries that nobody asked for, that were refused, or that stand there twice.
fn unasked(log: &Log, book: &Book, here: &Here<'_>, verdict: &mut Verdict) {
    let account = book.account.as_str();
    let mut times: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for entry in &book.entries {
        let Entry { seq, act, subject, .. } = entry;
        if matches!(act.as_str(), "create" | "update" | "delete") {
            continue;
        }
        let askers = here.askers(entry);
        let asked = |asker: &&str| here.acts.get(asker).is_some_and(|act| !act.is_refused());
        if !askers.iter().any(asked) {
            let words = match askers.is_empty() {
                true => format!("entry {seq} of {account} ({act} of {subject}) was never asked for"),
                false => format!("entry {seq} of {account} ({act} of {subject}) was refused to {askers:?}"),
            };
            verdict.breaches.push(Breach::new(Kind::Record, words));
        }
        let once = match act.as_str() {
            "retrieve" => !entry.repeat,
            "verify" => !entry.repeat && entry.detail["valid"] == true,
            "store" | "unwrap" => true,
            // Where the account is written before the event, a crash between them brings the event once more, and it changes nothing.
            "enroll" => !log.terms.in_order,
            _ => false,
        };
        if once {
            *times.entry((act, subject)).or_default() += 1;
        }
    }
    for ((act, subject), count) in times.into_iter().filter(|(_, count)| *count > 1) {
        if act == "store" && count == 2 && sent_again_by_the_vault(log, subject) {
            continue;
        }
        let words = format!("{act} of {subject} stands {count} times in the history of {account}");
        verdict.breaches.push(Breach::new(Kind::Twice, words));
    }
}

/// Whether a vault may have sent this request again by itself: it does so once, after its plugin has died over it. A set that is made here
/// and asked for with neither a key nor a generation is then made twice; the first has been superseded, and nobody saw it.
fn sent_again_by_the_vault(log: &Log, act: &str) -> bool {
    let over = |tried: &Try, fault: &Fault| {
        fault.kind.starts_with("plugin killed") && fault.at <= tried.answered && tried.sent <= fault.until
    };
    let makes = |tried: &&Try| matches!(&tried.asked, Asked::Store { codes, cas: None, .. } if codes.is_empty());
    let mut tries = log.tries.iter().filter(|tried| tried.act == act).filter(makes);
    log.terms.mounted && tries.any(|tried| log.faults.iter().any(|fault| over(tried, fault)))
}

/// No act stands before one that had been answered when it was sent.
fn order(book: &Book, here: &Here<'_>, verdict: &mut Verdict) {
    let mut times: BTreeMap<(&str, Vec<&str>), usize> = BTreeMap::new();
    let kinds: Vec<Option<(&str, Vec<&str>)>> = book
        .entries
        .iter()
        .map(|entry| {
            let silent = entry.repeat || matches!(entry.act.as_str(), "create" | "update" | "delete" | "check");
            let silent = silent || (entry.act == "verify" && entry.detail["valid"] != true);
            let key = (!silent).then(|| (entry.act.as_str(), here.askers(entry)))?;
            *times.entry(key.clone()).or_default() += 1;
            Some(key)
        })
        .collect();
    let mut earliest: Option<(Micros, &Entry)> = None;
    for (entry, key) in book.entries.iter().zip(&kinds).rev() {
        // What a broken connection may have sent twice says nothing of when it was done.
        let Some(key) = key.as_ref().filter(|key| times[*key] == 1) else { continue };
        let acts: Vec<&&Act<'_>> = key.1.iter().filter_map(|name| here.acts.get(name)).collect();
        let Some(sent) = acts.iter().map(|act| act.sent()).min() else { continue };
        if let Some((answered, later)) = earliest.filter(|(answered, _)| *answered < sent) {
            let words = format!(
                "entry {} of {} ({} of {}) was sent {} µs after entry {} ({} of {}) had been answered",
                entry.seq,
                book.account,
                entry.act,
                entry.subject,
                sent - answered,
                later.seq,
                later.act,
                later.subject
            );
            verdict.breaches.push(Breach::new(Kind::Record, words));
        }
        let answered = acts.iter().filter_map(|act| act.acknowledged()).map(|one| one.answered).min();
        if let Some(answered) = answered
            && earliest.is_none_or(|(so_far, _)| answered < so_far)
        {
            earliest = Some((answered, entry));
        }
    }
}
