//! Nodes are replaced one after the other while clients work: what is refused meanwhile is healed by an ordinary retry.

mod nodes;
mod other;
#[path = "../support/mod.rs"]
mod support;
mod ways;
mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nodes::Nodes;
use other::Other;
use support::postgres;
use support::server::BINARY;
use ways::Missed;
use work::{Ends, Load, Timed, row};

/// The version of this build.
const OWN: &str = env!("CARGO_PKG_VERSION");
/// Enough to meet every node at every moment.
const LOAD: Load = Load { clients: 6, pause: Duration::ZERO };

/// Three nodes of `first` work for a moment; then `change` happens to them, beneath the load. Afterwards they are as they were.
fn while_clients_work(first: &Path, change: impl FnOnce(&mut Nodes)) {
    let mut nodes = Nodes::start(first, &postgres::shared().storage(&postgres::table()), "");
    let root = nodes.servers[0].root();
    work::prepare(&nodes.scene, &root);
    let (missed, stop) = (Missed::default(), AtomicBool::new(false));
    let addresses = nodes.addresses();
    let scene = nodes.scene.through(root.clone(), nodes.servers[0].client());
    let token = nodes.servers[0].root_token().to_owned();
    let began = Instant::now();
    let (seen, from) = std::thread::scope(|scope| {
        let working = scope.spawn(|| work::run(&scene, &token, &addresses, LOAD, &missed, &stop));
        sleep(Duration::from_secs(1));
        let from = Instant::now();
        {
            // Also where the change goes wrong.
            let _ends = Ends(&stop);
            change(&mut nodes);
        }
        (working.join().expect("every request was answered as it must be"), from)
    });
    let to = Instant::now();
    let (quiet, during): (Vec<Timed>, Vec<Timed>) = seen.times.iter().partition(|time| time.sent < from);
    eprintln!("| | requests | a second | p50 ms | p99 ms | longest ms |");
    eprintln!("{}", row("quiet", quiet, from - began));
    eprintln!("{}", row("while nodes are replaced", during, to - from));
    eprintln!("{} requests were sent more than once: {missed:?}", seen.repeated);
    // SIGTERM finishes what is under way: who was let in is answered. (A connection that lies idle for longer than the last call is closed,
    // maybe just when its client comes back to it.)
    assert_eq!(missed.unanswered.into_inner(), 0, "requests that were taken and not answered");
    assert!(missed.refused.into_inner() > 0, "nobody met a node that was away");
    assert!(seen.times.len() > 100, "{} requests", seen.times.len());
    work::compare(&root, &seen);
}

#[test]
fn no_request_fails_while_each_node_is_replaced_in_turn() {
    while_clients_work(BINARY.as_ref(), |nodes| {
        for _ in 0..2 {
            nodes.replace_each(BINARY.as_ref(), Duration::from_millis(300));
        }
    });
}

#[test]
fn a_node_of_another_version_serves_beside_the_others() {
    while_clients_work(BINARY.as_ref(), |nodes| {
        let (third, others) = nodes.servers.split_last_mut().expect("three");
        assert!(third.terminate().success());
        let newer = Other::instead_of(third, "99.1.0");
        assert_eq!(third.client().read("sys/health").expect(200).json()["version"], "99.1.0");
        sleep(Duration::from_secs(2));
        // Whoever asks is told that there are two, and each tells of both.
        newer.report();
        for node in others.iter().chain([&*third]) {
            let listed = node.client().token(others[0].root_token()).read("sys/ha-status").expect(200).json();
            let versions: BTreeSet<&str> =
                listed["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["version"].as_str()).collect();
            assert_eq!(versions, BTreeSet::from([OWN, "99.1.0"]), "{listed}");
        }
        newer.end();
        third.restart();
        sleep(Duration::from_millis(500));
    });
}

#[test]
#[ignore = "rolls from the binary of another version, which ROLLING_FROM names, to this one and back"]
fn no_request_fails_while_another_version_is_replaced_in_turn() {
    let from = std::env::var("ROLLING_FROM").expect("ROLLING_FROM");
    while_clients_work(from.as_ref(), |nodes| {
        for binary in [BINARY, &from] {
            nodes.replace_each(binary.as_ref(), Duration::from_millis(300));
        }
    });
}
