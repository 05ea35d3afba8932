//! Metrics as they are asked for: Prometheus' text, or Vault's JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::families::{Family, Values};
use super::{Gauges, Metrics};
use crate::domain::time::Timestamp;

impl Metrics {
    /// Prometheus' text exposition format 0.0.4.
    pub fn text(&self, gauges: &Gauges, now: Timestamp) -> String {
        let mut out = String::with_capacity(32 * 1024);
        for family in self.families(gauges, now) {
            let name = family.name;
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.help, family.values.kind());
            match &family.values {
                Values::Counts(values) | Values::Moment(values) => {
                    for (texts, value) in values {
                        let _ = writeln!(out, "{name}{} {value}", labelled(&family, texts, None));
                    }
                }
                Values::Took(values) => {
                    for (texts, took) in values {
                        for (bound, count) in took.cumulative() {
                            let within = labelled(&family, texts, Some(bound.to_string()));
                            let _ = writeln!(out, "{name}_bucket{within} {count}");
                        }
                        let all = labelled(&family, texts, Some("+Inf".to_owned()));
                        let plain = labelled(&family, texts, None);
                        let _ = writeln!(out, "{name}_bucket{all} {}", took.count);
                        let _ = writeln!(out, "{name}_sum{plain} {}\n{name}_count{plain} {}", took.sum, took.count);
                    }
                }
            }
        }
        out
    }

    /// The same in Vault's JSON.
    pub fn json(&self, gauges: &Gauges, now: Timestamp) -> Value {
        let (mut moments, mut counters, mut samples) = (Vec::new(), Vec::new(), Vec::new());
        for family in self.families(gauges, now) {
            let labels = |texts: Vec<String>| family.labels.iter().copied().zip(texts).collect::<BTreeMap<_, _>>();
            let name = family.name;
            match family.values {
                Values::Moment(values) => moments.extend(
                    values
                        .into_iter()
                        .map(|(texts, value)| json!({"Name": name, "Value": value, "Labels": labels(texts)})),
                ),
                Values::Counts(values) => counters.extend(values.into_iter().map(|(texts, value)| {
                    json!({
                        "Name": name, "Count": value, "Rate": 0, "Sum": value, "Min": 0, "Max": 0, "Mean": 0,
                        "Stddev": 0, "Labels": labels(texts),
                    })
                })),
                Values::Took(values) => samples.extend(values.into_iter().map(|(texts, took)| {
                    let (mean, deviation) = took.spread();
                    json!({
                        "Name": name, "Count": took.count, "Rate": 0, "Sum": took.sum, "Min": took.range.0,
                        "Max": took.range.1, "Mean": mean, "Stddev": deviation, "Labels": labels(texts),
                    })
                })),
            }
        }
        json!({
            "Timestamp": now.to_string(), "Gauges": moments, "Points": [], "Counters": counters, "Samples": samples,
        })
    }
}

/// The labels of one value; `le` is that of a histogram's bucket.
fn labelled(family: &Family, texts: &[String], le: Option<String>) -> String {
    let named = family.labels.iter().zip(texts).map(|(name, text)| format!("{name}=\"{text}\""));
    let all: Vec<String> = named.chain(le.map(|le| format!("le=\"{le}\""))).collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}
