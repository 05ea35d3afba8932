//! The checker for as long as wanted: `cargo bench --profile dev --bench checker -- --form redb --seconds 600 --seed 1`.
//!
//! Rounds of their own, each on a fresh engine and with a seed of its own, until the time is up or, with `--acts` and `--kills`, until there
//! were so many: seeded clients act at random while the engine is being broken, and a judge holds what they saw against what the engine
//! says of itself. `--add-to FILE` keeps the figures and goes on from those of earlier sittings on the same build:
//!
//! `cargo bench --bench checker -- --form redb --form postgres --form mounted --acts 1000000 --kills 1000 --add-to target/checker/long.json`
//!
//! The log of a round in which anything was wrong stays, and is judged again with `--judge FILE`; `--seed N --rounds 1` plays the same
//! acts and faults once more, as far as timing allows. Ends with exit code 2 if anything was wrong, or if nothing could have gone wrong.

#[path = "../tests/inprocess/mod.rs"]
mod inprocess;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/checker/trial/mod.rs"]
mod trial;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use trial::judge::{Breach, judge};
use trial::log::Log;
use trial::stand::Stand;
use trial::stand::layered::Layered;
use trial::stand::mounted::Mounted;
use trial::stand::postgres::Postgres;
use trial::stand::redb::Redb;
use trial::tally::{Figures, Tally};
use trial::{Outcome, Trial};

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Form {
    /// One server on a redb file.
    Redb,
    /// Two nodes in this process over one store that fails, by clocks that jump.
    Layered,
    /// Three servers over one PostgreSQL.
    Postgres,
    /// A plugin of a real vault.
    Mounted,
}

/// Acts at random on an engine that is being broken, and judges what came of it.
#[derive(Parser)]
struct Options {
    /// What is tried, in this order and over again, a round each; one that is named twice has twice the share. All forms if absent.
    #[arg(long, value_enum)]
    form: Vec<Form>,
    /// How long altogether [a minute, or as long as `--acts` and `--kills` take].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    seconds: Option<u64>,
    /// Go on until clients began so many acts, those in `--add-to` included.
    #[arg(long, default_value_t = 0)]
    acts: usize,
    /// Go on until so many processes were killed, too.
    #[arg(long, default_value_t = 0)]
    kills: usize,
    /// Add the figures to those in this file, after every round.
    #[arg(long, value_name = "FILE")]
    add_to: Option<PathBuf>,
    /// How long clients act in a round.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    round: u64,
    /// At most so many rounds.
    #[arg(long)]
    rounds: Option<u64>,
    /// What the first round of a form is drawn from; each later one from the next number [1, or the first that `--add-to` has not
    /// seen].
    #[arg(long)]
    seed: Option<u64>,
    /// Clients that act at the same time.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=512))]
    clients: u64,
    /// Accounts that they meet at.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(5..=10_000))]
    accounts: u64,
    /// From one fault to the next, in milliseconds, on average a little less.
    #[arg(long, default_value_t = 700, value_parser = clap::value_parser!(u64).range(20..=600_000))]
    every: u64,
    /// Where logs of rounds are kept in which something was wrong.
    #[arg(long, default_value = "target/checker")]
    logs: PathBuf,
    /// Keep the logs of all rounds.
    #[arg(long)]
    keep: bool,
    /// Judge this log and do nothing else.
    #[arg(long, value_name = "FILE")]
    judge: Option<PathBuf>,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(file) = &options.judge {
        let log = Log::read(File::open(file).expect("the log opens")).expect("a log, one JSON object a line");
        let verdict = judge(&log);
        println!("{}, seed {}: {} tries", log.terms.form, log.terms.seed, log.tries.len());
        return ended(&verdict.breaches, verdict.entries > 0);
    }
    let forms = if options.form.is_empty() { Form::value_variants().to_vec() } else { options.form.clone() };
    let mut tally = Tally::new(Path::new(support::server::BINARY)).expect("the server's file is read");
    if let Some(file) = &options.add_to {
        tally = tally.go_on(file).unwrap_or_else(|error| panic!("--add-to: {error}"));
    }
    let seed = options.seed.or(tally.next_seed()).unwrap_or(1);
    let (began, mut wrong) = (Instant::now(), Vec::new());
    let mut played: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..options.rounds.unwrap_or(u64::MAX) {
        if options.are_met(&tally, began.elapsed()) {
            break;
        }
        let form = forms[(round % forms.len() as u64) as usize];
        let name = format!("{form:?}").to_lowercase();
        // Each form has every seed: what a stand makes of one must not depend on whose turn it is.
        let before = played.entry(name.clone()).or_default();
        let seed = seed + *before;
        *before += 1;
        let outcome = one(&options, form, seed);
        println!("{name}, seed {seed}, {} clients: {}", options.clients, outcome.figures());
        if options.keep || !outcome.verdict.breaches.is_empty() {
            std::fs::create_dir_all(&options.logs).expect("a folder for logs");
            let file = options.logs.join(format!("{name}-{seed}.jsonl"));
            outcome.log.write(BufWriter::new(File::create(&file).expect("a log"))).expect("a log is written");
            println!("  its log: {}", file.display());
        }
        tally.add(&name, seed, &Figures::of(&outcome, options.round as f64));
        if let Some(file) = &options.add_to {
            tally.keep(file).expect("the figures are written down");
        }
        println!("{} after {} s", tally.line(), began.elapsed().as_secs());
        let named = |breach: Breach| Breach::new(breach.kind, format!("{name}, seed {seed}: {}", breach.words));
        wrong.extend(outcome.verdict.breaches.into_iter().map(named));
    }
    println!("{}", tally.text());
    ended(&wrong, tally.all.seen > 0 && !tally.all.faults.is_empty())
}

impl Options {
    /// Whether all numbers that were asked for are reached, or the time is up.
    fn are_met(&self, tally: &Tally, elapsed: Duration) -> bool {
        let counted = self.acts > 0 || self.kills > 0;
        let seconds = self.seconds.or((!counted).then_some(60)).map_or(Duration::MAX, Duration::from_secs);
        elapsed >= seconds || (counted && tally.all.acts >= self.acts && tally.all.kills >= self.kills)
    }
}

/// One round.
fn one(options: &Options, form: Form, seed: u64) -> Outcome {
    let mut stand: Box<dyn Stand> = match form {
        Form::Redb => Box::new(Redb::start(seed)),
        Form::Layered => Box::new(Layered::start(seed, true)),
        Form::Postgres => Box::new(Postgres::start(seed)),
        Form::Mounted => Box::new(Mounted::start(seed)),
    };
    let trial = Trial {
        seed,
        length: Duration::from_secs(options.round),
        clients: options.clients as usize,
        accounts: options.accounts as usize,
        every: Duration::from_millis(options.every),
        tells: true,
    };
    trial.run(stand.as_mut())
}

fn ended(breaches: &[Breach], could: bool) -> ExitCode {
    for breach in breaches.iter().take(40) {
        println!("WRONG: {breach}");
    }
    if !could {
        println!("WRONG: nothing could have gone wrong in this run");
    }
    match breaches.is_empty() && could {
        true => {
            println!("nothing was wrong");
            ExitCode::SUCCESS
        }
        false => ExitCode::from(2),
    }
}
