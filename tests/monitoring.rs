//! `examples/monitoring/`: every metric that an alert names is one that a server tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use support::server::Server;

#[path = "support/mod.rs"]
mod support;

/// The words of `text` that begin like our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("sparekey_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_of_an_alert_is_told_and_every_alert_has_advice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    let alerts = read("examples/monitoring/alerts.yml");
    let server = Server::start();
    let told = named(&server.root().read("sys/metrics?format=prometheus").expect(200).text());
    let asked = named(&alerts);
    assert!(asked.len() >= 8, "{asked:?}");
    let missing: Vec<_> = asked.difference(&told).collect();
    assert!(missing.is_empty(), "no server tells {missing:?}");
    let operations = read("docs/operations.md");
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(operations.contains(&format!("| `{name}` |")), "docs/operations.md says nothing of {name}");
    }
}
