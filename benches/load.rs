//! How many requests a second, and how long each takes: `cargo bench --bench load -- --help`.
//!
//! Starts the server built beside it (redb, file audit, loopback, no TLS), fills it with accounts, then sends `retrieve`
//! requests, each with an ES256 assertion of its own signed beforehand, and metadata reads, over connections that are kept
//! alive. The number of requests is fixed, so that no request finds its set used up. Client and server share the processor:
//! quote the server's own processor time beside the rate. Any answer but 200 makes the run void (exit code 2).

#[path = "../tests/support/mod.rs"]
mod support;
mod traffic;

use std::fs;
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::json;

use support::http::Client;
use support::scene::{AUDIENCE, ISSUER, Scene, codes};
use support::server::{MOUNT, Server, Setup};
use support::signer::{Signer, claims};
use traffic::{Prepared, Process, send_all};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    Retrieve,
    Metadata,
}

/// Measures requests per second and latencies.
#[derive(Parser)]
struct Options {
    /// What to measure; everything if absent.
    #[arg(long, value_enum)]
    work: Vec<Work>,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1024))]
    connections: u32,
    /// Requests of each kind.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    requests: u32,
    /// Requests of each kind before the clock starts.
    #[arg(long, default_value_t = 1_000)]
    warm_up: u32,
    /// Codes in each set.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=512))]
    codes: u32,
    /// Measure a server that runs already (initialised, unsealed, a loopback address), not one of our own.
    #[arg(long, requires = "token")]
    address: Option<SocketAddr>,
    /// Its root token.
    #[arg(long, env = "BAO_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// `cargo bench` adds this.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let own = options.address.is_none().then(|| Setup::default().log_level("warn").start());
    let (address, token) = match (&own, options.address, &options.token) {
        (Some(server), ..) => (server.address(), server.root_token().to_string()),
        (None, Some(address), Some(token)) if address.ip().is_loopback() => (address, token.clone()),
        _ => {
            eprintln!("load: --address must be a loopback address: this program is for a server on this machine");
            return ExitCode::from(1);
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(&options, own.as_ref(), address, &token))
}

async fn run(options: &Options, own: Option<&Server>, address: SocketAddr, token: &str) -> ExitCode {
    let plain = Client::new(address);
    let scene = Scene::with(plain.token(token), plain, Signer::es256("load"));
    println!(
        "{}, {} connections, client on the same {} processors",
        if own.is_some() { "server of this build, redb and file audit" } else { "server that ran already" },
        options.connections,
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    let requests = options.requests + options.warm_up;
    let accounts = requests.div_ceil(options.codes);
    // Names of this run only, so that a server that runs already can be measured again.
    let prefix = format!("load/{}", hex::encode(support::signer::fresh()));
    let plan = Plan { options, own, address, token, scene: &scene, prefix: &prefix };

    let stores = (0..accounts).map(|account| plan.store(account)).collect();
    if !plan.measure("store", 0, stores).await {
        return ExitCode::from(2);
    }
    // Metadata first: reading does not change what the retrievals find.
    let works = if options.work.is_empty() { &[Work::Metadata, Work::Retrieve][..] } else { &options.work };
    for work in works {
        let (name, list) = match work {
            Work::Metadata => ("metadata", (0..requests).map(|index| plan.read(index % accounts)).collect()),
            Work::Retrieve => ("retrieve", (0..requests).map(|index| plan.retrieve(index % accounts, index)).collect()),
        };
        if !plan.measure(name, options.warm_up, list).await {
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

struct Plan<'a> {
    options: &'a Options,
    own: Option<&'a Server>,
    address: SocketAddr,
    token: &'a str,
    scene: &'a Scene,
    prefix: &'a str,
}

impl Plan<'_> {
    fn store(&self, account: u32) -> Prepared {
        let codes = codes(u64::from(account), self.options.codes as usize);
        let body = json!({"role": "automation", "jwt": self.scene.automation(), "codes": codes, "cas": 0});
        self.request(Method::POST, "sets", account, body.to_string())
    }
    fn read(&self, account: u32) -> Prepared {
        self.request(Method::GET, "accounts", account, String::new())
    }
    fn retrieve(&self, account: u32, index: u32) -> Prepared {
        let mut claims = claims(ISSUER, &format!("admin-{}", index % 100), AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        let body = json!({"role": "on-call", "jwt": self.scene.signer.jwt(&claims), "reason": "load"});
        self.request(Method::POST, "retrieve", account, body.to_string())
    }
    fn request(&self, method: Method, base: &str, account: u32, body: String) -> Prepared {
        let mut request = Request::builder()
            .uri(format!("/v1/{MOUNT}/{base}/{}/{account}", self.prefix))
            .header("host", self.address.to_string())
            .header("x-vault-request", "true");
        // Acts bring an assertion, metadata reads a token.
        if method == Method::GET {
            request = request.header("x-vault-token", self.token);
        }
        request.method(method).body(Full::new(Bytes::from(body))).expect("a request")
    }

    /// Sends everything, the first `warm_up` requests outside the measurement; false if an answer was not 200.
    async fn measure(&self, name: &str, warm_up: u32, mut list: Vec<Prepared>) -> bool {
        let rest = list.split_off(warm_up as usize);
        let connections = self.options.connections as usize;
        let warm = send_all(self.address, connections, list).await;
        let before = self.own.map(Usage::of);
        let mut run = send_all(self.address, connections, rest).await;
        println!(
            "{name:<9} {:>8} requests {:>8.2} s {:>9.0}/s   p50 {} p90 {} p99 {} p99.9 {} max {} ms   {}",
            run.times.len(),
            run.elapsed.as_secs_f64(),
            run.rate(),
            run.percentile(0.5),
            run.percentile(0.9),
            run.percentile(0.99),
            run.percentile(0.999),
            run.percentile(1.0),
            run.counts()
        );
        if let (Some(before), Some(server)) = (before, self.own) {
            println!("{:>9} {}", "", Usage::of(server).since(&before, run.times.len()));
        }
        let wrong = warm.wrong.or(run.wrong);
        if let Some(wrong) = &wrong {
            println!("VOID: {name} was answered otherwise than with 200, first with {wrong}");
        }
        wrong.is_none()
    }
}

/// What the server has used so far.
struct Usage {
    process: Process,
    store: u64,
    audit: u64,
}

impl Usage {
    fn of(server: &Server) -> Self {
        let size = |path| fs::metadata(path).map_or(0, |meta| meta.len());
        Usage {
            process: Process::of(server.pid().unwrap_or_default()),
            store: size(server.store()),
            audit: size(server.audit()),
        }
    }
    /// In words, per request.
    fn since(&self, before: &Usage, requests: usize) -> String {
        let requests = requests.max(1) as f64;
        format!(
            "server: {:.0} µs of processor time a request, {} MB resident; store +{:.0}, audit +{:.0} bytes a request",
            self.process.busy.saturating_sub(before.process.busy).as_micros() as f64 / requests,
            self.process.resident_kb / 1024,
            self.store.saturating_sub(before.store) as f64 / requests,
            self.audit.saturating_sub(before.audit) as f64 / requests,
        )
    }
}
