//! Sweeps make room and decide nothing: what is over goes, what might still be needed stays, a few records at a time.

use std::sync::Arc;

use serde_json::json;
use sparekey::engine::request::Operation;
use sparekey::engine::sweep::Swept;
use sparekey::plugin::HostStorage;
use sparekey::random::OsRandom;
use sparekey::storage::faulty::Times;
use sparekey::storage::memory::Memory;
use sparekey::storage::{Expect, Found, Get, Storage, Write};

use crate::fake_host::FakeHost;
use crate::harness::{Bench, CODES};

const DAY: i64 = 86_400;

async fn names(bench: &Bench, folder: &str) -> Vec<String> {
    bench.store.list(folder, None, 1000).await.unwrap()
}

/// Sweeps to the end; how many records went, and in how many turns.
async fn sweep(bench: &Bench, limit: usize) -> (usize, usize) {
    let mut gone = 0;
    for turns in 1..1000 {
        let swept = bench.engine.sweep(limit, || true).await.unwrap();
        gone += swept.gone();
        if swept.whole {
            return (gone, turns);
        }
    }
    panic!("it does not end");
}

#[tokio::test]
async fn a_claim_goes_a_day_after_its_assertion_has_expired() {
    for store in [Arc::new(Memory::new()) as Arc<dyn Storage>, Arc::new(Memory::sequential())] {
        let bench = Bench::over(store).await;
        bench.store("a", &CODES).await;
        let jwt = bench.jwt(json!({}));
        assert_eq!(bench.act("retrieve/a", json!({"jwt": jwt})).await.status, 200);
        bench.wait(300 + DAY - 1);
        sweep(&bench, 500).await;
        assert_eq!(names(&bench, "claims/").await.len(), 1, "a clock may be wrong by a day");
        bench.wait(2);
        sweep(&bench, 500).await;
        assert_eq!(names(&bench, "claims/").await, Vec::<String>::new());
        assert_eq!(bench.act("retrieve/a", json!({"jwt": jwt})).await.status, 403, "what was claimed is long dead");
        assert_eq!(bench.read("accounts/a").await["remaining"], 3);
    }
}

#[tokio::test]
async fn an_event_goes_once_its_time_is_over_and_nothing_comes_back_with_it() {
    let bench = Bench::new().await;
    bench.store("okta/jane@example.com", &CODES).await;
    bench.fine("config", json!({"event_retention": "2d"})).await;
    bench.fine("sources/idp", json!({"subjects": {}})).await;
    bench.wait(3600);
    let at = bench.now();
    let event = bench.event("jane@example.com", at, json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    bench.act("enroll/b", json!({"enrollment_id": "1"})).await;
    assert_eq!(names(&bench, "events/").await, ["enroll/", "idp/"]);
    bench.wait(2 * DAY);
    assert_eq!(sweep(&bench, 500).await.0, 0);
    bench.wait(1);
    assert_eq!(sweep(&bench, 500).await.0, 2);
    assert_eq!(names(&bench, "events/").await, Vec::<String>::new());
    // A new set is not ended by the old event that comes again, though it is not remembered any more.
    let codes = ["eeeee-55555", "fffff-66666"];
    let stored = bench.act("sets/okta/jane@example.com", json!({"codes": codes, "enrollment": 1})).await;
    assert_eq!(stored.status, 200, "{stored:?}");
    assert_eq!(bench.send_event(&bench.event("jane@example.com", at, json!({}))).await.status, 202);
    assert_eq!(bench.read("accounts/okta/jane@example.com").await["active_generation"], 2);
}

/// It still has accounts to reach: only a redelivery finishes it.
#[tokio::test]
async fn an_event_that_has_not_reached_all_its_accounts_stays() {
    let bench = Bench::new().await;
    bench.fine("sources/idp", json!({"subjects": {"email:jane@example.com": ["one", "two"]}})).await;
    bench.store.freeze_after(2);
    assert!(bench.send_event(&bench.event("jane@example.com", bench.now(), json!({}))).await.status >= 500);
    bench.store.thaw();
    bench.wait(400 * DAY);
    sweep(&bench, 500).await;
    assert_eq!(names(&bench, "events/idp/").await.len(), 1);
}

#[tokio::test]
async fn a_marker_goes_when_its_burn_has_stood_in_the_record_for_a_day() {
    let bench = Bench::over(Arc::new(Memory::sequential())).await;
    bench.store("a", &CODES).await;
    let read = || async {
        match bench.store.get_many(vec![Get::new("accounts/a")]).await.unwrap().remove(0) {
            Found::Value(value, revision) => (value, revision),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(bench.act("retrieve/a", json!({})).await.code.as_deref(), Some(CODES[0]));
    let (before, _) = read().await;
    assert_eq!(bench.act("retrieve/a", json!({})).await.code.as_deref(), Some(CODES[1]));
    let (_, now) = read().await;
    // The second burn is lost from the record; its marker is all that knows of it.
    bench.store.put_all(vec![Write::put("accounts/a", Expect::At(now), before, &OsRandom)]).await.unwrap();
    let set = names(&bench, "burns/").await.remove(0);
    let markers = || async { names(&bench, &format!("burns/{set}")).await };
    assert_eq!(markers().await, ["0000000001", "0000000002"]);
    bench.wait(DAY);
    sweep(&bench, 500).await;
    assert_eq!(markers().await.len(), 2, "nothing goes before a day is over");
    bench.wait(1);
    sweep(&bench, 500).await;
    assert_eq!(markers().await, ["0000000002"]);
    assert_eq!(
        bench.act("retrieve/a", json!({})).await.code.as_deref(),
        Some(CODES[2]),
        "nor is the second code given again"
    );
    bench.wait(DAY + 1);
    sweep(&bench, 500).await;
    assert_eq!(names(&bench, "burns/").await, Vec::<String>::new());
    // Of a deleted account, too.
    assert_eq!(bench.act("retrieve/a", json!({})).await.code.as_deref(), Some(CODES[3]));
    bench.act("revoke/a", json!({"reason": "leaves"})).await;
    assert_eq!(bench.root(Operation::Delete, "accounts/a", json!({})).await.status, 204);
    bench.wait(DAY + 1);
    sweep(&bench, 500).await;
    assert_eq!(names(&bench, "burns/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_turn_is_bounded_and_the_next_goes_on_from_there() {
    for host in [None, Some(FakeHost::with_transactions()), Some(FakeHost::without_transactions())] {
        let bench = match &host {
            None => Bench::new().await,
            Some(host) => Bench::over(Arc::new(HostStorage::new(host.client()))).await,
        };
        for account in 0..3 {
            let codes: Vec<String> = (0..9).map(|number| format!("code{account}{number:05}")).collect();
            bench.store(&format!("a/{account}"), &codes.iter().map(String::as_str).collect::<Vec<_>>()).await;
            for _ in 0..9 {
                assert_eq!(bench.act(&format!("retrieve/a/{account}"), json!({})).await.status, 200);
            }
            bench.act("enroll/b", json!({"enrollment_id": account.to_string()})).await;
        }
        bench.wait(100 * DAY);
        // One that stays among those that go, so that a turn has to step over it.
        bench.store("c", &CODES).await;
        bench.act("retrieve/c", json!({})).await;
        bench.store.reset_counts();
        bench.engine.sweep(7, || true).await.unwrap();
        // The account's record comes along where its burns are looked at, and the settings.
        assert!(bench.store.counts().keys_read <= 7 + 14 + 1, "{:?}", bench.store.counts());
        let (gone, turns) = sweep(&bench, 7).await;
        assert!(gone >= 30 - 7 && turns > 3, "{gone} in {turns} turns");
        assert_eq!(names(&bench, "claims/").await.len(), 1);
        assert_eq!(names(&bench, "events/").await, Vec::<String>::new());
        assert!(names(&bench, "burns/").await.len() <= 1, "only that of the one that stays");
        assert_eq!(sweep(&bench, 500).await.0, 0);
        assert_eq!(bench.read("accounts/a/1").await["sets"][0]["slots"][8]["state"], "dispensed");
        if let Some(host) = host {
            assert_eq!(host.strays(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn it_stops_when_told_and_where_nothing_can_be_written() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.act("retrieve/a", json!({})).await;
    bench.wait(3 * DAY);
    assert_eq!(bench.engine.sweep(500, || false).await.unwrap(), Swept::default());
    bench.store.fail_writes(Times::Always);
    assert!(bench.engine.sweep(500, || true).await.is_err());
    assert_eq!(names(&bench, "claims/").await.len(), 1);
    bench.store.fail_writes(Times::Never);
    sweep(&bench, 500).await;
    sweep(&bench, 500).await;
    assert_eq!(names(&bench, "claims/").await, Vec::<String>::new());
    // A record that does not decode stays, and hinders no other.
    bench.act("retrieve/a", json!({})).await;
    bench.store.put_all(vec![Write::create("claims/0", b"?".to_vec(), &OsRandom)]).await.unwrap();
    bench.wait(3 * DAY);
    sweep(&bench, 500).await;
    assert_eq!(names(&bench, "claims/").await, ["0"]);
}
