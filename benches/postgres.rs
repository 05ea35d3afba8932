//! What an act costs on PostgreSQL: six records read and three written, by one caller and by many, on one node and on three, with
//! statements that the server keeps and without. A temporary server is started; its files lie in memory where there is such a
//! place, so that what is measured is work and not a disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sparekey::random::OsRandom;
use sparekey::storage::postgres::{ConnectionUrl, Options, Postgres, Table};
use sparekey::storage::{Expect, Found, Get, Storage as _, Write};

#[path = "../tests/support/debian.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod debian;
#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, reason = "shared with tests that use the rest of it")]
mod postgres_server;

/// The size of an account's record with ten codes.
const RECORD: usize = 3000;
const SHARED: [&str; 4] = ["config", "keyring", "roles/on-call", "issuers/idp"];
const SPAN: Duration = Duration::from_secs(3);

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!(
        "| nodes | callers | statements | acts/s | p50 ms | p99 ms | WAL bytes an act |\n|---|---|---|---|---|---|---|"
    );
    for (nodes, callers) in [(1, 1), (1, 16), (1, 128), (3, 128)] {
        for prepared in [false, true] {
            let before = written();
            let mut times = runtime.block_on(measure(nodes, callers, prepared));
            let wal = (written() - before) / times.len() as u64;
            times.sort_unstable();
            let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
            let rate = times.len() as f64 / SPAN.as_secs_f64();
            let kept = if prepared { "kept" } else { "sent" };
            println!("| {nodes} | {callers} | {kept} | {rate:.0} | {:.2} | {:.2} | {wal} |", at(0.5), at(0.99));
        }
    }
}

/// Bytes that the server ever wrote to its log, which a standby gets too.
fn written() -> u64 {
    postgres_server::shared().sql("SELECT (pg_current_wal_lsn() - '0/0')::bigint").trim().parse().expect("a number")
}

async fn measure(nodes: usize, callers: usize, prepared: bool) -> Vec<Duration> {
    let server = postgres_server::shared();
    let mut options = Options::new(ConnectionUrl::new(server.url().into()));
    options.table = Table::parse(&postgres_server::table()).expect("a name");
    options.prepared_statements = prepared;
    let mut stores = Vec::new();
    for _ in 0..nodes {
        stores.push(Arc::new(Postgres::open(&options).await.expect("the store opens")));
    }
    for key in SHARED {
        stores[0].put_all(vec![Write::create(key, vec![0; 500], &OsRandom)]).await.expect("written");
    }
    let end = Instant::now() + SPAN;
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let store = Arc::clone(&stores[caller % nodes]);
        tasks.spawn(async move {
            let mut times = Vec::new();
            let account = format!("accounts/{caller}");
            store.put_all(vec![Write::create(&account, vec![1; RECORD], &OsRandom)]).await.expect("written");
            let mut shared = SHARED.map(Get::new);
            while Instant::now() < end {
                let began = Instant::now();
                let mut gets = shared.to_vec();
                gets.extend([Get::new(&account), Get::new(format!("claims/{caller}/{}", times.len()))]);
                let found = store.get_many(gets).await.expect("read");
                for (get, found) in shared.iter_mut().zip(&found) {
                    if let Found::Value(_, at) = found {
                        get.known = Some(*at);
                    }
                }
                let (Some(keyring), Found::Value(_, at)) = (shared[1].known, &found[4]) else { panic!("{found:?}") };
                let claim = Write::create(format!("claims/{caller}/{}", times.len()), vec![2; 200], &OsRandom);
                let burn = Write::put(&account, Expect::At(*at), vec![1; RECORD], &OsRandom);
                store.put_all(vec![claim, Write::check("keyring", keyring), burn]).await.expect("written");
                times.push(began.elapsed());
            }
            times
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}
