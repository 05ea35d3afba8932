//! What the mounted face costs, beside the vault's own engine in the same run: `cargo bench --bench mounted -- --help`.
//!
//! Starts a real OpenBao (raft storage, file audit, loopback, no TLS) that mounts the binary built beside this program, fills it with
//! accounts, and sends each kind of request in turn, round after round, so that a busy moment of the machine meets all of them.
//! Client, vault and plugin share the processors: read ratios, not rates. Any answer but 200 or 204 makes the run void (exit
//! code 2). Prints a table in Markdown.

#[path = "../tests/support/mod.rs"]
mod support;
mod traffic;
#[path = "mounted/works.rs"]
mod works;

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::runtime::Runtime;

use support::vault::Vault;
use traffic::{Process, Run, send_all};
use works::{CODES, Stage, Work};

/// Measures the mounted engine beside the vault's own.
#[derive(Parser)]
struct Options {
    /// Connections that send at the same time, one row each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64], value_parser = clap::value_parser!(u32).range(1..=512))]
    connections: Vec<u32>,
    /// Requests of each kind in a round at the most connections; fewer where there are fewer.
    #[arg(long, default_value_t = 1_600, value_parser = clap::value_parser!(u32).range(64..=20_000))]
    requests: u32,
    /// Rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Accounts, each with a set of ten codes.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    accounts: u32,
    /// How often the plugin is killed to see how soon the next code comes.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// No new round begins after so many seconds.
    #[arg(long, default_value_t = 240)]
    seconds: u64,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Few connections answer fewer in the same time.
    fn share(&self, connections: u32) -> u32 {
        match connections {
            0..8 => self.requests / 8,
            8..32 => self.requests / 2,
            _ => self.requests,
        }
    }
}

/// One kind of request over so many connections.
struct Row {
    work: Work,
    connections: u32,
    rates: Vec<f64>,
    all: Run,
    vault: Duration,
    plugin: Duration,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let a_round: u32 = options.connections.iter().map(|connections| options.share(*connections)).sum();
    if 2 * (options.rounds + 1) * a_round + options.kills * 4 > options.accounts * CODES {
        eprintln!("mounted: too few accounts for so many requests: each has {CODES} codes");
        return ExitCode::from(1);
    }
    let runtime = Runtime::new().expect("a runtime");
    match Measurement::begin(&options, &runtime).and_then(Measurement::finish) {
        Ok(()) => ExitCode::SUCCESS,
        Err(wrong) => {
            println!("VOID: {wrong}");
            ExitCode::from(2)
        }
    }
}

struct Measurement<'o> {
    options: &'o Options,
    runtime: &'o Runtime,
    vault: Vault,
    stage: Stage,
    rows: Vec<Row>,
}

impl<'o> Measurement<'o> {
    fn begin(options: &'o Options, runtime: &'o Runtime) -> Result<Self, String> {
        let vault = Vault::measured();
        let mut stage = Stage::new(&vault, options.accounts);
        let empty = plugin(&vault).resident_kb;
        for list in stage.fill() {
            let run = runtime.block_on(send_all(vault.address(), 64, list));
            run.wrong.map_or(Ok(()), Err)?;
        }
        let full = plugin(&vault).resident_kb;
        println!("resident memory of the plugin: {empty} kB empty, {full} kB with {} accounts", options.accounts);
        let rows = options.connections.iter().flat_map(|connections| Work::ALL.map(|work| (work, *connections)));
        let rows = rows.map(|(work, connections)| Row {
            work,
            connections,
            rates: Vec::new(),
            all: Run::default(),
            vault: Duration::ZERO,
            plugin: Duration::ZERO,
        });
        Ok(Measurement { rows: rows.collect(), options, runtime, vault, stage })
    }
    fn finish(mut self) -> Result<(), String> {
        let began = Instant::now();
        let mut rounds = 0;
        // Outside the measurement: connections, caches and the vault's own are warm after it.
        for work in Work::ALL {
            self.send(work, 8, self.options.requests / 16)?;
        }
        while rounds < self.options.rounds && began.elapsed() < Duration::from_secs(self.options.seconds) {
            for index in 0..self.rows.len() {
                self.measure(index)?;
            }
            rounds += 1;
        }
        let after = plugin(&self.vault).resident_kb;
        println!("{after} kB after {rounds} rounds\n");
        self.print();
        self.kill();
        Ok(())
    }
    fn send(&mut self, work: Work, connections: u32, count: u32) -> Result<Run, String> {
        let list = self.stage.prepare(work, count);
        let mut run = self.runtime.block_on(send_all(self.vault.address(), connections as usize, list));
        match run.wrong.take() {
            None => Ok(run),
            Some(wrong) => Err(format!("{} was answered otherwise than with success: {wrong}", work.name())),
        }
    }
    fn measure(&mut self, index: usize) -> Result<(), String> {
        let (work, connections) = (self.rows[index].work, self.rows[index].connections);
        let before = (Process::of(self.vault.pid().unwrap_or_default()), plugin(&self.vault));
        let run = self.send(work, connections, self.options.share(connections))?;
        let after = (Process::of(self.vault.pid().unwrap_or_default()), plugin(&self.vault));
        let row = &mut self.rows[index];
        row.rates.push(run.rate());
        row.vault += after.0.busy.saturating_sub(before.0.busy);
        row.plugin += after.1.busy.saturating_sub(before.1.busy);
        row.all.add(run);
        Ok(())
    }
    fn print(&mut self) {
        println!(
            "| | connections | requests/s | p50 ms | p99 ms | beside KV v2 | vault µs | plugin µs | storage calls |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for index in 0..self.rows.len() {
            let beside = self.beside(&self.rows[index]);
            let row = &mut self.rows[index];
            let answers = row.all.times.len().max(1) as u128;
            let each = |busy: Duration| busy.as_micros() / answers;
            println!(
                "| {} | {} | {:.0} | {} | {} | {beside} | {} | {} | {} |",
                row.work.name(),
                row.connections,
                median(row.rates.clone()),
                row.all.percentile(0.5),
                row.all.percentile(0.99),
                each(row.vault),
                each(row.plugin),
                row.work.calls(),
            );
        }
    }
    /// The rate beside that of the vault's own engine: the median over the rounds.
    fn beside(&self, row: &Row) -> String {
        let Some(other) = row.work.beside() else { return String::new() };
        let other = self.rows.iter().find(|one| one.work == other && one.connections == row.connections);
        let other = other.map_or(&[][..], |other| &other.rates);
        let ratios = row.rates.iter().zip(other).map(|(mine, its)| mine / its);
        format!("{:.2}", median(ratios.collect()))
    }
    /// How soon after its end the plugin gives out the next code.
    fn kill(&mut self) {
        let mut times = Vec::new();
        for _ in 0..self.options.kills {
            self.vault.kill_plugin();
            let killed = Instant::now();
            while self.stage.retrieve_once().status != 200 && killed.elapsed() < Duration::from_secs(30) {
                sleep(Duration::from_millis(2));
            }
            times.push(killed.elapsed().as_secs_f64() * 1000.0);
            sleep(Duration::from_millis(200));
        }
        let most = times.iter().copied().fold(0.0, f64::max);
        println!("\nfrom a killed plugin to the next code: median {:.0} ms, at most {most:.0} ms", median(times));
    }
}

/// What the one process of the plugin has used.
fn plugin(vault: &Vault) -> Process {
    let pid = vault.plugin_pids().first().and_then(|pid| u32::try_from(*pid).ok());
    Process::of(pid.unwrap_or_default())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
