//! How large a record may become: imports and disclosures give way first, and what ends a set always fits.

use serde_json::{Value, json};
use sparekey::domain::set::Slot;
use sparekey::engine::record::{self, NOTES_CAP, Record, SOFT_CAP};
use sparekey::engine::request::Operation;
use sparekey::storage::{Found, Get, Storage};

use crate::harness::{Answer, Bench};

/// What a mounting vault on raft takes as one entry, less what the store and the vault put around a record.
const LIMIT: usize = 1024 * 1024 - 4096;

/// A ticket is this sixteen times at most.
const TICKET: &str = "INC00000";

/// The longest text that a caller may write.
fn longest(mark: usize) -> String {
    format!("{mark:04} {}", "ä ".repeat(169))
}

async fn record(bench: &Bench) -> (usize, Record) {
    match bench.store.get_many(vec![Get::new("accounts/a")]).await.unwrap().remove(0) {
        Found::Value(bytes, _) => (bytes.len(), record::decode("accounts/a", &bytes).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// The longest subject there may be.
async fn act(bench: &Bench, path: &str, mut body: Value) -> Answer {
    body["jwt"] = json!(bench.jwt(json!({"sub": "j".repeat(512)})));
    bench.act(path, body).await
}

/// 512 codes of 256 bytes each, none of them ever seen.
fn codes(generation: usize) -> Vec<String> {
    (0..512).map(|slot| format!("{generation:03}-{slot:03}-{}", "k7Qz".repeat(62))).collect()
}

#[tokio::test]
async fn at_the_cap_imports_and_disclosures_give_way_and_an_end_always_fits() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"destroy_after": "3650d", "reveal_window": "24h"})).await;
    assert_eq!((codes(1)[0].len(), longest(1).len()), (256, 512));
    let full = |answer: &Answer| (answer.status, answer.word()) == (400, "full");

    // Ended sets keep their ciphertexts here, until there is no room for one more.
    let mut stored = 0;
    let refused = loop {
        let answer = act(&bench, "sets/a", json!({"codes": codes(stored), "custody": longest(stored)})).await;
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
    };
    assert!(full(&refused) && stored >= 2, "{stored}: {refused:?}");
    // Disclosures, with all that can be said of one, until there is no room for one more.
    let mut dispensed = 0;
    let refused = loop {
        let ask = json!({"reason": longest(dispensed), "ticket": TICKET.repeat(16)});
        let answer = act(&bench, "retrieve/a", ask).await;
        if answer.code.is_none() {
            break answer;
        }
        dispensed += 1;
    };
    assert!(full(&refused), "{refused:?}");
    let (size, before) = record(&bench).await;
    assert!(size <= SOFT_CAP && size > SOFT_CAP - 4096, "{size}");
    assert!(dispensed >= 10, "{dispensed}");
    assert_eq!(before.account.live().unwrap().remaining(), 512 - dispensed, "a refused one burnt nothing");

    // What people say goes on for a while, and then gives way, too.
    let labels: serde_json::Map<_, _> =
        (0..64).map(|label| (format!("{label:0128}"), json!("v".repeat(256)))).collect();
    bench.fine("accounts/a", json!({"labels": labels, "owner": longest(0)})).await;
    let mut said = 0;
    'all: for what in ["worked", "refused", "unused"] {
        for slot in 1..=dispensed {
            let ask = json!({"slot": slot, "outcome": what, "note": longest(slot), "ticket": TICKET.repeat(16)});
            let answer = act(&bench, "outcome/a", ask).await;
            if full(&answer) {
                break 'all;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            said += 1;
        }
    }
    assert!(said > 0);
    let (size, _) = record(&bench).await;
    assert!(size <= NOTES_CAP, "{size}");

    // What ends a set, or says that MFA was enrolled again, or lets it live again, fits however often it comes.
    let mut largest = size;
    for number in 0..35 {
        let enrolled = json!({
            "enrollment_id": number.to_string(), "method": "m".repeat(64), "reason": longest(number), "ticket": TICKET.repeat(16),
        });
        assert_eq!(act(&bench, "enroll/a", enrolled).await.status, 200, "enrollment {number}");
        let released = json!({"reason": longest(number), "ticket": TICKET.repeat(16)});
        let released = act(&bench, "release/a", released).await;
        assert!(!full(&released), "{released:?}");
        largest = largest.max(record(&bench).await.0);
    }
    let revoked = json!({"reason": longest(1), "ticket": TICKET.repeat(16), "cause": "compromise"});
    assert_eq!(act(&bench, "revoke/a", revoked).await.status, 200);
    let (size, after) = record(&bench).await;
    assert!(largest.max(size) < LIMIT, "{largest} {size}");
    assert!(after.account.live().is_none());
    let history = bench.root(Operation::Read, "history/a", json!({"verify": true, "limit": 1})).await;
    assert_eq!(history.data["verified"], true);

    // Destroying makes room: the next import comes in.
    bench.wait(3651 * 86_400);
    while !bench.engine.sweep_sets(100, || true).await.unwrap().whole {}
    let (size, after) = record(&bench).await;
    let kept = after.account.sets.iter().flat_map(|set| &set.slots);
    assert!(kept.clone().all(|slot| !matches!(slot, Slot::Held(_) | Slot::Dispensed(_, Some(_)))), "{size}");
    let again = act(&bench, "sets/a", json!({"codes": codes(99), "enrollment": 35})).await;
    assert_eq!(again.status, 200, "{again:?}");
}
