//! `sparekey backup`: everything that a store holds, as it is now, into one sealed file.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::backup::Writer;
use crate::cli::client::{Client, Connection, Failure, Settings};
use crate::cli::console::Console;
use crate::cli::offline::{self, Opened};
use crate::cli::progress::{Progress, mebibytes, rate};
use crate::cli::whole_file::WholeFile;
use crate::clock::{Clock, SystemClock};
use crate::process;
use crate::random::OsRandom;

const EXAMPLES: &str = "\
Examples:
  Of a running server, with a token that may administer (BAO_ADDR, BAO_TOKEN):
    sparekey backup /backups/sparekey-$(date +%F).backup
  Of a stopped server, with unseal keys on the terminal, or from a file, one a line:
    sparekey backup /backups/sparekey.backup --config /etc/sparekey.hcl < keys.txt
  Into another program:
    sparekey backup - | store-elsewhere

The file is sealed: the unseal keys (or the static key) of its time open it, nothing else does. Keep those apart from it.
What can be read without them: `sparekey restore --show FILE`.

Exit codes:
  0  the backup is whole and on the disk
  1  no backup: wrong usage, no answer, it broke off; nothing is left behind
  2  the server refused";

/// Save everything that a server holds in one sealed file, while it runs or after it was stopped.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file to make; - for standard output
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Configuration file of a stopped server: opens its store here [default: ask the running server]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
    /// Say nothing unless something is wrong
    #[arg(long)]
    pub quiet: bool,
    /// How to reach the running server
    #[command(flatten)]
    pub connection: Connection,
}

/// Runs the subcommand on this process's console and environment.
pub fn run(args: Args) -> ExitCode {
    process::harden();
    let mut console = Console::standard();
    match backup(&args, &|name| std::env::var(name).ok(), &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.complain(&format!("sparekey backup: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Makes the backup that `args` name.
pub fn backup(args: &Args, environment: &dyn Fn(&str) -> Option<String>, console: &mut Console) -> Result<(), Failure> {
    let mut output = Output::begin(&args.file, args.force)?;
    let mut progress = Progress::new(args.quiet);
    let mut bytes = 0;
    let records = match &args.config {
        Some(config) => Some(offline(config, console, &mut |piece, records| {
            output.write(piece)?;
            bytes += piece.len() as u64;
            progress.tell(|time| {
                format!("{records} records, {}, {} records a second", mebibytes(bytes), rate(records, time))
            });
            Ok(())
        })?),
        None => {
            let client = Client::new(Settings::resolve(&args.connection, environment)?)?;
            client.download("sys/storage/snapshot", &mut |piece| {
                output.write(piece)?;
                bytes += piece.len() as u64;
                progress.tell(|time| format!("{}, {} a second", mebibytes(bytes), mebibytes(rate(bytes, time))));
                Ok(())
            })?;
            None
        }
    };
    progress.end();
    output.finish(args.force)?;
    if !args.quiet {
        let records = records.map(|records| format!("{records} records, ")).unwrap_or_default();
        console.complain(&format!("saved: {records}{} in {:.1} s", mebibytes(bytes), progress.elapsed().as_secs_f64()));
    }
    Ok(())
}

/// Takes the next bytes; hears how many records were saved so far.
type Take<'a> = dyn FnMut(&[u8], u64) -> Result<(), Failure> + 'a;

/// Saves the store of a stopped server; answers how many records there are.
fn offline(config: &Path, console: &mut Console, take: &mut Take<'_>) -> Result<u64, Failure> {
    let config = offline::config(config)?;
    offline::runtime()?.block_on(async {
        let Opened { raw, keyring, .. } = Opened::open(&config, console).await?;
        let keys = keyring.barrier_keys();
        let begun = Writer::begin(raw, *keyring.mount_id(), &keys, SystemClock.now(), Arc::new(OsRandom)).await;
        let mut writer = begun.map_err(|error| Failure::local(error.to_string()))?;
        while let Some(piece) = writer.next().await.map_err(|error| Failure::local(error.to_string()))? {
            take(&piece, writer.records())?;
        }
        Ok(writer.records())
    })
}

/// Where the backup goes.
enum Output {
    File(WholeFile, PathBuf),
    Standard,
}

impl Output {
    fn begin(path: &Path, replace: bool) -> Result<Self, Failure> {
        if path.as_os_str() == "-" {
            return match io::stdout().is_terminal() {
                true => Err(Failure::local("a backup is not for a terminal: name a file, or lead it into a program")),
                false => Ok(Output::Standard),
            };
        }
        if path.exists() && !replace {
            return Err(exists(path));
        }
        let file = WholeFile::begin(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Failure::local(format!("{} is being written already", path.display())),
            _ => failed(path, &error),
        })?;
        Ok(Output::File(file, path.to_owned()))
    }
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Output::File(file, path) => file.write_all(bytes).map_err(|error| failed(path, &error)),
            Output::Standard => {
                io::stdout().write_all(bytes).map_err(|error| failed(Path::new("standard output"), &error))
            }
        }
    }
    fn finish(self, replace: bool) -> Result<(), Failure> {
        match self {
            Output::File(file, path) => file.finish(replace).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => exists(&path),
                _ => failed(&path, &error),
            }),
            Output::Standard => io::stdout().flush().map_err(|error| failed(Path::new("standard output"), &error)),
        }
    }
}

fn exists(path: &Path) -> Failure {
    Failure::local(format!("{} is there already: name another file, or say --force", path.display()))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("{}: {error}", path.display()))
}
