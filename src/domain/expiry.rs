//! When a set is over by the clock alone.

use crate::domain::account::Account;
use crate::domain::profile::{OnLapse, Profile};
use crate::domain::set::Set;
use crate::domain::time::Timestamp;

impl Set {
    /// When it gets too old, where its profile says so.
    pub fn too_old_at(&self, profile: &Profile) -> Option<Timestamp> {
        profile.max_age.map(|age| self.stored_at.plus(age))
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
}
