//! Sweeps over sets: keys and ciphertexts whose time has come go though nobody touches the account, and nothing that is alive does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sparekey::domain::set::{Set, Slot};
use sparekey::engine::record::{self, Record};
use sparekey::engine::request::Operation;
use sparekey::engine::sweep::What;
use sparekey::plugin::HostStorage;
use sparekey::random::OsRandom;
use sparekey::storage::faulty::Times;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Found, Get, Storage, Write};

use crate::fake_host::FakeHost;
use crate::harness::{Bench, CODES, wrap};

const DAY: i64 = 86_400;

/// A whole round; how many records it changed.
async fn round(bench: &Bench) -> usize {
    // The round before is hours ago.
    bench.wait(6 * 3600);
    let mut changed = 0;
    for _ in 0..1000 {
        let swept = bench.engine.sweep_sets(7, || true).await.unwrap();
        changed += swept.of(What::Set);
        if swept.whole {
            return changed;
        }
    }
    panic!("it does not end");
}

async fn bytes(bench: &Bench, key: &str) -> Vec<u8> {
    match bench.store.get_many(vec![Get::new(key)]).await.unwrap().remove(0) {
        Found::Value(value, _) => value,
        other => panic!("{key}: {other:?}"),
    }
}

/// The sets as they lie in the store, not as an answer shows them.
async fn sets(bench: &Bench, key: &str) -> Vec<Set> {
    record::decode::<Record>(key, &bytes(bench, key).await).unwrap().account.sets
}

fn holds_anything(set: &Set) -> bool {
    set.dek.is_some() || set.slots.iter().any(|slot| matches!(slot, Slot::Held(_) | Slot::Dispensed(_, Some(_))))
}

/// Sets that are over by the clock: too old, and owed for too long.
async fn over_by_the_clock(bench: &Bench) {
    bench.fine("profiles/old", json!({"max_age": "30d"})).await;
    bench.fine("profiles/strict", json!({"on_lapse": "revoke", "regenerate_within": "30d"})).await;
    bench.act("sets/old", json!({"codes": CODES, "profile": "old"})).await;
    bench.act("sets/strict", json!({"codes": CODES, "profile": "strict"})).await;
    bench.act("retrieve/strict", json!({})).await;
}

#[tokio::test]
async fn what_is_over_by_the_clock_is_destroyed_a_day_after_it_was_noticed() {
    for store in [Memory::new(), Memory::sequential()] {
        let bench = Bench::over(Arc::new(store)).await;
        over_by_the_clock(&bench).await;
        assert_eq!(round(&bench).await, 0);
        bench.wait(31 * DAY);
        assert_eq!(round(&bench).await, 2, "noticed");
        bench.wait(DAY - 7 * 3600);
        assert_eq!(round(&bench).await, 0, "not a day later");
        for key in ["accounts/old", "accounts/strict"] {
            let sets = sets(&bench, key).await;
            assert!(sets[0].is_live() && holds_anything(&sets[0]), "{key}: not a day later");
        }
        assert_eq!(round(&bench).await, 2);
        for (account, status, cause) in [("old", "expired", "age"), ("strict", "revoked", "lapsed")] {
            assert!(!holds_anything(&sets(&bench, &format!("accounts/{account}")).await[0]), "{account}");
            let shown = bench.read(&format!("accounts/{account}")).await;
            let set = &shown["sets"][0];
            assert_eq!(
                (&set["status"], &set["cause"], &set["destroyed"]),
                (&json!(status), &json!(cause), &json!(true))
            );
            let history =
                bench.root(Operation::Read, &format!("history/{account}"), json!({"verify": true})).await.data;
            assert_eq!(history["verified"], true);
            let last = history["entries"].as_array().unwrap().last().unwrap().clone();
            assert_eq!((&last["act"], &last["generation"]), (&json!("lapse"), &json!(1)), "{last}");
            let answer = bench.act(&format!("retrieve/{account}"), json!({})).await;
            assert!(answer.word() == "ended" && answer.error.contains(cause), "{answer:?}");
        }
        assert_eq!(round(&bench).await, 0);
        // A new set is as good as ever.
        bench.act("sets/old", json!({"codes": ["eeeee-55555"]})).await;
        assert!(bench.act("retrieve/old", json!({})).await.code.is_some());
    }
}

#[tokio::test]
async fn a_clock_that_was_wrong_and_is_put_right_has_destroyed_nothing() {
    let bench = Bench::new().await;
    over_by_the_clock(&bench).await;
    let answer = bench.act("retrieve/strict", json!({})).await;
    assert!(answer.code.is_some());
    for _ in 0..3 {
        bench.wait(1000 * DAY);
        round(&bench).await;
        bench.wait(-1000 * DAY);
        round(&bench).await;
    }
    for account in ["old", "strict"] {
        assert!(bench.act(&format!("retrieve/{account}"), json!({})).await.code.is_some(), "{account}");
    }
    // What was noticed then does not shorten what is waited for when it is over indeed.
    bench.wait(31 * DAY);
    round(&bench).await;
    bench.wait(DAY - 13 * 3600);
    round(&bench).await;
    assert!(holds_anything(&sets(&bench, "accounts/old").await[0]));
}

/// Live, quarantined, owed and overdue where the profile only flags that, exhausted, without its profile, issued, on the way to
/// another mount: nothing of it is a sweep's to end.
#[tokio::test]
async fn what_is_alive_outlives_every_sweep() {
    let bench = Bench::new().await;
    bench.store("live", &CODES).await;
    bench.store("owed", &CODES).await;
    bench.act("retrieve/owed", json!({})).await;
    bench.store("quarantined", &CODES).await;
    bench.act("enroll/quarantined", json!({"enrollment_id": "1"})).await;
    bench.fine("profiles/gone", json!({"max_age": "1d"})).await;
    bench.act("sets/orphan", json!({"codes": CODES, "profile": "gone"})).await;
    bench.root(Operation::Delete, "profiles/gone", json!({})).await;
    let issued = bench.act("sets/issued", json!({"profile": "issued"})).await.codes;
    for _ in 0..4 {
        bench.wait(400 * DAY);
        round(&bench).await;
    }
    for account in ["live", "owed", "quarantined", "orphan", "issued"] {
        let sets = sets(&bench, &format!("accounts/{account}")).await;
        assert!(sets[0].is_live(), "a live set was destroyed: {account}");
    }
    assert_eq!(bench.act("retrieve/live", json!({})).await.code.as_deref(), Some(CODES[0]));
    assert_eq!(bench.act("retrieve/owed", json!({})).await.code.as_deref(), Some(CODES[1]));
    assert_eq!(bench.act("retrieve/quarantined", json!({})).await.word(), "quarantined");
    bench.act("release/quarantined", json!({"reason": "known"})).await;
    assert_eq!(bench.act("retrieve/quarantined", json!({})).await.code.as_deref(), Some(CODES[0]));
    assert_eq!(bench.act("verify/issued", json!({"code": issued[0]})).await.data["valid"], true);
    bench.fine("profiles/gone", json!({})).await;
    assert_eq!(bench.act("retrieve/orphan", json!({})).await.code.as_deref(), Some(CODES[0]));
}

/// In the record, in the archive, and in what stays of a deleted account, each untouched since.
#[tokio::test]
async fn ended_sets_are_destroyed_when_their_profile_says() {
    for host in [None, Some(FakeHost::with_transactions()), Some(FakeHost::without_transactions())] {
        let bench = match &host {
            None => Bench::new().await,
            Some(host) => Bench::over(Arc::new(HostStorage::new(host.client()))).await,
        };
        bench.fine("profiles/escrowed", json!({"destroy_after": "10d"})).await;
        for generation in 0..7 {
            bench.store("a/b", &[&format!("code{generation}-aaaaa"), &format!("code{generation}-bbbbb")]).await;
        }
        bench.store("gone", &CODES).await;
        bench.act("revoke/gone", json!({"reason": "leaves"})).await;
        assert_eq!(bench.root(Operation::Delete, "accounts/gone", json!({})).await.status, 204);
        let folder = format!("sets/{}", bench.store.list("sets/", None, 10).await.unwrap().remove(0));
        let archived = bench.store.list(&folder, None, 10).await.unwrap();
        assert_eq!(archived, ["0000000001", "0000000002"]);
        let archive = |name: &str| format!("{folder}{name}");
        let of_archive = async |name: &str| {
            let key = archive(name);
            record::decode::<Set>(&key, &bytes(&bench, &key).await).unwrap()
        };
        bench.wait(9 * DAY);
        assert_eq!(round(&bench).await, 0);
        for name in &archived {
            assert!(holds_anything(&of_archive(name).await));
        }
        bench.wait(DAY);
        assert_eq!(round(&bench).await, 4, "one account, one tombstone, two of the archive");
        for name in &archived {
            assert!(!holds_anything(&of_archive(name).await), "{name}");
        }
        assert!(sets(&bench, "tombstones/gone").await.iter().all(|set| !holds_anything(set)));
        let left = sets(&bench, "accounts/a/b").await;
        assert_eq!(left.iter().map(holds_anything).collect::<Vec<_>>(), [false, false, false, false, true]);
        // They are still spoken of.
        let found = bench.act("check/a/b", json!({"code": "code0-aaaaa"})).await;
        assert_eq!((&found.data["generation"], &found.data["state"]), (&json!(1), &json!("void")), "{found:?}");
        assert_eq!(bench.act("confirm/a/b", json!({"generation": 2})).await.status, 200);
        assert_eq!(bench.act("retrieve/a/b", json!({})).await.code.as_deref(), Some("code6-aaaaa"));
        assert_eq!(round(&bench).await, 0);
        if let Some(host) = host {
            assert_eq!(host.strays(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn ciphertexts_go_a_day_after_their_window_has_closed() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({})).await;
    let request = json!({"jwt": bench.jwt(json!({}))});
    let caller = sparekey::auth::Caller::Anonymous;
    bench.send(Operation::Update, "retrieve/a", request, caller, Some(wrap(1, 60))).await;
    bench.wait(DAY - 6 * 3600);
    assert_eq!(round(&bench).await, 0);
    bench.wait(301);
    assert_eq!(round(&bench).await, 1);
    let slots = &sets(&bench, "accounts/a").await[0].slots;
    assert!(matches!(slots[0], Slot::Dispensed(_, None)), "{}", slots[0].word());
    assert!(matches!(slots[1], Slot::Void(..)), "{}", slots[1].word());
    assert!(matches!(slots[2], Slot::Held(_)), "{}", slots[2].word());
}

#[tokio::test]
async fn a_turn_is_bounded_stops_and_the_next_goes_on_from_there() {
    let bench = Bench::new().await;
    bench.fine("profiles/escrowed", json!({"destroy_after": "1d"})).await;
    for number in 0..40 {
        let account = format!("a/{}/{number}", number % 3);
        bench.store(&account, &CODES).await;
        bench.act(&format!("revoke/{account}"), json!({"reason": "left"})).await;
    }
    bench.wait(2 * DAY);
    let left = async || {
        let mut left = 0;
        for number in 0..40 {
            let sets = sets(&bench, &format!("accounts/a/{}/{number}", number % 3)).await;
            left += usize::from(holds_anything(&sets[0]));
        }
        left
    };
    assert_eq!(bench.engine.sweep_sets(7, || false).await.unwrap().gone(), 0);
    assert_eq!(left().await, 40);
    assert_eq!(bench.engine.sweep_sets(7, || true).await.unwrap().gone(), 7);
    assert_eq!(left().await, 33);
    // Told to stop in the midst of some records, it leaves off there.
    let asked = AtomicUsize::new(0);
    let swept = bench.engine.sweep_sets(30, || asked.fetch_add(1, Ordering::SeqCst) < 5).await.unwrap();
    assert_eq!((swept.gone(), swept.whole), (4, false));
    // Where nothing can be written nothing is lost, and it comes by again.
    bench.store.fail_writes(Times::Always);
    assert!(bench.engine.sweep_sets(7, || true).await.is_err());
    bench.store.fail_writes(Times::Never);
    // A record that does not decode stays, and hinders no other.
    bench.store.put_all(vec![Write::create("accounts/a/0/zz", b"?".to_vec(), &OsRandom)]).await.unwrap();
    round(&bench).await;
    round(&bench).await;
    assert_eq!(left().await, 0);
    assert_eq!(bytes(&bench, "accounts/a/0/zz").await, b"?");
    // After a round it rests, so that accounts are not read all day.
    bench.store.reset_counts();
    assert!(bench.engine.sweep_sets(500, || true).await.unwrap().whole);
    assert_eq!(bench.store.counts().keys_read, 0);
}

/// Acts and sweeps at the same accounts: who comes second decides anew, and no code is lost by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_and_acts_get_along() {
    let bench = Arc::new(Bench::new().await);
    bench.fine("profiles/escrowed", json!({"destroy_after": "1d"})).await;
    for number in 0..20 {
        bench.store(&format!("a/{number}"), &[&format!("code{number}-aaaaa")]).await;
        bench.store(&format!("a/{number}"), &[&format!("code{number}-bbbbb")]).await;
    }
    bench.wait(2 * DAY);
    let mut acts = tokio::task::JoinSet::new();
    for number in 0..20 {
        let bench = bench.clone();
        acts.spawn(async move { bench.act(&format!("retrieve/a/{number}"), json!({})).await });
    }
    while !bench.engine.sweep_sets(3, || true).await.unwrap().whole {}
    let answers = acts.join_all().await;
    assert!(answers.iter().all(|answer| answer.code.as_deref().is_some_and(|code| code.ends_with("bbbbb"))));
    for number in 0..20 {
        let sets = sets(&bench, &format!("accounts/a/{number}")).await;
        assert!(sets[0].dek.is_none() && sets[1].dek.is_some());
        let shown: Value = bench.read(&format!("history/a/{number}")).await;
        assert_eq!(shown["entries"].as_array().unwrap().len(), 3);
    }
}
