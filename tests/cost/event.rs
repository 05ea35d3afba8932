//! Events of enrollments: by themselves, and many at the same time.

use serde_json::json;

use crate::acts::{Ceiling, REQUESTS};
use crate::alone;
use crate::crowd::{CLIENTS, EACH};
use crate::inprocess::MOUNT;
use crate::place::Place;
use crate::support::scene::{AUDIENCE, ISSUER, codes};
use crate::support::signer::{credential_change, now};

#[test]
fn an_event_is_one_read_and_one_commit() {
    let _alone = alone();
    let place = Place::new();
    let requests: Vec<_> = (0..REQUESTS).map(|person| event(&place, person)).collect();
    Ceiling {
        allocations: 645,
        allocated: 126_000,
        reads: 1,
        writes: 1,
        read: 1500,
        // A checkpoint of the audit may fall among them.
        written: 1400,
        audit: 1150,
        commits: 1,
        fsyncs: 0,
    }
    .holds("event", &place.measure(&requests));
}

#[test]
fn sixty_four_senders_share_what_is_counted_of_their_source() {
    let _alone = alone();
    let place = Place::new();
    let lists: Vec<Vec<Vec<u8>>> =
        (0..CLIENTS).map(|client| (0..EACH).map(|number| event(&place, client * EACH + number)).collect()).collect();
    let used = place.measure_at_once(&lists);
    let acts = CLIENTS * EACH;
    println!("{acts} events: {used:?}");
    // The source's record is written five times a second, and the audit keeps its last checkpoint now and then.
    assert!((acts..acts + acts / 10).contains(&used.writes), "each is one write: {used:?}");
    assert!(used.reads < acts + acts / 10, "each is one read: {used:?}");
    let commits = used.commits * 1000 / acts;
    assert!(commits <= 1000, "{commits} commits, each with an fsync, for 1,000 events");
}

/// An event that ends the set of an account of its own.
fn event(place: &Place, person: usize) -> Vec<u8> {
    let email = format!("person-{person}@example.com");
    place.scene.store(&format!("okta/{email}"), &codes(person as u64, 10), 0).expect(200);
    let claims = credential_change(ISSUER, AUDIENCE, &json!({"format": "email", "email": email}), now());
    let headers = [("Content-Type", "application/secevent+jwt"), ("Accept", "application/json")];
    place.request_with("POST", &format!("{MOUNT}events/idp"), &headers, &place.scene.signer.set(&claims))
}
