//! Nodes are replaced one after the other while clients work: what is refused meanwhile is healed by an ordinary retry.

mod nodes;
#[path = "../support/mod.rs"]
mod support;
mod ways;
mod work;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nodes::Nodes;
use support::postgres;
use support::server::BINARY;
use ways::Missed;
use work::{Load, Timed, row};

/// Enough to meet every node at every moment.
const LOAD: Load = Load { clients: 6, pause: Duration::ZERO };

/// Three nodes as `from` work for a moment; then each is replaced, by `to` and by `from` again.
fn roll(from: &Path, to: &Path) {
    let mut nodes = Nodes::start(from, &postgres::shared().storage(&postgres::table()), "");
    let root = nodes.servers[0].root();
    work::prepare(&nodes.scene, &root);
    let (missed, stop) = (Missed::default(), AtomicBool::new(false));
    let addresses = nodes.addresses();
    let scene = nodes.scene.through(root.clone(), nodes.servers[0].client());
    let token = nodes.servers[0].root_token().to_owned();
    let began = Instant::now();
    let (seen, replaced) = std::thread::scope(|scope| {
        let working = scope.spawn(|| work::run(&scene, &token, &addresses, LOAD, &missed, &stop));
        sleep(Duration::from_secs(1));
        let replaced = [to, from].map(|binary| nodes.replace_each(binary, Duration::from_millis(300)));
        stop.store(true, Ordering::Relaxed);
        (working.join().expect("every request was answered as it must be"), replaced)
    });
    let (quiet, during): (Vec<Timed>, Vec<Timed>) = seen.times.iter().partition(|time| time.sent < replaced[0].0);
    eprintln!("| | requests | a second | p50 ms | p99 ms | longest ms |");
    eprintln!("{}", row("quiet", quiet, replaced[0].0 - began));
    eprintln!("{}", row("while nodes are replaced", during, replaced[1].1 - replaced[0].0));
    eprintln!("{} requests were sent more than once: {missed:?}", seen.repeated);
    // SIGTERM finishes what is under way: a request that was taken is answered, and so is the next one on a connection that is kept.
    let Missed { refused, turned_away: _, stale, unanswered } = missed;
    assert_eq!((unanswered.into_inner(), stale.into_inner()), (0, 0), "requests that were taken and not answered");
    assert!(refused.into_inner() > 0, "nobody met a node that was away");
    assert!(seen.times.len() > 200, "{} requests", seen.times.len());
    work::compare(&root, &seen);
}

#[test]
fn no_request_fails_while_each_node_is_replaced_in_turn() {
    roll(Path::new(BINARY), Path::new(BINARY));
}

#[test]
#[ignore = "rolls from the binary of another version, which ROLLING_FROM names, to this one and back"]
fn no_request_fails_while_another_version_is_replaced_in_turn() {
    let from = std::env::var("ROLLING_FROM").expect("ROLLING_FROM");
    roll(Path::new(&from), Path::new(BINARY));
}
