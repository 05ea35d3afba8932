//! A role's `max_retrievals` with `scope: role`: one subject's codes from all accounts together, counted in a record of its own.

use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::engine::request::Operation;
use sparekey::plugin::HostStorage;
use sparekey::storage::Storage;
use sparekey::storage::memory::Memory;
use sparekey::storage::redb::Redb;

use crate::fake_host::FakeHost;
use crate::harness::{Answer, Bench, CODES, INVALID};

async fn limited(bench: &Bench, max: u64, accounts: u32) {
    bench.fine("roles/admin", json!({"max_retrievals": max, "per": "1h", "scope": "role"})).await;
    for account in 0..accounts {
        bench.store(&format!("a/{account}"), &CODES).await;
    }
}

/// How many records of shares there are.
async fn records(bench: &Bench) -> usize {
    bench.store.list("limits/", None, 1000).await.unwrap().len()
}

fn refused(answer: &Answer) -> bool {
    (answer.status, answer.word(), &answer.code) == (429, "max-retrievals", &None)
}

#[tokio::test]
async fn a_subject_has_its_share_of_all_accounts_together() {
    let bench = Bench::new().await;
    limited(&bench, 2, 3).await;
    assert_eq!(bench.read("roles/admin").await["scope"], "role");
    assert_eq!(records(&bench).await, 0);
    for account in ["a/0", "a/1"] {
        assert!(bench.act(&format!("retrieve/{account}"), json!({})).await.code.is_some());
        bench.wait(600);
    }
    for account in ["a/0", "a/1", "a/2"] {
        let answer = bench.act(&format!("retrieve/{account}"), json!({})).await;
        assert!(refused(&answer), "{answer:?}");
        assert!(answer.error.contains("from all accounts together"), "{answer:?}");
        assert!(answer.error.contains("try again in 2400 seconds"), "the first of them was 20 minutes ago: {answer:?}");
    }
    // Another subject has its own, and so has the same subject under another role.
    let jwt = bench.jwt(json!({"sub": "john"}));
    assert!(bench.act("retrieve/a/2", json!({"jwt": jwt})).await.code.is_some());
    let other = bench.read("roles/admin").await;
    bench.fine("roles/other", other).await;
    assert!(bench.act("retrieve/a/2", json!({"role": "other"})).await.code.is_some());
    // Making the role anew forgets nothing.
    let admin = bench.read("roles/admin").await;
    assert_eq!(bench.root(Operation::Delete, "roles/admin", json!({})).await.status, 204);
    bench.fine("roles/admin", admin).await;
    assert!(refused(&bench.act("retrieve/a/2", json!({})).await));
    bench.wait(2400);
    assert!(bench.act("retrieve/a/2", json!({})).await.code.is_some(), "the first has stopped counting");
    assert!(refused(&bench.act("retrieve/a/1", json!({})).await), "the second has not");
}

#[tokio::test]
async fn what_gives_no_code_and_what_gives_it_again_costs_no_share() {
    for store in [Memory::new(), Memory::sequential()] {
        let bench = Bench::over(Arc::new(store)).await;
        limited(&bench, 2, 2).await;
        let retrieve = |ask: Value| bench.act("retrieve/a/0", ask);
        let first = retrieve(json!({"idempotency_key": "k"})).await;
        for _ in 0..3 {
            assert_eq!(retrieve(json!({"idempotency_key": "k"})).await.code, first.code, "a repeat");
        }
        assert_eq!(retrieve(json!({"slot": 9})).await.status, INVALID);
        assert_eq!(retrieve(json!({"reason": CODES[3]})).await.word(), "reason");
        assert_eq!(bench.act("retrieve/none", json!({})).await.word(), "no-set");
        let jwt = bench.jwt(json!({}));
        assert!(retrieve(json!({"jwt": jwt})).await.code.is_some(), "nothing of that took the second share");
        assert!(refused(&retrieve(json!({})).await));
        assert_eq!(retrieve(json!({"idempotency_key": "k"})).await.code, first.code, "with all shares taken, too");
        bench.wait(3601);
        // A JWT that is used up takes no share of the new hour: two are left after these.
        let jwt = bench.jwt(json!({}));
        assert!(retrieve(json!({"jwt": jwt})).await.code.is_some());
        for _ in 0..3 {
            let answer = bench.act("retrieve/a/1", json!({"jwt": jwt})).await;
            assert_eq!((answer.status, answer.word()), (403, "assertion"), "{answer:?}");
        }
        assert!(bench.act("retrieve/a/1", json!({})).await.code.is_some());
        assert!(refused(&bench.act("retrieve/a/1", json!({})).await));
    }
}

/// The record that the limit stands in is the same for all of them, though each asks for an account of its own.
async fn thirty_two_clients(store: Arc<dyn Storage>, max: u64) -> Bench {
    let bench = Arc::new(Bench::over(store).await);
    limited(&bench, max, 32).await;
    let mut clients = tokio::task::JoinSet::new();
    for account in 0..32 {
        let (bench, jwt) = (bench.clone(), bench.jwt(json!({})));
        clients.spawn(async move { bench.act(&format!("retrieve/a/{account}"), json!({"jwt": jwt})).await });
    }
    let answers = clients.join_all().await;
    let served = answers.iter().filter(|answer| answer.code.is_some()).count() as u64;
    assert!(answers.iter().all(|answer| answer.code.is_some() || refused(answer)), "{answers:?}");
    assert_eq!(served, max, "{served} codes went out where the role allows {max}");
    Arc::into_inner(bench).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thirty_two_clients_on_as_many_accounts_exactly_so_many_get_through() {
    for max in [1, 7, 32] {
        for store in [Memory::new(), Memory::sequential()] {
            let bench = thirty_two_clients(Arc::new(store), max).await;
            // The clients that were refused burnt nothing.
            let mut left = 0;
            for account in 0..32 {
                left += bench.read(&format!("accounts/a/{account}")).await["remaining"].as_u64().unwrap();
            }
            assert_eq!(left, 4 * 32 - max);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    thirty_two_clients(Arc::new(Redb::open(&folder.path().join("store")).unwrap()), 20).await;
    for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
        let store = HostStorage::new(host.client());
        store.try_to_write().await.unwrap();
        thirty_two_clients(Arc::new(store), 20).await;
    }
}

/// Freezes the store after each write in turn. A share may be lost then, and none is won; who goes on with the act has its share.
#[tokio::test]
async fn a_crash_between_the_writes_never_gives_one_more() {
    for writes in 0..6 {
        let bench = Bench::over(Arc::new(Memory::sequential())).await;
        limited(&bench, 2, 4).await;
        let ask = json!({"jwt": bench.jwt(json!({})), "idempotency_key": "again"});
        bench.store.freeze_after(writes);
        let first = bench.act("retrieve/a/0", ask.clone()).await;
        bench.store.thaw();
        let second = bench.act("retrieve/a/0", ask.clone()).await;
        assert!(second.code.is_some() && (first.code.is_none() || first.code == second.code), "{writes}: {second:?}");
        let third = bench.act("retrieve/a/1", json!({})).await;
        assert!(third.code.is_some(), "{writes}: it cost one share, not two: {third:?}");
        assert!(refused(&bench.act("retrieve/a/2", json!({})).await), "{writes}");
    }
    // As above, by somebody who does not come again with what died.
    for writes in 0..6 {
        let bench = Bench::over(Arc::new(Memory::sequential())).await;
        limited(&bench, 2, 4).await;
        let mut served = 0;
        for account in 0..4 {
            bench.store.freeze_after(writes);
            let answer = bench.act(&format!("retrieve/a/{account}"), json!({})).await;
            bench.store.thaw();
            served += usize::from(answer.code.is_some());
        }
        let mut burnt = 0;
        for account in 0..4 {
            burnt += 4 - bench.read(&format!("accounts/a/{account}")).await["remaining"].as_u64().unwrap();
        }
        assert!(burnt <= 2 && served <= 2, "{writes}: {burnt} burnt, {served} served");
    }
}

/// A key is remembered as long as its slot is. Used again after that it gets another code, and pays for it.
#[tokio::test]
async fn a_key_that_nothing_remembers_any_more_takes_a_share_of_its_own() {
    let bench = Bench::new().await;
    bench.fine("roles/admin", json!({"max_retrievals": 2, "per": "48h", "scope": "role"})).await;
    for generation in 0..7 {
        // The first set left the record, and ended more than a day ago, when the last comes.
        bench.wait(5 * 3600);
        bench.store("a", &[&format!("code{generation}-aaaaa"), &format!("code{generation}-bbbbb")]).await;
        if [0, 6].contains(&generation) {
            assert!(bench.act("retrieve/a", json!({"idempotency_key": "k"})).await.code.is_some());
        }
    }
    assert!(refused(&bench.act("retrieve/a", json!({})).await));
}

#[tokio::test]
async fn the_record_is_swept_a_day_after_its_last_share_has_ended() {
    let bench = Bench::new().await;
    limited(&bench, 2, 1).await;
    bench.act("retrieve/a/0", json!({})).await;
    bench.wait(1800);
    bench.act("retrieve/a/0", json!({})).await;
    bench.wait(3600 + 86_400 - 1);
    while !bench.engine.sweep(500, || true).await.unwrap().whole {}
    assert_eq!(records(&bench).await, 1);
    bench.wait(2);
    while !bench.engine.sweep(500, || true).await.unwrap().whole {}
    assert_eq!(records(&bench).await, 0);
    assert!(bench.act("retrieve/a/0", json!({})).await.code.is_some());
}
