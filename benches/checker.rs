//! The checker for as long as wanted: `cargo bench --profile dev --bench checker -- --form redb --seconds 600 --seed 1`.
//!
//! Rounds of their own, each on a fresh engine and with a seed of its own, until the time is up: seeded clients act at random while the
//! engine is being broken, and a judge holds what they saw against what the engine says of itself. The log of a round in which anything was
//! wrong stays, and is judged again with `--judge FILE`; `--seed N --rounds 1` plays the same acts and faults once more, as far as timing
//! allows. Ends with exit code 2 if anything was wrong, or if nothing could have gone wrong.

#[path = "../tests/inprocess/mod.rs"]
mod inprocess;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/checker/trial/mod.rs"]
mod trial;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use trial::judge::{Breach, Kind, judge};
use trial::log::Log;
use trial::stand::Stand;
use trial::stand::layered::Layered;
use trial::stand::mounted::Mounted;
use trial::stand::postgres::Postgres;
use trial::stand::redb::Redb;
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
    /// What is tried; each in turn, a round each, if absent.
    #[arg(long, value_enum)]
    form: Vec<Form>,
    /// How long altogether.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    seconds: u64,
    /// How long clients act in a round.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    round: u64,
    /// At most so many rounds.
    #[arg(long)]
    rounds: Option<u64>,
    /// What the first round is drawn from; each later one from the next number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
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
    let began = Instant::now();
    let mut total = Total::default();
    for round in 0..options.rounds.unwrap_or(u64::MAX) {
        if began.elapsed() >= Duration::from_secs(options.seconds) {
            break;
        }
        let seed = options.seed + round;
        let form = forms[(round % forms.len() as u64) as usize];
        let outcome = one(&options, form, seed);
        println!("{form:?}, seed {seed}, {} clients: {}", options.clients, outcome.figures());
        if options.keep || !outcome.verdict.breaches.is_empty() {
            std::fs::create_dir_all(&options.logs).expect("a folder for logs");
            let file = options.logs.join(format!("{form:?}-{seed}.jsonl").to_lowercase());
            outcome.log.write(BufWriter::new(File::create(&file).expect("a log"))).expect("a log is written");
            println!("  its log: {}", file.display());
        }
        total.add(form, seed, outcome);
    }
    println!("{}", total.figures(began.elapsed()));
    ended(&total.breaches, total.seen > 0 && !total.faults.is_empty())
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

/// All rounds together.
#[derive(Default)]
struct Total {
    acts: usize,
    tries: usize,
    seen: usize,
    unseen: usize,
    unopened: usize,
    entries: usize,
    faults: BTreeMap<String, usize>,
    seeds: BTreeMap<String, Vec<u64>>,
    breaches: Vec<Breach>,
}

impl Total {
    fn add(&mut self, form: Form, seed: u64, outcome: Outcome) {
        self.acts += outcome.acts;
        self.tries += outcome.log.tries.len();
        self.seen += outcome.verdict.seen;
        self.unseen += outcome.verdict.unseen;
        self.unopened += outcome.verdict.unopened;
        self.entries += outcome.verdict.entries;
        outcome.faults.into_iter().for_each(|(kind, count)| *self.faults.entry(kind).or_default() += count);
        self.seeds.entry(format!("{form:?}").to_lowercase()).or_default().push(seed);
        let named = |breach: Breach| Breach::new(breach.kind, format!("{form:?}, seed {seed}: {}", breach.words));
        self.breaches.extend(outcome.verdict.breaches.into_iter().map(named));
    }
    fn figures(&self, elapsed: Duration) -> String {
        let mut text = format!(
            "ALL: {} acts in {} s, {} tries, {} codes seen or accepted, {} burnt and seen by nobody, {} wrapped and never opened, {} \
             entries compared\n",
            self.acts,
            elapsed.as_secs(),
            self.tries,
            self.seen,
            self.unseen,
            self.unopened,
            self.entries
        );
        for (kind, count) in &self.faults {
            text += &format!("  fault  {count:>8}  {kind}\n");
        }
        for kind in Kind::ALL {
            let count = self.breaches.iter().filter(|breach| breach.kind == kind).count();
            text += &format!("  judged {count:>8}  {}\n", kind.words());
        }
        for (form, seeds) in &self.seeds {
            text +=
                &format!("  seeds of {form}: {} to {} ({} rounds)\n", seeds[0], seeds[seeds.len() - 1], seeds.len());
        }
        text
    }
}
