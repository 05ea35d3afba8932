//! Many acts at the same time.

use sparekey::random::OsRandom;
use sparekey::storage::{Storage, Write};
use tokio::task::JoinSet;

use crate::alone;
use crate::inprocess::MOUNT;
use crate::place::Place;
use crate::support::scene::codes;

/// Clients that ask at the same time.
pub const CLIENTS: usize = 64;
/// How often each does.
pub const EACH: usize = 16;

#[test]
fn sixty_four_clients_make_one_write_an_act_and_no_more_commits_and_fsyncs() {
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
    let used = place.measure_at_once(&lists);
    let acts = CLIENTS * EACH;
    println!("{acts} retrievals: {used:?}");
    // The audit keeps its last checkpoint now and then.
    assert!((acts..acts + acts / 100).contains(&used.writes), "each is one write: {used:?}");
    let (commits, fsyncs) = (used.commits * 1000 / acts, used.fsyncs * 1000 / acts);
    // How many fall together depends on how slow the disk is beside the processor, and beside a build for tests none is slow.
    assert!(commits <= 1000, "{commits} commits, each with an fsync, for 1,000 retrievals");
    assert!(fsyncs <= 1010, "{fsyncs} fsyncs of the audit for 1,000 retrievals");
}

/// Where writing is all there is to do, on any disk: what waits goes down together. `tests/audit/load.rs` says so of audit lines.
#[test]
fn sixty_four_writers_share_commits() {
    let _alone = alone();
    let place = Place::new();
    let before = place.reading();
    place.node.run(async {
        let mut tasks = JoinSet::new();
        for writer in 0..CLIENTS {
            let store = place.redb();
            tasks.spawn(async move {
                for number in 0..EACH {
                    let write = Write::create(format!("claims/{writer}-{number}"), vec![7; 1024], &OsRandom);
                    store.put_all(vec![write]).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
    });
    let commits = place.reading().since(&before).commits * 1000 / (CLIENTS * EACH);
    println!("{commits} commits for 1,000 writes");
    assert!(commits <= 250, "{commits} commits, each with an fsync, for 1,000 writes");
}
