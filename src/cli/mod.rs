//! The command line: one file a subcommand.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::process;

pub mod act;
pub mod assertion;
pub mod audit;
pub mod backup;
pub mod client;
pub mod codefile;
pub mod console;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod export;
pub mod get;
pub mod import;
pub mod lines;
mod offline;
pub mod outcome;
pub mod paint;
pub mod plugin;
pub mod progress;
pub mod quarantine;
pub mod relay;
pub mod report;
pub mod restore;
pub mod server;
mod signals;
pub mod storage;
mod store;
pub mod transfer;
pub mod whole_file;

/// Keeps backup MFA codes under seal and lets them out one at a time, on the record.
#[derive(Parser)]
#[command(name = "sparekey", version, after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Server(server::Args),
    /// Get one backup code.
    Get(Box<get::Args>),
    /// Say what became of a code.
    Outcome(Box<outcome::Args>),
    /// Store the backup codes of a file as an account's new set.
    Import(Box<import::Args>),
    /// Move accounts from a stopped server's store into a mounted engine.
    Transfer(Box<transfer::Args>),
    /// Take events from identity providers and bring them to vaults.
    Relay(relay::Args),
    /// Save everything in one sealed file, while the server runs.
    Backup(Box<backup::Args>),
    /// Put a backup into an empty store, or check one.
    Restore(restore::Args),
    /// Examine everything that is stored, and change nothing.
    Doctor(Box<doctor::Args>),
    /// Move everything from one store into another.
    Storage(storage::Args),
    /// Report on all accounts: posture, usage, access.
    Report(Box<report::Args>),
    /// Check audit files offline.
    Audit(audit::Args),
    /// Show the main job: import, retrieve, re-enroll, refused.
    Demo(demo::Args),
    /// Tools for a development server.
    Dev(dev::Args),
    /// What a vault's operator needs to mount this binary as a secrets plugin.
    Plugin(plugin::Args),
}

const EXAMPLES: &str = "\
Examples:
  sparekey demo                               the main job, in seconds
  sparekey server --dev                       a server to try things out
  sparekey server --config /etc/sparekey.hcl  a server on its store
  sparekey dev jwt --sub you --aud sparekey   a JWT for the server of --dev
  sparekey report posture                     what needs attention
  sparekey get github/acme-owner              one code, now
  sparekey audit verify /var/log/sparekey/audit.log
  sparekey import github/acme-owner codes.txt --jwt-file token.jwt

Exit codes:
  0  done
  1  wrong usage, or something here: a file, a setting, no connection
  2  the server, or the check, said no
  A subcommand that has more says so in its help.";

/// Runs the command line.
pub fn main() -> ExitCode {
    if crate::plugin::wanted() {
        return crate::plugin::run();
    }
    process::quiet_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are no failure.
            let failed = error.use_stderr();
            let _ = error.print();
            return ExitCode::from(u8::from(failed));
        }
    };
    match cli.command {
        Command::Server(args) => server::run(args),
        Command::Get(args) => get::run(*args),
        Command::Outcome(args) => outcome::run(*args),
        Command::Import(args) => import::run(*args),
        Command::Transfer(args) => transfer::run(*args),
        Command::Relay(args) => relay::run(args),
        Command::Backup(args) => backup::run(*args),
        Command::Restore(args) => restore::run(args),
        Command::Doctor(args) => doctor::run(*args),
        Command::Storage(args) => storage::run(args),
        Command::Report(args) => report::run(*args),
        Command::Audit(args) => audit::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Dev(args) => dev::run(args),
        Command::Plugin(args) => plugin::run(args),
    }
}
