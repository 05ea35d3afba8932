//! Nodes are replaced one after the other while clients work: what is refused meanwhile is healed by an ordinary retry.

mod nodes;
#[path = "../support/mod.rs"]
mod support;
mod ways;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use nodes::Nodes;
use support::postgres;
use ways::Missed;

/// How many clients work at the same time.
const CLIENTS: usize = 6;

#[test]
fn no_request_fails_while_each_node_is_replaced_in_turn() {
    let mut nodes = Nodes::start(&postgres::shared().storage(&postgres::table()), "");
    let root = nodes.servers[0].root();
    work::prepare(&nodes.scene, &root);
    let (missed, stop) = (Missed::default(), AtomicBool::new(false));
    let addresses = nodes.addresses();
    let (scene, token) =
        (nodes.scene.through(root.clone(), nodes.servers[0].client()), nodes.servers[0].root_token().to_owned());
    let seen = std::thread::scope(|scope| {
        let working = scope.spawn(|| work::run(&scene, &token, &addresses, CLIENTS, &missed, &stop));
        sleep(Duration::from_secs(1));
        for _ in 0..2 {
            nodes.replace_each(Duration::from_millis(300));
        }
        stop.store(true, Ordering::Relaxed);
        working.join().expect("every request was answered as it must be")
    });
    eprintln!("{} requests, {} sent again: {missed:?}", seen.times.len(), seen.repeated);
    // SIGTERM finishes what is under way: a request that was taken is answered.
    assert_eq!(Missed::of(&missed.unanswered), 0, "{missed:?}");
    assert!(Missed::of(&missed.refused) > 0, "nobody met a node that was away: {missed:?}");
    assert!(seen.times.len() > 200, "{} requests", seen.times.len());
    work::compare(&root, &seen);
}
