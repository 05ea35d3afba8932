//! The command line: one file a subcommand.

pub mod audit;
pub mod client;
pub mod demo;
pub mod dev;
pub mod import;
pub mod server;

/// Runs the command line.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
