//! How many codes one subject may have under one role: the limit, and the shares of it that were taken.

use std::time::Duration;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::domain::account::Account;
use crate::domain::obligation::Retrieval;
use crate::domain::refusal::Refusal;
use crate::domain::role::Scope;
use crate::domain::time::Timestamp;

/// Most retrievals that an account remembers.
const RETRIEVALS_KEPT: usize = 1024;

/// What a role allows one subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// So many codes.
    pub max: u64,
    /// In any span of this length.
    pub per: Duration,
    /// Of one account, or of all together.
    pub scope: Scope,
}

impl Limit {
    /// Whether one more may leave, where those that left still count until `taken`.
    pub fn allows(&self, taken: impl Iterator<Item = Timestamp>, now: Timestamp) -> Result<(), Refusal> {
        let mut taken: Vec<Timestamp> = taken.filter(|until| *until > now).collect();
        taken.sort();
        // As many must end before one may leave: the role may have allowed more when they did.
        let over = (taken.len() as u64).checked_sub(self.max);
        match over.and_then(|over| taken.get(usize::try_from(over).ok()?)) {
            None => Ok(()),
            Some(until) => Err(Refusal::TooMany { max: self.max, scope: self.scope, wait: until.since(now) }),
        }
    }
}

/// One retrieval that still counts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Share {
    /// Keyed hash of the act and of the slot whose code it took.
    #[n(0)]
    pub act: ByteArray<32>,
    /// When it stops counting.
    #[n(1)]
    pub until: Timestamp,
}

/// What one subject took under one role, whatever the accounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Shares {
    /// Oldest first.
    #[n(0)]
    pub taken: Vec<Share>,
}

impl Account {
    /// Counts a retrieval of `by` against `limit`.
    pub fn count_retrieval(&mut self, by: [u8; 32], limit: &Limit, now: Timestamp) -> Result<(), Refusal> {
        self.retrievals.retain(|one| one.until > now);
        limit.allows(self.retrievals.iter().filter(|one| *one.by == by).map(|one| one.until), now)?;
        if let Some(first) = self.retrievals.iter().map(|one| one.until).min()
            && self.retrievals.len() >= RETRIEVALS_KEPT
        {
            return Err(Refusal::TooMany { max: limit.max, scope: limit.scope, wait: first.since(now) });
        }
        self.retrievals.push(Retrieval { by: by.into(), until: now.plus(limit.per) });
        Ok(())
    }
}

impl Shares {
    /// Takes a share for `act`. `false`: this act has it already, from a try that went no further.
    pub fn take(&mut self, act: [u8; 32], limit: &Limit, now: Timestamp) -> Result<bool, Refusal> {
        self.taken.retain(|share| share.until > now);
        if self.taken.iter().any(|share| *share.act == act) {
            return Ok(false);
        }
        limit.allows(self.taken.iter().map(|share| share.until), now)?;
        self.taken.push(Share { act: act.into(), until: now.plus(limit.per) });
        Ok(true)
    }
    /// Whether none of them counts any more.
    pub fn are_over(&self, now: Timestamp) -> bool {
        self.taken.iter().all(|share| share.until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit { max: 2, per: Duration::from_secs(100), scope: Scope::Role };

    #[test]
    fn a_share_counts_for_its_period_and_an_act_takes_one_only() {
        let at = Timestamp::from_secs;
        let mut shares = Shares::default();
        assert_eq!(shares.take([1; 32], &LIMIT, at(0)), Ok(true));
        assert_eq!(shares.take([1; 32], &LIMIT, at(5)), Ok(false), "the same act goes on");
        assert_eq!(shares.take([2; 32], &LIMIT, at(10)), Ok(true));
        let wait = Duration::from_secs(80);
        let refused = Refusal::TooMany { max: 2, scope: Scope::Role, wait };
        assert_eq!(shares.take([3; 32], &LIMIT, at(20)), Err(refused));
        assert_eq!(shares.take([2; 32], &LIMIT, at(20)), Ok(false));
        assert!(!shares.are_over(at(109)));
        assert_eq!(shares.take([3; 32], &LIMIT, at(100)), Ok(true));
        // The role allows fewer now: two must end first, and the second of them ends last.
        let fewer = Limit { max: 1, ..LIMIT };
        let wait = Duration::from_secs(99);
        assert_eq!(shares.take([4; 32], &fewer, at(101)), Err(Refusal::TooMany { max: 1, scope: Scope::Role, wait }));
        assert!(shares.are_over(at(200)));
    }
}
