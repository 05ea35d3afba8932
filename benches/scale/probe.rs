//! How long requests take, and what the server has in memory.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::server::MOUNT;
use crate::table::Row;
use crate::traffic::{Prepared, Run, send_all};
use crate::world::{World, person};

/// Sends all of them; ends the program if one is answered otherwise than with 200 or 204.
pub async fn sent(world: &World, connections: u32, list: Vec<Prepared>) -> Run {
    let run = send_all(world.address(), connections as usize, list).await;
    if let Some(wrong) = &run.wrong {
        let log = world.server.log();
        panic!("VOID: {wrong}; the server's log ends:\n{}", &log[log.len().saturating_sub(2000)..]);
    }
    run
}

/// Milliseconds within which half, and 99 of 100, were answered.
pub fn p50_p99(run: &mut Run) -> (Value, Value) {
    let number = |text: String| json!(text.parse::<f64>().unwrap_or(0.0));
    (number(run.percentile(0.5)), number(run.percentile(0.99)))
}

/// Numbers below `end` in an order of no pattern that a cache could like, the same in every run, no two alike until all are used up.
pub fn scattered(end: u32, count: u32, seed: u32) -> impl Iterator<Item = u32> {
    // 7,368,787 is a prime above every number of accounts that is a power of ten below it.
    (0..count).map(move |index| ((u64::from(index) + u64::from(seed) * 100_000) * 7_368_787 % u64::from(end)) as u32)
}

/// What one act costs while the store holds `accounts`.
pub async fn acts(world: &World, accounts: u32, probes: u32) -> Row {
    let name = |number: u32| person(number);
    let reads = scattered(accounts, probes, 1).map(|number| world.metadata(&name(number))).collect();
    let (read, read_99) = p50_p99(&mut sent(world, 1, reads).await);
    let reads = scattered(accounts, probes * 4, 2).map(|number| world.metadata(&name(number))).collect();
    let before = busy(world);
    let mut many = sent(world, 64, reads).await;
    let cost_of_read = cost(world, before, &many);
    let (reads_second, (_, reads_99)) = (many.rate() as u64, p50_p99(&mut many));
    let pages = scattered(accounts, 200, 3)
        .map(|number| {
            let after = person(number);
            let after = after.rsplit('/').next().unwrap_or_default().to_owned();
            world.get(&format!("accounts/okta?list=true&limit=100&after={after}"))
        })
        .collect();
    let (list, list_99) = p50_p99(&mut listed(world, pages).await);
    let (folders, _) = p50_p99(&mut sent(world, 1, (0..100).map(|_| world.get("accounts?list=true")).collect()).await);
    let one = scattered(accounts, probes, 4).map(|number| world.retrieve(&name(number), number)).collect();
    let (single, single_99) = p50_p99(&mut sent(world, 1, one).await);
    let lot = scattered(accounts, probes * 4, 5).map(|number| world.retrieve(&name(number), number)).collect();
    let before = busy(world);
    let mut many = sent(world, 64, lot).await;
    let cost_of_retrieve = cost(world, before, &many);
    let (rate, (p50, p99)) = (many.rate() as u64, p50_p99(&mut many));
    vec![
        ("retrieve p50 ms", single),
        ("p99 ms", single_99),
        ("retrieve × 64: a second", json!(rate)),
        ("× 64: p50 ms", p50),
        ("× 64: p99 ms", p99),
        ("retrieve: server µs", cost_of_retrieve),
        ("metadata p50 ms", read),
        ("metadata p99 ms", read_99),
        ("metadata × 64: a second", json!(reads_second)),
        ("metadata × 64: p99 ms", reads_99),
        ("metadata: server µs", cost_of_read),
        ("LIST of 100 p50 ms", list),
        ("LIST p99 ms", list_99),
        ("LIST of folders p50 ms", folders),
    ]
}

/// A page behind the last name is none.
async fn listed(world: &World, pages: Vec<Prepared>) -> Run {
    let run = send_all(world.address(), 1, pages).await;
    assert!(run.wrong.is_none() || run.counts().contains("200"), "VOID: {:?}", run.wrong);
    run
}

/// Processor time of all threads of the server so far, as the scheduler counts it: other programs on the machine do not show in it.
pub fn busy(world: &World) -> Duration {
    let threads = fs::read_dir(format!("/proc/{}/task", world.server.pid().unwrap_or_default())).into_iter().flatten();
    let spent = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

/// Microseconds of the server's processor for each answer of `run`, since `before`.
pub fn cost(world: &World, before: Duration, run: &Run) -> Value {
    json!((busy(world).saturating_sub(before).as_micros() as u64) / run.times.len().max(1) as u64)
}

/// Resident memory of a process in megabytes: now, and at most since [`forget_peak`].
pub fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (read("VmRSS:"), read("VmHWM:"))
}

/// Begins a new peak, where the system lets us.
pub fn forget_peak(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// The answer to a read with the root token.
pub fn read(world: &World, path: &str) -> Value {
    world.server.root().read(&format!("{MOUNT}/{path}")).expect(200).data()
}
