//! What waits in a wrapping.

use crate::acts::{Ceiling, retrievals};
use crate::alone;
use crate::place::Place;

#[test]
fn a_retrieval_into_a_wrapping_is_one_commit_and_waits_for_no_fsync_of_the_audit() {
    let _alone = alone();
    let place = Place::new();
    let headers = [("X-Vault-Wrap-TTL", "120")];
    let requests: Vec<_> =
        retrievals(&place).map(|(path, body)| place.request_with("POST", &path, &headers, &body.to_string())).collect();
    Ceiling {
        allocations: 715,
        allocated: 154_000,
        reads: 1,
        writes: 1,
        read: 4450,
        written: 5000,
        audit: 1830,
        commits: 1,
        fsyncs: 0,
    }
    .holds("wrapped retrieval", &place.measure(&requests));
}

#[test]
fn an_unwrap_is_two_reads_one_commit_and_one_fsync() {
    let _alone = alone();
    let place = Place::new();
    let requests: Vec<_> = retrievals(&place)
        .map(|(path, body)| {
            let answer = place.node.client().header("X-Vault-Wrap-TTL", "120").write(&path, &body).expect(200).json();
            let token = answer["wrap_info"]["token"].as_str().unwrap();
            place.request("POST", "sys/wrapping/unwrap", Some(token), None)
        })
        .collect();
    Ceiling {
        allocations: 600,
        allocated: 166_000,
        reads: 2,
        writes: 1,
        read: 8100,
        written: 8100,
        audit: 1560,
        commits: 1,
        fsyncs: 1,
    }
    .holds("unwrap", &place.measure(&requests));
}
