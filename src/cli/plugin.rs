//! `sparekey plugin`: what an operator needs before a vault mounts this binary.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::plugin;

/// Mounting in a vault.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print what a vault's operator has to know of this binary, as JSON
    #[command(after_help = "Examples:
  sparekey plugin manifest
  bao plugin register -sha256=$(sparekey plugin manifest | jq -r .sha256) secret sparekey

The plugin itself is started by the vault, never by hand.")]
    Manifest {
        /// Tell the checksum of this file instead of the running one's
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
}

/// Runs `sparekey plugin …`.
pub fn run(args: Args) -> ExitCode {
    let Command::Manifest { binary } = args.command;
    match manifest(binary) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "sparekey plugin manifest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn manifest(binary: Option<PathBuf>) -> io::Result<()> {
    let path = binary.map_or_else(std::env::current_exe, Ok)?;
    let mut manifest = plugin::manifest();
    manifest["sha256"] = Value::from(checksum(&path)?);
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &manifest)?;
    writeln!(out)
}

fn checksum(path: &PathBuf) -> io::Result<String> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(named)?;
    let mut hash = Hasher(Sha256::new());
    io::copy(&mut file, &mut hash).map_err(named)?;
    Ok(hex::encode(hash.0.finalize()))
}

struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
