//! `sparekey restore`: a backup becomes a store again, whole or not at all.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::backup::{BackupError, Header, Reader, Records};
use crate::cli::client::Failure;
use crate::cli::console::Console;
use crate::cli::offline;
use crate::cli::progress::{Progress, mebibytes, rate};
use crate::cli::quarantine;
use crate::config::{Config, StorageChoice};
use crate::crypto::keyring::Keyring;
use crate::process;
use crate::random::OsRandom;
use crate::storage::copy::{self, Copied, CopyError};
use crate::storage::memory::Memory;
use crate::storage::snapshot::Snapshot;
use crate::storage::{Change, Expect, Storage, Write};

mod mark;
mod place;

use place::Place;

const EXAMPLES: &str = "\
Examples:
  Into the empty store that a configuration names, with unseal keys on the terminal, or one a line:
    sparekey restore sparekey.backup --config /etc/sparekey.hcl < keys.txt
  Check a backup from beginning to end, and write nothing:
    sparekey restore sparekey.backup --config /etc/sparekey.hcl --check
  What can be read of it without any key:
    sparekey restore sparekey.backup --show

The unseal keys are those of the time of the backup; under a static seal the configuration names that time's key (previous_key
serves for an older one). An embedded store is built beside its place, verified, and only then put there; what was cut off is
begun or gone on with by running it again.

What happened after the backup is not in it: codes that were dispensed since would be given out again. So the store says that
it was restored, wherever it is started, and gives none until you have said `sparekey restore accept` (docs/restoring.md).

Exit codes:
  0  the store is restored, or the backup is sound
  1  wrong usage, or the store cannot be written; what was there is as it was
  2  the backup is damaged, cut short, or not opened by these keys";

/// Put a backup into an empty store, or check one; accept a store that was put back.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    /// The backup
    #[arg(value_name = "FILE", required = true)]
    pub file: Option<PathBuf>,
    /// Configuration file of the server: names the store and the seal
    #[arg(long, value_name = "FILE", required_unless_present = "show")]
    pub config: Option<PathBuf>,
    /// Set an embedded store that is there aside, as its name with .before-restore, and take its place
    #[arg(long, conflicts_with_all = ["check", "show"])]
    pub force: bool,
    /// Read and verify everything, write nothing
    #[arg(long, conflicts_with = "show")]
    pub check: bool,
    /// Tell only what can be read without a key
    #[arg(long)]
    pub show: bool,
    /// Say nothing unless something is wrong
    #[arg(long)]
    pub quiet: bool,
    #[command(subcommand)]
    waiting: Option<quarantine::Command>,
}

/// Runs the subcommand on this process's console.
pub fn run(args: Args) -> ExitCode {
    if let Some(command) = args.waiting {
        return quarantine::run(command);
    }
    process::harden();
    let mut console = Console::standard();
    match restore(&args, &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.complain(&format!("sparekey restore: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Does what `args` say.
pub fn restore(args: &Args, console: &mut Console) -> Result<(), Failure> {
    // The command line has seen to it that there is one.
    let path = args.file.as_deref().unwrap_or(Path::new(""));
    let file = File::open(path).map_err(|error| Failure::local(format!("{}: {error}", path.display())))?;
    let reader = Reader::open(BufReader::with_capacity(1 << 20, file)).map_err(damaged)?;
    let Some(config) = args.config.as_deref().filter(|_| !args.show) else {
        return show(reader, console);
    };
    let config = offline::config(config)?;
    offline::runtime()?.block_on(async {
        let header = reader.header().clone();
        let root = offline::unseal(&config, &sealed(&header).await?, console).await.map_err(|failure| {
            Failure::refused(format!("{failure} (the keys of the time of the backup are wanted: {})", header.made_at))
        })?;
        let keyring = header.open_keyring(&root).map_err(damaged)?;
        let records = reader.unlock(&keyring.barrier_keys()).map_err(damaged)?;
        match args.check {
            true => check(records, &header, args.quiet, console).await,
            false => put(records, &header, &keyring, &config, args, console).await,
        }
    })
}

/// A store that holds nothing but the seal record of the backup.
async fn sealed(header: &Header) -> Result<Arc<dyn Storage>, Failure> {
    let store: Arc<dyn Storage> = Arc::new(Memory::new());
    let change = Change::Put { value: header.seal.value().to_vec(), revision: header.seal.revision() };
    let write = Write { key: crate::host::seal::KEY.to_owned(), expect: Expect::Absent, change };
    store.put_all(vec![write]).await.map_err(|error| Failure::local(error.to_string()))?;
    Ok(store)
}

async fn check(
    mut records: Records<BufReader<File>>,
    header: &Header,
    quiet: bool,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut progress = Progress::new(quiet);
    let mut count = 0;
    loop {
        let batch = records.next(1000).await.map_err(|error| Failure::refused(error.to_string()))?;
        if batch.is_empty() {
            break;
        }
        count += batch.len() as u64;
        progress.tell(|time| format!("{count} records read, {} a second", rate(count, time)));
    }
    progress.end();
    if !quiet {
        console.say(&format!("sound: {count} records of {}", header.made_at));
    }
    Ok(())
}

async fn put(
    records: Records<BufReader<File>>,
    header: &Header,
    keyring: &Keyring,
    config: &Config,
    args: &Args,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut progress = Progress::new(args.quiet);
    let mut told = |count| progress.tell(|time| format!("{count} records, {} a second", rate(count, time)));
    let records = Box::new(records);
    let (copied, place) = match &config.storage {
        StorageChoice::Redb { path } => {
            let place = Place::take(path, args.force).await?;
            let copied = into(records, place.store.clone(), header, keyring, &mut told).await?;
            (copied, place.finish()?)
        }
        choice => {
            if args.force {
                return Err(Failure::local(
                    "--force sets an embedded store aside; empty this one yourself, or name another",
                ));
            }
            let store = offline::storage(choice, true).await?;
            (into(records, store, header, keyring, &mut told).await?, "the store".to_owned())
        }
    };
    progress.end();
    if !args.quiet {
        console.say(&format!("restored: {} records of {} are in {place}", copied.records, header.made_at));
        console.say(
            "What happened after that time is not known to it, so it gives no code until you have said what is held: start the \
             server, then  sparekey restore status",
        );
    }
    Ok(())
}

async fn into(
    records: Box<dyn Snapshot>,
    store: Arc<dyn Storage>,
    header: &Header,
    keyring: &Keyring,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<Copied, Failure> {
    let failed = |error| match error {
        CopyError::Source(error) => Failure::refused(error.to_string()),
        other => Failure::local(other.to_string()),
    };
    let copied = copy::fill(records, store.clone(), &header.mount_id, &OsRandom, told).await.map_err(failed)?;
    let mark = mark::of(&store, keyring, header.made_at).await?;
    copy::finish(&store, vec![mark]).await.map_err(failed)?;
    Ok(copied)
}

fn show(reader: Reader<BufReader<File>>, console: &mut Console) -> Result<(), Failure> {
    let header = reader.header().clone();
    let skimmed = reader.skim().map_err(damaged)?;
    console.say(&format!("Made at     {}", header.made_at));
    console.say(&format!("By version  {}", crate::cli::client::printable(&header.version)));
    console.say(&format!("Backup      {}", hex::encode(*header.id)));
    console.say(&format!("Mount       {}", hex::encode(*header.mount_id)));
    console.say(&format!("Seal        {}", seal(&header)));
    console.say(&format!("Frames      {}, {}", skimmed.frames, mebibytes(skimmed.bytes)));
    console.say("Its end is there. Whether anything was altered shows --check, which needs the keys.");
    Ok(())
}

fn seal(header: &Header) -> String {
    match crate::host::seal::describe(header.seal.value()) {
        Ok(text) => text,
        Err(broken) => format!("its record {broken}"),
    }
}

fn damaged(error: BackupError) -> Failure {
    match error {
        BackupError::Io(_) => Failure::local(error.to_string()),
        other => Failure::refused(other.to_string()),
    }
}

/// The name beside `path` that ends in `ending`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
