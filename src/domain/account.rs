//! An account: its sets, its enrollments, what it owes. Every change is decided here, on a copy that the storage write then
//! accepts or refuses as a whole.

use std::time::Duration;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::domain::about::About;
pub use crate::domain::claimed::Claimed;
use crate::domain::enrollment::{Enrollment, Verdict, Weight};
use crate::domain::expiry::Noticed;
use crate::domain::fingerprints::Fingerprints;
use crate::domain::moving::Moving;
use crate::domain::obligation::{Obligation, Retrieval};
use crate::domain::profile::{Order, Profile};
use crate::domain::refusal::Refusal;
use crate::domain::set::{Cause, End, Kind, Set, Slot, Status};
use crate::domain::setback::Setback;
use crate::domain::throttle::Failures;
use crate::domain::time::Timestamp;

/// How many ended sets stay in the record; older ones go to the archive.
pub const ENDED_KEPT: usize = 4;

/// How a set stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Usable.
    Active,
    /// Blocked until released.
    Quarantined,
    /// Over, or refused as if it were.
    Over(Cause),
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Account {
    /// Random; stays through deletion and re-creation.
    #[n(0)]
    pub id: ByteArray<16>,
    /// Name of its profile; empty while it is a stub.
    #[n(1)]
    pub profile: String,
    /// What people say about it.
    #[n(2)]
    pub about: About,
    /// When it was first heard of.
    #[n(3)]
    pub created_at: Timestamp,
    /// Set while it is deleted: what is left is a tombstone.
    #[n(4)]
    pub deleted_at: Option<Timestamp>,
    /// The highest generation ever.
    #[n(5)]
    pub generation: u32,
    /// Oldest first; at most one is live.
    #[n(6)]
    pub sets: Vec<Set>,
    /// When the latest set was bound.
    #[n(7)]
    pub latest_bound_at: Option<Timestamp>,
    /// Enrollments.
    #[n(8)]
    pub enrollment: Enrollment,
    /// The set that is owed.
    #[n(9)]
    pub obligation: Option<Obligation>,
    /// Fingerprints of every code that was ever here.
    #[n(10)]
    pub fingerprints: Fingerprints,
    /// Retrievals that still count.
    #[n(11)]
    pub retrievals: Vec<Retrieval>,
    /// Wrong codes in a row, if there are any.
    #[n(12)]
    pub failures: Option<Failures>,
    /// Where it came from and where it went, if it moved.
    #[n(13)]
    pub moving: Option<Moving>,
    /// That the current set was found to be over by the clock.
    #[n(14)]
    pub noticed: Option<Noticed>,
    /// Set once acts on it were lost with a store that was put back.
    #[n(15)]
    pub setback: Option<Setback>,
}

impl Account {
    /// An account that is known by name only.
    pub fn stub(id: [u8; 16], now: Timestamp) -> Self {
        Account {
            id: id.into(),
            profile: String::new(),
            about: About::default(),
            created_at: now,
            deleted_at: None,
            generation: 0,
            sets: Vec::new(),
            latest_bound_at: None,
            enrollment: Enrollment::default(),
            obligation: None,
            fingerprints: Fingerprints::default(),
            retrievals: Vec::new(),
            failures: None,
            moving: None,
            noticed: None,
            setback: None,
        }
    }
    /// Whether nobody has created it (yet, or again).
    pub fn is_stub(&self) -> bool {
        self.profile.is_empty() || self.deleted_at.is_some()
    }
    /// The current set.
    pub fn live(&self) -> Option<&Set> {
        self.sets.iter().rev().find(|set| set.is_live())
    }
    /// The set of this generation, if it is still in the record.
    pub fn set(&self, generation: u32) -> Option<&Set> {
        self.sets.iter().find(|set| set.generation == generation)
    }
    fn set_mut(&mut self, generation: u32) -> Option<&mut Set> {
        self.sets.iter_mut().find(|set| set.generation == generation)
    }

    /// How `set` stands at `now`.
    pub fn standing(&self, set: &Set, profile: &Profile, now: Timestamp) -> Standing {
        if let Status::Ended(end) = set.status {
            return Standing::Over(end.cause);
        }
        let verdict = self.enrollment.judge(set.bound_at, profile.on_enrollment);
        if verdict == Verdict::Ended {
            return Standing::Over(Cause::ReEnrollment);
        }
        if set.too_old_at(profile).is_some_and(|at| at <= now) {
            return Standing::Over(Cause::Age);
        }
        if self.lapses_at(set, profile).is_some_and(|at| at <= now) {
            return Standing::Over(Cause::Lapsed);
        }
        let blocked = verdict == Verdict::Quarantined || self.holds(set).is_some();
        if blocked { Standing::Quarantined } else { Standing::Active }
    }
    /// The current set if a code of it may leave at `now`.
    pub fn usable(&self, profile: &Profile, now: Timestamp) -> Result<&Set, Refusal> {
        self.is_here()?;
        let Some(set) = self.live() else {
            return Err(match self.sets.last() {
                Some(Set { generation, status: Status::Ended(end), .. }) => Refusal::Ended(*generation, end.cause),
                _ => Refusal::NoSet,
            });
        };
        match self.standing(set, profile, now) {
            Standing::Active => Ok(set),
            Standing::Quarantined => Err(self.blocks(set)),
            Standing::Over(cause) => Err(Refusal::Ended(set.generation, cause)),
        }
    }

    /// Decides whether a set may come in: its generation and the time it is bound at.
    pub fn plan(
        &self,
        claimed: Claimed,
        now: Timestamp,
        skew: Duration,
        profile: &Profile,
    ) -> Result<(u32, Timestamp), Refusal> {
        self.is_here()?;
        if let Some(expected) = claimed.cas.filter(|cas| *cas != u64::from(self.generation)) {
            return Err(Refusal::CasMismatch { expected, is: self.generation });
        }
        let latest = self.enrollment.number;
        if let Some(given) = claimed.enrollment.filter(|given| *given != u64::from(latest)) {
            return Err(Refusal::EnrollmentStale { given, latest });
        }
        if claimed.bound_at.is_none()
            && claimed.enrollment.is_none()
            && self.enrollment.must_be_named(self.latest_bound_at)
        {
            return Err(Refusal::EnrollmentOwed { latest });
        }
        if claimed.bound_at.is_some_and(|at| at > now.plus(skew)) {
            return Err(Refusal::BoundInFuture);
        }
        let active = self.live().map(|set| set.bound_at);
        let bound_at = match (claimed.enrollment, claimed.bound_at) {
            (Some(_), _) => self.enrollment.bound_by_number(now).max(active.unwrap_or(now)),
            (None, Some(at)) => at,
            (None, None) => active.map_or(now, |active| active.max(now)),
        };
        if self.enrollment.judge(bound_at, profile.on_enrollment) == Verdict::Ended {
            return Err(Refusal::BoundBeforeEnrollment);
        }
        if active.is_some_and(|active| bound_at < active) {
            return Err(Refusal::BoundBeforeActive);
        }
        let generation = self.generation.checked_add(1).ok_or(Refusal::Full)?;
        Ok((generation, bound_at))
    }

    /// Takes in a set that [`Account::plan`] allowed; answers the generations it superseded.
    pub fn admit(&mut self, set: Set, profile: &Profile, now: Timestamp) -> Vec<u32> {
        let ended = self.end_live(Cause::NewerSet, profile, now);
        self.generation = set.generation;
        self.latest_bound_at = self.latest_bound_at.max(Some(set.bound_at));
        self.obligation = None;
        self.sets.push(set);
        ended
    }

    /// Ends the live set and destroys it in the same write, or later where the profile says so.
    pub(super) fn end_live(&mut self, cause: Cause, profile: &Profile, now: Timestamp) -> Vec<u32> {
        let destroy_at = (!profile.destroy_after.is_zero()).then(|| now.plus(profile.destroy_after));
        let mut ended = Vec::new();
        self.sets = std::mem::take(&mut self.sets)
            .into_iter()
            .map(|set| {
                if !set.is_live() {
                    return set;
                }
                ended.push(set.generation);
                set.end(End { at: now, cause, destroy_at })
            })
            .collect();
        if !ended.is_empty() {
            self.obligation = None;
            self.noticed = None;
        }
        for generation in &ended {
            self.keep_prints(*generation, now.plus(profile.fingerprint_retention));
        }
        ended
    }

    /// Which code of the current set leaves.
    pub fn choose(&self, profile: &Profile, slot: Option<u64>, now: Timestamp) -> Result<(u32, u32), Refusal> {
        if self.live().is_some_and(|set| set.kind == Kind::Issued) {
            return Err(Refusal::OnlyVerified);
        }
        let set = self.usable(profile, now)?;
        if let Some(why) = profile.refuses_retrieval(now) {
            return Err(Refusal::Forbidden(why));
        }
        let lowest = set.slots.iter().position(|slot| matches!(slot, Slot::Held(_)));
        let count = set.slots.len();
        let index = match slot {
            None => lowest.ok_or(Refusal::Exhausted(set.generation))?,
            Some(slot) => {
                let index =
                    usize::try_from(slot).ok().and_then(|slot| slot.checked_sub(1)).filter(|index| *index < count);
                let index = index.ok_or(Refusal::NoSlot { slot, count })?;
                if !matches!(set.slots[index], Slot::Held(_)) {
                    return Err(Refusal::SlotSpent(slot));
                }
                index
            }
        };
        let number = |index: usize| u32::try_from(index + 1).unwrap_or(u32::MAX);
        if profile.order == Order::Sequential && lowest != Some(index) {
            return Err(Refusal::OutOfTurn { next: number(lowest.unwrap_or(index)) });
        }
        Ok((set.generation, number(index)))
    }

    /// Changes the set of this generation.
    pub fn change_set(
        &mut self,
        generation: u32,
        change: impl FnOnce(Set) -> Result<Set, Refusal>,
    ) -> Result<(), Refusal> {
        let set = self.set_mut(generation).ok_or(Refusal::NoGeneration(generation.into()))?;
        *set = change(set.clone())?;
        Ok(())
    }
    /// Changes one slot and answers what `change` answers. The slot must exist.
    pub fn change_slot<T>(
        &mut self,
        generation: u32,
        slot: u32,
        change: impl FnOnce(Slot) -> Result<(Slot, T), Refusal>,
    ) -> Result<T, Refusal> {
        let set = self.set_mut(generation).ok_or(Refusal::NoGeneration(generation.into()))?;
        let count = set.slots.len();
        let place = (slot as usize).checked_sub(1).and_then(|index| set.slots.get_mut(index));
        let place = place.ok_or(Refusal::NoSlot { slot: slot.into(), count })?;
        let (next, answer) = change(place.clone())?;
        *place = next;
        Ok(answer)
    }

    /// Takes in an enrollment; answers the generations it ended and quarantined.
    pub fn enroll(
        &mut self,
        at: Timestamp,
        weight: Weight,
        source: &str,
        profile: &Profile,
        skew: Duration,
        now: Timestamp,
    ) -> (Vec<u32>, Vec<u32>) {
        let before = self.live().map(|set| self.standing(set, profile, now));
        self.enrollment.record(at, now, skew, weight, source);
        let Some(set) = self.live() else { return (Vec::new(), Vec::new()) };
        match self.enrollment.judge(set.bound_at, profile.on_enrollment) {
            Verdict::Ended => (self.end_live(Cause::ReEnrollment, profile, now), Vec::new()),
            Verdict::Quarantined if before != Some(Standing::Quarantined) => (Vec::new(), vec![set.generation]),
            Verdict::Quarantined | Verdict::Untouched => (Vec::new(), Vec::new()),
        }
    }

    /// Ends the set of `generation` (the live one if none is named) for `cause`.
    pub fn revoke(
        &mut self,
        generation: Option<u64>,
        cause: Cause,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<u32, Refusal> {
        let target = self.addressed(generation)?;
        match target.status {
            Status::Ended(end) => Err(Refusal::Ended(target.generation, end.cause)),
            Status::Live => {
                let number = target.generation;
                self.end_live(cause, profile, now);
                Ok(number)
            }
        }
    }

    /// Lets a quarantined set live again.
    pub fn release(&mut self, generation: Option<u64>, profile: &Profile, now: Timestamp) -> Result<u32, Refusal> {
        self.is_here()?;
        let target = self.addressed(generation)?;
        let number = target.generation;
        match self.standing(target, profile, now) {
            Standing::Over(cause) => Err(Refusal::Ended(number, cause)),
            Standing::Active => Err(Refusal::NotQuarantined(number)),
            Standing::Quarantined if self.let_go(number) => Ok(number),
            Standing::Quarantined => {
                self.enrollment.release(now);
                Ok(number)
            }
        }
    }
    fn addressed(&self, generation: Option<u64>) -> Result<&Set, Refusal> {
        match generation {
            Some(number) => {
                self.sets.iter().find(|set| u64::from(set.generation) == number).ok_or(Refusal::NoGeneration(number))
            }
            None => self.live().or(self.sets.last()).ok_or(Refusal::NoSet),
        }
    }

    /// Turns the account into its tombstone. What protects against replays stays; what people said goes.
    pub fn delete(&mut self, now: Timestamp) -> Result<(), Refusal> {
        if let Some(set) = self.live() {
            return Err(Refusal::LiveSet(set.generation));
        }
        self.deleted_at = Some(now);
        self.profile = String::new();
        self.about = About::default();
        self.obligation = None;
        Ok(())
    }

    /// The account as it is at `now` (closed windows, due destructions, expired fingerprints), and the ended sets that are
    /// more than the record keeps, oldest first.
    pub fn settle(&mut self, now: Timestamp) -> Vec<Set> {
        self.sets = std::mem::take(&mut self.sets).into_iter().map(|set| set.settle(now)).collect();
        self.expire_prints(now);
        self.retrievals.retain(|one| one.until > now);
        let over = self.sets.iter().filter(|set| !set.is_live()).count().saturating_sub(ENDED_KEPT);
        let mut archived = Vec::new();
        while archived.len() < over {
            let Some(index) = self.sets.iter().position(|set| !set.is_live()) else { break };
            archived.push(self.sets.remove(index));
        }
        archived
    }
}
