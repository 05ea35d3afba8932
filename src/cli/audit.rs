//! `sparekey audit`: checks an audit file offline.

use std::path::PathBuf;
use std::process::ExitCode;

/// Work on audit files.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check the chain and the signatures of audit files, oldest first.
    Verify {
        /// The files, oldest first.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Runs `sparekey audit …`.
pub fn run(args: Args) -> ExitCode {
    match args.command {
        Command::Verify { files: _ } => ExitCode::FAILURE,
    }
}
