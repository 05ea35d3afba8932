//! The mounted engine under faults, for as long as wanted: `cargo bench --bench mounted_faults -- --seconds 60`.
//!
//! Starts real vaults that mount the built binary. While clients take codes the plugin process of one is killed twice a second, then one
//! that is alone is killed every five seconds and started again, then the leader of three. Afterwards every code is accounted for. Anything wrong, or a run
//! in which nothing could have gone wrong, ends with exit code 2.

#[path = "../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use support::drill::verdict::verdict;
use support::drill::{Drill, Outcome};
use support::scene::Scene;
use support::signer::Signer;
use support::vault::Vault;

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Fault {
    /// The plugin process is killed.
    Plugin,
    /// The vault is killed and started again, alone.
    Host,
    /// The node of three that writes is killed and started again.
    Leader,
}

/// Takes codes while processes are killed, and accounts for every code.
#[derive(Parser)]
struct Options {
    /// What is killed; each, one after the other, if absent.
    #[arg(long, value_enum)]
    fault: Vec<Fault>,
    /// Length of each run.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Clients that send at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1024))]
    clients: u64,
    /// Codes of each account.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=512))]
    codes: u32,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let faults = if options.fault.is_empty() { Fault::value_variants().to_vec() } else { options.fault.clone() };
    let mut code = ExitCode::SUCCESS;
    for fault in faults {
        let wrong = run(&options, fault);
        if !wrong.is_empty() {
            println!("WRONG: {} findings, first {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
            code = ExitCode::from(2);
        }
    }
    code
}

/// One run; what is wrong with it.
fn run(options: &Options, fault: Fault) -> Vec<String> {
    let (length, codes) = (Duration::from_secs(options.seconds), options.codes as usize);
    let drill = |every| Drill { clients: options.clients, length, every, codes };
    let first = Vault::mounted();
    let scene = Scene::with(first.root(), first.root(), Signer::es256("bench"));
    match fault {
        Fault::Plugin => {
            let drill = drill(Duration::from_millis(500));
            let outcome = drill.run(&[scene.through(first.root(), first.root())], || first.try_kill_plugin());
            told(fault, &drill, &outcome, &scene)
        }
        Fault::Host | Fault::Leader => {
            let mut nodes = match fault {
                Fault::Leader => vec![Vault::standby_of(&first), Vault::standby_of(&first), first],
                _ => vec![first],
            };
            let doors: Vec<Scene> = nodes.iter().map(|node| scene.through(node.root(), node.root())).collect();
            let drill = drill(Duration::from_secs(5));
            let outcome = drill.run(&doors, || Vault::replace_leader(&mut nodes));
            let leader = nodes.iter().find(|node| node.leads()).expect("a leader");
            told(fault, &drill, &outcome, &scene.through(leader.root(), leader.root()))
        }
    }
}

/// Prints the figures; what is wrong.
fn told(fault: Fault, drill: &Drill, outcome: &Outcome, scene: &Scene) -> Vec<String> {
    println!("{fault:?}: {} clients, {} s: {}", drill.clients, drill.length.as_secs(), outcome.figures());
    let mut wrong = verdict(&outcome.given, &drill.books(outcome, scene));
    // What else was acknowledged; it panics where something of it is missing or came twice.
    outcome.beside.look(scene);
    if outcome.given.is_empty() || outcome.faults.is_empty() || outcome.failures.is_empty() {
        wrong.push("nothing could have gone wrong in this run".to_owned());
    }
    if wrong.is_empty() {
        println!("{fault:?}: no code twice, every code on the record, all chains verify");
    }
    wrong
}
