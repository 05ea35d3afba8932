//! `sparekey server`: from a configuration to a server that listens, and from a signal to its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run the server.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  sparekey server --config /etc/sparekey.hcl
  sparekey server --dev
  sparekey server --dev --dev-root-token-id root --dev-listen-address 127.0.0.1:8201

Signals: TERM and INT finish what is under way (30 s at most) and end; HUP reads certificates and opens audit files again.")]
pub struct Args {
    /// The configuration file (HCL or JSON).
    #[arg(long, value_name = "FILE", required_unless_present = "dev", conflicts_with = "dev")]
    config: Option<PathBuf>,
    /// A server in memory, unsealed, without TLS, for trying things out: never keep a real code in it.
    #[arg(long)]
    dev: bool,
    /// The root token of a development server [default: a random one].
    #[arg(long, value_name = "TOKEN", requires = "dev")]
    dev_root_token_id: Option<String>,
    /// Where a development server listens.
    #[arg(long, value_name = "ADDRESS", requires = "dev", default_value = "127.0.0.1:8200")]
    dev_listen_address: SocketAddr,
    /// Where a development server keeps its issuer's key and its audit file.
    #[arg(long, value_name = "DIR", requires = "dev", env = "SPAREKEY_DEV_DIR")]
    dev_dir: Option<PathBuf>,
}

/// Runs `sparekey server`.
pub fn run(_: Args) -> ExitCode {
    ExitCode::FAILURE
}
