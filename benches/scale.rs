//! How Sparekey grows: `cargo bench --bench scale -- --storage redb --accounts 1000000`, or `--dimension ledger`.
//!
//! Starts the server built beside it, imports accounts of ten codes each over HTTP, and at 10³, 10⁴ … accounts measures what one act
//! costs, how much disk an account takes and how much memory the server has. Then the work on whole stores: start, doctor, re-wrapping,
//! backup, restore, moving to another store, the posture report. With `--dimension` one other thing grows: entries of a ledger, codes of a
//! set, roles, issuers, connections, nodes. Every row goes to standard output and, as JSON and Markdown, to `target/scale/`.
//!
//! Client and server share the processor. An answer that was not expected ends the run.

#[path = "scale/dimension.rs"]
mod dimension;
#[path = "scale/growth.rs"]
mod growth;
#[path = "scale/probe.rs"]
mod probe;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "scale/table.rs"]
mod table;
mod traffic;
#[path = "scale/upkeep.rs"]
mod upkeep;
#[path = "scale/world.rs"]
mod world;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use table::Table;
use world::World;

/// Where records lie.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// The embedded store.
    Redb,
    /// A temporary PostgreSQL of this machine.
    Postgres,
}

impl Store {
    /// As the command line says it.
    pub const fn word(self) -> &'static str {
        match self {
            Store::Redb => "redb",
            Store::Postgres => "postgres",
        }
    }
}

/// What grows, if not the number of accounts.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dimension {
    Ledger,
    Set,
    Roles,
    Issuers,
    Connections,
    Nodes,
}

/// Measures how costs grow.
#[derive(Parser)]
pub struct Options {
    /// Where records lie.
    #[arg(long, value_enum, default_value = "redb")]
    storage: Store,
    /// Accounts in the end; measured at every power of ten from 1,000 on.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    accounts: u32,
    /// Let this grow and not the accounts.
    #[arg(long, value_enum)]
    dimension: Option<Dimension>,
    /// The largest step of the dimension; each has a limit of its own.
    #[arg(long, default_value_t = u32::MAX)]
    most: u32,
    /// Connections that import at the same time.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=512))]
    importers: u32,
    /// Retrievals at one connection; four times as many at 64.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=2_000))]
    probes: u32,
    /// Leave out the work on the whole store.
    #[arg(long)]
    growth_only: bool,
    /// Leave the server's folder, store and all, where it is in the end.
    #[arg(long)]
    keep: bool,
    /// Where the tables go.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/scale"))]
    out: PathBuf,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let name = match options.dimension {
        None => format!("accounts-{}", options.storage.word()),
        Some(dimension) => {
            let word = dimension.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            format!("{word}-{}", options.storage.word())
        }
    };
    let mut table = Table::begin(&options.out, &name);
    runtime.block_on(async {
        match options.dimension {
            None => {
                let mut world = World::start(options.storage);
                if options.keep {
                    world.server.keep();
                    println!("in {}", world.server.dir().display());
                }
                growth::run(&mut world, &options, &mut table).await;
                if !options.growth_only {
                    upkeep::run(&mut world, &mut table);
                }
            }
            Some(Dimension::Ledger) => dimension::ledger(&options, &mut table).await,
            Some(Dimension::Set) => dimension::set(&options, &mut table).await,
            Some(Dimension::Roles) => dimension::roles(&options, &mut table).await,
            Some(Dimension::Issuers) => dimension::issuers(&options, &mut table).await,
            Some(Dimension::Connections) => dimension::connections(&options, &mut table).await,
            Some(Dimension::Nodes) => dimension::nodes(&mut table).await,
        }
    });
    table.end();
}
