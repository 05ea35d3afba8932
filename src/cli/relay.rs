//! `sparekey relay`: from flags to a receiver of events that listens, and from a signal to its end.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Level;

use crate::cli::console::Console;
use crate::cli::signals::{Signal, Signals};
use crate::config::{Log, LogFormat};
use crate::domain::time::parse_duration;
use crate::http::listen;
use crate::http::tls::{MinVersion, TlsFiles, TlsReloader};
use crate::pem::PemError;
use crate::process;
use crate::relay::{self, Parts, Relay, Routes, Vaults};

/// Take events from identity providers and bring them to vaults.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  sparekey relay --listen 0.0.0.0:8443 --tls-cert relay.pem --tls-key relay-key.pem \\
    --target /okta=https://vault.example.com:8200/v1/backup-codes/events/okta
  sparekey relay --listen 127.0.0.1:8300 \\
    --target /idp=https://a.example.com/v1/backup-codes/events/idp \\
    --target /idp=https://b.example.com/v1/backup-codes/events/idp

A sender posts one Security Event Token as application/secevent+jwt (RFC 8935) to a path. It gets 202 only after every vault
behind that path answered 202, an engine's refusal as the engine wrote it, and else 503: then it sends the event again.
The relay keeps nothing and needs no token: the signature in the event is the proof.

Signals: TERM and INT finish what is under way (30 s at most) and end; HUP reads the certificates again.")]
pub struct Args {
    /// Where to listen. Without TLS only on an address of this machine (127.0.0.1, ::1).
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Where the events of a path go: PATH=https://VAULT/v1/MOUNT/events/SOURCE. May be repeated; a path that comes again leads to
    /// one more vault.
    #[arg(long = "target", value_name = "PATH=URL", required = true)]
    targets: Vec<String>,
    /// Certificate chain of the relay (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Authorities to trust for the vaults' certificates (PEM) [default: those of this machine].
    #[arg(long, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// What a vault gets for one event, from the connection to the whole answer.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = patience)]
    timeout: Duration,
    /// Longest event, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = relay::limits().max_body as u64, value_parser = clap::value_parser!(u64).range(1024..=1 << 20))]
    max_body: u64,
    /// Most connections at once; a further one takes the place of the one that has dawdled for longest.
    #[arg(long, value_name = "COUNT", default_value_t = relay::limits().max_connections as u64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_connections: u64,
    /// Most events on their way to vaults at once; further ones are told to come again.
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    max_in_flight: u64,
    /// Log lines in JSON.
    #[arg(long)]
    log_json: bool,
}

/// Runs `sparekey relay` until a signal ends it.
pub fn run(args: Args) -> ExitCode {
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Console::standard().complain(&format!("sparekey: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> Result<(), String> {
    let routes = Routes::parse(args.targets.iter().map(String::as_str))?;
    if args.tls_cert.is_none() && !args.listen.ip().is_loopback() {
        return Err(format!(
            "--listen {}: without TLS only an address of this machine; give --tls-cert and --tls-key",
            args.listen
        ));
    }
    let tls = match args.tls_cert.zip(args.tls_key) {
        None => None,
        Some((cert, key)) => {
            let files = TlsFiles { cert, key, client_ca: None, min_version: MinVersion::Tls12 };
            let wrong = |error: PemError| format!("--tls-cert, --tls-key: {}", error.at_file());
            Some(Arc::new(TlsReloader::new(&files).map_err(wrong)?))
        }
    };
    let vaults = Vaults::new(args.ca_cert.as_deref(), args.timeout).map_err(text)?;
    process::start_log(Log {
        level: Level::INFO,
        format: if args.log_json { LogFormat::Json } else { LogFormat::Standard },
    });
    for warning in process::harden() {
        tracing::warn!("{warning}");
    }
    let mut limits = relay::limits();
    limits.max_body = count(args.max_body);
    limits.max_connections = count(args.max_connections);
    let relay = Relay::new(Parts { routes, vaults, limits, max_in_flight: count(args.max_in_flight) });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime does not start: {error}"))?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::new().map_err(|error| format!("signals: {error}"))?;
        let failed = |error| format!("listener {}: {error}", args.listen);
        let socket = TcpListener::bind(args.listen).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        tracing::info!(%address, tls = tls.is_some(), "listening");
        let (stop, stopped) = watch::channel(false);
        let mut serving = tokio::spawn(listen(socket, tls.clone(), Arc::new(relay), limits, stopped));
        while signals.next().await == Signal::Reload {
            reload(tls.as_deref());
        }
        tracing::info!("ending: no new connections; events under way are finished");
        stop.send_replace(true);
        let impatient = async { while signals.next().await != Signal::End {} };
        tokio::select! {
            _ = &mut serving => tracing::info!("ended"),
            () = impatient => tracing::warn!("a second signal: ended at once"),
        }
        Ok(())
    });
    runtime.shutdown_background();
    ended
}

fn reload(tls: Option<&TlsReloader>) {
    match tls.map(TlsReloader::reload) {
        None => {}
        Some(Ok(())) => tracing::info!("certificates were read again"),
        Some(Err(error)) => tracing::error!(%error, "certificates could not be read again; the old ones stay"),
    }
}

fn count(given: u64) -> usize {
    usize::try_from(given).unwrap_or(usize::MAX)
}

fn patience(given: &str) -> Result<Duration, String> {
    match parse_duration(given) {
        Some(time) if (Duration::from_secs(1)..=Duration::from_secs(300)).contains(&time) => Ok(time),
        _ => Err("1s to 300s".to_owned()),
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}
