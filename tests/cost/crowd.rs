//! Many acts at the same time.

use std::sync::Barrier;
use std::thread;

use crate::alone;
use crate::inprocess::MOUNT;
use crate::line::Line;
use crate::place::Place;
use crate::support::scene::codes;

/// Clients that ask at the same time.
const CLIENTS: usize = 64;
/// How often each does.
const EACH: usize = 16;

#[test]
fn sixty_four_clients_share_commits_and_fsyncs() {
    let _alone = alone();
    let place = Place::new();
    let lists: Vec<Vec<Vec<u8>>> = (0..CLIENTS)
        .map(|client| {
            let account = format!("crowd/{client}");
            place.scene.store(&account, &codes(client as u64, EACH), 0).expect(200);
            let path = format!("{MOUNT}retrieve/{account}");
            let request = |_| place.request("POST", &path, None, Some(place.scene.request("admin")));
            (0..EACH).map(request).collect()
        })
        .collect();
    let start = Barrier::new(CLIENTS);
    let before = place.reading();
    thread::scope(|scope| {
        for list in &lists {
            let (start, address) = (&start, place.node.address);
            scope.spawn(move || {
                let mut line = Line::to(address);
                start.wait();
                list.iter().for_each(|request| line.ask(request));
            });
        }
    });
    let used = place.reading().since(&before);
    let acts = CLIENTS * EACH;
    println!("{acts} retrievals: {used:?}");
    // The audit keeps its last checkpoint now and then.
    assert!((acts..acts + acts / 100).contains(&used.writes), "each is one write: {used:?}");
    let (commits, fsyncs) = (used.commits * 1000 / acts, used.fsyncs * 1000 / acts);
    // How many fall together depends on how fast the disk is beside the processor; without sharing it is 1,000 of each.
    assert!(commits <= 800, "{commits} commits, each with an fsync, for 1,000 retrievals");
    assert!(fsyncs <= 700, "{fsyncs} fsyncs of the audit for 1,000 retrievals");
}
