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
    /// Print the stanza by which a vault's configuration file registers this binary, as HCL
    #[command(after_help = "Examples:
  sparekey plugin stanza >> /etc/openbao/openbao.hcl
  sparekey plugin stanza --image registry.example.com/security/sparekey >> /etc/openbao/openbao.hcl

OpenBao reads it when it starts and on SIGHUP. `bao secrets enable -path=backup-codes sparekey` then mounts it.")]
    Stanza {
        /// Tell the checksum of this file instead of the running one's
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// Where the vault is to fetch it from (an OCI image, without its tag) [default: it lies in plugin_directory]
        #[arg(long, value_name = "IMAGE")]
        image: Option<String>,
    },
}

/// Runs `sparekey plugin …`.
pub fn run(args: Args) -> ExitCode {
    let (name, done) = match args.command {
        Command::Manifest { binary } => ("manifest", manifest(binary)),
        Command::Stanza { binary, image } => ("stanza", stanza(binary, image)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr().lock(), "sparekey plugin {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn manifest(binary: Option<PathBuf>) -> io::Result<()> {
    let mut manifest = plugin::manifest();
    manifest["sha256"] = Value::from(sum(binary)?);
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &manifest)?;
    writeln!(out)
}

fn stanza(binary: Option<PathBuf>, image: Option<String>) -> io::Result<()> {
    let text = plugin::stanza(&sum(binary)?, image.as_deref()).map_err(io::Error::other)?;
    io::stdout().lock().write_all(text.as_bytes())
}

/// The SHA-256 of this file, or of the program that runs.
fn sum(binary: Option<PathBuf>) -> io::Result<String> {
    checksum(&binary.map_or_else(std::env::current_exe, Ok)?)
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
