//! The checker: seeded clients act at random on a real engine while it is being broken, and a judge holds what they saw against what the
//! engine says of itself.
//!
//! Longer by hand: `cargo bench --profile dev --bench checker -- --form redb --seconds 600 --seed 1`.

mod judging;
mod made;
#[path = "../support/mod.rs"]
mod support;
mod trial;

use std::time::Duration;

use trial::Trial;
use trial::stand::redb::Redb;

#[test]
fn one_node_on_redb_keeps_its_promises_while_it_is_killed() {
    let seconds = std::env::var("CHECKER_SECONDS").map_or(20, |text| text.parse().expect("CHECKER_SECONDS: a number"));
    let seed = std::env::var("CHECKER_SEED").map_or(1, |text| text.parse().expect("CHECKER_SEED: a number"));
    let trial = Trial {
        seed,
        length: Duration::from_secs(seconds),
        clients: 16,
        accounts: 10,
        every: Duration::from_millis(900),
    };
    let outcome = trial.run(&mut Redb::start(seed));
    println!("{}", outcome.figures());
    if let Ok(path) = std::env::var("CHECKER_LOG") {
        outcome.log.write(std::io::BufWriter::new(std::fs::File::create(path).unwrap())).unwrap();
    }
    let first: Vec<String> = outcome.verdict.breaches.iter().take(20).map(ToString::to_string).collect();
    assert!(first.is_empty(), "{} breaches, first:\n{}", outcome.verdict.breaches.len(), first.join("\n"));
}
