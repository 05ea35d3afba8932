//! Re-enrollment ends the past. Whether a set may be used is a function of when it was bound and of the account's watermarks;
//! events and imports therefore commute.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::domain::time::Timestamp;

/// What a profile lets an enrollment do to older sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnEnrollment {
    /// End them.
    #[default]
    Supersede,
    /// Block them until an operator releases them.
    Quarantine,
    /// Only say so.
    Notify,
}

/// How surely an event tells that the factor changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// It did: both watermarks move.
    Ends,
    /// Something changed that we do not know: sets bound before are only doubtful.
    Doubts,
}

/// What the watermarks say of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Untouched,
    /// It is blocked until released.
    Quarantined,
    /// It is over.
    Ended,
}

/// The enrollments of an account, as far as they bear on its sets.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Enrollment {
    /// How many there were; the latest one's number.
    #[n(0)]
    pub number: u32,
    /// E: the latest event time minus the skew. A set bound before it is ended.
    #[n(1)]
    pub ended_before: Option<Timestamp>,
    /// Q: the latest event time plus the skew. A set bound before it is doubtful.
    #[n(2)]
    pub doubtful_before: Option<Timestamp>,
    /// The latest event time.
    #[n(3)]
    pub latest: Option<Timestamp>,
    /// Where the latest event came from: a source's name, or `enroll`.
    #[n(4)]
    pub source: Option<String>,
    /// The time of the last release: an event no later than it quarantines nothing.
    #[n(5)]
    pub released_through: Option<Timestamp>,
}

impl Enrollment {
    /// Takes in an event of time `at` (never later than its receipt, `now`), known to `skew`.
    pub fn record(&mut self, at: Timestamp, now: Timestamp, skew: Duration, weight: Weight, source: &str) {
        let at = at.min(now);
        self.number = self.number.saturating_add(1);
        if weight == Weight::Ends {
            self.ended_before = self.ended_before.max(Some(at.minus(skew)));
        }
        self.doubtful_before = self.doubtful_before.max(Some(at.plus(skew)));
        if self.latest.is_none_or(|latest| at >= latest) {
            self.latest = Some(at);
            self.source = Some(source.to_owned());
        }
    }

    /// Judges a set that was bound at `bound_at`.
    pub fn judge(&self, bound_at: Timestamp, policy: OnEnrollment) -> Verdict {
        let ended = self.ended_before.is_some_and(|mark| bound_at < mark);
        let doubtful = self.doubtful_before.is_some_and(|mark| bound_at < mark) && self.latest > self.released_through;
        match policy {
            OnEnrollment::Notify => Verdict::Untouched,
            OnEnrollment::Supersede if ended => Verdict::Ended,
            OnEnrollment::Supersede | OnEnrollment::Quarantine if doubtful => Verdict::Quarantined,
            OnEnrollment::Supersede | OnEnrollment::Quarantine => Verdict::Untouched,
        }
    }

    /// Whether a caller who stores a set must say which enrollment or time it belongs to: an event came after the latest set,
    /// so codes fetched before it could otherwise bring the dead ones back.
    pub fn must_be_named(&self, latest_bound_at: Option<Timestamp>) -> bool {
        match (self.doubtful_before, latest_bound_at) {
            (Some(mark), Some(bound_at)) => mark > bound_at,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// The time at which a set is bound that names the latest enrollment: whatever the clocks say, not before it.
    pub fn bound_by_number(&self, now: Timestamp) -> Timestamp {
        self.doubtful_before.map_or(now, |mark| mark.max(now))
    }

    /// Notes a release at `now`. It shields from no event later than it, and never from E under `supersede`.
    pub fn release(&mut self, now: Timestamp) {
        self.released_through = self.released_through.max(Some(self.latest.map_or(now, |latest| latest.max(now))));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SKEW: Duration = Duration::from_secs(30);
    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn after(events: &[i64]) -> Enrollment {
        let mut enrollment = Enrollment::default();
        for event in events {
            enrollment.record(at(*event), at(10_000), SKEW, Weight::Ends, "test");
        }
        enrollment
    }

    #[test]
    fn a_set_bound_clearly_before_an_event_is_ended_and_one_near_it_is_doubtful() {
        let enrollment = after(&[1000]);
        for (bound, policy, verdict) in [
            (969, OnEnrollment::Supersede, Verdict::Ended),
            (970, OnEnrollment::Supersede, Verdict::Quarantined),
            (1029, OnEnrollment::Supersede, Verdict::Quarantined),
            (1030, OnEnrollment::Supersede, Verdict::Untouched),
            (969, OnEnrollment::Quarantine, Verdict::Quarantined),
            (1029, OnEnrollment::Quarantine, Verdict::Quarantined),
            (1030, OnEnrollment::Quarantine, Verdict::Untouched),
            (0, OnEnrollment::Notify, Verdict::Untouched),
        ] {
            assert_eq!(enrollment.judge(at(bound), policy), verdict, "{bound} {policy:?}");
        }
    }

    #[test]
    fn a_release_lifts_doubt_until_a_later_event_and_never_an_end() {
        let mut enrollment = after(&[1000]);
        enrollment.release(at(1100));
        assert_eq!(enrollment.judge(at(1000), OnEnrollment::Supersede), Verdict::Untouched);
        assert_eq!(enrollment.judge(at(900), OnEnrollment::Supersede), Verdict::Ended);
        assert_eq!(enrollment.judge(at(900), OnEnrollment::Quarantine), Verdict::Untouched);
        enrollment.record(at(1100), at(1200), SKEW, Weight::Ends, "late");
        assert_eq!(enrollment.judge(at(1100), OnEnrollment::Supersede), Verdict::Untouched);
        enrollment.record(at(1101), at(1200), SKEW, Weight::Ends, "later");
        assert_eq!(enrollment.judge(at(1100), OnEnrollment::Supersede), Verdict::Quarantined);
    }

    #[test]
    fn an_event_from_the_future_counts_as_its_receipt() {
        let mut enrollment = Enrollment::default();
        enrollment.record(at(9_999_999), at(1000), SKEW, Weight::Ends, "fast clock");
        assert_eq!(enrollment.latest, Some(at(1000)));
        assert_eq!(enrollment.judge(at(1030), OnEnrollment::Supersede), Verdict::Untouched);
    }

    #[test]
    fn an_unknown_change_doubts_and_does_not_end() {
        let mut enrollment = Enrollment::default();
        enrollment.record(at(1000), at(1000), SKEW, Weight::Doubts, "test");
        assert_eq!(enrollment.judge(at(1), OnEnrollment::Supersede), Verdict::Quarantined);
    }

    proptest! {
        #[test]
        fn events_commute_repeat_and_never_move_back(
            events in prop::collection::vec(0i64..5000, 1..8), bound in 0i64..6000, rotate in 0usize..8, again in 0usize..8,
        ) {
            let mut other = events.clone();
            other.rotate_left(rotate % events.len());
            other.push(events[again % events.len()]);
            let (a, b) = (after(&events), after(&other));
            prop_assert_eq!(a.ended_before, b.ended_before);
            prop_assert_eq!(a.doubtful_before, b.doubtful_before);
            prop_assert_eq!(a.latest, b.latest);
            for policy in [OnEnrollment::Supersede, OnEnrollment::Quarantine, OnEnrollment::Notify] {
                prop_assert_eq!(a.judge(at(bound), policy), b.judge(at(bound), policy));
            }
        }
    }
}
