//! Servers that are killed, and standbys that take over: with everything that was acknowledged, or without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sparekey::storage::postgres::{ConnectionUrl, Options, Postgres};
use sparekey::storage::{Expect, Found, Get, PutError, Storage, StorageError};

use super::{put, value};
use crate::backends::open;
use crate::postgres_server::{Server, USER};

fn options(servers: &[&Server]) -> Options {
    let hosts: Vec<String> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port())).collect();
    let url = format!("postgres://{USER}@{}/postgres?sslmode=disable", hosts.join(","));
    let mut options = Options::new(ConnectionUrl::new(url.into()));
    options.connect_timeout = Duration::from_secs(2);
    options.statement_timeout = Duration::from_secs(3);
    options.max_parallel = 8;
    options
}

/// Clients that write until they are told to stop, and remember what was acknowledged.
struct Writers {
    stop: Arc<AtomicBool>,
    tasks: tokio::task::JoinSet<Vec<String>>,
}

impl Writers {
    fn start(store: &Arc<Postgres>, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..count {
            let (store, stop) = (Arc::clone(store), Arc::clone(&stop));
            tasks.spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = format!("w/{task}/{number}");
                    match store.put_all(vec![put(&key, Expect::Absent, b"1")]).await {
                        Ok(()) => acknowledged.push(key),
                        Err(PutError::Conflict { .. }) => panic!("{key} was written by nobody else"),
                        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
                acknowledged
            });
        }
        Writers { stop, tasks }
    }
    async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// How many of `keys` are not there.
async fn missing(store: &dyn Storage, keys: &[String]) -> usize {
    let mut missing = 0;
    for keys in keys.chunks(500) {
        let found = store.get_many(keys.iter().map(Get::new).collect()).await.unwrap();
        missing += found.iter().filter(|found| **found == Found::Absent).count();
    }
    missing
}

async fn until<T>(what: &str, mut step: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(done) = step().await {
            return done;
        }
        assert!(Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_comes_back_with_all_that_was_acknowledged() {
    let mut server = Server::new();
    server.start(&[]);
    let store = Arc::new(open(options(&[&server])));
    let line = store.lines().unwrap().current();
    for _ in 0..2 {
        let writers = Writers::start(&store, 6);
        tokio::time::sleep(Duration::from_millis(400)).await;
        server.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.start(&[]);
        until("the node reconnects", async || value_or_error(&*store).await.ok()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let acknowledged = writers.stop().await;
        assert!(acknowledged.len() > 20, "{}", acknowledged.len());
        assert_eq!(missing(&*store, &acknowledged).await, 0);
        store_clean(&server);
    }
    assert_eq!(store.lines().unwrap().current(), line, "a restart begins no new line");
    assert!(store.lines().unwrap().check().is_ok());
}

fn store_clean(server: &Server) {
    server.sql("TRUNCATE sparekey");
}

async fn value_or_error(store: &dyn Storage) -> Result<(), StorageError> {
    store.get_many(vec![Get::new("any")]).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_standby_takes_over_with_all_that_was_acknowledged() {
    let mut primary = Server::new();
    primary.start(&[]);
    let mut standby = Server::standby(&primary, "b");
    standby.start(&[]);
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (b)'");
    primary.sql("SELECT pg_reload_conf()");
    until("the standby is synchronous", async || {
        (primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync").then_some(())
    })
    .await;
    let store = Arc::new(open(options(&[&primary, &standby])));
    let before = store.lines().unwrap().current().unwrap();
    a_commit_whose_standby_was_not_waited_for_is_unknown(&store, &primary, &standby).await;

    let writers = Writers::start(&store, 6);
    tokio::time::sleep(Duration::from_millis(800)).await;
    primary.kill();
    standby.promote();
    // Nothing is answered from the new line until somebody has compared.
    let refused = until("the node meets the new line", async || match value_or_error(&*store).await {
        Err(error) if error.to_string().contains("line changed") => Some(error),
        _ => None,
    })
    .await;
    assert!(refused.to_string().contains(before.name()), "{refused}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let acknowledged = writers.stop().await;
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());

    let unchecked = Arc::clone(&store).unchecked().unwrap();
    assert_eq!(missing(&*unchecked, &acknowledged).await, 0, "no acknowledged act is missing");
    let now = store.lines().unwrap().current().unwrap();
    assert_ne!(now, before);
    store.lines().unwrap().approve(now);
    store.put_all(vec![put("after", Expect::Absent, b"1")]).await.unwrap();
    assert!(value(&*store, "after").await.is_some());
}

/// The server stops while a commit waits for the standby: after its start everybody sees what no standby has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restarted_server_shows_is_settled_only_when_its_standby_has_it() {
    let mut primary = Server::new();
    primary.start(&[]);
    let mut standby = Server::standby(&primary, "b");
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (b)'");
    standby.start(&[]);
    primary.stop();
    primary.start(&[]);
    let store = Arc::new(open(options(&[&primary, &standby])));
    store.put_all(vec![put("before", Expect::Absent, b"1")]).await.unwrap();
    store.settled().await.unwrap();

    standby.stop();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.put_all(vec![put("code", Expect::Absent, b"burnt")]).await }
    });
    until("the commit waits", async || {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        (primary.sql(waits) == "1").then_some(())
    })
    .await;
    primary.stop_at_once();
    primary.start(&[]);
    assert!(matches!(waiting.await.unwrap(), Err(PutError::Unknown(_))));
    let shown = until("it is shown", async || store.get_many(vec![Get::new("code")]).await.ok()?.pop()).await;
    assert!(matches!(shown, Found::Value(..)), "{shown:?}");
    assert!(store.settled().await.is_err(), "no standby has it");
    standby.start(&[]);
    until("the standby has it", async || store.settled().await.ok()).await;
    primary.kill();
    standby.promote();
    let unchecked = Arc::clone(&store).unchecked().unwrap();
    let kept =
        until("the standby answers", async || unchecked.get_many(vec![Get::new("code")]).await.ok()?.pop()).await;
    assert!(matches!(kept, Found::Value(..)), "{kept:?}");
    assert!(store.settled().await.is_err(), "nobody has compared");
}

/// Somebody cancels the wait for the standby: the server then calls the write done, with a warning, though no standby has it.
async fn a_commit_whose_standby_was_not_waited_for_is_unknown(
    store: &Arc<Postgres>,
    primary: &Server,
    standby: &Server,
) {
    // The standby's postmaster stands still, and its receiver has ended.
    standby.signal("STOP");
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
    let writing = tokio::spawn({
        let store = Arc::clone(store);
        async move { store.put_all(vec![put("unreplicated", Expect::Absent, b"1")]).await }
    });
    let waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    until("the commit waits for the standby", async || (primary.sql(waiting) == "t").then_some(())).await;
    let result = writing.await.unwrap();
    assert!(
        matches!(&result, Err(PutError::Unknown(error)) if error.to_string().contains("did not wait for its standby")),
        "{result:?}"
    );
    standby.signal("CONT");
    until("the standby is synchronous again", async || {
        (primary.sql("SELECT sync_state FROM pg_stat_replication") == "sync").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_lost_commits_opens_no_box_until_somebody_approves() {
    let mut primary = Server::new();
    primary.start(&[]);
    let mut standby = Server::standby(&primary, "b");
    standby.start(&["recovery_min_apply_delay=0"]);
    let store = Arc::new(open(options(&[&primary, &standby])));
    store.put_all(vec![put("code", Expect::Absent, b"held")]).await.unwrap();
    let (_, held) = value(&*store, "code").await.unwrap();
    until("the standby has it", async || {
        let written = primary.sql("SELECT pg_current_wal_lsn()");
        (standby.sql(&format!("SELECT pg_last_wal_replay_lsn() >= '{written}'")) == "t").then_some(())
    })
    .await;
    // The standby hears no more of it (its receiver ends, and who would start another one is stopped), and the burn is
    // acknowledged without it.
    standby.signal("STOP");
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
    store.put_all(vec![put("code", Expect::At(held), b"dispensed")]).await.unwrap();
    primary.kill();
    standby.signal("CONT");
    standby.promote();

    // The code is whole again, and no ordinary caller is shown that.
    until("the node meets the new line", async || match value_or_error(&*store).await {
        Err(error) if error.to_string().contains("line changed") => Some(()),
        Ok(()) => panic!("answered from a line that nobody has approved"),
        Err(_) => None,
    })
    .await;
    assert!(store.get_many(vec![Get::new("code")]).await.is_err());
    assert!(store.list("", None, 10).await.is_err());
    assert!(Arc::clone(&store).snapshot().await.is_err());
    let result = store.put_all(vec![put("code", Expect::At(held), b"dispensed again")]).await;
    assert!(matches!(result, Err(PutError::Failed(_) | PutError::Unknown(_))), "{result:?}");
    let unchecked = Arc::clone(&store).unchecked().unwrap();
    assert_eq!(value(&*unchecked, "code").await.unwrap(), (b"held".to_vec(), held), "the burn is lost");
    // Who compares may write, quarantine for instance.
    unchecked.put_all(vec![put("code", Expect::At(held), b"quarantined")]).await.unwrap();
    let lines = store.lines().unwrap();
    lines.approve(lines.current().unwrap());
    assert_eq!(value(&*store, "code").await.unwrap().0, b"quarantined");
}

/// A connection that stands through a promotion (a pooler's) tells of the new line with the first write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_on_a_line_that_nobody_approved_is_unknown() {
    let store = open(crate::backends::options(""));
    let lines = store.lines().unwrap();
    let now = lines.current().unwrap();
    store.put_all(vec![put("a", Expect::Absent, b"1")]).await.unwrap();
    // The node thinks that it is on another line, and its connections are open.
    let former = sparekey::storage::line::Line::new("former");
    let _ = lines.observe(former.clone());
    lines.approve(former);
    let result = store.put_all(vec![put("b", Expect::Absent, b"1")]).await;
    assert!(
        matches!(&result, Err(PutError::Unknown(error)) if error.to_string().contains("line changed")),
        "{result:?}"
    );
    let error = store.get_many(vec![Get::new("a")]).await.unwrap_err().to_string();
    assert!(error.contains(&format!("line changed from former to {now}")), "{error}");
    let result = store.put_all(vec![put("c", Expect::Absent, b"1")]).await;
    assert!(matches!(result, Err(PutError::Failed(_))), "{result:?}");
    lines.approve(now);
    assert!(value(&store, "b").await.is_some(), "it was written");
    assert!(value(&store, "c").await.is_none());
}
