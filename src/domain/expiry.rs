//! When a set is over by the clock alone, and what the clock takes of an account that nobody touches. A clock that is wrong for a
//! moment must take nothing: a set that is over is noticed, and destroyed only if it is still over a day later.

use std::time::Duration;

use minicbor::{Decode, Encode};

use crate::domain::account::{Account, Standing};
use crate::domain::profile::{OnLapse, Profile};
use crate::domain::set::{Cause, Set};
use crate::domain::time::Timestamp;

/// What the clock alone decides waits so long before anything is destroyed.
pub const PATIENCE: Duration = Duration::from_secs(86_400);

/// That the current set was found to be over by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Noticed {
    /// The set.
    #[n(0)]
    pub generation: u32,
    /// When it was found first.
    #[n(1)]
    pub at: Timestamp,
}

/// What is to be done with an account that nobody touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Keys or ciphertexts of ended sets and of closed windows have had their time.
    Settle,
    /// The current set was found to be over, or not to be over after all: that is noted, and nothing else.
    Notice(Option<Noticed>),
    /// The current set has been over for long enough: it ends for this cause.
    End(u32, Cause),
}

impl Set {
    /// When it gets too old, where its profile says so.
    pub fn too_old_at(&self, profile: &Profile) -> Option<Timestamp> {
        profile.max_age.map(|age| self.stored_at.plus(age))
    }
    /// Whether what it could be opened by has had its time: at the end that was set for it, or a day after a window closed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let closed = now.minus(PATIENCE);
        self.is_to_be_destroyed(now) || self.slots.iter().any(|slot| slot.is_closed(closed))
    }
}

impl Account {
    /// When `set` lapses if no new one comes, where the profile says so.
    pub fn lapses_at(&self, set: &Set, profile: &Profile) -> Option<Timestamp> {
        let owed = self.obligation.filter(|owed| owed.generation == set.generation);
        owed.filter(|_| profile.on_lapse == OnLapse::Revoke).map(|owed| owed.by)
    }
    /// When `set` is over by the clock: too old, or lapsed, whichever comes first.
    pub fn over_at(&self, set: &Set, profile: &Profile) -> Option<Timestamp> {
        set.too_old_at(profile).into_iter().chain(self.lapses_at(set, profile)).min()
    }

    /// Ends the current set for `cause`; what it could be opened by goes with it, or later where the profile says so.
    pub fn end_by_clock(&mut self, cause: Cause, profile: &Profile, now: Timestamp) {
        self.end_live(cause, profile, now);
    }
    /// What the clock has come to by `now`. Without its profile nobody can say whether a live set is over.
    pub fn due(&self, profile: Option<&Profile>, now: Timestamp) -> Due {
        let live = self.live().filter(|_| self.is_here().is_ok());
        if let (Some(set), Some(profile)) = (live, profile) {
            let noticed = self.noticed.filter(|noticed| noticed.generation == set.generation && noticed.at <= now);
            match (self.standing(set, profile, now), noticed) {
                (Standing::Over(cause @ (Cause::Age | Cause::Lapsed)), Some(noticed))
                    if noticed.at.plus(PATIENCE) <= now =>
                {
                    return Due::End(set.generation, cause);
                }
                (Standing::Over(Cause::Age | Cause::Lapsed), Some(_)) => {}
                (Standing::Over(Cause::Age | Cause::Lapsed), None) => {
                    return Due::Notice(Some(Noticed { generation: set.generation, at: now }));
                }
                _ if self.noticed.is_some() => return Due::Notice(None),
                _ => {}
            }
        }
        if self.sets.iter().any(|set| set.is_due(now)) { Due::Settle } else { Due::Nothing }
    }
}
