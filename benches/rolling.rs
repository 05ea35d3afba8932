//! An upgrade without downtime, measured: `cargo bench --bench rolling -- --help`.
//!
//! Three server processes over one PostgreSQL on this machine, ordinary clients that go on to the next node where one refuses, and each node
//! ended by SIGTERM and started again in turn. Prints how long requests took, their repeats included, in the quiet time and while
//! nodes were replaced. Clients, nodes and database share the processors. Ends with a panic if a request failed, a code left twice or
//! a ledger says anything else than what the clients saw.

#[path = "../tests/rolling/nodes.rs"]
mod nodes;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/rolling/ways.rs"]
mod ways;
#[path = "../tests/rolling/work.rs"]
mod work;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;

use nodes::Nodes;
use support::postgres;
use support::server::BINARY;
use ways::Missed;
use work::{Ends, Load, Timed, row};

/// Measures what clients see of an upgrade.
#[derive(Parser)]
struct Options {
    /// Clients that work at the same time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Milliseconds each of them waits before its next request.
    #[arg(long, default_value_t = 20)]
    pause: u64,
    /// Seconds of quiet before the first node is replaced.
    #[arg(long, default_value_t = 20)]
    quiet: u64,
    /// How often all three are replaced.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds between two nodes.
    #[arg(long, default_value_t = 1)]
    between: u64,
    /// The nodes' `shutdown_delay`, in seconds. These clients do not ask `sys/health`.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// The program that runs at first [this build].
    #[arg(long)]
    from: Option<PathBuf>,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let from = options.from.clone().unwrap_or_else(|| BINARY.into());
    let storage = postgres::shared().storage(&postgres::table());
    let mut nodes = Nodes::start(&from, &storage, &format!("shutdown_delay = {}", options.delay));
    let root = nodes.servers[0].root();
    work::prepare(&nodes.scene, &root);
    let (missed, stop) = (Missed::default(), AtomicBool::new(false));
    let addresses = nodes.addresses();
    let scene = nodes.scene.through(root.clone(), nodes.servers[0].client());
    let token = nodes.servers[0].root_token().to_owned();
    let load = Load { clients: options.clients, pause: Duration::from_millis(options.pause) };
    let began = Instant::now();
    let (seen, replaced) = std::thread::scope(|scope| {
        let working = scope.spawn(|| work::run(&scene, &token, &addresses, load, &missed, &stop));
        sleep(Duration::from_secs(options.quiet));
        let _ends = Ends(&stop);
        let mut replaced = Vec::new();
        for _ in 0..options.rounds {
            replaced.push(nodes.replace_each(BINARY.as_ref(), Duration::from_secs(options.between)));
        }
        stop.store(true, Ordering::Relaxed);
        (working.join().expect("every request was answered as it must be"), replaced)
    });
    work::compare(&root, &seen);
    let first = replaced.first().map_or(began, |(from, _)| *from);
    let (quiet, during): (Vec<Timed>, Vec<Timed>) = seen.times.iter().partition(|time| time.sent < first);
    println!("{} clients, {} processors, {} nodes replaced", load.clients, processors(), 3 * options.rounds);
    println!("| | requests | a second | p50 ms | p99 ms | longest ms |\n|---|---|---|---|---|---|");
    let last = replaced.last().map_or(began, |(_, to)| *to);
    println!("{}", row("quiet", quiet, first - began));
    println!("{}", row("while nodes are replaced", during, last - first));
    println!("{} requests were sent more than once: {missed:?}", seen.repeated);
    println!("no request failed, no code left twice, {} ledgers say what the clients saw", seen.acts.len());
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
