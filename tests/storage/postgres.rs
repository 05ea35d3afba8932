//! What the PostgreSQL store promises beyond the contract: nodes that start at once, answers that get lost, rows that somebody else
//! holds, and as few round trips as the contract allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sparekey::random::SeededRandom;
use sparekey::storage::postgres::{ConnectionUrl, Options, Postgres, Table};
use sparekey::storage::{Expect, Found, Get, PutError, Revision, Storage, StorageError, Write};

use crate::backends::{conflict, open, options};
use crate::pg_proxy::{Fault, Proxy};
use crate::postgres_server::{self, USER};

mod failover;
mod pooler;
mod tls;

fn put(key: &str, expect: Expect, value: &[u8]) -> Write {
    Write::put(key, expect, value.to_vec(), &sparekey::random::OsRandom)
}

async fn value(store: &dyn Storage, key: &str) -> Option<(Vec<u8>, Revision)> {
    match store.get_many(vec![Get::new(key)]).await.unwrap().remove(0) {
        Found::Value(value, revision) => Some((value, revision)),
        _ => None,
    }
}

/// Options for the server behind `proxy`, on the table that `options` names.
fn through(proxy: &Proxy, options: &Options) -> Options {
    let url = format!("postgres://{USER}@127.0.0.1:{}/postgres?sslmode=disable", proxy.port());
    Options { url: ConnectionUrl::new(url.into()), ..options.clone() }
}

fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_share_one_table() {
    let options = options("");
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let options = options.clone();
        starting.spawn(async move { Postgres::open(&options).await });
    }
    let stores: Vec<Postgres> = starting.join_all().await.into_iter().map(|store| store.unwrap()).collect();
    stores[0].put_all(vec![put("a", Expect::Absent, b"1")]).await.unwrap();
    for store in &stores {
        assert_eq!(value(store, "a").await.unwrap().0, b"1", "every node reads what another has written");
        assert_eq!(conflict(store.put_all(vec![put("a", Expect::Absent, b"2")]).await), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_of_another_kind_or_of_a_newer_version_is_refused() {
    let newer = options("");
    drop(open(newer.clone()));
    let server = postgres_server::shared();
    server.sql(&format!("UPDATE {} SET format = 2", newer.table.format()));
    let refused = sentence(Postgres::open(&newer).await.unwrap_err());
    assert!(refused.contains("has format 2 and this version reads up to 1: run the newer version"), "{refused}");
    server.sql(&format!("UPDATE {} SET format = 0", newer.table.format()));
    let refused = sentence(Postgres::open(&newer).await.unwrap_err());
    assert!(refused.contains("unknown format 0"), "{refused}");

    let foreign = options("");
    server.sql(&format!("CREATE TABLE {} (id int, name text)", foreign.table.records()));
    let refused = sentence(Postgres::open(&foreign).await.unwrap_err());
    assert!(refused.contains("is there and is no Sparekey store: name another one"), "{refused}");

    let elsewhere = Options { table: Table::parse("nowhere.sparekey").unwrap(), ..options("") };
    let refused = sentence(Postgres::open(&elsewhere).await.unwrap_err());
    assert!(refused.contains("nowhere"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_only_use_the_table_needs_nothing_else() {
    let owner = options("");
    drop(open(owner.clone()));
    let (records, format, role) = (owner.table.records(), owner.table.format(), postgres_server::table());
    let server = postgres_server::shared();
    server.sql(&format!(
        "CREATE ROLE {role} LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON {records} TO {role}; GRANT SELECT ON {format} TO {role}"
    ));
    let url = format!("postgres://{role}@127.0.0.1:{}/postgres?sslmode=disable", server.port());
    let store = open(Options { url: ConnectionUrl::new(url.into()), ..owner.clone() });
    store.put_all(vec![put("a", Expect::Absent, b"1")]).await.unwrap();
    let (_, at) = value(&store, "a").await.unwrap();
    store.put_all(vec![Write::delete("a", at)]).await.unwrap();
    // Many at once share what is committed for it, and it leaves nothing.
    let store = Arc::new(store);
    let mut settled = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = Arc::clone(&store);
        settled.spawn(async move { store.settled().await });
    }
    assert!(settled.join_all().await.iter().all(Result::is_ok));
    assert_eq!(server.sql(&format!("SELECT count(*) FROM {records}")), "0");
    assert!(store.lines().unwrap().current().is_some(), "anybody may ask for the line");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loses_acknowledged_writes_is_refused() {
    let refused = sentence(Postgres::open(&options("&options=-csynchronous_commit%3Doff")).await.unwrap_err());
    assert!(refused.contains("synchronous_commit = off"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_after_the_commit_is_unknown_and_the_store_goes_on() {
    let options = options("");
    let store = open(options.clone());
    let proxy = Proxy::before(postgres_server::shared().port()).await;
    let far = open(through(&proxy, &options));
    for (fault, written) in [(Fault::After, true), (Fault::Before, false)] {
        let key = format!("{fault:?}");
        proxy.arm(fault);
        let result =
            far.put_all(vec![put(&key, Expect::Absent, b"1"), put(&format!("{key}/2"), Expect::Absent, b"1")]).await;
        assert!(matches!(result, Err(PutError::Unknown(_))), "{result:?}");
        assert_eq!(value(&store, &key).await.is_some(), written, "{key}");
        assert_eq!(value(&store, &format!("{key}/2")).await.is_some(), written, "{key}");
        // The same node goes on, and reads what there is.
        assert_eq!(value(&far, &key).await.is_some(), written, "{key}");
        far.put_all(vec![put(&format!("{key}/3"), Expect::Absent, b"1")]).await.unwrap();
    }
    // A read is sent again without anybody noticing.
    proxy.cut();
    assert!(value(&far, "After").await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_costs_the_timeout_and_no_more() {
    let mut options = options("");
    options.statement_timeout = Duration::from_secs(1);
    let store = open(options.clone());
    let proxy = Proxy::before(postgres_server::shared().port()).await;
    let far = open(through(&proxy, &options));
    proxy.arm(Fault::Silence);
    let began = Instant::now();
    let result = far.put_all(vec![put("a", Expect::Absent, b"1")]).await;
    assert!(matches!(result, Err(PutError::Unknown(_))), "{result:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(value(&store, "a").await.is_some());
    assert_eq!(conflict(far.put_all(vec![put("a", Expect::Absent, b"1")]).await), 0, "on another connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_reached_has_written_nothing() {
    let options = options("");
    let proxy = Proxy::before(postgres_server::shared().port()).await;
    let far = open(through(&proxy, &options));
    drop(proxy);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let result = far.put_all(vec![put("a", Expect::Absent, b"1")]).await;
    assert!(matches!(&result, Err(PutError::Failed(StorageError::Failed(_)))), "{result:?}");
    assert!(far.get_many(vec![Get::new("a")]).await.is_err());
}

/// Nobody waits for the failure of those before him.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_that_wait_for_a_server_that_does_not_answer_fail_together() {
    let mut options = options("");
    options.connect_timeout = Duration::from_secs(1);
    options.max_parallel = 2;
    let proxy = Proxy::before(postgres_server::shared().port()).await;
    let far = Arc::new(open(through(&proxy, &options)));
    proxy.stall();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    let mut acts = tokio::task::JoinSet::new();
    for number in 0..40 {
        let far = Arc::clone(&far);
        acts.spawn(async move { far.put_all(vec![put(&number.to_string(), Expect::Absent, b"1")]).await });
    }
    for result in acts.join_all().await {
        assert!(matches!(&result, Err(PutError::Failed(_))), "{result:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_keeps_its_own_act_waiting_and_no_other() {
    let mut options = options("");
    options.lock_timeout = Duration::from_millis(300);
    options.max_parallel = 2; // One group at a time, so that acts wait and travel together.
    let store = Arc::new(open(options.clone()));
    store.put_all(vec![put("held", Expect::Absent, b"1")]).await.unwrap();
    let (_, at) = value(&*store, "held").await.unwrap();
    let server = postgres_server::shared();
    let table = options.table.records().to_owned();
    let holder = std::thread::spawn(move || {
        server.sql(&format!("BEGIN; SELECT 1 FROM {table} WHERE key = 'held' FOR UPDATE; SELECT pg_sleep(2); COMMIT"));
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut acts = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = Arc::clone(&store);
        acts.spawn(async move {
            let write = match number {
                7 => put("held", Expect::At(at), b"2"),
                9 => put("held/9", Expect::At(at), b"2"),
                _ => put(&format!("free/{number}"), Expect::Absent, b"1"),
            };
            (number, store.put_all(vec![write]).await)
        });
    }
    for (number, result) in acts.join_all().await {
        match (number, result) {
            (7, Err(PutError::Failed(error))) => assert!(error.to_string().contains("lock timeout"), "{error}"),
            (9, result) => assert_eq!(conflict(result), 0),
            (7, other) => panic!("{other:?}"),
            (_, result) => result.unwrap(),
        }
    }
    holder.join().unwrap();
    store.put_all(vec![put("held", Expect::At(at), b"2")]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_act_is_two_round_trips_and_waiting_acts_share_theirs() {
    let options = options("");
    let proxy = Proxy::before(postgres_server::shared().port()).await;
    let store = Arc::new(open(Options { max_parallel: 2, ..through(&proxy, &options) }));
    let keys: Vec<String> = (0..6).map(|n| format!("k{n}")).collect();
    store.put_all(keys.iter().map(|key| put(key, Expect::Absent, b"1")).collect()).await.unwrap();

    let before = proxy.counts();
    let found = store.get_many(keys.iter().map(Get::new).collect()).await.unwrap();
    let at: Vec<Revision> =
        found.iter().map(|found| if let Found::Value(_, at) = found { *at } else { panic!("{found:?}") }).collect();
    store.put_all(keys.iter().zip(&at).map(|(key, at)| put(key, Expect::At(*at), b"2")).collect()).await.unwrap();
    let after = proxy.counts();
    assert_eq!((after.0 - before.0, after.1 - before.1), (2, 1), "six records read and written");

    let before = proxy.counts();
    let mut acts = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = Arc::clone(&store);
        acts.spawn(async move { store.put_all(vec![put(&format!("a/{number}"), Expect::Absent, b"1")]).await });
    }
    acts.join_all().await.into_iter().for_each(|result| result.unwrap());
    let trips = proxy.counts().1 - before.1;
    assert!((4..100).contains(&trips), "{trips} statements for 200 acts");
}

/// Every node raises the same counters, two in one act, in opposite orders: nothing is lost and nobody waits in a circle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_write_the_same_rows_in_opposite_orders_lose_nothing() {
    for more in ["", "&options=-cdefault_transaction_isolation%3Dserializable"] {
        let options = options(more);
        let nodes: Vec<Arc<Postgres>> = (0..3).map(|_| Arc::new(open(options.clone()))).collect();
        nodes[0].put_all(vec![put("a", Expect::Absent, &[0]), put("b", Expect::Absent, &[0])]).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..9u64 {
            let node = Arc::clone(&nodes[task as usize % 3]);
            tasks.spawn(async move {
                let random = SeededRandom::new(task);
                let keys = if task % 2 == 0 { ["a", "b"] } else { ["b", "a"] };
                let mut done = 0;
                while done < 10 {
                    let found = node.get_many(keys.map(Get::new).into()).await.unwrap();
                    let writes = keys.iter().zip(found).map(|(key, found)| {
                        let Found::Value(value, at) = found else { panic!("{found:?}") };
                        Write::put(*key, Expect::At(at), vec![value[0] + 1], &random)
                    });
                    match node.put_all(writes.collect()).await {
                        Ok(()) => done += 1,
                        Err(PutError::Conflict { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            });
        }
        tasks.join_all().await;
        for key in ["a", "b"] {
            assert_eq!(value(&*nodes[1], key).await.unwrap().0, [90]);
        }
    }
}

/// Acts that look whether the other's record is absent and create their own: at most one may go through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_expected_to_be_absent_stays_so_until_the_act_is_done() {
    let options = options("");
    let nodes: Vec<Arc<Postgres>> = (0..2).map(|_| Arc::new(open(options.clone()))).collect();
    for round in 0..40 {
        let act = |node: &Arc<Postgres>, mine: &str, other: &str| {
            let (mine, other) = (format!("{mine}{round}"), format!("{other}{round}"));
            let absent = Write { key: other, expect: Expect::Absent, change: sparekey::storage::Change::Check };
            let (node, writes) = (Arc::clone(node), vec![absent, put(&mine, Expect::Absent, b"1")]);
            tokio::spawn(async move { node.put_all(writes).await })
        };
        let (one, two) = (act(&nodes[0], "a", "b"), act(&nodes[1], "b", "a"));
        let done = [one.await.unwrap(), two.await.unwrap()];
        assert!(done.iter().filter(|result| result.is_ok()).count() <= 1, "{done:?}");
        for result in done {
            assert!(matches!(result, Ok(()) | Err(PutError::Conflict { index: 0 })), "{result:?}");
        }
        let both = [value(&*nodes[0], &format!("a{round}")).await, value(&*nodes[0], &format!("b{round}")).await];
        assert_eq!(both.iter().flatten().count(), 1, "one of them did it");
    }
}
