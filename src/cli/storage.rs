//! `sparekey storage migrate`: everything that one store holds goes into another, whatever kinds they are.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::client::Failure;
use crate::cli::console::Console;
use crate::cli::offline;
use crate::cli::progress::{Progress, rate};
use crate::crypto::keyring::Keyring;
use crate::engine::keys;
use crate::process;
use crate::random::OsRandom;
use crate::storage::{Found, Get, Storage, copy};

const EXAMPLES: &str = "\
Examples:
  sparekey storage migrate --from /etc/sparekey-redb.hcl --to /etc/sparekey-postgres.hcl
  sparekey storage migrate --from /etc/sparekey-postgres.hcl --to /etc/sparekey-redb.hcl

No key is needed: records go as they lie, sealed, with their revisions. Stop every server of the source first. Of a running one, take
a backup and restore it into the target instead.

Where it is cut off, run it again: it goes on with what is missing. Until it has read the target through and found it the same,
no server starts on it. A target with anything else in it is refused and left as it is.

Never start a server on the old store again: it would give out codes that the new one has given out.

Exit codes:
  0  source and target hold the same
  1  wrong usage, or cut off: run it again";

/// Work on whole stores.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Copy everything from the store that one configuration names into the empty one that another names.
    Migrate(Migrate),
}

#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
struct Migrate {
    /// Configuration file that names the store to read
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Configuration file that names the store to fill
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `sparekey storage …`.
pub fn run(args: Args) -> ExitCode {
    process::harden();
    let mut console = Console::standard();
    let Command::Migrate(args) = args.command;
    match migrate(&args, &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.complain(&format!("sparekey storage migrate: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn migrate(args: &Migrate, console: &mut Console) -> Result<(), Failure> {
    let (from, to) = (offline::config(&args.from)?, offline::config(&args.to)?);
    if from.storage == to.storage {
        return Err(Failure::local("both configurations name the same store"));
    }
    offline::runtime()?.block_on(async {
        let source = offline::storage(&from.storage, false).await?;
        let mount_id = mount_id(&source).await?;
        let target = offline::storage(&to.storage, true).await?;
        let snapshot = source.snapshot().await.map_err(|error| Failure::local(error.to_string()))?;
        let mut progress = Progress::new(false);
        let mut told = |count| progress.tell(|time| format!("{count} records, {} a second", rate(count, time)));
        let copied = copy::copy(snapshot, target, &mount_id, &OsRandom, &mut told).await;
        progress.end();
        let copied = copied.map_err(|error| Failure::local(error.to_string()))?;
        let digest = hex::encode(copied.digest);
        if args.json {
            let result = serde_json::json!({"records": copied.records, "written": copied.written, "sha256": digest});
            console.say(&result.to_string());
        } else {
            let there = copied.records - copied.written;
            console.say(&format!("moved: {} records, {there} of them were there already", copied.records));
            console.say(&format!("Both stores were read and hold the same (SHA-256 {digest})."));
            console.say("Never start a server on the old store again: it would give out codes a second time.");
        }
        Ok(())
    })
}

/// Of which mount the store is.
async fn mount_id(store: &Arc<dyn Storage>) -> Result<[u8; 16], Failure> {
    let found =
        store.get_many(vec![Get::new(keys::KEYRING)]).await.map_err(|error| Failure::local(error.to_string()))?;
    match found.into_iter().next() {
        Some(Found::Value(bytes, _)) => Keyring::mount_id_of(&bytes)
            .ok_or_else(|| Failure::local("the keyring in the source is damaged: `sparekey doctor` says more")),
        _ => Err(Failure::local("the source was never initialised: there is nothing to move")),
    }
}
