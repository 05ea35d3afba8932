//! What goes from mount to mount of an account beside its codes: JSON that both ends read and write through these types.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::wire::{Moment, Text16, Text32};
use crate::domain::profile::Keeping;
use crate::domain::set::Kind;

/// Where an account comes from, and its ledger there when it left.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceState {
    /// The mount's random id.
    pub mount_id: Text16,
    /// The account's random id there.
    pub account_id: Text16,
    /// Number of the last entry of its ledger.
    pub seq: u64,
    /// Hash of that entry.
    pub head: Text32,
}

/// The whole state.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub profile: String,
    pub owner: String,
    pub login_name: String,
    pub login_url: String,
    pub protects: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub created_at: Moment,
    /// A deleted account leaves what stays of it.
    pub deleted_at: Option<Moment>,
    /// The highest generation ever.
    pub generation: u32,
    /// When the latest set was bound.
    pub bound_at: Option<Moment>,
    pub enrollment: EnrollmentState,
    pub owes: Option<OwesState>,
    pub failures: Option<FailuresState>,
    /// Oldest first; at most the last one lives.
    pub sets: Vec<SetState>,
    pub fingerprints: Vec<PrintsState>,
}

/// The marks of an account's enrollments.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollmentState {
    pub number: u32,
    pub ended_before: Option<Moment>,
    pub doubtful_before: Option<Moment>,
    pub latest: Option<Moment>,
    pub source: Option<String>,
    pub released_through: Option<Moment>,
}

/// The set that is owed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwesState {
    pub since: Moment,
    pub by: Moment,
    pub generation: u32,
}

/// Wrong codes in a row.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailuresState {
    pub in_a_row: u32,
    pub latest: Option<Moment>,
    pub locked_until: Option<Moment>,
}

/// A set; its held codes come apart from it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetState {
    pub generation: u32,
    pub kind: Kind,
    /// Absent while it lives.
    pub ended: Option<EndState>,
    pub stored_at: Moment,
    pub stored_by: String,
    pub bound_at: Moment,
    /// Since when the provider, too, is known to take its codes no more.
    pub confirmed_at: Option<Moment>,
    pub custody: Option<String>,
    pub keeping: Option<Keeping>,
    pub failures: Option<u32>,
    /// Slot 1 first.
    pub slots: Vec<SlotState>,
}

/// How a set ended.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndState {
    pub at: Moment,
    pub cause: String,
}

/// A slot.
#[derive(Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", deny_unknown_fields)]
pub enum SlotState {
    /// Its code comes along.
    Held,
    Dispensed {
        at: Moment,
        by: String,
        role: String,
        outcome: Option<OutcomeState>,
    },
    Used,
    Consumed {
        at: Moment,
        by: String,
    },
    Void {
        at: Moment,
    },
}

/// What became of a dispensed code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeState {
    pub what: String,
    pub at: Moment,
    pub by: String,
}

/// Fingerprints that one mount made; the key to them comes apart from them, in the same order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrintsState {
    pub mount_id: Text16,
    pub account_id: Text16,
    pub generations: Vec<GenerationPrints>,
}

/// Fingerprints of one generation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationPrints {
    pub generation: u32,
    /// Until when they are kept; absent while the set lives.
    pub until: Option<Moment>,
    /// Slot 1 first.
    pub prints: Vec<Text16>,
    pub lengths: BTreeSet<u16>,
}
