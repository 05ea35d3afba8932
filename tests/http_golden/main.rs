//! Exchanges recorded from a Vault-compatible server, replayed against the real listener: status, headers and body.
//!
//! `golden/vault-http.jsonl` holds one exchange a line: `name`, `method`, `path`, `headers`, `body` or `body_raw`, `status`,
//! `resp_headers` (`@std`: the headers of every answer), `resp_body` or `resp_text`. `<uuid>`, `<int>` … stand for any value of that
//! kind, `$name` for a value that the test knows. What this host answers differently on purpose stands in [`adapt`]; what it does
//! not have stands in [`LEFT_OUT`] with the reason.

mod adapted;
mod compared;
#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../golden/left_out.rs"]
mod left_out;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;

use adapted::adapt;
use left_out::LEFT_OUT;
use serde_json::Value;
use stage::Stage;

/// How many exchanges were recorded in all.
const RECORDED: usize = 211;

#[test]
fn every_exchange_is_replayed_or_left_out_for_a_reason() {
    let replayed = records().iter().map(|record| record["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
    let left: Vec<&str> = LEFT_OUT.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert_eq!(replayed.len() + left.len(), RECORDED);
    assert!(left.iter().all(|name| !replayed.contains(*name)), "named twice");
}

#[test]
fn recorded_exchanges_come_out_the_same() {
    let mut stage = Stage::new();
    let mut failures = Vec::new();
    for mut record in records() {
        let name = record["name"].as_str().unwrap().to_owned();
        stage.prepare(&name);
        adapt(&name, &mut record);
        let answer = stage.send(&record);
        if let Err(difference) = stage.compare(&record, &answer) {
            failures.push(format!("{name}: {difference}"));
        }
        stage.learn(&name, &answer);
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

fn records() -> Vec<Value> {
    include_str!("../golden/vault-http.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
