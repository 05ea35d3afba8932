//! What the host counts of itself. The set of metrics is fixed, and so is every label: a path as the table writes it, an
//! operation, a status. Nothing that a caller sends becomes a name or a label.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::time::Timestamp;
use durations::Durations;

pub mod durations;
pub mod families;
mod shown;

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
    took: Mutex<BTreeMap<Asked, Durations>>,
    acts: Mutex<BTreeMap<&'static str, Durations>>,
    swept: Mutex<BTreeMap<&'static str, u64>>,
    sweeps: [AtomicU64; 2],
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

impl Metrics {
    /// Nothing counted yet.
    pub fn new(started: Timestamp) -> Self {
        Metrics {
            started,
            requests: Mutex::default(),
            took: Mutex::default(),
            acts: Mutex::default(),
            swept: Mutex::default(),
            sweeps: Default::default(),
            disclosures: AtomicU64::new(0),
            audit: Default::default(),
        }
    }
    /// A request was answered, `took` after it had been read.
    pub fn answered(&self, asked: Asked, status: u16, took: Duration) {
        locked(&self.took).entry(asked.clone()).or_default().add(took);
        *locked(&self.requests).entry((asked, status)).or_default() += 1;
    }
    /// The engine was at an act for so long, whatever came of it.
    pub fn acted(&self, act: &'static str, took: Duration) {
        locked(&self.acts).entry(act).or_default().add(took);
    }
    /// So many records of one kind were removed, or changed, by a sweep.
    pub fn swept(&self, what: &'static str, count: usize) {
        *locked(&self.swept).entry(what).or_default() += count as u64;
    }
    /// A run of all sweeps ended, by itself or by a failure.
    pub fn tidied(&self, well: bool) {
        self.sweeps[usize::from(!well)].fetch_add(1, Ordering::Relaxed);
    }
    /// Codes were given out.
    pub fn disclosed(&self) {
        self.disclosures.fetch_add(1, Ordering::Relaxed);
    }
    /// Audit could not record something.
    pub fn audit_failed(&self, stage: AuditStage) {
        self.audit[stage as usize].fetch_add(1, Ordering::Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_and_type_and_every_value_stands_once() {
        let metrics = Metrics::new(Timestamp::from_secs(1_000));
        for (status, times) in [(200, 3), (403, 2)] {
            for _ in 0..times {
                let asked = Asked { path: "retrieve/:account".into(), operation: "update" };
                metrics.answered(asked, status, Duration::from_millis(30));
            }
        }
        metrics.disclosed();
        metrics.audit_failed(AuditStage::Response);
        metrics.acted("retrieve", Duration::from_millis(3));
        metrics.swept("token", 2);
        metrics.tidied(true);
        let gauges = Gauges { version: "1.2.3".into(), sealed: true, ..Gauges::default() };
        let text = metrics.text(&gauges, Timestamp::from_secs(1_090));
        for line in [
            "sparekey_requests_total{path=\"retrieve/:account\",operation=\"update\",status=\"200\"} 3",
            "sparekey_request_duration_seconds_bucket{path=\"retrieve/:account\",operation=\"update\",le=\"0.025\"} 0",
            "sparekey_request_duration_seconds_bucket{path=\"retrieve/:account\",operation=\"update\",le=\"0.05\"} 5",
            "sparekey_request_duration_seconds_bucket{path=\"retrieve/:account\",operation=\"update\",le=\"+Inf\"} 5",
            "sparekey_request_duration_seconds_count{path=\"retrieve/:account\",operation=\"update\"} 5",
            "sparekey_act_duration_seconds_sum{act=\"retrieve\"} 0.003",
            "sparekey_swept_total{kind=\"token\"} 2",
            "sparekey_swept_total{kind=\"set\"} 0",
            "sparekey_sweeps_total 1",
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
            let ends = ["_bucket", "_sum", "_count"];
            let base = ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert_eq!(text.matches(&format!("# TYPE {base} ")).count(), 1, "{name}");
        }
        let json = metrics.json(&gauges, Timestamp::from_secs(1_090));
        assert!(json["Counters"].as_array().unwrap().iter().any(|one| one["Count"] == 3));
        assert_eq!(json["Gauges"][1]["Value"], 90);
        assert!(json["Samples"].as_array().unwrap().iter().any(|one| one["Labels"]["act"] == "retrieve"));
    }
}
