//! The process around the engine: what the operating system must not keep of it, what a panic may say, where the log goes.

use std::io::{IsTerminal, Write};

use rustix::process::{DumpableBehavior, Resource, Rlimit, setrlimit};
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Keeps memory out of core dumps and other processes of the same user, and new files private. Answers what could not be done.
pub fn harden() -> Vec<String> {
    let mut failed = Vec::new();
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }) {
        failed.push(format!("core dumps could not be disabled: {error}"));
    }
    if let Err(error) = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        failed.push(format!("the process could not be made undumpable: {error}"));
    }
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    failed
}

/// From here on a panic says where it happened and nothing else: its message could carry a secret.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        // Not through the log: that may be what panicked. If standard error is gone there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "sparekey: internal error at {place} (message withheld)");
    }));
}

/// Sends the log to standard error. Lines of libraries come only from `warn` up: below that some of them print what they read
/// from the network.
pub fn start_log(log: Log) {
    let libraries = if log.level < Level::WARN { log.level } else { Level::WARN };
    let filter = Targets::new().with_default(libraries).with_target("sparekey", log.level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer = match log.format {
        LogFormat::Standard => lines.with_ansi(std::io::stderr().is_terminal()).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    // A second start in one process keeps the first log.
    let _ = tracing_subscriber::registry().with(layer).try_init();
}
