//! How many requests a second, and how long each takes: `cargo bench --bench load -- --help`.
//!
//! Starts the server built beside it (redb, file audit, loopback, no TLS), fills it with accounts, then sends `retrieve`
//! requests, each with an ES256 assertion of its own signed beforehand, and metadata reads, over connections that are kept
//! alive. The number of requests is fixed, so that no request finds its set used up. Client and server share the processor:
//! quote the server's own processor time beside the rate. Any answer but 200 makes the run void (exit code 2).

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use support::http::Client;
use support::scene::{AUDIENCE, ISSUER, Scene, codes};
use support::server::{MOUNT, Server, Setup};
use support::signer::{Signer, claims};

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
    fn store(&self, account: u32) -> Request<Full<Bytes>> {
        let codes = codes(u64::from(account), self.options.codes as usize);
        let body = json!({"role": "automation", "jwt": self.scene.automation(), "codes": codes, "cas": 0});
        self.request(Method::POST, "sets", account, body.to_string())
    }
    fn read(&self, account: u32) -> Request<Full<Bytes>> {
        self.request(Method::GET, "accounts", account, String::new())
    }
    fn retrieve(&self, account: u32, index: u32) -> Request<Full<Bytes>> {
        let mut claims = claims(ISSUER, &format!("admin-{}", index % 100), AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        let body = json!({"role": "on-call", "jwt": self.scene.signer.jwt(&claims), "reason": "load"});
        self.request(Method::POST, "retrieve", account, body.to_string())
    }
    fn request(&self, method: Method, base: &str, account: u32, body: String) -> Request<Full<Bytes>> {
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
    async fn measure(&self, name: &str, warm_up: u32, mut list: Vec<Request<Full<Bytes>>>) -> bool {
        let rest = list.split_off(warm_up as usize);
        let warm = self.send_all(list).await;
        let before = self.own.map(Usage::of);
        let started = Instant::now();
        let mut run = self.send_all(rest).await;
        let elapsed = started.elapsed();
        run.times.sort_unstable();
        println!(
            "{name:<9} {:>8} requests {:>8.2} s {:>9.0}/s   p50 {} p90 {} p99 {} p99.9 {} max {} ms   {}",
            run.times.len(),
            elapsed.as_secs_f64(),
            run.times.len() as f64 / elapsed.as_secs_f64(),
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

    /// Deals the requests out like cards: neighbours, which are about different accounts, are under way at the same time.
    async fn send_all(&self, list: Vec<Request<Full<Bytes>>>) -> Run {
        let connections = self.options.connections as usize;
        let mut shares: Vec<Vec<Request<Full<Bytes>>>> = (0..connections).map(|_| Vec::new()).collect();
        for (index, request) in list.into_iter().enumerate() {
            shares[index % connections].push(request);
        }
        let mut senders = JoinSet::new();
        for share in shares {
            senders.spawn(send_share(self.address, share));
        }
        let mut run = Run::default();
        while let Some(share) = senders.join_next().await {
            run.add(share.expect("a sender does not panic"));
        }
        run
    }
}

/// What came back.
#[derive(Default)]
struct Run {
    times: Vec<Duration>,
    statuses: BTreeMap<u16, usize>,
    wrong: Option<String>,
}

impl Run {
    fn add(&mut self, other: Run) {
        self.times.extend(other.times);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.wrong = self.wrong.take().or(other.wrong);
    }
    fn percentile(&self, part: f64) -> String {
        let last = self.times.len().saturating_sub(1);
        let index = ((self.times.len() as f64 * part).ceil() as usize).saturating_sub(1).min(last);
        self.times.get(index).map_or("-".into(), |time| format!("{:.2}", time.as_secs_f64() * 1000.0))
    }
    fn counts(&self) -> String {
        self.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect::<Vec<_>>().join(", ")
    }
}

async fn send_share(address: SocketAddr, share: Vec<Request<Full<Bytes>>>) -> Run {
    let mut run = Run::default();
    if share.is_empty() {
        return run;
    }
    let mut sender = match connect(address).await {
        Ok(sender) => sender,
        Err(error) => {
            run.wrong = Some(format!("no connection: {error}"));
            return run;
        }
    };
    for request in share {
        let started = Instant::now();
        match exchange(&mut sender, request).await {
            Ok((status, body)) => {
                run.times.push(started.elapsed());
                *run.statuses.entry(status).or_default() += 1;
                if status != 200 {
                    run.wrong.get_or_insert_with(|| format!("{status} {}", String::from_utf8_lossy(&body).trim()));
                }
            }
            Err(error) => {
                run.wrong.get_or_insert_with(|| format!("a broken connection: {error}"));
                return run;
            }
        }
    }
    run
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), Failure> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// What the server's process has used so far, as Linux tells it.
struct Usage {
    ticks: u64,
    resident_kb: u64,
    store: u64,
    audit: u64,
}

impl Usage {
    fn of(server: &Server) -> Self {
        let proc = |file: &str| {
            let pid = server.pid().unwrap_or_default();
            fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
        };
        let stat = proc("stat");
        // After the program's name in brackets come state, then 10 more fields, then user and system time.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = [11, 12].iter().filter_map(|&index| fields.get(index)?.parse::<u64>().ok()).sum();
        let status = proc("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let size = |path| fs::metadata(path).map_or(0, |meta| meta.len());
        Usage {
            ticks,
            resident_kb: resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0),
            store: size(server.store()),
            audit: size(server.audit()),
        }
    }
    /// In words, per request. A tick is 10 ms on every Linux that Rust builds for.
    fn since(&self, before: &Usage, requests: usize) -> String {
        let requests = requests.max(1) as f64;
        format!(
            "server: {:.0} µs of processor time a request, {} MB resident; store +{:.0}, audit +{:.0} bytes a request",
            (self.ticks - before.ticks) as f64 * 10_000.0 / requests,
            self.resident_kb / 1024,
            self.store.saturating_sub(before.store) as f64 / requests,
            self.audit.saturating_sub(before.audit) as f64 / requests,
        )
    }
}
