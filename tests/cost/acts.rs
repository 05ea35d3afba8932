//! One act at a time.

use serde_json::{Value, json};

use crate::alone;
use crate::inprocess::MOUNT;
use crate::place::{Place, Used};
use crate::support::scene::codes;

/// Requests of each kind, the first fifth of them to warm up.
pub const REQUESTS: usize = 80;
/// Codes in a set.
pub const CODES: usize = 16;
/// Entries of a history that is read.
const ENTRIES: usize = 100;
/// Bytes that may be written for each though none of them writes: from time to time audit keeps its last checkpoint in the store.
const MEANWHILE: usize = 4;

/// The most that one request may use.
pub type Ceiling = Used;

impl Ceiling {
    /// Fails if a request used more than this, or so little that this says nothing.
    #[track_caller]
    pub fn holds(&self, name: &str, used: &Used) {
        println!("{name}: {used:?}");
        let over: Vec<String> = [
            ("allocations", used.allocations, self.allocations),
            ("bytes allocated", used.allocated, self.allocated),
            ("reads of the store", used.reads, self.reads),
            ("writes to the store", used.writes, self.writes),
            ("bytes read from the store", used.read, self.read),
            ("bytes written to the store", used.written, self.written),
            ("bytes of audit", used.audit, self.audit),
            ("commits", used.commits, self.commits),
            ("fsyncs of the audit", used.fsyncs, self.fsyncs),
        ]
        .into_iter()
        .filter(|(_, used, ceiling)| used > ceiling)
        .map(|(what, used, ceiling)| format!("{used} {what}, at most {ceiling}"))
        .collect();
        assert!(over.is_empty(), "one {name} uses too much: {}", over.join("; "));
        // A ceiling far above says nothing.
        for (what, used, ceiling) in [
            ("allocations", used.allocations, self.allocations),
            ("bytes allocated", used.allocated, self.allocated),
            ("bytes of audit", used.audit, self.audit),
        ] {
            assert!(used * 2 > ceiling, "one {name} uses {used} {what}: lower its ceiling of {ceiling}");
        }
    }
}

/// Retrievals of codes that are held, each with an assertion of its own: path and body.
pub fn retrievals(place: &Place) -> impl Iterator<Item = (String, Value)> {
    (0..REQUESTS).map(|index| {
        let account = format!("acme/{}", index / CODES);
        if index % CODES == 0 {
            place.scene.store(&account, &codes(index as u64, CODES), 0).expect(200);
        }
        (format!("{MOUNT}retrieve/{account}"), place.scene.request("admin"))
    })
}

#[test]
fn a_retrieval_by_jwt_is_one_read_one_commit_and_one_fsync() {
    let _alone = alone();
    let place = Place::new();
    let requests: Vec<_> =
        retrievals(&place).map(|(path, body)| place.request("POST", &path, None, Some(body))).collect();
    Ceiling {
        allocations: 672,
        allocated: 151_000,
        reads: 1,
        writes: 1,
        read: 4000,
        written: 4350,
        audit: 2050,
        commits: 1,
        fsyncs: 1,
    }
    .holds("retrieve", &place.measure(&requests));
}

#[test]
fn a_metadata_read_writes_nothing_and_waits_for_no_fsync() {
    let _alone = alone();
    let place = Place::new();
    place.scene.store("acme", &codes(1, CODES), 0).expect(200);
    let path = format!("{MOUNT}accounts/acme");
    let request = place.request("GET", &path, Some(&place.root_token), None);
    let used = place.measure(&vec![request; REQUESTS]);
    Ceiling {
        allocations: 318,
        allocated: 54_000,
        reads: 2,
        writes: 0,
        read: 2000,
        written: MEANWHILE,
        audit: 3200,
        commits: 0,
        fsyncs: 0,
    }
    .holds("metadata read", &used);
}

#[test]
fn a_verified_history_builds_no_values_of_its_entries() {
    let _alone = alone();
    let place = Place::new();
    place.scene.store("acme", &codes(1, CODES), 0).expect(200);
    for number in 1..ENTRIES {
        let body = json!({"role": "automation", "jwt": place.scene.automation(), "enrollment_id": number.to_string()});
        place.scene.act("enroll", "acme", body).expect(200);
    }
    let path = format!("{MOUNT}history/acme?verify=true&limit={ENTRIES}");
    let request = place.request("GET", &path, Some(&place.root_token), None);
    let used = place.measure(&vec![request; REQUESTS]);
    Ceiling {
        allocations: 850,
        allocated: 312_000,
        reads: 3,
        writes: 0,
        read: 31_000,
        written: MEANWHILE,
        audit: 13_000,
        commits: 0,
        fsyncs: 0,
    }
    .holds("history of a hundred entries", &used);
}

#[test]
fn a_login_is_one_read_and_one_write_of_a_token() {
    let _alone = alone();
    let place = Place::new();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let body = json!({"role": "desk", "jwt": place.desk()});
            place.request("POST", "auth/jwt/login", None, Some(body))
        })
        .collect();
    Ceiling {
        allocations: 482,
        allocated: 97_000,
        reads: 1,
        writes: 1,
        read: 100,
        written: 520,
        audit: 1400,
        commits: 1,
        fsyncs: 0,
    }
    .holds("login", &place.measure(&requests));
}

#[test]
fn a_presented_code_is_one_read_and_one_commit() {
    let _alone = alone();
    let place = Place::new();
    let token = token(&place);
    let mut requests = Vec::new();
    for account in 0..REQUESTS / 10 {
        let path = format!("{MOUNT}sets/app/{account}");
        let answer = place.client(&token).write(&path, &json!({"profile": "app", "cas": 0})).expect(200);
        for code in answer.data()["codes"].as_array().unwrap() {
            let path = format!("{MOUNT}verify/app/{account}");
            requests.push(place.request("POST", &path, Some(&token), Some(json!({"code": code}))));
        }
    }
    Ceiling {
        allocations: 608,
        allocated: 119_000,
        reads: 2,
        writes: 1,
        read: 1850,
        written: 2050,
        audit: 2250,
        commits: 1,
        fsyncs: 0,
    }
    .holds("verify", &place.measure(&requests));
}

#[test]
fn an_import_is_one_read_and_one_commit() {
    let _alone = alone();
    let place = Place::new();
    let requests: Vec<_> = (0..REQUESTS)
        .map(|index| {
            let jwt = place.scene.automation();
            let body = json!({"role": "automation", "jwt": jwt, "codes": codes(index as u64, 10), "cas": 0});
            place.request("POST", &format!("{MOUNT}sets/new/{index}"), None, Some(body))
        })
        .collect();
    Ceiling {
        allocations: 732,
        allocated: 125_000,
        reads: 1,
        writes: 1,
        read: 100,
        written: 1480,
        audit: 1600,
        commits: 1,
        fsyncs: 0,
    }
    .holds("import", &place.measure(&requests));
}

/// The token of a login under the role that needs no assertion with each request.
fn token(place: &Place) -> String {
    let body = json!({"role": "desk", "jwt": place.desk()});
    let answer = place.node.client().write("auth/jwt/login", &body).expect(200).json();
    match &answer["auth"]["client_token"] {
        Value::String(token) => token.clone(),
        other => panic!("no token: {other}"),
    }
}
