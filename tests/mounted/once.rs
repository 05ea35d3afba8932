//! Once means once while the plugin process, then the node that writes, is killed again and again under many clients. For longer, by hand:
//! `cargo bench --bench mounted_faults -- --seconds 60`.

use std::slice::from_ref;
use std::time::{Duration, Instant};

use crate::support::drill::verdict::{Book, verdict};
use crate::support::drill::{Drill, Given, Outcome};
use crate::support::scene::Scene;
use crate::support::signer::Signer;
use crate::support::vault::Vault;

/// Nothing went wrong, and enough happened that something could have.
#[track_caller]
fn accounted_for(drill: &Drill, outcome: &Outcome, scene: &Scene) {
    println!("{}", outcome.figures());
    assert!(outcome.given.len() > drill.clients as usize, "{}", outcome.figures());
    assert!(!outcome.faults.is_empty() && !outcome.failures.is_empty(), "{}", outcome.figures());
    let wrong = verdict(&outcome.given, &drill.books(outcome, scene));
    assert!(wrong.is_empty(), "{}: {wrong:#?}", outcome.figures());
    outcome.beside.look(scene);
}

#[test]
fn no_code_twice_and_none_unrecorded_while_the_plugin_is_killed_under_many_clients() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let drill = Drill { clients: 8, length: Duration::from_secs(4), every: Duration::from_millis(400), codes: 100 };
    let doors = [scene.through(vault.root(), vault.root())];
    let outcome = drill.run(&doors, || vault.try_kill_plugin());
    accounted_for(&drill, &outcome, &scene);
}

#[test]
fn no_code_twice_and_none_unrecorded_while_the_host_is_killed_under_many_clients() {
    let mut nodes = [Vault::mounted()];
    let scene = Scene::with(nodes[0].root(), nodes[0].root(), Signer::es256("k"));
    let doors = nodes.each_ref().map(|node| scene.through(node.root(), node.root()));
    let drill = Drill { clients: 8, length: Duration::from_secs(4), every: Duration::from_millis(1300), codes: 100 };
    let outcome = drill.run(&doors, || Vault::replace_leader(&mut nodes));
    accounted_for(&drill, &outcome, &scene);
}

#[test]
fn no_code_twice_and_none_unrecorded_while_the_leader_is_killed_under_many_clients() {
    let first = Vault::mounted();
    let scene = Scene::with(first.root(), first.root(), Signer::es256("k"));
    let mut nodes = [Vault::standby_of(&first), Vault::standby_of(&first), first];
    let doors = nodes.each_ref().map(|node| scene.through(node.root(), node.root()));
    let drill = Drill { clients: 8, length: Duration::from_secs(6), every: Duration::from_secs(3), codes: 100 };
    let outcome = drill.run(&doors, || Vault::replace_leader(&mut nodes));
    let leader = nodes.iter().find(|node| node.leads()).expect("a leader");
    accounted_for(&drill, &outcome, &scene.through(leader.root(), leader.root()));
}

#[test]
fn the_verdict_finds_whatever_is_wrong() {
    let at = Instant::now();
    let code = |number: u64| format!("code-{number}");
    let given: Vec<Given> =
        (1..=3).map(|slot| Given { account: 0, slot, code: code(slot), sent: at, answered: at }).collect();
    let book = Book {
        account: 0,
        codes: (1..=5).map(code).collect(),
        dispensed: (1..=3).map(|slot| (slot, 1)).collect(),
        verified: true,
        remaining: 2,
    };
    assert_eq!(verdict(&given, from_ref(&book)), Vec::<String>::new());

    let twice = [&given[..], &given[..1]].concat();
    assert_eq!(verdict(&twice, from_ref(&book)), ["code-1 was given twice"]);
    let mut other = given.clone();
    other[0].code = code(4);
    assert_eq!(verdict(&other, from_ref(&book)), ["code-4 is not what stands in slot 1 of account 0"]);
    let broken = |change: &dyn Fn(&mut Book)| {
        let mut broken = book.clone();
        change(&mut broken);
        verdict(&given, &[broken])
    };
    let unrecorded = broken(&|book| {
        book.dispensed.remove(&2);
        book.remaining = 3;
    });
    assert_eq!(unrecorded, ["slot 2 of account 0 is recorded 0 times"]);
    assert_eq!(broken(&|book| book.dispensed.extend([(2, 2)])), ["slot 2 of account 0 is recorded 2 times"]);
    assert_eq!(broken(&|book| book.verified = false), ["the history of account 0 does not verify"]);
    assert_eq!(broken(&|book| book.remaining = 1), ["account 0: 1 remain and 3 are recorded, of 5"]);
    assert_eq!(verdict(&given[..2], &[book]), ["slot 3 of account 0 was burnt for nobody"]);
}
