//! How many wrong codes an account stands. The count lives in the account's record, whoever asks and through whatever session.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::domain::time::Timestamp;

/// So many wrong codes in a row, and only an operator unlocks (NIST SP 800-63B-4 section 3.2.2).
pub const MOST_FAILURES: u32 = 100;

/// What a profile allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Every so many wrong codes in a row lock the account for a while.
    pub max_failures: u64,
    /// For that while.
    pub lockout: Duration,
}

/// Why no code is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Until this time.
    Until(Timestamp),
    /// Until an operator unlocks.
    Operator,
}

/// Wrong codes in a row. Only a consumed code, or an operator, begins the count anew; a new set does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Failures {
    /// How many.
    #[n(0)]
    pub in_a_row: u32,
    /// When the latest one came.
    #[n(1)]
    pub latest: Option<Timestamp>,
    /// No code is looked at before this.
    #[n(2)]
    pub locked_until: Option<Timestamp>,
}

impl Failures {
    /// The lock as it stands at `now`.
    pub fn lock(&self, now: Timestamp) -> Option<Lock> {
        if self.in_a_row >= MOST_FAILURES {
            return Some(Lock::Operator);
        }
        self.locked_until.filter(|until| *until > now).map(Lock::Until)
    }
    /// Counts a wrong code; answers the lock that it leads to.
    pub fn count(&mut self, limits: Limits, now: Timestamp) -> Option<Lock> {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.latest = Some(now);
        if u64::from(self.in_a_row).is_multiple_of(limits.max_failures.max(1)) {
            self.locked_until = Some(now.plus(limits.lockout));
        }
        self.lock(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_failures: 10, lockout: Duration::from_secs(900) };

    #[test]
    fn every_tenth_failure_locks_for_a_while_and_the_hundredth_for_good() {
        let mut failures = Failures::default();
        let mut now = Timestamp::from_secs(1000);
        for number in 1..MOST_FAILURES {
            assert_eq!(failures.lock(now), None, "{number}");
            let lock = failures.count(LIMITS, now);
            let until = now.plus(LIMITS.lockout);
            assert_eq!(lock, (number % 10 == 0).then_some(Lock::Until(until)), "{number}");
            if lock.is_some() {
                assert_eq!(failures.lock(until.minus(Duration::from_millis(1))), lock);
                now = until;
            }
        }
        assert_eq!(failures.count(LIMITS, now), Some(Lock::Operator));
        assert_eq!(failures.lock(now.plus(Duration::from_secs(1_000_000))), Some(Lock::Operator));
    }
}
