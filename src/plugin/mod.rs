//! The mounted face: an OpenBao or Vault server starts this very binary as one of its secrets engines (go-plugin, gRPC).
//!
//! The host starts the process with a cookie and a certificate in its environment; the process answers one line on standard
//! output and serves gRPC on a socket, each side knowing the other by the certificate it was told. One process serves all mounts
//! of its catalog entry, which share nothing but the process. Over a second connection for each mount the host serves its
//! storage and what it knows of callers.
//!
//! Nothing here knows an operation of the engine by name: paths, help, special paths and existence checks come from the table.

use std::process::ExitCode;
use std::time::Duration;

mod anchors;
mod backend;
mod broker;
mod exit;
mod fresh;
mod handshake;
mod host;
mod identity;
mod incoming;
mod locks;
mod log;
mod manifest;
mod mount;
pub mod proto;
mod root;
mod serve;
mod services;
mod step;
mod storage;
mod tls;
mod transaction;
mod wire;

pub use handshake::wanted;
pub use manifest::{manifest, stanza};
pub use storage::HostStorage;

/// How long acts that are under way may still take when the host ends the process. It waits two seconds before it kills.
const GRACE: Duration = Duration::from_millis(1500);

/// Runs the process as a plugin, to its end.
pub fn run() -> ExitCode {
    log::start();
    log::report_panics();
    for failed in crate::process::harden() {
        tracing::warn!("{failed}");
    }
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), String> {
    let invitation = handshake::Invitation::from_environment()?;
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    let served = runtime.block_on(serve::serve(invitation));
    runtime.shutdown_timeout(Duration::from_millis(100));
    served
}
