//! Invariant 3: re-enrollment ends the past. Through `enroll/`, by hand and by property.

use serde_json::json;
use sparekey::engine::request::Operation;

use crate::harness::{Bench, CODES, INVALID, START};

const FRESH: [&str; 2] = ["eeeee-55555", "fffff-66666"];

#[tokio::test]
async fn an_enrollment_ends_older_sets_and_tells_how_to_go_on() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(3600);
    let answer = bench.act("enroll/github/acme", json!({"enrollment_id": "e1", "method": "fido2"})).await;
    assert_eq!(answer.data, json!({"enrollment": 1, "superseded": [1], "quarantined": [], "unchanged": false}));
    let dead = bench.act("retrieve/github/acme", json!({})).await;
    assert_eq!((dead.status, dead.word()), (INVALID, "ended"), "{dead:?}");
    let account = bench.read("accounts/github/acme").await;
    assert_eq!(
        (&account["sets"][0]["cause"], &account["sets"][0]["destroyed"]),
        (&json!("re-enrollment"), &json!(true))
    );
    assert!(account["warnings"].as_array().unwrap().contains(&json!("no-fallback")));

    let unnamed = bench.act("sets/github/acme", json!({"codes": FRESH})).await;
    assert_eq!(unnamed.word(), "enrollment", "{unnamed:?}");
    assert!(unnamed.error.contains("enrollment=1"), "{unnamed:?}");
    let stale = bench.act("sets/github/acme", json!({"codes": FRESH, "enrollment": 0})).await;
    assert!(stale.error.contains("the latest enrollment is number 1, not 0"), "{stale:?}");
    let old = bench.act("sets/github/acme", json!({"codes": FRESH, "bound_at": START + 3000})).await;
    assert_eq!(old.word(), "bound-at", "{old:?}");
    assert_eq!(bench.read("accounts/github/acme").await["generation"], 1, "a refused set takes no number");
    let new = bench.act("sets/github/acme", json!({"codes": FRESH, "enrollment": 1, "cas": 1})).await;
    assert_eq!(new.data["generation"], 2, "{new:?}");
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
}

#[tokio::test]
async fn a_repeated_or_late_enrollment_never_ends_a_set_bound_after_it() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(3600);
    bench.act("enroll/github/acme", json!({"enrollment_id": "e1"})).await;
    bench.wait(60);
    bench.act("sets/github/acme", json!({"codes": FRESH, "enrollment": 1})).await;
    bench.wait(3600);
    let again = bench.act("enroll/github/acme", json!({"enrollment_id": "e1"})).await;
    assert_eq!((&again.data["unchanged"], &again.data["enrollment"]), (&json!(true), &json!(1)));
    let late = bench.act("enroll/github/acme", json!({"enrollment_id": "e0", "occurred_at": START + 10})).await;
    assert_eq!(late.data["superseded"], json!([]), "{late:?}");
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
}

#[tokio::test]
async fn without_an_id_the_same_jwt_is_the_same_enrollment() {
    let bench = Bench::new().await;
    let jwt = bench.jwt(json!({}));
    assert_eq!(bench.act("enroll/a", json!({"jwt": jwt})).await.data["unchanged"], false);
    assert_eq!(bench.act("enroll/a", json!({"jwt": jwt})).await.data["unchanged"], true);
    assert_eq!(bench.act("enroll/a", json!({})).await.data["enrollment"], 2);
}

#[tokio::test]
async fn a_set_bound_within_the_skew_is_quarantined_until_released() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(10);
    let answer = bench.act("enroll/github/acme", json!({"enrollment_id": "e1"})).await;
    assert_eq!(answer.data["quarantined"], json!([1]), "{answer:?}");
    let blocked = bench.act("retrieve/github/acme", json!({})).await;
    assert_eq!(blocked.word(), "quarantined", "{blocked:?}");
    assert_eq!(bench.act("release/github/acme", json!({})).await.word(), "reason");
    let released = bench.act("release/github/acme", json!({"reason": "same session, checked"})).await;
    assert_eq!(released.data, json!({"released": 1}), "{released:?}");
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
    let twice = bench.act("release/github/acme", json!({"reason": "again"})).await;
    assert_eq!(twice.word(), "not-quarantined");
    bench.wait(5);
    bench.act("enroll/github/acme", json!({"enrollment_id": "e2"})).await;
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.word(), "quarantined", "a later event blocks again");
}

#[tokio::test]
async fn a_set_named_by_its_enrollment_is_not_touched_by_that_enrollment() {
    let bench = Bench::new().await;
    bench.act("enroll/a", json!({"enrollment_id": "e1"})).await;
    let answer = bench.act("sets/a", json!({"codes": CODES, "enrollment": 1})).await;
    assert_eq!(answer.status, 200);
    assert!(bench.act("retrieve/a", json!({})).await.code.is_some(), "whatever the clocks say");
}

#[tokio::test]
async fn a_release_is_refused_under_a_newer_set() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.act("enroll/a", json!({"enrollment_id": "e1"})).await;
    bench.act("sets/a", json!({"codes": FRESH, "enrollment": 1})).await;
    let answer = bench.act("release/a", json!({"generation": 1, "reason": "want it back"})).await;
    assert_eq!((answer.status, answer.word()), (INVALID, "ended"), "{answer:?}");
}

#[tokio::test]
async fn profiles_decide_what_an_enrollment_does() {
    let bench = Bench::new().await;
    bench.fine("profiles/hold", json!({"on_enrollment": "quarantine"})).await;
    bench.fine("profiles/tell", json!({"on_enrollment": "notify"})).await;
    bench.act("sets/hold", json!({"codes": CODES, "profile": "hold"})).await;
    bench.act("sets/tell", json!({"codes": CODES, "profile": "tell"})).await;
    bench.wait(3600);
    let held = bench.act("enroll/hold", json!({"enrollment_id": "e1"})).await;
    assert_eq!((&held.data["superseded"], &held.data["quarantined"]), (&json!([]), &json!([1])));
    let told = bench.act("enroll/tell", json!({"enrollment_id": "e1"})).await;
    assert_eq!((&told.data["superseded"], &told.data["quarantined"]), (&json!([]), &json!([])));
    assert_eq!(bench.act("retrieve/hold", json!({})).await.word(), "quarantined");
    assert!(bench.act("retrieve/tell", json!({})).await.code.is_some());
    bench.act("release/hold", json!({"reason": "organisation-wide set"})).await;
    assert!(bench.act("retrieve/hold", json!({})).await.code.is_some());
}

#[tokio::test]
async fn an_account_that_does_not_exist_yet_remembers_the_enrollment() {
    let bench = Bench::new().await;
    bench.act("enroll/okta/new@example.com", json!({"enrollment_id": "e1"})).await;
    let account = bench.read("accounts/okta/new@example.com").await;
    assert_eq!((&account["enrollment"]["number"], &account["profile"]), (&json!(1), &json!("")));
    let refused = bench.act("sets/okta/new@example.com", json!({"codes": CODES})).await;
    assert_eq!(refused.word(), "enrollment", "{refused:?}");
}

#[tokio::test]
async fn a_tombstone_still_remembers() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.act("revoke/a", json!({"reason": "leaves"})).await;
    bench.root(Operation::Delete, "accounts/a", json!({})).await;
    bench.wait(100);
    bench.act("enroll/a", json!({"enrollment_id": "e1"})).await;
    assert_eq!(bench.root(Operation::Read, "accounts/a", json!({})).await.status, 404, "it stays deleted");
    let answer = bench.act("sets/a", json!({"codes": FRESH})).await;
    assert_eq!(answer.word(), "enrollment", "{answer:?}");
}

#[tokio::test]
async fn a_deleted_profile_stops_retrieval_and_no_end() {
    let bench = Bench::new().await;
    bench.fine("profiles/p", json!({"on_enrollment": "notify"})).await;
    for account in ["a", "b"] {
        let codes = [format!("{account}{account}{account}-11111"), format!("{account}{account}{account}-22222")];
        bench.act(&format!("sets/{account}"), json!({"codes": codes, "profile": "p"})).await;
    }
    bench.root(Operation::Delete, "profiles/p", json!({})).await;
    assert_eq!(bench.act("retrieve/a", json!({})).await.word(), "profile");
    bench.wait(3600);
    let ended = bench.act("enroll/a", json!({"enrollment_id": "e1"})).await;
    assert_eq!(ended.data["superseded"], json!([1]), "{ended:?}");
    assert_eq!(bench.act("revoke/b", json!({"reason": "leaves"})).await.status, 200);
    bench.fine("profiles/p", json!({})).await;
    for account in ["a", "b"] {
        assert_eq!(bench.act(&format!("retrieve/{account}"), json!({})).await.word(), "ended");
    }
}

/// One step of the property: an event or an import, each with a time.
#[derive(Debug, Clone, Copy)]
enum Step {
    Event(i64),
    Import(i64),
}

/// Plays the steps; answers whether a code of the latest import may leave at the end, and of which import it is.
async fn play(steps: &[Step]) -> (String, Option<i64>) {
    let bench = Bench::new().await;
    bench.wait(10_000);
    let mut bound = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::Event(at) => {
                let body = json!({"enrollment_id": format!("e{at}"), "occurred_at": START + at});
                assert_eq!(bench.act("enroll/a", body).await.status, 200);
            }
            Step::Import(at) => {
                let codes = [format!("codea{index:05}"), format!("codeb{index:05}")];
                let body = json!({"codes": codes, "bound_at": START + at});
                let answer = bench.act("sets/a", body).await;
                if answer.status == 200 {
                    bound.push((codes[0].clone(), *at));
                }
            }
        }
    }
    let answer = bench.act("retrieve/a", json!({})).await;
    let from = answer.code.as_ref().and_then(|code| bound.iter().find(|(first, _)| first == code).map(|(_, at)| *at));
    let word = if from.is_some() { "usable" } else { answer.word() };
    // A set that was refused and one that was ended leave the same: nothing to retrieve.
    (if word == "no-set" { "ended".to_owned() } else { word.to_owned() }, from)
}

mod property {
    use proptest::prelude::*;

    use super::{Step, play};

    /// The model: the usable set is the latest import that no event covers; near an event it is quarantined.
    fn model(events: &[i64], imports: &[i64]) -> (String, Option<i64>) {
        let latest = events.iter().max();
        let (ended, doubtful) = (latest.map(|at| at - 30), latest.map(|at| at + 30));
        let last = imports.last().copied();
        match last {
            None => ("ended".to_owned(), None),
            Some(bound) if ended.is_some_and(|mark| bound < mark) => ("ended".to_owned(), None),
            Some(bound) if doubtful.is_some_and(|mark| bound < mark) => ("quarantined".to_owned(), None),
            Some(bound) => ("usable".to_owned(), Some(bound)),
        }
    }

    fn steps() -> impl Strategy<Value = (Vec<i64>, Vec<i64>, Vec<usize>)> {
        (
            prop::collection::vec((0i64..60).prop_map(|at| at * 50), 0..4),
            prop::collection::vec((0i64..60).prop_map(|at| at * 50 + 20), 0..4),
            prop::collection::vec(0usize..100, 16),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Events and imports in any interleaving, events duplicated and delayed, give the model's usable set. Imports keep
        /// their own order, and their bound_at never falls.
        #[test]
        fn events_and_imports_commute((events, mut imports, order) in steps()) {
            imports.sort_unstable();
            let mut sequence: Vec<Step> = imports.iter().map(|at| Step::Import(*at)).collect();
            for (index, at) in events.iter().chain(events.first()).enumerate() {
                sequence.insert(order[index] % (sequence.len() + 1), Step::Event(*at));
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            prop_assert_eq!(runtime.block_on(play(&sequence)), model(&events, &imports), "{:?}", sequence);
        }
    }
}
