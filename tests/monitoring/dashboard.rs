//! `dashboard.json` as Grafana reads it: rows, panels, and what these ask Prometheus for.

use std::collections::BTreeSet;

use serde_json::Value;

/// What a panel asks for.
#[derive(Debug)]
pub struct Query {
    /// PromQL, with Grafana's variables.
    pub expression: String,
    /// How a series is named: text with `{{label}}` in it.
    pub legend: String,
}

/// One panel.
#[derive(Debug)]
pub struct Panel {
    /// What stands above it.
    pub title: String,
    /// At least one.
    pub queries: Vec<Query>,
}

impl Query {
    /// The expression as Grafana would fill it for one node.
    pub fn filled(&self, instance: &str) -> String {
        let filled = self.expression.replace("$job", "sparekey").replace("$instance", instance);
        let filled = filled.replace("$__rate_interval", "1m");
        assert!(!filled.contains('$'), "a variable that this test does not know: {filled}");
        filled
    }
    /// The labels that the legend shows.
    pub fn labels(&self) -> Vec<&str> {
        self.legend.split("{{").skip(1).map(|rest| rest.split_once("}}").expect("an end").0).collect()
    }
}

/// Every panel that is no row.
pub fn panels() -> Vec<Panel> {
    all().iter().filter(|panel| panel["type"] != "row").map(panel).collect()
}

fn all() -> Vec<Value> {
    let dashboard: Value = serde_json::from_str(&super::file("examples/monitoring/dashboard.json")).expect("JSON");
    dashboard["panels"].as_array().expect("panels").clone()
}

fn panel(panel: &Value) -> Panel {
    let queries: Vec<Query> = panel["targets"]
        .as_array()
        .expect("targets")
        .iter()
        .map(|target| Query { expression: text(&target["expr"]), legend: text(&target["legendFormat"]) })
        .collect();
    assert!(!queries.is_empty(), "{panel}");
    Panel { title: text(&panel["title"]), queries }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

#[test]
fn every_panel_says_what_it_shows_and_in_what_unit() {
    for panel in all() {
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{panel}");
        if panel["type"] == "row" {
            continue;
        }
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.len() > 20 && description.ends_with('.'), "{}: {description:?}", panel["title"]);
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap_or_default();
        assert!(["none", "s", "reqps", "short"].contains(&unit), "{}: unit {unit:?}", panel["title"]);
        // What is measured in seconds is shown so.
        let seconds = self::panel(&panel).queries.iter().any(|query| query.expression.contains("_seconds"));
        assert_eq!(seconds, unit == "s", "{}", panel["title"]);
        let source = &panel["datasource"];
        assert!(source["type"] == "prometheus" && source["uid"] == "${datasource}", "{}", panel["title"]);
    }
}

#[test]
fn ids_are_unique_and_panels_do_not_lie_on_one_another() {
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in all() {
        let id = panel["id"].as_u64().expect("an id");
        assert!(ids.insert(id), "two panels have id {id}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("a place"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{} leaves the grid", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{} lies on another panel", panel["title"]);
        }
    }
    let dashboard: Value = serde_json::from_str(&super::file("examples/monitoring/dashboard.json")).expect("JSON");
    assert_eq!(dashboard["uid"], "sparekey");
}

#[test]
fn every_metric_that_a_server_tells_is_shown() {
    let shown =
        panels().iter().flat_map(|panel| &panel.queries).map(|query| query.expression.clone()).collect::<String>();
    let documented = super::file("docs/configuration.md");
    let metrics = documented.lines().filter_map(|line| line.strip_prefix("| `sparekey_")?.split('`').next());
    let forgotten: Vec<&str> = metrics.filter(|name| !shown.contains(&format!("sparekey_{name}"))).collect();
    assert!(forgotten.is_empty(), "the dashboard shows nothing of {forgotten:?}");
}
