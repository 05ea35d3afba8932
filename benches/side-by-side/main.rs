//! Sparekey beside a real OpenBao, in one run on one machine: `cargo bench --bench side-by-side -- --help`.
//!
//! Fetches OpenBao (into `target/provision`), starts both servers on loopback with what the page says (both durable, both with an
//! audit file that is written for every request), and drives them in turn, round after round, with one load program. Any answer but
//! the expected one makes a work void (exit code 2). Results go to `target/side-by-side/` as JSON, one file a work, and from all that
//! are there a page with a table and charts is written: `docs/benchmarks.md` by a full run, beside the JSON by a short one.

mod side;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::Parser;

use side::results::{Kept, Outcome};
use side::stage::{Plan, Stage};
use side::{floor, load, machine, page, works};

/// Measures Sparekey beside OpenBao.
#[derive(Parser)]
struct Options {
    /// Everything, at length: about an hour and a half, on a machine that does nothing else.
    #[arg(long)]
    full: bool,
    /// A moment of everything, to see that it works. What it measures says nothing.
    #[arg(long, conflicts_with = "full")]
    smoke: bool,
    /// Only this work; may be given often. The page still shows what was measured before.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(works::ALL.iter().map(|work| work.0)))]
    work: Vec<String>,
    /// Leave out works that this very build was measured in already: goes on where a run was stopped.
    #[arg(long)]
    resume: bool,
    /// Drive Sparekey only, with nothing beside it: for whoever changes something and looks what it did. Its results lie apart.
    #[arg(long)]
    alone: bool,
    /// Measure nothing; only write the page from what is there.
    #[arg(long)]
    page: bool,
    /// Write the page of a short run to docs/, too.
    #[arg(long)]
    docs: bool,
    /// Rounds, if not as many as usual.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds for which each is driven in a round, if not as long as usual.
    #[arg(long)]
    seconds: Option<f64>,
    /// Run the floor: this program starts itself so.
    #[arg(long, hide = true, value_enum, requires = "folder")]
    serve: Option<floor::Kind>,
    #[arg(long, hide = true)]
    folder: Option<PathBuf>,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let (Some(kind), Some(folder)) = (options.serve, &options.folder) {
        floor::program(kind, folder);
        return ExitCode::SUCCESS;
    }
    if let Err(error) = listen_for_signals() {
        eprintln!("side-by-side: signals cannot be heard: {error}");
        return ExitCode::FAILURE;
    }
    let kept = Kept::new(if options.full {
        "full"
    } else if options.smoke {
        "smoke"
    } else {
        "short"
    });
    let whole = options.page || measure(&options, &kept);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let place = if !options.alone && (options.full || options.docs) { docs.as_path() } else { kept.folder() };
    match page::write(&kept, options.full, place) {
        Ok(path) => eprintln!("written: {}", path.display()),
        Err(error) => {
            eprintln!("side-by-side: the page cannot be written: {error}");
            return ExitCode::FAILURE;
        }
    }
    if whole { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// Runs what was asked for; whether all of it counts.
fn measure(options: &Options, kept: &Kept) -> bool {
    let mut plan = match (options.full, options.smoke) {
        (true, _) => Plan::full(),
        (_, true) => Plan::smoke(),
        _ => Plan::short(),
    };
    plan.extent.rounds = options.rounds.unwrap_or(plan.extent.rounds).max(1);
    plan.extent.seconds = options.seconds.unwrap_or(plan.extent.seconds);
    plan.extent.alone = options.alone;
    let (build, begun) = (machine::build(), Instant::now());
    let stage = Stage::new(plan);
    let wanted = |name: &str| options.work.is_empty() || options.work.iter().any(|work| work == name);
    let done = |name: &str| {
        options.resume && kept.load(name).is_some_and(|outcome| outcome.void.is_none() && outcome.build == build)
    };
    let works: Vec<_> = works::ALL.iter().filter(|(name, _)| wanted(name) && !done(name)).collect();
    let mut whole = true;
    for (index, (name, work)) in works.iter().enumerate() {
        eprintln!("[{}/{} {:>4.0} s] {name}", index + 1, works.len(), begun.elapsed().as_secs_f64());
        let outcome = one(&stage, *work, &build);
        if load::STOPPED.load(Ordering::Relaxed) {
            eprintln!("stopped in the middle of it; --resume begins with it");
            return false;
        }
        if let Some(void) = &outcome.void {
            eprintln!("  VOID: {void}");
            whole = false;
        }
        kept.save(name, &outcome);
    }
    eprintln!("measured in {:.0} s", begun.elapsed().as_secs_f64());
    whole
}

fn one(stage: &Stage, work: fn(&Stage) -> Result<Outcome, String>, build: &str) -> Outcome {
    let begun = Instant::now();
    // A server that does not start panics with its log: the other works go on.
    let done = catch_unwind(AssertUnwindSafe(|| work(stage)));
    let mut outcome = match done {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(void)) => Outcome { void: Some(void), ..Outcome::default() },
        Err(_) => {
            Outcome { void: Some("it could not be set up; the reason stands above".into()), ..Outcome::default() }
        }
    };
    outcome.at = support::signer::now();
    build.clone_into(&mut outcome.build);
    outcome.full = stage.plan.full;
    outcome.seconds = begun.elapsed().as_secs_f64();
    for figure in &outcome.figures {
        let values: Vec<String> = figure.values.iter().map(|value| format!("{value:.1}")).collect();
        eprintln!("  {}: {} {}", figure.words, values.join(", "), figure.unit);
    }
    outcome
}

/// Asked to stop it ends its servers first, by returning from what it does.
fn listen_for_signals() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
            load::STOPPED.store(true, Ordering::Relaxed);
        });
    });
    Ok(())
}
