//! Every metric by name, with its help, its labels and its values.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::durations::Durations;
use super::{Gauges, Metrics, locked};
use crate::domain::time::Timestamp;
use crate::engine::sweep::What;

/// Values with the texts of the labels that they have.
pub type Valued<T> = Vec<(Vec<String>, T)>;

/// What is known of a metric.
pub enum Values {
    /// Goes up only.
    Counts(Valued<u64>),
    /// What is true now.
    Moment(Valued<u64>),
    /// How long something took, in seconds.
    Took(Valued<Durations>),
}

impl Values {
    /// Prometheus' word for the kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Values::Counts(_) => "counter",
            Values::Moment(_) => "gauge",
            Values::Took(_) => "histogram",
        }
    }
}

/// One metric with all its values.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it counts or measures.
    pub help: &'static str,
    /// Names of its labels, in the order of the values' texts.
    pub labels: &'static [&'static str],
    /// Its values.
    pub values: Values,
}

impl Metrics {
    /// All of them.
    pub fn families(&self, gauges: &Gauges, now: Timestamp) -> Vec<Family> {
        let mut all = vec![
            Family {
                name: "sparekey_build_info",
                help: "The program that runs.",
                labels: &["version"],
                values: Values::Moment(vec![(vec![gauges.version.clone()], 1)]),
            },
            moment("sparekey_uptime_seconds", "Since the host was made.", now.since(self.started).as_secs()),
            moment("sparekey_sealed", "1 while the root key is out of memory.", u64::from(gauges.sealed)),
        ];
        all.extend(self.of_requests());
        all.extend(self.of_sweeps());
        all.extend([
            moment("sparekey_audit_devices", "Audit devices that are declared.", gauges.devices.0),
            moment("sparekey_audit_devices_working", "Those of them that took the last line.", gauges.devices.1),
            moment(
                "sparekey_restore_quarantine",
                "1 while a store that was put back waits to be accepted, and no code leaves.",
                u64::from(gauges.restore_quarantine),
            ),
            moment(
                "sparekey_anchored_epoch",
                "The store's epoch in the last anchor; 0 if none is kept.",
                gauges.anchors.map_or(0, |(epoch, _)| epoch),
            ),
            count(
                "sparekey_anchor_failures_total",
                "Anchors that a place did not take.",
                gauges.anchors.map_or(0, |(_, failures)| failures),
            ),
            count("sparekey_storage_failures_total", "Calls of the store that failed.", gauges.storage_failures),
            moment(
                "sparekey_barrier_encryptions",
                "Values sealed under the barrier's key since it was put to use.",
                gauges.barrier_uses,
            ),
            moment("sparekey_jwks_places", "Places that keys of issuers are fetched from.", gauges.key_places),
            count("sparekey_jwks_fetches_total", "Fetches of such keys that ended.", gauges.key_fetches.0),
            count("sparekey_jwks_fetch_failures_total", "Those of them that failed.", gauges.key_fetches.1),
            moment(
                "sparekey_jwks_age_seconds",
                "Since the keys of the place that was not confirmed for longest were.",
                gauges.key_age,
            ),
        ]);
        all
    }

    fn of_requests(&self) -> [Family; 6] {
        let requests = locked(&self.requests).clone();
        let mut refusals: BTreeMap<&'static str, u64> = KINDS.iter().map(|(_, kind)| (*kind, 0)).collect();
        for ((_, status), count) in &requests {
            if let Some((_, kind)) = KINDS.iter().find(|(refused, _)| refused == status) {
                *refusals.entry(kind).or_default() += count;
            }
        }
        let requests = requests
            .into_iter()
            .map(|((asked, status), count)| (vec![asked.path, asked.operation.to_owned(), status.to_string()], count));
        let took = locked(&self.took).clone().into_iter();
        let acts = locked(&self.acts).clone().into_iter();
        let stages = ["request", "response", "disclosure"].into_iter().zip(&self.audit);
        let failures = stages.map(|(stage, count)| (vec![stage.to_owned()], count.load(Ordering::Relaxed)));
        [
            Family {
                name: "sparekey_requests_total",
                help: "Requests answered, by path, operation and status.",
                labels: &["path", "operation", "status"],
                values: Values::Counts(requests.collect()),
            },
            Family {
                name: "sparekey_request_duration_seconds",
                help: "From when a request was read to its answer, by path and operation.",
                labels: &["path", "operation"],
                values: Values::Took(
                    took.map(|(asked, took)| (vec![asked.path, asked.operation.to_owned()], took)).collect(),
                ),
            },
            Family {
                name: "sparekey_act_duration_seconds",
                help: "The engine's part of a request that acts on codes: judging, reading, deciding, writing; without audit.",
                labels: &["act"],
                values: Values::Took(acts.map(|(act, took)| (vec![act.to_owned()], took)).collect()),
            },
            Family {
                name: "sparekey_refusals_total",
                help: "Requests refused, by kind.",
                labels: &["kind"],
                values: Values::Counts(
                    refusals.into_iter().map(|(kind, count)| (vec![kind.to_owned()], count)).collect(),
                ),
            },
            count(
                "sparekey_disclosures_total",
                "Answers that carried codes, each after audit had recorded it.",
                self.disclosures.load(Ordering::Relaxed),
            ),
            Family {
                name: "sparekey_audit_failures_total",
                help: "Lines that no audit device took, by stage.",
                labels: &["stage"],
                values: Values::Counts(failures.collect()),
            },
        ]
    }

    fn of_sweeps(&self) -> [Family; 3] {
        let mut swept: BTreeMap<&'static str, u64> = What::ALL.iter().map(|what| (what.word(), 0)).collect();
        swept.extend(locked(&self.swept).clone());
        let [well, failed] = &self.sweeps;
        [
            count("sparekey_sweeps_total", "Runs of all sweeps that came to their end.", well.load(Ordering::Relaxed)),
            count("sparekey_sweep_failures_total", "Runs that a failure stopped.", failed.load(Ordering::Relaxed)),
            Family {
                name: "sparekey_swept_total",
                help: "Records that sweeps removed, or took keys and ciphertexts out of (set), by kind.",
                labels: &["kind"],
                values: Values::Counts(swept.into_iter().map(|(kind, count)| (vec![kind.to_owned()], count)).collect()),
            },
        ]
    }
}

fn moment(name: &'static str, help: &'static str, value: u64) -> Family {
    Family { name, help, labels: &[], values: Values::Moment(vec![(Vec::new(), value)]) }
}

fn count(name: &'static str, help: &'static str, value: u64) -> Family {
    Family { name, help, labels: &[], values: Values::Counts(vec![(Vec::new(), value)]) }
}

/// Statuses of refusals, by kind.
const KINDS: [(u16, &str); 9] = [
    (400, "invalid"),
    (403, "denied"),
    (404, "not-found"),
    (405, "unsupported"),
    (413, "too-large"),
    (415, "media-type"),
    (429, "too-many"),
    (500, "internal"),
    (503, "unavailable"),
];
