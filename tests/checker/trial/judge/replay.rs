//! The history of an account, played again on a small model of one: each entry must have been allowed where it stands, and what comes
//! out must be what the account's metadata say.

use std::collections::BTreeMap;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::ends::{ENROLL_SKEW, SOURCE_SKEW};
use super::{Acts, Breach, Kind, Verdict};
use crate::trial::log::{Asked, Book, Entry, Log, Manner};

/// Milliseconds since 1970 of a time as the engine writes it.
pub fn millis(text: &str) -> Option<i64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Plays the history of one account.
pub fn judge(log: &Log, acts: &Acts<'_>, book: &Book, verdict: &mut Verdict) {
    let Some(manner) = log.terms.accounts.get(&book.account) else { return };
    let mut model = Model::new(*manner, log);
    for entry in &book.entries {
        if let Err((kind, why)) = model.play(entry, acts) {
            let Entry { seq, act, subject, .. } = entry;
            let words = format!("entry {seq} of {} ({act} of {subject}): {why}", book.account);
            verdict.breaches.push(Breach::new(kind, words));
            return;
        }
    }
    if let Some(why) = model.differs(book) {
        verdict
            .breaches
            .push(Breach::new(Kind::Record, format!("{} is not what its history says: {why}", book.account)));
    }
}

/// A set as the history tells it.
struct Set {
    bound: i64,
    live: bool,
    /// A letter a slot, as the metadata have it.
    slots: Vec<char>,
    /// By slot who got it.
    by: BTreeMap<usize, String>,
}

/// An account as the history tells it.
struct Model {
    manner: Manner,
    /// Whether what is wrapped leaves at once, into a vault's own wrapping.
    mounted: bool,
    /// Whether a code can be void though no entry says so.
    in_order: bool,
    generation: u64,
    sets: BTreeMap<u64, Set>,
    ended_before: Option<i64>,
    doubtful_before: Option<i64>,
    latest: Option<i64>,
    released_through: Option<i64>,
    deleted: bool,
}

#[derive(PartialEq, Eq, Clone, Copy)]
enum Standing {
    Active,
    Blocked,
    Over,
}

type Illegal = (Kind, String);

fn illegal<T>(kind: Kind, why: impl Into<String>) -> Result<T, Illegal> {
    Err((kind, why.into()))
}

impl Model {
    fn new(manner: Manner, log: &Log) -> Self {
        let none = None::<i64>;
        Model {
            manner,
            mounted: log.terms.mounted,
            in_order: log.terms.in_order,
            generation: 0,
            sets: BTreeMap::new(),
            ended_before: none,
            doubtful_before: none,
            latest: none,
            released_through: none,
            deleted: false,
        }
    }

    fn standing(&self, set: &Set) -> Standing {
        let before = |mark: Option<i64>| mark.is_some_and(|mark| set.bound < mark);
        let doubtful = before(self.doubtful_before) && self.latest > self.released_through;
        match self.manner {
            _ if !set.live => Standing::Over,
            Manner::Noting => Standing::Active,
            Manner::Plain | Manner::InTurn | Manner::Issued if before(self.ended_before) => Standing::Over,
            _ if doubtful => Standing::Blocked,
            _ => Standing::Active,
        }
    }

    fn live(&self) -> Option<u64> {
        self.sets.iter().rev().find(|(_, set)| set.live).map(|(generation, _)| *generation)
    }

    fn end(&mut self, generation: u64) {
        let Some(set) = self.sets.get_mut(&generation) else { return };
        set.live = false;
        for slot in &mut set.slots {
            if matches!(slot, 'h' | 'w') {
                *slot = 'v';
            }
        }
    }

    fn play(&mut self, entry: &Entry, acts: &Acts<'_>) -> Result<(), Illegal> {
        match entry.act.as_str() {
            "store" => self.store(entry, acts),
            "retrieve" | "unwrap" => self.let_out(entry),
            "verify" if entry.detail["valid"] == true => self.let_out(entry),
            "revoke" => match entry.generation {
                Some(generation) if self.live() == Some(generation) => {
                    self.end(generation);
                    Ok(())
                }
                other => illegal(Kind::Record, format!("generation {other:?} was not alive")),
            },
            "release" if entry.detail["unlocked"] == true => Ok(()),
            "release" => match self.live().and_then(|live| self.sets.get(&live)).map(|set| self.standing(set)) {
                Some(Standing::Blocked) => {
                    let through = self.latest.unwrap_or(entry.at).max(entry.at);
                    self.released_through = self.released_through.max(Some(through));
                    Ok(())
                }
                _ => illegal(Kind::Record, "nothing was quarantined"),
            },
            "enroll" => self.enroll(entry, ENROLL_SKEW),
            "event" => self.enroll(entry, SOURCE_SKEW),
            "delete" if self.live().is_some() => illegal(Kind::Record, "a set was alive"),
            "delete" => {
                self.deleted = true;
                Ok(())
            }
            "create" => {
                self.deleted = false;
                Ok(())
            }
            "outcome" => match self.place(entry).map(|(set, slot)| set.slots[slot]) {
                Some('d') => Ok(()),
                other => illegal(Kind::Record, format!("no code had left there: {other:?}")),
            },
            "confirm" => match entry.generation.and_then(|generation| self.sets.get(&generation)) {
                Some(set) if !set.live => Ok(()),
                _ => illegal(Kind::Record, "that set had not ended"),
            },
            _ => Ok(()),
        }
    }

    fn place(&self, entry: &Entry) -> Option<(&Set, usize)> {
        let set = self.sets.get(&entry.generation?)?;
        let slot = usize::try_from(entry.slot?).ok()?.checked_sub(1)?;
        (slot < set.slots.len()).then_some((set, slot))
    }

    /// When a set is bound: as it was said, else when it was stored, but not before the set before it, nor before the enrollment
    /// that it belongs to.
    fn bound(&self, entry: &Entry, acts: &Acts<'_>) -> i64 {
        let active = self.live().map_or(entry.at, |live| self.sets[&live].bound);
        let now = entry.at.max(active);
        let asked = acts.0.get(entry.subject.as_str()).map(|act| act.asked());
        match asked {
            Some(Asked::Store { enrollment: None, bound_at: Some(at), .. }) => {
                i64::try_from(*at).unwrap_or(0).saturating_mul(1000)
            }
            Some(Asked::Store { enrollment: None, codes, .. }) if !codes.is_empty() => now,
            _ => self.doubtful_before.map_or(now, |mark| mark.max(now)),
        }
    }

    fn store(&mut self, entry: &Entry, acts: &Acts<'_>) -> Result<(), Illegal> {
        let generation = self.generation + 1;
        if entry.generation != Some(generation) {
            return illegal(Kind::Record, format!("generation {:?} came after {}", entry.generation, self.generation));
        }
        let bound = self.bound(entry, acts);
        let count = entry.detail["count"].as_u64().unwrap_or(0) as usize;
        let superseded: Vec<u64> = self.live().into_iter().collect();
        if entry.detail["superseded"] != Value::from(superseded.clone()) {
            return illegal(Kind::Record, format!("it superseded {superseded:?}, and not what it says"));
        }
        superseded.into_iter().for_each(|live| self.end(live));
        let set = Set { bound, live: true, slots: vec!['h'; count], by: BTreeMap::new() };
        if self.standing(&set) == Standing::Over {
            return illegal(Kind::AfterEnd, "its codes were bound before an enrollment that had ended them");
        }
        (self.generation, self.deleted) = (generation, false);
        self.sets.insert(generation, set);
        Ok(())
    }

    fn let_out(&mut self, entry: &Entry) -> Result<(), Illegal> {
        let (generation, slot) = (entry.generation.unwrap_or(0), entry.slot.unwrap_or(0));
        let place = format!("generation {generation} slot {slot}");
        let Some((set, index)) = self.place(entry) else {
            return illegal(Kind::Record, format!("there is no {place}"));
        };
        let standing = self.standing(set);
        if standing != Standing::Active || self.live() != Some(generation) || self.deleted {
            let state = if standing == Standing::Blocked { "was quarantined" } else { "had ended" };
            return illegal(Kind::AfterEnd, format!("{place} left, and its set {state}"));
        }
        let was = set.slots[index];
        let same = set.by.get(&index) == Some(&entry.subject);
        let next = match (entry.act.as_str(), entry.repeat, was) {
            ("retrieve", false, 'h') if entry.detail["wrapped"] == true && !self.mounted => 'w',
            ("retrieve", false, 'h') => 'd',
            ("retrieve", true, 'd' | 'w') if same => was,
            ("unwrap", _, 'w') if same => 'd',
            ("verify", false, 'h') => 'c',
            ("verify", true, 'c') if same => 'c',
            _ => {
                let to = set.by.get(&index).map_or("nobody", String::as_str);
                return illegal(Kind::Twice, format!("{place} had gone to {to} ({was})"));
            }
        };
        let skips = entry.act == "retrieve" && !entry.repeat && set.slots[..index].contains(&'h');
        if self.manner == Manner::InTurn && skips && !self.in_order {
            return illegal(Kind::Record, format!("{place} was not next"));
        }
        if let Some(set) = self.sets.get_mut(&generation) {
            set.slots[index] = next;
            set.by.insert(index, entry.subject.clone());
        }
        Ok(())
    }

    fn enroll(&mut self, entry: &Entry, skew: u64) -> Result<(), Illegal> {
        let told = entry.detail["occurred_at"].as_str().and_then(millis);
        let Some(told) = told else { return illegal(Kind::Record, "it does not say when it happened") };
        let (at, skew) = (told.min(entry.at), i64::try_from(skew * 1000).unwrap_or(0));
        self.ended_before = self.ended_before.max(Some(at - skew));
        self.doubtful_before = self.doubtful_before.max(Some(at + skew));
        self.latest = self.latest.max(Some(at));
        let live = self.live();
        let over = live.filter(|live| {
            let set = &self.sets[live];
            self.manner != Manner::Noting && self.manner != Manner::Quarantining && self.standing(set) == Standing::Over
        });
        if entry.detail["superseded"] != Value::from(over.into_iter().collect::<Vec<u64>>()) {
            return illegal(Kind::AfterEnd, format!("it should have ended {over:?}, and says otherwise"));
        }
        over.into_iter().for_each(|over| self.end(over));
        Ok(())
    }

    /// How the metadata differ from what the history says.
    fn differs(&self, book: &Book) -> Option<String> {
        let Some(state) = &book.state else {
            return (self.live().is_some()).then(|| "the account is gone and a set is alive".to_owned());
        };
        if state.generation != self.generation {
            return Some(format!("generation {} and not {}", state.generation, self.generation));
        }
        let active = self.live().filter(|live| self.standing(&self.sets[live]) == Standing::Active && !self.deleted);
        if state.active != active {
            return Some(format!("active is {:?} and not {active:?}", state.active));
        }
        for (generation, slots) in &state.slots {
            let Some(set) = self.sets.get(generation) else {
                return Some(format!("generation {generation} is not there"));
            };
            // A wrapping that is not opened in time is void.
            let gone = |was: char| was == 'w' || (was == 'h' && self.in_order);
            let same = |(is, was): (char, &char)| is == *was || (is == 'v' && gone(*was));
            if slots.chars().count() != set.slots.len() || !slots.chars().zip(&set.slots).all(same) {
                let was: String = set.slots.iter().collect();
                return Some(format!("slots of generation {generation} are {slots} and not {was}"));
            }
        }
        let held = active.and_then(|active| state.slots.get(&active)).map_or(0, |slots| slots.matches('h').count());
        (state.remaining != held as u64).then(|| format!("{} codes remain and not {held}", state.remaining))
    }
}
