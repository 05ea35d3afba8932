//! What the host counts of itself. The set of metrics is fixed, and so is every label: a path as the table writes it, an
//! operation, a status. Nothing that a caller sends becomes a name or a label.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::domain::time::Timestamp;

/// A request as it is counted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// The path's pattern in its table; `other` for what stands in none.
    pub path: String,
    /// `read`, `list`, `update`, `delete` or `other`.
    pub operation: &'static str,
}

/// Where audit failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditStage {
    /// The line before the act.
    Request,
    /// The line of the answer.
    Response,
    /// The line that a code waits for.
    Disclosure,
}

/// The counters of one host, from its start on.
pub struct Metrics {
    started: Timestamp,
    requests: Mutex<BTreeMap<(Asked, u16), u64>>,
    disclosures: AtomicU64,
    audit: [AtomicU64; 3],
}

/// What is true at this moment and counted elsewhere.
#[derive(Debug, Default)]
pub struct Gauges {
    /// The program's version.
    pub version: String,
    /// Whether the root key is out of memory.
    pub sealed: bool,
    /// Calls of the store that failed.
    pub storage_failures: u64,
    /// Whether a restore waits to be accepted.
    pub restore_quarantine: bool,
    /// The epoch of the last anchor and how many a place did not take, if anchors are kept.
    pub anchors: Option<(u64, u64)>,
    /// Values sealed under the barrier's key since it was put to use.
    pub barrier_uses: u64,
    /// Audit devices: declared, and working.
    pub devices: (u64, u64),
    /// Places that keys of issuers are fetched from.
    pub key_places: u64,
    /// Fetches of keys that ended, and those of them that failed.
    pub key_fetches: (u64, u64),
    /// Seconds since the keys of the place that was not confirmed for longest were.
    pub key_age: u64,
}

/// One metric with all its values.
struct Family {
    name: &'static str,
    counts: bool,
    help: &'static str,
    values: Vec<(Vec<(&'static str, String)>, u64)>,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(started: Timestamp) -> Self {
        Metrics { started, requests: Mutex::default(), disclosures: AtomicU64::new(0), audit: Default::default() }
    }
    /// A request was answered.
    pub fn answered(&self, asked: Asked, status: u16) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry((asked, status)).or_default() += 1;
    }
    /// Codes were given out.
    pub fn disclosed(&self) {
        self.disclosures.fetch_add(1, Ordering::Relaxed);
    }
    /// Audit could not record something.
    pub fn audit_failed(&self, stage: AuditStage) {
        self.audit[stage as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Prometheus' text exposition format 0.0.4.
    pub fn text(&self, gauges: &Gauges, now: Timestamp) -> String {
        let mut out = String::with_capacity(8 * 1024);
        for family in self.families(gauges, now) {
            let kind = if family.counts { "counter" } else { "gauge" };
            let _ = writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", family.name, family.help, family.name);
            for (labels, value) in &family.values {
                let labels: Vec<String> = labels.iter().map(|(name, text)| format!("{name}=\"{text}\"")).collect();
                let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                let _ = writeln!(out, "{}{labels} {value}", family.name);
            }
        }
        out
    }
    /// The same in Vault's JSON.
    pub fn json(&self, gauges: &Gauges, now: Timestamp) -> Value {
        let (mut moments, mut counters) = (Vec::new(), Vec::new());
        for family in self.families(gauges, now) {
            for (labels, value) in family.values {
                let labels: BTreeMap<&str, String> = labels.into_iter().collect();
                match family.counts {
                    false => moments.push(json!({"Name": family.name, "Value": value, "Labels": labels})),
                    true => counters.push(json!({
                        "Name": family.name, "Count": value, "Rate": 0, "Sum": value, "Min": 0, "Max": 0, "Mean": 0,
                        "Stddev": 0, "Labels": labels,
                    })),
                }
            }
        }
        json!({"Timestamp": now.to_string(), "Gauges": moments, "Points": [], "Counters": counters, "Samples": []})
    }

    fn families(&self, gauges: &Gauges, now: Timestamp) -> Vec<Family> {
        let one = |name, counts, help, value| Family { name, counts, help, values: vec![(Vec::new(), value)] };
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut refusals: BTreeMap<&'static str, u64> = KINDS.iter().map(|(_, kind)| (*kind, 0)).collect();
        for ((_, status), count) in &requests {
            if let Some((_, kind)) = KINDS.iter().find(|(refused, _)| refused == status) {
                *refusals.entry(kind).or_default() += count;
            }
        }
        let requests = requests.into_iter().map(|((asked, status), count)| {
            let labels =
                vec![("path", asked.path), ("operation", asked.operation.to_owned()), ("status", status.to_string())];
            (labels, count)
        });
        let stages = ["request", "response", "disclosure"].into_iter().zip(&self.audit);
        let failures = stages.map(|(stage, count)| (vec![("stage", stage.to_owned())], count.load(Ordering::Relaxed)));
        vec![
            Family {
                name: "sparekey_build_info",
                counts: false,
                help: "The program that runs.",
                values: vec![(vec![("version", gauges.version.clone())], 1)],
            },
            one("sparekey_uptime_seconds", false, "Since the host was made.", now.since(self.started).as_secs()),
            one("sparekey_sealed", false, "1 while the root key is out of memory.", u64::from(gauges.sealed)),
            Family {
                name: "sparekey_requests_total",
                counts: true,
                help: "Requests answered, by path, operation and status.",
                values: requests.collect(),
            },
            Family {
                name: "sparekey_refusals_total",
                counts: true,
                help: "Requests refused, by kind.",
                values: refusals.into_iter().map(|(kind, count)| (vec![("kind", kind.to_owned())], count)).collect(),
            },
            one(
                "sparekey_disclosures_total",
                true,
                "Answers that carried codes, each after audit had recorded it.",
                self.disclosures.load(Ordering::Relaxed),
            ),
            Family {
                name: "sparekey_audit_failures_total",
                counts: true,
                help: "Lines that no audit device took, by stage.",
                values: failures.collect(),
            },
            one("sparekey_audit_devices", false, "Audit devices that are declared.", gauges.devices.0),
            one("sparekey_audit_devices_working", false, "Those of them that took the last line.", gauges.devices.1),
            one(
                "sparekey_restore_quarantine",
                false,
                "1 while a store that was put back waits to be accepted, and no code leaves.",
                u64::from(gauges.restore_quarantine),
            ),
            one(
                "sparekey_anchored_epoch",
                false,
                "The store's epoch in the last anchor; 0 if none is kept.",
                gauges.anchors.map_or(0, |(epoch, _)| epoch),
            ),
            one(
                "sparekey_anchor_failures_total",
                true,
                "Anchors that a place did not take.",
                gauges.anchors.map_or(0, |(_, failures)| failures),
            ),
            one("sparekey_storage_failures_total", true, "Calls of the store that failed.", gauges.storage_failures),
            one(
                "sparekey_barrier_encryptions",
                false,
                "Values sealed under the barrier's key since it was put to use.",
                gauges.barrier_uses,
            ),
            one("sparekey_jwks_places", false, "Places that keys of issuers are fetched from.", gauges.key_places),
            one("sparekey_jwks_fetches_total", true, "Fetches of such keys that ended.", gauges.key_fetches.0),
            one("sparekey_jwks_fetch_failures_total", true, "Those of them that failed.", gauges.key_fetches.1),
            one(
                "sparekey_jwks_age_seconds",
                false,
                "Since the keys of the place that was not confirmed for longest were.",
                gauges.key_age,
            ),
        ]
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_and_type_and_every_value_stands_once() {
        let metrics = Metrics::new(Timestamp::from_secs(1_000));
        for (status, times) in [(200, 3), (403, 2)] {
            for _ in 0..times {
                metrics.answered(Asked { path: "retrieve/:account".into(), operation: "update" }, status);
            }
        }
        metrics.disclosed();
        metrics.audit_failed(AuditStage::Response);
        let gauges = Gauges { version: "1.2.3".into(), sealed: true, ..Gauges::default() };
        let text = metrics.text(&gauges, Timestamp::from_secs(1_090));
        for line in [
            "sparekey_requests_total{path=\"retrieve/:account\",operation=\"update\",status=\"200\"} 3",
            "sparekey_refusals_total{kind=\"denied\"} 2",
            "sparekey_refusals_total{kind=\"too-many\"} 0",
            "sparekey_disclosures_total 1",
            "sparekey_audit_failures_total{stage=\"response\"} 1",
            "sparekey_uptime_seconds 90",
            "sparekey_sealed 1",
            "sparekey_build_info{version=\"1.2.3\"} 1",
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} in\n{text}");
        }
        let series = text.lines().filter(|line| !line.starts_with('#'));
        for name in series.map(|line| line.split(['{', ' ']).next().unwrap()) {
            assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
        }
        let json = metrics.json(&gauges, Timestamp::from_secs(1_090));
        assert!(json["Counters"].as_array().unwrap().iter().any(|one| one["Count"] == 3));
        assert_eq!(json["Gauges"][1]["Value"], 90);
    }
}
