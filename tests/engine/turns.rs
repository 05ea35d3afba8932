//! Turns: one node at a time at what is done for all, and whoever comes next goes on where the work stopped.

use serde_json::json;
use sparekey::engine::Engine;

use crate::harness::{Bench, CODES};

fn node(bench: &Bench, name: &str) -> Engine {
    bench.another().on_node(name)
}

#[tokio::test]
async fn one_node_at_a_time_and_the_next_goes_on_where_it_stopped() {
    let bench = Bench::new().await;
    let (one, two) = (node(&bench, "one"), node(&bench, "two"));
    let turn = one.take_turn("chore").await.unwrap().expect("nobody has it");
    assert!(turn.place().is_empty());
    assert!(two.take_turn("chore").await.unwrap().is_none());
    assert!(two.take_turn("another").await.unwrap().is_some(), "chores do not wait for each other");
    let turn = one.keep_turn(turn, b"half".to_vec()).await.unwrap().expect("still this node's");
    one.end_turn(turn, b"two thirds".to_vec()).await.unwrap();
    let turn = two.take_turn("chore").await.unwrap().expect("it was ended");
    assert_eq!((turn.place(), turn.term()), (&b"two thirds"[..], 2));
}

#[tokio::test]
async fn a_silent_node_loses_its_turn_and_writes_nothing_afterwards() {
    let bench = Bench::new().await;
    let (one, two) = (node(&bench, "one"), node(&bench, "two"));
    let lost = one.take_turn("chore").await.unwrap().expect("nobody has it");
    bench.wait(59);
    assert!(two.take_turn("chore").await.unwrap().is_none());
    bench.wait(1);
    let turn = two.take_turn("chore").await.unwrap().expect("its time is over");
    assert_eq!(turn.term(), 2);
    assert!(one.keep_turn(lost, b"from before".to_vec()).await.unwrap().is_none(), "another node has it");
    let turn = two.keep_turn(turn, b"from now".to_vec()).await.unwrap().expect("still this node's");
    assert_eq!(turn.place(), b"from now");
}

#[tokio::test]
async fn a_node_that_comes_back_goes_on_at_once() {
    let bench = Bench::new().await;
    let turn = node(&bench, "one").take_turn("chore").await.unwrap().expect("nobody has it");
    node(&bench, "one").keep_turn(turn, b"half".to_vec()).await.unwrap().expect("still this node's");
    let turn = node(&bench, "one").take_turn("chore").await.unwrap().expect("the same node after a restart");
    assert_eq!((turn.place(), turn.term()), (&b"half"[..], 1));
}

#[tokio::test]
async fn a_clock_far_ahead_keeps_nobody_waiting() {
    let bench = Bench::new().await;
    bench.wait(86_400);
    node(&bench, "ahead").take_turn("chore").await.unwrap().expect("nobody has it");
    bench.wait(-86_400);
    assert!(node(&bench, "two").take_turn("chore").await.unwrap().is_some());
}

#[tokio::test]
async fn a_sweep_goes_on_at_another_node_where_it_stopped() {
    let bench = Bench::new().await;
    bench.store("github/acme-owner", &CODES).await;
    for _ in 0..4 {
        assert_eq!(bench.act("retrieve/github/acme-owner", json!({"reason": "locked out"})).await.status, 200);
    }
    // Four claims that still count, and nothing else to sweep: whoever begins at the front is not done after five looks.
    let (one, two, fresh) = (node(&bench, "one"), node(&bench, "two"), node(&bench, "three"));
    assert!(!one.sweep(4, || true).await.unwrap().whole);
    two.resume_sweeps(&one.sweep_place().await).await;
    assert!(two.sweep(5, || true).await.unwrap().whole);
    assert!(!fresh.sweep(5, || true).await.unwrap().whole);
    // What another version wrote is no reason to stop.
    two.resume_sweeps(b"\xff something else").await;
    assert!(two.sweep(100, || true).await.unwrap().whole);
}
