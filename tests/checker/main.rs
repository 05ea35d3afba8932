//! The checker: seeded clients act at random on a real engine while it is being broken, and a judge holds what they saw against what the
//! engine says of itself.
//!
//! Longer by hand: `cargo bench --bench checker -- --form redb --seconds 600 --seed 1`.

#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../support/mod.rs"]
mod support;

mod judging;
mod made;
mod tallied;
mod trial;

use std::fs::File;
use std::io::BufWriter;
use std::time::Duration;

use support::corpus::Dice;
use trial::judge::Kind;
use trial::stand::Stand;
use trial::stand::layered::Layered;
use trial::stand::mounted::Mounted;
use trial::stand::postgres::Postgres;
use trial::stand::redb::Redb;
use trial::{Outcome, Trial};

fn env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

/// The seed of a run: always the same, unless the environment says another.
fn seed() -> u64 {
    env("CHECKER_SEED", 1)
}

/// Acts, breaks and judges; panics if anything was wrong, or if nothing could have gone wrong.
fn check(stand: &mut dyn Stand, seconds: u64, every: u64) -> Outcome {
    check_by(seed(), stand, seconds, every)
}

fn check_by(seed: u64, stand: &mut dyn Stand, seconds: u64, every: u64) -> Outcome {
    let seconds = env("CHECKER_SECONDS", seconds);
    let (length, every) = (Duration::from_secs(seconds), Duration::from_millis(every));
    let trial = Trial { seed, length, clients: 16, accounts: 10, every, tells: false };
    let outcome = trial.run(stand);
    println!("{}, seed {}: {}", stand.name(), trial.seed, outcome.figures());
    // The log of a run in which something was wrong is kept: the next run may not find it.
    let wrong = !outcome.verdict.breaches.is_empty();
    let kept = format!("{}/checker-{}-{}.jsonl", env!("CARGO_TARGET_TMPDIR"), stand.name(), trial.seed);
    if let Some(path) = std::env::var("CHECKER_LOG").ok().or(wrong.then_some(kept)) {
        println!("its log: {path}");
        outcome.log.write(BufWriter::new(File::create(path).expect("a log"))).expect("a log is written");
    }
    let breaches = &outcome.verdict.breaches;
    let first = |kind: Kind| breaches.iter().filter(move |breach| breach.kind == kind).take(5);
    let first: Vec<String> = Kind::ALL.into_iter().flat_map(first).map(ToString::to_string).collect();
    let (count, seed) = (breaches.len(), trial.seed);
    assert!(first.is_empty(), "{count} breaches of seed {seed}, of each kind the first:\n{}", first.join("\n"));
    assert!(outcome.verdict.seen > 0 && !outcome.log.faults.is_empty(), "nothing could have gone wrong");
    outcome
}

#[test]
fn one_node_on_redb_keeps_its_promises_while_it_is_killed() {
    drop(check(&mut Redb::start(seed()), 12, 700));
}

#[test]
fn one_node_on_redb_keeps_its_promises_whatever_its_clock_says() {
    let mut stand = Redb::stepped(seed());
    let moved = stand.steps_clock();
    let outcome = check(&mut stand, 10, 500);
    assert_eq!(moved, outcome.faults.keys().any(|kind| kind.contains("clock")), "{:?}", outcome.faults);
}

#[test]
fn one_node_on_redb_keeps_its_promises_while_its_audit_files_disk_fills_up_and_stands_still() {
    drop(check(&mut Redb::roomed(seed()), 10, 500));
}

#[test]
fn a_plugin_of_a_vault_keeps_its_promises_while_both_are_killed() {
    drop(check(&mut Mounted::start(seed()), 15, 900));
}

#[test]
fn two_nodes_over_a_store_that_fails_keep_their_promises_whatever_the_clock_says() {
    drop(check(&mut Layered::start(seed(), false), 10, 120));
}

#[test]
fn two_nodes_over_a_store_that_stops_in_the_middle_keep_their_promises() {
    drop(check(&mut Layered::start(seed() + 1, false), 10, 120));
}

#[test]
fn a_damaged_file_is_an_error_or_does_not_matter_and_is_never_a_wrong_answer() {
    let mut stand = Redb::start(seed());
    let outcome = check(&mut stand, 3, 1_000);
    let accounts: Vec<String> = outcome.log.terms.accounts.into_keys().collect();
    let dice = Dice::new(seed());
    for _ in 0..8 {
        let broken = stand.damage(&dice, &accounts);
        println!("{}", broken.kind.unwrap_or_default());
        assert!(broken.findings.is_empty(), "{:#?}", broken.findings);
    }
}

#[test]
fn three_nodes_over_postgresql_keep_their_promises_while_all_of_them_are_killed() {
    drop(check(&mut Postgres::start(seed()), 15, 700));
}

/// Two minutes of it, in four rounds; in the last one clocks are moved where they can be.
#[test]
fn three_nodes_over_postgresql_keep_their_promises_for_minutes() {
    for seed in 5..9 {
        drop(check_by(seed, &mut Postgres::start(seed), 30, 700));
    }
}
