//! `examples/monitoring/` against a real server and a real Prometheus: what the alerts and the dashboard ask for is told, under these
//! names and with these labels, and every alarm rings when it should. The documents name every metric and every alarm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use support::prometheus::{Prometheus, promtool};
use support::scene::{Scene, codes};
use support::server::{MOUNT, Server, Setup};

mod dashboard;
#[path = "../support/mod.rs"]
mod support;

/// A file of the repository.
fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/monitoring")
}

/// The words of `text` that begin like our metrics.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("sparekey_")).map(str::to_owned).collect()
}

/// The names of the rules, as they stand in their file.
fn alerts() -> BTreeSet<String> {
    file("examples/monitoring/alerts.yml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: ").map(str::to_owned))
        .collect()
}

/// A server whose metrics are open, with a little of everything behind it.
fn busy() -> Server {
    let server = Setup::default()
        .extra(&format!(
            "listener \"tcp\" {{\n  address = \"{}\"\n  tls_disable = true\n  telemetry {{\n    \
             unauthenticated_metrics_access = true\n  }}\n}}",
            support::server::free_address()
        ))
        .start();
    let scene = Scene::new(&server);
    scene.store("github/acme-owner", &codes(1, 3), 0).expect(200);
    scene.retrieve("github/acme-owner", "alice").expect(200);
    server.client().write(&format!("{MOUNT}/retrieve/github/acme-owner"), &json!({"role": "on-call"})).expect(403);
    scene.read("accounts", "github/acme-owner").expect(200);
    server
}

/// The address of the listener that tells metrics to everybody.
fn open_listener(server: &Server) -> String {
    let configuration = fs::read_to_string(server.configure()).expect("the configuration");
    let mut addresses = configuration.lines().filter_map(|line| line.trim().strip_prefix("address = \""));
    addresses.nth(1).expect("a second listener").trim_end_matches('"').to_owned()
}

#[test]
fn a_real_prometheus_finds_what_alerts_and_dashboard_ask_for() {
    let server = busy();
    let place = open_listener(&server);
    let quick = file("examples/monitoring/prometheus.yml")
        .replace("interval: 15s", "interval: 1s")
        .replace("127.0.0.1:8201", &place);
    assert!(quick.contains(&place) && quick.matches("interval: 1s").count() == 2, "{quick}");
    let prometheus = Prometheus::start(&quick, &file("examples/monitoring/alerts.yml"));
    prometheus.until("count_over_time(sparekey_build_info[1m]) > 3");

    let told = server.root().read("sys/metrics?format=prometheus").expect(200).text();
    for panel in dashboard::panels() {
        for query in &panel.queries {
            let missing: Vec<_> = named(&query.expression).difference(&named(&told)).cloned().collect();
            assert!(missing.is_empty(), "{}: no server tells {missing:?}", panel.title);
            let series = prometheus.query(&query.filled(&place)).unwrap_or_else(|error| panic!("{panel:?}: {error}"));
            assert!(!series.is_empty(), "{panel:?}: nothing is shown");
            for one in &series {
                let labels = one["metric"].as_object().expect("labels");
                let unknown: Vec<_> = query.labels().into_iter().filter(|label| !labels.contains_key(*label)).collect();
                assert!(unknown.is_empty(), "{panel:?}: no label {unknown:?} in {labels:?}");
            }
        }
    }

    let rules = prometheus.rules();
    let names: BTreeSet<_> = rules.iter().filter_map(|rule| rule["name"].as_str().map(str::to_owned)).collect();
    assert_eq!(names, alerts());
    for rule in &rules {
        assert!(matches!(rule["health"].as_str(), Some("ok" | "unknown")), "{rule}");
        let query = rule["query"].as_str().expect("a query");
        let missing: Vec<_> = named(query).difference(&named(&told)).cloned().collect();
        assert!(missing.is_empty(), "{}: no server tells {missing:?}", rule["name"]);
        // Without what it is compared with, there is something to compare.
        let asked =
            query.split(" or ").next().and_then(|first| first.rsplit_once([' ', '>', '=', '<'])).expect("a bound").0;
        let asked = asked.trim_end_matches(['=', '>', '<', ' ']);
        assert!(!prometheus.query(asked).expect("a query").is_empty(), "{}: nothing under {asked}", rule["name"]);
        assert!(rule["annotations"]["summary"].is_string() && rule["labels"]["severity"].is_string(), "{rule}");
    }
}

#[test]
fn every_alarm_rings_when_it_should_and_only_then() {
    promtool(&folder(), &["check", "config", "prometheus.yml"]).exits(0);
    promtool(&folder(), &["check", "rules", "alerts.yml"]).exits(0).says("rules found");
    promtool(&folder(), &["test", "rules", "alerts_test.yml"]).exits(0);
    // Each has a case that rings and one that does not.
    let tests = file("examples/monitoring/alerts_test.yml");
    let lines: Vec<&str> = tests.lines().map(str::trim).collect();
    let mut cases: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(name) = line.strip_prefix("alertname: ") {
            assert_eq!(lines[at + 1], "exp_alerts:", "{name}");
            cases.entry(name).or_default().0 += 1;
        } else if let Some((_, rest)) = line.split_once("alertname: ") {
            cases.entry(rest.strip_suffix(", exp_alerts: [] }").expect("a silent case")).or_default().1 += 1;
        }
    }
    assert_eq!(cases.keys().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), alerts());
    for (name, (rings, silent)) in cases {
        assert!(rings > 0 && silent > 0, "{name} has {rings} cases that ring and {silent} that do not");
    }
}

#[test]
fn the_documents_name_every_metric_and_every_alarm() {
    let told = busy().root().read("sys/metrics?format=prometheus").expect(200).text();
    let configuration = file("docs/configuration.md");
    let kinds = told.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split_once(' '));
    let rows: BTreeSet<String> = kinds.map(|(name, kind)| format!("| `{name}` | {kind} |")).collect();
    assert!(rows.len() > 15, "{rows:?}");
    let listed: BTreeSet<String> = configuration
        .lines()
        .filter(|line| line.starts_with("| `sparekey_"))
        .map(|line| format!("{} |", line.splitn(4, '|').take(3).collect::<Vec<_>>().join("|").trim_end()))
        .collect();
    assert_eq!(listed, rows);
    let operations = file("docs/operations.md");
    for name in alerts() {
        assert!(operations.contains(&format!("| `{name}` |")), "docs/operations.md says nothing of {name}");
    }
}
